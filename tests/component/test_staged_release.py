"""The whole staged release, driven by the hooks in a real Flagger's order: what opens each gate, and what does not."""

from __future__ import annotations

from pathlib import Path

from tests.cluster import Cluster
from tests.component.staged_release import lines, staged, stages
from tests.scene import Scene


async def test_from_five_percent_to_all_when_the_captain_says_so(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    async with staged(cluster, scene, tmp_path) as release:
        await release.until("WaitingPromotion")
        record = await release.record("Analysing")
        assert stages(record) == [0, 5, 25, 50]
        await release.approve()
        await release.until("Succeeded")

        record = await release.record("Promoted")
        assert lines(record, "stage") == [
            "0% of traffic", "0% -> 5% of traffic", "5% -> 25% of traffic", "25% -> 50% of traffic",
            "50% -> 0% of traffic",
        ]  # fmt: skip
