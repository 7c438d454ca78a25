"""May a gate open? One chain of checks per hook of Flagger's, each sentence either decides or lets the next speak.

Every gate but one lets traffic rise, so each of them stays closed for lack of knowledge. The ``rollback`` gate is the
other way round: it never opens for lack of knowledge, and is not decided here. ``rollout`` only counts against the
canary: what cannot be said there is neither a pass nor a failure (law 8), and the next increase waits for it.
"""

import datetime
from collections.abc import Iterable

from daemon.model.canary import AlertPause, Canary
from daemon.model.canary_revision import CanaryRevision
from daemon.model.checking import CheckResult, CheckState, Finding
from daemon.model.decision import Reason, Verdict
from daemon.model.signal import HookType
from daemon.model.stages import Profile
from daemon.policy import approving, staging, weights
from daemon.policy.answering import LINE, Answer, GateEvidence, cannot_know, cut, duration, first, no, yes

_OLD = 60.0
"""Seconds after which a result is told with its age."""
_NAMED, _LEAST = 20, 40
"""How many results a line has room for, and the bytes that each must have to be more than a name."""


def confirm_rollout(seen: GateEvidence) -> Answer:
    """May a new revision be scaled up? Waiting here counts against nothing."""
    return first(
        _rollback_in_force(seen),
        _too_old(seen),
        _profile_missing(seen),
        _unfinished(seen.results, seen.now),
    ) or yes(Reason.OPEN, _all_passed(seen, "no rollback is in force"))


def pre_rollout(seen: GateEvidence) -> Answer:
    """Is the new revision acceptable? Flagger counts a no against its threshold."""
    return first(
        _rollback_in_force(seen),
        _too_old(seen),
        _another_revision(seen),
        _profile_missing(seen),
        _unfinished(seen.results, seen.now),
    ) or yes(Reason.OPEN, _all_passed(seen, "no rollback is in force"))


def rollout(seen: GateEvidence) -> Answer:
    """Is it healthy under its traffic, and under load? Flagger counts a no against its threshold."""
    ended = (seen.load,) if seen.load is not None and seen.load.finding is not None else ()
    failed = _failed((*seen.results, *ended), seen.now)
    if failed is not None:
        return failed
    unsaid = _unfinished((*seen.results, *ended), seen.now) or first(_profile_missing(seen))
    if unsaid is None:
        under = f"; load {_one(seen.load, seen.now)}" if seen.load is not None and not ended else ""
        return yes(Reason.OPEN, _all_passed(seen, "nothing to check") + under)
    if HookType.CONFIRM_TRAFFIC_INCREASE in seen.canary.hooks:
        # Not counted against the canary; the next increase waits for it.
        return Answer(opened=True, decision=unsaid.decision)
    return unsaid


def traffic_increase(seen: GateEvidence) -> Answer:
    """May it have more? The soak, and the criteria over the soak."""
    return first(
        _rollback_in_force(seen),
        _paused(seen.canary),
        _alerts(seen.canary),
        _too_old(seen),
        _another_revision(seen),
        _profile_missing(seen),
        weights.off_step(seen),
        weights.unasked(seen),
        weights.soaking(seen),
        _unfinished(_spoken(seen), seen.now),
    ) or yes(Reason.OPEN, _all_passed(seen, "nothing speaks against it"))


def promotion(seen: GateEvidence) -> Answer:
    """May it have everything? Also what an increase needs, and a named person's yes to this very revision."""
    increase = traffic_increase(seen)
    if not increase.opened:
        return increase
    return _approved(seen)


def look_over(profile: Profile, record: CanaryRevision | None, weight: float | None, now: datetime.datetime) -> float:
    """Seconds over which criteria are judged before an increase: the time at this stage, a minute at least."""
    if record is None or weight is None:
        return _OLD
    soak = staging.soak(profile.stages, record.weights, weight, now)
    return max(_OLD, soak.lasted) if soak is not None else _OLD


def waits_for_soak(seen: GateEvidence) -> bool:
    """Whether the answer is no for a reason that no check can change: then none needs to be asked."""
    return first(_rollback_in_force(seen), _paused(seen.canary), _alerts(seen.canary), _too_old(seen),
                  _another_revision(seen), _profile_missing(seen), weights.off_step(seen), weights.unasked(seen),
                  weights.soaking(seen)) is not None  # fmt: skip


# -- the sentences


def _rollback_in_force(seen: GateEvidence) -> Answer | None:
    if seen.rollback is None:
        return None
    canary = seen.canary
    return no(
        Verdict.ROLL_BACK, Reason.ROLLBACK_IN_FORCE,
        f"Rollback {seen.rollback} of revision {canary.revision} is in force; "
        f"to lift it: pullback release {canary.ref.name} -n {canary.ref.namespace}",
    )  # fmt: skip


