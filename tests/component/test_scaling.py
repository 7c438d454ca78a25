"""What would scale a canary up again: found, paused, and put back exactly as it was, whoever has died in between."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from daemon.adapters.canary_objects import CanaryObjects
from daemon.adapters.clock import SystemClock
from daemon.adapters.flagger import read_canary
from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.adapters.ledger import KubernetesLedger
from daemon.adapters.scaling import LENT, PAUSED, PAUSED_REPLICAS, KubernetesWorkloads
from daemon.adapters.workloads import read_workload
from daemon.bootstrap.seeing import Surroundings, open_eyes
from daemon.model import errors
from daemon.model.canary import CanaryRef, Controller, Workload
from daemon.model.cleanup import Cleanup, CleanupState, PausedScaler
from daemon.model.rollback import RollbackPhase
from daemon.policy.cleaning import Choices
from daemon.sandbox.kubernetes_api import KubernetesApi
from daemon.settings import Settings
from daemon.workflow.cleaning import Cleaning
from daemon.workflow.leading import Leadership
from daemon.workflow.recording import Recorder
from daemon.workflow.world import World
from tests import builders
from tests.builders import Json
from tests.cluster import ROOT, Cluster
from tests.running import configuration
from tests.scene import AUTOSCALERS, CANARIES, DEPLOYMENTS, Scene
from tests.unit import facts

SCALED_OBJECTS = "/apis/keda.sh/v1alpha1/namespaces/{}/scaledobjects"

BEHAVIORS: dict[str, Json | None] = {
    "none": None,
    "of its own": {
        "scaleUp": {"stabilizationWindowSeconds": 30, "selectPolicy": "Min",
                    "policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}]},
        "scaleDown": {"stabilizationWindowSeconds": 120, "selectPolicy": "Max",
                      "policies": [{"type": "Percent", "value": 50, "periodSeconds": 30}]},
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Lab:
    """A workload, and what scales it."""

    scene: Scene
    workloads: KubernetesWorkloads

    async def workload(self, name: str = "podinfo") -> Workload:
        return read_workload(await self.scene.get(DEPLOYMENTS, name))

    async def add_autoscaler(self, name: str = "podinfo", *, of: str = "podinfo", **more: Any) -> Json:
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": of}
        spec = {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 5} | more
        head = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": name}}
        return await self.scene.create(AUTOSCALERS, {**head, "spec": spec})

    async def add_scaled_object(
        self, name: str = "podinfo", *, of: Json | None = None, annotations: Json | None = None
    ) -> Json:
        # KEDA takes a Deployment where no kind is said.
        triggers = [{"type": "cron", "metadata": {"timezone": "UTC", "desiredReplicas": "3"}}]
        spec = {"scaleTargetRef": of or {"name": "podinfo"}, "triggers": triggers}
        metadata = {"name": name, "annotations": {"team": "shop"} | (annotations or {})}
        head = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": metadata}
        return await self.scene.create(SCALED_OBJECTS, {**head, "spec": spec})

    async def look(self, scaler: PausedScaler) -> Json:
        """What people have written about it."""
        collection = AUTOSCALERS if scaler.kind == "HorizontalPodAutoscaler" else SCALED_OBJECTS
        found = await self.scene.get(collection, scaler.name)
        return {"annotations": found["metadata"].get("annotations", {}), "spec": found["spec"]}

    async def only(self) -> PausedScaler:
        (scaler,) = await self.workloads.scalers(await self.workload())
        return scaler


@pytest.fixture
async def lab(cluster: Cluster, scene: Scene) -> AsyncIterator[Lab]:
    async with await KubernetesClient.connect(kubeconfig=cluster.kubeconfig, context=None, timeout=5) as client:
        await scene.create(DEPLOYMENTS, builders.deployment(scene.namespace, "podinfo", version="v2"))
        yield Lab(scene, KubernetesWorkloads(client))


async def test_a_workload_is_scaled_and_only_the_one_that_was_seen(lab: Lab) -> None:
    seen = await lab.workload()
    await lab.workloads.scale(seen, 0)
    assert (await lab.workload()).replicas == 0
    assert (await lab.workload()).template == seen.template
    with pytest.raises(errors.Conflict):
        await lab.workloads.scale(seen, 3)
    assert (await lab.workload()).replicas == 0


async def test_only_what_scales_this_workload_up_is_found(lab: Lab) -> None:
    assert await lab.workloads.scalers(await lab.workload()) == ()
    await lab.add_autoscaler()
    await lab.add_autoscaler("another", of="podinfo-primary")
    stateful = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "podinfo"}
    await lab.add_autoscaler("stateful", scaleTargetRef=stateful)
    await lab.add_autoscaler("resting", behavior={"scaleUp": {"selectPolicy": "Disabled"}})
    await lab.add_scaled_object()
    await lab.add_scaled_object("another", of={"name": "podinfo-primary"})
    await lab.add_scaled_object("stateful", of={"name": "podinfo", "kind": "StatefulSet"})
    await lab.add_scaled_object("resting", annotations={PAUSED: "true"})
    await lab.add_scaled_object("parked", annotations={PAUSED_REPLICAS: "2"})
    found = await lab.workloads.scalers(await lab.workload())
    assert found == (
        PausedScaler("HorizontalPodAutoscaler", lab.scene.namespace, "podinfo", "null"),
        PausedScaler("ScaledObject", lab.scene.namespace, "podinfo", "null"),
    )
    assert await lab.workloads.paused(await lab.workload()) == ()


@pytest.mark.parametrize("behavior", BEHAVIORS)
async def test_an_autoscaler_is_paused_and_put_back_exactly_as_it_was(lab: Lab, behavior: str) -> None:
    spec: Any = {"behavior": BEHAVIORS[behavior]} if BEHAVIORS[behavior] else {}
    await lab.add_autoscaler(**spec)
    scaler = await lab.only()
    before = await lab.look(scaler)
    for _ in range(2):  # who died after the write does it again
        await lab.workloads.pause(scaler)
        paused = await lab.look(scaler)
        assert paused["spec"]["behavior"]["scaleUp"]["selectPolicy"] == "Disabled"
        assert paused["spec"] | {"behavior": None} == before["spec"] | {"behavior": None}
        assert json.loads(paused["annotations"][LENT]) == before["spec"].get("behavior")
        assert await lab.workloads.scalers(await lab.workload()) == ()
        assert await lab.workloads.paused(await lab.workload()) == (scaler,)
    for _ in range(2):
        await lab.workloads.restore(scaler)
        assert await lab.look(scaler) == before
        assert await lab.workloads.scalers(await lab.workload()) == (scaler,)
        assert await lab.workloads.paused(await lab.workload()) == ()


async def test_a_scaled_object_is_paused_and_put_back_exactly_as_it_was(lab: Lab) -> None:
    await lab.add_scaled_object()
    scaler = await lab.only()
    before = await lab.look(scaler)
    for _ in range(2):
        await lab.workloads.pause(scaler)
        paused = await lab.look(scaler)
        assert paused["annotations"] == {"team": "shop", PAUSED_REPLICAS: "0", LENT: "null"}
        assert paused["spec"] == before["spec"]
        assert await lab.workloads.scalers(await lab.workload()) == ()
        assert await lab.workloads.paused(await lab.workload()) == (scaler,)
    for _ in range(2):
        await lab.workloads.restore(scaler)
        assert await lab.look(scaler) == before


async def test_what_was_never_paused_by_us_or_is_anothers_by_now_stays_as_it_is(lab: Lab) -> None:
    """A crash between writing down what will be paused, and pausing it."""
    await lab.add_autoscaler(behavior=BEHAVIORS["of its own"])
    await lab.add_scaled_object()
    for scaler in await lab.workloads.scalers(await lab.workload()):
        before = await lab.look(scaler)
        await lab.workloads.restore(dataclasses.replace(scaler, original='{"scaleUp": {"selectPolicy": "Max"}}'))
        assert await lab.look(scaler) == before


async def test_what_the_autoscaler_itself_says_is_put_back_without_our_record(lab: Lab) -> None:
    await lab.add_autoscaler(behavior=BEHAVIORS["of its own"])
    scaler = await lab.only()
    before = await lab.look(scaler)
    await lab.workloads.pause(scaler)
    (found,) = await lab.workloads.paused(await lab.workload())
    await lab.workloads.restore(dataclasses.replace(found, original="null"))
    assert await lab.look(scaler) == before


async def test_who_was_paused_taken_back_and_paused_again_gets_what_was_there_last(lab: Lab) -> None:
    await lab.add_autoscaler()
    await lab.workloads.pause(await lab.only())
    await lab.scene.merge(AUTOSCALERS, "podinfo", {"spec": {"behavior": BEHAVIORS["of its own"]}})
    again = await lab.only()
    taken_back = (await lab.look(again))["spec"]
    await lab.workloads.pause(again)
    await lab.workloads.restore(again)
    assert (await lab.look(again))["spec"] == taken_back


async def test_a_note_that_somebody_has_garbled_still_ends_the_pause(lab: Lab) -> None:
    await lab.add_autoscaler()
    scaler = await lab.only()
    before = await lab.look(scaler)
    await lab.workloads.pause(scaler)
    await lab.scene.merge(AUTOSCALERS, "podinfo", {"metadata": {"annotations": {LENT: "{no json"}}})
    await lab.workloads.restore(scaler)
    assert await lab.look(scaler) == before


@pytest.mark.parametrize("kind", ["HorizontalPodAutoscaler", "ScaledObject"])
async def test_one_that_is_gone_is_no_error(lab: Lab, kind: str) -> None:
    gone = PausedScaler(kind, lab.scene.namespace, "gone", "null")
    await lab.workloads.pause(gone)
    await lab.workloads.restore(gone)


async def test_where_keda_is_not_installed_the_autoscalers_are_found_all_the_same(tmp_path: Path) -> None:
    async with (
        KubernetesApi([ROOT / "helm/pullback/crds"], ["shop"]) as api,
        aiohttp.ClientSession(api.url) as http,
        await KubernetesClient.connect(kubeconfig=api.kubeconfig(tmp_path / "k"), context=None, timeout=5) as client,
    ):
        lab = Lab(Scene(http, "shop"), KubernetesWorkloads(client))
        await lab.scene.create(DEPLOYMENTS, builders.deployment("shop", "podinfo", version="v2"))
        await lab.add_autoscaler()
        scaler = await lab.only()
        assert scaler.kind == "HorizontalPodAutoscaler"
        await lab.workloads.pause(scaler)
        assert await lab.workloads.paused(await lab.workload()) == (scaler,)
        absent = PausedScaler("ScaledObject", "shop", "podinfo", "null")
        await lab.workloads.pause(absent)
        await lab.workloads.restore(absent)
        asked = api.requests.matching(path=SCALED_OBJECTS.format("shop"))
        assert asked
        assert {call.status for call in asked} == {404}


async def test_autoscalers_whose_record_was_deleted_go_on_as_before(
    lab: Lab, cluster: Cluster, tmp_path: Path
) -> None:
    """Of a canary without controller. Also after a restart: nothing of this is remembered in the process."""
    await lab.scene.create(CANARIES, builders.canary(lab.scene.namespace))
    await lab.add_autoscaler(behavior=BEHAVIORS["of its own"])
    await lab.add_scaled_object()
    scalers = await lab.workloads.scalers(await lab.workload())
    before = [await lab.look(scaler) for scaler in scalers]
    async with await KubernetesClient.connect(kubeconfig=cluster.kubeconfig, context=None, timeout=5) as client:
        duty, world = await cleaning_alone(lab, client, configuration(cluster.kubeconfig, tmp_path))
        ref = CanaryRef(lab.scene.namespace, "podinfo")
        leadership = Leadership(asyncio.get_running_loop().time, math.inf)
        for restarted in (True, False):
            for scaler in scalers:
                await lab.workloads.pause(scaler)
            record = facts.record(
                RollbackPhase.COMPLETED, namespace=ref.namespace, canary=ref,
                cleanup=Cleanup(CleanupState.DONE, "", facts.after(70), scalers=scalers),
            )  # fmt: skip
            if not restarted:
                world.put_record(record)
                await duty.work(ref, leadership)
                assert await lab.workloads.paused(await lab.workload()) == scalers, "a record accounts for them"
                world.drop_record(ref.namespace, record.name)
            assert duty.concerns(ref)
            await duty.work(ref, leadership)
            assert [await lab.look(scaler) for scaler in scalers] == before
            assert not duty.concerns(ref)


async def cleaning_alone(lab: Lab, client: KubernetesClient, settings: Settings) -> tuple[Cleaning, World]:
    sight = open_eyes(settings, client, Surroundings())
    world = sight.world
    world.put_workload(await lab.workload())
    canary = read_canary(await lab.scene.get(CANARIES, "podinfo"))
    world.put_canary(dataclasses.replace(canary, controller=Controller.NONE, revision="rev2"))
    duty = Cleaning(
        world=world, gatherer=sight.gatherer, recorder=Recorder(world=world, ledger=KubernetesLedger(client)),
        canaries=CanaryObjects(client, lambda _: canary), workloads=lab.workloads, clock=SystemClock(),
        choices=Choices(),
    )  # fmt: skip
    return duty, world
