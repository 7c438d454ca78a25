"""The daemon against Flagger across a restart of ours: memory is lost, laws are not (law 5)."""

from __future__ import annotations

import asyncio
import datetime
from pathlib import Path

import pytest

from daemon.sandbox.flagger.controller import wall_clock
from tests import builders
from tests.cluster import Cluster
from tests.component.flagger_fight import ago, fight
from tests.running import running
from tests.scene import Scene

A, C = "a" * 16, "c" * 16


async def test_after_a_restart_an_alert_older_than_the_fix_still_spares_it(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    async with fight(cluster, scene, tmp_path) as here:
        before = ago(minutes=1)
        await here.alert(fingerprint=A, starts_at=before)
        await scene.record("Proved")
        await here.lab.push("3")
        await here.tick(2)
        await scene.record("Completed")
        assert await here.alert(fingerprint=C, starts_at=before) == "IGNORE signal-older-than-revision"

        await here.restart()

        assert await here.alert(fingerprint=C, starts_at=before) == "IGNORE signal-older-than-revision"
        assert await here.lab.weights() == [95, 5]


async def test_a_restarted_daemon_opens_no_gate_before_it_knows_what_is_in_force(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    if cluster.emulator is None:
        pytest.skip("faults need the embedded API")
    await scene.add_canary(weight=10)
    question = builders.hook(scene.namespace)
    async with running(cluster, tmp_path) as daemon:
        assert (await daemon.hook("pre-rollout", question))[0] == 200
        await daemon.alert(builders.webhook(builders.alert(scene.namespace)))
        await scene.record("Proved")
    cluster.emulator.faults.slow(0.7, verb="list", resource="rollbacks", user_agent="pullback")
    closed = ["confirm-rollout", "pre-rollout", "confirm-traffic-increase", "confirm-promotion"]
    async with running(cluster, tmp_path, wait=False) as daemon:
        async with asyncio.timeout(5):
            ready = False
            while not ready:
                ready = (await daemon.get("/readyz"))[0] == 200
                answers = [(await daemon.hook(kind, question))[0] for kind in closed]

                assert answers == [403] * 4

        assert (await daemon.hook("rollback", question))[0] == 200


async def test_an_analysis_that_began_while_we_were_away_is_not_killed_by_an_old_record(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    """Failed, taken back and tried once more: the latch ended with Failed, whoever was there to see it."""
    later = datetime.timedelta()
    now = lambda: wall_clock() + later  # noqa: E731 - the clock of this test
    async with fight(cluster, scene, tmp_path, hooks=["rollback"], now=now) as here:
        bad = await here.revision()
        await here.alert(starts_at=ago(seconds=0))
        await scene.record("Proved")
        hold = here.lab.flagger.hold_inside("rollback")
        tick = asyncio.create_task(here.lab.flagger.tick(scene.namespace, "podinfo"))
        await hold.reached(within=5)
        await here.stop()  # Flagger has our 200 in hand
        hold.release()
        await tick
        assert await here.phase() == "Failed"
        await here.lab.push("1")
        await here.tick()
        later = datetime.timedelta(minutes=1)
        await here.lab.push("2")
        await here.tick(2)
        assert await here.lab.weights() == [95, 5]

        await here.start()

        await here.record(f"podinfo-{bad}", "Completed", within=2)
        assert await here.lab.weights() == [95, 5]
        assert await here.asks("rollback") == 403
