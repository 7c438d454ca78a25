"""May a gate open? One chain of checks per hook of Flagger's, each sentence either decides or lets the next speak.

Every gate but one lets traffic rise, so each of them stays closed for lack of knowledge. The ``rollback`` gate is the
other way round: it never opens for lack of knowledge, and is not decided here. ``rollout`` only counts against the
canary: what cannot be said there is neither a pass nor a failure (law 8), and the next increase waits for it.
"""

import dataclasses
import datetime
from collections.abc import Iterable

from daemon.model.canary import AlertPause, Canary
from daemon.model.canary_revision import CanaryRevision
from daemon.model.checking import CheckResult, CheckState
from daemon.model.decision import Decision, Reason, Verdict
from daemon.model.signal import HookType
from daemon.model.stages import Profile
from daemon.policy import approving, entries, staging

LINE = 1000
"""Most characters of an answer; Flagger puts it into an event."""

_OLD = 60.0
"""Seconds after which a result is told with its age."""


@dataclasses.dataclass(frozen=True, slots=True)
class GateEvidence:
    """All that an answer may see.

    ``profile`` is None when the canary names one that is not configured. ``record`` is that of the revision the hook
    speaks of. ``weight`` is percent, None when nobody knows. ``rollback`` names the rollback in force, empty for none.
    ``fresh`` and ``ours``: what is known is recent, and the hook's checksum is that of the revision known here.
    """

    now: datetime.datetime
    canary: Canary
    profile: Profile | None
    record: CanaryRevision | None
    weight: float | None
    rollback: str | None
    fresh: bool
    ours: bool = True
    results: tuple[CheckResult, ...] = ()
    load: CheckResult | None = None
    """The load run of this weight, where one is configured."""
    clock_tolerance: float = 5.0


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """``opened`` becomes 200, its absence 403; the decision's detail is the line that Flagger shows."""

    opened: bool
    decision: Decision


def confirm_rollout(seen: GateEvidence) -> Answer:
    """May a new revision be scaled up? Waiting here counts against nothing."""
    return _first(
        _rollback_in_force(seen),
        _too_old(seen),
        _profile_missing(seen),
        _unfinished(seen.results, seen.now),
    ) or _yes(Reason.OPEN, _all_passed(seen, "no rollback is in force"))


def pre_rollout(seen: GateEvidence) -> Answer:
    """Is the new revision acceptable? Flagger counts a no against its threshold."""
    return _first(
        _rollback_in_force(seen),
        _too_old(seen),
        _another_revision(seen),
        _profile_missing(seen),
        _unfinished(seen.results, seen.now),
    ) or _yes(Reason.OPEN, _all_passed(seen, "no rollback is in force"))


def rollout(seen: GateEvidence) -> Answer:
    """Is it healthy under its traffic, and under load? Flagger counts a no against its threshold."""
    ended = (seen.load,) if seen.load is not None and seen.load.finding is not None else ()
    failed = _failed((*seen.results, *ended), seen.now)
    if failed is not None:
        return failed
    unsaid = _unfinished((*seen.results, *ended), seen.now) or _first(_profile_missing(seen))
    if unsaid is None:
        under = f"; load {_one(seen.load, seen.now)}" if seen.load is not None and not ended else ""
        return _yes(Reason.OPEN, _all_passed(seen, "nothing to check") + under)
    if HookType.CONFIRM_TRAFFIC_INCREASE in seen.canary.hooks:
        # Not counted against the canary; the next increase waits for it.
        return Answer(opened=True, decision=unsaid.decision)
    return unsaid


def traffic_increase(seen: GateEvidence) -> Answer:
    """May it have more? The soak, and the criteria over the soak."""
    return _first(
        _rollback_in_force(seen),
        _paused(seen.canary),
        _alerts(seen.canary),
        _too_old(seen),
        _another_revision(seen),
        _profile_missing(seen),
        _soaking(seen),
        _unfinished(seen.results, seen.now),
    ) or _yes(Reason.OPEN, _all_passed(seen, "nothing speaks against it"))


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
    return _first(_rollback_in_force(seen), _paused(seen.canary), _alerts(seen.canary), _too_old(seen),
                  _another_revision(seen), _profile_missing(seen), _soaking(seen)) is not None  # fmt: skip


# -- the sentences


def _rollback_in_force(seen: GateEvidence) -> Answer | None:
    if seen.rollback is None:
        return None
    canary = seen.canary
    return _no(
        Verdict.ROLL_BACK, Reason.ROLLBACK_IN_FORCE,
        f"Rollback {seen.rollback} of revision {canary.revision} is in force; "
        f"to lift it: kubectl delete rollback {seen.rollback} -n {canary.ref.namespace}",
    )  # fmt: skip


def _too_old(seen: GateEvidence) -> Answer | None:
    if seen.fresh:
        return None
    return _cannot_know("what is known of the canary is too old, or not complete yet, to raise traffic on")


def _another_revision(seen: GateEvidence) -> Answer | None:
    if seen.ours:
        return None
    return _cannot_know(f"the hook's checksum is not known to be that of revision {seen.canary.revision or '(none)'}")


