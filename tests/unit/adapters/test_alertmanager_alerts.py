"""What Alertmanager lists, turned into the body of a webhook."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp
import pytest
from aiohttp import test_utils, web

from daemon.adapters import alertmanager
from daemon.model import errors
from daemon.model.signal import Alert, AlertGroup
from daemon.web import alertmanager as door


def listed(name: str = "A", **changes: Any) -> dict[str, Any]:
    plain = {
        "labels": {"alertname": name}, "annotations": {}, "startsAt": "2026-11-23T07:00:00.000Z",
        "endsAt": "2026-11-23T08:00:00.000Z", "updatedAt": "2026-11-23T07:00:00.000Z", "generatorURL": "",
        "fingerprint": "0000000000000001", "receivers": [{"name": "pullback"}],
        "status": {"inhibitedBy": [], "silencedBy": [], "state": "active"},
    }  # fmt: skip
    return plain | changes


async def asked(*alerts: Any, wanted: Any = lambda _: True) -> AlertGroup:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response(list(alerts))

    return await answered(answer, wanted=wanted)


async def answered(
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]], *, wanted: Any = lambda _: True, timeout: float = 5
) -> AlertGroup:
    application = web.Application()
    application.router.add_get("/api/v2/alerts", answer)
    async with test_utils.TestServer(application) as server, aiohttp.ClientSession() as session:
        return await alertmanager.AlertmanagerAlerts(
            session, urls=[str(server.make_url(""))], receiver="", read=door.parse, wanted=wanted,
            bearer_token_file=None, username="", password_file=None, timeout=timeout,
        ).firing()  # fmt: skip


def names(group: AlertGroup) -> list[str]:
    return [one.name for one in group.alerts if isinstance(one, Alert)]


@pytest.mark.parametrize("field", ["fingerprint", "startsAt", "annotations", "generatorURL"])
@pytest.mark.parametrize("value", [["a"], {"a": 1}, 7, True])
async def test_a_field_of_another_kind_spoils_its_own_alert_and_no_other(field: str, value: Any) -> None:
    good = listed("Good")
    assert "Good" in names(await asked(listed("Bad", **{field: value}), good))


async def test_all_of_a_storm_are_looked_at_the_youngest_first() -> None:
    """The alert that matters may be the last of them; what is older than a release says nothing about it."""
    crowd = [listed("Old", fingerprint=f"{number:016x}") for number in range(6_001)]
    young = listed("Young", fingerprint="ffffffffffffffff", startsAt="2026-11-23T07:30:00.123Z")
    group = await asked(*crowd, young, None)
    assert names(group)[0] == "Young"
    assert (len(group.alerts), group.truncated) == (6_003, 0)


async def test_labels_nobody_wants_count_for_nothing() -> None:
    def wanted(labels: Mapping[str, str]) -> bool:
        return labels["alertname"] == "Good"

    group = await asked(listed("Other", fingerprint="0000000000000002"), listed("Good"), wanted=wanted)
    assert (names(group), group.truncated) == (["Good"], 0)


async def hangs(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(60)
    raise AssertionError


async def hangs_midway(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b'[{"labels": {')
    await asyncio.sleep(60)
    return response


async def shows_a_page(_: web.Request) -> web.StreamResponse:
    return web.Response(text="<html>please log in</html>", content_type="text/html")


async def sends_elsewhere(request: web.Request) -> web.StreamResponse:
    raise web.HTTPFound(request.path)


async def never_ends(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"[")
    entry = b'{"labels": {"alertname": "A"}},' * 10_000
    while True:
        await response.write(entry)


@pytest.mark.parametrize("answer", [hangs, hangs_midway, shows_a_page, sends_elsewhere, never_ends])
async def test_whatever_else_is_answered_is_a_neighbours_error_and_in_time(answer: Any) -> None:
    with pytest.raises(errors.NeighbourError):
        await answered(answer, timeout=0.3 if answer in {hangs, hangs_midway} else 20)


async def test_more_than_there_is_memory_for_is_not_read_and_says_what_to_do() -> None:
    with pytest.raises(errors.Refused, match=r"more than 16 MiB of alerts: narrow pull\.receiver"):
        await answered(never_ends, timeout=20)
