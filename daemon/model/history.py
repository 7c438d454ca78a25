"""Which records somebody asks for."""

import dataclasses
import datetime
from collections.abc import Iterable

from daemon.model.rollback import Rollback, RollbackPhase, Trigger


@dataclasses.dataclass(frozen=True, slots=True)
class Filter:
    """All that is given must hold; ``limit`` counts from the newest."""

    namespace: str | None = None
    canary: str | None = None
    phase: RollbackPhase | None = None
    trigger: Trigger | None = None
    finished: bool | None = None
    since: datetime.datetime | None = None
    """Received at this moment or later."""
    limit: int | None = None

    def select(self, records: Iterable[Rollback]) -> list[Rollback]:
        """Newest first."""
        found = sorted(filter(self._matches, records), key=lambda one: (one.created_at, one.name), reverse=True)
        return found[: self.limit]

    def _matches(self, record: Rollback) -> bool:
        return (
            self.namespace in {None, record.namespace}
            and self.canary in {None, record.canary.name}
            and self.phase in {None, record.phase}
            and self.trigger in {None, record.trigger}
            and self.finished in {None, record.finished}
            and (self.since is None or record.started_at >= self.since)
        )
