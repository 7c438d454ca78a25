"""SIGKILL of the leader between two writes that belong together: what was noted and not done, done and not noted."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from daemon.sandbox.kubernetes_api import KubernetesApi
from tests import builders
from tests.builders import Json
from tests.cluster import TEST_NAMESPACE, Cluster
from tests.component.after_zero import people
from tests.component.test_after_zero import CONFIG_MAPS, flagger_gives_up, listed, scale
from tests.component.test_leader_killed import Replica, replica
from tests.running import eventually
from tests.scene import CANARIES, DEPLOYMENTS, ROLLBACKS, Scene

NUDGING: Any = {"grace": 0.3, "nudge": True, "nudge_after": 0.2}
"""Shorter than the lease: when the heir comes, a nudge that was set would have had its time."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A leading replica, the one that will inherit, and an API that takes faults."""

    scene: Scene
    api: KubernetesApi
    leader: Replica
    heir: Replica

    async def roll_back(self) -> None:
        body = builders.webhook(builders.alert(self.scene.namespace))
        async with self.heir.http.post("/webhooks/alertmanager", json=body) as response:
            assert response.status == 200, await response.text()
        await self.scene.record("Proved")

    async def kill_once(self, come_so_far: Callable[[], Awaitable[Any]]) -> None:
        await eventually(come_so_far, within=15)
        await self.leader.kill()
        self.api.faults.clear()
        await eventually(self.heir.leads)

    async def status(self, part: str) -> Json:
        (record,) = await self.scene.records()
        found: Json = record.get("status", {}).get(part) or {}
        return found


@pytest.fixture
async def shop(emulator: KubernetesApi, tmp_path: Path) -> AsyncIterator[tuple[Cluster, Scene]]:
    cluster = Cluster(emulator.kubeconfig(tmp_path / "kubeconfig"), emulator.url, emulator)
    async with cluster.session() as http:
        scene = Scene(http, TEST_NAMESPACE)
        await scene.add_canary(weight=25)
        yield cluster, scene


@contextlib.asynccontextmanager
async def pair(shop: tuple[Cluster, Scene], folder: Path, **more: Json) -> AsyncIterator[Pair]:
    cluster, scene = shop
    assert cluster.emulator is not None
    async with people(folder) as told, replica(cluster, folder, told, **more) as leader:
        await eventually(leader.leads)
        async with replica(cluster, folder, told, **more) as heir:
            yield Pair(scene, cluster.emulator, leader, heir)


async def make_stuck(scene: Scene, deadline: int = 600) -> None:
    """A canary whose pods are not ready, which Flagger will wait for until its deadline."""
    await scene.merge(CANARIES, "podinfo", {"spec": {"progressDeadlineSeconds": deadline}})
    await scene.merge(DEPLOYMENTS, "podinfo/status", {"status": {"replicas": 2, "readyReplicas": 0}})


async def deadline_is(scene: Scene, wanted: int) -> bool:
    found = await scene.get(CANARIES, "podinfo")
    return bool(found["spec"]["progressDeadlineSeconds"] == wanted)


async def test_a_nudge_that_was_noted_and_not_set_is_set_by_the_heir(
    shop: tuple[Cluster, Scene], tmp_path: Path
) -> None:
    await make_stuck(shop[1])
    async with pair(shop, tmp_path, cleanup=NUDGING) as here:
        here.api.faults.hang(verb="patch", resource="canaries", times=None)
        await here.roll_back()

        async def noted() -> bool:
            return bool((await here.status("cleanup")).get("nudge"))

        await here.kill_once(noted)
        await eventually(lambda: deadline_is(here.scene, 1))

        async def counted() -> bool:
            return bool((await here.status("cleanup"))["nudge"].get("setAt"))

        await eventually(counted)
        nudge = (await here.status("cleanup"))["nudge"]
        assert nudge["original"] == 600
        assert not nudge.get("restoredAt")
        await flagger_gives_up(here.scene)
        await eventually(lambda: deadline_is(here.scene, 600))


