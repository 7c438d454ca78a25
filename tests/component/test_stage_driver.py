"""A staged release without any controller: the daemon walks the weights, asks its own gates, and takes them back."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tests import builders
from tests.cluster import Cluster
from tests.component import undriven
from tests.component.staged_release import REVISIONS, Surroundings, settings, surroundings
from tests.component.undriven import NAME, shares
from tests.running import Daemon, eventually, running
from tests.scene import DEPLOYMENTS, ROLLBACKS, ROUTES, Scene

QUICK = {"drive_every": 0.05, "drive_threshold": 3}


def configured(stub: Surroundings, *, soak: float = 0.3, **promotion: Any) -> dict[str, Any]:
    groups = settings(stub, soak=soak, **promotion)
    groups["gates"] |= QUICK
    return groups


async def weight(scene: Scene) -> int:
    found: int = (await shares(scene))["everybody"]["canary"]
    return found


async def until(scene: Scene, wanted: int, *, within: float = 15.0) -> None:
    async def there() -> bool:
        return await weight(scene) == wanted

    await eventually(there, within=within)


async def staged(scene: Scene, **annotations: str) -> None:
    await undriven.release(scene, weight=0, stage_driver="true", **annotations)
    # Only what is split by weight: the header rules are the canary's alone from the beginning.
    everybody = undriven.routes(scene.namespace, 0)["spec"]["http"][1]
    await scene.merge(ROUTES, NAME, {"spec": {"http": [everybody]}})
    await scene.delete(ROUTES, f"{NAME}-opt-in")


async def revision(scene: Scene) -> str:
    async with scene.http.get(REVISIONS.format(scene.namespace)) as response:
        (record,) = (await response.json())["items"]
    found: str = record["status"]["revision"]
    return found


async def climbed(scene: Scene) -> list[int]:
    async with scene.http.get(REVISIONS.format(scene.namespace)) as response:
        (record,) = (await response.json())["items"]
    return [one["weight"] for one in record["status"]["weights"]]


async def recorded(scene: Scene, weights: list[int]) -> None:
    """The record follows the routes, a moment later."""

    async def there() -> bool:
        return await climbed(scene) == weights

    await eventually(there)


async def fire(daemon: Daemon, told: dict[str, Any]) -> str:
    _, answer = await daemon.alert(builders.webhook(told))
    return f"{answer['alerts'][0]['verdict']} {answer['alerts'][0]['reason']}"


async def test_it_climbs_the_stages_waits_for_the_captain_and_goes_to_all_of_it(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await staged(scene)
    async with surroundings() as stub, running(cluster, tmp_path, **configured(stub)) as daemon:
        await until(scene, 50)
        await asyncio.sleep(0.8)  # more than the soak at 50: only the approval is missing
        assert await weight(scene) == 50
        _, told = await daemon.get(f"/api/v1/canaries/{scene.namespace}/{NAME}")
        assert "approval-missing" in told
        said = {"approved": await revision(scene), "approved-by": "captain", "approved-until": "2099-01-01T00:00:00Z"}
        annotations = {f"pullback.dev/{key}": value for key, value in said.items()}
        await scene.merge(ROUTES, NAME, {"metadata": {"annotations": annotations}})
        await until(scene, 100)
        await recorded(scene, [0, 5, 25, 50, 100])
        used = (await scene.get(ROUTES, NAME))["metadata"]["annotations"]["pullback.dev/approved-used"]
        assert used.startswith(said["approved"])
    assert stub.asked["smoke"] == 1


async def test_criteria_that_fail_at_25_percent_take_it_to_zero(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await staged(scene)
    async with surroundings() as stub, running(cluster, tmp_path, **configured(stub)):
        await until(scene, 25)
        stub.errors = 2.5
        record = await scene.record("Proved")
        assert await shares(scene) == {"everybody": {"stable": 100, "canary": 0}}
        assert record["spec"]["trigger"] == "Criteria"
        assert "3 times in a row at 25%" in record["spec"]["reason"]
        await asyncio.sleep(0.6)
        assert await weight(scene) == 0


async def test_what_cannot_be_known_holds_it_where_it_is(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    """Law 8: a Prometheus that does not answer rolls nothing back, and raises nothing."""
    await staged(scene)
    async with surroundings() as stub, running(cluster, tmp_path, **configured(stub)):
        await until(scene, 5)
        stub.prometheus_down = True
        await asyncio.sleep(1.0)
        assert await weight(scene) in {5, 25}  # it may have been on its way
        held = await weight(scene)
        await asyncio.sleep(0.8)
        assert await weight(scene) == held
        assert not await scene.records()
        stub.prometheus_down = False
        await until(scene, 50)


async def test_a_pause_holds_it_and_an_alert_ends_it(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    await staged(scene, paused="true")
    async with surroundings() as stub, running(cluster, tmp_path, **configured(stub)) as daemon:
        await asyncio.sleep(0.8)
        assert await weight(scene) == 0
        await scene.merge(ROUTES, NAME, {"metadata": {"annotations": {"pullback.dev/paused": None}}})
        await until(scene, 25)
        told = builders.alert(scene.namespace, NAME)
        assert await fire(daemon, told) == "ROLL_BACK alert-fires"
        await scene.record("Proved")
        await asyncio.sleep(0.6)
        assert await weight(scene) == 0


async def test_a_restart_goes_on_where_it_was(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    await staged(scene)
    async with surroundings() as stub:
        async with running(cluster, tmp_path, **configured(stub)):
            await until(scene, 5)
        async with running(cluster, tmp_path, **configured(stub)):
            await until(scene, 50)
            await recorded(scene, [0, 5, 25, 50])


async def test_a_person_promotes_what_nobody_drives_and_nothing_else_raises_it(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await undriven.release(scene, weight=5)
    async with surroundings() as stub, running(cluster, tmp_path, gates=QUICK):
        del stub
        await eventually(lambda: _bound(scene))
        said = {"advance-to": "25", "advance-by": "rita", "advance-revision": await revision(scene)}
        annotations = {f"pullback.dev/{key}": value for key, value in said.items()}
        await scene.merge(ROUTES, NAME, {"metadata": {"annotations": annotations}})
        await until(scene, 25)

        async def withdrawn() -> bool:
            return "pullback.dev/advance-to" not in (await scene.get(ROUTES, NAME))["metadata"].get("annotations", {})

        await eventually(withdrawn)
        # Weights of the header rules are nobody's ordinary traffic.
        assert (await shares(scene))["x-canary"] == {"canary": 100}
        await scene.merge(ROUTES, NAME, {"spec": undriven.routes(scene.namespace, 5)["spec"]})
        await asyncio.sleep(0.4)
        assert await weight(scene) == 5


async def _bound(scene: Scene) -> bool:
    async with scene.http.get(REVISIONS.format(scene.namespace)) as response:
        items = (await response.json())["items"]
    return bool(items and items[0].get("status", {}).get("revision"))


async def test_without_anything_new_to_release_it_stays(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    await staged(scene)
    same = undriven.workload(scene.namespace, "canary", "v4")
    same["spec"]["template"]["spec"] = undriven.workload(scene.namespace, "stable", "v3")["spec"]["template"]["spec"]
    await scene.merge(DEPLOYMENTS, f"{NAME}-canary", {"spec": same["spec"]})
    async with surroundings() as stub, running(cluster, tmp_path, **configured(stub)):
        await asyncio.sleep(0.8)
        assert await weight(scene) == 0


async def test_released_it_climbs_again_and_old_failures_do_not_count(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await staged(scene)
    keep = {"policy": "keep"}
    async with surroundings() as stub, running(cluster, tmp_path, cleanup=keep, **configured(stub)):
        await until(scene, 5)
        stub.errors = 2.5
        record = await scene.record("Proved")
        assert "3 times in a row at 5%" in record["spec"]["reason"]
        stub.errors = 0.0
        said = {"metadata": {"annotations": {"pullback.dev/released-by": "captain"}}}
        await scene.merge(ROLLBACKS, record["metadata"]["name"], said)
        await scene.record("Completed")
        await until(scene, 25)
        assert len(await scene.records()) == 1


async def test_what_was_asked_for_before_a_rollback_is_not_done_after_it(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    """Law 1: lifting a hold is no word for more."""
    await undriven.release(scene, weight=5, paused="true")
    async with running(cluster, tmp_path, gates=QUICK) as daemon:
        await eventually(lambda: _bound(scene))
        said = {"advance-to": "25", "advance-by": "rita", "advance-revision": await revision(scene)}
        annotations: dict[str, Any] = {f"pullback.dev/{key}": value for key, value in said.items()}
        await scene.merge(ROUTES, NAME, {"metadata": {"annotations": annotations}})
        assert await fire(daemon, builders.alert(scene.namespace, NAME)) == "ROLL_BACK alert-fires"
        record = await scene.record("Proved")

        async def withdrawn() -> bool:
            return "pullback.dev/advance-to" not in (await scene.get(ROUTES, NAME))["metadata"].get("annotations", {})

        await eventually(withdrawn)
        released = {"metadata": {"annotations": {"pullback.dev/released-by": "captain"}}}
        await scene.merge(ROLLBACKS, record["metadata"]["name"], released)
        await scene.record("Completed")
        await scene.merge(ROUTES, NAME, {"metadata": {"annotations": {"pullback.dev/paused": None}}})
        await asyncio.sleep(0.5)
        assert await weight(scene) == 0


async def test_a_rehearsal_writes_its_rollback_down_once(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    await staged(scene)
    everybody = undriven.routes(scene.namespace, 25)["spec"]["http"][1]
    await scene.merge(ROUTES, NAME, {"spec": {"http": [everybody]}})
    async with surroundings() as stub:
        stub.errors = 2.5
        async with running(cluster, tmp_path, rollback={"dry_run": True}, **configured(stub)):
            record = await scene.record("DryRun")
            assert "3 times in a row at 25%" in record["spec"]["reason"]
            asked = stub.asked["prometheus"]

            async def went_on() -> bool:
                return stub.asked["prometheus"] > asked + 3

            await eventually(went_on)
            await asyncio.sleep(0.5)
            assert len(await scene.records()) == 1
            assert await weight(scene) == 25


async def test_while_nobody_is_sent_to_it_no_criterion_is_waited_for(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    """At 0% a real Prometheus has no data of it: from 5% on it must have some."""
    await staged(scene)
    async with surroundings() as stub, running(cluster, tmp_path, **configured(stub)) as daemon:
        stub.errors = None
        await until(scene, 5)
        await asyncio.sleep(0.8)
        assert await weight(scene) == 5
        _, told = await daemon.get(f"/api/v1/canaries/{scene.namespace}/{NAME}")
        assert "got no data" in told
        stub.errors = 0.0
        await until(scene, 50)


async def test_a_prometheus_that_does_not_answer_holds_it_at_zero_too(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await staged(scene)
    async with surroundings() as stub, running(cluster, tmp_path, **configured(stub)):
        stub.prometheus_down = True
        await asyncio.sleep(1.0)
        assert await weight(scene) == 0
