"""``approve``: what it shows before, whose name it writes, and how several people's approvals meet."""

from __future__ import annotations

import asyncio
import datetime
import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from daemon.cli import approving
from tests import builders
from tests.component.captains import (
    IMAGE,
    REFUSED,
    REVISION,
    Captains,
    Terminal,
    at_once,
    captains,
    cluster,
    meanwhile,
    nobody,
    rolled_back,
    terminal,
)
from tests.scene import CANARIES

__all__ = ["captains", "cluster", "meanwhile", "nobody", "terminal"]

Meanwhile = Callable[..., None]
LATER = "2099-01-01T00:00:00Z"


def seconds_from_now(moment: str) -> float:
    return (datetime.datetime.fromisoformat(moment) - datetime.datetime.now(datetime.UTC)).total_seconds()


# -- what is written


async def test_an_approval_is_of_this_revision_in_ones_own_name_with_an_end_and_a_reason(captains: Captains) -> None:
    code, out, err = await captains.approve(reason="soaked\nwell")
    assert (code, err) == (0, "")
    said = await captains.annotations()
    assert seconds_from_now(said.pop("approved-until")) == pytest.approx(4 * 3600, abs=30)
    assert said == {"approved": REVISION, "approved-by": "alice", "approved-reason": "alice: soaked well"}
    shop = captains.scene.namespace
    assert f"{shop}/podinfo: approved is revision {REVISION} by alice until " in out
    assert out.splitlines()[-1].startswith("  confirm-promotion would answer no, soaking: 10% for 10 min of 30 min")


async def test_what_confirm_promotion_would_answer_is_said_before_and_after(captains: Captains) -> None:
    captains.config.write_text(yaml.safe_dump({"policy": {"stages": []}}))
    code, out, _ = await captains.approve("-o", "json")
    said = json.loads(out)
    assert code == 0
    assert (said["evidence"]["gate"]["reason"], said["gate"]["reason"]) == ("approval-missing", "approved")
    assert (said["gate"]["open"], said["approval"]["by"], said["revision"]) == (True, ["alice"], REVISION)


@pytest.mark.parametrize(("given", "hours"), [("30m", 0.5), ("99h", 4), ("99999999d", 4)])
async def test_it_counts_as_long_as_asked_and_no_longer_than_the_policy_says(
    given: str, hours: float, captains: Captains
) -> None:
    await captains.approve("--expires", given)
    until = (await captains.annotations())["approved-until"]
    assert seconds_from_now(until) == pytest.approx(hours * 3600, abs=30)


async def test_the_policy_of_the_configuration_says_how_long(captains: Captains) -> None:
    captains.configure(expires="10m")
    await captains.approve()
    assert seconds_from_now((await captains.annotations())["approved-until"]) == pytest.approx(600, abs=30)


async def test_a_reason_is_bounded(captains: Captains) -> None:
    await captains.approve(reason="why " * 1000)
    assert len((await captains.annotations())["approved-reason"]) == 1000


# -- what is shown


async def test_the_evidence_is_shown_first(captains: Captains) -> None:
    await captains.scene.merge(CANARIES, "podinfo", {"metadata": {"annotations": {
        "paused-by.pullback.dev/a790beef2dcf050a": f"{REVISION} 2026-11-26T10:31:05Z HighLatency",
    }}})  # fmt: skip
    code, out, _ = await captains.approve()
    lines = [line.strip() for line in out.splitlines()]
    assert (code, lines[:8]) == (0, [
        f"{captains.scene.namespace}/podinfo: revision {REVISION}, Progressing at 10%",
        f"images             {IMAGE} sha256:ab12",
        "stages             0%: 20 min of 15 min",
        "10%: 10 min of 30 min, 20 min left",
        "50%: never there",
        "checks             rollout error-rate passed: 0.1 of at most 0.5 (90 s ago)",
        "alerts             HighLatency since 2026-11-26 10:31:05Z",
        "approval           none; 1 asked for",
    ])  # fmt: skip
    waits = "no, alert-pauses: waiting for alerts to end: HighLatency"
    assert lines[8].startswith(f"confirm-promotion  would answer {waits}")


