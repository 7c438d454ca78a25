"""What became of past rollbacks: over HTTP, and by the commands."""

from __future__ import annotations

import asyncio
import datetime
import json
from pathlib import Path
from typing import Any

import pytest

from daemon.cli.main import main
from tests.builders import Json
from tests.cluster import Cluster
from tests.running import running
from tests.scene import ROLLBACKS, Scene


def ago(**time: float) -> str:
    moment = datetime.datetime.now(datetime.UTC).replace(microsecond=0) - datetime.timedelta(**time)
    return moment.isoformat().replace("+00:00", "Z")


def status(phase: str, received: str, **more: Any) -> Json:
    return {"phase": phase, "startedAt": received, "revision": "7b8cb8dc5d", "secondsToZero": 0.02, **more}


def due(channel: str, *words: str, **more: Any) -> Json:
    return {"channel": channel, "dedupKey": f"k-{channel}", "due": list(words), "attempts": 3, **more}


LONG, LATELY, NOW = ago(days=9), ago(hours=5), ago(minutes=2)
PAST: dict[str, tuple[Json, Json]] = {
    "a-checkout": ({"canaryRef": {"name": "checkout"}, "reason": "alert-fires: Slow", "trigger": "Alert"},
                   status("Completed", LONG, completedAt=LONG, notices=[due("team", said=["decided"])])),
    "b-checkout": ({"canaryRef": {"name": "checkout"}, "reason": "checkout fails", "trigger": "Operator",
                    "requestedBy": "ada"},
                   status("Failed", LATELY, completedAt=LATELY, evidence={
                       "configMap": "b-checkout-evidence", "keptAt": LATELY, "pods": 2},
                       cleanup={"state": "Kept", "at": LATELY, "detail": "policy"})),
    "c-till": ({"canaryRef": {"name": "till"}, "reason": "alert-fires: Errors", "trigger": "Alert"},
               status("Completed", NOW, completedAt=NOW, holds=4, notices=[
                   due("pager", "decided", "completed", problem="HTTP 503"),
                   due("team", refused=["zeroed"], refusedAt=NOW, problem="channel_not_found"),
                   due("machine", said=["decided", "completed"])])),
}  # fmt: skip


@pytest.fixture
async def past(scene: Scene) -> Scene:
    """Three rollbacks that are over: two of one canary, one of another."""
    for name, (spec, written) in PAST.items():
        head = {"apiVersion": "pullback.dev/v1alpha1", "kind": "Rollback", "metadata": {"name": name}}
        await scene.create(ROLLBACKS, {**head, "spec": {"revision": "7b8cb8dc5d"} | spec})
        await scene.merge(ROLLBACKS, f"{name}/status", {"status": written})
    return scene


# Never pruned while a test reads them.
KEPT: Any = {"prune_every": 600, "keep_for": 365 * 86400}


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({}, ["c-till", "b-checkout", "a-checkout"]),
        ({"canary": "checkout"}, ["b-checkout", "a-checkout"]),
        ({"canary": "checkout", "limit": "1"}, ["b-checkout"]),
        ({"limit": "2"}, ["c-till", "b-checkout"]),
        ({"phase": "Completed"}, ["c-till", "a-checkout"]),
        ({"phase": "Failed", "canary": "till"}, []),
        ({"trigger": "Operator"}, ["b-checkout"]),
        ({"since": LATELY}, ["c-till", "b-checkout"]),
        ({"since": LATELY.replace("Z", "+00:00")}, ["c-till", "b-checkout"]),
        ({"since": ago(days=1), "trigger": "Alert", "phase": "Completed"}, ["c-till"]),
        ({"canary": "nobody"}, []),
    ],
)
async def test_over_http_the_records_are_those_that_all_parameters_ask_for(
    query: dict[str, str], names: list[str], past: Scene, cluster: Cluster, tmp_path: Path
) -> None:
    async with running(cluster, tmp_path, records=KEPT) as daemon:
        path, asked = "/api/v1/rollbacks", {"namespace": past.namespace} | query
        async with daemon.http.get(path, params=asked) as response:
            assert response.status == 200
            found = (await response.json())["rollbacks"]
        assert [one["name"] for one in found] == names


async def test_over_http_another_namespace_has_other_rollbacks(past: Scene, cluster: Cluster, tmp_path: Path) -> None:
    async with running(cluster, tmp_path, records=KEPT) as daemon:
        async with daemon.http.get("/api/v1/rollbacks", params={"namespace": "elsewhere"}) as response:
            assert (await response.json())["rollbacks"] == []
        async with daemon.http.get("/api/v1/rollbacks") as response:
            every = (await response.json())["rollbacks"]
        assert {one["name"] for one in every if one["namespace"] == past.namespace} == set(PAST)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"phase": "Over"}, "phase: expected one of Pending, "),
        ({"trigger": "alert"}, "trigger: expected one of Alert, "),
        ({"since": "yesterday"}, "since: expected an RFC 3339 time"),
        ({"since": "2026-11-23T07:00:00"}, "since: expected an RFC 3339 time"),
        ({"limit": "0"}, "limit: expected a number from 1 "),
        ({"limit": "all"}, "limit: expected a number from 1 "),
        ({"limit": "000000001" + 5000 * "9"}, "limit: expected a number from 1 "),
        ([("limit", "1"), ("limit", "2")], "limit: given twice"),
        ({"cannary": "till"}, "cannary: no such parameter; expected some of namespace, canary"),
    ],
)
async def test_over_http_what_cannot_be_meant_is_refused_not_answered(
    query: dict[str, str] | list[tuple[str, str]], said: str, cluster: Cluster, tmp_path: Path
) -> None:
    async with running(cluster, tmp_path) as daemon, daemon.http.get("/api/v1/rollbacks", params=query) as response:
        assert response.status == 400
        assert said in (await response.json())["error"]


