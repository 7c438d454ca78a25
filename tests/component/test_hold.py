"""After zero: whoever raises the canary again is pushed back, counted and named, whatever happens to the watch."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from daemon.sandbox.kubernetes_api import KubernetesApi
from tests import builders
from tests.cluster import CRDS, Cluster
from tests.running import Daemon, eventually, running
from tests.scene import ROLLBACKS, ROUTES, Scene

NAMESPACE = "shop"


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[tuple[Cluster, Scene, KubernetesApi]]:
    async with KubernetesApi(CRDS, [NAMESPACE]) as api, aiohttp.ClientSession(api.url) as http:
        scene = Scene(http, NAMESPACE)
        await scene.add_canary(weight=25)
        yield Cluster(api.kubeconfig(tmp_path / "kubeconfig"), api.url, api), scene, api


async def roll_back(daemon: Daemon, scene: Scene) -> builders.Json:
    status, answer = await daemon.alert(builders.webhook(builders.alert(scene.namespace)))
    assert status == 200, answer
    return await scene.record("Proved")


async def back_at_zero(scene: Scene, *, within: float = 5.0) -> None:
    async def zero() -> bool:
        return await scene.weights() == [100, 0]

    await eventually(zero, within=within)


class Meter:
    """Watches the VirtualService and adds up how long it gave the canary anything."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.above = 0.0
        self.raises = 0

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        path = ROUTES.format(self._scene.namespace)
        raised_at: float | None = None
        async with self._scene.http.get(path, params={"watch": "true"}) as stream:
            async for line in stream.content:
                weight = json.loads(line)["object"]["spec"]["http"][0]["route"][1]["weight"]
                now = loop.time()
                if raised_at is not None:
                    self.above += now - raised_at
                self.raises += weight > 0
                raised_at = now if weight > 0 else None


@pytest.mark.alone
@pytest.mark.no_cover  # tracing every line takes longer than the lines do
async def test_a_writer_that_raises_ten_times_a_second_holds_the_canary_above_zero_for_under_a_tenth(
    cluster: Cluster, scene: Scene, tmp_path: Path, capsys: Any
) -> None:
    seconds = 10.0
    await scene.add_canary(weight=25)
    async with running(cluster, tmp_path) as daemon:
        await roll_back(daemon, scene)
        meter = Meter(scene)
        watching = asyncio.create_task(meter.run())
        loop = asyncio.get_running_loop()
        began = loop.time()
        while loop.time() - began < seconds:
            await scene.set_weight(25, manager="a-fighter")
            await asyncio.sleep(0.1)
        await back_at_zero(scene)
        took = loop.time() - began
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        _, metrics = await daemon.get("/metrics")
    share = meter.above / took
    with capsys.disabled():
        print(f"\nraised {meter.raises} times in {took:.1f} s; above 0 for {share:.2%} of the time")

    assert meter.raises > 50
    assert share < 0.10
    held = next(line for line in metrics.splitlines() if line.startswith("pullback_holds_total"))
    assert float(held.split()[1]) == meter.raises


