"""The daemon against a Flagger that fights as the real one was measured to: who ends up with the traffic?"""

from __future__ import annotations

import asyncio
import functools
import json
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from daemon.sandbox.flagger.controller import wall_clock
from tests import builders
from tests.cluster import Cluster
from tests.component.flagger_fight import (
    AT_10,
    BY_PASSWORD,
    BY_TOKEN,
    NORMAL_END,
    ZERO,
    Fight,
    fight,
    history,
    hooks_in,
    milestones,
    raises_in,
)
from tests.component.flagger_stories import HOOKS
from tests.running import eventually
from tests.scene import ROUTES, Scene


async def test_flagger_agrees_at_its_next_tick_and_the_latch_ends(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    async with fight(cluster, scene, tmp_path) as here:
        already = len(here.lab.told())
        await here.alert()
        record = await scene.record("Proved")
        await here.tick(2)
        told = here.lab.told()[already:]

        assert told == [
            "ALERT firing -> ROLL_BACK alert-fires",
            "VS weights=100/0 gen=4",
            "TICK",
            "HOOK rollback phase=Progressing -> 200",
            "HOOK event phase=Progressing -> 200 Rollback check hook-rollback passed",
            "HOOK event phase=Progressing -> 200 Rolling back podinfo.test manual webhook invoked",
            "HOOK event phase=Failed -> 200 Canary failed! Scaling down podinfo.test",
            "DEPLOY podinfo replicas=0 rev=2",
            "CANARY phase=Failed canaryWeight=0 failedChecks=0 iterations=0 applied=B promoted=A",
            "HOOK post-rollout phase=Failed -> 200",
            "HOOK event phase=Progressing -> 200 Post-rollout check hook-post-rollout passed",
            "TICK",
            "CANARY phase=Failed canaryWeight=0 failedChecks=0 iterations=0 applied=B promoted=A",
        ]
        record = await scene.record("Completed")
        assert milestones(record) == NORMAL_END
        assert record["status"]["message"] == "failure-accepted: phase Failed, routes at 0, proved"
        assert record["status"].get("holds", 0) == 0
        assert [(one["before"], one["after"]) for one in record["status"]["weights"]] == [(10, 0)]
        assert await here.asks("rollback") == 403

        again = await here.alert(starts_at=record["spec"]["signal"]["startsAt"])
        assert again == "IGNORE no-active-canary"
        assert history(await scene.record()) == history(record)
        assert await here.lab.weights() == ZERO


async def test_a_repeated_alert_finds_the_rollback_in_force(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    async with fight(cluster, scene, tmp_path) as here:
        await here.alert(starts_at="2026-11-23T08:00:00Z")
        generation = (await here.lab.routes())["metadata"]["generation"]

        assert await here.alert(starts_at="2026-11-23T08:00:00Z") == "ROLL_BACK already-rolling-back"
        assert await here.alert(fingerprint="b" * 16) == "ROLL_BACK already-rolling-back"
        assert await here.alert(status="resolved") == "IGNORE resolved-never-undoes"
        await scene.record("Proved")
        assert (await here.lab.routes())["metadata"]["generation"] == generation
        assert [await here.asks(kind) for kind in HOOKS] == [403, 403, 200, 403, 403, 200, 200, 200]


@pytest.mark.parametrize("credential", [BY_PASSWORD, BY_TOKEN])
async def test_flagger_may_show_either_credential(
    credential: str, cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    async with fight(cluster, scene, tmp_path, credential=credential) as here:
        await here.alert()

        assert hooks_in(await here.tick()) == ["rollback 200", "post-rollout 200"]


async def test_with_the_wrong_password_flagger_hears_no_and_the_route_is_still_held(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    async with fight(cluster, scene, tmp_path, credential="wrong", hooks=["rollback"]) as here:
        await here.alert()
        lines = await here.tick()
        await here.pushed_back()

        assert hooks_in(lines) == ["rollback 401", "pre-rollout 200", "confirm-traffic-increase 200"]
        assert raises_in(lines) == ["weights=95/5"]
        assert await here.phase() == "Progressing"


async def test_a_zero_inside_a_tick_is_overwritten_and_pushed_back_within_one_write(
    cluster: Cluster, scene: Scene, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Only the rollback hook is ours: so nobody closes the gate between our zero and Flagger's write.
    log = {"level": "warning", "format": "json"}
    async with fight(cluster, scene, tmp_path, hooks=["rollback"], log=log) as here:
        already = len(here.lab.told())
        async with here.tick_held_inside("rollout"):
            await here.alert()
        await here.pushed_back()
        await scene.record("Proved")
        await here.tick()
        told = [line for line in here.lab.told()[already:] if not line.startswith("HOOK event")]

        # The old weight and one step more; then what is ours, and no other write (the generations say so).
        expected = [
            "TICK",
            "HOOK rollback phase=Progressing -> 403",
            "HOOK rollout phase=Progressing -> 200",
            "ALERT firing -> ROLL_BACK alert-fires",
            "VS weights=100/0 gen=4",
            "HOOK confirm-traffic-increase phase=Progressing -> 200",
            "VS weights=85/15 gen=5",
            "CANARY phase=Progressing canaryWeight=15 failedChecks=0 iterations=0 applied=B promoted=A",
            "TICK",
            "HOOK rollback phase=Progressing -> 200",
            "DEPLOY podinfo replicas=0 rev=2",
            "CANARY phase=Failed canaryWeight=0 failedChecks=0 iterations=0 applied=B promoted=A",
            "HOOK post-rollout phase=Failed -> 200",
        ]
        assert [line for line in told if line != "VS weights=100/0 gen=6"] == expected
        assert (await here.lab.routes())["metadata"]["generation"] == 6
        record = await scene.record("Completed")
        assert record["status"]["holds"] == 1
        assert milestones(record) == NORMAL_END
        assert "pullback_holds_total 1.0" in (await here.daemon.get("/metrics"))[1]
        logged = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
        assert [(one["found_percent"], one["raised_by"]) for one in logged if one["event"] == "hold.pushed_back"] == [
            (15, "flagger")
        ]


@pytest.mark.parametrize("inside", ["event", "rollback", "rollout", "metrics", "confirm-traffic-increase"])
@pytest.mark.parametrize("ours", [["rollback"], HOOKS], ids=["only rollback wired", "all hooks wired"])
async def test_wherever_in_a_tick_the_alert_lands_the_canary_ends_at_zero(
    inside: str, ours: list[str], cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    async with fight(cluster, scene, tmp_path, hooks=ours) as here:
        already = len(here.lab.told())
        async with here.tick_held_inside(inside):
            assert await here.alert() == "ROLL_BACK alert-fires"
        await here.pushed_back()
        raises = raises_in(here.lab.told()[already:])
        await here.tick()
        record = await scene.record("Completed")

        # Our gate on the increase closes at once; where it is not wired, or was passed already, we are overwritten.
        too_late = inside == "confirm-traffic-increase" or "confirm-traffic-increase" not in ours
        assert len(raises) == int(too_late)
        assert record["status"].get("holds", 0) == len(raises)
        assert await here.phase() == "Failed"
        assert await here.lab.weights() == ZERO


async def test_one_canarys_rollback_leaves_the_other_untouched(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    async with fight(cluster, scene, tmp_path) as here:
        await scene.add_canary("other", weight=20, version="v3")
        before = await scene.get(ROUTES, "other")
        other = builders.hook(scene.namespace, "other")
        await here.alert()

        assert (await here.daemon.hook("rollback", other))[0] == 403
        assert (await here.daemon.hook("confirm-traffic-increase", other))[0] == 200
        await here.tick()
        await scene.record("Completed")
        assert await scene.get(ROUTES, "other") == before


async def test_running_freely_every_revision_that_alerts_ends_failed_and_at_zero(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    """Nobody pulls strings: alerts land at any moment of Flagger's ticks, a fifth of a second apart."""
    moments = random.Random(20261123)
    async with fight(cluster, scene, tmp_path, until=AT_10, hooks=["rollback"], second=0.02, now=wall_clock) as here:
        here.lab.flagger.start()
        here.lab.kubelet.start()
        for number in range(3, 6):
            before = await here.revision()
            await here.lab.push(str(number))
            await eventually(functools.partial(climbs, here, before))
            await asyncio.sleep(moments.uniform(0, 0.2))
            await here.seen()
            told = len(here.lab.told())
            assert await here.alert(fingerprint=f"{number}" * 16) == "ROLL_BACK alert-fires"
            record = await here.record(f"podinfo-{await here.revision()}", "Completed")

            assert await here.phase() == "Failed"
            assert await here.lab.weights() == ZERO
            assert record["status"].get("holds", 0) == len(raises_in(after_zero(here.lab.told()[told:])))
        await here.lab.flagger.stop()


def after_zero(lines: Sequence[str]) -> Sequence[str]:
    """From the first zero on: a raise before it is what the alert found, none that had to be held."""
    return lines[next(place for place, line in enumerate(lines) if line.startswith("VS weights=100/0")) :]


async def climbs(here: Fight, before: str) -> bool:
    """Another revision than that one has traffic."""
    return await here.revision() != before and not await here.at_zero()
