"""The daemon against Flagger near the end of an analysis: before promotion all is pulled back, from it on nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster import Cluster
from tests.component.flagger_fight import AT_5, ZERO, fight, hooks_in, milestones, never, raises_in
from tests.component.flagger_stories import HOOKS
from tests.scene import Scene

STEEP = {"analysis": {"stepWeight": 50, "maxWeight": 50}}
"""At its first step it gets half, at the next it is promoted."""

PROMOTED = ("Completed", "RevisionPromoted")
ESCALATED = ("Escalated", "PromotionUnderWay")


async def test_waiting_for_promotion_is_rolled_back_whatever_the_status_says_of_the_weight(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    settings = {**STEEP, "hooks": {"confirm-promotion": 403}}
    ours = [kind for kind in HOOKS if kind != "confirm-promotion"]  # somebody else's approval is awaited
    async with fight(cluster, scene, tmp_path, until=AT_5, settings=settings, hooks=ours) as here:
        await here.come_to("WaitingPromotion")
        assert (await here.lab.canary())["status"]["canaryWeight"] == 0
        assert await here.lab.weights() == [50, 50]
        already = len(here.lab.told())

        assert await here.alert() == "ROLL_BACK alert-fires"
        await scene.record("Proved")
        await here.tick()

        told = [line for line in here.lab.told()[already:] if not line.startswith("HOOK event")]
        assert told == [
            "ALERT firing -> ROLL_BACK alert-fires",
            "VS weights=100/0 gen=3",
            "TICK",
            "HOOK rollback phase=WaitingPromotion -> 200",
            "DEPLOY podinfo replicas=0 rev=2",
            "CANARY phase=Failed canaryWeight=0 failedChecks=0 iterations=0 applied=B promoted=A",
            "HOOK post-rollout phase=Failed -> 200",
        ]
        record = await scene.record("Completed")
        assert [milestone for milestone, _ in milestones(record)] == ["Zeroed", "Proved", "Completed"]
        assert [(one["before"], one["after"]) for one in record["status"]["weights"]] == [(50, 0)]


async def test_in_waiting_promotion_flagger_raises_past_every_gate_and_is_pushed_back(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    """Its rollback hook is not ours, as after a typo in its address: neither of our other hooks is asked there."""
    settings = {"analysis": {"stepWeight": 25, "maxWeight": 50}, "hooks": {"confirm-promotion": 403}}
    ours = ["pre-rollout", "confirm-traffic-increase"]
    async with fight(cluster, scene, tmp_path, until=AT_5, settings=settings, hooks=ours) as here:
        await here.come_to("WaitingPromotion")
        await here.alert()
        for _ in range(3):
            lines = await here.tick()
            await here.pushed_back()

            assert hooks_in(lines) == ["rollback 403", "rollout 200"]
            assert raises_in(lines) == ["weights=75/25"]
        assert (await here.daemon.get("/metrics"))[1].count("pullback_holds_total 3.0") == 1


@pytest.mark.parametrize("phase", ["Promoting", "Finalising"])
async def test_during_promotion_no_traffic_is_moved_and_a_person_is_told(
    phase: str, cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    async with fight(cluster, scene, tmp_path, until=AT_5, settings=STEEP) as here:
        await here.come_to(phase)
        before = await here.lab.routes()

        assert await here.alert() == "ESCALATE promotion-under-way"

        record = await scene.record("Escalated")
        assert milestones(record) == [ESCALATED]
        assert record["status"]["message"] == (
            f"phase {phase}: the primary already has the new template, so no traffic is moved; "
            f"revert the workload: kubectl rollout undo deployment/podinfo -n {scene.namespace}"
        )
        assert await here.lab.routes() == before
        assert await here.asks("rollback") == 403
        await here.come_to("Succeeded")
        record = await scene.record("Failed")
        assert milestones(record) == [ESCALATED, PROMOTED]
        assert record["status"]["message"].startswith("revision-promoted: ")
        assert "zeroedAt" not in record["status"]
        assert await here.alert(starts_at=record["spec"]["signal"]["startsAt"]) == "IGNORE no-active-canary"


async def test_a_promotion_that_overtakes_a_rollback_is_not_fought(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    async with fight(cluster, scene, tmp_path, until=AT_5, settings=STEEP) as here:
        async with here.tick_held_inside("confirm-promotion"):
            assert await here.alert() == "ROLL_BACK alert-fires"
            await scene.record("Proved")
        assert await here.phase() == "Promoting"
        record = await scene.record("Escalated")
        assert [milestone for milestone, _ in milestones(record)] == ["Zeroed", "Proved", "Escalated"]
        assert [await here.asks(kind) for kind in HOOKS] == [200, 200, 200, 200, 200, 403, 200, 200]

        await here.lab.set_weights(60, 40)

        await never(here.at_zero, within=0.7)
        assert await here.lab.weights() == [60, 40]
        await here.come_to("Succeeded")
        assert milestones(await scene.record("Failed"))[-2:] == [ESCALATED, PROMOTED]


async def test_after_a_restart_in_promotion_hands_still_stay_off(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    async with fight(cluster, scene, tmp_path, until=AT_5, settings=STEEP) as here:
        async with here.tick_held_inside("confirm-promotion"):
            await here.alert()
        await scene.record("Escalated")
        await here.stop()
        await here.lab.set_weights(60, 40)
        await here.start()

        await never(here.at_zero, within=0.4)
        await here.come_to("Succeeded")
        assert milestones(await scene.record("Failed"))[-2:] == [ESCALATED, PROMOTED]


async def test_a_broken_promotion_is_left_alone_until_the_template_is_reverted(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    settings = {**STEEP, "deployment": {"progressDeadlineSeconds": 30}}
    async with fight(cluster, scene, tmp_path, until=AT_5, settings=settings) as here:
        await here.lab.act("break-next podinfo-primary")
        await here.come_to("Failed")
        before = await here.lab.routes()
        assert await here.lab.weights() == [0, 100]

        assert await here.alert() == "ESCALATE promotion-broke"

        record = await scene.record("Escalated")
        assert milestones(record) == [("Escalated", "PromotionBroke")]
        assert "no traffic is moved" in record["status"]["message"]
        assert await here.asks("rollback") == 403
        await here.tick(2)
        assert await here.lab.routes() == before

        await here.lab.push("1")
        await here.tick()

        record = await scene.record("Failed")
        assert milestones(record)[-1] == ("Completed", "NewRevisionBegan")
        assert "zeroedAt" not in record["status"]


async def test_a_promotion_that_breaks_under_a_rollback_keeps_what_it_has(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    """Flagger gives the canary everything: it is the only copy that runs, and zeroing it would be an outage."""
    settings = {**STEEP, "deployment": {"progressDeadlineSeconds": 30}}
    async with fight(cluster, scene, tmp_path, until=AT_5, settings=settings) as here:
        await here.lab.act("break-next podinfo-primary")
        async with here.tick_held_inside("confirm-promotion"):
            await here.alert()
            assert await here.lab.weights() == ZERO
        await here.come_to("Failed")

        await never(here.at_zero, within=0.4)
        assert await here.lab.weights() == [0, 100]
        assert milestones(await scene.record("Escalated"))[-1] == ESCALATED