async def test_a_new_route_to_the_canary_is_taken_down_too(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    await scene.add_canary(weight=25)
    async with running(cluster, tmp_path) as daemon:
        await roll_back(daemon, scene)
        second = builders.virtual_service(scene.namespace, "podinfo", canary_weight=100)
        second["metadata"]["name"] = "podinfo-opt-in"
        await scene.create(ROUTES, second)

        async def zero() -> bool:
            route = await scene.get(ROUTES, "podinfo-opt-in")
            return [one["weight"] for one in route["spec"]["http"][0]["route"]] == [100, 0]

        await eventually(zero)


async def test_an_object_rewritten_as_a_whole_is_taken_down_again(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await scene.add_canary(weight=25)
    async with running(cluster, tmp_path) as daemon:
        await roll_back(daemon, scene)
        route = await scene.get(ROUTES, "podinfo")
        only = {"destination": {"host": "podinfo-canary", "port": {"number": 80}}}
        route["spec"]["http"] = [{"match": [{"uri": {"prefix": "/"}}], "route": [only]}]
        async with scene.http.put(f"{ROUTES.format(scene.namespace)}/podinfo", json=route) as response:
            assert response.status == 200, await response.text()

        async def re_pointed() -> bool:
            found = await scene.get(ROUTES, "podinfo")
            return bool(found["spec"]["http"][0]["route"][0]["destination"]["host"] == "podinfo-primary")

        await eventually(re_pointed)
        found = await scene.get(ROUTES, "podinfo")
        assert found["spec"]["http"][0]["route"] == [
            {"destination": {"host": "podinfo-primary", "port": {"number": 80}}}
        ]

        async def kept() -> bool:
            originals = (await scene.record())["status"].get("originals", [])
            return any(one["value"] == only["destination"] for one in originals)

        await eventually(kept)


async def test_deleting_the_record_lifts_the_hold(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    await scene.add_canary(weight=25)
    async with running(cluster, tmp_path) as daemon:
        record = await roll_back(daemon, scene)
        await scene.delete(ROLLBACKS, record["metadata"]["name"])

        async def lifted() -> bool:
            return (await daemon.hook("confirm-traffic-increase", builders.hook(scene.namespace)))[0] == 200

        await eventually(lifted)
        await scene.set_weight(30)
        await asyncio.sleep(0.7)

        assert await scene.weights() == [70, 30]


async def test_a_restarted_daemon_goes_on_holding(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    await scene.add_canary(weight=25)
    async with running(cluster, tmp_path) as daemon:
        await roll_back(daemon, scene)
    await scene.set_weight(40)
    async with running(cluster, tmp_path):
        await back_at_zero(scene)
    assert len(await scene.records()) == 1


async def test_a_silent_watch_is_found_out_by_reading_back(
    shop: tuple[Cluster, Scene, KubernetesApi], tmp_path: Path
) -> None:
    cluster, scene, api = shop
    async with running(cluster, tmp_path) as daemon:
        await roll_back(daemon, scene)
        assert api.faults.freeze_watches(new_too=True) > 0

        await scene.set_weight(40)

        await back_at_zero(scene, within=2.0)  # read_back_after is 0.5 s here
        api.faults.clear()


@pytest.mark.parametrize("fault", ["cut", "gone", "errors"])
async def test_whatever_befalls_the_watch_the_hold_goes_on(
    fault: str, shop: tuple[Cluster, Scene, KubernetesApi], tmp_path: Path
) -> None:
    cluster, scene, api = shop
    proof = {"window": 0.2, "read_back": 0.05, "read_back_after": 60}  # the watch alone must do it
    async with running(cluster, tmp_path, proof=proof) as daemon:
        await roll_back(daemon, scene)
        if fault == "gone":
            api.compact()
        if fault == "errors":
            api.faults.fail(500, verb="watch", times=5)
            api.faults.fail(500, verb="patch", resource="virtualservices", user_agent="pullback", times=5)
        if fault in {"cut", "gone", "errors"}:
            api.faults.cut_watches()
        await scene.set_weight(40)

        await back_at_zero(scene)
        api.faults.clear()


async def test_past_the_deadline_a_person_gets_a_command_that_works(
    shop: tuple[Cluster, Scene, KubernetesApi], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cluster, scene, api = shop
    api.faults.fail(500, verb="patch", resource="virtualservices", times=None)
    async with running(
        cluster, tmp_path, rollback={"deadline": 0.5}, log={"level": "error", "format": "json"}
    ) as daemon:
        status, _ = await daemon.alert(builders.webhook(builders.alert(NAMESPACE)))
        assert status == 200  # the intent is durable, though the routes are not at zero
        record = await scene.record("Escalated")
        assert "still above 0: VirtualService shop/podinfo at 25%" in record["status"]["message"]
        _, metrics = await daemon.get("/metrics")
        assert "pullback_deadline_exceeded_total 1.0" in metrics
        logged = [json.loads(line) for line in capfd.readouterr().err.splitlines() if line.startswith("{")]
        command = next(line for line in logged if line["event"] == "rollback.escalated")["break_glass"][0]
        words = shlex.split(command)
        assert words[:5] == ["kubectl", "patch", "virtualservices.networking.istio.io", "podinfo", "-n"]
        api.faults.clear()
        operations = json.loads(words[words.index("-p") + 1])
        api.patch("virtualservices", "podinfo", NAMESPACE, operations)

        assert await scene.weights() == [100, 0]
        await scene.record("Proved")  # the rollback goes on, and says so


async def test_a_write_that_is_refused_for_good_is_told_at_once(
    shop: tuple[Cluster, Scene, KubernetesApi], tmp_path: Path
) -> None:
    cluster, scene, api = shop
    denied = 'admission webhook "validation.istio.io" denied the request: configuration is invalid'
    api.faults.fail(403, denied, verb="patch", resource="virtualservices", times=None)
    async with running(cluster, tmp_path) as daemon:
        await daemon.alert(builders.webhook(builders.alert(NAMESPACE)))

        record = await scene.record("Escalated")

        assert denied in record["status"]["message"]
        assert record["status"]["conditions"][0]["reason"] == "WriteRefused"
        api.faults.clear()
        await scene.record("Proved")
        assert await scene.weights() == [100, 0]
