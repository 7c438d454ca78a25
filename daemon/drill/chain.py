"""The chain that a drill pulls on, link by link, and the clocks along it. Pure."""

import dataclasses
import datetime
import enum
from typing import Any

from daemon.adapters import times
from daemon.model.errors import PullbackError
from daemon.model.rollback import Rollback


class Link(enum.StrEnum):
    """Where a drill can break, in the order in which it goes along."""

    SETUP = "setup"
    """The drill's own canary could not be made."""
    DAEMON = "daemon"
    """No daemon has seen the canary."""
    ALERTMANAGER = "alertmanager"
    """The alert could not be posted."""
    WEBHOOK = "webhook"
    """Alertmanager has the alert, and the daemon never got it."""
    JUDGEMENT = "judgement"
    """The daemon got the alert, and ignored it."""
    RECORD = "record"
    """The record could not be made, or ended early."""
    WRITE = "write"
    """The route was not written."""
    PROOF = "proof"
    """Zero was not proved."""
    COMPLETION = "completion"
    """The rollback did not end with the controller's ``Failed``."""
    DEADLINE = "deadline"
    """Everything worked, and took too long."""
    INTERRUPTED = "interrupted"
    """Somebody stopped the drill."""


class BrokenLinkError(PullbackError):
    """The drill went no further than ``link``; the message says what was seen, and what to look at."""

    def __init__(self, link: Link, message: str) -> None:
        super().__init__(message)
        self.link = link


@dataclasses.dataclass(slots=True)
class Course:
    """How far one drill has come. Moments are the wall clock's: ``posted`` of this machine, the rest the daemon's."""

    namespace: str
    canary: str
    identity: str
    shadow: bool
    timeout: float
    posted_at: datetime.datetime | None = None
    record: Rollback | None = None
    broken: BrokenLinkError | None = None
    noted: str = ""
    """The record, of whomever: the daemon's, or the drill's own of its failure."""
    left: list[str] = dataclasses.field(default_factory=list)
    """What could not be removed, or was to be kept."""

    @property
    def passed(self) -> bool:
        return self.broken is None


CLOCKS = ("posted", "received", "decided", "zeroed", "proved", "completed")


def clocks(course: Course) -> list[dict[str, Any]]:
    """One line per moment that came: since the one before, and since the alert was posted; seconds."""
    record = course.record
    moments: dict[str, datetime.datetime | None] = {"posted": course.posted_at}
    if record is not None:
        timeline = record.timeline
        moments |= {
            "received": record.started_at, "decided": timeline.decided_at, "zeroed": timeline.zeroed_at,
            "proved": timeline.proved_at, "completed": timeline.completed_at,
        }  # fmt: skip
    found: list[dict[str, Any]] = []
    before = first = course.posted_at
    for name in CLOCKS:
        at = moments.get(name)
        if at is None or before is None or first is None:
            continue
        found.append({
            "clock": name, "at": times.write(at), "seconds": _seconds(before, at), "sincePosted": _seconds(first, at),
        })  # fmt: skip
        before = at
    return found


def too_late(course: Course) -> BrokenLinkError | None:
    """All moments came; whether the last of the promise came in time."""
    record = course.record
    if record is None or course.posted_at is None:
        return None
    end = record.timeline.decided_at if course.shadow else record.timeline.proved_at
    if end is None or (end - course.posted_at).total_seconds() <= course.timeout:
        return None
    seconds = (end - course.posted_at).total_seconds()
    slowest = max(clocks(course)[1:], key=lambda one: one["seconds"])
    return BrokenLinkError(
        Link.DEADLINE, f"{seconds:.1f} s from the alert to the end, {course.timeout:g} s are allowed; the longest was "
        f"{slowest['seconds']:.1f} s until {slowest['clock']}"
    )  # fmt: skip


def document(course: Course) -> dict[str, Any]:
    """The drill as scripts read it."""
    broken = course.broken
    return {
        "outcome": "passed" if course.passed else "failed",
        "namespace": course.namespace,
        "canary": course.canary,
        "shadow": course.shadow,
        "drill": course.identity,
        "record": course.noted or None,
        "brokenLink": broken.link.value if broken is not None else None,
        "problem": str(broken) if broken is not None else None,
        "timeoutSeconds": course.timeout,
        "clocks": clocks(course),
        "left": list(course.left),
    }


def _seconds(since: datetime.datetime, until: datetime.datetime) -> float:
    # Two machines' clocks may disagree by more than a webhook takes.
    return round(max(0.0, (until - since).total_seconds()), 6)
