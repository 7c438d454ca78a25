"""After zero: evidence, cleanup, notices and incidents, each on its own, none in the way of the next."""

from __future__ import annotations

import asyncio
import functools
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from daemon.sandbox.kubernetes_api import Fault, KubernetesApi
from tests import builders, recorders
from tests.builders import Json
from tests.cluster import CRDS, Cluster
from tests.component import undriven
from tests.component.after_zero import people
from tests.running import Daemon, eventually, running
from tests.scene import CANARIES, DEPLOYMENTS, ROLLBACKS, Scene

CONFIG_MAPS = "/api/v1/namespaces/{}/configmaps"
PODS = "/api/v1/namespaces/{}/pods"
EVENTS = "/api/v1/namespaces/{}/events"

STORY = ["decided", "zeroed", "proved", "completed"]
QUICK: Any = {"cleanup": {"grace": 0.3, "nudge_after": 0.2}}


async def roll_back(daemon: Daemon, scene: Scene, name: str = "podinfo") -> Json:
    status, answer = await daemon.alert(builders.webhook(builders.alert(scene.namespace, name)))
    assert status == 200, answer
    return await scene.record("Proved")


async def flagger_gives_up(scene: Scene, name: str = "podinfo") -> None:
    """What Flagger does when its rollback hook says 200."""
    await scene.set_status(name, "Failed", weight=0)
    await scale(scene, 0, name)


async def scale(scene: Scene, replicas: int, name: str = "podinfo") -> None:
    await scene.merge(DEPLOYMENTS, f"{name}/scale", {"spec": {"replicas": replicas}})


async def settled(scene: Scene, *, cleanup: str = "Done", within: float = 10.0) -> Json:
    """The only record, once everything after zero is done, and everybody who listens to this has been told."""
    last = {"Done": "cleaned-up", "Trouble": "cleanup-trouble"}[cleanup]

    async def done() -> Json | None:
        (record,) = await scene.records()
        status = record.get("status", {})
        notices = status.get("notices", [])
        quiet = all(not one.get("due") and "completed" in one["said"] for one in notices)
        # A pager is told no more than that. What is due is written down only when it is sent.
        quiet = quiet and all(last in one["said"] for one in notices if one["channel"] != "pager")
        there = status.get("cleanup", {}).get("state") == cleanup and quiet and status.get("phase") == "Completed"
        return record if there else None

    record: Json = await eventually(done, within=within)
    return record


async def listed(scene: Scene, collection: str) -> list[Json]:
    async with scene.http.get(collection.format(scene.namespace)) as response:
        items: list[Json] = (await response.json())["items"]
        return items


def in_order(words: list[str], expected: list[str]) -> bool:
    return [word for word in words if word in expected] == expected


