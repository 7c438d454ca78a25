"""What an answer to a hook may see, what it is, and how it is said."""

import dataclasses
import datetime

from daemon.model.canary import Canary
from daemon.model.canary_revision import CanaryRevision
from daemon.model.checking import CheckResult
from daemon.model.decision import Decision, Reason, Verdict
from daemon.model.stages import Profile
from daemon.policy import entries

LINE = 980
"""Most bytes of what an answer says: Flagger puts it, with the reason before it, into an event of 1 KiB."""


@dataclasses.dataclass(frozen=True, slots=True)
class GateEvidence:
    """All that an answer may see.

    ``profile`` is None when the canary names one that is not configured. ``record`` is that of the revision the hook
    speaks of. ``weight`` is percent, None when nobody knows. ``rollback`` names the rollback in force, empty for none.
    ``fresh`` and ``ours``: what is known is recent, and the hook's checksum is that of the revision known here.
    """

    now: datetime.datetime
    canary: Canary
    profile: Profile | None
    record: CanaryRevision | None
    weight: float | None
    rollback: str | None
    fresh: bool
    ours: bool = True
    results: tuple[CheckResult, ...] = ()
    unreached: bool = False
    """No route leads anybody to the canary: nothing can have been seen of it."""
    load: CheckResult | None = None
    """The load run of this weight, where one is configured."""
    clock_tolerance: float = 5.0


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """``opened`` becomes 200, its absence 403; the decision's detail is the line that Flagger shows."""

    opened: bool
    decision: Decision


def duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``1 h 5 min``."""
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, left = divmod(minutes, 60)
    return f"{hours} h {left} min" if left else f"{hours} h"


def first(*answers: Answer | None) -> Answer | None:
    return next((answer for answer in answers if answer is not None), None)


def cannot_know(detail: str) -> Answer:
    return no(Verdict.IGNORE, Reason.CANNOT_KNOW, detail)


def yes(reason: Reason, detail: str) -> Answer:
    return Answer(opened=True, decision=Decision(Verdict.IGNORE, reason, _line(detail)))


def no(verdict: Verdict, reason: Reason, detail: str) -> Answer:
    return Answer(opened=False, decision=Decision(verdict, reason, _line(detail)))


def cut(text: str, most: int) -> str:
    """At most so many bytes of it, and no letter in halves."""
    return text.encode(errors="replace")[:most].decode(errors="ignore")


def _line(detail: str) -> str:
    return cut(entries.on_one_line(detail, LINE), LINE)
