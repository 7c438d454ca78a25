"""A canary that is a routing object is gone while a rollback of it stands: it may be about to come back. Pure.

``kubectl replace --force``, a chart that is installed anew, a GitOps controller that replaces: each deletes the object
and makes it again, with the weights it had. A hold that ended in between would let the same revision out again (law 6).
A Canary of Flagger's, or a Rollout, is another matter: what it drove is gone with it.
"""

from daemon.model.canary import CONTROLLER_KINDS
from daemon.model.decision import Decision, Evidence, Reason, Verdict

WITHIN = 300.0
"""Seconds: longer than what deletes and makes again usually takes."""


def may_return(evidence: Evidence) -> Decision | None:
    """Nothing can be done about what is not there, and nothing ends."""
    left = wait(evidence)
    if left is None or evidence.intent is None:
        return None
    return Decision(
        Verdict.ROLL_BACK, Reason.ROLLBACK_IN_FORCE,
        f"the object of {evidence.intent.canary} is gone; held for {WITHIN:.0f} s, should it come back",
    )  # fmt: skip


def wait(evidence: Evidence) -> float | None:
    """Seconds for which the hold outlasts its object; None where it does not."""
    record = evidence.record
    if evidence.canary is not None or evidence.gone_since is None or record is None or not record.stands:
        return None
    if record.canary_kind.kind in CONTROLLER_KINDS:
        return None
    left = WITHIN - (evidence.now - evidence.gone_since).total_seconds()
    return left if left > 0 else None
