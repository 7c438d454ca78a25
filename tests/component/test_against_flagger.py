"""The daemon against a Flagger that fights as the real one was measured to: who ends up with the traffic?"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests import builders
from tests.cluster import Cluster
from tests.component.flagger_lab import Lab, laboratory
from tests.component.flagger_stories import Step
from tests.running import TOKEN, Daemon, eventually, running
from tests.scene import CANARIES, ROUTES, Scene

HOOKS = ("confirm-rollout", "pre-rollout", "rollout", "confirm-traffic-increase", "confirm-promotion",
         "rollback", "post-rollout", "event")  # fmt: skip
AT_10 = ("full-life", "Advance podinfo.test canary weight 10")


@dataclass(slots=True)
class Fight:
    """Flagger, its canary and the daemon."""

    lab: Lab
    daemon: Daemon
    scene: Scene
    at: float = 60.0
    _from: int = field(default=0)

    async def tick(self, times: int = 1) -> list[str]:
        """Flagger's next ticks; returns what they did."""
        before = len(self.lab.told())
        for _ in range(times):
            self.at += 10
            await self.lab.play(Step(self.at, "TICK", ()))
        return self.lab.told()[before:]

    async def alert(self, **given: Any) -> tuple[str, str]:
        status, answer = await self.daemon.alert(builders.webhook(builders.alert(self.scene.namespace, **given)))
        assert status == 200, answer
        return answer["alerts"][0]["verdict"], answer["alerts"][0]["reason"]

    async def phase(self) -> str:
        return str((await self.lab.canary())["status"]["phase"])

    async def stays_at_zero(self) -> None:
        async def zero() -> bool:
            return await self.lab.weights() == [100, 0]

        await eventually(zero)

    async def hooks_called(self, lines: list[str]) -> list[str]:
        """``rollback 200`` for every hook but the events."""
        words = [line.split() for line in lines if line.startswith("HOOK ")]
        found = [(line[1], line[line.index("->") + 1]) for line in words]
        return [f"{hook} {status}" for hook, status in found if hook != "event"]

    async def use_daemon(self) -> None:
        """Flagger asks this daemon, with the password in the URL, as the README says."""
        base = str(self.daemon.http._base_url).replace("http://", f"http://pullback:{TOKEN}@").rstrip("/")
        hooks = [{"name": f"hook-{kind}", "type": kind, "url": f"{base}/webhooks/flagger/{kind}"} for kind in HOOKS]
        await self.lab.edit_canary({"analysis": {"webhooks": hooks}})


@contextlib.asynccontextmanager
async def fight(
    cluster: Cluster, scene: Scene, folder: Path, *, story: tuple[str, str] | None = AT_10,
    settings: builders.Json | None = None, **groups: builders.Json
) -> AsyncIterator[Fight]:  # fmt: skip
    door = {"password_files": [str(folder / "token")], "bearer_token_files": [str(folder / "token")]}
    web = {"flagger": door}
    async with (
        laboratory(cluster, scene.namespace, settings) as lab,
        running(cluster, folder, web=web) as daemon,
    ):
        found = Fight(lab, daemon, scene)
        await found.use_daemon()
        if story is not None:
            await lab.play_until(*story)
        yield found