async def test_over_http_a_rollback_is_shown_with_what_came_after_zero(
    past: Scene, cluster: Cluster, tmp_path: Path
) -> None:
    async with running(cluster, tmp_path, records=KEPT) as daemon:
        asked = {"namespace": past.namespace, "trigger": "Operator"}
        async with daemon.http.get("/api/v1/rollbacks", params=asked) as response:
            (shown,) = (await response.json())["rollbacks"]
    assert shown["requestedBy"] == "ada"
    assert shown["evidence"]["configMap"] == "b-checkout-evidence"
    assert shown["cleanup"]["state"] == "Kept"


# -- the commands


def ran(*words: str) -> int:
    try:
        return main(words)
    except SystemExit as stopped:  # argparse
        return stopped.code if isinstance(stopped.code, int) else 1


async def pullback(cluster: Cluster, capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    capfd.readouterr()
    code = await asyncio.to_thread(ran, *words, "--kubeconfig", str(cluster.kubeconfig))
    return code, capfd.readouterr().out


def mine(out: str, scene: Scene) -> list[list[str]]:
    """Rows of this namespace, cut where two spaces are."""
    rows = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in out.splitlines()]
    return [row for row in rows if any(cell.startswith(f"{scene.namespace}/") for cell in row)]


async def test_history_shows_people_what_was_rolled_back_newest_first(
    past: Scene, cluster: Cluster, capfd: pytest.CaptureFixture[str]
) -> None:
    code, out = await pullback(cluster, capfd, "history")
    assert code == 0
    assert out.split()[:4] == ["RECEIVED", "(UTC)", "CANARY", "REVISION"]
    rows = mine(out, past)
    assert [row[1] for row in rows] == [f"{past.namespace}/{name}" for name in ("till", "checkout", "checkout")]
    assert [row[0] for row in rows] == [when[:19].replace("T", " ") for when in (NOW, LATELY, LONG)]
    by_hand = rows[1]
    assert {"checkout fails", "ada", "Failed", "Kept", "b-checkout-evidence"} <= set(by_hand)
    assert "4" in rows[0], "how often it was raised again"


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ([], ["c-till", "b-checkout", "a-checkout"]),
        (["--limit", "1"], ["c-till"]),
        (["--phase", "Completed"], ["c-till", "a-checkout"]),
        (["--trigger", "Operator"], ["b-checkout"]),
    ],
)
async def test_history_is_asked_for_by_what_is_given(
    words: list[str], names: list[str], past: Scene, cluster: Cluster, capfd: pytest.CaptureFixture[str]
) -> None:
    code, out = await pullback(cluster, capfd, "history", "-n", past.namespace, "-o", "json", *words)
    assert code == 0
    assert [one["name"] for one in json.loads(out)["rollbacks"]] == names


async def test_history_of_nothing_says_so(scene: Scene, cluster: Cluster, capfd: pytest.CaptureFixture[str]) -> None:
    code, out = await pullback(cluster, capfd, "history", "-n", scene.namespace)
    assert (code, out.strip()) == (0, "no rollbacks")


async def test_status_shows_what_is_undelivered_and_why(
    past: Scene, cluster: Cluster, capfd: pytest.CaptureFixture[str]
) -> None:
    code, out = await pullback(cluster, capfd, "status")
    assert code == 0
    *_, untold = out.strip().split("\n\n")
    assert untold.split()[:3] == ["ROLLBACK", "CHANNEL", "UNDELIVERED"]
    rows = {row[1]: row for row in mine(untold, past)}
    assert set(rows) == {"pager", "team"}, "what was delivered is not listed"
    assert rows["pager"][0] == rows["team"][0] == f"{past.namespace}/c-till"
    assert rows["pager"][2] == "decided, completed"
    assert {"3", "HTTP 503"} <= set(rows["pager"])
    assert rows["team"][2] == "zeroed"
    assert {"3", "channel_not_found"} <= set(rows["team"])


async def test_status_says_when_everybody_was_told(
    scene: Scene, cluster: Cluster, capfd: pytest.CaptureFixture[str]
) -> None:
    if cluster.emulator is None:
        pytest.skip("a real cluster is shared")
    await scene.add_canary(weight=25)
    code, out = await pullback(cluster, capfd, "status")
    assert (code, out.strip().splitlines()[-1]) == (0, "every notice is delivered")
