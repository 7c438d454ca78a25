"""The progress deadline of a Flagger Canary, shortened for a moment and put back as it was.

While pods are not ready Flagger does not ask its rollback hook; past its deadline it fails the canary by itself.
"""

import dataclasses
import datetime
from collections.abc import Iterable

from daemon.model.canary import Canary, CanaryPhase
from daemon.model.cleanup import Cleanup, Nudge
from daemon.model.rollback import Rollback

NUDGED_SECONDS = 1
"""The shortest progress deadline: Flagger then fails a canary that is not ready at its next tick."""


@dataclasses.dataclass(frozen=True, slots=True)
class LendDeadline:
    """Shorten the progress deadline if it still is ``original`` (None: not there), and note that on the canary."""

    original: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class ReturnDeadline:
    """Take the note away, and write ``original`` (None: take it away) if the deadline still is ``found``."""

    found: int | None
    original: int | None


Step = LendDeadline | ReturnDeadline | Nudge
"""What to do, or how the nudge is to be written down from now on."""


def owes(cleanup: Cleanup | None) -> bool:
    """Whether a deadline that was lent, or may have been, has not been put back."""
    return cleanup is not None and cleanup.nudge is not None and cleanup.nudge.restored_at is None


def orphaned(canary: Canary | None, records: Iterable[Rollback]) -> ReturnDeadline | None:
    """Gives back what was lent for a record that is not there any more: whoever deletes it lifts the hold."""
    if canary is None or canary.deadline_lent is None or any(owes(record.cleanup) for record in records):
        return None
    found = canary.progress_deadline
    return ReturnDeadline(found, canary.deadline_lent.original if found == NUDGED_SECONDS else found)


def next_step(
    canary: Canary, nudge: Nudge, now: datetime.datetime, *, finished: bool, patience: float
) -> Step | None:  # fmt: skip
    """Of a nudge that stands; None: to wait. For ``patience`` seconds it is set again when others take it back."""
    if canary.phase is CanaryPhase.FAILED or finished:
        return give_back(canary, nudge, now)
    if nudge.set_at is None and canary.deadline_lent is not None:
        return dataclasses.replace(nudge, set_at=now)
    if canary.progress_deadline == NUDGED_SECONDS:
        return None
    # Not set yet (whoever noted it may have died before), or taken back by somebody: GitOps, a person.
    young = nudge.set_at is None or (now - nudge.set_at).total_seconds() < patience
    if canary.progress_deadline == nudge.original and young:
        return LendDeadline(nudge.original)
    # It is taken back as often as we set it, or is another's by now: then Flagger's own deadline has to do.
    return give_back(canary, nudge, now)


def give_back(canary: Canary | None, nudge: Nudge, now: datetime.datetime) -> ReturnDeadline | Nudge:
    """As it was before; what somebody else has set meanwhile stays."""
    if canary is not None:
        found = canary.progress_deadline
        if found == NUDGED_SECONDS != nudge.original:
            return ReturnDeadline(found, nudge.original)
        if canary.deadline_lent is not None:
            return ReturnDeadline(found, found)
    return dataclasses.replace(nudge, restored_at=now)
