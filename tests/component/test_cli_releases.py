"""``status`` of releases on their way, and ``timeline``: both by what the objects say, whether or not a daemon runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests import builders
from tests.commands import read
from tests.component.captains import REVISION, Captains, ago, at_ten_percent, captains, cluster, rolled_back
from tests.running import eventually, running
from tests.scene import CANARIES

__all__ = ["captains", "cluster"]

ENTRIES = [
    {"at": "2026-11-23T07:00:00Z", "kind": "phase", "key": "run 1", "text": "analysis began"},
    {"at": "2026-11-23T10:01:00Z", "kind": "hook", "key": "soaking", "text": "confirm-traffic-increase: soaking",
     "count": 12, "last": "2026-11-23T10:31:05Z"},
    {"at": "2026-11-23T23:59:59Z", "kind": "act", "key": "paused", "text": "paused by alice:\n\u202elunch", "count": 2,
     "last": "2026-11-24T00:00:01Z"},
]  # fmt: skip


async def a_story(captains: Captains) -> None:
    """A revision before the one that is under analysis, and one that is not named yet."""
    await captains.record(
        "podinfo-0", template="t0", revision="before", phase="Promoted", began="2026-11-23T06:00:00Z", run=2,
        promotedAt="2026-11-23T23:59:59Z", timeline=ENTRIES, dropped=7,
    )  # fmt: skip
    await captains.record("podinfo-z", template="t2", revision="", phase="Pending", run=0, began=ago())


def without_ages(lines: list[str]) -> list[str]:
    return [line.split("Pending")[0] for line in lines]


# -- timeline


async def test_a_timeline_has_the_newest_revision_last_and_times_in_utc(captains: Captains) -> None:
    await a_story(captains)
    code, out, err = await captains.run("timeline")
    blocks = [block.splitlines() for block in out.split("\n\n")]
    assert (code, err) == (0, "")
    began = "began 2026-11-23 06:00:00Z"
    assert blocks[0] == [
        f"revision before  Promoted, {began}, promoted 2026-11-23 23:59:59Z, analysed for the 2. time  (podinfo-0)",
        "  image registry.example:5000/podinfo:v2",
        "  (7 older lines did not fit)",
        "  2026-11-23 07:00:00Z  phase  analysis began",
        "  2026-11-23 10:01:00Z  hook   confirm-traffic-increase: soaking  x12 until 10:31:05",
        "  2026-11-23 23:59:59Z  act    paused by alice: lunch  x2 until 2026-11-24 00:00:01",
    ]
    assert blocks[1] == [
        f"revision {REVISION}  Analysing, began 2026-11-23 07:00:00Z  (podinfo-a)",
        "  image registry.example:5000/podinfo:v2 sha256:ab12",
        "  no line yet",
    ]
    assert [without_ages(block)[0] for block in blocks[2:]] == ["revision (no name yet)  "]


@pytest.mark.parametrize("output", ["json", "yaml"])
async def test_a_timeline_is_read_by_scripts_newest_first(output: str, captains: Captains) -> None:
    await a_story(captains)
    _, out, _ = await captains.run("timeline", "-o", output)
    document = read(output, out)
    assert (document["namespace"], document["name"]) == (captains.scene.namespace, "podinfo")
    assert [one["revision"] for one in document["revisions"]] == [None, REVISION, "before"]
    counted = document["revisions"][2]["timeline"][1]
    assert (counted["count"], counted["last"]) == (12, "2026-11-23T10:31:05+00:00")


async def test_a_timeline_of_one_revision(captains: Captains) -> None:
    await a_story(captains)
    code, out, _ = await captains.run("timeline", "--revision", "before")
    assert (code, out.startswith("revision before"), REVISION in out) == (0, True, False)
    code, out, err = await captains.run("timeline", "--revision", "none")
    nothing = f"nothing is recorded of revision none of canary podinfo in namespace {captains.scene.namespace}"
    assert (code, out, err) == (1, "", f"pullback: {nothing}\n")


async def test_a_timeline_needs_the_records_only(captains: Captains) -> None:
    await captains.scene.delete(CANARIES, "podinfo")
    code, out, _ = await captains.run("timeline")
    assert (code, REVISION in out) == (0, True)


async def test_a_timeline_is_of_the_canary_that_is_named(captains: Captains) -> None:
    code, _, err = await captains.pullback("timeline", "podinf", "-n", captains.scene.namespace)
    assert (code, "nothing is recorded of canary podinf in" in err) == (1, True)


# -- status


def block(out: str, head: str) -> dict[str, str]:
    """One release: what is said, by its name. What continues a line is under ``name+``."""
    found = next(part for part in out.split("\n\n") if part.startswith(head))
    said: dict[str, str] = {}
    name = ""
    for line in found.splitlines()[1:]:
        given, _, words = line.strip().partition("  ") if line[2] != " " else (f"{name}+", "", line.strip())
        name = given.rstrip("+")
        said[given] = words.strip()
    return said


async def test_a_release_on_its_way_is_shown_with_all_that_holds_it(captains: Captains) -> None:
    await captains.scene.merge(CANARIES, "podinfo", {"metadata": {"annotations": {
        "paused-by.pullback.dev/a790beef2dcf050a": f"{REVISION} 2026-11-26T10:31:05Z HighLatency",
    }}})  # fmt: skip
    await captains.annotate(
        paused="true", paused_by="alice", paused_reason="lunch", approved=REVISION, approved_by="bob,eve",
        approved_until="2099-01-01T00:00:00Z", approved_reason="bob: fine", advance_to="5", advance_by="alice",
        advance_revision=REVISION,
    )  # fmt: skip
    shop = captains.scene.namespace
    code, out, err = await captains.run("status")
    lines = [line.split() for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert lines[:2] == [
        ["NAMESPACE", "CANARY", "DRIVER", "PHASE", "REVISION", "WEIGHT%", "STAGE", "SOAK-LEFT", "TRAFFIC-INCREASE",
         "ROLLBACK"],
        [shop, "podinfo", "Flagger", "Progressing", REVISION, "10", "5%", "20", "min", "paused", "-"],
    ]  # fmt: skip
    said = block(out, f"{shop}/podinfo  revision {REVISION}  Progressing at 10%")
    assert said["stage"].endswith(", soak 30 min, 20 min of its soak left")
    assert said["paused"] == "by alice: lunch"
    assert said["alerts"] == "HighLatency since 2026-11-26 10:31:05Z"
    assert said["advance"] == f"soaks up to 5% of revision {REVISION} skipped by alice"
    assert said["approval"] == f"revision {REVISION} by bob, eve until 2099-01-01 00:00:00Z (bob: fine)"
    assert said["confirm-traffic-increase"] == "no, paused: paused by alice: lunch"
    assert said["confirm-promotion"] == "no, paused: paused by alice: lunch"
    assert said["rollback"] == f"no, no-rollback: no rollback of revision {REVISION} is in force"


def answered(*, opened: bool, reason: str) -> dict[str, Any]:
    return {"hook": "confirm-traffic-increase", "opened": opened, "reason": reason, "detail": "as it was then",
            "at": "2026-11-26T10:00:00Z"}  # fmt: skip


@pytest.mark.parametrize(
    ("last", "told"),
    [
        (answered(opened=False, reason="soaking"), None),
        (answered(opened=False, reason="paused"),
         "was answered no, paused: as it was then (since 2026-11-26 10:00:00Z)"),
        (answered(opened=True, reason="open"), "was answered yes, open: as it was then (since 2026-11-26 10:00:00Z)"),
    ],
    ids=["the same", "another reason", "another answer"],
)  # fmt: skip
async def test_what_was_answered_is_told_where_it_is_something_else(
    last: dict[str, Any], told: str | None, captains: Captains
) -> None:
    await captains.scene.delete("/apis/pullback.dev/v1alpha1/namespaces/{}/canaryrevisions", "podinfo-a")
    await captains.record(**at_ten_percent(gates=[last]))
    shop = captains.scene.namespace
    _, out, _ = await captains.run("status", "-n", shop)
    said = block(out, f"{shop}/podinfo")
    assert said["confirm-traffic-increase"].startswith("no, soaking: 10% for 10 min of 30 min")
    assert said.get("confirm-traffic-increase+") == told


async def test_status_of_one_canary(captains: Captains) -> None:
    await captains.scene.add_canary("other", phase="Succeeded", weight=0)
    await rolled_back(captains)
    code, out, _ = await captains.run("status", "-o", "json")
    document = json.loads(out)
    assert code == 0
    assert [one["name"] for one in document["canaries"]] == ["podinfo"]
    assert [one["name"] for one in document["rollbacks"]] == [f"podinfo-{REVISION}"]
    assert document["canaries"][0]["rollback"] == f"podinfo-{REVISION}"
    code, out, _ = await captains.pullback("status", "-n", captains.scene.namespace, "-o", "json")
    assert [one["name"] for one in json.loads(out)["canaries"]] == ["other", "podinfo"]


async def test_status_of_a_canary_that_is_not_there_is_exit_1(captains: Captains) -> None:
    shop = captains.scene.namespace
    expected = f"pullback: no canary nobody in namespace {shop}\n"
    assert await captains.pullback("status", "nobody", "-n", shop) == (1, "", expected)
    assert await captains.pullback("status", "nobody") == (1, "", "pullback: no canary nobody in any namespace\n")


async def test_a_canary_that_is_not_on_its_way_is_a_line_and_no_more(captains: Captains) -> None:
    await captains.scene.set_status(phase="Succeeded")
    shop = captains.scene.namespace
    _, out, _ = await captains.run("status")
    assert [part.split()[0] for part in out.split("\n\n")] == ["NAMESPACE", "no", "every"]
    assert f"\n{shop}/podinfo" not in out


# -- with a daemon


async def test_what_people_said_reaches_the_daemon_and_its_timeline(captains: Captains, tmp_path: Path) -> None:
    """Approved on the command line, opened by the daemon, told by the command line."""
    shop = captains.scene.namespace
    policy: builders.Json = {"stages": [], "promotion": {"approval": "required", "approvals": 2}}
    captains.configure(approvals=2)
    async with running(captains.cluster, tmp_path, policy=policy) as daemon:

        async def asked() -> tuple[int, str]:
            return await daemon.hook("confirm-promotion", builders.hook(shop))

        await captains.run("promote", "--weight", "25")
        await captains.approve()
        status, line = await eventually(lambda: said(asked, "1 of 2 people have approved (alice)"))
        assert status == 403, line
        await captains.approve(who="bob")
        status, line = await eventually(lambda: said(asked, "approved by alice, bob"))
        assert status == 200, line

        async def told() -> str:
            return (await captains.run("timeline"))[1]

        await eventually(lambda: contains(told, "approved by alice, bob until"))
        lines = (await told()).splitlines()
        assert any(line.endswith("soaks up to 25% skipped by alice") for line in lines)


async def said(asked: Any, words: str) -> tuple[int, str] | None:
    status, line = await asked()
    return (status, line) if words in line else None


async def contains(told: Any, words: str) -> bool:
    return words in await told()
