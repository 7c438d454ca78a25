"""Argo Rollouts: aborted as its own plugin does it, its routes at zero all the same, the latch until it is Degraded."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests import builders
from tests.cluster import Cluster
from tests.commands import Pullback, pullback
from tests.component.rollouts import (
    BY_SERVICES,
    BY_SUBSETS,
    NAME,
    NEW,
    ROLLOUTS,
    by_services,
    controller,
    released,
    status,
    weights,
)
from tests.component.staged_release import surroundings
from tests.running import Daemon, eventually, running
from tests.scene import ROUTES, Scene

__all__ = ["pullback"]


def by_hash(scene: Scene, **labels: str) -> dict[str, Any]:
    """An alert that knows the pods' hash only."""
    told = builders.alert(scene.namespace, fingerprint="c0ffee0000000003", **labels)
    del told["labels"]["canary"]
    told["labels"]["pod_template_hash"] = NEW
    return told


async def fire(daemon: Daemon, told: dict[str, Any]) -> tuple[str, str]:
    code, answer = await daemon.alert(builders.webhook(told))
    assert code == 200, answer
    one = answer["alerts"][0]
    return f"{one['verdict']} {one['reason']}", one.get("detail", "")


@pytest.mark.parametrize("routing", [BY_SERVICES, BY_SUBSETS], ids=["services", "subsets"])
async def test_an_alert_aborts_it_and_zeroes_its_routes_at_once(
    routing: dict[str, Any], cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await released(scene, routing, services=routing is BY_SERVICES)
    async with running(cluster, tmp_path) as daemon:
        assert (await fire(daemon, by_hash(scene)))[0] == "ROLL_BACK alert-fires"
        await controller(scene)
        record = await scene.record("Completed")
        assert await weights(scene) == [100, 0]
    assert record["spec"]["canaryRef"] == {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": NAME}
    assert record["spec"]["revision"] == NEW
    assert record["status"]["message"].startswith("failure-accepted: phase Failed, routes at 0")
    assert record["status"]["cleanup"]["state"] == "Kept"


async def test_without_its_controller_the_routes_are_at_zero_and_held(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await released(scene, BY_SERVICES)
    async with running(cluster, tmp_path) as daemon:
        await fire(daemon, by_hash(scene))
        await scene.record("Proved")
        assert (await scene.get(ROLLOUTS, NAME))["status"]["abort"] is True
        # A reconcile that was on its way writes the weight it had read.
        late = {"spec": by_services(scene.namespace, 5)["spec"]}
        await scene.merge(ROUTES, NAME, late, manager="rollouts-controller")

        async def zero() -> bool:
            return await weights(scene) == [100, 0]

        await eventually(zero)
        await asyncio.sleep(0.3)
        assert (await scene.record())["status"]["phase"] == "Proved"


async def test_tried_once_more_while_it_is_held_it_is_aborted_again(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await released(scene, BY_SERVICES)
    async with running(cluster, tmp_path) as daemon:
        await fire(daemon, by_hash(scene))
        await scene.record("Proved")
        retried = {"status": {**status(), "abort": None}}
        await scene.merge(ROLLOUTS, f"{NAME}/status", retried, manager="kubectl-argo-rollouts")

        async def aborted() -> bool:
            return bool((await scene.get(ROLLOUTS, NAME))["status"].get("abort"))

        await eventually(aborted)


async def test_split_by_pods_alone_its_own_clock_counts_and_the_record_says_so(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await released(scene, None, services=False)
    async with running(cluster, tmp_path) as daemon:
        said, _ = await fire(daemon, by_hash(scene))
        assert said == "ROLL_BACK alert-fires"
        record = await scene.record()
        assert "cannot be written here, so Argo Rollouts aborts it at its next look" in record["spec"]["reason"]
        await controller(scene)
        record = await scene.record("Completed")
        assert any("no pods" in one for one in record["status"]["proof"])


async def test_where_stable_was_shrunk_its_controller_moves_the_traffic_first(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    """dynamicStableScale: all the traffic at once would find half the pods."""
    await released(scene, BY_SERVICES, weight=50, dynamicStableScale=True)
    async with running(cluster, tmp_path) as daemon:
        await fire(daemon, by_hash(scene))

        async def aborted() -> bool:
            return bool((await scene.get(ROLLOUTS, NAME))["status"].get("abort"))

        await eventually(aborted)
        await asyncio.sleep(0.5)
        assert await weights(scene) == [50, 50]
        moved = {"spec": by_services(scene.namespace, 0)["spec"]}
        await scene.merge(ROUTES, NAME, moved, manager="rollouts-controller")
        await scene.record("Proved")


async def test_another_strategy_is_no_canary(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    document = {
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
        "metadata": {"namespace": scene.namespace, "name": NAME},
        "spec": {"strategy": {"blueGreen": {"activeService": NAME}}},
    }  # fmt: skip
    await scene.create(ROLLOUTS, document)
    async with running(cluster, tmp_path) as daemon:
        assert (await fire(daemon, builders.alert(scene.namespace, NAME)))[0] == "IGNORE unmatched"


async def test_promoted_it_is_too_late(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    await released(scene, BY_SERVICES, weight=0)
    healthy = {"status": status("Healthy", stableRS=NEW)}
    await scene.merge(ROLLOUTS, f"{NAME}/status", healthy)
    async with running(cluster, tmp_path) as daemon:
        assert (await fire(daemon, builders.alert(scene.namespace, NAME)))[0] in {
            "IGNORE no-active-canary", "ESCALATE alert-after-promotion",
        }  # fmt: skip
        assert "abort" not in (await scene.get(ROLLOUTS, NAME))["status"]


async def test_a_person_rolls_it_back_by_name(
    cluster: Cluster, scene: Scene, tmp_path: Path, pullback: Pullback
) -> None:
    await released(scene, BY_SERVICES)
    async with running(cluster, tmp_path):
        code, out, err = await pullback("rollback", NAME, "-n", scene.namespace, "--reason", "it hurts")
        assert code == 0, out + err
        assert (await scene.get(ROLLOUTS, NAME))["status"]["abort"] is True
        code, out, _ = await pullback("status", NAME, "-n", scene.namespace)
        assert "Argo Rollouts" in out


async def test_a_pause_is_its_own_and_ends_with_the_last_reason(
    cluster: Cluster, scene: Scene, tmp_path: Path, pullback: Pullback
) -> None:
    await released(scene, BY_SERVICES)

    async def paused() -> bool:
        return bool((await scene.get(ROLLOUTS, NAME))["spec"].get("paused"))

    async with running(cluster, tmp_path) as daemon:
        warns = by_hash(scene, severity="warning")
        assert (await fire(daemon, warns))[0] == "PAUSE alert-pauses"
        assert await paused()
        code, _, _ = await pullback("pause", NAME, "-n", scene.namespace)
        assert code == 0
        assert (await fire(daemon, {**warns, "status": "resolved"}))[0] == "RESUME alert-resolved"
        assert await paused()  # a person has paused it as well
        code, _, _ = await pullback("resume", NAME, "-n", scene.namespace)
        assert code == 0
        assert not await paused()
        for words in (["promote", NAME, "--weight", "50"], ["approve", NAME, "--reason", "x", "--yes"]):
            code, _, err = await pullback(*words, "-n", scene.namespace)
            assert (code, "kubectl argo rollouts promote" in err) == (1, True), err


async def test_prometheus_is_not_asked_what_it_cannot_tell(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    """One Rollout runs both sides: the rate of its workload is never 0 while anybody is served."""
    await released(scene, BY_SERVICES)
    async with surroundings() as prometheus:
        prometheus.errors = 3.0  # requests per second, of the stable side
        proof = {"window": 0.2, "read_back": 0.05, "prometheus_url": prometheus.url}
        async with running(cluster, tmp_path, proof=proof) as daemon:
            await fire(daemon, by_hash(scene))
            record = await scene.record("Proved")
    assert not any("Prometheus" in one for one in record["status"]["proof"])
