"""What happened, as log lines: one event name each, the contract's words as fields, never a credential."""

import logging
import sys
from collections.abc import Sequence
from typing import Any

import structlog

from daemon.model.canary import CanaryRef
from daemon.model.decision import Decision, Intent, Reason, Verdict
from daemon.model.errors import NeighbourError
from daemon.model.gitops import Raise
from daemon.model.outcome import StepOutcome
from daemon.model.plan import (
    AbortRelease,
    AmendRecord,
    CloseGate,
    DivertService,
    OpenGate,
    OpenRecord,
    RestoreRoute,
    ScaleCanary,
    ZeroRoute,
)
from daemon.model.rollback import Rollback
from daemon.model.route import RouteView
from daemon.model.signal import Alert, Hook, HookType, MalformedAlert, Source

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_QUIET_HOOKS = frozenset({HookType.EVENT, HookType.POST_ROLLOUT})


def configure(*, level: str, style: str) -> None:
    """``style`` is ``json`` (one object a line) or ``console``. Logs go to standard error."""
    renderer: Any = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    if style == "json":
        renderer = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks if style == "json" else structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    # Libraries speak through the standard module: only their warnings, in the same place.
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")


class Logs:
    """Keeps ``ports.Observer`` for people."""

    def __init__(self) -> None:
        self.log: Any = structlog.get_logger("pullback")
        self._raises: dict[CanaryRef, tuple[int, dict[str, int]]] = {}
        """How often each writer has raised a canary that is held: told when it begins, then whenever that doubles."""

    def signal_judged(self, source: Source, decision: Decision, canary: CanaryRef | None, alert: Alert) -> None:
        quiet = decision.verdict is Verdict.IGNORE and (source is Source.PULL or _expected(decision.reason))
        # Asked for again and again, an alert is answered the same again and again.
        quiet = quiet or (source is Source.PULL and decision.reason is Reason.ALREADY_ROLLING_BACK)
        speak = self.log.debug if quiet else self.log.info
        speak(
            "signal.judged", source=source.value, verdict=decision.verdict.value, reason=decision.reason.value,
            detail=decision.detail, canary=None if canary is None else str(canary), alertname=alert.name,
            fingerprint=alert.fingerprint, starts_at=alert.starts_at.isoformat(), firing=alert.firing,
        )  # fmt: skip

    def alert_malformed(self, alert: MalformedAlert) -> None:
        self.log.warning("signal.malformed", problem=alert.problem, fingerprint=alert.fingerprint)

    def group_truncated(self, count: int, group_key: str) -> None:
        self.log.warning(
            "signal.truncated", alerts_cut_off=count, group_key=group_key,
            hint="set max_alerts: 0 on the receiver; what was cut off is unknown here",
        )  # fmt: skip

    def rollback_decided(self, canary: CanaryRef, intent: Intent, decision: Decision) -> None:
        self._raises.pop(canary, None)
        self.log.warning(
            "rollback.decided", canary=str(canary), revision=intent.revision, verdict=decision.verdict.value,
            reason=decision.reason.value, trigger=intent.trigger.value, requested_by=intent.requested_by,
            detail=decision.detail, record=intent.record_name, dry_run=intent.dry_run,
        )  # fmt: skip

    def step_done(self, canary: CanaryRef, outcome: StepOutcome) -> None:
        name, target = _describe(outcome)
        if outcome.error is None:
            again = isinstance(outcome.step, ZeroRoute) and canary in self._raises
            (self.log.debug if again else self.log.info)("step.done", canary=str(canary), step=name, target=target)
        else:
            self.log.warning(
                "step.failed", canary=str(canary), step=name, target=target,
                error=type(outcome.error).__name__, problem=str(outcome.error),
            )  # fmt: skip

    def rollback_moved(self, before: Rollback | None, after: Rollback) -> None:
        timeline, began = after.timeline, after.started_at
        moments = (("zeroed", timeline.zeroed_at), ("proved", timeline.proved_at), ("completed", timeline.completed_at))
        clocks = {
            f"seconds_to_{word}": round((at - began).total_seconds(), 4) for word, at in moments if at is not None
        }
        self.log.warning(
            "rollback.moved", canary=str(after.canary), revision=after.revision, record=after.name,
            phase=after.phase.value, message=after.message, holds=after.holds, **clocks,
        )  # fmt: skip
        if after.finished:
            self._raises.pop(after.canary, None)

    def raised_again(self, canary: CanaryRef, route: RouteView, by: Raise | None = None, times: int = 1) -> None:
        writer = route.writers[0] if route.writers else "unknown"
        last, counts = self._raises.get(canary, (0, {}))
        if times <= last:
            counts = {}  # of an earlier rollback, that another replica has ended
        count = counts[writer] = counts.get(writer, 0) + 1
        self._raises[canary] = (times, counts)
        if count & (count - 1):
            return
        named = {} if by is None or count > 1 else {"owner": str(by.owner), "to_ignore": by.advice}
        self.log.warning(
            "hold.pushed_back", canary=str(canary), route=str(route.ref), found_percent=route.weight, raised_by=writer,
            times=count, **named,
        )  # fmt: skip

    def escalated(self, canary: CanaryRef, reason: Reason, detail: str, break_glass: Sequence[str]) -> None:
        self.log.error(
            "rollback.escalated", canary=str(canary), reason=reason.value, detail=detail, break_glass=list(break_glass),
        )  # fmt: skip

    def gate_answered(self, hook: Hook, decision: Decision, *, opened: bool) -> None:
        quiet = hook.type in _QUIET_HOOKS or decision.reason in {Reason.NO_ROLLBACK, Reason.OPEN, Reason.SOAKING}
        speak = self.log.debug if quiet else self.log.info
        speak(
            "gate.answered", hook=hook.type.value, canary=str(hook.canary), answer=200 if opened else 403,
            reason=decision.reason.value, detail=decision.detail,
        )  # fmt: skip

    def notice_sent(self, canary: CanaryRef, channel: str, key: str, error: NeighbourError | None) -> None:
        if error is None:
            self.log.info("notice.sent", canary=str(canary), channel=channel, key=key)
        else:
            self.log.warning(
                "notice.failed", canary=str(canary), channel=channel, key=key,
                error=type(error).__name__, problem=str(error),
            )  # fmt: skip

    def duty_failed(self, canary: CanaryRef, duty: str, error: NeighbourError) -> None:
        self.log.warning(
            "duty.failed", canary=str(canary), duty=duty, error=type(error).__name__, problem=str(error)
        )  # fmt: skip

    def record_pruned(self, canary: CanaryRef, name: str) -> None:
        self.log.info("record.pruned", canary=str(canary), record=name)

    def pulled(self, count: int, error: NeighbourError | None) -> None:
        if error is None:
            self.log.debug("alerts.pulled", count=count)
        else:
            self.log.warning("alerts.not_pulled", error=type(error).__name__, problem=str(error))

    def leading_changed(self, what: str, detail: str, *, leading: bool) -> None:
        speak = self.log.info if what in {"acquired", "released", "takeover"} else self.log.warning
        speak("lease." + what, detail=detail, leading=leading)

    def pass_failed(self, canary: CanaryRef, error: BaseException) -> None:
        self.log.error("pass.failed", canary=str(canary), exc_info=error)

    # -- not of a canary

    def watch_changed(self, kind: str, namespace: str | None, state: str) -> None:
        speak = self.log.info if state == "synced" else self.log.warning
        speak("watch.changed", kind=kind, namespace=namespace or "(all)", state=state)

    def request_refused(self, route: str, why: str) -> None:
        self.log.warning("request.refused", route=route, why=why)


def _expected(reason: Reason) -> bool:
    return reason in {Reason.RESOLVED_NEVER_UNDOES, Reason.NOTHING_TO_RESUME, Reason.HEARTBEAT, Reason.POLICY_IGNORES}


def _describe(outcome: StepOutcome) -> tuple[str, str]:
    match outcome.step:
        case ZeroRoute(patch):
            return "zero-route", str(patch.route)
        case RestoreRoute(patch):
            return "restore-route", str(patch.route)
        case AbortRelease(canary):
            return "abort-release", str(canary)
        case DivertService(_, namespace, service):
            return "divert-service", f"{namespace}/{service}"
        case ScaleCanary(_, workload):
            return "scale-canary", f"{workload.namespace}/{workload.name}"
        case OpenRecord(record):
            return "open-record", f"{record.namespace}/{record.name}"
        case AmendRecord(record, amendment):
            phase = amendment.phase.value if amendment.phase else ""
            return "amend-record", f"{record.namespace}/{record.name} {phase}".strip()
        case CloseGate(canary):
            return "close-gate", str(canary)
        case OpenGate(canary):
            return "open-gate", str(canary)
