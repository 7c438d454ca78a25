"""What the weight on the routes says about going on: how long it has been there, and where the next step would lead."""

from daemon.model.canary import DEPLOYMENT, Canary, Controller
from daemon.model.decision import Reason, Verdict
from daemon.model.signal import HookType
from daemon.policy import staging
from daemon.policy.answering import Answer, GateEvidence, cannot_know, duration, no


def off_step(seen: GateEvidence) -> Answer | None:
    """From a weight that is none of ``stepWeights``, Flagger's next step is all of it, before any promotion hook."""
    canary, weight = seen.canary, seen.weight
    if not canary.steps_listed or weight is None or staging.same(weight, 0):
        return None
    if any(staging.same(weight, step) for step in canary.steps):
        return None
    steps = ", ".join(f"{step:g}" for step in canary.steps)
    return no(
        Verdict.IGNORE, Reason.WEIGHT_IS_NO_STEP,
        f"{weight:g}% is none of stepWeights ({steps}), from there Flagger would go to 100%; set the weight to 0, "
        "and it climbs again",
    )  # fmt: skip


def unasked(seen: GateEvidence) -> Answer | None:
    """Where an approval is required and no hook would ask for it, the last increase is the last thing to refuse."""
    canary = seen.canary
    asked = seen.profile.promotion.approvals if seen.profile is not None else 0
    if not asked or not canary.hooks or HookType.CONFIRM_PROMOTION in canary.hooks or not canary.steps:
        return None
    if seen.weight is None:
        return cannot_know("nobody knows the weight on the routes, so this may be the increase that needs an approval")
    if staging.next_weight(canary.steps, seen.weight) < staging.FULL:
        return None
    return no(
        Verdict.IGNORE, Reason.APPROVAL_MISSING,
        "an approval is required, but no confirm-promotion hook of the Canary asks Pullback for it",
    )  # fmt: skip


def soaking(seen: GateEvidence) -> Answer | None:
    stages = seen.profile.stages if seen.profile is not None else ()
    if not any(stage.soak for stage in stages):
        return None
    if seen.weight is None:
        return cannot_know("nobody knows the weight on the routes, so no soak can be counted")
    if staging.stage_at(stages, seen.weight) is None:
        return None
    if seen.record is None:
        return cannot_know(_unrecorded(seen.canary))
    soak = staging.soak(stages, seen.record.weights, seen.weight, seen.now)
    if soak is None:
        return cannot_know(f"the record has not come to {seen.weight:g}% yet")
    if soak.left <= 0 or _advances(seen):
        return None
    return no(
        Verdict.IGNORE, Reason.SOAKING,
        f"{seen.weight:g}% for {duration(soak.lasted)} of {duration(soak.stage.soak)}, "
        f"{duration(soak.left)} left{_why_not_advanced(seen)}",
    )  # fmt: skip


def _unrecorded(canary: Canary) -> str:
    kind = canary.workload_kind
    if canary.controller is Controller.FLAGGER and kind not in {"", DEPLOYMENT}:
        return f"nothing is recorded of a {kind}, only Deployments are known here: no soak can be counted"
    return f"nothing is recorded of revision {canary.revision or '(none)'} yet, so no soak can be counted"


def _advances(seen: GateEvidence) -> bool:
    advance, canary = seen.canary.advance, seen.canary
    if advance is not None and seen.record is not None and seen.record.acts.stale_advance == advance.word:
        return False
    if advance is None or not advance.by or not canary.revision or advance.revision != canary.revision:
        return False
    if seen.weight is None:
        return False
    ahead = staging.next_weight(canary.steps, seen.weight) if canary.steps else seen.weight + 0.1
    return ahead <= advance.to + 0.01


def _why_not_advanced(seen: GateEvidence) -> str:
    advance = seen.canary.advance
    if advance is None:
        return ""
    if not advance.by:
        return "; advance-to is not heeded without pullback.dev/advance-by"
    if advance.revision and advance.revision != seen.canary.revision:
        return f"; advance-to was for revision {advance.revision}"
    return ""
