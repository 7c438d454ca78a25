"""The catalogue: names and label values of the contract, and nothing that a caller sends becomes a series."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import itertools
from collections.abc import AsyncIterator, Sequence

import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import CapturingLogger

from daemon.model import errors
from daemon.model.canary import CanaryPhase, CanaryRef
from daemon.model.decision import Decision, Reason, Verdict
from daemon.model.outcome import StepOutcome
from daemon.model.plan import OpenRecord
from daemon.model.rollback import RollbackPhase, Timeline, Trigger
from daemon.model.signal import Hook, HookType, MalformedAlert, Source
from daemon.policy import planning
from daemon.telemetry import audience
from daemon.telemetry.gauges import CanarySeen, Seen
from daemon.telemetry.metrics import Metrics
from tests.unit import facts


class Clock:
    """Stands still until it is told."""

    def __init__(self) -> None:
        self.at = facts.after(65)

    def now(self) -> datetime.datetime:
        return self.at


def made() -> tuple[Metrics, Clock]:
    clock = Clock()
    return Metrics(clock=clock, version="1.2.3"), clock


def scraped(metrics: Metrics) -> str:
    return asyncio.run(metrics.render()).decode()


def seen(
    *canaries: CanarySeen, refusing: Sequence[tuple[CanaryRef, str, float]] = (), watchdog: float | None = 12.0
) -> Seen:
    async def listed() -> AsyncIterator[CanarySeen]:
        for canary in canaries:
            yield canary

    async def undelivered() -> dict[str, int]:
        return {"slack": 2}

    async def closed() -> Sequence[tuple[CanaryRef, str, float]]:
        return refusing

    return Seen(
        canaries=listed, in_progress=lambda: 1, watch_ages=lambda: [("Canary", 3.0)], watchdog_age=lambda: watchdog,
        undelivered=undelivered, refusing=closed, drills=dict,
    )  # fmt: skip


def series(metrics: Metrics) -> dict[str, float]:
    """Every sample as it is scraped: ``name{a=b}``."""
    found = {}
    for family in text_string_to_metric_families(scraped(metrics)):
        for sample in family.samples:
            labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def test_every_metric_of_the_contract_is_there_under_its_name() -> None:
    metrics, _ = made()
    metrics.show(
        seen(CanarySeen(facts.REF, CanaryPhase.PROGRESSING, 12.5), refusing=[(facts.REF, "confirm-promotion", 90.0)])
    )
    assert series(metrics)[
        "pullback_gate_refusing_seconds{canary=podinfo,hook=confirm-promotion,namespace=shop}"
    ] == 90
    names = {family.name for family in text_string_to_metric_families(scraped(metrics))}
    assert names >= {
        f"pullback_{name}"
        for name in (
            "signals", "rollbacks", "rollback_seconds", "alert_age_seconds", "rollbacks_in_progress", "canary_weight",
            "canary_phase", "holds", "gate_answers", "deadline_exceeded", "watch_age_seconds", "watchdog_age_seconds",
            "build_info", "http_request_seconds",
        )
    }  # fmt: skip
    assert {name for name in names if not name.startswith("pullback_")} == set()
    shown = series(metrics)
    assert shown["pullback_canary_weight{canary=podinfo,namespace=shop}"] == 12.5
    assert shown["pullback_canary_phase{canary=podinfo,namespace=shop,phase=Progressing}"] == 1
    assert shown["pullback_build_info{version=1.2.3}"] == 1


def test_signals_are_counted_by_verdict_and_reason_and_the_age_of_those_that_act() -> None:
    metrics, _ = made()
    fires = Decision(Verdict.ROLL_BACK, Reason.ALERT_FIRES)
    metrics.signal_judged(Source.ALERTMANAGER, fires, facts.REF, facts.alert())
    metrics.signal_judged(Source.ALERTMANAGER, Decision(Verdict.IGNORE, Reason.UNMATCHED), None, facts.alert())
    metrics.alert_malformed(MalformedAlert(0, "x", "no"))
    metrics.group_truncated(3, "key")
    shown = series(metrics)
    counted = {name: value for name, value in shown.items() if name.startswith("pullback_signals_total")}
    assert counted == {
        f"pullback_signals_total{{reason={reason},source=alertmanager,verdict={verdict}}}": 1
        for verdict, reason in (("ROLL_BACK", "alert-fires"), ("IGNORE", "unmatched"), ("IGNORE", "malformed"),
                                ("IGNORE", "truncated"))
    }  # fmt: skip
    assert (shown["pullback_alert_age_seconds_count"], shown["pullback_alert_age_seconds_sum"]) == (1, 5)
    assert shown["pullback_truncated_alerts_total"] == 3


def test_each_milestone_of_a_rollback_is_measured_once() -> None:
    metrics, _ = made()
    begun = facts.record()
    zeroed = dataclasses.replace(
        begun, phase=RollbackPhase.ZEROED, timeline=dataclasses.replace(begun.timeline, zeroed_at=facts.after(61.25))
    )
    proved = dataclasses.replace(
        zeroed, phase=RollbackPhase.PROVED, timeline=dataclasses.replace(zeroed.timeline, proved_at=facts.after(66))
    )
    completed = dataclasses.replace(
        proved,
        phase=RollbackPhase.COMPLETED,
        timeline=dataclasses.replace(proved.timeline, completed_at=facts.after(91)),
    )
    stages = [None, begun, zeroed, proved, completed]
    for before, after in itertools.pairwise(stages):
        assert after is not None
        metrics.rollback_moved(before, after)
    shown = series(metrics)
    sums = {until: shown[f"pullback_rollback_seconds_sum{{until={until}}}"] for until in ("zeroed", "proved")}
    assert sums == {"zeroed": 0.25, "proved": 5}
    assert shown["pullback_rollback_seconds_sum{until=completed}"] == 30
    milestones = ("zeroed", "proved", "completed")
    assert [shown[f"pullback_rollback_seconds_count{{until={word}}}"] for word in milestones] == [1, 1, 1]
    assert shown["pullback_rollbacks_total{outcome=Completed,trigger=Alert}"] == 1


def test_outcomes_that_never_happened_are_shown_as_zero() -> None:
    shown = series(made()[0])
    for trigger in Trigger:
        assert shown[f"pullback_rollbacks_total{{outcome=Escalated,trigger={trigger}}}"] == 0


def test_a_failed_rollback_is_no_completed_one() -> None:
    metrics, _ = made()
    failed = facts.record(
        RollbackPhase.FAILED, timeline=Timeline(started_at=facts.after(61), completed_at=facts.after(70))
    )
    metrics.rollback_moved(facts.record(), failed)
    shown = series(metrics)
    assert shown["pullback_rollbacks_total{outcome=Failed,trigger=Alert}"] == 1
    assert shown["pullback_rollback_seconds_count{until=completed}"] == 0


def test_requests_by_any_method_make_only_known_series() -> None:
    metrics, _ = made()
    for number in range(50):
        metrics.observe_request("other", f"BREW{number}", 404, 0.001)
    assert series(metrics)["pullback_http_request_seconds_count{method=other,route=other,status=404}"] == 50


def test_where_no_watchdog_is_expected_it_has_no_age() -> None:
    metrics, _ = made()
    metrics.show(seen(watchdog=None))
    assert "pullback_watchdog_age_seconds" not in series(metrics)
    assert series(metrics)["pullback_notices_undelivered{channel=slack}"] == 2


def test_however_many_canaries_there_are_each_has_its_series_and_each_family_one_head() -> None:
    metrics, _ = made()
    many = [CanarySeen(CanaryRef("shop", f"canary-{number}"), CanaryPhase.PROGRESSING, number) for number in range(333)]
    metrics.show(seen(*many))
    shown = series(metrics)
    for number in range(333):
        assert shown[f"pullback_canary_weight{{canary=canary-{number},namespace=shop}}"] == number
        assert shown[f"pullback_canary_phase{{canary=canary-{number},namespace=shop,phase=Progressing}}"] == 1
    heads = [line for line in scraped(metrics).splitlines() if line.startswith("# TYPE ")]
    assert len(heads) == len(set(heads))


def test_what_happens_after_zero_is_counted() -> None:
    metrics, _ = made()
    metrics.notice_sent(facts.REF, "slack", "zeroed", None)
    metrics.notice_sent(facts.REF, "slack", "zeroed", errors.Unreachable("down"))
    metrics.notice_sent(facts.REF, "slack", "zeroed", errors.Refused("no"))
    metrics.duty_failed(facts.REF, "notice slack", errors.Unreachable("down"))
    metrics.pulled(3, None)
    metrics.pulled(0, errors.Unreachable("down"))
    metrics.record_pruned(facts.REF, "podinfo-7b8cb8dc5d")
    metrics.leading_changed("acquired", "", leading=True)
    shown = series(metrics)
    counted = (
        *(f"pullback_notices_total{{channel=slack,outcome={word}}}" for word in ("delivered", "failed", "refused")),
        "pullback_duty_failures_total{duty=notice}",
        "pullback_pulls_total{outcome=answered}",
        "pullback_pulls_total{outcome=failed}",
        "pullback_records_pruned_total",
        "pullback_leader",
    )
    assert {name: shown[name] for name in counted} == dict.fromkeys(counted, 1)
    metrics.leading_changed("lost", "", leading=False)
    assert series(metrics)["pullback_leader"] == 0


def test_steps_gates_and_escalations_are_counted() -> None:
    metrics, _ = made()
    record = planning.new_record(facts.evidence(), facts.intent())
    metrics.step_done(facts.REF, StepOutcome(OpenRecord(record), facts.after(62)))
    metrics.step_done(facts.REF, StepOutcome(OpenRecord(record), facts.after(62), errors.Throttled("slow", 1)))
    metrics.gate_answered(
        Hook(HookType.ROLLBACK, facts.REF, "Progressing", "58b65dd85", {}),
        Decision(Verdict.IGNORE, Reason.NO_ROLLBACK),
        opened=False,
    )
    metrics.escalated(facts.REF, Reason.DEADLINE_EXCEEDED, "", [])
    metrics.escalated(facts.REF, Reason.PROMOTION_BROKE, "", [])
    metrics.raised_again(facts.REF, facts.route())
    metrics.pass_failed(facts.REF, ValueError())
    shown = series(metrics)
    counted = (
        "pullback_steps_total{outcome=done,step=OpenRecord}",
        "pullback_steps_total{outcome=Throttled,step=OpenRecord}",
        "pullback_gate_answers_total{answer=403,hook=rollback}",
        "pullback_escalations_total{reason=deadline-exceeded}",
        "pullback_escalations_total{reason=promotion-broke}",
        "pullback_deadline_exceeded_total",
        "pullback_holds_total",
        "pullback_pass_failures_total",
    )
    assert {name: shown[name] for name in counted} == dict.fromkeys(counted, 1)


def test_a_listener_that_fails_fails_neither_its_speaker_nor_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def group_truncated(self, count: int, group_key: str) -> None:
            raise ValueError("deaf")

    metrics, _ = made()
    log = CapturingLogger()
    monkeypatch.setattr(audience, "_log", log)
    audience.gather(Broken(), metrics).group_truncated(2, "")  # type: ignore[arg-type]
    assert series(metrics)["pullback_truncated_alerts_total"] == 2
    assert [call.args for call in log.calls] == [("listener.failed",)]
