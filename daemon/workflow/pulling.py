"""The backstop: asks Alertmanager what fires, so that a webhook that was lost still leads to what it asked for.

Same judge, same idempotency key: what has been done already is answered as such, and nothing happens twice.
"""

import asyncio
from collections.abc import Awaitable, Callable

from daemon import ports
from daemon.model import errors
from daemon.model.signal import AlertGroup
from daemon.workflow.intake import GroupAnswer

_SOON = 2.0
"""Seconds until what could not be made durable is asked for again, and until a first failed question is."""


class Pulling:
    """``run`` is an actor; ``hurry`` makes it ask at once (something was cut off a webhook)."""

    def __init__(
        self,
        *,
        alerts: ports.FiringAlerts,
        take: Callable[[AlertGroup], Awaitable[GroupAnswer]],
        ready: Callable[[], str],
        observer: ports.Observer,
        chance: ports.Chance,
        every: float,
    ) -> None:
        """``every``: seconds between two questions. ``ready`` says what the daemon still waits for; empty: nothing."""
        self._alerts = alerts
        self._take = take
        self._ready = ready
        self._observer = observer
        self._chance = chance
        self._every = every
        self._stir = asyncio.Event()
        self._failures = 0

    def hurry(self) -> None:
        self._stir.set()

    async def run(self) -> None:
        """For ever."""
        while True:
            self._stir.clear()
            await self._wait(await self._pull())

    async def _pull(self) -> float:
        """Returns the seconds until the next question."""
        if self._ready():
            return 0.2  # nothing can be judged yet
        try:
            group = await self._alerts.firing()
            answer = await self._take(group)
        except errors.NeighbourError as error:
            return self._failed(error)
        except Exception as error:  # noqa: BLE001 - told, and asked again: a backstop must not end what it backs
            return self._failed(errors.Unreachable(f"unforeseen: {type(error).__name__}: {error}"))
        self._failures = 0
        self._observer.pulled(len(group.alerts), None)
        return _SOON if answer.retry else self._jittered()

    def _failed(self, error: errors.NeighbourError) -> float:
        """Soon again, then ever later: at the start, and after an alert was cut off, this question is all there is."""
        self._observer.pulled(0, error)
        self._failures += 1
        return min(_SOON * 2.0 ** min(self._failures - 1, 20), self._jittered())

    def _jittered(self) -> float:
        return self._chance.between(0.8 * self._every, self._every)

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stir.wait()
        except TimeoutError:
            return
        await asyncio.sleep(min(seconds, 0.5))  # whatever is cut off again and again, ask no oftener than this
