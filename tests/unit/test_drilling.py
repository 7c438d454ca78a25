"""A drill acts on its own canary and wakes nobody; what is only rehearsed never stands in a real rollback's way."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
from typing import Any

import pytest

from daemon.adapters import flagger, ledger
from daemon.model import errors
from daemon.model.canary import CanaryPhase, CanaryRef
from daemon.model.decision import Decision, Evidence, Reason, Verdict
from daemon.model.drill import DrillOutcome, DrillResult
from daemon.model.notice import Manner
from daemon.model.rollback import Amendment, Rollback, RollbackPhase, Timeline
from daemon.model.rules import AlertRule, Fallback, LabelNames
from daemon.model.signal import Alert, Source
from daemon.policy import deciding, naming, planning, telling, wording
from daemon.policy.correlating import CanaryIndex
from daemon.workflow.drilling import DrillListener, last_drills
from daemon.workflow.world import World
from tests import builders
from tests.unit import facts

REAL: Any = {"alertname": "PullbackDrill", "drill": "d1"}
SHADOW: Any = REAL | {"drill_mode": "shadow"}
OWN = facts.canary(drill=True)
REHEARSED = facts.record(RollbackPhase.DRY_RUN, dry_run=True, drill=True)


def judged(evidence: Evidence, alert: Alert, rule: AlertRule = facts.ROLLBACK) -> tuple[str, str]:
    decision = deciding.judge(evidence, alert, rule, LabelNames())
    return decision.verdict.value, decision.reason.value


@pytest.mark.parametrize(("evidence", "labels", "rule", "expected"), [
    (facts.evidence(), SHADOW, facts.ROLLBACK, ("ROLL_BACK", "alert-fires")),
    (facts.evidence(canary=OWN), REAL, facts.PAUSE, ("IGNORE", "policy-ignores")),
    (facts.evidence(canary=OWN), REAL, facts.IGNORE, ("IGNORE", "policy-ignores")),
    (facts.evidence(canary=facts.canary(CanaryPhase.PROMOTING)), SHADOW, facts.ROLLBACK,
     ("IGNORE", "promotion-under-way")),
    (facts.evidence(canary=facts.canary(CanaryPhase.FAILED, status_weight=100)), SHADOW, facts.ROLLBACK,
     ("IGNORE", "promotion-broke")),
    (facts.evidence(canary=facts.canary(CanaryPhase.SUCCEEDED), bakes_until=facts.after(600)), SHADOW, facts.ROLLBACK,
     ("IGNORE", "no-active-canary")),
    (facts.evidence(intent=facts.intent()), SHADOW, facts.ROLLBACK, ("IGNORE", "already-rolling-back")),
    (facts.evidence(canary=OWN, intent=facts.intent(drill=True)), REAL, facts.ROLLBACK,
     ("ROLL_BACK", "already-rolling-back")),
    (facts.evidence(records=(REHEARSED,)), SHADOW, facts.ROLLBACK, ("IGNORE", "already-handled")),
])  # fmt: skip
def test_a_drill_is_judged_like_an_alert_but_wakes_nobody(
    evidence: Evidence, labels: Any, rule: AlertRule, expected: tuple[str, str]
) -> None:
    assert judged(evidence, facts.alert(**labels), rule) == expected


def test_a_shadow_drill_takes_no_page_from_a_real_alert_after_promotion() -> None:
    baked = facts.evidence(
        canary=facts.canary(CanaryPhase.SUCCEEDED), bakes_until=facts.after(600), records=(REHEARSED,)
    )
    assert judged(baked, facts.alert(fingerprint="b1")) == ("ESCALATE", "alert-after-promotion")


@pytest.mark.parametrize(("suspend", "word", "drill"), [
    (True, "true", True), (False, "true", False), (True, "yes", False), (True, None, False),
])  # fmt: skip
def test_a_canary_is_a_drills_only_while_nobody_drives_it(suspend: bool, word: str | None, drill: bool) -> None:
    document = builders.canary("shop", annotations={} if word is None else {flagger.DRILL: word})
    document["spec"]["suspend"] = suspend
    assert flagger.read_canary(document).drill is drill


def test_a_drills_canary_is_never_guessed_nor_makes_two_of_one() -> None:
    world = World(
        clock=None,  # type: ignore[arg-type]
        index=CanaryIndex(LabelNames(), Fallback.SINGLE_ACTIVE), labels=LabelNames(), providers=frozenset({"istio"}),
        cluster_domain="cluster.local", reading=None,  # type: ignore[arg-type]
    )  # fmt: skip
    own = CanaryRef("shop", "pullback-drill")
    world.put_canary(dataclasses.replace(OWN, ref=own, workload="pullback-drill", service="pullback-drill"))
    assert world.correlate({"namespace": "shop"}).ref is None
    world.put_canary(facts.canary())
    assert world.correlate({"namespace": "shop"}).ref == facts.REF
    assert world.correlate({"namespace": "shop", "canary": "pullback-drill"}).ref == own


# -- records


def test_what_is_rehearsed_and_what_is_done_never_share_a_record() -> None:
    rehearsal, real = facts.record(dry_run=True), facts.record()
    assert naming.next_record_name(facts.canary(), [rehearsal]) == "podinfo-rev2-2"
    assert naming.next_record_name(facts.canary(), [rehearsal], dry_run=True) == "podinfo-rev2"
    assert naming.next_record_name(facts.canary(), [real], dry_run=True) == "podinfo-rev2-2"
    evidence = facts.evidence(intent=facts.intent(dry_run=True), record=real, records=(real,))
    assert not planning.plan(evidence, deciding.stand(evidence)).steps


def test_a_record_says_that_it_is_a_drills_and_what_was_found() -> None:
    result = DrillResult(DrillOutcome.FAILED, facts.after(90), "no webhook came")
    new = planning.new_record(facts.evidence(canary=OWN), facts.intent(drill=True))
    document = ledger.as_document(new)
    assert document["spec"]["drill"] is True
    document["metadata"] |= {"creationTimestamp": "2026-11-23T07:01:01Z"}
    document["status"] = ledger.as_status(Amendment(drill_result=result))
    read = ledger.read_rollback(document)
    assert (read.drill, read.drill_result) == (True, result)
    assert "drill" not in ledger.as_document(planning.new_record(facts.evidence(), facts.intent()))["spec"]


# -- what people hear


def due(record: Rollback, manner: Manner, *, drills: bool = False) -> list[str]:
    def story() -> Any:
        return wording.story(record, OWN, (), "", wording.Style())

    found = telling.due(record, "c", manner, closes=True, story=story, now=facts.after(62), drills=drills)
    return [one.text for one in found] + [one.story.title for one in found]


@pytest.mark.parametrize("phase", [RollbackPhase.PENDING, RollbackPhase.ESCALATED, RollbackPhase.FAILED])
def test_a_drill_opens_no_incident_and_everything_said_of_it_begins_with_drill(phase: RollbackPhase) -> None:
    record = facts.record(phase, drill=True)
    assert due(record, Manner.INCIDENT, drills=True) == []
    assert due(record, Manner.MESSAGE) == []
    for said in (due(record, Manner.STREAM), due(record, Manner.MESSAGE, drills=True)):
        assert said
        assert all(one.startswith("DRILL: ") for one in said)
    assert all("DRILL" not in one for one in due(facts.record(phase), Manner.STREAM))


def test_a_shadow_drill_is_a_dry_run_first() -> None:
    story = wording.story(REHEARSED, None, (), "", wording.Style())
    assert story.title == "DRY RUN: DRILL: shop/podinfo would be rolled back"


def drilled(phase: RollbackPhase, outcome: DrillOutcome | None, at: float) -> Rollback:
    result = None if outcome is None else DrillResult(outcome, facts.after(at))
    timeline = Timeline(started_at=facts.after(61), completed_at=facts.after(at))
    return facts.record(phase, drill=True, drill_result=result, timeline=timeline)


def test_the_last_drills_are_those_of_the_records() -> None:
    records = [
        facts.record(RollbackPhase.FAILED),  # none of a drill
        drilled(RollbackPhase.COMPLETED, DrillOutcome.PASSED, 100),
        drilled(RollbackPhase.COMPLETED, DrillOutcome.PASSED, 300),
        drilled(RollbackPhase.PENDING, DrillOutcome.FAILED, 200),
        drilled(RollbackPhase.COMPLETED, None, 900),  # nobody knows whether its clocks were met
    ]
    assert last_drills(records) == {"passed": facts.after(300).timestamp(), "failed": facts.after(200).timestamp()}
    broken = drilled(RollbackPhase.ESCALATED, None, 400)
    assert last_drills([broken]) == {"failed": facts.after(400).timestamp()}
    assert last_drills([]) == {}


# -- what became of its alert


class Log:
    def __init__(self) -> None:
        self.said: list[str] = []
        self.fails = 0

    async def ignored(self, alert: Alert, decision: Decision, at: datetime.datetime) -> None:
        if self.fails:
            self.fails -= 1
            raise errors.Refused("403")
        self.said.append(f"{alert.labels['drill']} {decision.reason}")


class Clock:
    def now(self) -> datetime.datetime:
        return facts.after(1)


async def test_only_a_drills_firing_alert_that_led_to_nothing_is_answered_for() -> None:
    log = Log()
    listener = DrillListener(log, Clock())
    unmatched, acts = Decision(Verdict.IGNORE, Reason.UNMATCHED), Decision(Verdict.ROLL_BACK, Reason.ALERT_FIRES)
    task = asyncio.create_task(listener.run())
    log.fails = 1
    for alert, decision in (
        (facts.alert(**REAL), unmatched),  # not written: no later one suffers
        (facts.alert(), unmatched),
        (facts.alert(**REAL, firing=False), unmatched),
        (facts.alert(**REAL), acts),
        (facts.alert(**REAL), Decision(Verdict.IGNORE, Reason.ALREADY_HANDLED)),
        (facts.alert(**REAL), unmatched),
    ):
        listener.signal_judged(Source.ALERTMANAGER, decision, None, alert)
    for _ in range(200):  # more than anybody drills: dropped, and nothing grows
        listener.signal_judged(Source.ALERTMANAGER, unmatched, None, facts.alert(**(REAL | {"drill": "d2"})))
    await asyncio.sleep(0.01)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert log.said[0] == "d1 unmatched"
    assert 0 < len(log.said[1:]) < 32
    assert set(log.said[1:]) == {"d2 unmatched"}
