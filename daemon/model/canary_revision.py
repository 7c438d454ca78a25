"""The record of one revision of a canary: ``CanaryRevision`` (canaryrevisions.pullback.dev).

What a rollback is to the way down, this is to the way up: stages and since when, what was checked, who approved, what
Flagger was told. Soak clocks are read from here, so they are the same on every replica and survive all of them.
"""

import dataclasses
import datetime
import enum
from collections.abc import Iterable, Mapping
from typing import Any

from daemon.model.canary import FLAGGER_CANARY, CanaryRef, ObjectKind
from daemon.model.checking import CheckState, ImageDigest
from daemon.model.notice import Notice


class RevisionPhase(enum.StrEnum):
    """``status.phase``."""

    PENDING = "Pending"
    """Seen in the workload, not taken up by the controller yet (it may wait at confirm-rollout)."""
    ANALYSING = "Analysing"
    PROMOTED = "Promoted"
    FAILED = "Failed"
    SUPERSEDED = "Superseded"
    """Another revision was begun before this one had come to an end."""


ENDED = frozenset({RevisionPhase.PROMOTED, RevisionPhase.FAILED, RevisionPhase.SUPERSEDED})


class EntryKind(enum.StrEnum):
    """What a line of the timeline is about."""

    PHASE = "phase"
    STAGE = "stage"
    CHECK = "check"
    HOOK = "hook"
    ALERT = "alert"
    ACT = "act"
    ROLLBACK = "rollback"
    FLAGGER = "flagger"


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One line of the timeline. The same thing said again within one stage is counted, not repeated.

    ``key`` tells what counts as the same; ``text`` is what was said last, ``last`` when (None: only once).
    """

    at: datetime.datetime
    kind: EntryKind
    key: str
    text: str
    count: int = 1
    last: datetime.datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class SeenWeight:
    """From when on the routes gave the canary so many percent. ``version`` is the highest resource version of the
    routes then: a replica whose watch lags behind adds nothing."""

    weight: float
    since: datetime.datetime
    version: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class SeenCheck:
    """The newest result of one check. ``gate`` is the hook it was looked at for."""

    gate: str
    name: str
    state: CheckState
    detail: str
    at: datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class SeenGate:
    """What one hook was answered last. ``refusing_since`` is set while it is closed for another reason than a soak,
    whose end is known."""

    hook: str
    opened: bool
    reason: str
    detail: str
    at: datetime.datetime
    refusing_since: datetime.datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class SeenActs:
    """The operator acts on the canary object as they were last seen, word by word: what differs now is news."""

    paused: str = ""
    advance: str = ""
    approval: str = ""
    approval_at: datetime.datetime | None = None
    """When this very approval was first seen."""
    stale_approval: str = ""
    """An approval that was there when the revision came back: it was meant for an earlier analysis of it."""
    stale_advance: str = ""
    """An unbound ``advance-to`` that was there before this revision began: it was not meant for it."""


@dataclasses.dataclass(frozen=True, slots=True)
class CanaryRevision:
    """One record, read. ``template`` is the hash of the pod template, which names the revision before Flagger does;
    ``revision`` is Flagger's name, empty until it has one."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    created_at: datetime.datetime
    canary: CanaryRef
    template: str
    images: tuple[str, ...] = ()
    revision: str = ""
    phase: RevisionPhase = RevisionPhase.PENDING
    run: int = 0
    """How often it has been analysed: the same template may come back."""
    began: datetime.datetime | None = None
    """Of the analysis that runs now, or ran last."""
    promoted_at: datetime.datetime | None = None
    configs: str = ""
    """Of the ConfigMaps and Secrets it runs with: others are another run."""
    workload_revision: str = ""
    """The Deployment's own number for this template (``deployment.kubernetes.io/revision``): what to undo to."""
    weights: tuple[SeenWeight, ...] = ()
    """Of this run, oldest first."""
    checks: tuple[SeenCheck, ...] = ()
    digests: tuple[ImageDigest, ...] = ()
    gates: tuple[SeenGate, ...] = ()
    acts: SeenActs = SeenActs()
    entries: tuple[Entry, ...] = ()
    dropped: int = 0
    """Lines that no longer fit."""
    notices: tuple[Notice, ...] = ()

    @property
    def ended(self) -> bool:
        return self.phase in ENDED

    def gate(self, hook: str) -> SeenGate | None:
        return next((one for one in self.gates if one.hook == hook), None)

    def notice(self, channel: str) -> Notice | None:
        """What one channel has been told, None when it has not been spoken to."""
        return next((notice for notice in self.notices if notice.channel == channel), None)


@dataclasses.dataclass(frozen=True, slots=True)
class NewRevision:
    """A record to be created."""

    namespace: str
    name: str
    canary: CanaryRef
    canary_uid: str
    template: str
    images: tuple[str, ...]
    canary_kind: ObjectKind = FLAGGER_CANARY


Changes = Mapping[str, Any]
"""Fields of ``CanaryRevision`` and their new values."""


def changes(before: CanaryRevision, after: CanaryRevision) -> Changes:
    """What ``after`` says otherwise."""
    return {
        field.name: getattr(after, field.name)
        for field in dataclasses.fields(CanaryRevision)
        if getattr(before, field.name) != getattr(after, field.name)
    }


def newest(records: Iterable[CanaryRevision]) -> CanaryRevision | None:
    """The one that was begun last."""
    return max(records, key=lambda one: (one.began or one.created_at, one.created_at, one.name), default=None)
