"""Where a chart value owns the canary's weight: the route at once, and then the release, judged by Helm itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests import builders
from tests.builders import Json
from tests.cluster import Cluster
from tests.component import undriven
from tests.component.helm_lab import RELEASE, SECRETS, Helm, chart, follow_up, revisions, unpacked
from tests.component.undriven import NAME, shares
from tests.running import Daemon, eventually, running
from tests.scene import DEPLOYMENTS, ROUTES, Scene

EVENTS = "/api/v1/namespaces/{}/events"
NOBODY = {"stable": 100, "canary": 0}


@pytest.fixture
def helm(cluster: Cluster, scene: Scene, tmp_path: Path) -> Helm:
    """A person with this cluster's kubeconfig."""
    return Helm(cluster.kubeconfig, chart(tmp_path), scene)


async def installed(helm: Helm, *, weight: int = 25) -> None:
    """Stable and canary side by side, the routes between them by Helm: in its second revision, with that weight."""
    scene = helm.scene
    await scene.create(DEPLOYMENTS, undriven.workload(scene.namespace, "stable", "v3"))
    await scene.create(DEPLOYMENTS, undriven.workload(scene.namespace, "canary", "v4"))
    await scene.create(undriven.RULES, undriven.rule(scene.namespace))
    await helm.install()
    await helm.upgrade({"routes": True, "canary": {"weight": weight}})
    assert (await shares(scene))["everybody"] == {"stable": 100 - weight, "canary": weight}


def following(scene: Scene, **changes: Any) -> Json:
    """The group ``follow_ups`` of the settings."""
    return {"helm": {f"{scene.namespace}/{NAME}": {"release": RELEASE}}, **changes}


async def fire(daemon: Daemon, scene: Scene) -> None:
    told = builders.alert(scene.namespace, NAME)
    status, answer = await daemon.alert(builders.webhook(told))
    assert (status, answer["alerts"][0]["verdict"]) == (200, "ROLL_BACK"), answer


async def test_the_next_upgrade_that_reuses_values_leaves_the_canary_at_zero(
    cluster: Cluster, scene: Scene, helm: Helm, tmp_path: Path
) -> None:
    await installed(helm, weight=25)
    async with running(cluster, tmp_path, follow_ups=following(scene)) as daemon:
        await fire(daemon, scene)
        entry = await follow_up(scene, "Done")
        record = await scene.record("Proved")
        async with daemon.http.get("/api/v1/rollbacks") as response:
            (shown,) = [one for one in (await response.json())["rollbacks"] if one["namespace"] == scene.namespace]

        async def told() -> bool:
            async with scene.http.get(EVENTS.format(scene.namespace)) as response:
                return "FollowedUp" in {one["reason"] for one in (await response.json())["items"]}

        await eventually(told)

    assert [(one["kind"], one["state"]) for one in shown["followUps"]] == [("Helm", "Done")]
    namespace, name = scene.namespace, record["metadata"]["name"]
    assert entry["name"] == f"{namespace}/{RELEASE}"
    assert f"revision 3 of {namespace}/{RELEASE} has canary.weight at 0, was 25" in entry["detail"]
    assert f"VirtualService {NAME}" in entry["detail"]
    assert await helm.history() == [(1, "superseded"), (2, "superseded"), (3, "deployed")]
    assert await helm.description() == f"Pullback set canary.weight to 0 (Rollback {namespace}/{name})"
    assert (await helm.values())["canary"] == {"weight": 0}
    assert "weight: 25" not in await helm.manifest()

    await helm.upgrade({"timeout": "20s"})
    route = (await scene.get(ROUTES, NAME))["spec"]["http"][1]
    assert route["timeout"] == "20s"
    assert (await shares(scene))["everybody"] == NOBODY
    assert (await helm.history())[-2:] == [(3, "superseded"), (4, "deployed")]


async def test_without_the_follow_up_that_upgrade_raises_the_canary(scene: Scene, helm: Helm) -> None:
    """What all this is for: were this test to fail, nothing of it would be needed."""
    await installed(helm, weight=25)
    await scene.merge(ROUTES, NAME, {"spec": undriven.routes(scene.namespace, 0)["spec"]})
    await helm.upgrade({"timeout": "20s"})
    assert (await shares(scene))["everybody"] == {"stable": 75, "canary": 25}


