"""The whole staged release, driven by the hooks in a real Flagger's order: what opens each gate, and what does not."""

from __future__ import annotations

import asyncio
import itertools
import re
from pathlib import Path

import pytest

from daemon.sandbox.processes import free_port
from tests import builders
from tests.cluster import Cluster
from tests.component.flagger_fight import ZERO, ago, hooks_in, raises_in
from tests.component.staged_release import SOAK, Release, lines, moment, staged, weights
from tests.running import eventually
from tests.scene import DEPLOYMENTS, Scene

ALL_STAGES = [0, 5, 25, 50]
LONG = 3600.0
A = "a" * 16


async def test_from_five_percent_to_all_when_the_captain_says_so(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    async with staged(cluster, scene, tmp_path) as release:
        told = await release.until("WaitingPromotion")
        assert raises_in(told) == ["weights=95/5", "weights=75/25", "weights=50/50"]
        record = await release.record("Analysing", stages=ALL_STAGES)
        seen = [moment(one) for one in record["status"]["weights"]]
        soaked = [after - before for before, after in itertools.pairwise(seen)]
        assert all(seconds >= SOAK for seconds in soaked), soaked
        assert await release.refused("confirm-promotion") == "approval-missing"

        await release.approve()
        told = await release.until("Succeeded")

        assert hooks_in(told)[-2:] == ["confirm-promotion 200", "post-rollout 200"]
        record = await release.record("Promoted")
        assert [line.partition(" until ")[0] for line in lines(record, "phase", "stage", "act")] == [
            f"analysis of revision {record['status']['revision']} began",
            "0% of traffic",
            "0% -> 5% of traffic",
            "5% -> 25% of traffic",
            "25% -> 50% of traffic",
            f"revision {record['status']['revision']} approved by captain@example.com",
            "50% -> 0% of traffic",
            "promoted: it is the stable version now",
        ]
        answers = {line.partition(":")[0] for line in lines(record, "hook")}
        assert answers == {
            "confirm-rollout answered 200 open",
            "pre-rollout answered 200 open",
            "rollout answered 200 open",
            "confirm-traffic-increase answered 403 soaking",
            "confirm-traffic-increase answered 200 open",
            "confirm-promotion answered 403 approval-missing",
            "confirm-promotion answered 200 approved",
            "post-rollout, phase Succeeded",
        }
        assert "smoke passed: " in lines(record, "check")[0]
        assert release.stub.asked["smoke"] == 1  # once for the revision, however often Flagger asks
        assert release.stub.most_at_once == {"smoke": 1, "prometheus": 1}
        shown = await release.shown()
        assert [one["revision"] for one in shown["revisions"]] == [record["status"]["revision"]]
        assert len(shown["revisions"][0]["timeline"]) == len(record["status"]["timeline"])


async def test_what_is_not_acceptable_gets_no_traffic(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    async with staged(cluster, scene, tmp_path) as release:
        release.stub.smoke = 500
        told = await release.until("Failed")

        assert raises_in(told) == []
        assert hooks_in(told).count("pre-rollout 403") == 5  # Flagger's threshold
        said = next(line for line in told if "pre-rollout check hook-pre-rollout failed" in line)
        assert "check-failed: smoke: " in said
        assert "expected 200-299, got 500" in said, said
        assert len(said) < 1100
        record = await release.record("Failed")
        assert any(line.startswith("pre-rollout answered 403 check-failed: smoke: ") for line in lines(record, "hook"))
        assert "smoke failed: " in lines(record, "check")[0]


async def test_waiting_at_confirm_rollout_counts_against_nothing(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    profiles = {"default": {"confirm_rollout": ["smoke"], "pre_rollout": ["smoke"]}}
    async with staged(cluster, scene, tmp_path, gates={"profiles": profiles}) as release:
        release.stub.smoke = 503
        for _ in range(8):  # more than the threshold
            await release.here.tick()
            await asyncio.sleep(0.06)
        assert await release.here.phase() == "Waiting"
        assert (await release.here.lab.canary())["status"]["failedChecks"] == 0
        # Flagger does not name the new revision yet: its record is that of the template in the Deployment.
        waiting = [one for one in await release.records() if one["status"]["phase"] == "Pending"]
        assert len(waiting) == 1
        assert waiting[0]["spec"]["images"] == ["podinfo:2"]
        assert set(release.stub.smoked) == {""}  # and none of its checks is told the name of the one before

        release.stub.smoke = 200
        await release.until_weight(5)

        record = await release.record("Analysing")
        assert record["metadata"]["name"] == waiting[0]["metadata"]["name"]
        assert "confirm-rollout answered 403 check-failed" in lines(record, "hook")[0]
        asked = release.stub.asked["smoke"]
        await release.until_weight(25)
        assert release.stub.asked["smoke"] == asked  # what passed is not asked again, at pre-rollout neither


async def test_the_images_of_a_revision_are_those_of_its_init_containers_too(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    async with staged(cluster, scene, tmp_path) as release:
        migration = {"initContainers": [{"name": "migrate", "image": "registry.example/migrate:2"}]}
        await scene.merge(DEPLOYMENTS, "podinfo", {"spec": {"template": {"spec": migration}}})
        await release.until_weight(5)
        record = await release.record("Analysing")
        assert record["spec"]["images"] == ["podinfo:2", "registry.example/migrate:2"]


async def test_criteria_that_fail_at_a_quarter_end_at_zero(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    async with staged(cluster, scene, tmp_path) as release:
        await release.until_weight(25)
        release.stub.errors = 7.5
        told = await release.until("Failed")

        assert raises_in(told) == []
        assert await release.here.lab.weights() == ZERO
        assert hooks_in(told).count("rollout 403") == 5
        record = await release.record("Failed", stages=[0, 5, 25, 0])
        assert "rollout answered 403 check-failed: error-rate: expected at most 0.5, got 7.5" in "\n".join(
            lines(record, "hook")
        )


@pytest.mark.parametrize("trouble", ["prometheus is down", "no data"])
async def test_what_cannot_be_known_raises_nothing_and_fails_nothing(
    trouble: str, cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    async with staged(cluster, scene, tmp_path) as release:
        await release.until_weight(5)
        if trouble == "no data":
            release.stub.errors = None
        else:
            release.stub.prometheus_down = True
        await asyncio.sleep(SOAK)
        told: list[str] = []
        for _ in range(8):
            told += await release.here.tick()
            await asyncio.sleep(0.06)

        assert raises_in(told) == []
        assert hooks_in(told).count("rollout 200") == 8
        assert hooks_in(told).count("confirm-traffic-increase 403") == 8
        assert (await release.here.lab.canary())["status"]["failedChecks"] == 0
        assert await release.refused("confirm-traffic-increase") == "check-undecided"

        release.stub.errors, release.stub.prometheus_down = 0.0, False
        await release.until_weight(25)


async def test_without_a_gate_to_wait_at_not_knowing_is_no_pass(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    """A canary whose increases nobody asks us about: the rollout hook is then all there is."""
    async with staged(cluster, scene, tmp_path) as release:
        canary = await release.here.lab.canary()
        hooks = [one for one in canary["spec"]["analysis"]["webhooks"] if one["type"] != "confirm-traffic-increase"]
        await release.here.lab.edit_canary({"analysis": {"webhooks": hooks}})
        await release.until_weight(5)
        release.stub.prometheus_down = True
        await asyncio.sleep(0.06)
        assert "rollout 403" in hooks_in(await release.here.tick())


async def test_load_is_made_once_at_each_weight_and_its_result_counts(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    async with staged(cluster, scene, tmp_path, gates={"profiles": {"default": {"load": "load"}}}) as release:
        await release.until("WaitingPromotion")
        assert release.stub.asked["load"] == 3
        await release.here.lab.push("3")
        release.stub.load = 500
        told = await release.until("Failed")
        assert raises_in(told) == ["weights=95/5"]
        said = "\n".join(lines(await release.record("Failed"), "hook"))
        assert "rollout answered 403 check-failed: load: POST" in said


async def test_a_load_generator_that_is_down_fails_no_canary(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    down = {"kind": "http", "method": "POST", "url": f"http://127.0.0.1:{free_port()}/"}
    gates = {"checks": {"load": down}, "profiles": {"default": {"load": "load"}}}
    async with staged(cluster, scene, tmp_path, gates=gates) as release:
        told = await release.until("WaitingPromotion")
        assert "rollout 403" not in hooks_in(told)
        said = "\n".join(lines(await release.record("Analysing"), "hook"))
        assert "rollout answered 200 check-undecided: load: cannot know: POST http://127.0.0.1" in said


async def elsewhere(release: Release, kind: str) -> None:
    """Somebody else's server answers the hook of this type."""
    canary = await release.here.lab.canary()
    hooks = [one if one["type"] != kind else {**one, "url": f"{release.stub.url}/load"}
             for one in canary["spec"]["analysis"]["webhooks"]]  # fmt: skip
    await release.here.lab.edit_canary({"analysis": {"webhooks": hooks}})


async def test_a_gate_that_somebody_else_answers_waits_for_nothing_of_ours(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    async with staged(cluster, scene, tmp_path) as release:
        await elsewhere(release, "confirm-traffic-increase")
        await release.until_weight(5)
        release.stub.prometheus_down = True
        await asyncio.sleep(0.06)
        assert "rollout 403" in hooks_in(await release.here.tick())


async def test_an_approval_that_somebody_else_is_asked_for_is_required_before_the_last_increase(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    async with staged(cluster, scene, tmp_path) as release:
        await elsewhere(release, "confirm-promotion")
        await release.until_weight(50)
        await asyncio.sleep(SOAK)
        assert await release.refused("confirm-traffic-increase") == "approval-missing"


async def test_a_pause_holds_it_and_resuming_lets_it_go_on(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    async with staged(cluster, scene, tmp_path) as release:
        await release.until_weight(5)
        await release.annotate(paused="true")
        await asyncio.sleep(SOAK)
        told = await release.here.tick(3)
        assert raises_in(told) == []
        assert await release.refused("confirm-traffic-increase") == "paused"

        await release.annotate(paused=None)
        await release.until_weight(25)
        record = await release.record("Analysing")
        assert lines(record, "act") == ["paused by a person", "resumed by a person"]


async def test_a_pause_alert_holds_it_while_it_fires(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    async with staged(cluster, scene, tmp_path) as release:
        await release.until_weight(5)
        assert await release.here.alert(severity="warning", fingerprint=A) == "PAUSE alert-pauses"
        await asyncio.sleep(SOAK)
        assert raises_in(await release.here.tick(3)) == []
        assert await release.refused("confirm-traffic-increase") == "alert-pauses"
        assert await release.here.alert(severity="warning", fingerprint=A, status="resolved") == "RESUME alert-resolved"
        await release.until_weight(25)
        record = await release.record("Analysing")
        assert len(lines(record, "alert")) == 2


async def test_an_approval_of_something_else_or_too_late_promotes_nothing(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    async with staged(cluster, scene, tmp_path) as release:
        await release.until("WaitingPromotion")

        async def says(reason: str) -> None:
            async def answered() -> bool:
                await release.here.tick()
                return await release.refused("confirm-promotion") == reason

            await eventually(answered)
            assert await release.here.phase() == "WaitingPromotion"

        await says("approval-missing")
        await release.approve("5cdfc66d4d")
        await says("approval-of-another-revision")
        await release.approve(approved_until=ago(minutes=1))
        await says("approval-expired")
        await release.approve(approved_until="tomorrow")
        await says("approval-expired")
        await release.annotate(approved=await release.here.revision(), approved_by="", approved_until=None)
        await says("approval-missing")

        await release.approve(approved_until=ago(minutes=-1))
        await release.until("Succeeded")


async def test_an_approval_that_says_no_end_has_one(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    async with staged(cluster, scene, tmp_path, given={"expires": 0.3}) as release:
        await release.until_weight(25)
        await release.annotate(approved=await release.here.revision(), approved_by="ann@example.com")
        await release.until("WaitingPromotion")
        assert await release.refused("confirm-promotion") == "approval-expired"  # counted from when it was seen


async def test_two_people_must_agree_where_two_are_asked_for(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    async with staged(cluster, scene, tmp_path, given={"approvals": 2}) as release:
        await release.until("WaitingPromotion")
        await release.approve(approved_by="ann@example.com, ann@example.com")
        await release.here.tick()
        assert await release.refused("confirm-promotion") == "approval-missing"
        await release.approve(approved_by="ann@example.com, bob@example.com")
        await release.until("Succeeded")


async def test_an_approval_opens_one_promotion_only(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    async with staged(cluster, scene, tmp_path) as release:
        await release.until("WaitingPromotion")
        first = await release.here.revision()
        await release.approve()
        await release.until("Succeeded")
        await release.here.lab.push("1")
        await release.until("WaitingPromotion", within=20)
        await release.approve(approved_by="bob@example.com")
        await release.until("Succeeded")
        # The same template once more, and somebody puts the old approval back, its use included.
        used = next(one for one in await release.records() if one["status"]["revision"] == first)
        await release.here.lab.push("2")
        await release.until("WaitingPromotion", within=20)
        assert await release.here.revision() == first
        record = await release.record("Analysing")
        assert (record["metadata"]["uid"], record["status"]["run"]) == (used["metadata"]["uid"], 2)
        assert weights(record) == ALL_STAGES  # counted from the beginning
        word = f"{first} captain@example.com 2099-01-01T00:00:00Z"
        await release.approve(
            approved_until="2099-01-01T00:00:00Z", approved_used=f"{word} {used['status']['began']}"
        )  # fmt: skip
        told = await release.here.tick(3)
        assert "confirm-promotion 200" not in hooks_in(told)
        assert await release.refused("confirm-promotion") == "approval-used"

        await release.approve(approved_until="2099-01-01T00:00:01Z")
        await release.until("Succeeded")


async def test_advance_to_skips_soaks_up_to_that_weight(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    async with staged(cluster, scene, tmp_path, given={"soak": LONG}) as release:
        await release.here.tick(3)
        assert await release.refused("confirm-traffic-increase") == "soaking"
        await release.annotate(advance_to="25")
        await release.here.tick(2)
        assert raises_in(release.here.lab.told()) == []  # nobody named

        await release.annotate(advance_by="ann@example.com")
        await release.until_weight(25)
        told = await release.here.tick(3)
        assert raises_in(told) == []
        assert await release.refused("confirm-traffic-increase") == "soaking"
        record = await release.record("Analysing")
        assert "soaks up to 25% skipped by nobody named" in lines(record, "act")
        annotations = (await release.here.lab.canary())["metadata"]["annotations"]
        assert annotations["pullback.dev/advance-revision"] == await release.here.revision()

        # It was said for that revision: the next one soaks.
        await release.here.lab.push("3")
        await release.here.tick(4)
        assert await release.here.lab.weights() == ZERO
        assert await release.refused("confirm-traffic-increase") == "soaking"


async def test_an_advance_that_was_there_before_is_not_meant_for_this_revision(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    async with staged(cluster, scene, tmp_path, given={"soak": LONG}) as release:
        await release.annotate(advance_to="50", advance_by="ann@example.com")
        await release.here.tick(4)
        assert await release.here.lab.weights() == ZERO
        assert await release.refused("confirm-traffic-increase") == "soaking"

        async def withdrawn() -> bool:
            annotations = (await release.here.lab.canary())["metadata"].get("annotations") or {}
            return not any(name.startswith("pullback.dev/advance") for name in annotations)

        await eventually(withdrawn)  # so that the same can be said again, and be meant
        await release.annotate(advance_to="5", advance_by="ann@example.com")
        await release.until_weight(5)


async def test_what_was_said_before_a_rollback_counts_for_no_later_analysis(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    """The same template comes back: an approval and an advance of the first time are not meant for the second."""
    async with staged(cluster, scene, tmp_path) as release:
        await release.until_weight(5)
        first = await release.here.revision()
        await release.approve(advance_to="50", advance_by="ann@example.com", advance_revision=first)
        await release.until_weight(25)
        assert await release.here.alert() == "ROLL_BACK alert-fires"
        await release.until("Failed")
        await release.record("Failed", revision=first)
        await release.here.lab.push("1")
        await release.here.tick(2)
        await release.here.lab.push("2")
        await release.until("WaitingPromotion", within=20)

        assert await release.here.revision() == first
        record = await release.record("Analysing", stages=ALL_STAGES)
        assert record["status"]["run"] == 2
        seen = [moment(one) for one in record["status"]["weights"]]
        assert all(after - before >= SOAK for before, after in itertools.pairwise(seen)), seen
        assert await release.refused("confirm-promotion") == "approval-used"
        await release.approve(approved_until=ago(minutes=-30))
        await release.until("Succeeded")


async def test_from_a_weight_that_is_no_step_flagger_is_not_let_on(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    """Flagger would go to 100% at once, before it asks whether it may be promoted."""
    async with staged(cluster, scene, tmp_path) as release:
        await release.until_weight(5)
        await release.here.lab.set_weights(90, 10)
        await release.record("Analysing", stages=[0, 5, 10])
        await asyncio.sleep(SOAK)
        assert raises_in(await release.here.tick(3)) == []
        assert await release.refused("confirm-traffic-increase") == "weight-is-no-step"
        await release.here.lab.set_weights(100, 0)
        await release.until_weight(5)


async def test_a_config_that_changed_is_another_run(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    """Flagger's revision is the pod template alone; its checksum is also of the ConfigMaps that belong to it."""
    async with staged(cluster, scene, tmp_path) as release:
        await release.until_weight(25)
        await release.track_configs("1")

        async def noted() -> bool:
            return bool((await release.record("Analysing"))["status"].get("configs"))

        await eventually(noted)
        before = (await release.record("Analysing"))["status"]["run"]
        await release.track_configs("2")

        async def anew() -> bool:
            status = (await release.record("Analysing"))["status"]
            return bool(status["run"] == before + 1 and [one["weight"] for one in status["weights"]] == [25])

        await eventually(anew)  # and the soak of this weight is counted from now


async def test_a_soak_costs_no_write_at_every_tick(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    if cluster.emulator is None:
        pytest.skip("counts the calls that the embedded API has seen")
    async with staged(cluster, scene, tmp_path, given={"soak": LONG}) as release:
        await release.here.tick(4)
        await release.record("Analysing", stages=[0])
        await asyncio.sleep(0.2)
        cluster.emulator.requests.clear()
        for _ in range(10):
            await release.here.tick()
            await asyncio.sleep(0.05)
        writes = [one for one in cluster.emulator.requests if one.resource == "canaryrevisions" and one.verb == "patch"]
        assert len(writes) <= 1, len(writes)


async def test_a_weight_that_somebody_took_away_soaks_again(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    async with staged(cluster, scene, tmp_path) as release:
        await release.until_weight(25)
        await release.here.lab.set_weights(100, 0)
        await release.record("Analysing", stages=[0, 5, 25, 0])
        await release.until_weight(25)
        await release.record("Analysing", stages=[0, 5, 25, 0, 5, 25])


async def test_a_rollback_closes_every_gate_and_its_record_and_the_timeline_agree(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    async with staged(cluster, scene, tmp_path) as release:
        await release.until_weight(25)
        await release.approve()
        assert await release.here.alert() == "ROLL_BACK alert-fires"
        assert await release.here.lab.weights() == ZERO
        for hook in ("pre-rollout", "confirm-traffic-increase", "confirm-promotion"):
            assert await release.here.asks(hook) == 403
        assert hooks_in(await release.here.tick()) == ["rollback 200", "post-rollout 200"]
        record = await release.record("Failed", stages=[0, 5, 25, 0])
        assert any("CanaryHighErrorRate fires: ROLL_BACK alert-fires" in line for line in lines(record, "alert"))
        assert any(re.match(r"Rollback podinfo-\w+ is Zeroed", line) for line in lines(record, "rollback"))


async def test_a_fix_that_is_pushed_meanwhile_has_a_record_and_soaks_of_its_own(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    async with staged(cluster, scene, tmp_path) as release:
        await release.until_weight(25)
        first = await release.here.revision()
        await release.here.lab.push("3")
        await release.until_weight(5)
        assert await release.here.revision() != first
        overtaken = await release.record("Superseded", revision=first)
        assert weights(overtaken)[:3] == [0, 5, 25]
        await release.record("Analysing", stages=[0, 5])
        assert release.stub.asked["smoke"] == 2


async def test_a_profile_nobody_configured_opens_nothing(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    async with staged(cluster, scene, tmp_path) as release:
        await release.annotate(profile="chekout")
        await release.here.tick(2)
        assert await release.here.phase() == "Waiting"
        status, said = await release.asked("confirm-rollout")
        assert status == 403
        assert "'chekout'" in said
        await release.annotate(profile=None)
        await release.until_weight(5)


@pytest.mark.parametrize("weight", ALL_STAGES)
async def test_a_restart_in_any_stage_begins_no_soak_anew(
    weight: int, cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    async with staged(cluster, scene, tmp_path, given={"soak": 1.0}) as release:
        if weight == 0:
            await release.here.tick(2)
        else:
            await release.until_weight(weight, within=20)
        so_far = ALL_STAGES[: ALL_STAGES.index(weight) + 1]
        before = (await release.record("Analysing", stages=so_far))["status"]["weights"]
        await release.here.restart()
        record = await release.record("Analysing")
        assert record["status"]["weights"] == before
        if weight == 50:
            await release.until("WaitingPromotion")
            await release.approve()
            await release.here.restart()
            await release.until("Succeeded")
            return
        following = ALL_STAGES[ALL_STAGES.index(weight) + 1]
        await release.until_weight(following)
        record = await release.record("Analysing", stages=[*so_far, following])
        lasted = moment(record["status"]["weights"][-1]) - moment(before[-1])
        assert 1.0 <= lasted < 1.9, lasted  # a clock that began anew would take two soaks


async def test_two_replicas_answer_alternately_and_say_the_same(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    async with staged(cluster, scene, tmp_path, replicas=2) as release:
        await release.until("WaitingPromotion", within=20)
        record = await release.record("Analysing", stages=ALL_STAGES)
        await release.approve()
        await release.until("Succeeded")

        record = await release.record("Promoted", stages=[*ALL_STAGES, 0])
        assert lines(record, "stage").count("5% -> 25% of traffic") == 1
        assert len(lines(record, "act")) == 1
        assert len(await release.records()) == 1
        # Both have answered, and what both show is the same.
        assert all(count > 5 for count in release.answered.values()), release.answered

        async def both_show_the_same() -> bool:
            first, second = [await release.shown(replica) for replica in range(2)]
            return bool(first["revisions"] == second["revisions"])

        await eventually(both_show_the_same)  # each watches for itself


async def test_an_alert_after_promotion_pages_with_the_command_that_reverts_it(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    # The lab's clock says what the recorded story said: long ago.
    async with staged(cluster, scene, tmp_path, given={"bake": "3650d"}) as release:
        await release.until("WaitingPromotion")
        await release.approve()
        await release.until("Succeeded")
        before = await release.here.lab.routes()

        said = await release.here.alert(fingerprint=A, canary="", deployment="podinfo-primary")

        assert said == "ESCALATE alert-after-promotion"
        undo = f"kubectl rollout undo deployment/podinfo -n {scene.namespace}"
        record = await scene.record("Failed")
        assert undo in record["status"]["message"]
        assert await release.here.lab.routes() == before
        assert await release.here.alert(fingerprint="b" * 16) == "IGNORE already-handled"  # one page is enough
        # The revert is a release like any other, and nothing holds it up.
        await release.here.lab.push("1")
        assert "confirm-rollout 200" in hooks_in(await release.here.tick())


async def test_after_the_bake_an_alert_about_the_stable_version_is_none_of_ours(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    async with staged(cluster, scene, tmp_path, given={"bake": 0}) as release:
        await release.until("WaitingPromotion")
        await release.approve()
        await release.until("Succeeded")
        assert await release.here.alert(canary="", deployment="podinfo-primary") == "IGNORE names-stable"
        assert await release.here.alert(fingerprint="b" * 16) == "IGNORE no-active-canary"
        assert await scene.records() == []


async def test_a_gate_that_stays_closed_is_told_once(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    async with staged(cluster, scene, tmp_path, gates={"refusing_late": 0.5}) as release:
        await release.until("WaitingPromotion")
        await release.here.tick()

        async def told() -> list[str]:
            async with scene.http.get(f"/api/v1/namespaces/{scene.namespace}/events") as response:
                events = (await response.json())["items"]
            of_canary = [one["message"] for one in events if one["involvedObject"]["kind"] == "Canary"]
            return [message for message in of_canary if "confirm-promotion" in message]

        messages = await eventually(told)
        await asyncio.sleep(0.6)
        await release.here.restart()
        await release.here.tick(2)
        await asyncio.sleep(0.6)
        assert await told() == messages
        assert len(messages) == 1
        assert "has waited at confirm-promotion" in messages[0]
        _, metrics = await release.here.daemon.get("/metrics")
        found = re.search(r'pullback_gate_refusing_seconds\{.*hook="confirm-promotion".*\} ([0-9.]+)', metrics)
        assert found is not None
        assert float(found[1]) > 0.5


async def test_a_slow_check_holds_up_no_tick(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    async with staged(cluster, scene, tmp_path) as release:
        await release.until_weight(5)
        release.stub.slow = 1.5
        await asyncio.sleep(0.06)
        loop = asyncio.get_running_loop()
        began = loop.time()
        status, said = await release.asked("rollout")
        assert loop.time() - began < 1.0
        assert status == 200
        assert "error-rate" in said
        await asyncio.sleep(1.5)  # it goes on to its end


async def test_checks_of_a_workload_nobody_knows_are_not_passed(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    """A target that is no Deployment, or one that the watch has not shown: no look is no pass."""
    profiles = {"default": {"confirm_rollout": ["smoke"], "pre_rollout": ["smoke"], "rollout": ["error-rate"]}}
    async with staged(cluster, scene, tmp_path, gates={"profiles": profiles}) as release:
        await scene.add_canary("other", weight=5)
        await scene.delete(DEPLOYMENTS, "other")
        body = builders.hook(scene.namespace, "other")

        async def refused() -> bool:
            said = [(await release.here.daemon.hook(kind, body))[1] for kind in ("confirm-rollout", "pre-rollout")]
            return all(one.startswith("check-undecided: smoke: cannot know") for one in said)

        await eventually(refused)
