"""The Flagger stand-in against what was measured with the real one: whole stories, line by line.

The daemon is built around what Flagger does at the wrong moment, so the stand-in must do the same, in the same order.
"""

from __future__ import annotations

import asyncio
import itertools

import pytest

from daemon.sandbox.flagger.controller import wall_clock
from daemon.sandbox.flagger.jobs import Job
from tests.cluster import Cluster
from tests.component.flagger_lab import laboratory
from tests.component.flagger_stories import CUT, STORIES, Step, Story


@pytest.mark.parametrize("name", sorted(path.stem for path in STORIES.glob("*.txt")))
async def test_tells_the_measured_story(name: str, cluster: Cluster, namespace: str) -> None:
    story = Story.read(name)
    expected = story.lines
    async with laboratory(cluster, namespace, story.settings) as lab:
        told = await lab.replay(story)
    if expected[-1] == CUT:
        expected.pop()
        told = told[: len(expected)]
    assert told == expected


async def test_runs_freely_as_measured(cluster: Cluster, namespace: str) -> None:
    """The same story with nobody pulling strings: the lab acts when it sees what it waited for."""
    story = Story.read("full-life")
    second = 0.05
    expected = [line for line in story.lines if line not in {"NOTICE", "TICK"}]
    ticks: list[int] = []
    async with laboratory(cluster, namespace, story.settings, second=second, now=wall_clock) as lab:
        lab.flagger.start()
        lab.kubelet.start()
        done = 0
        for step in story.steps:
            if step.text.startswith("LAB "):
                await lab.act(step.text.removeprefix("LAB "))
                done += 1
            elif step.text == "TICK":
                ticks.append(done)
            done += len(step.lines)
            await lab.come_to(done, within=60 * second)
        await lab.flagger.stop()
        told = lab.told()
        times = [lab.timeline.lines[index].at / second for index in ticks]
    assert told == expected
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(9.5 <= gap <= 21 for gap in gaps), gaps


async def test_a_rollback_leaves_the_recorded_objects(cluster: Cluster, namespace: str) -> None:
    async with laboratory(cluster, namespace) as lab:
        await lab.replay(Story.read("zero-and-200"))
        canary, routes = await lab.canary(), await lab.routes()
        primary = await lab.target("podinfo-primary")
    status = canary["status"]
    # Each tick in Failed writes the status again; only the condition remembers when it failed.
    assert status.pop("lastTransitionTime") == "2026-11-23T07:01:30Z"
    assert len({status.pop("lastAppliedSpec"), status.pop("lastPromotedSpec")}) == 2
    assert status == {
        "canaryWeight": 0,
        "conditions": [
            {
                "lastTransitionTime": "2026-11-23T07:01:10Z",
                "lastUpdateTime": "2026-11-23T07:01:10Z",
                "message": "Canary analysis failed, Deployment scaled to zero.",
                "reason": "Failed",
                "status": "False",
                "type": "Promoted",
            }
        ],
        "failedChecks": 0,
        "iterations": 0,
        "phase": "Failed",
        "trackedConfigs": {},
    }
    owner = {
        "apiVersion": "flagger.app/v1beta1",
        "blockOwnerDeletion": True,
        "controller": True,
        "kind": "Canary",
        "name": "podinfo",
        "uid": canary["metadata"]["uid"],
    }
    assert routes["metadata"]["annotations"] == {
        "helm.toolkit.fluxcd.io/driftDetection": "disabled",
        "kustomize.toolkit.fluxcd.io/reconcile": "disabled",
    }
    assert routes["metadata"]["ownerReferences"] == primary["metadata"]["ownerReferences"] == [owner]
    assert routes["spec"] == {
        "gateways": ["mesh"],
        "hosts": ["podinfo"],
        "http": [
            {
                "route": [
                    {"destination": {"host": "podinfo-primary"}, "weight": 100},
                    {"destination": {"host": "podinfo-canary"}, "weight": 0},
                ]
            }
        ],
    }
    assert primary["spec"]["selector"] == {"matchLabels": {"app": "podinfo-primary"}}
    writers = {entry["manager"] for entry in routes["metadata"]["managedFields"]}
    assert writers == {"flagger", "lab"}


async def test_metrics_alone_take_threshold_and_one_tick(cluster: Cluster, namespace: str) -> None:
    async with laboratory(cluster, namespace) as lab:
        await lab.play_until("full-life", "canary weight 10")
        lab.flagger.set_metrics(lambda _canary: 50.0)
        phases = []
        for at in range(60, 120, 10):
            await lab.play(Step(at, "TICK", ()))
            phases.append((await lab.canary())["status"]["phase"])
        told = lab.told()
    assert phases == ["Progressing"] * 5 + ["Failed"]
    halts = [line for line in told if line.endswith("Halt podinfo.test advancement success rate 50.00% < 99%")]
    assert len(halts) == 5
    assert any("failed checks threshold reached 5" in line for line in told)


