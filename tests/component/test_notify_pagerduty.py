"""PagerDuty: one incident per rollback."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from daemon import ports
from daemon.adapters import notify
from daemon.model import errors
from daemon.model.notice import Fact, Saying, Severity
from tests import recorders
from tests.component import notify_lab
from tests.component.notify_lab import STORY, message, story


@contextlib.asynccontextmanager
async def paging(folder: Path, **options: Any) -> AsyncIterator[tuple[recorders.RecordingPagerDuty, ports.Channel]]:
    async with recorders.RecordingPagerDuty() as server, notify_lab.surrounded() as surroundings:
        entry = notify_lab.entry("pagerduty", server.url, folder, **options)
        yield server, notify.build({"pager": entry}, surroundings)["pager"]


async def test_an_incident_says_what_whom_and_how_bad(tmp_path: Path) -> None:
    async with paging(tmp_path) as (server, channel):
        assert await channel.deliver(message(Saying.OPEN), "", uncertain=False) == STORY.dedup_key

        [event] = server.events
        assert event["event_action"] == "trigger"
        assert event["links"] == [{"href": "https://runbooks.example/podinfo?a=1&b=2", "text": "Runbook"}]
        assert event["payload"] == {
            "summary": "Rolling back test/podinfo: Revision podinfo:6.0.1: alert fires. Error rate above 1 %.",
            "severity": "critical",
            "source": "test/podinfo",
            "component": "podinfo",
            "group": "test",
            "class": "canary rollback",
            "timestamp": "2026-05-01T12:00:01.500000Z",
            "custom_details": {
                "Alert": "PodinfoHighErrorRate",
                "Value": "0.12",
                "Traffic before": "10%",
                "text": "rollback of revision podinfo:6.0.1",
                "revision": "podinfo:6.0.1",
                "record": "test/podinfo-abc",
                "commands": ["kubectl describe rollback podinfo-abc -n test"],
            },
        }


@pytest.mark.parametrize(
    ("severity", "said"),
    list(zip(Severity, ["critical", "error", "warning", "info", "info"], strict=True)),
)
async def test_severities(severity: Severity, said: str, tmp_path: Path) -> None:
    async with paging(tmp_path) as (server, channel):
        await channel.deliver(message(Saying.OPEN, told=story(severity=severity)), "", uncertain=False)

        assert server.events[0]["payload"]["severity"] == said


async def test_the_configuration_may_name_source_and_component(tmp_path: Path) -> None:
    async with paging(tmp_path, source="checkout", component="frontend") as (server, channel):
        await channel.deliver(message(Saying.OPEN), "", uncertain=False)

        payload = server.events[0]["payload"]
        assert (payload["source"], payload["component"]) == ("checkout", "frontend")


@pytest.mark.parametrize("resolve", [True, False])
async def test_it_is_resolved_only_if_configured_so(resolve: bool, tmp_path: Path) -> None:
    async with paging(tmp_path, resolve=resolve) as (server, channel):
        assert channel.closes is resolve
        reference = await channel.deliver(message(Saying.OPEN), "", uncertain=False)
        closed = await channel.deliver(message(Saying.CLOSE, "completed"), reference, uncertain=False)

        assert closed == reference
        assert server.resolved == ([reference] if resolve else [])


async def test_facts_of_one_name_stand_together(tmp_path: Path) -> None:
    async with paging(tmp_path) as (server, channel):
        told = story(facts=(Fact("Route", "a"), Fact("Route", "b")))
        await channel.deliver(message(Saying.OPEN, told=told), "", uncertain=False)

        assert server.events[0]["payload"]["custom_details"]["Route"] == "a\nb"


async def test_a_wrong_key_is_told_in_pagerdutys_words_and_tried_again(tmp_path: Path) -> None:
    async with paging(tmp_path) as (server, channel):
        server.routing_key = "another"
        with pytest.raises(errors.Unreachable, match="Invalid routing key"):
            await channel.deliver(message(Saying.OPEN), "", uncertain=False)


async def test_any_2xx_is_taken_for_accepted(tmp_path: Path) -> None:
    async with paging(tmp_path) as (server, channel):
        server.fail(recorders.status(200, body="<html>"))

        assert await channel.deliver(message(Saying.OPEN), "", uncertain=False) == STORY.dedup_key
