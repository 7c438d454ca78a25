"""The daemon against a Flagger that does not ask, or asks in vain: crash loops, suspension, and we ourselves away."""

from __future__ import annotations

from pathlib import Path

from tests.cluster import Cluster
from tests.component.flagger_fight import AT_0, NORMAL_END, ZERO, fight, history, hooks_in, milestones, never, raises_in
from tests.scene import Scene


async def test_an_alert_before_the_first_step_keeps_the_canary_at_zero(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    async with fight(cluster, scene, tmp_path, until=AT_0) as here:
        async with here.tick_held_inside("pre-rollout"):
            assert await here.alert() == "ROLL_BACK alert-fires"
        lines = await here.tick()

        assert hooks_in(lines) == ["rollback 200", "post-rollout 200"]
        assert raises_in(here.lab.told()) == []
        record = await scene.record("Completed")
        assert [milestone for milestone, _ in milestones(record)] == ["Zeroed", "Proved", "Completed"]


async def test_a_crash_looping_canary_is_at_zero_although_the_hook_is_never_asked(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    async with fight(cluster, scene, tmp_path, settings={"progressDeadlineSeconds": 60}) as here:
        await here.lab.act("break podinfo")
        await here.lab.kubelet.settle()
        already = len(here.lab.told())
        await here.alert()
        await scene.record("Proved")
        not_ready = (
            "HOOK event phase=Progressing -> 200 canary deployment podinfo.test not ready: waiting for rollout to "
            "finish: 0 of 2 (readyThreshold 100%) updated replicas are available"
        )
        await here.tick(5)
        told = here.lab.told()[already:]

        assert told == [
            "ALERT firing -> ROLL_BACK alert-fires", "VS weights=100/0 gen=4", *["TICK", not_ready] * 5,
        ]  # fmt: skip
        assert milestones(await scene.record("Proved")) == NORMAL_END[:2]
        assert (await here.lab.target())["spec"]["replicas"] == 2  # nobody scaled it: that would promote it

        lines = await here.tick()

        assert lines == [
            "TICK",
            not_ready,
            "HOOK event phase=Failed -> 200 Canary failed! Scaling down podinfo.test",
            "DEPLOY podinfo replicas=0 rev=2",
            "CANARY phase=Failed canaryWeight=0 failedChecks=0 iterations=0 applied=B promoted=A",
            "HOOK post-rollout phase=Failed -> 200",
            "HOOK event phase=Progressing -> 200 Post-rollout check hook-post-rollout passed",
        ]
        assert milestones(await scene.record("Completed")) == NORMAL_END
        for name in ("podinfo", "podinfo-primary"):
            managers = {entry["manager"] for entry in (await here.lab.target(name))["metadata"]["managedFields"]}
            assert not any("pullback" in manager for manager in managers), managers


async def test_pods_that_come_up_again_do_not_bring_the_traffic_back(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    async with fight(cluster, scene, tmp_path) as here:
        await here.lab.act("break podinfo")
        await here.lab.kubelet.settle()
        await here.alert()
        await here.tick(2)
        await here.lab.act("heal podinfo")
        lines = await here.tick()

        assert hooks_in(lines) == ["rollback 200", "post-rollout 200"]
        assert raises_in(lines) == []
        await scene.record("Completed")


async def test_a_suspended_canary_is_held_until_flagger_runs_again(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    async with fight(cluster, scene, tmp_path) as here:
        await here.lab.act("suspend true")
        assert await here.alert() == "ROLL_BACK alert-fires"
        await scene.record("Proved")
        assert hooks_in(await here.tick(2)) == []
        await here.lab.set_weights(60, 40)
        await here.pushed_back()
        assert milestones(await scene.record("Proved")) == NORMAL_END[:2]
        await here.lab.act("suspend false")

        lines = await here.tick()

        assert hooks_in(lines) == ["rollback 200", "post-rollout 200"]
        assert (await scene.record("Completed"))["status"]["holds"] == 1


async def test_while_we_are_down_flagger_finds_its_gates_closed_and_then_its_rollback(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    async with fight(cluster, scene, tmp_path) as here:
        await here.alert()
        await scene.record("Proved")
        await here.stop()
        lines = await here.tick(2)

        assert hooks_in(lines) == ["rollback None", "pre-rollout None"] * 2  # unreachable: no rollback, but no start
        assert await here.lab.weights() == ZERO

        await here.start()
        lines = await here.tick()

        assert hooks_in(lines) == ["rollback 200", "post-rollout 200"]
        assert milestones(await scene.record("Completed")) == NORMAL_END


async def test_what_was_raised_while_we_were_down_is_at_zero_again(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    async with fight(cluster, scene, tmp_path, hooks=["rollback"]) as here:
        await here.alert()
        await scene.record("Proved")
        await here.stop()
        assert raises_in(await here.tick(2)) == ["weights=95/5", "weights=90/10"]

        await here.start()
        await here.pushed_back()
        assert hooks_in(await here.tick()) == ["rollback 200", "post-rollout 200"]
        assert (await scene.record("Completed"))["status"]["holds"] == 1


async def test_after_failed_a_raise_by_hand_stands_until_an_alert_fires(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    async with fight(cluster, scene, tmp_path) as here:
        await here.alert(fingerprint="a" * 16)
        await here.tick()
        first = await scene.record("Completed")
        await here.lab.set_weights(70, 30)
        await here.tick(2)
        await never(here.at_zero, within=0.3)
        assert await here.asks("rollback") == 403

        assert await here.alert(fingerprint="b" * 16) == "ROLL_BACK alert-fires"

        second = await here.record(f"{first['metadata']['name']}-2", "Completed")
        assert milestones(second)[-1] == ("Completed", "FailureAccepted")
        assert await here.lab.weights() == ZERO
        assert history(await here.record(first["metadata"]["name"], "Completed")) == history(first)
