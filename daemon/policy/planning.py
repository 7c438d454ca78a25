"""What is still missing, as steps that may all go out at once.

The invariant: every ``ZeroRoute`` only ever lowers the canary, and none waits for the record, nor the record
for it. Planned from the world as it is: cut anywhere and planned again, the rest is what remained; a finished
rollback plans nothing.
"""

import dataclasses
import datetime

from daemon.model.brake import SecondBrake
from daemon.model.canary import FLAGGER_CANARY, Canary, Controller
from daemon.model.decision import HANDS_OFF, Decision, Evidence, Intent, Reason, Verdict
from daemon.model.plan import AbortRelease, AmendRecord, OpenGate, OpenRecord, Plan, RestoreRoute, Step, ZeroRoute
from daemon.model.rollback import (
    FINISHED,
    Amendment,
    Condition,
    Milestone,
    NewRollback,
    Rollback,
    RollbackPhase,
    Timeline,
)
from daemon.model.route import Original, RouteRef
from daemon.policy import braking, checks

_FAILED_ENDINGS = frozenset({Reason.REVISION_PROMOTED, Reason.NO_ACTIVE_CANARY})
"""Endings in which the canary was not, or not for good, pulled back."""

_ORDER = (RollbackPhase.PENDING, RollbackPhase.ESCALATED, RollbackPhase.ZEROED, RollbackPhase.PROVED,
          RollbackPhase.DRY_RUN, RollbackPhase.FAILED, RollbackPhase.COMPLETED)  # fmt: skip


def plan(evidence: Evidence, decision: Decision, second_brake: SecondBrake = SecondBrake.NONE) -> Plan:
    """The steps a standing (or just beginning) rollback needs now."""
    intent = evidence.intent
    if intent is None:
        return Plan()
    steps: list[Step] = []
    if moves_traffic(intent, decision) and evidence.canary is not None:
        steps += _brakes(evidence)
        instead = braking.second_brake(evidence, second_brake)
        steps += [instead] if instead is not None else []
    if decision.reason is Reason.RELEASED and evidence.restorations != () and not evidence.write_refused:
        # The record ends after them: whoever dies in between leaves what is missing to the next look.
        return Plan(tuple(RestoreRoute(patch) for patch in evidence.restorations or ()))
    if evidence.record is None:
        if decision.verdict is not Verdict.IGNORE or decision.reason is Reason.DRY_RUN or _bakes(evidence, decision):
            steps.append(OpenRecord(new_record(evidence, intent)))
    elif not evidence.record.finished and evidence.record.dry_run is intent.dry_run:
        amendment = progress(evidence, intent, evidence.record, decision)
        if amendment:
            steps.append(AmendRecord(evidence.record, amendment))
    return Plan(tuple(steps))


_FOLLOWS = 15.0
"""Seconds in which a controller that has shrunk the stable side may scale it up and move the traffic itself."""


def brakes_wait(evidence: Evidence) -> float | None:
    """Seconds until the routes are written, where their controller has been given a moment; None where not."""
    canary, intent = evidence.canary, evidence.intent
    if canary is None or intent is None or not canary.shares_capacity or evidence.routes_at_zero:
        return None
    left = _FOLLOWS - (evidence.now - intent.decided_at).total_seconds()
    return left if left > 0 else None


def _brakes(evidence: Evidence) -> list[Step]:
    """The routes at once, and the word to a controller that takes one: it would write its weights again.

    Where the controller has shrunk the stable side (Argo Rollouts' dynamicStableScale), all the traffic at once would
    find too few pods: it gets a moment to move the traffic as stable grows.
    """
    canary = evidence.canary
    assert canary is not None  # noqa: S101 - what moves traffic has a canary
    steps: list[Step] = []
    if canary.controller is Controller.ARGO and not canary.aborting:
        steps.append(AbortRelease(canary.ref))
    if brakes_wait(evidence) is not None:
        return steps
    return [ZeroRoute(route.zero) for route in evidence.routes if route.zero is not None] + steps


def _bakes(evidence: Evidence, decision: Decision) -> bool:
    """An alert after promotion moves nothing; its record is how people are told."""
    return decision.reason is Reason.REVISION_PROMOTED and evidence.bakes_until is not None


