"""The stand-in's hook calls: what is sent, byte for byte, and what counts as a yes."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from daemon.sandbox.flagger import Timeline
from daemon.sandbox.flagger.canary import Canary, fingerprint, seconds
from daemon.sandbox.flagger.hooks import HookRefusedError, Hooks, encoded, event_payload, payload
from tests.cluster import Cluster
from tests.component.flagger_lab import Stub, hook_server, laboratory
from tests.component.flagger_stories import STORIES, Story, canary_body

RECORDED = [line.split("\t") for line in (STORIES / "payloads.tsv").read_text().splitlines()]
STAMP = datetime.fromtimestamp(1795414765.819, UTC)


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    async with hook_server() as server:
        yield server


@pytest.fixture
async def hooks() -> AsyncIterator[Hooks]:
    calls = Hooks(Timeline(), second=0.01, now=lambda: STAMP, leave_idle=False)
    yield calls
    await calls.close()


def a_canary(phase: str = "Progressing") -> Canary:
    status = {"phase": phase, "trackedConfigs": {}, "lastAppliedSpec": "7b8cb8dc5d"}
    return Canary({**canary_body("test", "http://hooks", {}), "status": status})


def a_hook(url: str, **options: Any) -> dict[str, Any]:
    return {"name": "hook", "type": "rollback", "url": url, **options}


@pytest.mark.parametrize(("kind", "recorded"), RECORDED)
def test_sends_the_recorded_bytes(kind: str, recorded: str) -> None:
    said = json.loads(recorded)
    canary = a_canary(said["phase"])
    if kind == "event":
        about = said["metadata"]
        body = event_payload(canary, {}, about["eventMessage"], about["eventType"], STAMP)
    else:
        body = payload(canary, said["phase"], {"who": "lab"})
    assert encoded(body).decode() == recorded.replace("CHECKSUM", canary.checksum)


def test_an_event_keeps_its_own_metadata() -> None:
    body = event_payload(a_canary(), {"metadata": {"eventType": "mine", "who": "lab"}}, "text", "Normal", STAMP)
    assert list(body["metadata"]) == ["eventMessage", "eventType", "timestamp", "who"]
    assert body["metadata"]["eventType"] == "Normal"


def test_fingerprints_look_like_flaggers() -> None:
    seen = {fingerprint({"image": f"podinfo:{tag}"}) for tag in range(200)}
    assert len(seen) == 200
    assert all(set(one) <= set("456789bcdf") and len(one) <= 10 for one in seen)
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})


@pytest.mark.parametrize(
    ("text", "expected"),
    [("10s", 10), ("1m30s", 90), ("1.5h", 5400), ("500ms", 0.5), ("10", None), ("", None)],
)
def test_reads_go_durations(text: str, expected: float | None) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(("said", "expected"), [({}, 60), ("1s", 10), ("soon", 60), ("2m", 120)])
def test_interval_has_a_default_and_a_floor(said: Any, expected: float) -> None:
    analysis = {"interval": said} if isinstance(said, str) else said
    assert Canary({"spec": {"analysis": analysis}}).interval == expected


async def test_a_call_looks_like_go(hooks: Hooks, stub: Stub) -> None:
    stub.answers["rollback"] = 200
    await hooks.ask(a_canary(), a_hook(f"{stub.url}/podinfo/rollback"), "Progressing")
    [(_, _, headers)] = stub.received
    assert headers.pop("Host") == stub.url.removeprefix("http://")
    assert int(headers.pop("Content-Length")) > 0
    assert headers == {
        "User-Agent": "Go-http-client/1.1",
        "Content-Type": "application/json",
        "Accept-Encoding": "gzip",
    }


async def test_userinfo_becomes_basic_credentials(hooks: Hooks, stub: Stub) -> None:
    stub.answers["rollback"] = 200
    url = stub.url.replace("http://", "http://flagger:s3cret@")
    await hooks.ask(a_canary(), a_hook(f"{url}/rollback"), "Progressing")
    expected = base64.b64encode(b"flagger:s3cret").decode()
    assert stub.received[0][2]["Authorization"] == f"Basic {expected}"


@pytest.mark.parametrize("status", [200, 201, 202])
async def test_a_yes(hooks: Hooks, stub: Stub, status: int) -> None:
    stub.answers["rollback"] = status
    await hooks.ask(a_canary(), a_hook(f"{stub.url}/rollback"), "Progressing")


@pytest.mark.parametrize("status", [203, 204, 206, 404, 429, 500, 501, 503])
async def test_not_a_yes(hooks: Hooks, stub: Stub, status: int) -> None:
    stub.answers["rollback"] = status
    with pytest.raises(HookRefusedError):
        await hooks.ask(a_canary(), a_hook(f"{stub.url}/rollback"), "Progressing")
    assert len(stub.received) == 1


async def test_no_answer_is_no_yes(hooks: Hooks, stub: Stub) -> None:
    stub.answers["rollback"], stub.seconds["rollback"] = 200, 0.2
    with pytest.raises(HookRefusedError, match=r"giving up after 1 attempt\(s\)"):
        await hooks.ask(a_canary(), a_hook(f"{stub.url}/rollback", timeout="5s"), "Progressing")
    with pytest.raises(HookRefusedError, match=r"giving up after 1 attempt\(s\): Client"):
        await hooks.ask(a_canary(), a_hook("http://127.0.0.1:1/rollback"), "Progressing")


@pytest.mark.parametrize(("redirect", "method"), [(302, "GET"), (307, "POST")])
async def test_redirects_are_followed(hooks: Hooks, redirect: int, method: str) -> None:
    methods = []

    async def handle(request: web.BaseRequest) -> web.Response:
        methods.append(request.method)
        if request.path == "/login":
            return web.Response(text="please log in")
        return web.Response(status=redirect, headers={"Location": "/login"})

    runner = web.ServerRunner(web.Server(handle, access_log=None), shutdown_timeout=0.2)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/rollback"
        await hooks.ask(a_canary(), a_hook(url), "Progressing")
    finally:
        await runner.cleanup()
    assert methods == ["POST", method]


async def test_retries_wait_longer_each_time(hooks: Hooks, stub: Stub) -> None:
    stub.answers["rollback"] = 500
    timeline = Timeline()
    calls = Hooks(timeline, second=0.01, now=lambda: STAMP, leave_idle=False)
    with pytest.raises(HookRefusedError, match=r"giving up after 4 attempt\(s\)"):
        await calls.ask(a_canary(), a_hook(f"{stub.url}/rollback", retries=3), "Progressing")
    times = [line.at for line in timeline.lines]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert len(gaps) == 3
    assert all(gap >= wanted for gap, wanted in zip(gaps, (0.0099, 0.0199, 0.0399), strict=True))


async def test_connections_are_left_behind(cluster: Cluster, namespace: str) -> None:
    async with laboratory(cluster, namespace, leave_connections_idle=True) as lab:
        for step in Story.read("full-life").steps[:3]:
            await lab.play(step)
        assert lab.flagger.idle_connections == len(lab.stub.received) > 2


async def test_checksums_belong_to_revisions(cluster: Cluster, namespace: str) -> None:
    """Old at confirm-rollout from Initialized, new from Failed, and one per analysis in between."""
    async with laboratory(cluster, namespace, Story.read("scaled-to-zero").settings) as lab:
        await lab.replay(Story.read("scaled-to-zero"))
        bodies = [(kind, json.loads(body)) for kind, body, _ in lab.stub.received]
    initialized = next(body["checksum"] for _, body in bodies if body["phase"] == "Initialized")
    failed = next(body["checksum"] for kind, body in bodies if kind == "post-rollout")
    confirms = [body for kind, body in bodies if kind == "confirm-rollout"]
    assert [body["phase"] for body in confirms] == ["Initialized", "Failed"]
    assert confirms[0]["checksum"] == initialized
    last = bodies[-1][1]["checksum"]
    assert confirms[1]["checksum"] == last
    assert len({initialized, failed, last}) == 3
    new = [body["checksum"] for _, body in bodies if "New revision" in json.dumps(body)]
    assert new == [initialized, last]
    between = {body["checksum"] for kind, body in bodies if kind in {"rollback", "rollout", "pre-rollout"}}
    assert between == {failed, last}
