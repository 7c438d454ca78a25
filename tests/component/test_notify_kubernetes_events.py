"""Events on the Canary and on the Rollback, against a Kubernetes API (a real one where there is one)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from daemon import ports
from daemon.adapters import notify
from daemon.model import errors
from daemon.model.notice import Mood, Saying, Story
from tests.cluster import Cluster
from tests.component import notify_lab
from tests.component.notify_lab import message


@pytest.fixture
async def channel(cluster: Cluster) -> AsyncIterator[ports.Channel]:
    async with notify_lab.surrounded(cluster.kubeconfig) as surroundings:
        yield notify.build({"events": {"kind": "kubernetes-events"}}, surroundings)["events"]


def told(namespace: str, **changes: Any) -> Story:
    dedup_key = f"pullback/{namespace}/podinfo-abc/7f0e3a52-0000-4000-8000-000000000001"
    return notify_lab.story(**{"namespace": namespace, "dedup_key": dedup_key, **changes})


async def events(http: aiohttp.ClientSession, namespace: str) -> list[dict[str, Any]]:
    async with http.get(f"/api/v1/namespaces/{namespace}/events") as response:
        assert response.status == 200
        items: list[dict[str, Any]] = (await response.json())["items"]
    return sorted(items, key=lambda one: str(one["involvedObject"]["kind"]))


async def test_canary_and_rollback_get_an_event_each(
    channel: ports.Channel, http: aiohttp.ClientSession, namespace: str
) -> None:
    said = message(Saying.TELL, "raised-again", told(namespace), text="raised again 2 times")
    reference = await channel.deliver(said, "before", uncertain=False)

    canary, rollback = await events(http, namespace)
    assert canary["involvedObject"] == {
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary", "namespace": namespace, "name": "podinfo",
        "uid": notify_lab.STORY.canary_uid,
    }  # fmt: skip
    assert rollback["involvedObject"] == {
        "apiVersion": "pullback.dev/v1alpha1", "kind": "Rollback", "namespace": namespace, "name": "podinfo-abc",
        "uid": notify_lab.STORY.record_uid,
    }  # fmt: skip
    assert rollback["metadata"]["name"] == reference
    for event in (canary, rollback):
        assert (event["reason"], event["message"], event["type"]) == ("RaisedAgain", "raised again 2 times", "Normal")
        assert event["firstTimestamp"] == event["lastTimestamp"] == "2026-05-01T12:00:01Z"
        assert (event["count"], event["source"], event["reportingComponent"]) == (
            1, {"component": "pullback"}, "pullback",
        )  # fmt: skip


@pytest.mark.parametrize(
    ("reference", "mood", "expected"),
    [
        ("", Mood.ACTING, "Warning"),
        ("x", Mood.NEEDED, "Warning"),
        ("x", Mood.SAFE, "Normal"),
        ("x", Mood.OVER, "Normal"),
    ],
)
async def test_the_first_one_and_a_call_for_help_are_warnings(
    reference: str, mood: Mood, expected: str,
    channel: ports.Channel, http: aiohttp.ClientSession, namespace: str,
) -> None:  # fmt: skip
    await channel.deliver(message(Saying.TELL, told=told(namespace, mood=mood)), reference, uncertain=False)

    assert {one["type"] for one in await events(http, namespace)} == {expected}


async def test_a_repetition_meets_itself_and_another_rollback_of_the_canary_does_not(
    channel: ports.Channel, http: aiohttp.ClientSession, namespace: str
) -> None:
    for _ in range(2):
        await channel.deliver(message(Saying.TELL, told=told(namespace)), "", uncertain=True)
    assert len(await events(http, namespace)) == 2

    again = told(namespace, record="podinfo-def", record_uid="2", dedup_key=f"pullback/{namespace}/podinfo-def/2")
    await channel.deliver(message(Saying.TELL, told=again), "", uncertain=False)
    assert len(await events(http, namespace)) == 4


async def test_a_canary_that_is_gone_gets_none(
    channel: ports.Channel, http: aiohttp.ClientSession, namespace: str
) -> None:
    await channel.deliver(message(Saying.TELL, told=told(namespace, canary_uid="")), "", uncertain=False)

    assert [one["involvedObject"]["kind"] for one in await events(http, namespace)] == ["Rollback"]


async def test_what_is_of_no_rollback_stands_on_the_canary_alone(
    channel: ports.Channel, http: aiohttp.ClientSession, namespace: str
) -> None:
    """A gate that stays closed: its record is the revision's, and no Rollback is called like that."""
    said = message(Saying.TELL, told=told(namespace, record_uid=""))
    reference = await channel.deliver(said, "", uncertain=False)

    (event,) = await events(http, namespace)
    assert (event["involvedObject"]["kind"], event["metadata"]["name"]) == ("Canary", reference)


@pytest.mark.parametrize("name", ["a" * 253, "a" * 235 + "." + "b" * 17, "a" * 236])
async def test_the_longest_names_make_valid_ones(
    name: str, channel: ports.Channel, http: aiohttp.ClientSession, namespace: str
) -> None:
    await channel.deliver(message(Saying.TELL, told=told(namespace, record=name, canary=name)), "", uncertain=False)

    made = await events(http, namespace)
    assert len(made) == 2
    assert all(len(one["metadata"]["name"]) <= 253 for one in made)


async def test_a_message_has_at_most_1024_bytes(
    channel: ports.Channel, http: aiohttp.ClientSession, namespace: str
) -> None:
    await channel.deliver(message(Saying.TELL, told=told(namespace), text="ü😀" * 900), "", uncertain=False)

    assert {len(one["message"].encode()) for one in await events(http, namespace)} <= set(range(1018, 1025))


async def test_a_namespace_that_is_gone_is_a_refusal(channel: ports.Channel) -> None:
    with pytest.raises(errors.Refused):
        await channel.deliver(message(Saying.TELL, told=told("nowhere")), "", uncertain=False)
