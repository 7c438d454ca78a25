"""The fake kubelet says about Deployments what a deployment controller would."""

from __future__ import annotations

from typing import Any

from daemon.sandbox.flagger.api import deployment
from tests.cluster import Cluster
from tests.component.flagger_lab import laboratory


def condition(body: dict[str, Any], kind: str) -> tuple[str, str, str]:
    found = next(entry for entry in body["status"]["conditions"] if entry["type"] == kind)
    return found["status"], found["reason"], found["lastUpdateTime"]


async def test_one_unready_pod_of_four_leaves_it_available(cluster: Cluster, namespace: str) -> None:
    async with laboratory(cluster, namespace, {"deployment": {"replicas": 4}}) as lab:
        await lab.kubelet.settle()
        await lab.kubelet.break_pods(namespace, "podinfo", pods=1)
        lab.clock.at = 30
        await lab.kubelet.settle()
        partly = await lab.target()
        await lab.kubelet.break_pods(namespace, "podinfo")
        lab.clock.at = 40
        await lab.kubelet.settle()
        broken = await lab.target()
    assert partly["status"]["availableReplicas"] == 3
    assert condition(partly, "Available") == ("True", "MinimumReplicasAvailable", "2026-11-23T07:00:00Z")
    assert broken["status"].get("availableReplicas", 0) == 0
    assert condition(broken, "Available") == ("False", "MinimumReplicasUnavailable", "2026-11-23T07:00:40Z")


async def test_pods_of_the_next_revision_are_ready(cluster: Cluster, namespace: str) -> None:
    async with laboratory(cluster, namespace) as lab:
        await lab.kubelet.settle()
        await lab.kubelet.break_pods(namespace, "podinfo")
        await lab.kubelet.settle()
        await lab.push("2")
        await lab.kubelet.settle()
        found = await lab.target()
    assert found["status"]["readyReplicas"] == found["status"]["updatedReplicas"] == 2
    assert found["status"]["observedGeneration"] == found["metadata"]["generation"]


async def test_a_stuck_rollout_exceeds_its_deadline(cluster: Cluster, namespace: str) -> None:
    async with laboratory(cluster, namespace, {"deployment": {"progressDeadlineSeconds": 30}}) as lab:
        await lab.kubelet.settle()
        await lab.kubelet.break_next_revision(namespace, "podinfo")
        await lab.push("2")
        await lab.kubelet.settle()
        stuck = await lab.target()
        lab.clock.at = 31
        await lab.kubelet.settle()
        late = await lab.target()
        lab.kubelet.heal_pods(namespace, "podinfo")
        await lab.kubelet.settle()
        healed = await lab.target()
    counts = [stuck["status"].get(key) for key in ("replicas", "updatedReplicas", "readyReplicas")]
    assert counts == [3, 1, 2]
    assert condition(stuck, "Progressing")[:2] == ("True", "ReplicaSetUpdated")
    assert condition(late, "Progressing")[:2] == ("False", "ProgressDeadlineExceeded")
    assert condition(healed, "Progressing")[:2] == ("True", "NewReplicaSetAvailable")


async def test_no_replicas_are_no_pods(cluster: Cluster, namespace: str) -> None:
    async with laboratory(cluster, namespace) as lab:
        await lab.kubelet.settle()
        await lab.api.merge(deployment(namespace, "podinfo"), {"spec": {"replicas": 0}})
        await lab.kubelet.settle()
        found = await lab.target()
    assert not found["status"].get("replicas")
    assert condition(found, "Available")[0] == "True"
