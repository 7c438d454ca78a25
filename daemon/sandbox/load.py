"""Sends a steady stream of requests at Envoy and remembers what became of each.

Open loop: requests leave on a fixed schedule whether or not earlier ones have been answered, because a
closed loop would slow down exactly when the canary does, and hide it. Everything is bounded: rate,
duration, requests in flight and so the memory. Times are wall-clock epoch seconds of this process, to be
laid beside the daemon's own.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import aiohttp

from daemon.sandbox.application import VERSION_HEADER

NO_VERSION = "none"
NO_STATUS = 0
REMEMBERED = 100_000
"""Answers kept one by one: ten minutes at the usual rate. A demo that is left running must not eat the memory."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One request: when it left, when its answer was complete, who answered and how (status 0: no answer)."""

    sent_at: float
    answered_at: float
    version: str
    status: int

    @property
    def bad(self) -> bool:
        return self.status == NO_STATUS or self.status >= 500


@dataclass(slots=True)
class Tally:
    """What the users of the app saw, to be asked while the load still runs."""

    answers: deque[Answer] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    by_version_and_status: Counter[tuple[str, int]] = field(default_factory=Counter)
    skipped: int = 0

    def add(self, answer: Answer) -> None:
        self.answers.append(answer)
        self.by_version_and_status[answer.version, answer.status] += 1

    @property
    def total(self) -> int:
        return self.by_version_and_status.total()

    @property
    def bad(self) -> int:
        return sum(
            count for (_, status), count in self.by_version_and_status.items() if status == NO_STATUS or status >= 500
        )

    def of(self, version: str) -> Iterator[Answer]:
        return (answer for answer in self.answers if answer.version == version)

    def first_bad_at(self, version: str) -> float | None:
        """When the first user was hurt: the onset every stopwatch counts from."""
        return min((answer.answered_at for answer in self.of(version) if answer.bad), default=None)

    def last_answer_at(self, version: str) -> float | None:
        return max((answer.answered_at for answer in self.of(version)), default=None)

    def last_sent_at(self, version: str) -> float | None:
        return max((answer.sent_at for answer in self.of(version)), default=None)

    def sent_after(self, moment: float, version: str) -> int:
        """Requests that left after `moment` and still reached `version`: after a cut this must be 0."""
        return sum(1 for answer in self.of(version) if answer.sent_at > moment)

    def answered_after(self, moment: float, version: str) -> int:
        """Like `sent_after`, with the requests that were in flight at `moment`."""
        return sum(1 for answer in self.of(version) if answer.answered_at > moment)

    def share(self, version: str, since: float = 0.0) -> float:
        """The part of the requests sent since `since` that `version` answered; 0 when there were none."""
        recent = [answer.version for answer in self.answers if answer.sent_at >= since]
        return recent.count(version) / len(recent) if recent else 0.0


@dataclass(slots=True)
class Load:
    """The load generator; `async with` starts it as a task and stops it, `tally` is live all the while."""

    url: str
    host: str
    requests_per_second: float = 150.0
    longest_seconds: float = 300.0
    in_flight: int = 64
    request_timeout: float = 10.0
    headers: Mapping[str, str] = field(default_factory=dict)
    """Of every request, beside Host."""
    tally: Tally = field(default_factory=Tally)
    _task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="sandbox-load")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def running(self) -> bool:
        return self._task is not None and not self._task.done()

    async def stop(self) -> None:
        """Stop sending; requests in flight are given up. A defect in the generator itself is raised here."""
        if self._task is None:
            return
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self._task = None

    async def _run(self) -> None:
        pool = aiohttp.TCPConnector(limit=self.in_flight, keepalive_timeout=30)
        timeout = aiohttp.ClientTimeout(total=self.request_timeout)
        headers = {**self.headers, "Host": self.host}
        async with (
            aiohttp.ClientSession(connector=pool, timeout=timeout, headers=headers) as session,
            asyncio.TaskGroup() as requests,
        ):
            await self._send_on_schedule(session, requests)

    async def _send_on_schedule(self, session: aiohttp.ClientSession, requests: asyncio.TaskGroup) -> None:
        began = time.monotonic()
        flying: set[asyncio.Task[None]] = set()
        for number in range(int(self.requests_per_second * self.longest_seconds)):
            wait = began + number / self.requests_per_second - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            elif wait < -1:  # the machine stood still: catching up would be a burst no user ever sends
                began -= wait
            if len(flying) >= self.in_flight:
                self.tally.skipped += 1
                continue
            task = requests.create_task(self._send(session))
            flying.add(task)
            task.add_done_callback(flying.discard)

    async def _send(self, session: aiohttp.ClientSession) -> None:
        sent_at, version, status = time.time(), NO_VERSION, NO_STATUS
        try:
            async with session.get(self.url) as response:
                version = response.headers.get(VERSION_HEADER, NO_VERSION)
                await response.read()
                status = response.status
        except (aiohttp.ClientError, TimeoutError):
            pass  # counted as an answer with status 0: to a user it is one
        self.tally.add(Answer(sent_at, time.time(), version, status))