async def test_a_nudge_that_was_set_and_not_counted_is_given_back_by_the_heir(
    shop: tuple[Cluster, Scene], tmp_path: Path
) -> None:
    await make_stuck(shop[1])
    async with pair(shop, tmp_path, cleanup=NUDGING) as here:
        here.api.faults.lose_response(verb="patch", resource="canaries", times=None)
        await here.roll_back()
        await here.kill_once(lambda: deadline_is(here.scene, 1))
        await flagger_gives_up(here.scene)
        await eventually(lambda: deadline_is(here.scene, 600))


async def test_a_scale_that_was_noted_and_not_done_is_done_once_by_the_heir(
    shop: tuple[Cluster, Scene], tmp_path: Path
) -> None:
    async with pair(shop, tmp_path) as here:
        await here.roll_back()
        await scale(here.scene, 2)
        here.api.faults.hang(verb="patch", resource="deployments", subresource="scale", times=None)
        await here.scene.set_status("podinfo", "Failed", weight=0)

        async def noted() -> bool:
            return (await here.status("cleanup")).get("scaledFrom") == 2

        await here.kill_once(noted)

        async def done() -> bool:
            return (await here.status("cleanup")).get("state") == "Done"

        await eventually(done)
        cleanup = await here.status("cleanup")
        assert (cleanup["scaledFrom"], cleanup["scaledDown"]) == (2, 1)
        assert (await here.scene.get(DEPLOYMENTS, "podinfo"))["spec"]["replicas"] == 0


async def test_a_scale_that_was_done_and_not_noted_is_what_a_release_gets_back(
    shop: tuple[Cluster, Scene], tmp_path: Path
) -> None:
    async with pair(shop, tmp_path) as here:
        await here.roll_back()
        await scale(here.scene, 2)
        here.api.faults.lose_response(verb="patch", resource="deployments", subresource="scale", times=None)
        await here.scene.set_status("podinfo", "Failed", weight=0)

        async def replicas_are(wanted: int) -> bool:
            found: Json = await here.scene.get(DEPLOYMENTS, "podinfo")
            return bool(found["spec"]["replicas"] == wanted)

        await here.kill_once(lambda: replicas_are(0))
        began = builders.canary_status("Progressing", revision="rev3")["lastTransitionTime"]
        await here.scene.set_status(phase="Progressing", revision="rev3", began=began)
        await eventually(lambda: replicas_are(2))


async def test_evidence_that_was_written_and_not_recorded_is_found_by_the_heir(
    shop: tuple[Cluster, Scene], tmp_path: Path
) -> None:
    async with pair(shop, tmp_path, evidence={"within": 4}) as here:
        here.api.faults.slow(1.5, verb="create", resource="configmaps")
        await here.roll_back()
        # Nothing that this is about is written into the record before the evidence is.
        here.api.faults.hang(verb="patch", resource="rollbacks", subresource="status", times=None)

        async def written() -> list[Json]:
            return await listed(here.scene, CONFIG_MAPS)

        await here.kill_once(written)
        (kept,) = await written()
        assert kept["metadata"]["name"].endswith("-evidence")

        async def recorded() -> Json:
            return await here.status("evidence")

        await eventually(recorded)
        assert (await recorded())["configMap"] == kept["metadata"]["name"]
        assert [one["metadata"]["uid"] for one in await written()] == [kept["metadata"]["uid"]]


async def test_a_hold_that_is_lifted_while_nobody_leads_gets_its_deadline_back_from_the_heir(
    shop: tuple[Cluster, Scene], tmp_path: Path
) -> None:
    await make_stuck(shop[1])
    async with pair(shop, tmp_path, cleanup=NUDGING) as here:
        await here.roll_back()
        await eventually(lambda: deadline_is(here.scene, 1))
        await here.leader.kill()
        (record,) = await here.scene.records()
        await here.scene.delete(ROLLBACKS, record["metadata"]["name"])
        await eventually(lambda: deadline_is(here.scene, 600))
        assert await here.heir.leads()
