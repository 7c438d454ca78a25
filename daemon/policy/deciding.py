"""The policy, readable aloud: what an alert asks for, and what a standing rollback still needs."""

from daemon.model.decision import Decision, Evidence, Intent, Reason, Verdict
from daemon.model.rollback import Trigger
from daemon.model.rules import Act, AlertRule, LabelNames
from daemon.model.signal import Alert
from daemon.policy import checks, returning


def judge(evidence: Evidence, alert: Alert, rule: AlertRule, labels: LabelNames) -> Decision:
    """What one alert about this canary asks for now.

    Firing or resolved, in any order and however often: the same evidence gives the same decision, and for a
    rollback no order of the two gives another end.
    """
    if rule.act is Act.IGNORE:
        return Decision(Verdict.IGNORE, Reason.POLICY_IGNORES, str(rule))
    if not alert.firing:
        return _judge_resolved(evidence, alert, rule)
    if alert.is_drill:
        return _judge_drill(evidence, alert, rule, labels)
    if rule.act is Act.ROLLBACK and evidence.bakes_until is not None:
        return _judge_promoted(evidence, alert, labels)
    return (
        checks.canary_is_active(evidence)  # a finished canary has no traffic to take away
        or checks.signal_is_of_this_revision(evidence, alert)  # it speaks of another, older one
        or checks.signal_names_this_version(evidence, alert, labels)  # it says itself that it means another
        or checks.episode_is_new(evidence, alert)  # it has had its rollback
        or (_judge_pause(evidence, alert) if rule.act is Act.PAUSE else _judge_rollback(evidence, alert))
    )


def _judge_drill(evidence: Evidence, alert: Alert, rule: AlertRule, labels: LabelNames) -> Decision:
    """As the alert it stands for, but for what would wake people up, or close a gate."""
    if rule.act is not Act.ROLLBACK:
        return Decision(Verdict.IGNORE, Reason.POLICY_IGNORES, f"{rule}: a drill is for what rolls back")
    decision = (
        checks.drill_has_its_own_canary(evidence, alert)  # real ones are never touched
        or checks.canary_is_active(evidence)
        or checks.signal_is_of_this_revision(evidence, alert)
        or checks.signal_names_this_version(evidence, alert, labels)
        or checks.episode_is_new(evidence, alert)
        or _judge_rollback(evidence, alert)
    )
    rehearsed = evidence.intent is None or evidence.intent.drill
    if decision.verdict is Verdict.ESCALATE or (decision.reason is Reason.ALREADY_ROLLING_BACK and not rehearsed):
        return Decision(Verdict.IGNORE, decision.reason, decision.detail)
    return decision


def _judge_promoted(evidence: Evidence, alert: Alert, labels: LabelNames) -> Decision:
    return (
        checks.signal_names_this_version(evidence, alert, labels)  # it says itself that it means another
        or checks.episode_is_new(evidence, alert)
        or checks.promotion_is_paged_for(evidence, alert)
        or Decision(Verdict.IGNORE, Reason.NO_ACTIVE_CANARY, "nothing is being released")
    )


def _judge_rollback(evidence: Evidence, alert: Alert) -> Decision:
    return (
        checks.primary_is_changing(evidence)  # 0% could mean no healthy copy
        or checks.stable_can_take_it(evidence)
        or checks.rollback_is_not_yet_in_force(evidence)  # nothing more is needed
        or Decision(Verdict.ROLL_BACK, Reason.ALERT_FIRES, _fires(evidence, alert))  # the only road to a rollback
    )


def _fires(evidence: Evidence, alert: Alert) -> str:
    return "; ".join(filter(None, (f"{alert.name} fires", checks.whose_clock(evidence))))


def _judge_pause(evidence: Evidence, alert: Alert) -> Decision:
    changing = checks.primary_is_changing(evidence)
    if changing is not None:
        return Decision(Verdict.IGNORE, changing.reason, "there is no traffic increase left to hold back")
    if alert.key in evidence.resolved:
        return Decision(Verdict.IGNORE, Reason.FIRING_AFTER_RESOLVED, "its end has been seen already")
    return Decision(Verdict.PAUSE, Reason.ALERT_PAUSES, f"{alert.name} fires")


def _judge_resolved(evidence: Evidence, alert: Alert, rule: AlertRule) -> Decision:
    if rule.act is Act.ROLLBACK:
        return Decision(Verdict.IGNORE, Reason.RESOLVED_NEVER_UNDOES, "a rollback is a latch")
    pauses = evidence.canary.alert_pauses if evidence.canary else ()
    if any(pause.fingerprint == alert.fingerprint and pause.starts_at <= alert.starts_at for pause in pauses):
        return Decision(Verdict.RESUME, Reason.ALERT_RESOLVED, f"{alert.name} is over")
    return Decision(Verdict.IGNORE, Reason.NOTHING_TO_RESUME, "it holds no gate closed")


def accept(evidence: Evidence) -> Decision:
    """Whether a rollback that a person asked for can begin."""
    intent = evidence.intent
    return (
        checks.nobody_has_released_it(evidence)
        or checks.intent_still_applies(evidence)
        or checks.primary_is_changing(evidence)
        or checks.stable_can_take_it(evidence)
        or checks.canary_is_active(evidence)
        or checks.it_is_no_rehearsal(evidence)
        or Decision(Verdict.ROLL_BACK, _asked_by(intent), intent.reason if intent else "")
    )


def _asked_by(intent: Intent | None) -> Reason:
    return Reason.CHECK_FAILED if intent is not None and intent.trigger is Trigger.CRITERIA else Reason.OPERATOR_ASKS


def stand(evidence: Evidence) -> Decision:
    """What a rollback that has begun still needs. Total: every state of the world has an answer."""
    return (
        checks.nobody_has_released_it(evidence)  # a person has lifted it
        or returning.may_return(evidence)  # deleted, and perhaps about to be made again
        or checks.intent_still_applies(evidence)  # it was for another revision
        or checks.primary_is_changing(evidence)  # promotion overtook us: hands off
        or checks.stable_can_take_it(evidence)  # there is nobody to send the traffic to
        or checks.revision_is_not_promoted(evidence)  # too late: it is the stable version
        or checks.it_is_no_rehearsal(evidence)  # only written down
        or checks.failure_is_not_yet_accepted(evidence)  # done
        or checks.write_is_accepted(evidence)  # a person is needed now
        or checks.deadline_is_kept(evidence)  # a person is needed by now
        or Decision(Verdict.ROLL_BACK, Reason.ROLLBACK_IN_FORCE, "held at 0")
    )
