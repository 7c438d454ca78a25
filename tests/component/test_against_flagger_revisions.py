"""The daemon against Flagger from one revision to the next: a verdict never leaks (law 4), in whatever order."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.sandbox.flagger.canary import Canary
from tests import builders
from tests.cluster import Cluster
from tests.component.flagger_fight import AT_10, ZERO, ago, fight, history, hooks_in, milestones, raises_in
from tests.component.flagger_stories import HOOKS
from tests.running import eventually, running
from tests.scene import CANARIES, Scene

A, B, C = "a" * 16, "b" * 16, "c" * 16
"""Fingerprints of alerts about the revisions of those names."""

INITIALIZED = ("full-life", "Initialization done!")


async def test_a_fix_pushed_during_a_rollback_climbs_undisturbed(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    async with fight(cluster, scene, tmp_path) as here:
        began = ago(minutes=1)
        already = len(here.lab.told())
        assert await here.alert(fingerprint=A, starts_at=began) == "ROLL_BACK alert-fires"
        first = (await scene.record("Proved"))["metadata"]["name"]
        await here.lab.act("revision 3")
        await here.tick(3)
        told = [line for line in here.lab.told()[already:] if not line.startswith("HOOK event")]

        assert told == [
            "ALERT firing -> ROLL_BACK alert-fires",
            "VS weights=100/0 gen=4",
            "LAB revision 3",
            "DEPLOY podinfo replicas=2 rev=3",
            "TICK",
            "CANARY phase=Progressing canaryWeight=0 failedChecks=0 iterations=0 applied=C promoted=A",
            "TICK",
            "HOOK rollback phase=Progressing -> 403",
            "HOOK pre-rollout phase=Progressing -> 200",
            "HOOK confirm-traffic-increase phase=Progressing -> 200",
            "VS weights=95/5 gen=5",
            "CANARY phase=Progressing canaryWeight=5 failedChecks=0 iterations=0 applied=C promoted=A",
            "TICK",
            "HOOK rollback phase=Progressing -> 403",
            "HOOK rollout phase=Progressing -> 200",
            "HOOK confirm-traffic-increase phase=Progressing -> 200",
            "VS weights=90/10 gen=6",
            "CANARY phase=Progressing canaryWeight=10 failedChecks=0 iterations=0 applied=C promoted=A",
        ]
        ended = await here.record(first, "Completed")
        assert milestones(ended)[-1] == ("Completed", "NewRevisionBegan")
        assert ended["status"]["message"].startswith("new-revision-began: ")

        # What still fires about A, in its own episode or in another, does not kill B.
        assert await here.alert(fingerprint=A, starts_at=began) == "IGNORE signal-older-than-revision"
        assert await here.alert(fingerprint=C, starts_at=began) == "IGNORE signal-older-than-revision"
        assert await here.lab.weights() == [90, 10]

        assert await here.alert(fingerprint=B) == "ROLL_BACK alert-fires"
        assert await here.lab.weights() == ZERO
        assert hooks_in(await here.tick()) == ["rollback 200", "post-rollout 200"]
        await here.record(f"podinfo-{await here.revision()}", "Completed")
        assert history(await here.record(first, "Completed")) == history(ended)
        assert len(await scene.records()) == 2


async def test_the_episode_that_killed_one_revision_spares_the_next_even_when_it_is_seconds_old(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    async with fight(cluster, scene, tmp_path) as here:
        just_now = ago(seconds=0)
        await here.alert(fingerprint=A, starts_at=just_now)
        await scene.record("Proved")
        await here.lab.push("3")
        await here.tick(2)

        # Within the clock tolerance it could be B's; but it has had its rollback.
        assert await here.alert(fingerprint=A, starts_at=just_now) == "IGNORE already-handled"
        assert await here.lab.weights() == [95, 5]


async def test_an_alert_about_the_fix_is_not_lost_while_the_old_record_cannot_be_ended(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    if cluster.emulator is None:
        pytest.skip("faults need the embedded API")
    async with fight(cluster, scene, tmp_path) as here:
        await here.alert(fingerprint=A)
        first = (await scene.record("Proved"))["metadata"]["name"]
        cluster.emulator.faults.fail(500, verb="patch", resource="rollbacks", name=first, times=None)
        await here.lab.push("3")
        await here.tick(2)
        assert await here.lab.weights() == [95, 5]

        body = builders.webhook(builders.alert(scene.namespace, fingerprint=B))
        await here.daemon.alert(body)

        await eventually(here.at_zero, within=2)
        cluster.emulator.faults.clear()
        await here.record(first, "Completed")
        await here.record(f"podinfo-{await here.revision()}", "Proved")


async def test_a_checksum_of_another_revision_opens_nothing(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    async with fight(cluster, scene, tmp_path, until=INITIALIZED) as here:
        old = Canary(await here.lab.canary()).checksum
        await here.lab.push("2")
        lines = await here.tick(2)  # confirm-rollout carries the old checksum, the rest the new one
        new = Canary(await here.lab.canary()).checksum
        assert hooks_in(lines)[0] == "confirm-rollout 200"
        await here.alert()

        assert (await here.asks("rollback", old), await here.asks("rollback", new)) == (403, 200)
        record = await scene.record("Proved")
        assert record["status"]["checksum"] == new

        await here.restart()

        assert (await here.asks("rollback", old), await here.asks("rollback", new)) == (403, 200)
        assert hooks_in(await here.tick()) == ["rollback 200", "post-rollout 200"]


async def test_confirm_rollout_teaches_no_checksum(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    await scene.add_canary(weight=10)
    async with running(cluster, tmp_path) as daemon:
        old, new = (builders.hook(scene.namespace, checksum=one) for one in ("58b65dd85", "79777c749"))
        assert (await daemon.hook("confirm-rollout", old))[0] == 200
        await daemon.alert(builders.webhook(builders.alert(scene.namespace)))
        assert (await daemon.hook("confirm-rollout", old))[0] == 403

        assert (await daemon.hook("rollback", new))[0] == 200
        assert (await daemon.hook("rollback", old))[0] == 403


async def test_a_pause_alert_stops_the_climb_until_it_is_resolved(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    since, warning = ago(seconds=0), {"severity": "warning", "alertname": "CanaryLatencyDegradation"}
    async with fight(cluster, scene, tmp_path) as here:
        assert await here.alert(**warning, starts_at=since) == "PAUSE alert-pauses"
        lines = await here.tick(2)
        assert hooks_in(lines) == ["rollback 403", "rollout 200", "confirm-traffic-increase 403"] * 2
        assert await here.lab.weights() == [90, 10]

        await here.restart()

        assert hooks_in(await here.tick())[-1] == "confirm-traffic-increase 403"
        assert (await here.lab.canary())["status"]["failedChecks"] == 0
        assert await here.alert(**warning, starts_at=since, status="resolved") == "RESUME alert-resolved"
        lines = await here.tick()
        assert (hooks_in(lines)[-1], raises_in(lines)) == ("confirm-traffic-increase 200", ["weights=85/15"])
        assert await here.alert(**warning, starts_at=since) == "IGNORE firing-after-resolved"
        assert await here.asks("confirm-traffic-increase") == 200
        assert await scene.records() == []


async def test_a_pause_is_not_inherited_by_the_next_revision(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    async with fight(cluster, scene, tmp_path) as here:
        await here.alert(severity="warning", starts_at=ago(minutes=1))
        assert await here.asks("confirm-traffic-increase") == 403
        await here.lab.push("3")
        lines = await here.tick(2)

        assert raises_in(lines) == ["weights=95/5"]
        assert await here.alert(severity="warning", starts_at=ago(minutes=1)) == "IGNORE signal-older-than-revision"

        async def forgotten() -> bool:
            found = (await scene.get(CANARIES, "podinfo"))["metadata"].get("annotations", {})
            return not any("paused-by" in key for key in found)

        await eventually(forgotten)


async def test_resolved_before_firing_leaves_the_gate_open(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    since = ago(seconds=0)
    async with fight(cluster, scene, tmp_path) as here:
        assert await here.alert(severity="warning", starts_at=since, status="resolved") == "IGNORE nothing-to-resume"
        assert await here.alert(severity="warning", starts_at=since) == "IGNORE firing-after-resolved"
        assert raises_in(await here.tick()) == ["weights=85/15"]


async def test_resolved_before_firing_of_a_rollback_alert_makes_no_difference(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    since = ago(seconds=0)
    async with fight(cluster, scene, tmp_path) as here:
        assert await here.alert(starts_at=since, status="resolved") == "IGNORE resolved-never-undoes"
        assert await here.alert(starts_at=since) == "ROLL_BACK alert-fires"
        assert await here.lab.weights() == ZERO


async def test_the_same_revision_analysed_once_more_gets_a_record_of_its_own(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    async with fight(cluster, scene, tmp_path, until=AT_10) as here:
        bad = await here.revision()
        await here.alert(fingerprint=A)
        await here.tick()
        first = await here.record(f"podinfo-{bad}", "Completed")
        await here.lab.push("1")
        await here.tick()
        await here.lab.push("2")
        lines = await here.tick(3)

        assert await here.revision() == bad
        assert hooks_in(lines)[:2] == ["confirm-rollout 200", "rollback 403"]
        assert raises_in(lines) == ["weights=95/5", "weights=90/10"]
        again = await here.alert(fingerprint=A, starts_at=first["spec"]["signal"]["startsAt"])
        assert again == "IGNORE already-handled"

        assert await here.alert(fingerprint=B) == "ROLL_BACK alert-fires"
        assert await here.lab.weights() == ZERO
        assert hooks_in(await here.tick()) == ["rollback 200", "post-rollout 200"]
        second = await here.record(f"podinfo-{bad}-2", "Completed")
        assert second["spec"]["revision"] == bad
        assert history(await here.record(f"podinfo-{bad}", "Completed")) == history(first)


async def test_a_template_that_is_taken_back_ends_in_failed_without_traffic(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    """Reverting the Deployment during a rollback: the promoted template is not a new revision to Flagger."""
    async with fight(cluster, scene, tmp_path) as here:
        await here.alert()
        await scene.record("Proved")
        await here.lab.push("1")
        lines = await here.tick()

        assert hooks_in(lines) == ["rollback 200", "post-rollout 200"]
        assert (await scene.record("Completed"))["spec"]["revision"] != await here.revision()
        assert await here.lab.weights() == ZERO
        # Nothing is under analysis: what would let traffic rise is closed, and a new revision is not held up.
        assert [await here.asks(kind) for kind in HOOKS] == [200, 403, 200, 403, 403, 403, 200, 200]
