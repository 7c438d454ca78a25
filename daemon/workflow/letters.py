"""Alerts on their way through a mailbox: judged in a pass, answered when their intent is durable or needs no act."""

import asyncio
import dataclasses
import datetime
import functools
from collections.abc import Callable, Sequence

from daemon import ports
from daemon.model import errors
from daemon.model.canary import AlertPause, CanaryRef
from daemon.model.decision import Decision, Evidence, Intent, Reason, Verdict
from daemon.model.outcome import StepOutcome
from daemon.model.plan import CloseGate, OpenGate, OpenRecord, Step
from daemon.model.rollback import RecordedSignal, Trigger
from daemon.model.rules import AlertRule, LabelNames
from daemon.model.signal import Alert, Source
from daemon.policy import checks, deciding, planning
from daemon.workflow.gathering import Gatherer
from daemon.workflow.standing import Standing

REQUESTED_BY = "alertmanager"

_PAUSES_KEPT = 200


@dataclasses.dataclass(slots=True, eq=False)
class Letter:
    """One alert that waits for its answer."""

    alert: Alert
    rule: AlertRule
    canary: CanaryRef
    received_at: datetime.datetime
    answer: "asyncio.Future[Decision]"
    source: Source = Source.ALERTMANAGER

    def reply(self, decision: Decision) -> None:
        if not self.answer.done():
            self.answer.set_result(decision)

    def fail(self, why: str) -> None:
        """The sender must come again."""
        if not self.answer.done():
            self.answer.set_exception(errors.NotDurable(why))


@dataclasses.dataclass(slots=True)
class Waiting:
    """The letters of one pass that wait: for a gate's step, or for the record of the rollback."""

    for_gate: dict[Step, list[tuple[Letter, Decision]]] = dataclasses.field(default_factory=dict)
    for_record: list[tuple[Letter, Decision]] = dataclasses.field(default_factory=list)
    news: list[Callable[[], None]] = dataclasses.field(default_factory=list)
    """What observers will hear once the writes are on their way: telling takes as long as deciding (law 2)."""

    def tell_news(self) -> None:
        news, self.news = self.news, []
        for tell in news:
            tell()

    def tell(self, outcome: StepOutcome, *, durable: bool) -> None:
        """Answers those that waited for this step."""
        if isinstance(outcome.step, CloseGate | OpenGate):
            _answer(self.for_gate.get(outcome.step, []), done=outcome.error is None, why=str(outcome.error))
        elif isinstance(outcome.step, OpenRecord):
            _answer(self.for_record, done=durable, why=str(outcome.error or "its record is another's"))

    def tell_rest_of_record(self) -> None:
        """The record is durable already."""
        _answer(self.for_record, done=True, why="")

    def tell_rest(self, *, durable: bool) -> None:
        """No letter outlives its pass without an answer."""
        _answer(self.for_record, done=durable, why="the rollback has ended meanwhile; send it again")
        for letters in self.for_gate.values():
            _answer(letters, done=False, why="not carried out; send it again")


def _answer(letters: Sequence[tuple[Letter, Decision]], *, done: bool, why: str) -> None:
    for letter, decision in letters:
        if done:
            letter.reply(decision)
        else:
            letter.fail(f"cannot be made durable now: {why}")


class Judge:
    """Reads letters against the evidence; begins a rollback when one asks for it."""

    def __init__(
        self,
        *,
        gatherer: Gatherer,
        observer: ports.Observer,
        clock: ports.Clock,
        labels: LabelNames,
        dry_run: bool,
    ) -> None:
        self._gatherer = gatherer
        self._observer = observer
        self._clock = clock
        self._labels = labels
        self._dry_run = dry_run

    def read(self, letters: Sequence[Letter], standing: Standing, evidence: Evidence) -> Waiting:
        """Answers at once what needs no act; returns what waits."""
        waiting = Waiting()
        # Real ones first: a drill finds what they have begun.
        for letter in sorted(letters, key=lambda one: one.alert.is_drill):
            decision = deciding.judge(evidence, letter.alert, letter.rule, self._labels)
            if not letter.alert.firing:
                standing.remember_resolved(letter.alert.key)
            waiting.news.append(
                functools.partial(
                    self._observer.signal_judged, letter.source, decision, standing.ref, letter.alert
                )
            )
            match decision.verdict:
                case Verdict.IGNORE:
                    letter.reply(decision)
                case Verdict.PAUSE | Verdict.RESUME:
                    step = _gate_step(evidence, letter.alert, decision)
                    if step is None:
                        letter.reply(decision)
                    else:
                        waiting.for_gate.setdefault(step, []).append((letter, decision))
                case Verdict.ROLL_BACK | Verdict.ESCALATE:
                    if standing.intent is None or self._outweighs(letter, standing.intent):
                        intent = self._begin(standing, evidence, letter, decision)
                        tell = functools.partial(self._observer.rollback_decided, standing.ref, intent, decision)
                        waiting.news.append(tell)
                        evidence = dataclasses.replace(evidence, intent=intent)
                    waiting.for_record.append((letter, decision))
        return waiting

    def _outweighs(self, letter: Letter, intent: Intent) -> bool:
        """What is only rehearsed stands in no real rollback's way; its record is finished after it."""
        return intent.dry_run and not self._dry_run and not letter.alert.is_drill

    def _begin(self, standing: Standing, evidence: Evidence, letter: Letter, decision: Decision) -> Intent:
        canary = evidence.canary
        assert canary is not None  # noqa: S101 - judge() never acts on a canary that does not exist
        alert = letter.alert
        dry_run = self._dry_run or alert.is_shadow or (alert.is_drill and not canary.drill)
        intent = Intent(
            canary=canary.ref,
            revision=canary.revision,
            trigger=Trigger.ALERT,
            reason="; ".join(filter(None, (_reason(decision, alert), checks.whose_clock(evidence)))),
            requested_by=REQUESTED_BY,
            signal=_recorded(alert),
            dry_run=dry_run,
            received_at=letter.received_at,
            decided_at=self._clock.now(),
            record_name=self._gatherer.next_name(canary, dry_run=dry_run),
            checksum=standing.checksums.get(canary.identity, ""),
            severity=letter.rule.severity,
            drill=alert.is_drill,
        )
        intent = planning.remember(intent, evidence)
        standing.begin(intent, durable=False, accepted=True)
        return intent


def _reason(decision: Decision, alert: Alert) -> str:
    return f"{decision.reason}: {alert.name}" if alert.name else str(decision.reason)


def _recorded(alert: Alert) -> RecordedSignal:
    return RecordedSignal(
        fingerprint=alert.fingerprint,
        starts_at=alert.starts_at,
        labels=alert.labels,
        annotations=alert.annotations,
        generator_url=alert.generator_url,
        external_url=alert.external_url,
    )


def _gate_step(evidence: Evidence, alert: Alert, decision: Decision) -> Step | None:
    canary = evidence.canary
    assert canary is not None  # noqa: S101 - judge() never pauses a canary that does not exist
    if decision.verdict is Verdict.RESUME:
        return OpenGate(canary.ref, (alert.fingerprint,))
    if len(canary.alert_pauses) >= _PAUSES_KEPT:
        return None  # the gate is closed as it is, and annotations have a limit
    pause = AlertPause(alert.fingerprint, alert.starts_at, canary.revision, alert.name)
    if decision.reason is not Reason.ALERT_PAUSES or pause in canary.alert_pauses:
        return None
    return CloseGate(canary.ref, pause)