async def test_no_values_count_as_a_failed_check(cluster: Cluster, namespace: str) -> None:
    async with laboratory(cluster, namespace) as lab:
        lab.flagger.set_metrics(lambda _canary: None)
        await lab.play_until("full-life", "canary weight 5")
        await lab.play(Step(50, "TICK", ()))
        assert (await lab.canary())["status"]["failedChecks"] == 1


async def test_waits_for_approval_without_asking_for_rollback(cluster: Cluster, namespace: str) -> None:
    async with laboratory(cluster, namespace, {"hooks": {"confirm-rollout": 403, "rollback": 200}}) as lab:
        await lab.play_until("full-life", "Initialization done!")
        await lab.act("revision 2")
        for at in (30, 40, 50):
            await lab.play(Step(at, "TICK", ()))
        waiting = await lab.canary()
        await lab.act("answer confirm-rollout 200")
        await lab.play(Step(60, "TICK", ()))
        progressing = await lab.canary()
        kinds = [kind for kind, _, _ in lab.stub.received if kind != "event"]
        told = lab.told()
    assert waiting["status"]["phase"] == "Waiting"
    assert progressing["status"]["phase"] == "Progressing"
    assert kinds == ["confirm-rollout"] * 4
    assert sum("waiting for approval hook-confirm-rollout" in line for line in told) == 1


async def test_zero_zero_ends_every_tick_early(cluster: Cluster, namespace: str) -> None:
    async with laboratory(cluster, namespace) as lab:
        await lab.play_until("full-life", "canary weight 10")
        await lab.act("weights 0/0")
        asked = len([kind for kind, _, _ in lab.stub.received if kind == "rollback"])
        for at in (60, 70):
            await lab.play(Step(at, "TICK", ()))
        assert lab.told()[-1].endswith("does not contain routes for podinfo-primary and podinfo-canary")
        assert len([kind for kind, _, _ in lab.stub.received if kind == "rollback"]) == asked
        assert await lab.weights() == [0, 0]


async def test_a_tick_can_be_held_inside_a_hook(cluster: Cluster, namespace: str) -> None:
    async with laboratory(cluster, namespace) as lab:
        await lab.play_until("full-life", "canary weight 10")
        hold = lab.flagger.hold_inside("rollout")
        tick = asyncio.create_task(lab.flagger.tick(namespace, "podinfo"))
        await hold.reached(within=5)
        await lab.set_weights(100, 0)
        hold.release()
        await tick
        assert await lab.weights() == [85, 15]


async def test_stops_in_the_middle_and_starts_again(cluster: Cluster, namespace: str) -> None:
    async with laboratory(cluster, namespace, second=0.02) as lab:
        await lab.play_until("full-life", "canary weight 10")
        hold = lab.flagger.hold_inside("rollout")
        lab.flagger.start()
        await hold.reached(within=5)
        await lab.flagger.stop()
        await lab.set_weights(100, 0)
        lab.flagger.start()
        raised = await lab.timeline.next(lambda line: line.kind == "VS", within=5)
        assert raised.text.startswith("weights=95/5 ")


async def test_a_changed_interval_restarts_the_job(cluster: Cluster, namespace: str) -> None:
    """The new job ticks within one control loop (0.1 s here), long before the interval (0.6 s) is over."""
    async with laboratory(cluster, namespace, {"analysis": {"interval": "60s"}}, second=0.01) as lab:
        await lab.edit_canary({"suspend": True})
        lab.flagger.start()
        skipped = lambda line: "suspended" in line.text  # noqa: E731 - reads as the condition it is
        first = await lab.timeline.until(skipped, within=5)
        canary = await lab.canary()
        await lab.edit_canary({"analysis": {**canary["spec"]["analysis"], "interval": "61s"}})
        second = await lab.timeline.next(skipped, within=5)
        assert second.at - first.at < 0.5


async def test_a_long_tick_is_made_up_for_once() -> None:
    starts: list[float] = []
    loop = asyncio.get_running_loop()

    async def tick(_namespace: str, _name: str) -> None:
        starts.append(loop.time())
        await asyncio.sleep(0.5 if len(starts) == 1 else 0)

    job = Job("test", "podinfo", 0.2, tick)
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(job.run())
        await asyncio.sleep(0.9)
        job.stop()
    beats = [start - starts[0] for start in starts]
    assert len(beats) == 4, beats
    assert beats == pytest.approx([0, 0.5, 0.6, 0.8], abs=0.09)
