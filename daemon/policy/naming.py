"""What a record is called: the name is the lock that makes duplicates collide instead of repeating."""

import hashlib
from collections.abc import Iterable

from daemon.model.canary import Canary, CanaryRef
from daemon.model.rollback import Rollback

LONGEST = 253
"""Of an object name (RFC 1123 subdomain)."""


def record_name(canary: CanaryRef, revision: str, ordinal: int = 1) -> str:
    """``<canary>-<revision>``; ``-2``, ``-3`` … when the same revision is analysed, and fails, once more."""
    suffix = f"-{revision.lower()}" if revision else ""
    suffix += f"-{ordinal}" if ordinal > 1 else ""
    if len(canary.name) + len(suffix) <= LONGEST:
        return canary.name + suffix
    digest = hashlib.sha256(canary.name.encode()).hexdigest()[:8]
    return f"{canary.name[: LONGEST - len(suffix) - 9]}-{digest}{suffix}"


def next_record_name(canary: Canary, records: Iterable[Rollback], *, dry_run: bool = False) -> str:
    """The first name that no finished record holds, and none of the other kind (``dry_run``, or not).

    A finished record (an earlier analysis of the same revision, a dry run) is history and never reopened.
    Every replica computes the same from the same records, so two of them still collide.
    """
    held = {record.name for record in records if record.finished or record.dry_run is not dry_run}
    ordinal = 1
    while record_name(canary.ref, canary.revision, ordinal) in held:
        ordinal += 1
    return record_name(canary.ref, canary.revision, ordinal)
