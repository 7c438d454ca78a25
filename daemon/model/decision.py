"""What a decision may see, and what it says."""

import dataclasses
import datetime
import enum

from daemon.model.canary import Canary, CanaryRef, Workload
from daemon.model.notice import Severity
from daemon.model.rollback import RecordedSignal, Rollback, Trigger
from daemon.model.route import Original, RoutePatch, RouteView, WeightChange


class Verdict(enum.StrEnum):
    """What is to happen."""

    ROLL_BACK = "ROLL_BACK"
    PAUSE = "PAUSE"
    RESUME = "RESUME"
    IGNORE = "IGNORE"
    ESCALATE = "ESCALATE"


class Reason(enum.StrEnum):
    """Why. The same word stands in the log, the metric, the answer, the record and the tests."""

    ALERT_FIRES = "alert-fires"
    """A firing alert whose rule says rollback, about this canary and this revision."""
    OPERATOR_ASKS = "operator-asks"
    """A person made a Rollback record."""
    ALREADY_ROLLING_BACK = "already-rolling-back"
    """A rollback of this very revision is in force: nothing more is needed."""
    ROLLBACK_IN_FORCE = "rollback-in-force"
    """The latch stands: whatever raises the canary is undone (law 6)."""
    ALERT_PAUSES = "alert-pauses"
    """A firing alert whose rule says pause closes the traffic-increase gate."""
    ALERT_RESOLVED = "alert-resolved"
    """The alert that closed the gate is over."""
    RESOLVED_NEVER_UNDOES = "resolved-never-undoes"
    """A rollback is a latch; the end of its alert changes nothing (law 6)."""
    NOTHING_TO_RESUME = "nothing-to-resume"
    """The resolved alert holds no gate closed."""
    FIRING_AFTER_RESOLVED = "firing-after-resolved"
    """A late copy of a pause alert whose end has been seen already."""
    POLICY_IGNORES = "policy-ignores"
    """A rule says ignore."""
    NO_RULE_MATCHES = "no-rule-matches"
    """No rule of the alert policy speaks of this alert."""
    HEARTBEAT = "heartbeat"
    """Alertmanager's always-firing Watchdog: proof that the road to us is open."""
    MALFORMED = "malformed"
    """The alert can never be read; the answer says where."""
    TRUNCATED = "truncated"
    """Alertmanager cut alerts off this webhook: what they said is unknown."""
    UNMATCHED = "unmatched"
    """Nothing in the alert names a canary we know."""
    AMBIGUOUS = "ambiguous"
    """It could mean several canaries; we do not guess (law 4)."""
    NAMES_STABLE = "names-stable"
    """It speaks of the stable side; taking the canary's traffic would send it more."""
    NAMES_ANOTHER_VERSION = "names-another-version"
    """It names a version that this canary does not run."""
    SIGNAL_OLDER_THAN_REVISION = "signal-older-than-revision"
    """It began before this revision's analysis did (law 4)."""
    ALREADY_HANDLED = "already-handled"
    """This very episode of the alert has led to a rollback that is over."""
    DRILL_ON_REAL_CANARY = "drill-on-real-canary"
    """A drill's alert acts on a drill's own canary, and on no other."""
    NO_ACTIVE_CANARY = "no-active-canary"
    """No revision is under analysis, so there is no canary traffic to take away."""
    PROMOTION_UNDER_WAY = "promotion-under-way"
    """The primary is changing; the canary may be the only healthy copy (law 9)."""
    STABLE_IS_GONE = "stable-is-gone"
    """No pod of the stable side is ready: the canary may be the only healthy copy (law 9)."""
    PROMOTION_BROKE = "promotion-broke"
    """Failed at 100%: the primary is already the new version (law 9)."""
    DEADLINE_EXCEEDED = "deadline-exceeded"
    """Zero is not proved within the deadline."""
    WRITE_REFUSED = "write-refused"
    """The API refuses the route write for good: permission, admission or validation."""
    FAILURE_ACCEPTED = "failure-accepted"
    """The controller says Failed and the routes are at 0: the latch ends."""
    NEW_REVISION_BEGAN = "new-revision-began"
    """Another revision is under analysis: the latch ends."""
    REVISION_PROMOTED = "revision-promoted"
    """The revision was promoted before its traffic could be taken away."""
    RELEASED = "released"
    """A person has lifted the hold: the latch ends, and what was re-pointed is put back."""
    CANARY_GONE = "canary-gone"
    """The canary object no longer exists."""
    DRY_RUN = "dry-run"
    """Only what would be done is written down."""
    ALERT_AFTER_PROMOTION = "alert-after-promotion"
    """The revision was promoted a moment ago: no traffic can be pulled back, a person must revert it."""
    PAUSED = "paused"
    """A person paused this canary."""
    OPEN = "open"
    """Nothing speaks against it."""
    CANNOT_KNOW = "cannot-know"
    """What we have seen is too old, or not this revision's: the safe answer."""
    UNKNOWN_PROFILE = "unknown-profile"
    """The canary names a profile that the configuration does not have."""
    CHECK_FAILED = "check-failed"
    """A check of this gate failed; the answer says what was expected and what was seen."""
    CHECK_RUNNING = "check-running"
    """A check of this gate has not ended yet."""
    CHECK_UNDECIDED = "check-undecided"
    """A check cannot say: not enough traffic yet, or what it asks does not answer."""
    SOAKING = "soaking"
    """The stage has not lasted long enough."""
    WEIGHT_IS_NO_STEP = "weight-is-no-step"
    """Somebody wrote a weight that is none of the controller's steps, from which it would go to all of it at once."""
    APPROVAL_MISSING = "approval-missing"
    """Nobody, or not enough people, have approved this revision."""
    APPROVAL_OF_ANOTHER_REVISION = "approval-of-another-revision"
    """What was approved is not what is being promoted."""
    APPROVAL_EXPIRED = "approval-expired"
    """It was approved too long ago."""
    APPROVAL_USED = "approval-used"
    """It has opened a promotion already."""
    APPROVED = "approved"
    """Approved by a named person, for this very revision."""
    NO_ROLLBACK = "no-rollback"
    """No rollback of this revision is in force."""
    RECORDED = "recorded"
    """Noted; nothing to answer."""


