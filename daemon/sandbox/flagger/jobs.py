"""The schedule of one canary: a tick at once, then one per interval, as Go's ticker beats."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable


class Job:
    """Ticks until stopped. A beat missed during a long tick is made up for once, further ones are dropped."""

    def __init__(
        self, namespace: str, name: str, interval: float, tick: Callable[[str, str], Awaitable[None]]
    ) -> None:
        self.interval = interval
        self._namespace = namespace
        self._name = name
        self._tick = tick
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """No further tick; one that is under way goes on to its end, next to the job that follows."""
        self._stopped.set()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + self.interval
        while True:
            await self._tick(self._namespace, self._name)
            if await self._stopped_before(due):
                return
            late = max(0.0, loop.time() - due)
            due += self.interval * (1 + math.floor(late / self.interval))

    async def _stopped_before(self, due: float) -> bool:
        try:
            async with asyncio.timeout_at(due):
                await self._stopped.wait()
        except TimeoutError:
            return False
        return True
