"""Posts the drill's alert to Alertmanager, as Prometheus would, and takes it back at the end."""

import datetime
import json
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp

from daemon.adapters import alertmanager, answers, times
from daemon.drill.chain import BrokenLinkError, Link
from daemon.model import drill, errors
from daemon.settings import Settings

_PATH = "/api/v2/alerts"
_BODY_MOST = 1024 * 1024


class Alerting:
    """One alert, at every peer of an Alertmanager: which of them sends it on is their own affair."""

    def __init__(self, session: aiohttp.ClientSession, settings: Settings, urls: Sequence[str]) -> None:
        self._session = session
        self._pull = settings.pull
        self._urls = [url.rstrip("/") + _PATH for url in urls]

    async def fire(self, labels: Mapping[str, str], now: datetime.datetime, seconds: float) -> None:
        """Fires until it is resolved, for ``seconds`` at most. Raises BrokenLinkError when no peer took it."""
        await self._post(labels, now, now + datetime.timedelta(seconds=seconds))

    async def resolve(self, labels: Mapping[str, str], since: datetime.datetime, now: datetime.datetime) -> None:
        """Best effort: it ends by itself before long."""
        try:
            await self._post(labels, since, now)
        except BrokenLinkError:
            return

    async def whereabouts(self, identity: str) -> str:
        """What Alertmanager does with the alert: to which receivers it goes, and what holds it back."""
        query = {"filter": f'{drill.ID_LABEL}="{identity}"'}
        for url in self._urls:
            try:
                answer = await self._ask("GET", url, params=query)
                return _described(json.loads(answer))
            except (errors.NeighbourError, ValueError, KeyError, TypeError, IndexError):
                continue
        return ""

    async def _post(self, labels: Mapping[str, str], starts: datetime.datetime, ends: datetime.datetime) -> None:
        alert = {
            "labels": dict(labels),
            "annotations": {"summary": "A fire drill (pullback drill): nobody's traffic is concerned."},
            "startsAt": times.write(starts), "endsAt": times.write(ends), "generatorURL": "",
        }  # fmt: skip
        problems = []
        for url in self._urls:
            try:
                await self._ask("POST", url, json=[alert])
            except errors.NeighbourError as error:
                problems.append(str(error))
        if len(problems) == len(self._urls):
            raise BrokenLinkError(Link.ALERTMANAGER, "the alert could not be posted: " + "; ".join(problems))

    async def _ask(self, method: str, url: str, **given: Any) -> bytes:
        pull = self._pull
        timeout = aiohttp.ClientTimeout(total=pull.timeout)
        headers = alertmanager.credentials(pull.bearer_token_file, pull.username, pull.password_file)
        try:
            async with self._session.request(method, url, headers=headers, timeout=timeout, **given) as response:
                raw, _ = await answers.body(response, _BODY_MOST)
                status = response.status
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise errors.Unreachable(f"{url}: {type(error).__name__}: {error}") from error
        if status != 200:
            raise errors.Refused(f"{url}: HTTP {status}: {raw[:200].decode(errors='replace')}")
        return raw


def _described(alerts: Any) -> str:
    alert = alerts[0]
    receivers = ", ".join(str(one["name"]) for one in alert["receivers"]) or "nobody"
    status = alert["status"]
    held = [*status.get("silencedBy", ()), *status.get("inhibitedBy", ())]
    held_back = f", and is silenced or inhibited by {', '.join(map(str, held))}" if held else ""
    return f"there it goes to the receivers: {receivers}{held_back}"
