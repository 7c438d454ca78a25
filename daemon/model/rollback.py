"""The record: a ``Rollback`` object (rollbacks.pullback.dev), our only memory that survives us."""

import dataclasses
import datetime
import enum
from collections.abc import Mapping
from typing import Any

from daemon.model.canary import FLAGGER_CANARY, CanaryRef, ObjectKind
from daemon.model.cleanup import Cleanup
from daemon.model.drill import DrillResult
from daemon.model.follow_up import FollowUp, FollowUpKind
from daemon.model.keeping import KeptEvidence
from daemon.model.notice import Notice, Severity
from daemon.model.route import Original, WeightChange


class RollbackPhase(enum.StrEnum):
    """``status.phase``, as the contract spells it."""

    PENDING = "Pending"
    ZEROED = "Zeroed"
    PROVED = "Proved"
    COMPLETED = "Completed"
    FAILED = "Failed"
    ESCALATED = "Escalated"
    DRY_RUN = "DryRun"


FINISHED = frozenset({RollbackPhase.COMPLETED, RollbackPhase.FAILED, RollbackPhase.DRY_RUN})


class Trigger(enum.StrEnum):
    """``spec.trigger``: who asked."""

    ALERT = "Alert"
    OPERATOR = "Operator"
    FLAGGER = "Flagger"
    CRITERIA = "Criteria"
    """The success criteria of a stage, where we drive the canary ourselves."""


@dataclasses.dataclass(frozen=True, slots=True)
class RecordedSignal:
    """The alert that asked for the rollback, as it stands in ``spec.signal``."""

    fingerprint: str
    starts_at: datetime.datetime
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    generator_url: str = ""
    external_url: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Timeline:
    """When what was done. Wall clock, UTC. None: not yet."""

    started_at: datetime.datetime | None = None
    """The signal was received (the promise's clocks start here); None until the first status is written."""
    decided_at: datetime.datetime | None = None
    zeroed_at: datetime.datetime | None = None
    proved_at: datetime.datetime | None = None
    escalated_at: datetime.datetime | None = None
    completed_at: datetime.datetime | None = None
    next_revision_began_at: datetime.datetime | None = None
    """When the revision that ended this rollback took over: Flagger does not tell, and a restart would forget."""
    received_at: datetime.datetime | None = None
    """The same as ``started_at``, as the creation of the record carried it."""


class Milestone(enum.StrEnum):
    """``status.conditions[].type``: each is set to True once and stays."""

    ZEROED = "Zeroed"
    PROVED = "Proved"
    SECOND_BRAKE = "SecondBrake"
    """A route could not be written, and something else was done."""
    ESCALATED = "Escalated"
    COMPLETED = "Completed"


@dataclasses.dataclass(frozen=True, slots=True)
class Condition:
    """A milestone that was reached, why, and when."""

    type: Milestone
    reason: str
    message: str
    at: datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Rollback:
    """One record, read. ``revision`` may be empty in a record made by hand until it is bound."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    created_at: datetime.datetime
    canary: CanaryRef
    revision: str
    trigger: Trigger
    reason: str
    requested_by: str
    signal: RecordedSignal | None
    dry_run: bool
    phase: RollbackPhase
    timeline: Timeline
    checksum: str = ""
    holds: int = 0
    weights: tuple[WeightChange, ...] = ()
    originals: tuple[Original, ...] = ()
    proof: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()
    message: str = ""
    severity: Severity | None = None
    """How bad the policy said it is; None in a record made by hand that does not say."""
    evidence: KeptEvidence | None = None
    cleanup: Cleanup | None = None
    notices: tuple[Notice, ...] = ()
    drill: bool = False
    """Of a fire drill: it opens no incident, and counts among no real ones."""
    drill_result: DrillResult | None = None
    follow_ups: tuple[FollowUp, ...] = ()
    """What was brought in step elsewhere after zero."""
    canary_kind: ObjectKind = FLAGGER_CANARY
    released_by: str = ""
    """Who has lifted the hold (``pullback.dev/released-by``); empty while nobody has."""
    released_reason: str = ""

    @property
    def finished(self) -> bool:
        return self.phase in FINISHED

    @property
    def stands(self) -> bool:
        """It holds its canary at zero, or is about to."""
        return not (self.finished or self.dry_run)

    @property
    def begun(self) -> bool:
        """Somebody has judged it and written its beginning: before that it is only asked for."""
        return self.timeline.started_at is not None

    @property
    def started_at(self) -> datetime.datetime:
        return self.timeline.started_at or self.timeline.received_at or self.created_at

    def as_far_as(self, other: "Rollback") -> bool:
        """Whether both have come equally far: what comes after zero is written beside that, and does not count."""
        blank: dict[str, Any] = {"resource_version": "", "evidence": None, "cleanup": None, "notices": (),
                                 "drill_result": None, "follow_ups": ()}  # fmt: skip
        return dataclasses.replace(self, **blank) == dataclasses.replace(other, **blank)

    def notice(self, channel: str) -> Notice | None:
        """What one channel has been told, None when it has not been spoken to."""
        return next((notice for notice in self.notices if notice.channel == channel), None)

    def follow_up(self, kind: FollowUpKind, name: str) -> FollowUp | None:
        """What has become of one of them, None while it has not begun."""
        return next((one for one in self.follow_ups if (one.kind, one.name) == (kind, name)), None)


@dataclasses.dataclass(frozen=True, slots=True)
class NewRollback:
    """A record to be created: the durable intent, complete before the first answer."""

    namespace: str
    name: str
    canary: CanaryRef
    revision: str
    trigger: Trigger
    reason: str
    requested_by: str
    signal: RecordedSignal | None
    dry_run: bool
    started_at: datetime.datetime
    decided_at: datetime.datetime
    weights: tuple[WeightChange, ...] = ()
    originals: tuple[Original, ...] = ()
    checksum: str = ""
    severity: Severity | None = None
    drill: bool = False
    canary_kind: ObjectKind = FLAGGER_CANARY


@dataclasses.dataclass(frozen=True, slots=True)
class Amendment:
    """What to change in a record's status. None leaves a field alone."""

    phase: RollbackPhase | None = None
    revision: str | None = None
    timeline: Timeline = Timeline()
    seconds_to_zero: float | None = None
    checksum: str | None = None
    holds: int | None = None
    weights: tuple[WeightChange, ...] | None = None
    originals: tuple[Original, ...] | None = None
    proof: tuple[str, ...] | None = None
    conditions: tuple[Condition, ...] | None = None
    message: str | None = None
    evidence: KeptEvidence | None = None
    cleanup: Cleanup | None = None
    notices: tuple[Notice, ...] | None = None
    drill_result: DrillResult | None = None
    follow_ups: tuple[FollowUp, ...] | None = None

    def __bool__(self) -> bool:
        return self != Amendment()
