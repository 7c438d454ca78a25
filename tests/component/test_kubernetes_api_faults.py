"""What only the embedded API can do: misbehave on demand, forget, fall silent, and tell what it was asked."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from daemon.sandbox.kubernetes_api import Fault, KubernetesApi
from tests.cluster import CRDS, ROOT
from tests.kubernetes_calls import (
    JSON_PATCH,
    MERGE,
    SOON,
    Json,
    assert_status,
    call,
    made,
    patched,
    read_events,
    rollback,
    route,
    vs_path,
    weights_of,
)

PATH = vs_path("test", "app")
ZERO = [{"op": "replace", "path": "/spec/http/0/route/1/weight", "value": 0}]


@pytest.fixture
async def http(emulator: KubernetesApi) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(emulator.url) as raw:
        await made(raw, vs_path("test"), route("app"))
        yield raw


async def revision(http: aiohttp.ClientSession) -> str:
    return str((await call(http, "GET", vs_path("test")))[1]["metadata"]["resourceVersion"])


class TestRefusing:
    @pytest.mark.parametrize(
        ("code", "reason"),
        [
            (403, "Forbidden"),
            (409, "Conflict"),
            (429, "TooManyRequests"),
            (500, "InternalError"),
            (503, "ServiceUnavailable"),
        ],
    )
    async def test_once_then_never_again(
        self, emulator: KubernetesApi, http: aiohttp.ClientSession, code: int, reason: str
    ) -> None:
        fault = emulator.faults.fail(code, "not now", verb="patch", resource="virtualservices", name="app")
        assert (await call(http, "GET", PATH))[0] == 200
        refusal = assert_status(await call(http, "PATCH", PATH, ZERO, JSON_PATCH), code, reason)
        assert refusal["message"] == "not now"
        assert weights_of(await patched(http, PATH, ZERO)) == [90, 0]
        assert (fault.seen, fault.hits) == (1, 1)

    async def test_says_when_to_come_again(self, emulator: KubernetesApi, http: aiohttp.ClientSession) -> None:
        emulator.faults.fail(429, verb="list", retry_after=2)
        async with http.get(vs_path("test")) as response:
            assert (response.status, response.headers["Retry-After"]) == (429, "2")
            assert (await response.json())["details"]["retryAfterSeconds"] == 2

    async def test_counts_and_matches(self, emulator: KubernetesApi, http: aiohttp.ClientSession) -> None:
        fault = emulator.faults.fail(500, resource="virtualservices.networking.istio.io", after=1, times=2)
        assert [(await call(http, "GET", PATH))[0] for _ in range(4)] == [200, 500, 500, 200]
        emulator.faults.add(Fault("status", code=503, subresource="status", times=None))
        told = {"status": {"x": "y"}}
        assert (await call(http, "PATCH", PATH, told, MERGE))[0] == 200
        assert [(await call(http, "PATCH", f"{PATH}/status", told, MERGE))[0] for _ in range(3)] == [503] * 3
        emulator.faults.clear()
        assert (await call(http, "PATCH", f"{PATH}/status", told, MERGE))[0] == 200
        assert fault.hits == 2
        with pytest.raises(ValueError, match="unknown action"):
            Fault("explode")  # type: ignore[arg-type]

    async def test_a_missing_role(self, emulator: KubernetesApi, http: aiohttp.ClientSession) -> None:
        emulator.faults.fail(403, verb="patch", resource="virtualservices", times=None)
        asked = {"verb": "patch", "resource": "virtualservices", "group": "networking.istio.io"}
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"

        async def allowed(verb: str) -> bool:
            body = {"spec": {"resourceAttributes": {**asked, "verb": verb}}}
            answer = (await call(http, "POST", path, body))[1]
            return bool(answer["status"]["allowed"])

        assert [await allowed("patch"), await allowed("get")] == [False, True]


class TestCutting:
    async def test_a_lost_response_was_still_a_write(
        self, emulator: KubernetesApi, http: aiohttp.ClientSession
    ) -> None:
        emulator.faults.lose_response(verb="patch")
        with pytest.raises(aiohttp.ClientError):
            await call(http, "PATCH", PATH, ZERO, JSON_PATCH)
        assert weights_of((await call(http, "GET", PATH))[1]) == [90, 0]

    async def test_a_reset_did_nothing(self, emulator: KubernetesApi, http: aiohttp.ClientSession) -> None:
        emulator.faults.reset(verb="patch")
        with pytest.raises(aiohttp.ClientError):
            await call(http, "PATCH", PATH, ZERO, JSON_PATCH)
        assert weights_of((await call(http, "GET", PATH))[1]) == [90, 10]

    async def test_a_black_hole_swallows_until_it_is_cut(
        self, emulator: KubernetesApi, http: aiohttp.ClientSession
    ) -> None:
        emulator.faults.hang(verb="patch", times=None)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await call(http, "PATCH", PATH, ZERO, JSON_PATCH)
        hanging = asyncio.create_task(call(http, "PATCH", PATH, ZERO, JSON_PATCH))
        await asyncio.sleep(0.05)
        assert not hanging.done()
        emulator.faults.clear()
        with pytest.raises(aiohttp.ClientError):
            await hanging
        assert weights_of(await patched(http, PATH, ZERO)) == [90, 0]

    async def test_slow_is_late_but_right(self, emulator: KubernetesApi, http: aiohttp.ClientSession) -> None:
        emulator.faults.slow(0.1, verb="patch")
        started = time.monotonic()
        assert weights_of(await patched(http, PATH, ZERO)) == [90, 0]
        assert 0.09 < time.monotonic() - started < 2

    async def test_stopping_waits_for_nobody(self) -> None:
        before = len(asyncio.all_tasks())
        api = KubernetesApi(CRDS, ["test"])
        await api.start()
        async with aiohttp.ClientSession(api.url) as http:
            api.faults.hang(verb="get")
            api.faults.slow(60, verb="delete")
            tasks = [asyncio.create_task(call(http, verb, PATH)) for verb in ("GET", "DELETE")]
            async with http.get(f"{vs_path('test')}?watch=1") as watching:
                await asyncio.sleep(0.05)
                api.faults.freeze_watches(new_too=True)
                started = time.monotonic()
                await api.stop()
                assert time.monotonic() - started < 2
                with pytest.raises(aiohttp.ClientError):
                    await watching.content.read()
            await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == before
        with pytest.raises(OSError, match=r"refused|Connect"):
            await asyncio.open_connection("127.0.0.1", api.port)


class TestBeyond:
    async def test_every_call_is_recorded(self, emulator: KubernetesApi, http: aiohttp.ClientSession) -> None:
        emulator.requests.clear()
        await patched(http, PATH, ZERO)
        await call(http, "GET", vs_path("test", "nope"))
        (write,) = emulator.requests.matching(verb="patch", resource="virtualservices", name="app")
        assert (write.method, write.namespace, write.status, write.subresource) == ("PATCH", "test", 200, "")
        assert write.user_agent.startswith("Python/")
        assert 0 <= write.seconds < 1
        assert 0 <= asyncio.get_running_loop().time() - write.started < SOON
        assert [c.status for c in emulator.requests.matching(verb="get")] == [404]

    async def test_tokens_say_who(self, tmp_path: Path) -> None:
        async with (
            KubernetesApi(CRDS, ["test"], tokens={"t1": "alice", "t2": "bob"}) as api,
            aiohttp.ClientSession(api.url) as http,
        ):
            assert_status(await call(http, "GET", vs_path("test")), 401, "Unauthorized")
            assert "t2" in api.kubeconfig(tmp_path / "kubeconfig", user="bob").read_text()
            http.headers["Authorization"] = "Bearer t2"
            path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
            _, answer = await call(http, "POST", path, {})
            assert answer["status"]["userInfo"]["username"] == "bob"
            assert api.requests.matching(user="bob")

    async def test_dependents_follow_their_owner(self, emulator: KubernetesApi, http: aiohttp.ClientSession) -> None:
        path = "/api/v1/namespaces/test/configmaps"
        uids = [
            (await made(http, path, {"metadata": {"name": name}}))["metadata"]["uid"] for name in ("owner", "other")
        ]
        owners = [
            {"apiVersion": "v1", "kind": "ConfigMap", "name": n, "uid": u}
            for n, u in zip(("owner", "other"), uids, strict=True)
        ]
        await made(http, path, {"metadata": {"name": "child", "ownerReferences": owners[:1]}})
        await made(http, path, {"metadata": {"name": "shared", "ownerReferences": owners}})
        await call(http, "DELETE", f"{path}/owner")
        async with asyncio.timeout(SOON):
            while emulator.read("configmaps", "child", "test"):  # noqa: ASYNC110 - a collector tells nobody
                await asyncio.sleep(0.01)
        shared = emulator.read("configmaps", "shared", "test")
        assert shared is not None
        assert [o["name"] for o in shared["metadata"]["ownerReferences"]] == ["other"]

    async def test_objects_by_hand(self, emulator: KubernetesApi) -> None:
        body = rollback("r")
        body["metadata"]["namespace"] = "test"
        value = emulator.create({**body, "status": {"phase": "Zeroed"}})
        assert value["status"] == {"phase": "Zeroed"}
        emulator.patch("rollbacks", "r", "test", {"status": {"phase": "Proved"}}, subresource="status")
        assert [o["status"]["phase"] for o in emulator.list("rollbacks", "test")] == ["Proved"]
        emulator.delete("rollbacks", "r", "test")
        assert emulator.read("rollbacks.pullback.dev", "r", "test") is None
        with pytest.raises(LookupError):
            emulator.list("nope")

    async def test_server_side_apply_is_refused_clearly(self, http: aiohttp.ClientSession) -> None:
        answer = await call(http, "PATCH", PATH, route("app"), "application/apply-patch+yaml")
        assert "server-side apply" in assert_status(answer, 415, "UnsupportedMediaType")["message"]

    async def test_ten_thousand_objects(self, emulator: KubernetesApi, http: aiohttp.ClientSession) -> None:
        for number in range(10_000):
            emulator.create(route(f"n{number}", namespace="test"))
        started = time.monotonic()
        async with http.get(vs_path("test")) as response:
            body = await response.read()
        listed = time.monotonic() - started
        started = time.monotonic()
        for number in range(200):
            await patched(http, PATH, [{**ZERO[0], "value": number + 11}])
        per_patch = (time.monotonic() - started) / 200
        assert len(json.loads(body)["items"]) == 10_001
        # Far above what it takes (20 ms, 0.5 ms): this catches a change of order, not a busy machine.
        assert (listed < 1, per_patch < 0.01) == (True, True)


class TestOwnProcess:
    @pytest.fixture
    async def process(self, tmp_path: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
        crds = [str(c) for c in CRDS]
        flags = ["--kubeconfig", str(tmp_path / "kubeconfig"), "--namespace", "test", "--crds", *crds]
        started = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "daemon.sandbox.kubernetes_api",
            *flags,
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        assert started.stdout is not None
        try:
            async with asyncio.timeout(20):
                url = (await started.stdout.readline()).decode().strip()
            yield started, url
        finally:
            if started.returncode is None:
                started.kill()
            await started.communicate()

    async def test_is_ruled_over_http(self, process: tuple[asyncio.subprocess.Process, str], tmp_path: Path) -> None:
        started, url = process
        assert url in (tmp_path / "kubeconfig").read_text()
        async with aiohttp.ClientSession(url) as http:
            await made(http, vs_path("test"), route("app"))
            rule: Json = {"action": "status", "code": 503, "verb": "patch", "times": None}
            assert (await call(http, "POST", "/sandbox/faults", rule))[0] == 201
            assert (await call(http, "PATCH", PATH, ZERO, JSON_PATCH))[0] == 503
            assert (await call(http, "GET", "/sandbox/faults"))[1][0]["hits"] == 1
            assert (await call(http, "DELETE", "/sandbox/faults"))[0] == 200
            assert weights_of(await patched(http, PATH, ZERO)) == [90, 0]
            _, calls = await call(http, "GET", "/sandbox/requests?verb=patch")
            assert [c["status"] for c in calls] == [503, 200]
            assert (await call(http, "POST", "/sandbox/faults", {"action": "explode"}))[0] == 400
            assert (await call(http, "POST", "/sandbox/faults", {"nope": 1}))[0] == 400
            assert (await call(http, "GET", "/sandbox/nope"))[0] == 404
            await self._disturbs_watches(http)
        started.send_signal(signal.SIGTERM)
        async with asyncio.timeout(SOON):
            assert await started.wait() == 0

    async def _disturbs_watches(self, http: aiohttp.ClientSession) -> None:
        async with http.get(f"{vs_path('test')}?watch=1") as response:
            await read_events(response, 1)
            for action in ("freeze", "thaw", "cut"):
                answer = await call(http, "POST", "/sandbox/watches", {"action": action})
                assert answer == (200, {"watches": 1})
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.content.read()
        assert (await call(http, "POST", "/sandbox/watches", {"action": "nope"}))[0] == 400
        assert (await call(http, "POST", "/sandbox/compact"))[0] == 200
