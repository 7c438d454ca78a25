"""Flagger asks, we answer from memory: at once, bound to the revision, and never on a guess.

How Flagger hears us: 200 to 202 on ``rollback`` means *roll back*, everything else means no; on the other hooks
200 means go on. It asks ``rollback`` once per tick, and not at all while pods are not ready, so the direct
write is the brake and this answer only makes Flagger agree.

``checksum`` names the revision in Flagger's own hash, which nobody else can compute. It is learned from the
hooks of the running analysis (not from confirm-rollout, which may carry the previous one), and a hook that
carries another is about another revision.
"""

import dataclasses
from collections.abc import Callable

from daemon import ports
from daemon.model.canary import PRIMARY_CHANGING, Canary, CanaryPhase
from daemon.model.decision import Decision, Reason, Verdict
from daemon.model.signal import Hook, HookType
from daemon.policy import checks
from daemon.workflow.standing import SeenHook, Standing, Standings
from daemon.workflow.world import World

TEACHES = frozenset({HookType.ROLLBACK, HookType.PRE_ROLLOUT, HookType.ROLLOUT,
                     HookType.CONFIRM_TRAFFIC_INCREASE, HookType.CONFIRM_PROMOTION})  # fmt: skip
"""Hooks whose checksum is the running revision's."""

RECORDED_ONLY = frozenset({HookType.EVENT, HookType.POST_ROLLOUT})

_ANALYSED = frozenset({CanaryPhase.PROGRESSING, CanaryPhase.WAITING_PROMOTION})


@dataclasses.dataclass(frozen=True, slots=True)
class GateAnswer:
    """``opened`` becomes 200, its absence 403; the decision's detail is the line Flagger shows."""

    opened: bool
    decision: Decision