HANDS_OFF = frozenset({Reason.PROMOTION_UNDER_WAY, Reason.PROMOTION_BROKE, Reason.STABLE_IS_GONE,
                       Reason.ALERT_AFTER_PROMOTION})  # fmt: skip
"""Escalations in which no traffic is moved (law 9)."""

ENDINGS = frozenset({Reason.FAILURE_ACCEPTED, Reason.RELEASED, Reason.NEW_REVISION_BEGAN, Reason.REVISION_PROMOTED,
                     Reason.CANARY_GONE, Reason.NO_ACTIVE_CANARY, Reason.DRY_RUN})  # fmt: skip
"""Reasons with which a rollback stops standing."""


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """A verdict and its reason. ``detail`` is one line for people: what was expected, what was seen."""

    verdict: Verdict
    reason: Reason
    detail: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Intent:
    """A rollback that has been decided, durable or not: what a record says, held in memory.

    ``record_name`` is the name the record has or will have.
    """

    canary: CanaryRef
    revision: str
    trigger: Trigger
    reason: str
    requested_by: str
    signal: RecordedSignal | None
    dry_run: bool
    received_at: datetime.datetime
    decided_at: datetime.datetime
    record_name: str
    checksum: str = ""
    weights: tuple[WeightChange, ...] = ()
    originals: tuple[Original, ...] = ()
    severity: Severity | None = None
    drill: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Proof:
    """That no traffic reaches the canary, each statement saying how it was seen."""

    at: datetime.datetime
    statements: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """The numbers decisions need; all in seconds."""

    deadline: float = 120.0
    """From received to proved; past it a person is told."""
    clock_tolerance: float = 5.0
    """How far the clocks of Prometheus and of the cluster may disagree."""


def has_no_pods(workload: Workload | None) -> bool:
    """Nobody is left who could answer, as far as its controller has told."""
    return workload is not None and workload.observed and not (workload.replicas or workload.ready_replicas)


@dataclasses.dataclass(frozen=True, slots=True)
class Evidence:
    """Everything a decision about one canary may see, gathered at one moment.

    ``canary`` is None when no such object exists (a failed read is not evidence and never gets here).
    ``routes`` are all routing objects that can reach the canary; ``routes_known`` is False when its traffic
    is split by something this version cannot write.
    ``zero_since`` is when all routes were first seen at zero without a break since.
    """

    now: datetime.datetime
    canary: Canary | None
    workload: Workload | None
    routes: tuple[RouteView, ...]
    routes_known: bool
    records: tuple[Rollback, ...]
    intent: Intent | None = None
    record: Rollback | None = None
    zero_since: datetime.datetime | None = None
    proof: Proof | None = None
    unproved: str = ""
    """Why routes that say 0 are no proof yet."""
    holds: int = 0
    checksum: str = ""
    resolved: frozenset[tuple[str, datetime.datetime]] = frozenset()
    write_refused: str = ""
    divert_refused: bool = False
    """The canary's Service cannot stand for the stable one."""
    second_brake: str = ""
    """What was done in place of the write that is refused."""
    rehearsing: bool = False
    """The daemon only writes down what it would do."""
    bakes_until: datetime.datetime | None = None
    """Of a revision that is promoted: until when an alert about it pages."""
    bakes_since: datetime.datetime | None = None
    """When its promotion began, where that is known: what fires since then may be about it."""
    stable: Workload | None = None
    """What runs the stable side, where that is known."""
    gone_since: datetime.datetime | None = None
    """Since when the canary of a standing rollback has not been there."""
    restorations: tuple[RoutePatch, ...] | None = ()
    """Of a rollback that was released: what is left to put back; None: it is too early to say."""
    undo: str = ""
    """The command that takes the workload back to its last good version."""
    limits: Limits = Limits()

    @property
    def routes_at_zero(self) -> bool:
        """Every route we know of gives the canary nothing (and we do know its routes)."""
        return self.routes_known and all(route.at_zero for route in self.routes)

    @property
    def gets_nothing(self) -> bool:
        """Its routes say so; where nobody here can read them, it has no pods that could answer."""
        return self.routes_at_zero or (not self.routes_known and has_no_pods(self.workload))
