"""What came of a plan."""

import dataclasses
import datetime

from daemon.model.errors import NeighbourError
from daemon.model.plan import Step


@dataclasses.dataclass(frozen=True, slots=True)
class StepOutcome:
    """What came of one step. ``error`` is None when it was done; ``at`` is when the answer came."""

    step: Step
    at: datetime.datetime
    error: NeighbourError | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a whole plan."""

    steps: tuple[StepOutcome, ...] = ()

    @property
    def errors(self) -> tuple[NeighbourError, ...]:
        return tuple(step.error for step in self.steps if step.error is not None)
