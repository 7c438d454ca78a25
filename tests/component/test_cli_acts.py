"""``pause``, ``resume`` and ``promote``: what they write, what they refuse, and how they meet each other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import builders
from tests.component.captains import REFUSED, REVISION, Captains, captains, cluster, meanwhile, nobody, rolled_back
from tests.running import running
from tests.scene import CANARIES

__all__ = ["captains", "cluster", "meanwhile", "nobody"]

Meanwhile = Callable[..., None]

HOLDING = f"{REVISION} 2026-11-26T10:31:05Z HighLatency"
OF_ANOTHER = "5cdfc66d4d 2026-11-26T10:31:05Z Elsewhere"


# -- pause and resume


async def test_a_pause_says_who_and_why_and_is_taken_away_whole(captains: Captains) -> None:
    code, out, err = await captains.run("pause", "--reason", "lunch\nbreak")
    shop = captains.scene.namespace
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == f"{shop}/podinfo is paused by alice: lunch break"
    assert f"pullback resume podinfo -n {shop}" in out
    assert await captains.annotations() == {"paused": "true", "paused-by": "alice", "paused-reason": "lunch break"}

    version = await captains.version()
    code, out, _ = await captains.run("pause", "--reason", "something else", who="bob")
    assert (code, out.splitlines()[0]) == (0, f"{shop}/podinfo is paused already, by alice: lunch break")
    assert await captains.version() == version

    code, out, _ = await captains.run("resume", who="bob")
    assert (code, out) == (0, f"{shop}/podinfo is resumed\n")
    assert await captains.annotations() == {}
    code, out, _ = await captains.run("resume")
    assert (code, out) == (0, f"{shop}/podinfo was not paused\n")


async def test_a_pause_and_its_end_are_read_by_scripts(captains: Captains) -> None:
    _, out, _ = await captains.run("pause", "-o", "json")
    shop = captains.scene.namespace
    assert json.loads(out) == {
        "namespace": shop, "name": "podinfo", "paused": True, "changed": True, "by": "alice", "reason": None,
    }  # fmt: skip
    _, out, _ = await captains.run("resume", "-o", "json")
    assert json.loads(out) == {"namespace": shop, "name": "podinfo", "paused": False, "changed": True, "alerts": []}


async def test_resume_says_which_alerts_hold_this_revision_still(captains: Captains) -> None:
    await captains.scene.merge(CANARIES, "podinfo", {"metadata": {"annotations": {
        "paused-by.pullback.dev/a790beef2dcf050a": HOLDING, "paused-by.pullback.dev/a790beef2dcf050b": OF_ANOTHER,
        "pullback.dev/paused": "true",
    }}})  # fmt: skip
    code, out, _ = await captains.run("resume")
    assert (code, out.splitlines()[1:]) == (0, ["  alerts hold it still: HighLatency since 2026-11-26 10:31:05Z"])


async def test_a_reason_is_bounded(captains: Captains) -> None:
    await captains.run("pause", "--reason", "why " * 1000)
    reason = (await captains.annotations())["paused-reason"]
    assert (len(reason), reason[-1]) == (1000, "…")


@pytest.mark.usefixtures("nobody")
async def test_whoever_cannot_be_named_may_pause_but_not_promote(captains: Captains) -> None:
    code, _, _ = await captains.run("pause")
    assert (code, "not verified" in (await captains.annotations())["paused-by"]) == (0, True)
    assert "nobody can say who you are" in await captains.refused("promote", "--weight", "25")


@pytest.mark.parametrize("command", [("pause",), ("resume",), ("promote", "--weight", "25")], ids=" ".join)
async def test_a_canary_that_is_not_there_is_exit_1(command: tuple[str, ...], captains: Captains) -> None:
    await captains.scene.delete(CANARIES, "podinfo")
    code, out, err = await captains.run(*command)
    assert (code, out, err) == (1, "", f"pullback: no canary podinfo in namespace {captains.scene.namespace}\n")


async def test_a_paused_gate_says_who_paused_it_and_why(captains: Captains, tmp_path: Path) -> None:
    await captains.run("pause", "--reason", "lunch")
    async with running(captains.cluster, tmp_path) as daemon:
        body = builders.hook(captains.scene.namespace)
        status, line = await daemon.hook("confirm-traffic-increase", body)
        assert (status, line.strip()) == (403, "paused: paused by alice: lunch")


# -- promote


async def test_promote_skips_soaks_for_this_revision_in_ones_own_name(captains: Captains) -> None:
    code, out, err = await captains.run("promote", "--weight", "25")
    shop = captains.scene.namespace
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"{shop}/podinfo: soaks up to 25% of revision {REVISION} skipped by alice",
        "  at 10%, goes to 15% next; criteria still count: there are none",
        "  confirm-traffic-increase would answer yes, open: nothing speaks against it",
    ]
    assert await captains.annotations() == {
        "advance-to": "25", "advance-by": "alice", "advance-revision": REVISION,
    }  # fmt: skip

    version = await captains.version()
    code, out, _ = await captains.run("promote", "--weight", "25", "-o", "json", "--revision", REVISION)
    said = json.loads(out)
    assert (code, said["changed"], said["next"]) == (0, False, 15)
    assert said["advance"] == {"to": 25, "by": "alice", "revision": REVISION}
    assert await captains.version() == version


async def test_promote_to_everything_still_needs_the_approval(captains: Captains) -> None:
    code, out, _ = await captains.run("promote", "--weight", "100")
    assert (code, out.splitlines()[-1]) == (0, "  the promotion still needs its approval")


@pytest.mark.parametrize(("prepare", "more", "said"), REFUSED.values(), ids=REFUSED)
async def test_promote_is_refused(prepare: Any, more: tuple[str, ...], said: str, captains: Captains) -> None:
    await prepare(captains)
    assert said in await captains.refused("promote", "--weight", "25", *more)
    assert "advance-to" not in await captains.annotations()


@pytest.mark.parametrize(("weight", "said"), [
    ("10", "is at 10%, and promote only skips the soak before more"),
    ("5", "pullback rollback podinfo -n"),
    ("0", "is at 10%, and"),
    ("12", "goes to 15% next: --weight 12 would skip nothing"),
])  # fmt: skip
async def test_promote_to_no_more_than_there_is_is_refused(weight: str, said: str, captains: Captains) -> None:
    assert said in await captains.refused("promote", "--weight", weight)


async def test_the_weight_is_that_of_the_routes(captains: Captains) -> None:
    await captains.scene.set_weight(40)
    assert "is at 40%" in await captains.refused("promote", "--weight", "30")


# -- somebody else writes too


async def test_who_meets_another_write_looks_again_and_writes_then(captains: Captains, meanwhile: Meanwhile) -> None:
    meanwhile(captains.ticked, times=3)
    code, _, _ = await captains.run("promote", "--weight", "25")
    assert (code, (await captains.annotations())["advance-to"]) == (0, "25")


@pytest.mark.parametrize("command", [("pause",), ("promote", "--weight", "25")], ids=" ".join)
async def test_who_meets_other_writes_again_and_again_gives_up_and_says_so(
    command: tuple[str, ...], captains: Captains, meanwhile: Meanwhile
) -> None:
    meanwhile(captains.ticked, times=100)
    assert await captains.run(*command) == (1, "", (
        "pullback: the Canary was changed by others 6 times between reading and writing it: nothing is written, try "
        "again\n"
    ))  # fmt: skip
    assert await captains.annotations() == {}


async def test_what_comes_in_between_is_judged_anew(captains: Captains, meanwhile: Meanwhile) -> None:
    async def happens() -> None:
        await rolled_back(captains)
        await captains.scene.set_status(weight=9)

    meanwhile(happens)
    code, out, err = await captains.run("promote", "--weight", "25")
    assert (code, out, "is in force" in err) == (1, "", True), err
    assert await captains.annotations() == {}


async def test_a_revision_that_comes_in_between_is_not_promoted(captains: Captains, meanwhile: Meanwhile) -> None:
    async def happens() -> None:
        await captains.scene.set_status(revision="next")

    meanwhile(happens)
    code, _, err = await captains.run("promote", "--weight", "25")
    assert (code, f"revision {REVISION} is not the one under analysis, that is next" in err) == (1, True), err
    assert await captains.annotations() == {}