def gate_steps(evidence: Evidence) -> tuple[Step, ...]:
    """Pauses of revisions that are gone are forgotten."""
    canary = evidence.canary
    if canary is None:
        return ()
    stale = tuple(pause.fingerprint for pause in canary.alert_pauses if pause.revision != canary.revision)
    return (OpenGate(canary.ref, stale),) if stale else ()


def superseded_steps(evidence: Evidence) -> tuple[Step, ...]:
    """Records of rollbacks that a new revision has ended: a step of their own, that delays nothing of the new one."""
    canary = evidence.canary
    if canary is None:
        return ()
    return tuple(
        AmendRecord(record, _superseded(record, canary, evidence.now))
        for record in evidence.records
        if not record.finished
        and checks.is_superseded(record.revision, record.started_at, canary, evidence.limits.clock_tolerance)
    )


def _superseded(record: Rollback, canary: Canary, now: datetime.datetime) -> Amendment:
    anew = canary.revision == record.revision
    what = f"revision {canary.revision} is " + ("analysed anew" if anew else "being rolled out")
    message = f"{Reason.NEW_REVISION_BEGAN}: {what}, this rollback was for {record.revision}"
    first = record.timeline.started_at is None
    return Amendment(
        phase=RollbackPhase.COMPLETED if record.timeline.zeroed_at else RollbackPhase.FAILED,
        timeline=Timeline(
            started_at=record.started_at if first else None,
            completed_at=now,
            next_revision_began_at=None if anew else canary.analysis_began,
        ),
        conditions=(*record.conditions, Condition(Milestone.COMPLETED, Reason.NEW_REVISION_BEGAN, message, now)),
        message=message,
    )


def moves_traffic(intent: Intent, decision: Decision) -> bool:
    """Zero is written for every verdict that leaves the rollback standing, except hands off (law 9)."""
    if intent.dry_run:
        return False
    return decision.verdict in {Verdict.ROLL_BACK, Verdict.ESCALATE} and decision.reason not in HANDS_OFF


def covers(record: Rollback, intent: Intent) -> bool:
    """Whether a finished rollback of this revision did what ``intent`` was to do: it went on after its signal came."""
    ended = record.timeline.completed_at
    return record.dry_run is intent.dry_run and ended is not None and ended > intent.received_at


def new_record(evidence: Evidence, intent: Intent) -> NewRollback:
    """The durable intent, with what will be needed to undo it."""
    intent = remember(intent, evidence)
    return NewRollback(
        namespace=intent.canary.namespace,
        name=intent.record_name,
        canary=intent.canary,
        revision=intent.revision,
        trigger=intent.trigger,
        reason=intent.reason,
        requested_by=intent.requested_by,
        signal=intent.signal,
        dry_run=intent.dry_run,
        started_at=intent.received_at,
        decided_at=intent.decided_at,
        weights=intent.weights,
        originals=intent.originals,
        checksum=intent.checksum,
        severity=intent.severity,
        drill=intent.drill,
        canary_kind=evidence.canary.object_kind if evidence.canary is not None else FLAGGER_CANARY,
    )


def remember(intent: Intent, evidence: Evidence) -> Intent:
    """The intent with what each route says before our first write to it; later writes add only new paths."""
    patches = [route.zero for route in evidence.routes if route.zero is not None]
    weights = {(change.route, change.path): change for patch in patches for change in patch.changes}
    originals = {_place(original): original for patch in patches for original in patch.originals}
    weights |= {(change.route, change.path): change for change in intent.weights}
    originals |= {_place(original): original for original in intent.originals}
    return dataclasses.replace(intent, weights=tuple(weights.values()), originals=tuple(originals.values()))


def _place(original: Original) -> tuple[RouteRef, str, int, str, int]:
    return original.route, original.section, original.rule, original.field, original.index


