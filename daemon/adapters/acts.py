"""What people, and alerts, have said on a canary object: annotations, the same on whichever object a canary is."""

import datetime
from collections.abc import Mapping
from typing import Any

from daemon.adapters import text, times
from daemon.model.canary import Advance, AlertPause, Approval

PAUSED = "pullback.dev/paused"
PAUSING_PERSON = "pullback.dev/paused-by"
PAUSING_REASON = "pullback.dev/paused-reason"
PAUSED_BY = "paused-by.pullback.dev/"
"""One annotation per alert that holds the gate closed: a merge patch of one key needs no read before it, so
replicas cannot overwrite each other. Value: revision, startsAt and alertname, in that order."""

PROFILE = "pullback.dev/profile"
APPROVED = "pullback.dev/approved"
APPROVED_BY = "pullback.dev/approved-by"
"""One name, or several with commas between them."""
APPROVED_UNTIL = "pullback.dev/approved-until"
APPROVED_USED = "pullback.dev/approved-used"
"""Ours: the approval that has opened a promotion, and the beginning of that analysis."""
APPROVAL_REASON = "pullback.dev/approved-reason"
"""Why, for people to read; it opens nothing."""
ADVANCE_TO = "pullback.dev/advance-to"
ADVANCE_BY = "pullback.dev/advance-by"
ADVANCE_REVISION = "pullback.dev/advance-revision"
"""Which revision it was said for; the daemon adds it where a person did not."""

WORDS_MOST = 1000
"""Most characters of what people write into one annotation."""


def read(annotations: Mapping[str, str]) -> dict[str, Any]:
    """The fields of ``Canary`` that hold acts."""
    # A brake that was put on by hand holds, however it is spelled.
    paused = str(annotations.get(PAUSED, "")).strip().lower() not in {"", "false"}
    return {
        "paused": paused,
        "paused_by": _words(annotations, PAUSING_PERSON) if paused else "",
        "paused_reason": _words(annotations, PAUSING_REASON) if paused else "",
        "alert_pauses": tuple(_pauses(annotations)),
        "profile": str(annotations.get(PROFILE) or ""),
        "approval": _approval(annotations),
        "advance": _advance(annotations),
    }


def _approval(annotations: Mapping[str, str]) -> Approval | None:
    revision = annotations.get(APPROVED)
    if not revision:
        return None
    by, until = annotations.get(APPROVED_BY, ""), annotations.get(APPROVED_UNTIL, "")
    word = f"{revision} {by} {until}"
    used, _, began = annotations.get(APPROVED_USED, "").rpartition(" ")
    names = dict.fromkeys(name.strip() for name in by.split(",") if name.strip())
    # An expiry that cannot be read has passed: what was meant cannot be told.
    read = times.read(until) or datetime.datetime.fromtimestamp(0, datetime.UTC) if until else None
    return Approval(
        revision=revision,
        by=tuple(names),
        until=read,
        word=word,
        used=times.read(began) if used == word else None,
        reason=_words(annotations, APPROVAL_REASON),
    )


def _advance(annotations: Mapping[str, str]) -> Advance | None:
    word = annotations.get(ADVANCE_TO)
    try:
        to = float(word or "")
    except ValueError:
        return None
    if word is None or not 0 <= to <= 100:
        return None
    return Advance(to, annotations.get(ADVANCE_REVISION, ""), _words(annotations, ADVANCE_BY), word)


def _words(annotations: Mapping[str, str], key: str) -> str:
    """What people wrote, on one line and bounded: it goes into answers and timelines."""
    return text.cut(text.line(str(annotations.get(key) or "")), WORDS_MOST)


def _pauses(annotations: Mapping[str, str]) -> list[AlertPause]:
    found = []
    for key, value in sorted(annotations.items()):
        if not key.startswith(PAUSED_BY):
            continue
        revision, _, rest = str(value).partition(" ")
        since, _, alertname = rest.partition(" ")
        starts_at = times.read(since)
        if starts_at is not None:
            found.append(AlertPause(key.removeprefix(PAUSED_BY), starts_at, revision, alertname))
    return found