def _profile_missing(seen: GateEvidence) -> Answer | None:
    if seen.profile is not None:
        return None
    name = seen.canary.profile
    return _no(Verdict.IGNORE, Reason.UNKNOWN_PROFILE,
               f"annotation pullback.dev/profile names {name!r}, which gates.profiles does not have")  # fmt: skip


def _paused(canary: Canary) -> Answer | None:
    if not canary.paused:
        return None
    who = canary.paused_by or "a person (annotation pullback.dev/paused)"
    why = f": {canary.paused_reason}" if canary.paused_reason else ""
    return _no(Verdict.PAUSE, Reason.PAUSED, f"paused by {who}{why}")


def _alerts(canary: Canary) -> Answer | None:
    holding = [pause for pause in canary.alert_pauses if pause.revision == canary.revision]
    if not holding:
        return None
    return _no(Verdict.PAUSE, Reason.ALERT_PAUSES, f"waiting for alerts to end: {_named(holding)}")


def _named(pauses: Iterable[AlertPause]) -> str:
    return ", ".join(f"{pause.alertname} since {pause.starts_at:%H:%M:%SZ}" for pause in pauses)


def _soaking(seen: GateEvidence) -> Answer | None:
    stages = seen.profile.stages if seen.profile is not None else ()
    if not any(stage.soak for stage in stages):
        return None
    if seen.weight is None:
        return _cannot_know("nobody knows the weight on the routes, so no soak can be counted")
    if staging.stage_at(stages, seen.weight) is None:
        return None
    record = seen.record
    soak = staging.soak(stages, record.weights, seen.weight, seen.now) if record is not None else None
    if soak is None:
        return _cannot_know(f"the record has not come to {seen.weight:g}% yet")
    if soak.left <= 0 or _advances(seen):
        return None
    return _no(
        Verdict.IGNORE, Reason.SOAKING,
        f"{seen.weight:g}% for {duration(soak.lasted)} of {duration(soak.stage.soak)}, "
        f"{duration(soak.left)} left{_why_not_advanced(seen)}",
    )  # fmt: skip


def _advances(seen: GateEvidence) -> bool:
    advance, canary = seen.canary.advance, seen.canary
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


def _failed(results: Iterable[CheckResult], now: datetime.datetime) -> Answer | None:
    failed = [one for one in results if one.finding is not None and one.finding.state is CheckState.FAILED]
    return _no(Verdict.IGNORE, Reason.CHECK_FAILED, _told(failed, now)) if failed else None


def _unfinished(results: tuple[CheckResult, ...], now: datetime.datetime) -> Answer | None:
    failed = _failed(results, now)
    if failed is not None:
        return failed
    running = [one for one in results if one.finding is None]
    if running:
        return _no(Verdict.IGNORE, Reason.CHECK_RUNNING, _told(running, now))
    undecided = [one for one in results if one.finding is not None and one.finding.state is CheckState.UNDECIDED]
    return _no(Verdict.IGNORE, Reason.CHECK_UNDECIDED, _told(undecided, now)) if undecided else None


def _told(results: list[CheckResult], now: datetime.datetime) -> str:
    most = max(40, LINE // len(results) - 2)
    return "; ".join(_one(result, now, most) for result in results)


def _one(result: CheckResult, now: datetime.datetime, most: int = LINE) -> str:
    if result.finding is None:
        since = f" for {duration((now - result.began).total_seconds())}" if result.began is not None else ""
        return f"{result.name}: running{since}"[:most]
    age = (now - result.at).total_seconds() if result.at is not None else 0.0
    seen = f" (seen {duration(age)} ago)" if age >= _OLD else ""
    return f"{result.name}: {result.finding.detail}"[: most - len(seen)] + seen


def _all_passed(seen: GateEvidence, otherwise: str) -> str:
    if not seen.results:
        return otherwise
    return "passed: " + ", ".join(one.name for one in seen.results)


def _approved(seen: GateEvidence) -> Answer:
    asked = seen.profile.promotion if seen.profile is not None else None
    if asked is None or asked.approvals == 0:
        return _yes(Reason.OPEN, _all_passed(seen, "nobody's approval is asked for"))
    decision = approving.judge(seen.canary, seen.record, asked, seen.now, seen.clock_tolerance)
    yes = decision.reason is Reason.APPROVED
    return _yes(decision.reason, decision.detail) if yes else _no(decision.verdict, decision.reason, decision.detail)


# -- words


def duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``1 h 5 min``."""
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, left = divmod(minutes, 60)
    return f"{hours} h {left} min" if left else f"{hours} h"


def _first(*answers: Answer | None) -> Answer | None:
    return next((answer for answer in answers if answer is not None), None)


def _cannot_know(detail: str) -> Answer:
    return _no(Verdict.IGNORE, Reason.CANNOT_KNOW, detail)


def _yes(reason: Reason, detail: str) -> Answer:
    return Answer(opened=True, decision=Decision(Verdict.IGNORE, reason, entries.on_one_line(detail, LINE)))


def _no(verdict: Verdict, reason: Reason, detail: str) -> Answer:
    return Answer(opened=False, decision=Decision(verdict, reason, entries.on_one_line(detail, LINE)))