async def test_the_evidence_is_read_by_scripts(captains: Captains) -> None:
    _, out, _ = await captains.approve("-o", "yaml")
    shown = yaml.safe_load(out)["evidence"]
    assert shown["images"] == [{"image": IMAGE, "digest": "sha256:ab12"}]
    assert [(one["stage"], one["weight"], one["over"]) for one in shown["stages"]] == [
        (0, 0, True), (5, 10, False), (50, None, False),
    ]  # fmt: skip
    assert shown["stages"][1]["left"] == pytest.approx(20 * 60, abs=30)
    assert shown["checks"][0]["age"] == pytest.approx(90, abs=30)


async def test_what_is_not_recorded_is_said_to_be_unknown(captains: Captains) -> None:
    await captains.scene.set_status(revision="unrecorded")
    code, out, _ = await captains.approve()
    assert (code, "nothing is recorded of this revision: is `pullback serve` running?" in out) == (0, True)


# -- asking


async def test_without_a_terminal_nobody_is_asked_and_nothing_is_written(captains: Captains) -> None:
    code, out, err = await captains.run("approve", "--reason", "x")
    assert (code, out) == (2, "")
    assert err == "pullback: approve asks before it writes, and there is no terminal to ask on: add --yes\n"
    assert await captains.annotations() == {}


@pytest.mark.parametrize("output", ["table", "json"])
@pytest.mark.parametrize(("typed", "code"), [("y", 0), ("YES", 0), ("n", 1), ("", 1), ("maybe", 1)])
async def test_on_a_terminal_one_is_asked(
    typed: str, code: int, output: str, captains: Captains, terminal: Terminal
) -> None:
    terminal.type(typed)
    exited, out, err = await captains.run("approve", "--reason", "x", "-o", output)
    assert (exited, f"approve {REVISION}? [y/N] " in err) == (code, True)
    # The evidence is there to be read, and never in the way of a script.
    assert "0%: 20 min of 15 min" in (out if output == "table" else err)
    if output == "json" and code == 0:
        assert json.loads(out)["approval"]["by"] == ["alice"]
    assert ("approved" in await captains.annotations()) is (code == 0)
    assert ("pullback: not approved" in err) is (code == 1)