class Gates:
    """Answers hooks. ``fresh`` says whether what we know of canaries is recent enough to open anything on."""

    def __init__(
        self,
        *,
        world: World,
        standings: Standings,
        clock: ports.Clock,
        observer: ports.Observer,
        fresh: Callable[[], bool],
        clock_tolerance: float,
    ) -> None:
        self._world = world
        self._standings = standings
        self._clock = clock
        self._observer = observer
        self._fresh = fresh
        self._clock_tolerance = clock_tolerance

    def answer(self, hook: Hook) -> GateAnswer:
        canary = self._world.canary(hook.canary)
        if canary is None:
            answer = self._unknown(hook)
        else:
            standing = self._standings.of(hook.canary)
            ours = self._is_of_this_revision(hook, canary, standing)
            answer = self._judge(hook, canary, standing, ours=ours)
            standing.remember_hook(SeenHook(self._clock.now(), hook, answer.opened, answer.decision))
        self._observer.gate_answered(hook.type, hook.canary, answer.decision, opened=answer.opened)
        return answer

    def in_force(self, canary: Canary) -> bool:
        """A rollback of the revision that is under analysis stands."""
        if canary.phase in PRIMARY_CHANGING or canary.promotion_broke:
            return False
        standing = self._standings.peek(canary.ref)
        intent = standing.intent if standing else None
        if intent is not None and not intent.dry_run and intent.revision == canary.revision:
            return True
        # A record that no pass has taken up yet: a restarted daemon knows it before it stands.
        return any(
            not (record.finished or record.dry_run)
            and record.revision == canary.revision
            and not checks.is_superseded(record.revision, record.started_at, canary, self._clock_tolerance)
            for record in self._world.records(canary.ref)
        )

    def traffic_increase(self, canary: Canary) -> GateAnswer:
        """What confirm-traffic-increase would answer to this revision now."""
        if self.in_force(canary):
            return self._refuse_in_force(canary)
        if canary.paused:
            return _no(Verdict.PAUSE, Reason.PAUSED, "paused by a person (annotation pullback.dev/paused)")
        holding = [pause for pause in canary.alert_pauses if pause.revision == canary.revision]
        if holding:
            names = ", ".join(f"{pause.alertname} since {pause.starts_at:%H:%M:%SZ}" for pause in holding)
            return _no(Verdict.PAUSE, Reason.ALERT_PAUSES, f"waiting for alerts to end: {names}")
        if not self._fresh():
            return _no(Verdict.IGNORE, Reason.CANNOT_KNOW, "what is known of the canary is too old to raise traffic on")
        return _yes(Verdict.IGNORE, Reason.OPEN, "nothing speaks against it")

    def _judge(self, hook: Hook, canary: Canary, standing: Standing, *, ours: bool) -> GateAnswer:
        match hook.type:
            case HookType.ROLLBACK:
                return self._rollback(hook, canary, standing, ours=ours)
            case HookType.EVENT | HookType.POST_ROLLOUT:
                return _yes(Verdict.IGNORE, Reason.RECORDED, "recorded")
            case HookType.CONFIRM_TRAFFIC_INCREASE:
                return self.traffic_increase(canary)
            case HookType.CONFIRM_ROLLOUT | HookType.CONFIRM_PROMOTION | HookType.PRE_ROLLOUT:
                if self.in_force(canary):
                    return self._refuse_in_force(canary)
                if not self._fresh():
                    return _no(Verdict.IGNORE, Reason.CANNOT_KNOW, "what is known here is too old, or not complete yet")
                return _yes(Verdict.IGNORE, Reason.OPEN, "no rollback is in force")
            case HookType.ROLLOUT:
                return _yes(Verdict.IGNORE, Reason.OPEN, "nothing to check")

    def _rollback(self, hook: Hook, canary: Canary, standing: Standing, *, ours: bool) -> GateAnswer:
        if not self.in_force(canary):
            return _no(Verdict.IGNORE, Reason.NO_ROLLBACK, f"no rollback of revision {canary.revision} is in force")
        if not ours:
            known = standing.checksums.get(canary.revision)
            return _no(
                Verdict.IGNORE, Reason.CANNOT_KNOW,
                f"checksum {hook.checksum} is not known to be revision {canary.revision}"
                + (f" (that is {known})" if known else ""),
            )  # fmt: skip
        intent = standing.intent
        return _yes(Verdict.ROLL_BACK, Reason.ROLLBACK_IN_FORCE, intent.reason if intent else "")

    def _is_of_this_revision(self, hook: Hook, canary: Canary, standing: Standing) -> bool:
        known = standing.checksums.get(canary.revision)
        if known is not None:
            return known == hook.checksum
        teaches = hook.type in TEACHES and canary.phase in _ANALYSED and bool(canary.revision and hook.checksum)
        if not teaches or not self._fresh() or hook.checksum in standing.checksums.values():
            return False
        standing.learn_checksum(canary.revision, hook.checksum)
        return True

    def _refuse_in_force(self, canary: Canary) -> GateAnswer:
        standing = self._standings.of(canary.ref)
        name = standing.intent.record_name if standing.intent else ""
        return _no(
            Verdict.ROLL_BACK, Reason.ROLLBACK_IN_FORCE,
            f"Rollback {name} of revision {canary.revision} is in force; "
            f"to lift it: kubectl delete rollback {name} -n {canary.ref.namespace}",
        )  # fmt: skip

    def _unknown(self, hook: Hook) -> GateAnswer:
        if hook.type in RECORDED_ONLY:
            return _yes(Verdict.IGNORE, Reason.RECORDED, "recorded")
        detail = f"no canary {hook.canary} is known here"
        if hook.type is HookType.ROLLBACK:
            return _no(Verdict.IGNORE, Reason.NO_ROLLBACK, detail)
        return _no(Verdict.IGNORE, Reason.CANNOT_KNOW, detail)


def _yes(verdict: Verdict, reason: Reason, detail: str) -> GateAnswer:
    return GateAnswer(opened=True, decision=Decision(verdict, reason, detail))


def _no(verdict: Verdict, reason: Reason, detail: str) -> GateAnswer:
    return GateAnswer(opened=False, decision=Decision(verdict, reason, detail))
