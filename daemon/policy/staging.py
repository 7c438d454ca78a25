"""Where a staged release stands: which stage, since when, how long still. Pure.

Everything comes from the record of weight changes, so a restart, and every replica, finds the same. The weights are
those of the routes: ``status.canaryWeight`` of Flagger is not always true.
"""

import dataclasses
import datetime
from collections.abc import Sequence

from daemon.model.canary_revision import SeenWeight
from daemon.model.stages import Stage

FULL = 100.0
_EPSILON = 0.01
"""Percent. Weights are small whole numbers, shares of them are floats."""


@dataclasses.dataclass(frozen=True, slots=True)
class Soak:
    """A stage that has begun. ``left`` is seconds until its soak is over, 0 when it is."""

    stage: Stage
    since: datetime.datetime
    lasted: float
    left: float


def same(one: float, other: float) -> bool:
    """Whether two weights are the same."""
    return abs(one - other) < _EPSILON


def stage_at(stages: Sequence[Stage], weight: float) -> Stage | None:
    """The last stage that begins at this weight or below; None below the first."""
    reached = [stage for stage in stages if stage.weight <= weight + _EPSILON]
    return max(reached, key=lambda stage: stage.weight, default=None)


def soak(
    stages: Sequence[Stage], weights: Sequence[SeenWeight], weight: float, now: datetime.datetime
) -> Soak | None:
    """The soak at ``weight``; None when the record has not come to this weight yet, or no stage speaks of it.

    A stage lasts since the weight entered it for the last time: steps within one stage do not begin it anew, a weight
    that was taken away does.
    """
    stage = stage_at(stages, weight)
    if stage is None or not weights or not same(weights[-1].weight, weight):
        return None
    since = weights[-1].since
    for seen in reversed(weights):
        if stage_at(stages, seen.weight) != stage:
            break
        since = seen.since
    lasted = max(0.0, (now - since).total_seconds())
    return Soak(stage, since, lasted, max(0.0, stage.soak - lasted))


def next_weight(steps: Sequence[float], weight: float) -> float:
    """Where the controller goes from here: its next step, or all of it. From a weight that is none of its steps, which
    somebody else wrote, Flagger goes to all of it at once."""
    if weight > _EPSILON and not any(same(step, weight) for step in steps):
        return FULL
    return min((step for step in steps if step > weight + _EPSILON), default=FULL)
