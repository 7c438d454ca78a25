"""Forgets records that are old enough. The leader's, a few at a time."""

import asyncio

from daemon import ports
from daemon.model import errors
from daemon.policy import pruning
from daemon.workflow.leading import Leadership
from daemon.workflow.world import World

_AT_ONCE = 100
"""Deletions in one round: an API server has more to do than to forget for us."""


class Pruning:
    """Runs beside the duties for as long as this replica leads."""

    def __init__(
        self,
        *,
        world: World,
        ledger: ports.Ledger,
        clock: ports.Clock,
        observer: ports.Observer,
        retention: pruning.Retention,
        every: float,
    ) -> None:
        """``every``: seconds between two rounds."""
        self._world = world
        self._ledger = ledger
        self._clock = clock
        self._observer = observer
        self._retention = retention
        self._every = every

    async def run(self, leadership: Leadership) -> None:
        """Until cancelled."""
        while True:
            await self._round(leadership)
            await asyncio.sleep(self._every)

    async def _round(self, leadership: Leadership) -> None:
        for record in pruning.expired(self._world.all_records(), self._retention, self._clock.now())[:_AT_ONCE]:
            leadership.check()
            try:
                await self._ledger.delete(record)
            except (errors.Missing, errors.Conflict):
                continue  # gone already, or no longer what it was: the next round looks again
            except errors.NeighbourError as error:
                self._observer.duty_failed(record.canary, "pruning", error)
                return
            self._observer.record_pruned(record.canary, record.name)
