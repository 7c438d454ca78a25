"""GET: what the kubelet, Prometheus, people and scripts see of us, and what we read from Prometheus."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

from daemon.adapters.prometheus import PrometheusProbe
from daemon.model import errors
from daemon.model.canary import CanaryRef
from tests import builders
from tests.cluster import Cluster
from tests.running import Daemon, eventually, running
from tests.scene import Scene
from tests.unit import facts


async def listed(daemon: Daemon, path: str) -> list[Any]:
    status, text = await daemon.get(path)
    assert status == 200, text
    items: list[Any] = json.loads(text)[path.partition("?")[0].rpartition("/")[2]]
    return items


async def test_canaries_are_shown_with_phase_weight_and_what_their_gate_would_say(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await scene.add_canary(weight=10)
    async with running(cluster, tmp_path) as daemon:
        (canary,) = await listed(daemon, f"/api/v1/canaries?namespace={scene.namespace}")
        assert {key: canary[key] for key in ("name", "phase", "revision", "weight", "rollback", "paused")} == {
            "name": "podinfo", "phase": "Progressing", "revision": "7b8cb8dc5d", "weight": 10, "rollback": None,
            "paused": False,
        }  # fmt: skip
        assert canary["gates"]["confirm-traffic-increase"]["reason"] == "open"
        assert canary["routes"][0]["route"] == f"VirtualService {scene.namespace}/podinfo"

        await daemon.alert(builders.webhook(builders.alert(scene.namespace)))
        await scene.record("Proved")
        (canary,) = await listed(daemon, f"/api/v1/canaries?namespace={scene.namespace}")
        assert (canary["weight"], canary["rollback"]) == (0, "podinfo-7b8cb8dc5d")
        gate = canary["gates"]["confirm-traffic-increase"]
        assert (gate["open"], gate["reason"]) == (False, "rollback-in-force")
        assert await listed(daemon, "/api/v1/canaries?namespace=elsewhere") == []


async def test_rollbacks_are_shown_with_all_their_clocks(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    await scene.add_canary(weight=10)
    async with running(cluster, tmp_path) as daemon:
        await daemon.alert(builders.webhook(builders.alert(scene.namespace)))
        await scene.record("Proved")

        async def proved() -> Any:
            found = await listed(daemon, f"/api/v1/rollbacks?namespace={scene.namespace}")
            return found[0] if found and found[0]["phase"] == "Proved" else None

        shown = await eventually(proved)
    clocks = [shown[moment] for moment in ("onset", "received", "decided", "zeroed", "proved")]
    assert clocks == sorted(clocks)
    assert 0 <= shown["secondsToZero"] <= shown["secondsToProof"] < 10
    assert (shown["canary"], shown["trigger"], shown["completed"], shown["holds"]) == ("podinfo", "Alert", None, 0)
    assert [(one["before"], one["after"]) for one in shown["weights"]] == [(10, 0)]
    assert shown["proof"]


async def test_metrics_tell_the_rollback_and_name_no_label_of_any_alert(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await scene.add_canary(weight=10)
    async with running(cluster, tmp_path) as daemon:
        await daemon.alert(builders.webhook(builders.alert(scene.namespace, pod="evil-label-value")))
        await daemon.alert(builders.webhook(builders.alert("no-such-namespace", "no-such-canary")))
        await daemon.hook("rollback", builders.hook("no-such-namespace", "no-such-canary"))
        await scene.record("Proved")
        status, text = await daemon.get("/metrics")
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    values = {value for sample in samples for value in sample.labels.values()}

    assert status == 200
    assert not {"evil-label-value", "no-such-namespace", "no-such-canary"} & values
    weight = next(sample for sample in samples if sample.name == "pullback_canary_weight"
                  and sample.labels["namespace"] == scene.namespace)  # fmt: skip
    zeroed = next(sample for sample in samples if sample.name == "pullback_rollback_seconds_count"
                  and sample.labels["until"] == "zeroed")  # fmt: skip
    assert (weight.value, zeroed.value) == (0, 1)


async def test_health_tells_the_loops_and_readiness_the_watches(cluster: Cluster, tmp_path: Path) -> None:
    async with running(cluster, tmp_path) as daemon:
        assert await daemon.get("/healthz") == (200, "ok\n")
        assert await daemon.get("/readyz") == (200, "ok\n")


async def test_the_console_stays_shut_until_somebody_configures_it(cluster: Cluster, tmp_path: Path) -> None:
    async with (
        running(cluster, tmp_path, web={"console": {}}) as daemon,
        daemon.http.get("/api/v1/canaries") as response,
    ):
        assert response.status == 401
        assert "web.console" in (await response.json())["error"]


# -- what Prometheus says of a canary's traffic

VECTOR = '{"status":"success","data":{"resultType":"vector","result":[%s]}}'

SAID: dict[str, tuple[int, str, float | type[Exception] | None]] = {
    "a rate": (200, VECTOR % '{"metric":{},"value":[1,"2.5"]}', 2.5),
    "two series": (200, VECTOR % '{"value":[1,"2"]},{"value":[1,"0.5"]}', 2.5),
    "zero": (200, VECTOR % '{"value":[1,"0"]}', 0.0),
    "a scalar": (200, '{"status":"success","data":{"resultType":"scalar","result":[1,"3"]}}', 3.0),
    "no series, which is not zero": (200, VECTOR % "", None),
    "an error": (400, '{"status":"error","error":"parse error"}', errors.Refused),
    "an error with status 200": (200, '{"status":"error","error":"no"}', errors.Refused),
    "unavailable": (503, "<html>", errors.Unreachable),
    "no JSON": (200, "ok", errors.Unreachable),
    "a list": (200, "[]", errors.Refused),
    "no data": (200, '{"status":"success"}', errors.Refused),
    "a matrix": (200, '{"status":"success","data":{"resultType":"matrix","result":[{"values":[]}]}}', errors.Refused),
    "a word": (200, '{"status":"success","data":{"resultType":"string","result":[1,"x"]}}', errors.Refused),
    "no number": (200, VECTOR % '{"value":[1,"many"]}', errors.Refused),
}


@pytest.mark.parametrize("sentence", SAID)
async def test_an_answer_of_prometheus_is_a_rate_or_no_data_or_one_of_our_errors(sentence: str) -> None:
    status, text, expected = SAID[sentence]
    asked: list[str] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        asked.append(request.query["query"])
        return web.Response(status=status, text=text)

    async with Answering(answer) as server, aiohttp.ClientSession() as session:
        url = server.make_url("/")
        probe = PrometheusProbe(session, url=url, query='up{w="$workload",ns="$namespace"}$$', timeout=2)
        if isinstance(expected, type):
            with pytest.raises(expected):
                await probe.canary_rate(facts.canary())
        else:
            assert await probe.canary_rate(facts.canary()) == expected
    assert asked == ['up{w="podinfo",ns="shop"}$']


async def test_prometheus_is_asked_for_where_the_pods_are_and_not_for_nobodys() -> None:
    """A VirtualService may live beside its gateway; and ``destination_workload=""`` is other people's traffic."""
    asked: list[str] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        asked.append(request.query["query"])
        return web.Response(text='{"status":"success","data":{"resultType":"scalar","result":[1,"0"]}}')

    beside = facts.undriven(ref=CanaryRef("istio-ingress", "shop"))
    async with Answering(answer) as server, aiohttp.ClientSession() as session:
        probe = PrometheusProbe(session, url=server.make_url("/"), query="$workload $namespace", timeout=2)
        assert await probe.canary_rate(beside) == 0
        assert await probe.canary_rate(dataclasses.replace(beside, workload="")) is None
        probe = PrometheusProbe(session, url=server.make_url("/"), query="$service $namespace", timeout=2)
        assert await probe.canary_rate(dataclasses.replace(beside, workload="")) == 0
    assert asked == ["podinfo shop", "podinfo shop"]


async def test_a_prometheus_that_cannot_be_reached_or_is_slow_is_unreachable() -> None:
    async def sleep(_: web.BaseRequest) -> web.Response:
        await asyncio.sleep(5)
        return web.Response()

    async with Answering(sleep) as server, aiohttp.ClientSession() as session:
        for url in (server.make_url(""), "http://127.0.0.1:1"):
            probe = PrometheusProbe(session, url=url, query="up", timeout=0.1)
            with pytest.raises(errors.Unreachable):
                await probe.canary_rate(facts.canary())


class Answering:
    """One handler on a free port."""

    def __init__(self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> None:
        self._runner = web.ServerRunner(web.Server(handler, handler_cancellation=True), shutdown_timeout=0.1)

    async def __aenter__(self) -> Answering:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def make_url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}{path}"
