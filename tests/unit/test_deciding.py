"""The policy read aloud: a sentence about the world, and what is decided about it. Then the laws, for any world."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.model.canary import PRIMARY_CHANGING, CanaryPhase
from daemon.model.decision import HANDS_OFF, Decision, Evidence, Limits, Reason, Verdict
from daemon.model.rollback import RollbackPhase, Timeline, Trigger
from daemon.model.rules import Act, AlertRule, LabelNames
from daemon.model.signal import Alert
from daemon.policy import deciding, planning
from tests.unit import facts

LABELS = LabelNames()


def says(decision: Decision) -> tuple[str, str]:
    return decision.verdict.value, decision.reason.value


DRILL: Any = {"alertname": "PullbackDrill"}

JUDGED: dict[str, tuple[Evidence, Alert, AlertRule, tuple[str, str]]] = {
    "a firing alert whose rule says rollback": (
        facts.evidence(), facts.alert(), facts.ROLLBACK, ("ROLL_BACK", "alert-fires")),
    "the same while the canary waits for its first step": (
        facts.evidence(canary=facts.canary(CanaryPhase.WAITING)), facts.alert(), facts.ROLLBACK,
        ("ROLL_BACK", "alert-fires")),
    "the same while it waits for promotion": (
        facts.evidence(canary=facts.canary(CanaryPhase.WAITING_PROMOTION)), facts.alert(), facts.ROLLBACK,
        ("ROLL_BACK", "alert-fires")),
    "Failed, but its routes still send traffic": (
        facts.evidence(canary=facts.canary(CanaryPhase.FAILED)), facts.alert(), facts.ROLLBACK,
        ("ROLL_BACK", "alert-fires")),
    "Failed, and its routes are at zero": (
        facts.evidence(canary=facts.canary(CanaryPhase.FAILED), routes=(facts.route(0),)), facts.alert(),
        facts.ROLLBACK, ("IGNORE", "no-active-canary")),
    "Failed, and nobody can read its routes": (
        facts.evidence(canary=facts.canary(CanaryPhase.FAILED), routes=(), routes_known=False), facts.alert(),
        facts.ROLLBACK, ("IGNORE", "no-active-canary")),
    "a rollback of this revision is in force": (
        facts.evidence(intent=facts.intent()), facts.alert(), facts.ROLLBACK, ("ROLL_BACK", "already-rolling-back")),
    "a rollback of another revision is in force": (
        facts.evidence(intent=facts.intent(revision="rev1")), facts.alert(), facts.ROLLBACK,
        ("ROLL_BACK", "alert-fires")),
    "only a rehearsal is in force": (
        facts.evidence(intent=facts.intent(dry_run=True)), facts.alert(), facts.ROLLBACK,
        ("ROLL_BACK", "alert-fires")),
    "the primary is being promoted": (
        facts.evidence(canary=facts.canary(CanaryPhase.PROMOTING)), facts.alert(), facts.ROLLBACK,
        ("ESCALATE", "promotion-under-way")),
    "the primary is being finalised": (
        facts.evidence(canary=facts.canary(CanaryPhase.FINALISING)), facts.alert(), facts.ROLLBACK,
        ("ESCALATE", "promotion-under-way")),
    "the promotion broke with the canary at 100%": (
        facts.evidence(canary=facts.canary(CanaryPhase.FAILED, status_weight=100), routes=(facts.route(100),)),
        facts.alert(), facts.ROLLBACK, ("ESCALATE", "promotion-broke")),
    "nobody drives it, and no pod of its stable side is ready": (
        facts.evidence(canary=facts.undriven(), stable=facts.workload(ready_replicas=0, observed=True)),
        facts.alert(), facts.ROLLBACK, ("ESCALATE", "stable-is-gone")),
    "nobody drives it, and nobody has told yet how its stable side is": (
        facts.evidence(canary=facts.undriven(), stable=facts.workload(ready_replicas=0)),
        facts.alert(), facts.ROLLBACK, ("ROLL_BACK", "alert-fires")),
    "the canary is promoted already": (
        facts.evidence(canary=facts.canary(CanaryPhase.SUCCEEDED)), facts.alert(), facts.ROLLBACK,
        ("IGNORE", "no-active-canary")),
    "the canary was promoted a moment ago": (
        facts.evidence(canary=facts.canary(CanaryPhase.SUCCEEDED), bakes_until=facts.after(600)), facts.alert(),
        facts.ROLLBACK, ("ESCALATE", "alert-after-promotion")),
    "it began before the promotion": (
        facts.evidence(canary=facts.canary(CanaryPhase.SUCCEEDED), bakes_until=facts.after(600)), facts.alert(at=-60),
        facts.ROLLBACK, ("IGNORE", "signal-older-than-revision")),
    "it began while the primary was taking the new template": (
        facts.evidence(canary=facts.canary(CanaryPhase.SUCCEEDED), bakes_until=facts.after(600),
                       bakes_since=facts.after(-120)), facts.alert(at=-60),
        facts.ROLLBACK, ("ESCALATE", "alert-after-promotion")),
    "a person has been told about this promotion": (
        facts.evidence(
            canary=facts.canary(CanaryPhase.SUCCEEDED), bakes_until=facts.after(600),
            records=(facts.record(RollbackPhase.FAILED),)),
        facts.alert(fingerprint="b1"), facts.ROLLBACK, ("IGNORE", "already-handled")),
    "a warning after promotion": (
        facts.evidence(canary=facts.canary(CanaryPhase.SUCCEEDED), bakes_until=facts.after(600)), facts.alert(),
        facts.PAUSE, ("IGNORE", "no-active-canary")),
    "the canary object is being deleted": (
        facts.evidence(canary=facts.canary(deleting=True)), facts.alert(), facts.ROLLBACK,
        ("IGNORE", "no-active-canary")),
    "there is no canary object": (
        facts.evidence(canary=None), facts.alert(), facts.ROLLBACK, ("IGNORE", "no-active-canary")),
    "a drill of its own canary": (
        facts.evidence(canary=facts.canary(drill=True)), facts.alert(**DRILL), facts.ROLLBACK,
        ("ROLL_BACK", "alert-fires")),
    "a drill that names a real canary": (
        facts.evidence(), facts.alert(**DRILL), facts.ROLLBACK, ("IGNORE", "drill-on-real-canary")),
    "it began before this revision's analysis": (
        facts.evidence(), facts.alert(at=-5.001), facts.ROLLBACK, ("IGNORE", "signal-older-than-revision")),
    "it began just within the tolerance of the clocks": (
        facts.evidence(), facts.alert(at=-5), facts.ROLLBACK, ("ROLL_BACK", "alert-fires")),
    "nobody knows when the analysis began": (
        facts.evidence(canary=facts.canary(analysis_began=None)), facts.alert(at=-9999), facts.ROLLBACK,
        ("ROLL_BACK", "alert-fires")),
    "it names another version": (
        facts.evidence(), facts.alert(version="v1"), facts.ROLLBACK, ("IGNORE", "names-another-version")),
    "it names this version by its image tag": (
        facts.evidence(workload=facts.workload(labels={"version": "x"})), facts.alert(version="v2"), facts.ROLLBACK,
        ("ROLL_BACK", "alert-fires")),
    "it names this version by its revision": (
        facts.evidence(), facts.alert(destination_version="rev2"), facts.ROLLBACK, ("ROLL_BACK", "alert-fires")),
    "it names a version that cannot be compared": (
        facts.evidence(workload=facts.workload(labels={})), facts.alert(version="v1"), facts.ROLLBACK,
        ("ROLL_BACK", "alert-fires")),
    "its version says nothing": (
        facts.evidence(), facts.alert(version="unknown"), facts.ROLLBACK, ("ROLL_BACK", "alert-fires")),
    "this episode has had its rollback": (
        facts.evidence(records=(facts.record(RollbackPhase.COMPLETED),)), facts.alert(), facts.ROLLBACK,
        ("IGNORE", "already-handled")),
    "a later episode of the alert": (
        facts.evidence(records=(facts.record(RollbackPhase.COMPLETED),)), facts.alert(at=61), facts.ROLLBACK,
        ("ROLL_BACK", "alert-fires")),
    "this episode was only rehearsed": (
        facts.evidence(records=(facts.record(RollbackPhase.DRY_RUN),)), facts.alert(), facts.ROLLBACK,
        ("ROLL_BACK", "alert-fires")),
    "this episode was rehearsed, and it still is a rehearsal": (
        facts.evidence(records=(facts.record(RollbackPhase.DRY_RUN),), rehearsing=True), facts.alert(),
        facts.ROLLBACK, ("IGNORE", "already-handled")),
    "this episode's rollback still runs": (
        facts.evidence(records=(facts.record(RollbackPhase.PROVED),)), facts.alert(), facts.ROLLBACK,
        ("ROLL_BACK", "alert-fires")),
    "a rule says ignore": (
        facts.evidence(), facts.alert(), facts.IGNORE, ("IGNORE", "policy-ignores")),
    "the end of an alert whose rule says rollback": (
        facts.evidence(intent=facts.intent()), facts.alert(firing=False), facts.ROLLBACK,
        ("IGNORE", "resolved-never-undoes")),
    "a firing alert whose rule says pause": (
        facts.evidence(), facts.alert(fingerprint="w1"), facts.PAUSE, ("PAUSE", "alert-pauses")),
    "the same again, closed already": (
        facts.evidence(canary=facts.canary(alert_pauses=(facts.pause(),))), facts.alert(fingerprint="w1"),
        facts.PAUSE, ("PAUSE", "alert-pauses")),
    "a pause while the primary is changing": (
        facts.evidence(canary=facts.canary(CanaryPhase.PROMOTING)), facts.alert(fingerprint="w1"), facts.PAUSE,
        ("IGNORE", "promotion-under-way")),
    "a late copy of a pause whose end has been seen": (
        facts.evidence(resolved=frozenset({("w1", facts.after(60))})), facts.alert(fingerprint="w1"), facts.PAUSE,
        ("IGNORE", "firing-after-resolved")),
    "the end of a pause": (
        facts.evidence(canary=facts.canary(alert_pauses=(facts.pause(),))),
        facts.alert(firing=False, fingerprint="w1"), facts.PAUSE, ("RESUME", "alert-resolved")),
    "the end of an earlier episode of a pause": (
        facts.evidence(canary=facts.canary(alert_pauses=(facts.pause(at=90),))),
        facts.alert(firing=False, fingerprint="w1"), facts.PAUSE, ("IGNORE", "nothing-to-resume")),
    "the end of a pause that holds nothing": (
        facts.evidence(), facts.alert(firing=False, fingerprint="w1"), facts.PAUSE, ("IGNORE", "nothing-to-resume")),
    "the end of a pause of a canary that is gone": (
        facts.evidence(canary=None), facts.alert(firing=False, fingerprint="w1"), facts.PAUSE,
        ("IGNORE", "nothing-to-resume")),
}  # fmt: skip


@pytest.mark.parametrize("sentence", JUDGED)
def test_what_an_alert_asks_for(sentence: str) -> None:
    evidence, alert, rule, expected = JUDGED[sentence]
    assert expected == says(deciding.judge(evidence, alert, rule, LABELS))


BY_HAND = facts.intent(trigger=Trigger.OPERATOR, reason="it is slow", signal=None)

ACCEPTED: dict[str, tuple[Evidence, tuple[str, str]]] = {
    "a person asks in mid-analysis": (facts.evidence(intent=BY_HAND), ("ROLL_BACK", "operator-asks")),
    "a person asks for another revision": (
        facts.evidence(intent=dataclasses.replace(BY_HAND, revision="rev1")), ("IGNORE", "new-revision-began")),
    "a person asks during promotion": (
        facts.evidence(intent=BY_HAND, canary=facts.canary(CanaryPhase.PROMOTING)),
        ("ESCALATE", "promotion-under-way")),
    "a person asks after a broken promotion": (
        facts.evidence(intent=BY_HAND, canary=facts.canary(CanaryPhase.FAILED, status_weight=100)),
        ("ESCALATE", "promotion-broke")),
    "a person asks when nothing is under analysis": (
        facts.evidence(intent=BY_HAND, canary=facts.canary(CanaryPhase.SUCCEEDED)), ("IGNORE", "no-active-canary")),
    "a person asks for a rehearsal": (
        facts.evidence(intent=dataclasses.replace(BY_HAND, dry_run=True)), ("IGNORE", "dry-run")),
    "a person asks for a canary that is not there": (
        facts.evidence(intent=BY_HAND, canary=None), ("IGNORE", "canary-gone")),
}  # fmt: skip


@pytest.mark.parametrize("sentence", ACCEPTED)
def test_whether_a_persons_rollback_begins(sentence: str) -> None:
    evidence, expected = ACCEPTED[sentence]
    assert expected == says(deciding.accept(evidence))


def standing(**changes: Any) -> Evidence:
    return facts.evidence(**({"intent": facts.intent(), "record": facts.record()} | changes))


PROVED = facts.record(RollbackPhase.PROVED, timeline=Timeline(started_at=facts.after(61), proved_at=facts.after(70)))
FAILED = facts.canary(CanaryPhase.FAILED)
ON_A_ROUTE = facts.record(canary_kind=facts.undriven().object_kind)
ZERO = (facts.route(0),)

STANDS: dict[str, tuple[Evidence, tuple[str, str]]] = {
    "it is held": (standing(), ("ROLL_BACK", "rollback-in-force")),
    "it is held at zero": (standing(routes=ZERO), ("ROLL_BACK", "rollback-in-force")),
    "another revision has begun": (
        standing(canary=facts.canary(revision="rev3")), ("IGNORE", "new-revision-began")),
    "a person has released it": (standing(record=facts.record(released_by="captain")), ("IGNORE", "released")),
    "nobody drives it, and its workload is gone": (
        standing(canary=facts.undriven(revision="")), ("ROLL_BACK", "rollback-in-force")),
    "nobody drives it, and the stable side is gone by now": (
        standing(canary=facts.undriven(), stable=facts.workload(replicas=0)), ("ESCALATE", "stable-is-gone")),
    "nobody drives it, it is at zero, and the stable side is gone": (
        standing(canary=facts.undriven(), stable=facts.workload(replicas=0), routes=ZERO),
        ("ROLL_BACK", "rollback-in-force")),
    "the canary is gone": (standing(canary=None), ("IGNORE", "canary-gone")),
    "its route is gone, for a moment": (
        standing(canary=None, record=ON_A_ROUTE, gone_since=facts.after(60)), ("ROLL_BACK", "rollback-in-force")),
    "its route is gone for good": (
        standing(canary=None, record=ON_A_ROUTE, gone_since=facts.after(-300)), ("IGNORE", "canary-gone")),
    "its route is gone, and a person has released it": (
        standing(canary=None, record=dataclasses.replace(ON_A_ROUTE, released_by="captain"),
                 gone_since=facts.after(60)), ("IGNORE", "released")),
    "what a controller drove is gone": (
        standing(canary=None, gone_since=facts.after(60)), ("IGNORE", "canary-gone")),
    "promotion overtook us": (
        standing(canary=facts.canary(CanaryPhase.PROMOTING)), ("ESCALATE", "promotion-under-way")),
    "promotion overtook us and broke": (
        standing(canary=facts.canary(CanaryPhase.FAILED, status_weight=100)), ("ESCALATE", "promotion-broke")),
    "it was promoted": (standing(canary=facts.canary(CanaryPhase.SUCCEEDED)), ("IGNORE", "revision-promoted")),
    "it is a rehearsal": (standing(intent=facts.intent(dry_run=True)), ("IGNORE", "dry-run")),
    "Failed, at zero and proved": (
        standing(canary=FAILED, routes=ZERO, proof=facts.proof()), ("IGNORE", "failure-accepted")),
    "Failed, at zero and proved in an earlier life": (
        standing(canary=FAILED, routes=ZERO, record=PROVED), ("IGNORE", "failure-accepted")),
    "Failed and at zero, not yet proved": (
        standing(canary=FAILED, routes=ZERO), ("ROLL_BACK", "rollback-in-force")),
    "Failed, proved once, raised again": (
        standing(canary=FAILED, record=PROVED), ("ROLL_BACK", "rollback-in-force")),
    "Failed, by a provider nobody can read": (
        standing(canary=FAILED, routes=(), routes_known=False, proof=facts.proof()),
        ("ROLL_BACK", "rollback-in-force")),
    "the write is refused for good": (
        standing(write_refused="403 denied"), ("ESCALATE", "write-refused")),
    "the write was refused, somebody else did it": (
        standing(write_refused="403 denied", routes=ZERO), ("ROLL_BACK", "rollback-in-force")),
    "one moment before the deadline": (standing(now=facts.after(180.9)), ("ROLL_BACK", "rollback-in-force")),
    "the deadline has passed": (standing(now=facts.after(181)), ("ESCALATE", "deadline-exceeded")),
    "the deadline has passed at zero without proof": (
        standing(now=facts.after(181), routes=ZERO), ("ESCALATE", "deadline-exceeded")),
    "long proved": (standing(now=facts.after(9999), record=PROVED), ("ROLL_BACK", "rollback-in-force")),
    "just proved": (standing(now=facts.after(9999), proof=facts.proof()), ("ROLL_BACK", "rollback-in-force")),
}  # fmt: skip


@pytest.mark.parametrize("sentence", STANDS)
def test_what_a_standing_rollback_still_needs(sentence: str) -> None:
    evidence, expected = STANDS[sentence]
    assert expected == says(deciding.stand(evidence))


def test_the_tables_say_every_reason_that_the_policy_can_give() -> None:
    elsewhere = {
        Reason.NO_RULE_MATCHES, Reason.HEARTBEAT, Reason.MALFORMED, Reason.TRUNCATED,  # at the door
        Reason.UNMATCHED, Reason.AMBIGUOUS, Reason.NAMES_STABLE,  # correlating
        Reason.PAUSED, Reason.OPEN, Reason.CANNOT_KNOW, Reason.NO_ROLLBACK, Reason.RECORDED,  # gates
        Reason.UNKNOWN_PROFILE, Reason.CHECK_FAILED, Reason.CHECK_RUNNING, Reason.CHECK_UNDECIDED, Reason.SOAKING,
        Reason.APPROVAL_MISSING, Reason.APPROVAL_OF_ANOTHER_REVISION, Reason.APPROVAL_EXPIRED, Reason.APPROVAL_USED,
        Reason.APPROVED, Reason.WEIGHT_IS_NO_STEP,  # and those of tests/unit/test_opening.py
    }  # fmt: skip
    tables = [expected for *_, expected in JUDGED.values()]
    tables += [expected for _, expected in (*ACCEPTED.values(), *STANDS.values())]
    assert {reason for _, reason in tables} == {reason.value for reason in set(Reason) - elsewhere}
    assert {verdict for verdict, _ in tables} == {verdict.value for verdict in Verdict}


def test_the_missed_deadline_says_what_is_missing() -> None:
    late = facts.after(181)
    details = [
        deciding.stand(standing(now=late)).detail,
        deciding.stand(standing(now=late, routes=ZERO)).detail,
        deciding.stand(standing(now=late, routes=(), routes_known=False, canary=facts.canary(provider="nginx"))).detail,
    ]
    assert details == [
        "not proved at 0 after 120 s (deadline 120 s): still above 0: VirtualService shop/podinfo at 10%",
        "not proved at 0 after 120 s (deadline 120 s): routes are at 0, but no proof that traffic has stopped",
        (
            "not proved at 0 after 120 s (deadline 120 s): the routes of provider nginx cannot be written; only the "
            "rollback hook acts"
        ),
    ]


# -- for any world

seconds = st.integers(-200, 400)
revisions = st.sampled_from(["", "rev1", "rev2", "rev3"])
weights = st.sampled_from([0, 5, 50, 100])
canaries = st.builds(
    facts.canary,
    st.sampled_from(CanaryPhase),
    revision=revisions,
    analysis_began=st.none() | seconds.map(facts.after),
    status_weight=weights,
    deleting=st.booleans(),
    paused=st.booleans(),
    alert_pauses=st.lists(
        st.builds(facts.pause, st.sampled_from(["w1", "w2"]), seconds, revisions), max_size=2, unique=True
    ).map(tuple),
)
phases = st.sampled_from(RollbackPhase)
records = st.builds(
    facts.record,
    phases,
    revision=revisions,
    name=st.sampled_from(["podinfo-rev2", "podinfo-rev1"]),
    signal=st.none() | st.just(facts.record().signal),
    timeline=st.builds(
        Timeline,
        started_at=st.none() | seconds.map(facts.after),
        zeroed_at=st.none() | seconds.map(facts.after),
        proved_at=st.none() | seconds.map(facts.after),
        escalated_at=st.none() | seconds.map(facts.after),
    ),
)
intents = st.builds(facts.intent, revision=revisions, dry_run=st.booleans(), received_at=seconds.map(facts.after))
worlds = st.builds(
    facts.evidence,
    now=seconds.map(facts.after),
    canary=st.none() | canaries,
    workload=st.none() | st.builds(facts.workload, labels=st.sampled_from([{}, {"version": "v2"}])),
    routes=st.lists(weights.map(facts.route), max_size=2).map(tuple),
    routes_known=st.booleans(),
    records=st.lists(records, max_size=2).map(tuple),
    intent=st.none() | intents,
    record=st.none() | records,
    zero_since=st.none() | seconds.map(facts.after),
    proof=st.none() | st.builds(facts.proof, seconds),
    holds=st.integers(0, 5),
    resolved=st.frozensets(st.tuples(st.sampled_from(["w1", "w2"]), seconds.map(facts.after)), max_size=2),
    write_refused=st.sampled_from(["", "denied"]),
    rehearsing=st.booleans(),
    limits=st.just(Limits()),
)
rules = st.sampled_from([facts.ROLLBACK, facts.PAUSE, facts.IGNORE])
alerts = st.builds(
    lambda firing, at, fingerprint, labels: facts.alert(firing=firing, at=at, fingerprint=fingerprint, **labels),
    st.booleans(),
    seconds,
    st.sampled_from(["a790beef2dcf050a", "w1", "w2"]),
    st.dictionaries(st.sampled_from(["version", "destination_version"]), st.sampled_from(["v1", "v2", "unknown", ""])),
)


@given(worlds, alerts, rules)
def test_every_world_has_a_decision(world: Evidence, alert: Alert, rule: AlertRule) -> None:
    given_ = [deciding.judge(world, alert, rule, LABELS), deciding.accept(world), deciding.stand(world)]
    assert [type(decision) for decision in given_] == [Decision] * 3
    assert given_ == [deciding.judge(world, alert, rule, LABELS), deciding.accept(world), deciding.stand(world)]


@given(worlds, alerts, rules)
def test_no_rollback_begins_without_a_fresh_firing_alert_whose_rule_says_so(
    world: Evidence, alert: Alert, rule: AlertRule
) -> None:
    decision = deciding.judge(world, alert, rule, LABELS)
    if decision.verdict not in {Verdict.ROLL_BACK, Verdict.ESCALATE}:
        return
    canary = world.canary
    assert canary is not None
    assert (alert.firing, rule.act) == (True, Act.ROLLBACK)
    assert canary.under_analysis or canary.phase in PRIMARY_CHANGING | {CanaryPhase.FAILED}
    tolerated = canary.analysis_began is None or canary.phase is CanaryPhase.FAILED or (
        (alert.starts_at - canary.analysis_began).total_seconds() >= -world.limits.clock_tolerance
    )  # fmt: skip
    assert tolerated
    if world.workload is not None and world.workload.labels:
        assert "v1" not in {alert.labels.get("version"), alert.labels.get("destination_version")}


@given(worlds, alerts)
def test_a_rollback_names_the_revision_it_is_for_or_nothing_is_moved(world: Evidence, alert: Alert) -> None:
    decision = deciding.judge(world, alert, facts.ROLLBACK, LABELS)
    if decision.reason is Reason.ALREADY_ROLLING_BACK:
        assert world.intent is not None
        assert world.canary is not None
        assert world.intent.revision == world.canary.revision
    if world.intent is not None and (world.canary is None or world.canary.revision != world.intent.revision):
        assert deciding.stand(world).verdict is Verdict.IGNORE


def rollback_begins(world: Evidence, order: tuple[tuple[Alert, AlertRule], ...]) -> bool:
    """As the workflow does it: ends that were seen are remembered, the first rollback stands."""
    for alert, rule in order:
        decision = deciding.judge(world, alert, rule, LABELS)
        if not alert.firing:
            world = dataclasses.replace(world, resolved=world.resolved | {alert.key})
        if decision.verdict is Verdict.ROLL_BACK and decision.reason is Reason.ALERT_FIRES:
            return True
    return False


@given(worlds, st.lists(st.tuples(alerts, rules), max_size=3))
def test_neither_order_nor_repetition_changes_whether_a_rollback_begins(
    world: Evidence, arrived: list[tuple[Alert, AlertRule]]
) -> None:
    expected = rollback_begins(world, tuple(arrived))
    for order in itertools.permutations(arrived):
        assert rollback_begins(world, order) == expected
        assert rollback_begins(world, order + order) == expected


@given(worlds, alerts)
def test_one_more_critical_alert_never_calls_a_rollback_off(world: Evidence, alert: Alert) -> None:
    in_force = deciding.stand(world)
    after_it = dataclasses.replace(world, resolved=world.resolved | {alert.key})
    assert deciding.stand(after_it) == in_force
    judged = deciding.judge(world, alert, facts.ROLLBACK, LABELS)
    assert judged.verdict not in {Verdict.RESUME, Verdict.PAUSE}


@given(worlds, alerts, rules)
def test_no_traffic_is_moved_while_it_would_hurt(world: Evidence, alert: Alert, rule: AlertRule) -> None:
    canary = world.canary
    if canary is None or not (canary.phase in PRIMARY_CHANGING or canary.promotion_broke):
        return
    intent = world.intent or facts.intent(revision=canary.revision)
    world = dataclasses.replace(world, intent=intent)
    for decision in (deciding.judge(world, alert, rule, LABELS), deciding.accept(world), deciding.stand(world)):
        assert not planning.moves_traffic(intent, decision)
        assert decision.verdict is not Verdict.ESCALATE or decision.reason in HANDS_OFF
