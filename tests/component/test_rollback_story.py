"""A firing alert takes a canary to 0%, proves it, holds it and lets go: the daemon over real HTTP."""

from __future__ import annotations

from pathlib import Path

from tests import builders
from tests.cluster import Cluster
from tests.running import running
from tests.scene import Scene


async def test_a_firing_alert_takes_the_canary_to_zero_and_proves_it(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await scene.add_canary(weight=10)
    async with running(cluster, tmp_path) as daemon:
        status, answer = await daemon.alert(builders.webhook(builders.alert(scene.namespace)))

        assert (status, answer["alerts"][0]["verdict"], answer["alerts"][0]["reason"]) == (
            200, "ROLL_BACK", "alert-fires",
        )  # fmt: skip
        record = await scene.record("Proved")
        assert await scene.weights() == [100, 0]
        print(record)
