"""Which records may be forgotten."""

import dataclasses
import datetime
from collections import defaultdict
from collections.abc import Iterable

from daemon.model.canary import CanaryRef
from daemon.model.canary_revision import CanaryRevision, RevisionPhase
from daemon.model.follow_up import FollowUpState
from daemon.model.rollback import Rollback


@dataclasses.dataclass(frozen=True, slots=True)
class Retention:
    """How long records are kept: until either bound is passed."""

    keep_for: datetime.timedelta = datetime.timedelta(days=30)
    keep: int = 50
    """Per canary."""
    channels: frozenset[str] | None = None
    """Those that are configured: what one that is gone has not been told keeps no record. None: all count."""


def expired(records: Iterable[Rollback], retention: Retention, now: datetime.datetime) -> tuple[Rollback, ...]:
    """Oldest first. Never one that is unfinished, still owes something, or is the newest of its canary: what a
    revision's signals are judged by stands there."""
    by_canary: defaultdict[CanaryRef, list[Rollback]] = defaultdict(list)
    for record in records:
        by_canary[record.canary].append(record)
    found = []
    for kept in by_canary.values():
        newest_first = sorted(kept, key=lambda one: (one.created_at, one.name), reverse=True)
        for place, record in enumerate(newest_first):
            outlived_it = place >= retention.keep or _age(record, now) > retention.keep_for
            if place > 0 and outlived_it and _may_go(record, retention):
                found.append(record)
    return tuple(sorted(found, key=lambda one: (one.created_at, one.namespace, one.name)))


def _may_go(record: Rollback, retention: Retention) -> bool:
    owes = (record.cleanup is not None and record.cleanup.owes) or any(
        one.state is FollowUpState.LENT for one in record.follow_ups  # a GitOps controller is stopped for it still
    )
    known = retention.channels
    untold = any(notice.due for notice in record.notices if known is None or notice.channel in known)
    return record.finished and not owes and not untold


def _age(record: Rollback, now: datetime.datetime) -> datetime.timedelta:
    return now - (record.timeline.completed_at or record.created_at)


def outlived(
    records: Iterable[CanaryRevision], retention: Retention, now: datetime.datetime
) -> tuple[CanaryRevision, ...]:
    """The same of revisions. Never one that is still on its way, nor the last two that were promoted of a canary: to
    the older of them a revert goes."""
    by_canary: defaultdict[CanaryRef, list[CanaryRevision]] = defaultdict(list)
    for record in records:
        by_canary[record.canary].append(record)
    found = []
    for kept in by_canary.values():
        newest_first = sorted(kept, key=lambda one: (one.began or one.created_at, one.name), reverse=True)
        promoted = [one for one in newest_first if one.phase is RevisionPhase.PROMOTED][:2]
        for place, one in enumerate(newest_first):
            old = now - (one.began or one.created_at) > retention.keep_for
            if place > 0 and one.ended and one not in promoted and (place >= retention.keep or old):
                found.append(one)
    return tuple(sorted(found, key=lambda one: (one.created_at, one.namespace, one.name)))
