"""A release on plain Istio, its weights moved by people: the same alert, the same laws, the same record."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests import builders
from tests.cluster import Cluster, new_namespace
from tests.component import undriven
from tests.component.staged_release import REVISIONS
from tests.component.undriven import NAME, shares
from tests.running import Daemon, eventually, running
from tests.scene import AUTOSCALERS, DEPLOYMENTS, ROUTES, Scene


@pytest.fixture
async def apps(cluster: Cluster, http: aiohttp.ClientSession) -> AsyncIterator[Scene]:
    """A second namespace."""
    async with new_namespace(cluster) as name:
        yield Scene(http, name)


def by_version(scene: Scene, version: str, **labels: str) -> dict[str, Any]:
    """An alert that knows no canary's name: only the namespace, and what its metric says."""
    told = builders.alert(scene.namespace, fingerprint="c0ffee0000000001", **labels)
    del told["labels"]["canary"]
    told["labels"]["version"] = version
    return told


async def fire(daemon: Daemon, told: dict[str, Any]) -> str:
    status, answer = await daemon.alert(builders.webhook(told))
    assert status == 200, answer
    one = answer["alerts"][0]
    return f"{one['verdict']} {one['reason']}"


async def test_an_alert_takes_every_path_to_the_canary_to_zero_and_the_record_names_the_route(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await undriven.release(scene, weight=5)
    async with running(cluster, tmp_path) as daemon:
        assert await fire(daemon, by_version(scene, "v4")) == "ROLL_BACK alert-fires"
        record = await scene.record("Proved")

    assert await shares(scene) == {"x-canary": {"stable": 100}, "everybody": {"stable": 100, "canary": 0}}
    assert await shares(scene, f"{NAME}-opt-in") == {"x-canary-opt-in": {"stable": 100}, "everybody": {"stable": 100}}
    assert record["spec"]["canaryRef"] == {
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "name": NAME,
    }  # fmt: skip
    before = {change["path"]: change["before"] for change in record["status"]["weights"]}
    assert before["http[1]"] == 5


async def test_the_canary_is_scaled_down_once_zero_is_proved(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    await undriven.release(scene)
    async with running(cluster, tmp_path) as daemon:
        await fire(daemon, by_version(scene, "v4"))
        await scene.record("Proved")

        async def scaled() -> bool:
            document = await scene.get(DEPLOYMENTS, f"{NAME}-canary")
            return bool(document["spec"]["replicas"] == 0)

        await eventually(scaled)
    assert (await scene.get(DEPLOYMENTS, f"{NAME}-stable"))["spec"]["replicas"] == 2


async def test_pods_and_autoscalers_are_looked_for_where_the_services_are_and_nowhere_else(
    cluster: Cluster, scene: Scene, apps: Scene, tmp_path: Path
) -> None:
    """Routes often stand in a namespace of the gateway's own."""
    for track, version in (("stable", "v3"), ("canary", "v4")):
        await apps.create(DEPLOYMENTS, undriven.workload(apps.namespace, track, version))
    await apps.create(undriven.RULES, undriven.rule(apps.namespace))
    text = json.dumps(undriven.routes(scene.namespace, 5))
    here, there = json.dumps(NAME), json.dumps(f"{NAME}.{apps.namespace}.svc.cluster.local")
    await scene.create(ROUTES, json.loads(text.replace(f'"host": {here}', f'"host": {there}')))
    spec = {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": f"{NAME}-canary"},
            "maxReplicas": 5}  # fmt: skip
    for place in (apps, scene):
        await place.create(AUTOSCALERS, {
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "canary"},
            "spec": spec,
        })  # fmt: skip
    async with running(cluster, tmp_path) as daemon:
        assert await fire(daemon, builders.alert(scene.namespace, NAME)) == "ROLL_BACK alert-fires"

        async def scaled_down() -> bool:
            return bool((await apps.get(DEPLOYMENTS, f"{NAME}-canary"))["spec"]["replicas"] == 0)

        await eventually(scaled_down)
        theirs = (await apps.get(AUTOSCALERS, "canary"))["spec"]["behavior"]
        assert theirs["scaleUp"]["selectPolicy"] == "Disabled"
        assert "behavior" not in (await scene.get(AUTOSCALERS, "canary"))["spec"]
        assert (await scene.record())["status"]["cleanup"]["scalers"][0]["namespace"] == apps.namespace


async def test_pods_that_nobody_knows_are_not_said_to_be_gone(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    await scene.create(ROUTES, undriven.routes(scene.namespace, 5))
    async with running(cluster, tmp_path) as daemon:
        await fire(daemon, builders.alert(scene.namespace, NAME))
        await scene.record("Proved")

        async def settled() -> Any:
            cleanup = (await scene.record())["status"].get("cleanup", {})
            return cleanup if cleanup.get("state") != "Waiting" else None

        cleanup = await eventually(settled)
    assert cleanup["state"] == "Kept"
    assert "pullback.dev/workload" in cleanup["detail"]


async def test_it_is_held_at_zero_until_another_version_comes(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    await undriven.release(scene)
    async with running(cluster, tmp_path) as daemon:
        await fire(daemon, by_version(scene, "v4"))
        await scene.record("Proved")
        # `helm upgrade --reuse-values`, say: the same version, the weight it had.
        await scene.merge(ROUTES, NAME, {"spec": undriven.routes(scene.namespace, 25)["spec"]}, manager="helm")

        async def zero() -> bool:
            return bool((await shares(scene))["everybody"] == {"stable": 100, "canary": 0})

        await eventually(zero)
        assert (await scene.record())["status"]["phase"] == "Proved"

        fixed = undriven.workload(scene.namespace, "canary", "v5")
        await scene.merge(DEPLOYMENTS, f"{NAME}-canary", {"spec": fixed["spec"]})
        await scene.record("Completed")
        await scene.merge(ROUTES, NAME, {"spec": undriven.routes(scene.namespace, 5)["spec"]}, manager="helm")
        assert await fire(daemon, by_version(scene, "v4", deployment=f"{NAME}-canary")) == (
            "IGNORE names-another-version"
        )
        assert (await shares(scene))["everybody"] == {"stable": 95, "canary": 5}


async def test_a_route_that_is_deleted_and_made_again_is_held_as_before(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    """``kubectl replace --force``, or a chart that is installed anew: the same revision, the weights it had."""
    await undriven.release(scene)
    async with running(cluster, tmp_path, cleanup={"policy": "keep"}) as daemon:
        await fire(daemon, by_version(scene, "v4"))
        await scene.record("Proved")
        for name in (NAME, f"{NAME}-opt-in"):
            await scene.delete(ROUTES, name)

        async def gone() -> bool:
            return NAME not in (await daemon.get("/api/v1/canaries"))[1]

        await eventually(gone)
        await asyncio.sleep(0.3)
        assert (await scene.record())["status"]["phase"] == "Proved"
        await scene.create(ROUTES, undriven.routes(scene.namespace, 25))

        async def zero() -> bool:
            found = await shares(scene)
            return found == {"x-canary": {"stable": 100}, "everybody": {"stable": 100, "canary": 0}}

        await eventually(zero)
        assert (await scene.record())["status"]["phase"] == "Proved"


async def test_at_zero_there_is_nothing_to_take_away(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    await undriven.release(scene, weight=0)
    await scene.delete(ROUTES, f"{NAME}-opt-in")
    everybody = undriven.routes(scene.namespace, 0)["spec"]["http"][1]
    await scene.merge(ROUTES, NAME, {"spec": {"http": [everybody]}})
    async with running(cluster, tmp_path) as daemon:
        told = builders.alert(scene.namespace, NAME)
        assert await fire(daemon, told) == "IGNORE no-active-canary"
    assert not await scene.records()


async def test_annotations_name_what_no_convention_does(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    said = {
        "pullback.dev/canary": f"{NAME}/v4", "pullback.dev/stable": f"{NAME}/v3",
        "pullback.dev/workload": "blue", "pullback.dev/stable-workload": "green",
    }  # fmt: skip
    document = undriven.routes(scene.namespace, 10, annotations=said)
    document["spec"]["http"] = [{"route": [undriven.to("v3", 90), undriven.to("v4", 10)]}]
    await scene.create(ROUTES, document)
    await scene.create(DEPLOYMENTS, builders.deployment(scene.namespace, "blue", version="v4"))
    await scene.create(DEPLOYMENTS, builders.deployment(scene.namespace, "green", version="v3"))
    async with running(cluster, tmp_path) as daemon:
        told = builders.alert(scene.namespace, deployment="green", fingerprint="c0ffee0000000002")
        del told["labels"]["canary"]
        assert await fire(daemon, told) == "IGNORE names-stable"
        told["labels"]["deployment"] = "blue"
        assert await fire(daemon, told) == "ROLL_BACK alert-fires"
        await scene.record("Proved")
    assert await shares(scene) == {"everybody": {"v3": 100, "v4": 0}}


async def test_a_stable_side_without_pods_gets_no_traffic(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    """Law 9: the canary is the only copy that answers."""
    await undriven.release(scene, weight=50)
    await scene.merge(DEPLOYMENTS, f"{NAME}-stable", {"spec": {"replicas": 0}})
    async with running(cluster, tmp_path) as daemon:
        assert await fire(daemon, by_version(scene, "v4")) == "ESCALATE stable-is-gone"
        record = await scene.record("Escalated")
        assert (await shares(scene))["everybody"] == {"stable": 50, "canary": 50}
        assert "0 of" in record["status"]["message"]


async def test_what_flagger_drives_is_flaggers(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    """Its routes look like anybody's; its canary, and not another of the same name, is what an alert finds."""
    await scene.add_canary(weight=10)
    await scene.create(
        ROUTES,
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "VirtualService",
            "metadata": {"namespace": scene.namespace, "name": "opt-in"},
            "spec": {
                "hosts": ["podinfo"],
                "http": [{"route": [{"destination": {"host": "podinfo-canary"}}]}],
            },
        },
    )
    async with running(cluster, tmp_path) as daemon:
        _, listed = await daemon.get("/api/v1/canaries")
        assert listed.count('"name"') == 1, listed
        assert await fire(daemon, builders.alert(scene.namespace)) == "ROLL_BACK alert-fires"
        record = await scene.record("Proved")
        assert record["spec"]["canaryRef"]["kind"] == "Canary"


async def test_a_canarys_own_route_finds_its_stable_side_in_the_main_one(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    """Two objects, neither of which tells the whole: people who opt in by a host of their own."""
    document = undriven.routes(scene.namespace, 0)
    document["metadata"]["name"] = "early"
    document["spec"] = {
        "hosts": ["early.summit.internal"], "http": [{"route": [{"destination": {"host": f"{NAME}-canary"}}]}],
    }  # fmt: skip
    main = undriven.routes(scene.namespace, 0)
    main["spec"]["http"] = [{"route": [{"destination": {"host": NAME}}]}]
    await scene.create(DEPLOYMENTS, undriven.workload(scene.namespace, "canary", "v4"))
    await scene.create(ROUTES, document)
    async with running(cluster, tmp_path) as daemon:
        told = by_version(scene, "v4")
        assert await fire(daemon, told) == "IGNORE unmatched"  # it is all there is: no canary
        await scene.create(ROUTES, main)

        async def known() -> bool:
            _, listed = await daemon.get("/api/v1/canaries")
            return '"early"' in listed

        await eventually(known)
        assert await fire(daemon, told) == "ROLL_BACK alert-fires"
        await scene.record("Proved")
    (rule,) = (await scene.get(ROUTES, "early"))["spec"]["http"]
    assert rule["route"] == [{"destination": {"host": NAME}}]


async def test_a_restart_does_not_take_a_deployment_that_was_written_again_for_a_new_beginning(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    """Who owns the pod template has changed the number of pods since: the alert is older than that, and of this very
    revision."""
    await undriven.release(scene)
    name = f"{NAME}-canary"
    (creator,) = [
        one["manager"] for one in (await scene.get(DEPLOYMENTS, name))["metadata"]["managedFields"]
        if "f:template" in one["fieldsV1"].get("f:spec", {})
    ]  # fmt: skip
    quick = {"clock_tolerance": 0.1}
    async with running(cluster, tmp_path, correlation=quick):

        async def recorded() -> bool:
            async with scene.http.get(REVISIONS.format(scene.namespace)) as response:
                items = (await response.json())["items"]
            return bool(items and items[0].get("status", {}).get("began"))

        await eventually(recorded)
    told = by_version(scene, "v4")
    await asyncio.sleep(1.2)  # the API server's clock shows whole seconds
    await scene.merge(DEPLOYMENTS, name, {"spec": {"replicas": 3}}, manager=creator)
    async with running(cluster, tmp_path, correlation=quick) as daemon:
        assert await fire(daemon, told) == "ROLL_BACK alert-fires"
