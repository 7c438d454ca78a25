"""The signed webhook."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from daemon import ports
from daemon.adapters import notify
from daemon.adapters.notify import webhook
from daemon.model import errors
from daemon.model.notice import Saying
from tests import recorders
from tests.component import notify_lab
from tests.component.notify_lab import STORY, message, story


class StoppedClock:
    def now(self) -> datetime.datetime:
        return datetime.datetime(2026, 5, 1, 12, 0, 2, 900_000, tzinfo=datetime.UTC)


@contextlib.asynccontextmanager
async def listening(folder: Path, **options: Any) -> AsyncIterator[tuple[recorders.RecordingWebhook, ports.Channel]]:
    async with recorders.RecordingWebhook() as server, notify_lab.surrounded(clock=StoppedClock()) as surroundings:
        entry = notify_lab.entry("webhook", server.url, folder, **options)
        yield server, notify.build({"machine": entry}, surroundings)["machine"]


async def test_the_body_says_everything(tmp_path: Path) -> None:
    async with listening(tmp_path) as (server, channel):
        await channel.deliver(message(Saying.TELL), "", uncertain=False)

        assert server.accepted[f"{STORY.dedup_key}/decided"] == {
            "version": "1",
            "key": "decided",
            "dedupKey": STORY.dedup_key,
            "at": "2026-05-01T12:00:01.500000Z",
            "severity": "P1",
            "mood": "acting",
            "title": "Rolling back test/podinfo",
            "summary": "Revision podinfo:6.0.1: alert fires. Error rate above 1 %.",
            "namespace": "test",
            "canary": "podinfo",
            "revision": "podinfo:6.0.1",
            "record": "podinfo-abc",
            "facts": {"Alert": "PodinfoHighErrorRate", "Value": "0.12", "Traffic before": "10%"},
            "links": [{"name": "Runbook", "url": "https://runbooks.example/podinfo?a=1&b=2"}],
            "commands": ["kubectl describe rollback podinfo-abc -n test"],
            "text": "rollback of revision podinfo:6.0.1",
            "dryRun": False,
            "drill": False,
        }
        headers = server.requests[0].headers
        assert headers["Content-Type"] == "application/json"
        assert headers["X-Pullback-Timestamp"] == "1777636802"


def test_the_signature_is_the_documented_one() -> None:
    """Computed with: printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac key"""
    assert webhook.signature("key", "1700000000", b'{"a":1}') == (
        "a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03"
    )


async def test_every_state_has_a_key_of_its_own_and_a_repetition_the_same(tmp_path: Path) -> None:
    async with listening(tmp_path) as (server, channel):
        for key in ("decided", "zeroed", "zeroed"):
            await channel.deliver(message(Saying.TELL, key), "", uncertain=False)

        assert list(server.accepted) == [f"{STORY.dedup_key}/decided", f"{STORY.dedup_key}/zeroed"]
        assert server.repeated == [f"{STORY.dedup_key}/zeroed"]


async def test_without_a_secret_it_is_not_signed(tmp_path: Path) -> None:
    async with listening(tmp_path, secret_file=None) as (server, channel):
        server.secret = ""
        await channel.deliver(message(Saying.TELL), "", uncertain=False)

        assert "X-Pullback-Signature" not in server.requests[0].headers


async def test_a_key_of_any_origin_can_be_a_header(tmp_path: Path) -> None:
    async with listening(tmp_path) as (server, channel):
        told = story(dedup_key="pullback/ü\r\nX-Evil: 1/x")
        await channel.deliver(message(Saying.TELL, told=told), "", uncertain=False)

        assert "X-Evil" not in server.requests[0].headers


async def test_a_wrong_signature_is_tried_again(tmp_path: Path) -> None:
    async with listening(tmp_path) as (server, channel):
        server.secret = "another"
        with pytest.raises(errors.Unreachable, match="bad signature"):
            await channel.deliver(message(Saying.TELL), "", uncertain=False)


async def test_a_password_in_the_url_is_sent_and_never_shown(tmp_path: Path) -> None:
    async with recorders.RecordingWebhook() as server:
        url = server.url.replace("http://", "http://me:pw@")
        async with notify_lab.surrounded() as surroundings:
            channel = notify.build({"it": notify_lab.entry("webhook", url, tmp_path)}, surroundings)["it"]
            server.fail(recorders.status(400, body="me:pw is bad"))
            with pytest.raises(errors.Refused) as caught:
                await channel.deliver(message(Saying.TELL), "", uncertain=False)

        assert server.requests[0].headers["Authorization"].startswith("Basic ")
        assert "pw" not in str(caught.value)


async def test_an_endless_answer_is_not_read_to_its_end(tmp_path: Path) -> None:
    async with listening(tmp_path) as (server, channel):
        server.fail(recorders.status(500, body="x" * 5_000_000))
        with pytest.raises(errors.Unreachable) as caught:
            await channel.deliver(message(Saying.TELL), "", uncertain=False)

        assert len(str(caught.value)) < 500
