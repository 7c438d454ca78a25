"""Drills as the daemon sees them: an alert that led to nothing is answered for, and the last ones are told."""

import asyncio
import datetime
from collections.abc import Iterable
from typing import Protocol

from daemon import ports
from daemon.model import errors
from daemon.model.canary import CanaryRef
from daemon.model.decision import Decision, Reason, Verdict
from daemon.model.drill import DrillOutcome
from daemon.model.rollback import Rollback, RollbackPhase
from daemon.model.signal import Alert, Source
from daemon.workflow.hearing import Hearing

_WAITING_MOST = 32
"""A drill is one alert, now and then; whoever sends more than this is not answered."""
_BROKEN = frozenset({RollbackPhase.FAILED, RollbackPhase.ESCALATED})


class DrillLog(Protocol):
    """Where whoever runs a drill finds what became of its alert when no record was made."""

    async def ignored(self, alert: Alert, decision: Decision, at: datetime.datetime) -> None:
        """Raises the NeighbourError family."""
        ...


class DrillListener(Hearing):
    """Hears of alerts that were ignored; ``run`` is the actor that says so, beside everything else (law 2)."""

    def __init__(self, log: DrillLog, clock: ports.Clock) -> None:
        self._log = log
        self._clock = clock
        self._waiting: asyncio.Queue[tuple[Alert, Decision]] = asyncio.Queue(_WAITING_MOST)

    def signal_judged(
        self,
        source: Source,  # noqa: ARG002 - the port's
        decision: Decision,
        canary: CanaryRef | None,  # noqa: ARG002
        alert: Alert,
    ) -> None:
        ignored = decision.verdict is Verdict.IGNORE and decision.reason is not Reason.ALREADY_HANDLED
        if alert.is_drill and alert.firing and ignored and not self._waiting.full():
            self._waiting.put_nowait((alert, decision))

    async def run(self) -> None:
        """For ever."""
        while True:
            alert, decision = await self._waiting.get()
            try:
                await self._log.ignored(alert, decision, self._clock.now())
            except errors.NeighbourError:
                continue  # the drill then says that nothing was heard of its alert, which is true


def last_drills(records: Iterable[Rollback]) -> dict[str, float]:
    """When the last drill ended (epoch), by its outcome: ``passed``, ``failed``. Of one whose end nobody has written
    down only a rollback that broke counts: that it went well cannot be known without whoever measured it."""
    found: dict[str, float] = {}
    for record in records:
        if not record.drill:
            continue
        result = record.drill_result
        if result is not None:
            outcome, at = result.outcome, result.at
        elif record.phase in _BROKEN:
            timeline = record.timeline
            outcome, at = DrillOutcome.FAILED, timeline.completed_at or timeline.escalated_at or record.created_at
        else:
            continue
        word = outcome.value.lower()
        found[word] = max(found.get(word, 0.0), at.timestamp())
    return found
