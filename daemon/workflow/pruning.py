"""Forgets records that are old enough. The leader's, a few at a time."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from daemon import ports
from daemon.model import errors
from daemon.model.canary import CanaryRef
from daemon.policy import pruning
from daemon.workflow.leading import Leadership, NotLeadingError
from daemon.workflow.world import World

_AT_ONCE = 100
"""Deletions in one round: an API server has more to do than to forget for us."""

_NOBODY = CanaryRef("", "pruning")
"""Not a canary's: what went wrong while none was looked at."""


class Pruning:
    """Runs beside the duties for as long as this replica leads."""

    def __init__(
        self,
        *,
        world: World,
        ledger: ports.Ledger,
        revisions: ports.Revisions,
        clock: ports.Clock,
        observer: ports.Observer,
        retention: pruning.Retention,
        every: float,
    ) -> None:
        """``every``: seconds between two rounds."""
        self._world = world
        self._ledger = ledger
        self._revisions = revisions
        self._clock = clock
        self._observer = observer
        self._retention = retention
        self._every = every

    async def run(self, leadership: Leadership) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._round(leadership)
            except NotLeadingError:
                raise
            except Exception as error:  # noqa: BLE001 - told: what cannot be forgotten ends no leading
                self._observer.pass_failed(_NOBODY, error)
            await asyncio.sleep(self._every)

    async def _round(self, leadership: Leadership) -> None:
        now = self._clock.now()
        for record in pruning.expired(self._world.all_records(), self._retention, now)[:_AT_ONCE]:
            if not await self._forget(record.canary, record.name, self._ledger.delete(record), leadership):
                return
        for revision in pruning.outlived(self._world.all_revisions(), self._retention, now)[:_AT_ONCE]:
            if not await self._forget(revision.canary, revision.name, self._revisions.delete(revision), leadership):
                return

    async def _forget(
        self, ref: CanaryRef, name: str, deletion: Coroutine[Any, Any, None], leadership: Leadership
    ) -> bool:  # fmt: skip
        """False when the API server has no time for this now."""
        try:
            leadership.check()
        except BaseException:
            deletion.close()
            raise
        try:
            await deletion
        except (errors.Missing, errors.Conflict):
            return True  # gone already, or no longer what it was: the next round looks again
        except errors.NeighbourError as error:
            self._observer.duty_failed(ref, "pruning", error)
            return False
        self._observer.record_pruned(ref, name)
        return True
