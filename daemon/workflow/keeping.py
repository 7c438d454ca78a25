"""Evidence first: what the canary's pods said and why they died is kept before they go away."""

import asyncio
from typing import Protocol

from daemon import ports
from daemon.model import errors
from daemon.model.canary import Canary, CanaryRef
from daemon.model.keeping import KeptEvidence
from daemon.model.rollback import Amendment, Rollback
from daemon.workflow.leading import Leadership
from daemon.workflow.recording import Recorder
from daemon.workflow.world import World

_AT_MOST = 3.0
"""Times the time for gathering: then a try is given up."""


class EvidenceRoom(Protocol):
    """Where what a canary's pods said is kept after they are gone."""

    async def keep(self, canary: Canary, record: Rollback, *, within: float) -> KeptEvidence:
        """Gathers for at most ``within`` seconds, then writes what it has; the first one kept stays. What could not be
        written is written by the next call."""
        ...

    def holds(self, record: Rollback) -> bool:
        """Whether something of this record was gathered and could not be written yet."""
        ...


class Keeping:
    """A duty: once per rollback, within its time, or not at all."""

    name = "evidence"

    def __init__(
        self, *, world: World, recorder: Recorder, room: EvidenceRoom, clock: ports.Clock, within: float
    ) -> None:
        """``within``: seconds for gathering; taking secrets out and writing may take twice as long again."""
        self._world = world
        self._recorder = recorder
        self._room = room
        self._clock = clock
        self._within = within

    def concerns(self, ref: CanaryRef) -> bool:
        return self._next(ref) is not None

    async def work(self, ref: CanaryRef, leadership: Leadership) -> float | None:
        failed: errors.NeighbourError | None = None
        # Newest first: what cannot be written of yesterday keeps nobody from looking at tonight's pods.
        for record in [one for one in reversed(self._world.records(ref)) if self._wants(one)]:
            try:
                await self._keep_of(ref, record, leadership)
            except errors.NeighbourError as problem:
                failed = failed or problem
        if failed is not None:
            raise failed
        return 0.0 if self._next(ref) else None

    async def _keep_of(self, ref: CanaryRef, record: Rollback, leadership: Leadership) -> None:
        canary = self._world.canary(ref)
        if canary is None:
            kept = KeptEvidence("", self._clock.now(), 0, ("the canary object is gone",))
        else:
            leadership.check()
            kept = await self._keep(canary, record)
        leadership.check()
        await self._recorder.amend(
            ref, record.name, lambda now: Amendment() if now.evidence else Amendment(evidence=kept)
        )

    async def _keep(self, canary: Canary, record: Rollback) -> KeptEvidence:
        try:
            async with asyncio.timeout(_AT_MOST * self._within):
                return await self._room.keep(canary, record, within=self._within)
        except (TimeoutError, errors.Refused) as problem:
            # Refused for good, or hopelessly slow: said so, rather than tried until the pods are gone anyway.
            if self._room.holds(record):
                raise errors.Unreachable("gathered, but not written in time") from problem
            why = "no time was left" if isinstance(problem, TimeoutError) else str(problem)
            return KeptEvidence("", self._clock.now(), 0, (f"could not be kept: {why}",))

    def _next(self, ref: CanaryRef) -> Rollback | None:
        return next((one for one in self._world.records(ref) if self._wants(one)), None)

    def _wants(self, record: Rollback) -> bool:
        if not record.begun or record.dry_run or record.evidence is not None:
            return False
        if not record.finished:
            return True
        # A rollback that was over before anybody could look: its pods may still be there for a moment.
        if self._room.holds(record):
            return True
        ended = record.timeline.completed_at
        return ended is not None and (self._clock.now() - ended).total_seconds() < 2 * self._within
