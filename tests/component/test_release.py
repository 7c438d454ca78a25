"""``pullback release``: a person lifts a hold, and what was re-pointed stands as before; and acts on plain routes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tests import builders
from tests.cluster import Cluster
from tests.commands import Pullback, pullback
from tests.component import undriven
from tests.component.undriven import NAME, shares
from tests.running import eventually, running
from tests.scene import DEPLOYMENTS, ROLLBACKS, ROUTES, Scene

__all__ = ["pullback"]

QUICK = {"drive_every": 0.05}
KEEP = {"policy": "keep"}


async def rolled_back(scene: Scene, pullback: Pullback) -> None:
    code, out, err = await pullback("rollback", NAME, "-n", scene.namespace, "--reason", "it hurts")
    assert code == 0, out + err
    await scene.record("Proved")


async def test_release_ends_the_hold_and_puts_every_re_pointed_route_back(
    cluster: Cluster, scene: Scene, tmp_path: Path, pullback: Pullback
) -> None:
    await undriven.release(scene, weight=25)
    opt_in = await scene.get(ROUTES, f"{NAME}-opt-in")
    async with running(cluster, tmp_path, gates=QUICK, cleanup=KEEP):
        await rolled_back(scene, pullback)
        assert (await shares(scene))["x-canary"] == {"stable": 100}

        code, out, err = await pullback("release", NAME, "-n", scene.namespace, "--reason", "it was the network")
        assert code == 0, out + err
        assert "is released by" in out
        assert "Completed" in out
        record = await scene.record("Completed")
        assert record["status"]["message"].startswith("released: released by ")
        assert record["status"]["message"].endswith(": it was the network")
        assert await shares(scene) == {"x-canary": {"canary": 100}, "everybody": {"stable": 100, "canary": 0}}
        assert (await scene.get(ROUTES, f"{NAME}-opt-in"))["spec"] == opt_in["spec"]

        code, out, err = await pullback("promote", NAME, "-n", scene.namespace, "--weight", "10")
        assert (code, err) == (0, "")
        assert "from 0% to 10%" in out

        async def there() -> bool:
            return bool((await shares(scene))["everybody"] == {"stable": 90, "canary": 10})

        await eventually(there)


async def test_without_a_hold_there_is_nothing_to_release(
    cluster: Cluster, scene: Scene, pullback: Pullback
) -> None:
    del cluster
    await undriven.release(scene)
    code, _, err = await pullback("release", NAME, "-n", scene.namespace)
    assert code == 1
    assert "no rollback is in force" in err
    code, _, err = await pullback("release", "nobody", "-n", scene.namespace)
    assert (code, "no canary nobody" in err) == (1, True)


async def test_what_somebody_has_changed_meanwhile_stays_theirs(
    cluster: Cluster, scene: Scene, tmp_path: Path, pullback: Pullback
) -> None:
    await undriven.release(scene, weight=5)
    async with running(cluster, tmp_path, cleanup=KEEP):
        await rolled_back(scene, pullback)
        await scene.delete(ROUTES, f"{NAME}-opt-in")
        code, out, err = await pullback("release", NAME, "-n", scene.namespace)
        assert code == 0, out + err
        assert (await shares(scene))["x-canary"] == {"canary": 100}


async def test_a_release_waits_for_a_daemon_and_says_so(cluster: Cluster, scene: Scene, pullback: Pullback) -> None:
    del cluster
    await undriven.release(scene)
    await pullback("rollback", NAME, "-n", scene.namespace, "--reason", "x", "--wait", "0")
    code, out, _ = await pullback("release", NAME, "-n", scene.namespace, "--wait", "0.3")
    assert code == 1
    assert "is `pullback serve` running?" in out


async def test_released_on_one_replica_it_is_not_taken_for_a_raise_by_the_other(
    cluster: Cluster, scene: Scene, tmp_path: Path, pullback: Pullback
) -> None:
    await undriven.release(scene, weight=25)
    second = tmp_path / "second"
    second.mkdir()
    async with running(cluster, tmp_path, cleanup=KEEP), running(cluster, second, cleanup=KEEP):
        await rolled_back(scene, pullback)
        code, out, err = await pullback("release", NAME, "-n", scene.namespace)
        assert code == 0, out + err
        await asyncio.sleep(0.5)
        assert (await shares(scene))["x-canary"] == {"canary": 100}
        assert (await scene.record())["status"].get("holds", 0) == 0


async def test_pause_and_status_of_a_canary_that_is_a_route(
    cluster: Cluster, scene: Scene, tmp_path: Path, pullback: Pullback
) -> None:
    await undriven.release(scene, weight=5)
    code, out, err = await pullback("pause", NAME, "-n", scene.namespace, "--reason", "lunch")
    assert code == 0, out + err
    said = (await scene.get(ROUTES, NAME))["metadata"]["annotations"]
    assert said["pullback.dev/paused"] == "true"
    async with running(cluster, tmp_path, gates=QUICK):
        await pullback("promote", NAME, "-n", scene.namespace, "--weight", "25")
        await asyncio.sleep(0.4)
        assert (await shares(scene))["everybody"] == {"stable": 95, "canary": 5}
        code, out, _ = await pullback("status", NAME, "-n", scene.namespace, "-o", "json")
        (shown,) = json.loads(out)["canaries"]
        assert (code, shown["kind"], shown["controller"], shown["paused"]) == (0, "VirtualService", "none", True)
        await pullback("resume", NAME, "-n", scene.namespace)

        async def raised() -> bool:
            return bool((await shares(scene))["everybody"] == {"stable": 75, "canary": 25})

        await eventually(raised)


async def test_promote_is_refused_while_a_rollback_is_in_force(
    cluster: Cluster, scene: Scene, tmp_path: Path, pullback: Pullback
) -> None:
    await undriven.release(scene, weight=5)
    async with running(cluster, tmp_path, cleanup=KEEP):
        await rolled_back(scene, pullback)
        code, _, err = await pullback("promote", NAME, "-n", scene.namespace, "--weight", "25")
        assert code == 1
        assert f"pullback release {NAME} -n {scene.namespace}" in err


async def test_a_flagger_canary_is_released_like_any_other(
    cluster: Cluster, scene: Scene, tmp_path: Path, pullback: Pullback
) -> None:
    await scene.add_canary(weight=10)
    async with running(cluster, tmp_path) as daemon:
        await daemon.alert(builders.webhook(builders.alert(scene.namespace)))
        record = await scene.record("Proved")
        said = {"metadata": {"annotations": {"pullback.dev/released-by": "captain"}}}
        await scene.merge(ROLLBACKS, record["metadata"]["name"], said)
        await scene.record("Completed")
        assert (await daemon.hook("rollback", builders.hook(scene.namespace)))[0] == 403
        await scene.set_weight(20)
        await asyncio.sleep(0.5)
        assert await scene.weights() == [80, 20]


async def test_pods_that_were_taken_away_come_back_before_requests_do(
    cluster: Cluster, scene: Scene, tmp_path: Path, pullback: Pullback
) -> None:
    await undriven.release(scene, weight=25)
    name = f"{NAME}-canary"

    async def observed(ready: int) -> None:
        generation = (await scene.get(DEPLOYMENTS, name))["metadata"]["generation"]
        said = {"observedGeneration": generation, "replicas": ready, "readyReplicas": ready}
        await scene.merge(DEPLOYMENTS, f"{name}/status", {"status": said})

    async def replicas() -> int:
        found: int = (await scene.get(DEPLOYMENTS, name))["spec"]["replicas"]
        return found

    async def scaled(wanted: int) -> None:
        async def there() -> bool:
            return await replicas() == wanted

        await eventually(there)

    await observed(2)
    async with running(cluster, tmp_path, gates=QUICK):
        await rolled_back(scene, pullback)
        await scaled(0)
        await observed(0)
        code, out, _ = await pullback("release", NAME, "-n", scene.namespace, "--wait", "0")
        assert code == 0, out
        await scaled(2)
        await asyncio.sleep(1.5)
        assert (await shares(scene))["x-canary"] == {"stable": 100}
        await observed(2)
        await scene.record("Completed")
        assert (await shares(scene))["x-canary"] == {"canary": 100}


async def test_nothing_is_raised_to_a_workload_without_ready_pods(
    cluster: Cluster, scene: Scene, tmp_path: Path, pullback: Pullback
) -> None:
    await undriven.release(scene, weight=5)
    generation = (await scene.get(DEPLOYMENTS, f"{NAME}-canary"))["metadata"]["generation"]
    status = {"status": {"observedGeneration": generation, "replicas": 2, "readyReplicas": 0}}
    await scene.merge(DEPLOYMENTS, f"{NAME}-canary/status", status)
    async with running(cluster, tmp_path, gates=QUICK):
        code, _, _ = await pullback("promote", NAME, "-n", scene.namespace, "--weight", "25")
        assert code == 0
        await asyncio.sleep(0.5)
        assert (await shares(scene))["everybody"] == {"stable": 95, "canary": 5}
        status["status"]["readyReplicas"] = 2
        await scene.merge(DEPLOYMENTS, f"{NAME}-canary/status", status)

        async def raised() -> bool:
            return bool((await shares(scene))["everybody"] == {"stable": 75, "canary": 25})

        await eventually(raised)
