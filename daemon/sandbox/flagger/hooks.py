"""Webhook calls as Flagger makes them: the same bytes, one at a time, each on a connection of its own.

Everything a hook server can get wrong shows here: what counts as a yes (200, 201, 202 and nothing else),
redirects that are followed, retries that hold up the tick, and connections that are left behind.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import aiohttp
import yarl

from daemon.sandbox.flagger.api import Json
from daemon.sandbox.flagger.canary import DEFAULT_HOOK_TIMEOUT, Canary, seconds
from daemon.sandbox.flagger.timeline import HOOK, UNANSWERED, Timeline, hook_text

NORMAL = "Normal"
WARNING = "Warning"
METRICS = "metrics"
"""The one place besides the hooks where a tick can be held: its metric query."""

_LONGEST_BACKOFF = 30.0
_IDLE_SECONDS = 90.0
_HTML = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


class HookRefusedError(Exception):
    """The hook did not say yes."""


@dataclass(slots=True)
class Hold:
    """Keeps the next tick inside one of its hooks, after the hook has answered, until released."""

    _reached: asyncio.Event = field(default_factory=asyncio.Event)
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    async def reached(self, *, within: float) -> None:
        """Returns when a tick is inside; raises TimeoutError when none comes."""
        async with asyncio.timeout(within):
            await self._reached.wait()

    def release(self) -> None:
        self._released.set()

    async def pass_through(self) -> None:
        self._reached.set()
        await self._released.wait()


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int | None
    text: str

    @property
    def yes(self) -> bool:
        return self.status is not None and self.status <= 202

    @property
    def worth_retrying(self) -> bool:
        return self.status is None or self.status == 429 or (self.status >= 500 and self.status != 501)


def payload(canary: Canary, phase: str, metadata: Mapping[str, str] | None) -> Json:
    """What a hook is sent, keys in Flagger's order; empty metadata is left out."""
    body: Json = {
        "name": canary.name,
        "namespace": canary.namespace,
        "phase": phase,
        "checksum": canary.checksum,
    }
    if metadata:
        body["metadata"] = dict(sorted(metadata.items()))
    return body


def event_payload(canary: Canary, hook: Json, message: str, kind: str, at: datetime) -> Json:
    """What an event hook is sent; its own metadata cannot override the event's."""
    metadata = {
        **(hook.get("metadata") or {}),
        "eventMessage": message,
        "eventType": kind,
        "timestamp": str(int(at.timestamp() * 1000)),
    }
    return payload(canary, canary.phase, metadata)


def encoded(body: Json) -> bytes:
    """JSON the way Go writes it: compact, and safe to put into HTML."""
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    return "".join(_HTML.get(character, character) for character in text).encode()


class Hooks:
    """Calls the hooks of canaries; ``second`` scales timeouts and pauses, ``now`` stamps the events."""

    def __init__(
        self, timeline: Timeline, *, second: float, now: Callable[[], datetime], leave_idle: bool
    ) -> None:
        self._timeline = timeline
        self._second = second
        self._now = now
        self._leave_idle = leave_idle
        self._idle: set[aiohttp.ClientSession] = set()
        self._holds: dict[str, Hold] = {}

    async def close(self) -> None:
        for hold in self._holds.values():
            hold.release()
        for session in list(self._idle):
            await session.close()
        self._idle.clear()

    @property
    def idle(self) -> int:
        """Connections that were left behind."""
        return len(self._idle)

    def hold_inside(self, hook_type: str) -> Hold:
        """Holds the next call of a hook of this type, once."""
        return self._holds.setdefault(hook_type, Hold())

    async def pass_hold(self, hook_type: str) -> None:
        hold = self._holds.pop(hook_type, None)
        if hold is not None:
            await hold.pass_through()

    async def ask(self, canary: Canary, hook: Json, phase: str) -> None:
        """Calls one hook; raises HookRefusedError unless it says yes."""
        body = payload(canary, phase, hook.get("metadata"))
        await self._call(canary, hook, body, message=None)

    async def say(self, canary: Canary, message: str, kind: str = NORMAL) -> None:
        """Tells every event hook. Synchronous as in Flagger: a hanging event hook holds up the tick."""
        for hook in canary.hooks_of("event"):
            body = event_payload(canary, hook, message, kind, self._now())
            try:
                await self._call(canary, hook, body, message=message)
            except HookRefusedError:
                # Flagger logs this and goes on; the timeline has the answer already.
                continue

    async def _call(self, canary: Canary, hook: Json, body: Json, *, message: str | None) -> None:
        url = str(hook["url"])
        timeout = seconds(str(hook.get("timeout") or "")) or DEFAULT_HOOK_TIMEOUT
        kind = str(hook.get("type") or "rollout")
        attempts = int(hook.get("retries", 0)) + 1
        answer = _Answer(None, "")
        for attempt in range(attempts):
            if attempt:
                await asyncio.sleep(min(2.0 ** (attempt - 1), _LONGEST_BACKOFF) * self._second)
            line = self._timeline.add(canary.key, HOOK, hook_text(kind, body["phase"], UNANSWERED, message))
            answer = await self._post(url, encoded(body), timeout * self._second)
            self._timeline.amend(line, hook_text(kind, body["phase"], str(answer.status), message))
            if not answer.worth_retrying:
                break
        await self.pass_hold(kind)
        if answer.yes:
            return
        if not answer.worth_retrying:
            raise HookRefusedError(answer.text)
        ending = "" if answer.status is not None else f": {answer.text}"
        raise HookRefusedError(f"POST {_redacted(url)} giving up after {attempts} attempt(s){ending}")

    async def _post(self, url: str, body: bytes, timeout: float) -> _Answer:
        session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=timeout),
            connector=aiohttp.TCPConnector(keepalive_timeout=_IDLE_SECONDS),
            headers={
                "User-Agent": "Go-http-client/1.1",
                "Content-Type": "application/json",
                "Accept-Encoding": "gzip",
            },
            skip_auto_headers=["Accept"],
        )
        answered = False
        try:
            # A redirect is followed, and a POST that is redirected by 302 becomes a GET: a login page that
            # answers 200 is a yes. Userinfo in the URL is sent as Basic credentials.
            async with session.post(url, data=body) as response:
                text = await response.text(errors="replace")
                answered = True
                return _Answer(response.status, text)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return _Answer(None, f"{type(error).__name__}: {error}")
        finally:
            if answered and self._leave_idle:
                self._idle.add(session)
            else:
                await session.close()


def _redacted(url: str) -> str:
    parsed = yarl.URL(url)
    return str(parsed.with_password("xxxxx")) if parsed.password else url
