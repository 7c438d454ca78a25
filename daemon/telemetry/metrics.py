"""The catalogue of metrics, fed by listening.

Label values come from enums only, plus ``namespace`` and ``canary`` where the help says so.
"""

from collections.abc import Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from daemon import ports
from daemon.model.canary import CanaryRef
from daemon.model.decision import Decision, Intent, Reason, Verdict
from daemon.model.errors import NeighbourError, Refused
from daemon.model.gitops import Raise
from daemon.model.outcome import StepOutcome
from daemon.model.rollback import Rollback, RollbackPhase, Trigger
from daemon.model.route import RouteView
from daemon.model.signal import Alert, Hook, MalformedAlert, Source
from daemon.telemetry import gauges

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 90, 120)
"""From one API write to the deadline."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """Keeps ``ports.Observer`` for Prometheus."""

    def __init__(self, *, clock: ports.Clock, version: str) -> None:
        # A second series per counter that nobody asks for.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._clock = clock
        self._seen: gauges.Seen | None = None
        self.registry = CollectorRegistry()
        registry = self.registry
        self._signals = Counter(
            "pullback_signals", "Signals judged.", ["source", "verdict", "reason"], registry=registry
        )
        self._rollbacks = Counter(
            "pullback_rollbacks", "Rollbacks that ended, or were escalated.", ["trigger", "outcome"], registry=registry
        )
        self._seconds = Histogram(
            "pullback_rollback_seconds",
            "Seconds from the signal received to each milestone.",
            ["until"],
            buckets=SECONDS,
            registry=registry,
        )
        self._alert_age = Histogram(
            "pullback_alert_age_seconds",
            "Seconds from an alert's startsAt to its being received.",
            buckets=(0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600),
            registry=registry,
        )
        self._holds = Counter("pullback_holds", "Times a weight was pushed back to 0.", registry=registry)
        self._gates = Counter(
            "pullback_gate_answers", "Answers to Flagger's hooks.", ["hook", "answer"], registry=registry
        )
        self._deadline = Counter(
            "pullback_deadline_exceeded", "Rollbacks not proved at 0 within the deadline.", registry=registry
        )
        self._escalations = Counter("pullback_escalations", "Times a person was needed.", ["reason"], registry=registry)
        self._steps = Counter("pullback_steps", "Steps carried out.", ["step", "outcome"], registry=registry)
        self._truncated = Counter(
            "pullback_truncated_alerts", "Alerts that Alertmanager cut off a webhook.", registry=registry
        )
        self._failures = Counter(
            "pullback_pass_failures", "Passes that ended in an unforeseen error.", registry=registry
        )
        self._requests = Histogram(
            "pullback_http_request_seconds",
            "Own time of HTTP requests.",
            ["route", "method", "status"],
            buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=registry,
        )
        Gauge("pullback_build_info", "The version, as a label.", ["version"], registry=registry).labels(version).set(1)
        self._catalogue_after_zero()
        for until in ("zeroed", "proved", "completed"):
            self._seconds.labels(until)
        for trigger in Trigger:
            for outcome in (RollbackPhase.COMPLETED, RollbackPhase.FAILED, RollbackPhase.ESCALATED):
                self._rollbacks.labels(trigger.value, outcome.value)

    def _catalogue_after_zero(self) -> None:
        registry = self.registry
        self._notices = Counter(
            "pullback_notices", "Messages to channels.", ["channel", "outcome"], registry=registry
        )
        self._duties = Counter(
            "pullback_duty_failures", "What had to be done after zero and could not be done at once.", ["duty"],
            registry=registry,
        )  # fmt: skip
        self._pruned = Counter("pullback_records_pruned", "Records forgotten by age or number.", registry=registry)
        self._pulls = Counter(
            "pullback_pulls", "Questions to Alertmanager what fires.", ["outcome"], registry=registry
        )
        self._leader = Gauge("pullback_leader", "1 while this replica leads.", registry=registry)

    def show(self, seen: gauges.Seen) -> None:
        """What the gauges are read from at each scrape."""
        self._seen = seen

    async def render(self) -> bytes:
        """The text format 0.0.4."""
        counted = generate_latest(self.registry)
        return counted if self._seen is None else counted + await gauges.rendered(self._seen)

    def observe_request(self, route: str, method: str, status: int, seconds: float) -> None:
        known = method if method in _METHODS else "other"
        self._requests.labels(route, known, str(status)).observe(seconds)

    # -- ports.Observer

    def signal_judged(self, source: Source, decision: Decision, canary: CanaryRef | None, alert: Alert) -> None:
        self._signals.labels(source.value, decision.verdict.value, decision.reason.value).inc()
        if decision.reason is Reason.ALERT_FIRES:
            self._alert_age.observe(max(0.0, (self._clock.now() - alert.starts_at).total_seconds()))

    def alert_malformed(self, alert: MalformedAlert) -> None:
        self._signals.labels(Source.ALERTMANAGER.value, Verdict.IGNORE.value, Reason.MALFORMED.value).inc()

    def group_truncated(self, count: int, group_key: str) -> None:
        self._truncated.inc(count)
        self._signals.labels(Source.ALERTMANAGER.value, Verdict.IGNORE.value, Reason.TRUNCATED.value).inc()

    def rollback_decided(self, canary: CanaryRef, intent: Intent, decision: Decision) -> None:
        if intent.trigger is not Trigger.ALERT:
            self._signals.labels(Source.OPERATOR.value, decision.verdict.value, decision.reason.value).inc()

    def step_done(self, canary: CanaryRef, outcome: StepOutcome) -> None:
        word = "done" if outcome.error is None else type(outcome.error).__name__
        self._steps.labels(type(outcome.step).__name__, word).inc()

    def rollback_moved(self, before: Rollback | None, after: Rollback) -> None:
        if after.drill:
            return  # told by a gauge of its own
        timeline, began = after.timeline, after.started_at
        done = before.timeline if before else None
        for until, moment, seen in (
            ("zeroed", timeline.zeroed_at, done.zeroed_at if done else None),
            ("proved", timeline.proved_at, done.proved_at if done else None),
            (
                "completed",
                timeline.completed_at if after.phase is RollbackPhase.COMPLETED else None,
                done.completed_at if done else None,
            ),
        ):
            if moment is not None and seen is None:
                self._seconds.labels(until).observe(max(0.0, (moment - began).total_seconds()))
        if after.finished or after.phase is RollbackPhase.ESCALATED:
            self._rollbacks.labels(after.trigger.value, after.phase.value).inc()

    def raised_again(self, canary: CanaryRef, route: RouteView, by: Raise | None = None, times: int = 1) -> None:
        self._holds.inc()

    def escalated(self, canary: CanaryRef, reason: Reason, detail: str, break_glass: Sequence[str]) -> None:
        self._escalations.labels(reason.value).inc()
        if reason is Reason.DEADLINE_EXCEEDED:
            self._deadline.inc()

    def gate_answered(self, hook: Hook, decision: Decision, *, opened: bool) -> None:
        self._gates.labels(hook.type.value, "200" if opened else "403").inc()

    def notice_sent(self, canary: CanaryRef, channel: str, key: str, error: NeighbourError | None) -> None:
        outcome = "delivered"
        if error is not None:
            outcome = "refused" if isinstance(error, Refused) else "failed"
        self._notices.labels(channel, outcome).inc()

    def duty_failed(self, canary: CanaryRef, duty: str, error: NeighbourError) -> None:
        self._duties.labels(duty.partition(" ")[0]).inc()

    def record_pruned(self, canary: CanaryRef, name: str) -> None:
        self._pruned.inc()

    def pulled(self, count: int, error: NeighbourError | None) -> None:
        self._pulls.labels("answered" if error is None else "failed").inc()

    def leading_changed(self, what: str, detail: str, *, leading: bool) -> None:
        self._leader.set(leading)

    def pass_failed(self, canary: CanaryRef, error: BaseException) -> None:
        self._failures.inc()
