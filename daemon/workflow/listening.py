"""Hears what happened to a canary and says it to its timeline."""

from collections.abc import Callable

from daemon import ports
from daemon.model.canary import CanaryRef
from daemon.model.canary_revision import Entry, EntryKind, SeenCheck, SeenGate
from daemon.model.checking import CheckResult, Subject
from daemon.model.decision import Decision, Reason, Verdict
from daemon.model.gitops import Raise
from daemon.model.rollback import Rollback
from daemon.model.route import RouteView
from daemon.model.signal import Alert, Hook, HookType, Source
from daemon.policy.noting import Notes
from daemon.workflow.chronicling import CURRENT
from daemon.workflow.hearing import Hearing
from daemon.workflow.world import World

_SILENT = frozenset({Reason.NO_ROLLBACK, Reason.RECORDED})
"""Answers that are given at every tick and say nothing."""

_OUR_OWN_NO = "not signaling a rollback"
"""What Flagger says at every tick when it has heard our no."""


class Listener(Hearing):
    """``note`` takes what a timeline should say: of which canary, about which revision, and what."""

    def __init__(self, *, world: World, clock: ports.Clock, note: Callable[[CanaryRef, str, Notes], None]) -> None:
        self._world = world
        self._clock = clock
        self._note = note

    def gate_answered(self, hook: Hook, decision: Decision, *, opened: bool) -> None:
        now = self._clock.now()
        if hook.type is HookType.EVENT:
            message = " ".join(hook.metadata.get("eventMessage", "").split())
            if message and not message.endswith(_OUR_OWN_NO):
                self._note(hook.canary, CURRENT, Notes(entries=(Entry(now, EntryKind.FLAGGER, message, message),)))
            return
        code = 200 if opened else 403
        text = f"{hook.type} answered {code} {decision.reason}" + (f": {decision.detail}" if decision.detail else "")
        if decision.reason is Reason.RECORDED:
            text = f"{hook.type}, phase {hook.phase}"
        elif decision.reason in _SILENT:
            return
        entry = Entry(now, EntryKind.HOOK, f"{hook.type} {code} {decision.reason}", text)
        gate = SeenGate(hook.type.value, opened, decision.reason.value, decision.detail, now)
        gates = (gate,) if hook.type not in {HookType.ROLLBACK, HookType.POST_ROLLOUT} else ()
        self._note(hook.canary, self._destination(hook), Notes(entries=(entry,), gates=gates))

    def signal_judged(self, source: Source, decision: Decision, canary: CanaryRef | None, alert: Alert) -> None:
        if canary is None or decision.reason in {Reason.ALREADY_ROLLING_BACK, Reason.NOTHING_TO_RESUME}:
            return
        acts = decision.verdict is not Verdict.IGNORE
        if source is Source.PULL and not acts:
            return  # asked for again and again, it is judged the same again and again
        state = "fires" if alert.firing else "is over"
        text = f"{alert.name or alert.fingerprint} {state}: {decision.verdict} {decision.reason}"
        key = f"{alert.fingerprint} {alert.firing} {decision.reason}"
        self._note(canary, CURRENT, Notes(entries=(Entry(self._clock.now(), EntryKind.ALERT, key, text),)))

    def rollback_moved(self, before: Rollback | None, after: Rollback) -> None:  # noqa: ARG002 - the port's
        text = f"Rollback {after.name} is {after.phase}" + (f": {after.message}" if after.message else "")
        entry = Entry(self._clock.now(), EntryKind.ROLLBACK, f"{after.name} {after.phase}", text)
        self._note(after.canary, CURRENT, Notes(entries=(entry,)))

    def raised_again(
        self, canary: CanaryRef, route: RouteView, by: Raise | None = None, times: int = 1  # noqa: ARG002 - the port's
    ) -> None:  # fmt: skip
        writer = route.writers[0] if route.writers else "somebody"
        writer = f"{by.owner} ({writer})" if by is not None else writer
        text = f"{route.ref} was raised to {route.weight:g}% by {writer} and taken back to 0"
        entry = Entry(self._clock.now(), EntryKind.ROLLBACK, f"raised {route.ref}", text)
        self._note(canary, CURRENT, Notes(entries=(entry,)))

    def checked(self, gate: str, subject: Subject, result: CheckResult) -> None:
        """A check has been run."""
        finding, now = result.finding, result.at or self._clock.now()
        if finding is None:
            return
        seen = SeenCheck(gate, result.name, finding.state, finding.detail, now)
        text = f"{result.name} {finding.state}: {finding.detail}"
        entry = Entry(now, EntryKind.CHECK, f"{gate} {result.name} {finding.state}", text)
        notes = Notes(entries=(entry,), checks=(seen,), digests=finding.images)
        self._note(subject.canary.ref, subject.template, notes)

    def _destination(self, hook: Hook) -> str:
        if hook.type is not HookType.CONFIRM_ROLLOUT:
            return CURRENT
        canary = self._world.canary(hook.canary)
        workload = self._world.workload(canary) if canary is not None else None
        return workload.template if workload is not None else CURRENT