async def test_flagger_agrees_at_its_next_tick_and_the_latch_ends(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    async with fight(cluster, scene, tmp_path) as here:
        assert await here.lab.weights() == [90, 10]
        assert await here.alert() == ("ROLL_BACK", "alert-fires")
        assert await here.lab.weights() == [100, 0]

        lines = await here.tick()

        assert [line for line in lines if "HOOK event" not in line and "TICK" not in line] == [
            "HOOK rollback phase=Progressing -> 200",
            "DEPLOY podinfo replicas=0 rev=2",
            "CANARY phase=Failed canaryWeight=0 failedChecks=0 iterations=0 applied=B promoted=A",
            "HOOK post-rollout phase=Failed -> 200",
        ]
        record = await scene.record("Completed")
        assert record["status"]["message"].startswith("failure-accepted")
        assert [one["type"] for one in record["status"]["conditions"]] == ["Zeroed", "Proved", "Completed"]
        assert await here.alert(starts_at=record["spec"]["signal"]["startsAt"]) == ("IGNORE", "no-active-canary")
        assert (await here.daemon.hook("rollback", builders.hook(scene.namespace)))[0] == 403
        assert len(await scene.records()) == 1


async def test_a_zero_inside_a_tick_is_overwritten_and_pushed_back_within_one_write(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    async with fight(cluster, scene, tmp_path) as here:
        held = here.lab.flagger.hold_inside("confirm-traffic-increase")
        task = asyncio.create_task(here.tick())
        await held.reached(within=5)
        assert await here.alert() == ("ROLL_BACK", "alert-fires")
        assert await here.lab.weights() == [100, 0]
        held.release()
        lines = await task

        # Flagger writes what it computed before: the old weight and one step more, without a conflict.
        assert [line for line in lines if line.startswith("VS")] == ["VS weights=85/15 gen=5"]
        await here.stays_at_zero()
        assert (await here.daemon.get("/metrics"))[1].count("pullback_holds_total 1.0") == 1
        await here.tick()
        record = await scene.record("Completed")
        assert record["status"]["holds"] == 1


async def test_a_crash_looping_canary_is_at_zero_although_the_hook_is_never_asked(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    settings = {"progressDeadlineSeconds": 60}
    async with fight(cluster, scene, tmp_path, settings=settings) as here:
        await here.lab.kubelet.break_pods(scene.namespace, "podinfo")
        await here.lab.kubelet.settle()
        assert await here.alert() == ("ROLL_BACK", "alert-fires")

        lines = await here.tick(4)

        assert await here.hooks_called(lines) == []
        assert await here.lab.weights() == [100, 0]
        assert (await here.lab.target())["spec"]["replicas"] == 2  # nobody scaled it: that would promote it
        assert (await scene.record("Proved"))["status"].get("completedAt") is None
        await here.tick(4)
        assert await here.phase() == "Failed"
        await scene.record("Completed")


async def test_waiting_for_promotion_is_rolled_back_whatever_the_status_says_of_the_weight(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    settings = {"analysis": {"stepWeight": 25, "maxWeight": 50}}
    async with fight(cluster, scene, tmp_path, story=None, settings=settings) as here:
        here.lab.stub.answers["confirm-promotion"] = 403
        hooks = (await here.lab.canary())["spec"]["analysis"]["webhooks"]
        captain = {
            "name": "captain",
            "type": "confirm-promotion",
            "url": f"{here.lab.stub.url}/podinfo/confirm-promotion",
        }
        await here.lab.edit_canary({"analysis": {"webhooks": [captain, *hooks]}})
        await here.lab.play_until(*AT_10)
        await come_to(here, "WaitingPromotion")
        assert await here.phase() == "WaitingPromotion"
        assert (await here.lab.canary())["status"]["canaryWeight"] == 0
        assert await here.lab.weights() == [50, 50]

        assert await here.alert() == ("ROLL_BACK", "alert-fires")
        assert await here.lab.weights() == [100, 0]
        lines = await here.tick()

        assert (await here.hooks_called(lines))[0] == "rollback 200"
        assert await here.phase() == "Failed"
        await scene.record("Completed")


async def come_to(here: Fight, phase: str) -> None:
    for _ in range(20):
        if await here.phase() == phase:
            return
        await here.tick()
    raise AssertionError(await here.phase())


async def test_during_promotion_no_traffic_is_moved_and_a_person_is_told(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    settings = {"analysis": {"stepWeight": 25, "maxWeight": 50}}
    async with fight(cluster, scene, tmp_path, settings=settings) as here:
        await come_to(here, "Promoting")
        before = await here.lab.weights()

        assert await here.alert() == ("ESCALATE", "promotion-under-way")

        assert await here.lab.weights() == before
        record = await scene.record("Escalated")
        assert "no traffic is moved" in record["status"]["message"]
        for _ in range(6):
            await here.tick()
        assert await here.phase() == "Succeeded"
        record = await scene.record("Failed")
        assert record["status"]["message"].startswith("revision-promoted")


async def test_a_promotion_that_overtakes_a_rollback_is_not_fought(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await scene.add_canary(weight=50)
    async with running(cluster, tmp_path) as daemon:
        await daemon.alert(builders.webhook(builders.alert(scene.namespace)))
        await scene.record("Proved")
        await scene.set_status(phase="Promoting")
        await scene.record("Escalated")

        await scene.set_weight(40)

        await never(lambda: at_zero(scene), within=0.7)
        assert await scene.weights() == [60, 40]


async def at_zero(scene: Scene) -> bool:
    return await scene.weights() == [100, 0]


async def never(condition: Any, *, within: float) -> None:
    """Holds its breath: the condition must stay false for that long."""
    with pytest.raises(AssertionError, match="not within"):
        await eventually(condition, within=within)


async def test_a_broken_promotion_is_left_alone(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    await scene.add_canary(weight=100)
    await scene.set_status(phase="Failed", weight=100)
    async with running(cluster, tmp_path) as daemon:
        _, answer = await daemon.alert(builders.webhook(builders.alert(scene.namespace)))

        assert (answer["alerts"][0]["verdict"], answer["alerts"][0]["reason"]) == ("ESCALATE", "promotion-broke")
        await scene.record("Escalated")
        assert await scene.weights() == [0, 100]


async def test_a_new_revision_ends_the_latch_and_is_not_killed_by_the_old_ones_alert(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    async with fight(cluster, scene, tmp_path) as here:
        assert await here.alert(fingerprint="a" * 16) == ("ROLL_BACK", "alert-fires")
        first = await scene.record("Proved")
        await here.lab.push("fixed")

        lines = await here.tick(3)

        ended = await scene.record("Completed")
        assert ended["status"]["message"].startswith("new-revision-began")
        assert "rollback 200" not in await here.hooks_called(lines)
        assert (await here.lab.weights())[1] > 0
        again = await here.alert(fingerprint="a" * 16, starts_at=first["spec"]["signal"]["startsAt"])
        assert again[0] == "IGNORE"
        assert (await here.lab.weights())[1] > 0

        assert await here.alert(fingerprint="b" * 16) == ("ROLL_BACK", "alert-fires")

        assert await here.lab.weights() == [100, 0]
        records = await scene.records()
        assert len(records) == 2
        assert {one["spec"]["revision"] for one in records} == {
            first["spec"]["revision"], (await here.lab.canary())["status"]["lastAppliedSpec"],
        }  # fmt: skip


async def test_a_checksum_of_another_revision_does_not_open_the_rollback_hook(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await scene.add_canary(weight=10)
    async with running(cluster, tmp_path) as daemon:
        ours, other = (builders.hook(scene.namespace, checksum=one) for one in ("58b65dd85", "79777c749"))
        assert (await daemon.hook("rollback", ours))[0] == 403  # nothing in force; the checksum is learned
        await daemon.alert(builders.webhook(builders.alert(scene.namespace)))
        await scene.record("Proved")

        assert (await daemon.hook("rollback", other))[0] == 403
        assert (await daemon.hook("rollback", ours))[0] == 200
        assert (await daemon.hook("pre-rollout", ours))[0] == 403
        assert (await daemon.hook("confirm-promotion", ours))[0] == 403
        assert (await scene.record())["status"]["checksum"] == "58b65dd85"
    async with running(cluster, tmp_path) as daemon:

        async def adopted() -> bool:
            return (await daemon.hook("rollback", ours))[0] == 200

        await eventually(adopted)
        assert (await daemon.hook("rollback", other))[0] == 403


async def test_a_pause_alert_closes_the_traffic_increase_until_it_is_resolved(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    warning = builders.alert(scene.namespace, severity="warning", alertname="CanaryLatencyDegradation")
    over = {**warning, "status": "resolved", "endsAt": "2026-11-23T12:00:00Z"}
    question = builders.hook(scene.namespace)
    await scene.add_canary(weight=10)
    async with running(cluster, tmp_path) as daemon:
        assert (await daemon.hook("confirm-traffic-increase", question))[0] == 200
        _, answer = await daemon.alert(builders.webhook(warning))
        assert answer["alerts"][0]["verdict"] == "PAUSE"
        status, line = await daemon.hook("confirm-traffic-increase", question)
        assert status == 403
        assert "CanaryLatencyDegradation" in line
        assert await scene.weights() == [90, 10]
    async with running(cluster, tmp_path) as daemon:
        assert (await daemon.hook("confirm-traffic-increase", question))[0] == 403  # it survives us

        _, answer = await daemon.alert(builders.webhook(over))

        assert answer["alerts"][0]["verdict"] == "RESUME"
        assert (await daemon.hook("confirm-traffic-increase", question))[0] == 200
        _, answer = await daemon.alert(builders.webhook(warning))  # a late copy of what is over
        assert answer["alerts"][0]["reason"] == "firing-after-resolved"
        assert (await daemon.hook("confirm-traffic-increase", question))[0] == 200
        await daemon.alert(builders.webhook({**warning, "startsAt": "2026-11-23T13:00:00Z"}))
        await scene.set_status(revision="another")

        async def forgotten() -> bool:
            found = (await scene.get(CANARIES, "podinfo"))["metadata"].get("annotations", {})
            return not any("paused-by" in key for key in found)

        await eventually(forgotten)
        assert (await daemon.hook("confirm-traffic-increase", question))[0] == 200


async def test_the_same_revision_analysed_once_more_gets_a_record_of_its_own(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await scene.add_canary(weight=10)
    async with running(cluster, tmp_path) as daemon:
        await daemon.alert(builders.webhook(builders.alert(scene.namespace, fingerprint="a" * 16)))
        await scene.record("Proved")
        await scene.set_status(phase="Failed", weight=0)
        await scene.record("Completed")
        await scene.set_weight(10)
        await scene.set_status(phase="Progressing")

        async def rolled_back() -> bool:
            _, answer = await daemon.alert(builders.webhook(builders.alert(scene.namespace, fingerprint="b" * 16)))
            return bool(answer["alerts"][0]["verdict"] == "ROLL_BACK")

        await eventually(rolled_back)

        names = [one["metadata"]["name"] for one in await scene.records()]
        assert names == ["podinfo-7b8cb8dc5d", "podinfo-7b8cb8dc5d-2"]
        assert await scene.weights() == [100, 0]


async def test_one_canarys_rollback_leaves_the_other_untouched(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    await scene.add_canary(weight=10)
    await scene.add_canary("other", weight=20, version="v3")
    before = await scene.get(ROUTES, "other")
    async with running(cluster, tmp_path) as daemon:
        await daemon.alert(builders.webhook(builders.alert(scene.namespace)))
        await scene.record("Proved")

        assert await scene.get(ROUTES, "other") == before


async def test_after_failed_a_raise_by_hand_stands_until_an_alert_fires(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await scene.add_canary(weight=0)
    await scene.set_status(phase="Failed", weight=0)
    async with running(cluster, tmp_path) as daemon:
        await scene.set_weight(30)
        await never(lambda: at_zero(scene), within=0.4)

        _, answer = await daemon.alert(builders.webhook(builders.alert(scene.namespace)))

        assert answer["alerts"][0]["verdict"] == "ROLL_BACK"
        await scene.record("Completed")
        assert await scene.weights() == [100, 0]


async def test_a_suspended_canary_is_held_until_flagger_runs_again(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    async with fight(cluster, scene, tmp_path) as here:
        await here.lab.edit_canary({"suspend": True})
        assert await here.alert() == ("ROLL_BACK", "alert-fires")
        assert await here.hooks_called(await here.tick(2)) == []
        assert await here.lab.weights() == [100, 0]
        await here.lab.edit_canary({"suspend": False})

        lines = await here.tick()

        assert (await here.hooks_called(lines))[0] == "rollback 200"
        await scene.record("Completed")
