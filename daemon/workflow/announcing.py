"""Tells people, through one channel, of gates that have been closed for too long."""

import dataclasses
from collections.abc import Callable

from daemon import ports
from daemon.model.canary import Canary, CanaryRef
from daemon.model.canary_revision import CanaryRevision, SeenGate
from daemon.model.notice import Message, Notice, Severity
from daemon.policy import announcing
from daemon.workflow.leading import Leadership
from daemon.workflow.outbox import Outbox
from daemon.workflow.recording import RevisionRecorder
from daemon.workflow.world import World


class Announcing:
    """A duty, one per channel. ``after``: seconds that a gate may be closed before it is told."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        world: World,
        recorder: RevisionRecorder,
        clock: ports.Clock,
        severity: Severity,
        after: float,
    ) -> None:
        self.name = f"gates {outbox.name}"
        self._outbox = outbox
        self._world = world
        self._recorder = recorder
        self._clock = clock
        self._severity = severity
        self._after = after

    def concerns(self, ref: CanaryRef) -> bool:
        return bool(self._untold(ref))

    async def work(self, ref: CanaryRef, leadership: Leadership) -> float | None:
        """Returns the seconds until the next gate will have been closed for too long."""
        for _ in range(len(self._untold(ref))):
            untold = self._untold(ref)
            if not untold:
                return None
            record, canary, gate = untold[0]
            left = (announcing.late_at(gate, self._after) - self._clock.now()).total_seconds()
            if left > 0:
                return left
            message = announcing.message(
                record, canary, gate, self._outbox.channel.manner, self._severity, self._clock.now()
            )
            if message is None:
                return None
            await self._send(record, message, leadership)
        return None

    def _untold(self, ref: CanaryRef) -> list[tuple[CanaryRevision, Canary, SeenGate]]:
        """Soonest first."""
        canary = self._world.canary(ref)
        if canary is None:
            return []
        found = [
            (record, canary, gate)
            for record in self._world.revisions(ref)
            for gate in announcing.refusing(record, canary)
            if announcing.key(record, gate) not in self._notice(record).answered
        ]
        return sorted(found, key=lambda one: announcing.late_at(one[2], self._after))

    async def _send(self, record: CanaryRevision, message: Message, leadership: Leadership) -> None:
        async def amend(change: Callable[[Notice], Notice]) -> Notice:
            written = await self._recorder.amend(
                record.canary, record.name, lambda now: self._with(now, change(self._notice(now)))
            )
            return self._notice(written)

        await self._outbox.send(
            record.canary, message, plan=lambda: (message,), amend=amend, leadership=leadership, anew=True
        )  # fmt: skip

    def _notice(self, record: CanaryRevision) -> Notice:
        return record.notice(self._outbox.name) or Notice(
            self._outbox.name, f"pullback/{record.namespace}/{record.name}/{record.uid}"
        )

    @staticmethod
    def _with(record: CanaryRevision, notice: Notice) -> CanaryRevision:
        others = tuple(one for one in record.notices if one.channel != notice.channel)
        return dataclasses.replace(record, notices=(*others, notice))