def _too_old(seen: GateEvidence) -> Answer | None:
    if seen.fresh:
        return None
    return cannot_know("what is known of the canary is too old, or not complete yet, to raise traffic on")


def _another_revision(seen: GateEvidence) -> Answer | None:
    if seen.ours:
        return None
    return cannot_know(f"the hook's checksum is not known to be that of revision {seen.canary.revision or '(none)'}")


def _profile_missing(seen: GateEvidence) -> Answer | None:
    if seen.profile is not None:
        return None
    name = seen.canary.profile
    return no(Verdict.IGNORE, Reason.UNKNOWN_PROFILE,
               f"annotation pullback.dev/profile names {name!r}, which gates.profiles does not have")  # fmt: skip


def _paused(canary: Canary) -> Answer | None:
    if not canary.paused:
        return None
    who = canary.paused_by or "a person (annotation pullback.dev/paused)"
    why = f": {canary.paused_reason}" if canary.paused_reason else ""
    return no(Verdict.PAUSE, Reason.PAUSED, f"paused by {who}{why}")


def _alerts(canary: Canary) -> Answer | None:
    holding = [pause for pause in canary.alert_pauses if pause.revision == canary.revision]
    if not holding:
        return None
    return no(Verdict.PAUSE, Reason.ALERT_PAUSES, f"waiting for alerts to end: {_named(holding)}")


def _named(pauses: Iterable[AlertPause]) -> str:
    return ", ".join(f"{pause.alertname} since {pause.starts_at:%H:%M:%SZ}" for pause in pauses)


def _failed(results: Iterable[CheckResult], now: datetime.datetime) -> Answer | None:
    failed = [one for one in results if one.finding is not None and one.finding.state is CheckState.FAILED]
    return no(Verdict.IGNORE, Reason.CHECK_FAILED, _told(failed, now)) if failed else None


def _unfinished(results: tuple[CheckResult, ...], now: datetime.datetime) -> Answer | None:
    failed = _failed(results, now)
    if failed is not None:
        return failed
    running = [one for one in results if one.finding is None]
    if running:
        return no(Verdict.IGNORE, Reason.CHECK_RUNNING, _told(running, now))
    undecided = [one for one in results if one.finding is not None and one.finding.state is CheckState.UNDECIDED]
    return no(Verdict.IGNORE, Reason.CHECK_UNDECIDED, _told(undecided, now)) if undecided else None


def _spoken(seen: GateEvidence) -> tuple[CheckResult, ...]:
    """The criteria that can say something. While no route leads anybody to the canary, none has anything to judge by,
    and to wait for that would be to wait for ever; what did not answer, or failed, counts all the same."""
    if not seen.unreached:
        return seen.results
    return tuple(one for one in seen.results if one.finding is None or not _says_nothing(one.finding))


def _says_nothing(finding: Finding) -> bool:
    return finding.quiet and finding.state is CheckState.UNDECIDED


def _told(results: list[CheckResult], now: datetime.datetime) -> str:
    most = LINE // len(results) - 2
    if most < _LEAST:
        names = ", ".join(one.name for one in results[:_NAMED])
        return f"{names} and {len(results) - _NAMED} more"
    return "; ".join(_one(result, now, most) for result in results)


def _one(result: CheckResult, now: datetime.datetime, most: int = LINE) -> str:
    if result.finding is None:
        since = f" for {duration((now - result.began).total_seconds())}" if result.began is not None else ""
        return cut(f"{result.name}: running{since}", most)
    seen = _age(result, now)
    return cut(f"{result.name}: {result.finding.detail}", most - len(seen)) + seen


def _age(result: CheckResult, now: datetime.datetime) -> str:
    age = (now - result.at).total_seconds() if result.at is not None else 0.0
    return f" (seen {duration(age)} ago)" if age >= _OLD else ""


def _all_passed(seen: GateEvidence, otherwise: str) -> str:
    if not seen.results:
        return otherwise
    spoken = [one.name + _age(one, seen.now) for one in _spoken(seen)]
    nobody = "" if len(spoken) == len(seen.results) else "nobody is sent to it yet; "
    return f"{nobody}passed: {', '.join(spoken)}" if spoken else f"{nobody}{otherwise}"


def _approved(seen: GateEvidence) -> Answer:
    asked = seen.profile.promotion if seen.profile is not None else None
    if asked is None or asked.approvals == 0:
        return yes(Reason.OPEN, _all_passed(seen, "nobody's approval is asked for"))
    decision = approving.judge(seen.canary, seen.record, asked, seen.now, seen.clock_tolerance)
    if decision.reason is Reason.APPROVED:
        return yes(decision.reason, decision.detail)
    return no(decision.verdict, decision.reason, decision.detail)
