"""Opsgenie: one alert per ``dedup_key``."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from daemon import ports
from daemon.adapters import notify
from daemon.model import errors
from daemon.model.notice import Saying
from tests import recorders
from tests.component import notify_lab
from tests.component.notify_lab import STORY, message


@contextlib.asynccontextmanager
async def paging(folder: Path, **options: Any) -> AsyncIterator[tuple[recorders.RecordingOpsgenie, ports.Channel]]:
    async with recorders.RecordingOpsgenie() as server, notify_lab.surrounded() as surroundings:
        entry = notify_lab.entry("opsgenie", server.url, folder, **options)
        yield server, notify.build({"pager": entry}, surroundings)["pager"]


async def test_an_alert_says_what_whom_and_how_bad(tmp_path: Path) -> None:
    responders = [{"type": "team", "name": "sre"}, {"type": "user", "username": "a@b.example"}]
    async with paging(tmp_path, responders=responders, tags=["canary", "prod"]) as (server, channel):
        assert await channel.deliver(message(Saying.OPEN), "", uncertain=False) == STORY.dedup_key

        alert = server.alerts[STORY.dedup_key]
        assert alert["message"] == "Rolling back test/podinfo"
        assert alert["responders"] == responders
        assert alert["tags"] == ["canary", "prod"]
        assert (alert["priority"], alert["entity"], alert["source"]) == ("P1", "test/podinfo", "pullback")
        assert alert["details"]["Alert"] == "PodinfoHighErrorRate"
        assert alert["description"] == (
            "rollback of revision podinfo:6.0.1\n\n"
            "Revision podinfo:6.0.1: alert fires. Error rate above 1 %.\n\n"
            "kubectl describe rollback podinfo-abc -n test\n\n"
            "Runbook: https://runbooks.example/podinfo?a=1&b=2"
        )


async def test_what_is_said_stands_before_what_to_do(tmp_path: Path) -> None:
    async with paging(tmp_path) as (server, channel):
        said = message(Saying.OPEN, "escalated", text="the deadline has passed")
        await channel.deliver(said, "", uncertain=False)

        description = server.alerts[STORY.dedup_key]["description"]
        assert description.startswith("the deadline has passed\n\nRevision podinfo:6.0.1: alert fires.")


async def test_the_same_again_is_the_same_alert(tmp_path: Path) -> None:
    async with paging(tmp_path) as (server, channel):
        server.fail(recorders.Fault("lost"))
        with pytest.raises(errors.Unreachable):
            await channel.deliver(message(Saying.OPEN), "", uncertain=False)
        await channel.deliver(message(Saying.OPEN), "", uncertain=True)

        [alert] = server.alerts.values()
        assert alert["count"] == 2


@pytest.mark.parametrize("resolve", [True, False])
async def test_it_is_closed_only_if_configured_so(resolve: bool, tmp_path: Path) -> None:
    async with paging(tmp_path, resolve=resolve) as (server, channel):
        assert channel.closes is resolve
        reference = await channel.deliver(message(Saying.OPEN), "", uncertain=False)
        closed = await channel.deliver(message(Saying.CLOSE, "completed"), reference, uncertain=False)

        assert closed == reference
        assert [one["alias"] for one in server.closed] == ([reference] if resolve else [])


async def test_a_wrong_key_is_told_in_opsgenies_words_and_tried_again(tmp_path: Path) -> None:
    async with paging(tmp_path) as (server, channel):
        server.api_key = "another"
        with pytest.raises(errors.Unreachable, match="Key format is not valid"):
            await channel.deliver(message(Saying.OPEN), "", uncertain=False)