@pytest.mark.parametrize("happens", ["another revision", "rollback"])
async def test_what_was_shown_is_what_is_approved(
    happens: str, captains: Captains, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The world goes on while somebody reads."""
    loop = asyncio.get_running_loop()

    async def goes_on() -> None:
        if happens == "rollback":
            await rolled_back(captains)
        else:
            await captains.scene.set_status(revision="next")

    def agreed(revision: str) -> bool:
        asyncio.run_coroutine_threadsafe(goes_on(), loop).result()
        return True

    monkeypatch.setattr(approving, "_agreed", agreed)
    code, _, err = await captains.run("approve", "--reason", "x")
    assert (code, "is in force" in err or "that is next" in err) == (1, True), err
    assert await captains.annotations() == {}


# -- refusals


@pytest.mark.parametrize(("prepare", "more", "said"), REFUSED.values(), ids=REFUSED)
async def test_it_is_refused(prepare: Any, more: tuple[str, ...], said: str, captains: Captains) -> None:
    await prepare(captains)
    assert said in await captains.refused("approve", "--yes", "--reason", "x", *more)


async def test_nobody_approves_for_somebody_else(captains: Captains) -> None:
    said = await captains.refused("approve", "--yes", "--reason", "x", "--by", "bob")
    assert said == "--by bob: nobody approves for somebody else, you are alice"
    code, _, _ = await captains.approve("--by", "alice")
    assert code == 0


@pytest.mark.usefixtures("nobody")
async def test_an_approval_is_somebodys(captains: Captains) -> None:
    said = await captains.refused("approve", "--yes", "--reason", "x", "--by", "alice")
    assert said.startswith("nobody can say who you are, and this must be somebody's act: ")


async def test_a_name_that_would_be_two_is_refused(captains: Captains) -> None:
    said = await captains.refused("approve", "--yes", "--reason", "x", who="carol,dave")
    assert said.startswith("your name, 'carol,dave', cannot be written down: ")


async def test_a_canary_that_is_not_there_is_exit_1(captains: Captains) -> None:
    await captains.scene.delete(CANARIES, "podinfo")
    code, out, err = await captains.approve()
    assert (code, out, err) == (1, "", f"pullback: no canary podinfo in namespace {captains.scene.namespace}\n")


# -- several people


async def test_a_second_person_is_written_beside_the_first_and_ends_with_them(captains: Captains) -> None:
    captains.configure(approvals=2)
    _, out, _ = await captains.approve("--expires", "1h", reason="soaked")
    assert "  1 of 2 people: somebody else must approve too" in out.splitlines()
    first = await captains.annotations()
    code, out, _ = await captains.approve(who="bob", reason="agreed")
    assert (code, "somebody else" in out) == (0, False)
    assert await captains.annotations() == first | {
        "approved-by": "alice,bob", "approved-reason": "alice: soaked; bob: agreed",
    }  # fmt: skip


async def test_nobody_is_two_people(captains: Captains) -> None:
    captains.configure(approvals=2)
    await captains.approve()
    said = await captains.refused("approve", "--yes", "--reason", "x")
    assert f"alice has approved revision {REVISION} already until " in said


@pytest.mark.parametrize(
    "before",
    [
        {"approved": "another", "approved_by": "alice,bob", "approved_until": LATER},
        {"approved": REVISION, "approved_by": "alice", "approved_until": "2026-11-23T08:00:00Z"},
        {"approved": REVISION, "approved_by": "alice", "approved_until": "whenever"},
        {"approved": REVISION, "approved_by": "", "approved_until": LATER},
        {
            "approved": REVISION, "approved_by": "alice", "approved_until": LATER,
            "approved_used": f"{REVISION} alice {LATER} 2026-11-01T00:00:00Z",
        },
    ],
    ids=["another revision", "expired", "unreadable end", "nobody's", "used by an earlier analysis"],
)  # fmt: skip
async def test_what_no_longer_counts_is_replaced_whole(before: dict[str, str], captains: Captains) -> None:
    await captains.annotate(**before, approved_reason="old")
    code, out, _ = await captains.approve("-o", "json", who="bob", reason="new")
    assert (code, json.loads(out)["approval"]["used"]) == (0, None)
    said = await captains.annotations()
    assert (said["approved"], said["approved-by"], said["approved-reason"]) == (REVISION, "bob", "bob: new")
    assert seconds_from_now(said["approved-until"]) < 5 * 3600
    # What the daemon noted stays the daemon's to write; it speaks of the approval that it repeats, and no other.
    assert said.get("approved-used") == before.get("approved_used")


async def test_an_approval_used_by_this_very_analysis_still_stands(captains: Captains) -> None:
    await captains.annotate(
        approved=REVISION, approved_by="alice", approved_until=LATER,
        approved_used=f"{REVISION} alice {LATER} {builders.BEGAN}",
    )  # fmt: skip
    assert "alice has approved" in await captains.refused("approve", "--yes", "--reason", "x")


async def test_beside_an_approval_without_an_end_one_is_written(captains: Captains) -> None:
    await captains.annotate(approved=REVISION, approved_by="alice")
    await captains.approve(who="bob")
    said = await captains.annotations()
    assert (said["approved-by"], seconds_from_now(said["approved-until"]) <= 4 * 3600) == ("alice,bob", True)


@pytest.mark.parametrize("attempt", range(3))
async def test_two_at_once_both_stand_there(attempt: int, captains: Captains) -> None:
    captains.configure(approvals=2)
    commands = [captains.words("approve", "--yes", "--reason", "x", who=who) for who in ("alice", "bob")]
    assert await at_once(*commands) == [0, 0]
    assert sorted((await captains.annotations())["approved-by"].split(",")) == ["alice", "bob"]


async def test_who_comes_in_between_is_not_overwritten(captains: Captains, meanwhile: Meanwhile) -> None:
    async def bob() -> None:
        await captains.annotate(approved=REVISION, approved_by="bob", approved_until=LATER)

    meanwhile(bob)
    code, _, _ = await captains.approve()
    said = await captains.annotations()
    assert (code, said["approved-by"], said["approved-until"]) == (0, "bob,alice", LATER)


async def test_one_who_comes_in_between_as_oneself_is_refused(captains: Captains, meanwhile: Meanwhile) -> None:
    async def alice() -> None:
        await captains.annotate(approved=REVISION, approved_by="alice", approved_until=LATER)

    meanwhile(alice)
    code, _, err = await captains.approve()
    assert (code, "alice has approved" in err) == (1, True)
    assert (await captains.annotations())["approved-until"] == LATER
