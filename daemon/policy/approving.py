"""Whether a revision may be promoted because a person said so: this very revision, by name, not too long ago, once."""

import datetime

from daemon.model.canary import Approval, Canary
from daemon.model.canary_revision import CanaryRevision
from daemon.model.decision import Decision, Reason, Verdict
from daemon.model.stages import Promotion


def judge(
    canary: Canary, record: CanaryRevision | None, asked: Promotion, now: datetime.datetime, tolerance: float
) -> Decision:
    """APPROVED, or what is missing and how to get it. ``tolerance``: seconds by which clocks may disagree."""
    approval = canary.approval
    how = f"pullback approve {canary.ref.name} -n {canary.ref.namespace} --reason ..."
    if approval is None or not approval.by:
        who = "names nobody (pullback.dev/approved-by)" if approval is not None else "is not there"
        return _no(Reason.APPROVAL_MISSING, f"approval of {canary.revision or 'the revision'} {who}: {how}")
    if not canary.revision or approval.revision != canary.revision:
        approved = approval.revision or "nothing"
        return _no(
            Reason.APPROVAL_OF_ANOTHER_REVISION,
            f"approved is {approved}, to be promoted is {canary.revision or 'not known'}: {how}",
        )
    if is_used_up(approval, record, tolerance):
        return _no(Reason.APPROVAL_USED, f"this approval has opened an earlier promotion: {how}")
    if record is not None and record.acts.stale_approval == approval.word:
        return _no(Reason.APPROVAL_USED, f"this approval is from before this analysis of the revision began: {how}")
    until = expiry(approval, record, asked.expires)
    if until is None:
        return _no(Reason.CANNOT_KNOW, "until when the approval counts is not known yet")
    if until <= now:
        return _no(Reason.APPROVAL_EXPIRED, f"it counted until {until:%Y-%m-%d %H:%M:%SZ}: {how}")
    if len(approval.by) < asked.approvals:
        said = ", ".join(approval.by)
        detail = f"{len(approval.by)} of {asked.approvals} people have approved ({said}): {how}"
        return _no(Reason.APPROVAL_MISSING, detail)
    if record is None or record.began is None:
        return _no(Reason.CANNOT_KNOW, "the record of this revision is not there yet, so its use could not be noted")
    detail = f"revision {approval.revision} approved by {', '.join(approval.by)}"
    return Decision(Verdict.IGNORE, Reason.APPROVED, detail)


def is_used_up(approval: Approval, record: CanaryRevision | None, tolerance: float) -> bool:
    """Whether it has opened the promotion of another analysis than the one that runs."""
    if approval.used is None:
        return False
    if record is None or record.began is None:
        return True
    return abs((approval.used - record.began).total_seconds()) > tolerance


def expiry(approval: Approval, record: CanaryRevision | None, expires: float) -> datetime.datetime | None:
    """Until when an approval counts: as it says itself, and no longer than ``expires`` seconds after it was first
    seen; None while neither is known."""
    moments = [approval.until] if approval.until is not None else []
    if record is not None and record.acts.approval == approval.word and record.acts.approval_at is not None:
        moments.append(record.acts.approval_at + datetime.timedelta(seconds=expires))
    return min(moments, default=None)


def _no(reason: Reason, detail: str) -> Decision:
    return Decision(Verdict.IGNORE, reason, detail)