def progress(evidence: Evidence, intent: Intent, record: Rollback, decision: Decision) -> Amendment:
    """Everything that has become true and is not yet in the record, in one write."""
    phase = record.phase
    done = Timeline()
    conditions: dict[Milestone, Condition] = {condition.type: condition for condition in record.conditions}
    message: str | None = None

    def reach(milestone: Milestone, to: RollbackPhase, reason: str, text: str) -> None:
        nonlocal phase, message
        phase = to if _ORDER.index(to) >= _ORDER.index(phase) or phase is RollbackPhase.ESCALATED else phase
        conditions.setdefault(milestone, Condition(milestone, reason, text, evidence.now))
        message = text

    if decision.verdict is Verdict.ESCALATE and record.timeline.escalated_at is None:
        done = dataclasses.replace(done, escalated_at=evidence.now)
        reach(Milestone.ESCALATED, RollbackPhase.ESCALATED, decision.reason, decision.detail)
        phase = RollbackPhase.ESCALATED
    taken_down = moves_traffic(intent, decision) or decision.reason is Reason.FAILURE_ACCEPTED
    if evidence.second_brake:
        text = f"a route cannot be written ({evidence.write_refused}); {evidence.second_brake}"
        if Milestone.SECOND_BRAKE not in conditions:
            message = text
        conditions.setdefault(
            Milestone.SECOND_BRAKE, Condition(Milestone.SECOND_BRAKE, Reason.WRITE_REFUSED, text, evidence.now)
        )
    if record.timeline.zeroed_at is None and evidence.zero_since is not None and taken_down:
        done = dataclasses.replace(done, zeroed_at=evidence.zero_since)
        text = f"routes at 0: {', '.join(str(route.ref) for route in evidence.routes) or 'none reach the canary'}"
        reach(Milestone.ZEROED, RollbackPhase.ZEROED, decision.reason, text)
    if record.timeline.proved_at is None and evidence.proof is not None and taken_down:
        done = dataclasses.replace(done, proved_at=evidence.proof.at)
        reach(Milestone.PROVED, RollbackPhase.PROVED, decision.reason, "; ".join(evidence.proof.statements))
    if decision.verdict is Verdict.IGNORE:
        ending = _ending(decision, zeroed=(record.timeline.zeroed_at or done.zeroed_at) is not None)
        done = dataclasses.replace(done, completed_at=evidence.now)
        reach(Milestone.COMPLETED, ending, decision.reason, _last_words(evidence, decision))
        phase = ending
    return _amendment(evidence, intent, record, phase, done, tuple(conditions.values()), message)


def _amendment(
    evidence: Evidence,
    intent: Intent,
    record: Rollback,
    phase: RollbackPhase,
    done: Timeline,
    conditions: tuple[Condition, ...],
    message: str | None,
) -> Amendment:
    first = record.timeline.started_at is None
    if first:
        done = dataclasses.replace(done, started_at=intent.received_at, decided_at=intent.decided_at)
    finishing = phase in FINISHED or done.escalated_at is not None or done.proved_at is not None
    # A fight over the weight can go on for minutes, ten times a second: its count is written with every other
    # change, else only when it has doubled.
    count_holds = evidence.holds > record.holds and (
        finishing or evidence.holds.bit_length() > record.holds.bit_length()
    )
    seconds = (done.zeroed_at - intent.received_at).total_seconds() if done.zeroed_at else None
    return Amendment(
        phase=phase if phase is not record.phase else None,
        revision=intent.revision if first else None,
        timeline=done,
        seconds_to_zero=None if seconds is None else round(max(0.0, seconds), 6),
        checksum=evidence.checksum if evidence.checksum and evidence.checksum != record.checksum else None,
        holds=evidence.holds if count_holds else None,
        weights=intent.weights if first or len(intent.weights) > len(record.weights) else None,
        originals=intent.originals if first or len(intent.originals) > len(record.originals) else None,
        proof=evidence.proof.statements if done.proved_at is not None and evidence.proof else None,
        conditions=conditions if conditions != record.conditions else None,
        message=message,
    )


def _ending(decision: Decision, *, zeroed: bool) -> RollbackPhase:
    if decision.reason is Reason.DRY_RUN:
        return RollbackPhase.DRY_RUN
    if decision.reason in _FAILED_ENDINGS or not zeroed:
        return RollbackPhase.FAILED
    return RollbackPhase.COMPLETED


def _last_words(evidence: Evidence, decision: Decision) -> str:
    if decision.reason is Reason.RELEASED and evidence.restorations:
        left = ", ".join(str(patch.route) for patch in evidence.restorations)
        return f"{decision.reason}: {decision.detail}; not put back, the write is refused: {left}"
    if decision.reason is not Reason.DRY_RUN:
        return f"{decision.reason}: {decision.detail}"
    patches = [route.zero for route in evidence.routes if route.zero is not None]
    moved = [f"{change.route} {change.path}: {change.before:g}% -> {change.after:g}%"
             for patch in patches for change in patch.changes]  # fmt: skip
    return "dry run; would write " + ("; ".join(moved) if moved else "nothing, the routes are at 0")
