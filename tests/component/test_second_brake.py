"""The write to the route is refused for good: what is done instead, what is told, and what is given back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from daemon.sandbox.kubernetes_api import KubernetesApi
from tests import builders
from tests.builders import Json
from tests.cluster import CRDS, Cluster
from tests.component import undriven
from tests.component.undriven import NAME
from tests.running import Daemon, eventually, running
from tests.scene import CANARIES, DEPLOYMENTS, ROLLBACKS, ROUTES, Scene

SHOP = "shop"
SERVICES = "/api/v1/namespaces/{}/services"
DIVERT = {"second_brake": "divert"}
SCALE = {"second_brake": "divert-or-scale"}
DENIED = "admission webhook denied the request: change freeze"


@pytest.fixture
async def refusing(tmp_path: Path) -> AsyncIterator[tuple[Cluster, Scene]]:
    """A cluster of its own whose routes nobody may write."""
    async with KubernetesApi(CRDS, [SHOP]) as api, aiohttp.ClientSession(api.url) as http:
        api.faults.fail(403, DENIED, verb="patch", resource="virtualservices", times=None)
        yield Cluster(api.kubeconfig(tmp_path / "kubeconfig"), api.url, api), Scene(http, SHOP)


def service(name: str, selector: str, *, port: int = 80) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": SHOP, "name": name},
        "spec": {"selector": {"app": selector}, "ports": [{"name": "http", "port": port, "targetPort": 9898}]},
    }


async def with_services(scene: Scene, *, port: int = 80) -> None:
    await scene.add_canary(weight=10)
    await scene.create(SERVICES, service("podinfo-canary", "podinfo"))
    await scene.create(SERVICES, service("podinfo-primary", "podinfo-primary", port=port))


async def selector(scene: Scene) -> Any:
    return (await scene.get(SERVICES, "podinfo-canary"))["spec"]["selector"]


async def fire(daemon: Daemon, name: str = "podinfo") -> None:
    status, answer = await daemon.alert(builders.webhook(builders.alert(SHOP, name)))
    assert (status, answer["alerts"][0]["verdict"]) == (200, "ROLL_BACK")


async def braked(scene: Scene) -> str:
    """What the record says of it."""

    async def told() -> Any:
        (record,) = await scene.records()
        conditions = {one["type"]: one["message"] for one in record.get("status", {}).get("conditions", [])}
        return conditions.get("Escalated") and conditions.get("SecondBrake")

    message: str = await eventually(told)
    return message


async def test_the_canarys_service_selects_the_stable_pods_and_a_person_is_told(
    refusing: tuple[Cluster, Scene], tmp_path: Path
) -> None:
    cluster, scene = refusing
    await with_services(scene)
    async with running(cluster, tmp_path, rollback=DIVERT) as daemon:
        await fire(daemon)
        message = await braked(scene)
        assert await selector(scene) == {"app": "podinfo-primary"}
        assert "Service shop/podinfo-canary selects the stable pods" in message
        assert DENIED in message
        # Flagger puts its own selector back at its next tick; it is taken again.
        await scene.merge(SERVICES, "podinfo-canary", {"spec": {"selector": {"app": "podinfo"}}})

        async def again() -> bool:
            return bool(await selector(scene) == {"app": "podinfo-primary"})

        await eventually(again)
        (record,) = await scene.records()
        said = {"metadata": {"annotations": {"pullback.dev/released-by": "captain"}}}
        await scene.merge(ROLLBACKS, record["metadata"]["name"], said)

        async def own() -> bool:
            return bool(await selector(scene) == {"app": "podinfo"})

        await eventually(own)
        noted = (await scene.get(SERVICES, "podinfo-canary"))["metadata"].get("annotations", {})
        assert "pullback.dev/diverted-from" not in noted


async def test_whoever_deletes_the_record_gets_the_service_back_too(
    refusing: tuple[Cluster, Scene], tmp_path: Path
) -> None:
    cluster, scene = refusing
    await with_services(scene)
    async with running(cluster, tmp_path, rollback=DIVERT) as daemon:
        await fire(daemon)
        await braked(scene)
        # The canary is quiet by then: an alert that still fires would make another record.
        await scene.set_status(phase="Failed")
        (record,) = await scene.records()
        await scene.delete(ROLLBACKS, record["metadata"]["name"])

        async def own() -> bool:
            return bool(await selector(scene) == {"app": "podinfo"})

        await eventually(own)


async def test_services_of_another_shape_are_left_alone(refusing: tuple[Cluster, Scene], tmp_path: Path) -> None:
    cluster, scene = refusing
    await with_services(scene, port=8080)
    async with running(cluster, tmp_path, rollback=SCALE) as daemon:
        await fire(daemon)
        record = await scene.record("Escalated")
        assert await selector(scene) == {"app": "podinfo"}
        # Flagger would promote an empty target: its pods stay.
        assert (await scene.get(DEPLOYMENTS, "podinfo"))["spec"]["replicas"] == 2
        assert "SecondBrake" not in {one["type"] for one in record["status"]["conditions"]}
    assert (await scene.get(CANARIES, "podinfo"))["status"]["phase"] == "Progressing"


@pytest.mark.parametrize(("weight", "replicas"), [(5, 0), (60, 2)])
async def test_without_a_controller_the_pods_go_unless_too_many_would_get_no_answer(
    weight: int, replicas: int, refusing: tuple[Cluster, Scene], tmp_path: Path
) -> None:
    cluster, scene = refusing
    await undriven.release(scene, weight=weight)
    async with running(cluster, tmp_path, rollback=SCALE) as daemon:
        await fire(daemon, NAME)
        await scene.record("Escalated")

        async def settled() -> bool:
            document = await scene.get(DEPLOYMENTS, f"{NAME}-canary")
            return bool(document["spec"]["replicas"] == replicas)

        await eventually(settled)
        if not replicas:
            assert "is scaled to 0" in await braked(scene)


async def test_off_it_is_only_told(refusing: tuple[Cluster, Scene], tmp_path: Path) -> None:
    cluster, scene = refusing
    await with_services(scene)
    async with running(cluster, tmp_path) as daemon:
        await fire(daemon)
        await scene.record("Escalated")
        assert await selector(scene) == {"app": "podinfo"}


async def test_a_write_that_was_refused_once_does_not_keep_a_release_from_writing(
    refusing: tuple[Cluster, Scene], tmp_path: Path
) -> None:
    """A person has taken the canary to zero meanwhile, and the freeze is over: what was re-pointed is put back."""
    cluster, scene = refusing
    await undriven.release(scene, weight=10)
    async with running(cluster, tmp_path, cleanup={"policy": "keep"}) as daemon:
        await fire(daemon, NAME)
        await scene.record("Escalated")
        opt_in = undriven.opt_in(SHOP)["spec"]
        sole, rest = opt_in["http"]
        await _replace(scene, NAME, undriven.routes(SHOP, 0)["spec"]["http"][1:])
        await _replace(scene, f"{NAME}-opt-in", [{**sole, "route": [undriven.to("stable")]}, rest])

        async def proved() -> Any:
            (record,) = await scene.records()
            return record["metadata"]["name"] if record["status"].get("provedAt") else None

        name = await eventually(proved)
        assert cluster.emulator is not None
        cluster.emulator.faults.clear()
        await scene.merge(ROLLBACKS, name, {"metadata": {"annotations": {"pullback.dev/released-by": "captain"}}})
        record = await scene.record("Completed")
        assert "not put back" not in record["status"]["message"]
        assert (await scene.get(ROUTES, f"{NAME}-opt-in"))["spec"] == opt_in


async def _replace(scene: Scene, name: str, rules: list[Json]) -> None:
    """By ``put``: the freeze is for patches."""
    document = await scene.get(ROUTES, name)
    document["spec"]["http"] = rules
    async with scene.http.put(f"{ROUTES.format(SHOP)}/{name}", json=document) as response:
        assert response.status == 200, await response.text()