async def test_going_back_to_the_new_revision_leaves_it_at_zero_too(
    cluster: Cluster, scene: Scene, helm: Helm, tmp_path: Path
) -> None:
    """An upgrade with --atomic that fails applies the stored manifest of the last revision, not its values."""
    await installed(helm, weight=25)
    async with running(cluster, tmp_path, follow_ups=following(scene)) as daemon:
        await fire(daemon, scene)
        await follow_up(scene, "Done")
    await helm.upgrade({"timeout": "20s"})
    await helm.rollback(3)
    route = (await scene.get(ROUTES, NAME))["spec"]["http"][1]
    assert route["timeout"] == "10s"
    assert await shares(scene) == {"x-canary": {"stable": 100}, "everybody": NOBODY}


async def test_what_helm_finds_of_a_revision_is_all_there(
    cluster: Cluster, scene: Scene, helm: Helm, tmp_path: Path
) -> None:
    await installed(helm)
    (before,) = [one for one in await revisions(scene) if one["metadata"]["labels"]["version"] == "2"]
    await scene.merge(SECRETS, before["metadata"]["name"], {"metadata": {"labels": {"team": "summit"}}})
    async with running(cluster, tmp_path, follow_ups=following(scene)) as daemon:
        await fire(daemon, scene)
        await follow_up(scene, "Done")
    _, old, new = await revisions(scene)
    assert new["type"] == "helm.sh/release.v1"
    assert {key: value for key, value in new["metadata"]["labels"].items() if key != "createdAt"} == {
        "name": RELEASE, "owner": "helm", "status": "deployed", "version": "3", "team": "summit",
    }  # fmt: skip
    assert old["metadata"]["labels"]["status"] == "superseded"
    was, now = unpacked(before), unpacked(new)
    assert unpacked(old)["info"]["status"] == "superseded"
    changed = {key for key in {*was, *now} if was.get(key) != now.get(key)}
    assert changed == {"version", "config", "info", "manifest"}
    assert now["config"] == {"routes": True, "canary": {"weight": 0}}
    assert was["info"]["first_deployed"] == now["info"]["first_deployed"]


async def test_a_release_that_is_in_step_is_not_touched(
    cluster: Cluster, scene: Scene, helm: Helm, tmp_path: Path
) -> None:
    await installed(helm, weight=0)
    await scene.merge(ROUTES, NAME, {"spec": undriven.routes(scene.namespace, 10)["spec"]})  # a person's hand
    async with running(cluster, tmp_path, follow_ups=following(scene)) as daemon:
        await fire(daemon, scene)
        entry = await follow_up(scene, "NotNeeded")
    assert "has canary.weight at 0" in entry["detail"]
    assert len(await revisions(scene)) == 2


async def test_an_operation_of_helm_that_is_under_way_is_waited_for(
    cluster: Cluster, scene: Scene, helm: Helm, tmp_path: Path
) -> None:
    await installed(helm)
    name = (await revisions(scene))[-1]["metadata"]["name"]
    await scene.merge(SECRETS, name, {"metadata": {"labels": {"status": "pending-upgrade"}}})
    async with running(cluster, tmp_path, follow_ups=following(scene)) as daemon:
        await fire(daemon, scene)
        await follow_up(scene, "Pending", "is pending-upgrade")
        assert len(await revisions(scene)) == 2
        await scene.merge(SECRETS, name, {"metadata": {"labels": {"status": "deployed"}}})
        await follow_up(scene, "Done")


async def test_what_cannot_be_done_says_what_to_do_by_hand_and_is_in_nobodys_way(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await undriven.release(scene, weight=5)
    async with running(cluster, tmp_path, follow_ups=following(scene)) as daemon:
        await fire(daemon, scene)
        entry = await follow_up(scene, "Failed")
        record = await scene.record("Proved")
    assert f"Helm keeps no release {scene.namespace}/{RELEASE} in Secrets" in entry["detail"]
    command = f"helm upgrade {RELEASE} CHART -n {scene.namespace} --reuse-values --set canary.weight=0"
    assert entry["detail"].endswith(command)
    assert record["status"]["secondsToZero"] < 2
    assert (await shares(scene))["everybody"] == NOBODY