async def test_the_whole_story_is_told_once_through_every_channel(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await scene.add_canary(weight=25)
    async with people(tmp_path) as told, running(cluster, tmp_path, notices=told.notices, **QUICK) as daemon:
        await roll_back(daemon, scene)
        await flagger_gives_up(scene)
        record = await settled(scene)
        name, status = record["metadata"]["name"], record["status"]

        (card,) = told.slack.cards
        assert card["text"]
        assert "was rolled back" in card["text"]
        assert told.slack.thread(card["ts"]) == []
        assert len(told.slack.edits) <= len(STORY) + 2

        assert [event["event_action"] for event in told.pager.events] == ["trigger", "resolve"]
        assert told.pager.events[0]["payload"]["severity"] == "critical"
        assert len({event["dedup_key"] for event in told.pager.events}) == 1

        assert in_order(told.told(), STORY), told.told()
        assert {"evidence-kept", "cleaned-up"} <= set(told.told())
        assert told.machine.repeated == []

        kept = await scene.get(CONFIG_MAPS, status["evidence"]["configMap"])
        assert kept["metadata"]["ownerReferences"][0]["uid"] == record["metadata"]["uid"]
        assert "registry.example:5000/podinfo:v2" in kept["data"]["summary.txt"]
        assert status["evidence"]["configMap"] in str(card["blocks"])

        events = await listed(scene, EVENTS)
        reasons = {(event["involvedObject"]["kind"], event["reason"]) for event in events}
        wanted = ("Decided", "Zeroed", "Proved", "Completed")
        assert reasons >= {(kind, reason) for kind in ("Canary", "Rollback") for reason in wanted}

        assert {notice["channel"]: notice["attempts"] for notice in status["notices"]}["pager"] == 2
        async with daemon.http.get("/api/v1/rollbacks", params={"canary": "podinfo", "limit": "1"}) as response:
            (shown,) = (await response.json())["rollbacks"]
        assert (shown["name"], shown["cleanup"]["state"]) == (name, "Done")
        assert all(notice["due"] == [] for notice in shown["notices"])


async def test_a_pager_that_was_acknowledged_rings_anew_when_a_person_is_needed(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    """Nothing is proved until long after the deadline; what was there to say before has been taken by then."""
    await scene.add_canary(weight=25)
    slow: Any = {"proof": {"window": 4.0}, "rollback": {"deadline": 2.0}}
    async with people(tmp_path) as told, running(cluster, tmp_path, notices=told.notices, **QUICK, **slow) as daemon:
        status, answer = await daemon.alert(builders.webhook(builders.alert(scene.namespace)))
        assert status == 200, answer

        async def rang_twice() -> bool:
            return len(told.pager.events) == 2

        await eventually(rang_twice)
        first, second = told.pager.events
        assert second["dedup_key"] == f"{first['dedup_key']}/escalated"
        assert "kubectl patch" not in str(first["payload"]["custom_details"]["commands"])
        await scene.record("Proved")
        await flagger_gives_up(scene)

        async def resolved() -> bool:
            return sorted(told.pager.resolved) == [first["dedup_key"], second["dedup_key"]]

        await eventually(resolved)
        assert [event["event_action"] for event in told.pager.events] == ["trigger"] * 2 + ["resolve"] * 2


async def test_dead_channels_delay_nothing_and_are_told_everything_when_they_come_back(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await scene.add_canary(weight=25)
    async with people(tmp_path) as told, running(cluster, tmp_path, notices=told.notices, **QUICK) as daemon:
        told.slack.fail(recorders.HANG, recorders.status(503))
        told.pager.fail(recorders.status(500), recorders.throttled("1"), recorders.RESET)
        record = await roll_back(daemon, scene)
        assert record["status"]["secondsToZero"] < 2

        async def undelivered() -> bool:
            _, metrics = await daemon.get("/metrics")
            return 'pullback_notices_undelivered{channel="pager"} 1.0' in metrics

        await eventually(undelivered)
        await flagger_gives_up(scene)
        record = await settled(scene, within=30)
        assert len(told.slack.cards) == 1
        assert [event["event_action"] for event in told.pager.events] == ["trigger", "resolve"]
        attempts = {notice["channel"]: notice["attempts"] for notice in record["status"]["notices"]}
        assert attempts["pager"] >= 5
        assert attempts["machine"] == len(told.told())


async def test_an_answer_that_was_lost_makes_no_second_message(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    await scene.add_canary(weight=25)
    async with people(tmp_path) as told, running(cluster, tmp_path, notices=told.notices, **QUICK) as daemon:
        told.slack.fail(recorders.LOST)
        told.pager.fail(recorders.LOST)
        told.machine.fail(recorders.LOST)
        await roll_back(daemon, scene)
        await flagger_gives_up(scene)
        await settled(scene, within=20)
        assert len(told.slack.cards) == 1
        assert len({event["dedup_key"] for event in told.pager.events}) == 1
        assert len(told.machine.repeated) == 1, "sent again, with the key that tells"


async def test_a_channel_that_refuses_for_good_is_left_alone_and_shown(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await scene.add_canary(weight=25)
    async with people(tmp_path) as told, running(cluster, tmp_path, notices=told.notices, **QUICK) as daemon:
        no = recorders.status(200, body='{"ok": false, "error": "invalid_blocks"}')
        told.slack.fail(*[no] * 20)
        await roll_back(daemon, scene)

        async def refused() -> Json | None:
            (record,) = await scene.records()
            return next((one for one in record["status"].get("notices", []) if one.get("refusedAt")), None)

        notice = await eventually(refused)
        assert notice["channel"] == "team"
        assert "invalid_blocks" in notice["problem"]
        await asyncio.sleep(1.5)
        words = [request.json["metadata"]["event_payload"]["key"] for request in told.slack.requests]
        assert len(words) == len(set(words)), "what was refused is not sent again"
        _, metrics = await daemon.get("/metrics")
        assert 'pullback_notices_undelivered{channel="team"} 1.0' in metrics
        told.slack.faults.clear()  # what comes later may be another matter
        await flagger_gives_up(scene)

        async def carded() -> bool:
            return len(told.slack.cards) == 1

        await eventually(carded)


@pytest.fixture
async def breakable(tmp_path: Path) -> object:
    """An emulator that takes faults, and a scene in it."""
    async with KubernetesApi(CRDS, ["shop"]) as api, aiohttp.ClientSession(api.url) as http:
        yield Cluster(api.kubeconfig(tmp_path / "kubeconfig"), api.url, api), Scene(http, "shop"), api


@pytest.mark.parametrize(
    ("verb", "resource", "subresource"),
    [("list", "pods", ""), ("list", "events", ""), ("create", "configmaps", ""), ("create", "events", "")],
)
@pytest.mark.parametrize("action", [{"action": "status", "code": 403}, {"action": "hang"}])
async def test_each_part_fails_alone(
    breakable: tuple[Cluster, Scene, KubernetesApi], tmp_path: Path, verb: str, resource: str, subresource: str,
    action: Json,
) -> None:  # fmt: skip
    cluster, scene, api = breakable
    await scene.add_canary(weight=25)
    settings: Any = {**QUICK, "kubernetes": {"timeout": 0.3}, "evidence": {"within": 0.4}}
    async with people(tmp_path) as told, running(cluster, tmp_path, notices=told.notices, **settings) as daemon:
        api.faults.add(Fault(verb=verb, resource=resource, subresource=subresource, times=1000, **action))
        record = await roll_back(daemon, scene)
        assert record["status"]["secondsToZero"] < 1
        await flagger_gives_up(scene)

        async def told_all() -> bool:
            return in_order(told.told(), STORY) and len(told.slack.cards) == 1 and bool(told.pager.events)

        await eventually(told_all, within=15)
        assert [event["event_action"] for event in told.pager.events][:1] == ["trigger"]


async def test_a_leader_that_comes_late_keeps_the_evidence_before_the_pods_go(
    breakable: tuple[Cluster, Scene, KubernetesApi], tmp_path: Path
) -> None:
    cluster, scene, api = breakable
    await undriven.release(scene)
    template = (await scene.get(DEPLOYMENTS, f"{undriven.NAME}-canary"))["spec"]["template"]
    pod = {"metadata": {"name": "canary-1", "labels": template["metadata"]["labels"]}, "spec": template["spec"]}
    await scene.create(PODS, pod)
    api.faults.hang(resource="pods", verb="list", times=None)
    async with running(cluster, tmp_path, evidence={"within": 30}) as daemon:
        await daemon.alert(builders.webhook(builders.alert(scene.namespace, undriven.NAME)))
        await scene.record("Proved")
    api.faults.clear()
    await asyncio.sleep(1.0)
    api.faults.slow(0.5, resource="pods", verb="list", times=None)
    async with running(cluster, tmp_path, evidence={"within": 1}):

        async def emptied() -> bool:
            return bool((await scene.get(DEPLOYMENTS, f"{undriven.NAME}-canary"))["spec"]["replicas"] == 0)

        await eventually(emptied)
    done = [call.resource for call in api.requests.matching() if (call.verb, call.resource) in {
        ("create", "configmaps"), ("patch", "deployments")}]  # fmt: skip
    assert done == ["configmaps", "deployments"]
    assert (await scene.record())["status"]["evidence"]["pods"] == 1


async def test_a_cleanup_that_is_refused_says_so_in_the_record_and_goes_on_once_it_is_allowed(
    breakable: tuple[Cluster, Scene, KubernetesApi], tmp_path: Path
) -> None:
    cluster, scene, api = breakable
    await undriven.release(scene)
    api.faults.fail(403, "no scaling on Fridays", resource="deployments", subresource="scale", times=None)

    async def cleanup(state: str, words: str) -> bool:
        (record,) = await scene.records()
        told = record.get("status", {}).get("cleanup", {})
        return told.get("state") == state and words in told["detail"]

    async with running(cluster, tmp_path) as daemon:
        await daemon.alert(builders.webhook(builders.alert(scene.namespace, undriven.NAME)))
        await eventually(lambda: cleanup("Waiting", "no scaling on Fridays"))
        api.faults.clear()
        await eventually(lambda: cleanup("Done", "scaled from 2 to 0"))


async def test_evidence_outlives_an_api_that_takes_no_config_maps_and_the_incident_says_where_it_will_be(
    breakable: tuple[Cluster, Scene, KubernetesApi], tmp_path: Path
) -> None:
    cluster, scene, api = breakable
    await scene.add_canary(weight=25)
    labels = (await scene.get(DEPLOYMENTS, "podinfo"))["spec"]["template"]["metadata"]["labels"]
    pod = {"metadata": {"name": "podinfo-1", "labels": labels}, "spec": {"containers": [{"name": "app", "image": "i"}]}}
    await scene.create(PODS, pod)
    api.faults.fail(503, verb="create", resource="configmaps", times=None)
    settings: Any = {**QUICK, "evidence": {"within": 0.2}}
    async with people(tmp_path) as told, running(cluster, tmp_path, notices=told.notices, **settings) as daemon:
        await roll_back(daemon, scene)
        await flagger_gives_up(scene)
        record = await scene.record("Completed")
        await scene.delete(PODS, "podinfo-1")
        await asyncio.sleep(1.0)  # longer than evidence is waited for after the end
        assert "evidence" not in (await scene.record())["status"]
        api.faults.clear()
        record = await settled(scene)

        async def kept() -> Json:
            return (await scene.record())["status"].get("evidence") or {}

        evidence = await eventually(kept, within=20)
        assert evidence["pods"] == 1
        assert "pod podinfo-1" in (await scene.get(CONFIG_MAPS, evidence["configMap"]))["data"]["summary.txt"]
        opened = told.pager.events[0]
        assert opened["event_action"] == "trigger"
        assert f"will be kept in ConfigMap {record['metadata']['name']}-evidence" in str(opened)
        assert evidence["configMap"] == f"{record['metadata']['name']}-evidence"


async def test_pods_that_come_up_behind_flaggers_back_are_taken_down_again(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await scene.add_canary(weight=25)
    async with people(tmp_path) as told, running(cluster, tmp_path, notices=told.notices, **QUICK) as daemon:
        await roll_back(daemon, scene)
        await flagger_gives_up(scene)
        await settled(scene)

        async def empty() -> bool:
            deployment = await scene.get(DEPLOYMENTS, "podinfo")
            return bool(deployment["spec"].get("replicas") == 0)

        async def scaled_down() -> int:
            (record,) = await scene.records()
            return int(record["status"]["cleanup"].get("scaledDown", 0))

        async def noted(times: int) -> bool:
            return await scaled_down() >= times

        for times in (1, 2, 3):
            await scale(scene, 2)
            await eventually(empty)
            # The note is written after the scale.
            await eventually(functools.partial(noted, times))
            assert await scaled_down() == times
        await scale(scene, 2)
        record = await settled(scene, cleanup="Trouble")
        assert "again and again" in record["status"]["cleanup"]["detail"]
        (card,) = told.slack.cards
        assert len(told.slack.thread(card["ts"])) == 1
        await asyncio.sleep(0.5)
        assert not await empty(), "a person was told; nobody fights on"


async def test_what_was_scaled_down_is_given_back_to_a_release_that_starts_with_it(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await scene.add_canary(weight=25)
    async with running(cluster, tmp_path, **QUICK) as daemon:
        await roll_back(daemon, scene)
        await flagger_gives_up(scene)
        await settled(scene)
        await scale(scene, 2)

        async def replicas() -> int:
            deployment: Json = await scene.get(DEPLOYMENTS, "podinfo")
            return int(deployment["spec"].get("replicas", 0))

        async def replicas_are(wanted: int) -> bool:
            return await replicas() == wanted

        await eventually(lambda: replicas_are(0))
        # Flagger scaled up a moment before we scaled down, and goes on with what it thinks it has.
        began = builders.canary_status("Progressing", revision="rev3")["lastTransitionTime"]
        await scene.set_status(phase="Progressing", revision="rev3", began=began)
        await eventually(lambda: replicas_are(2))


@pytest.mark.parametrize("original", [600, None])
async def test_a_nudge_is_lent_and_given_back_even_by_another_life(
    cluster: Cluster, scene: Scene, tmp_path: Path, original: int | None
) -> None:
    await scene.add_canary(weight=25)
    if original is not None:
        await scene.merge(CANARIES, "podinfo", {"spec": {"progressDeadlineSeconds": original}})
    await scene.merge(DEPLOYMENTS, "podinfo/status", {"status": {"replicas": 2, "readyReplicas": 0}})
    settings: Any = {"cleanup": {"grace": 0.3, "nudge": True, "nudge_after": 0.5}}

    async def deadline() -> Any:
        found: Json = await scene.get(CANARIES, "podinfo")
        return found["spec"].get("progressDeadlineSeconds")

    async def deadline_is(wanted: int | None) -> bool:
        return bool(await deadline() == wanted)

    async with running(cluster, tmp_path, **settings) as daemon:
        await roll_back(daemon, scene)
        await eventually(lambda: deadline_is(1))
    record = (await scene.records())[0]
    assert record["status"]["cleanup"]["nudge"].get("original") == original
    assert await deadline() == 1
    await flagger_gives_up(scene)
    async with running(cluster, tmp_path, **settings):
        await eventually(lambda: deadline_is(original))
        record = await settled(scene)
    assert record["status"]["cleanup"]["nudge"]["restoredAt"]


async def test_a_new_revision_gets_the_deadline_back_at_once(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    await scene.add_canary(weight=25)
    await scene.merge(CANARIES, "podinfo", {"spec": {"progressDeadlineSeconds": 600}})
    await scene.merge(DEPLOYMENTS, "podinfo/status", {"status": {"replicas": 2, "readyReplicas": 0}})

    async def deadline_is(wanted: int) -> bool:
        found: Json = await scene.get(CANARIES, "podinfo")
        return bool(found["spec"]["progressDeadlineSeconds"] == wanted)

    async with running(cluster, tmp_path, cleanup={"nudge": True, "nudge_after": 0.2}) as daemon:
        await roll_back(daemon, scene)
        await eventually(lambda: deadline_is(1))
        await scene.set_status(phase="Progressing", revision="rev3")
        await eventually(lambda: deadline_is(600))


@pytest.mark.parametrize("original", [600, None])
@pytest.mark.parametrize("seen", [True, False], ids=["seen", "deleted while the daemon is down"])
async def test_whoever_deletes_the_record_of_a_nudge_gets_the_deadline_back(
    cluster: Cluster, scene: Scene, tmp_path: Path, original: int | None, seen: bool
) -> None:
    await scene.add_canary(weight=25)
    await scene.merge(CANARIES, "podinfo", {"spec": {"progressDeadlineSeconds": original}})
    await scene.merge(DEPLOYMENTS, "podinfo/status", {"status": {"replicas": 2, "readyReplicas": 0}})
    before = await scene.get(CANARIES, "podinfo")
    settings: Any = {"cleanup": {"grace": 0.3, "nudge": True, "nudge_after": 0.2}}

    async def deadline_is(wanted: int | None) -> bool:
        found: Json = await scene.get(CANARIES, "podinfo")
        return bool(found["spec"].get("progressDeadlineSeconds") == wanted)

    async def lift() -> None:
        (record,) = await scene.records()
        await scene.delete(ROLLBACKS, record["metadata"]["name"])

    async with running(cluster, tmp_path, **settings) as daemon:
        await roll_back(daemon, scene)
        await eventually(lambda: deadline_is(1))
        if seen:
            await lift()
            await eventually(lambda: deadline_is(original))
            assert (await daemon.hook("rollback", builders.hook(scene.namespace)))[0] == 403, "the hold is lifted"
    if not seen:
        await lift()
        assert await deadline_is(1)
        await flagger_gives_up(scene)
        async with running(cluster, tmp_path, **settings):
            await eventually(lambda: deadline_is(original))
    after = await scene.get(CANARIES, "podinfo")
    assert (after["spec"], after["metadata"].get("annotations")) == (
        before["spec"], before["metadata"].get("annotations"),
    )  # fmt: skip
    assert await scene.records() == []


async def test_old_records_are_forgotten_and_the_rest_stays(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    long_ago = {"phase": "Completed", "startedAt": "2026-01-01T00:00:00Z", "completedAt": "2026-01-01T00:01:00Z"}
    unfinished = {"phase": "Escalated", "startedAt": "2026-01-01T00:00:00Z", "escalatedAt": "2026-01-01T00:02:00Z"}
    for name, status in {"a": long_ago, "b": unfinished, "c": long_ago, "d": long_ago}.items():
        await scene.create(ROLLBACKS, {
            "apiVersion": "pullback.dev/v1alpha1", "kind": "Rollback",
            "metadata": {"name": name, "namespace": scene.namespace},
            "spec": {"canaryRef": {"name": "gone"}, "revision": "r1", "reason": "old", "trigger": "Alert"},
        })  # fmt: skip
        await scene.merge(ROLLBACKS, f"{name}/status", {"status": status})

    async with running(cluster, tmp_path, records={"prune_every": 0.2}):

        async def names() -> list[str]:
            return sorted(one["metadata"]["name"] for one in await scene.records())

        async def only_what_must_stay() -> bool:
            return await names() == ["b", "d"]

        await eventually(only_what_must_stay)
        await asyncio.sleep(0.5)
        assert await only_what_must_stay(), "b is not finished, d is the newest"


async def test_a_rollback_by_hand_is_told_but_pages_nobody(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    await scene.add_canary(weight=25)
    async with people(tmp_path) as told, running(cluster, tmp_path, notices=told.notices, **QUICK):
        await scene.create(ROLLBACKS, {
            "apiVersion": "pullback.dev/v1alpha1", "kind": "Rollback",
            "metadata": {"name": "by-hand", "namespace": scene.namespace},
            "spec": {"canaryRef": {"name": "podinfo"}, "reason": "checkout fails", "requestedBy": "ada"},
        })  # fmt: skip
        await scene.record("Proved")

        async def carded() -> bool:
            return len(told.slack.cards) == 1

        await eventually(carded)
        assert told.pager.events == []


