"""A drill's alert at the daemon's door: what it may touch, and that a real alert never waits for a rehearsal."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests import builders
from tests.builders import Json
from tests.cluster import Cluster
from tests.running import Daemon, eventually, running
from tests.scene import CANARIES, ROLLBACKS, Scene

EVENTS = "/api/v1/namespaces/{}/events"


def drill(scene: Scene, name: str = "podinfo", *, identity: str = "d1", **labels: str) -> Json:
    given: Any = {"fingerprint": f"d{identity}", "alertname": "PullbackDrill", "drill": identity, **labels}
    return builders.webhook(builders.alert(scene.namespace, name, **given))


async def ignored(scene: Scene) -> list[str]:
    async with scene.http.get(EVENTS.format(scene.namespace)) as response:
        events = (await response.json())["items"]
    return [one["message"] for one in events if one["reason"] == "DrillIgnored"]


async def own_canary(scene: Scene) -> None:
    await scene.add_canary("own", weight=50)
    await scene.merge(CANARIES, "own", {
        "spec": {"suspend": True}, "metadata": {"annotations": {"pullback.dev/drill": "true"}},
    })  # fmt: skip


async def test_a_drill_takes_its_own_canary_to_zero_and_says_that_it_is_one(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await own_canary(scene)
    async with running(cluster, tmp_path) as daemon:
        status, answer = await daemon.alert(drill(scene, "own"))
        assert (status, answer["alerts"][0]["reason"]) == (200, "alert-fires")
        record = await scene.record("Proved")
        assert record["spec"]["drill"] is True
        assert await scene.weights("own") == [100, 0]
        _, metrics = await daemon.get("/metrics")
        assert 'pullback_rollbacks_total{outcome="Completed",trigger="Alert"} 0.0' in metrics
        assert "pullback_last_drill_timestamp_seconds{" not in metrics
        told = {"outcome": "Passed", "at": "2026-11-23T07:00:00Z"}
        await scene.merge(ROLLBACKS, f"{record['metadata']['name']}/status", {"status": {"drill": told}})

        await eventually(lambda: passed(daemon))
    async with running(cluster, tmp_path) as daemon:
        await eventually(lambda: passed(daemon))  # from the record: a restart forgets nothing


async def passed(daemon: Daemon) -> bool:
    _, text = await daemon.get("/metrics")
    return 'pullback_last_drill_timestamp_seconds{outcome="passed"} 1.795' in text


@pytest.mark.parametrize(("name", "labels", "why"), [
    ("podinfo", {}, "drill-on-real-canary: "),
    ("nobody", {}, "unmatched: "),
    ("podinfo", {"severity": "info"}, "no-rule-matches: "),
    ("podinfo", {"severity": "warning"}, "policy-ignores: "),
])  # fmt: skip
async def test_whoever_drills_is_told_why_nothing_was_done(
    name: str, labels: dict[str, str], why: str, cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await scene.add_canary(weight=25)
    body = drill(scene, name, **labels)
    async with running(cluster, tmp_path) as daemon:
        for _ in range(2):
            status, answer = await daemon.alert(body)
            assert (status, answer["alerts"][0]["verdict"]) == (200, "IGNORE")

        async def told() -> list[str]:
            return await ignored(scene)

        (said,) = await eventually(told)
        assert said.startswith(why)
    assert await scene.weights() == [75, 25]
    assert await scene.records() == []
    canary = await scene.get(CANARIES, "podinfo")
    assert not canary["metadata"].get("annotations"), "a drill closes no gate"


async def test_a_shadow_drill_writes_nothing_and_repeats_make_no_more_records(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await scene.add_canary(weight=25)
    body = drill(scene, drill_mode="shadow")
    async with running(cluster, tmp_path) as daemon:
        for _ in range(3):
            assert (await daemon.alert(body))[0] == 200
            await scene.record("DryRun")
        record = await scene.record("DryRun")
        assert (record["spec"]["dryRun"], record["spec"]["drill"]) == (True, True)
        assert await scene.weights() == [75, 25]


async def test_a_real_alert_never_waits_for_a_rehearsal(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    if cluster.emulator is None:
        pytest.skip("needs faults")
    await scene.add_canary(weight=25)
    async with running(cluster, tmp_path) as daemon:
        refused = cluster.emulator.faults.fail(403, verb="patch", resource="rollbacks", subresource="status",
                                               times=None)  # fmt: skip
        assert (await daemon.alert(drill(scene, drill_mode="shadow")))[0] == 200
        assert (await scene.record())["spec"]["dryRun"] is True
        status, answer = await daemon.alert(builders.webhook(builders.alert(scene.namespace)))
        assert (status, answer["alerts"][0]["reason"]) == (200, "alert-fires")
        assert await scene.weights() == [100, 0]
        assert refused.hits
        cluster.emulator.faults.clear()

        async def both() -> bool:
            phases = {one["spec"]["dryRun"]: one.get("status", {}).get("phase") for one in await scene.records()}
            return phases.get(False) == "Proved"

        await eventually(both)
        await scene.set_weight(25)  # and it is held

        async def held() -> bool:
            return await scene.weights() == [100, 0]

        await eventually(held)
        await scene.set_status(phase="Failed", weight=0)

        async def over() -> bool:
            phases = {one.get("status", {}).get("phase") for one in await scene.records()}
            return phases <= {"Completed", "DryRun", "Failed"}

        await eventually(over)


async def test_a_rehearsal_that_meets_a_real_record_never_ends_it(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    """Two replicas: one hears the real alert, the other, which has not seen that record yet, the drill's."""
    await scene.add_canary(weight=25)
    async with running(cluster, tmp_path) as one, running(cluster, tmp_path) as other:
        body = drill(scene, drill_mode="shadow")
        real = builders.webhook(builders.alert(scene.namespace))
        (status, _), _ = await asyncio.gather(one.alert(real), other.alert(body))
        while status == 503:  # it has met the rehearsal's record, and Alertmanager sends again
            status, _ = await one.alert(real)

        async def proved() -> bool:
            records = [one for one in await scene.records() if not one["spec"]["dryRun"]]
            return [record.get("status", {}).get("phase") for record in records] == ["Proved"]

        await eventually(proved)
        assert await scene.weights() == [100, 0]
