"""The laws of the house, held over all the evidence that there can be: pure, and therefore by the thousand."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from daemon.model.canary import PRIMARY_CHANGING, Canary, CanaryPhase, CanaryRef, Workload
from daemon.model.decision import ENDINGS, HANDS_OFF, Evidence, Intent, Proof, Reason, Verdict
from daemon.model.plan import AmendRecord, OpenRecord, ZeroRoute
from daemon.model.rollback import FINISHED, Rollback, RollbackPhase, Timeline, Trigger
from daemon.model.route import PatchOperation, PathShare, RoutePatch, RouteRef, RouteView, WeightChange
from daemon.model.rules import Act, AlertRule, LabelNames, Matcher
from daemon.model.signal import Alert
from daemon.policy import checks, deciding, naming, planning

NOON = datetime.datetime(2026, 11, 23, 12, tzinfo=datetime.UTC)
REF = CanaryRef("shop", "podinfo")
ROLLBACK = AlertRule((Matcher.parse('severity="critical"'),), Act.ROLLBACK)
PAUSE = AlertRule((Matcher.parse('severity="warning"'),), Act.PAUSE)
LABELS = LabelNames()

ACTIVE = (CanaryPhase.PROGRESSING, CanaryPhase.WAITING, CanaryPhase.WAITING_PROMOTION, CanaryPhase.FAILED)
PATIENT = settings(max_examples=120, suppress_health_check=[HealthCheck.filter_too_much], deadline=None)

REVISIONS = st.sampled_from(["a", "b"])
SECONDS = st.integers(-600, 600)


def at(seconds: float) -> datetime.datetime:
    return NOON + datetime.timedelta(seconds=seconds)


def view(weight: int) -> RouteView:
    """A route that gives the canary so many percent, and the write that ends it."""
    ref = RouteRef("VirtualService", "shop", "podinfo")
    patch = RoutePatch(
        ref,
        (PatchOperation("replace", "/spec/http/0/route/1/weight", 0),),
        (WeightChange(ref, "http[0]", weight, 0),),
        (),
    )
    return RouteView(ref, (PathShare("http[0]", weight / 100, weighted=True),), patch if weight else None)


@st.composite
def canaries(draw: st.DrawFn, phases: Sequence[CanaryPhase] = tuple(CanaryPhase)) -> Canary:
    return Canary(
        ref=REF,
        uid="1",
        phase=draw(st.sampled_from(list(phases))),
        revision=draw(REVISIONS),
        promoted_revision="z",
        analysis_began=draw(st.none() | SECONDS.map(at)),
        status_weight=draw(st.sampled_from([0, 10, 100])),
        workload="podinfo",
        workload_kind="Deployment",
        service="podinfo",
        provider=draw(st.sampled_from(["", "istio", "contour"])),
        suspended=draw(st.booleans()),
        deleting=draw(st.booleans()),
        paused=draw(st.booleans()),
        alert_pauses=(),
        resource_version="1",
    )


@st.composite
def intents(draw: st.DrawFn) -> Intent:
    revision = draw(REVISIONS)
    received = draw(SECONDS.map(at))
    return Intent(
        canary=REF,
        revision=revision,
        trigger=draw(st.sampled_from(list(Trigger))),
        reason="because",
        requested_by="somebody",
        signal=None,
        dry_run=draw(st.booleans()),
        received_at=received,
        decided_at=received,
        record_name=naming.record_name(REF, revision),
    )


def record_of(intent: Intent, phase: RollbackPhase, timeline: Timeline) -> Rollback:
    return Rollback(
        namespace="shop",
        name=intent.record_name,
        uid="2",
        resource_version="1",
        created_at=intent.received_at,
        canary=REF,
        revision=intent.revision,
        trigger=intent.trigger,
        reason=intent.reason,
        requested_by=intent.requested_by,
        signal=None,
        dry_run=intent.dry_run,
        phase=phase,
        timeline=timeline,
    )


@st.composite
def evidences(
    draw: st.DrawFn, *, standing: bool = False, recorded: bool = False, phases: Sequence[CanaryPhase] = ()
) -> Evidence:
    """``standing``: with a canary and an intent; ``recorded``: and a record; ``phases``: a canary in one of these."""
    canary = draw(canaries(phases)) if phases else draw(canaries() if standing else st.none() | canaries())
    intent = draw(intents() if standing or recorded else st.none() | intents())
    record = None
    if intent is not None and (recorded or draw(st.booleans())):
        moments = st.none() | SECONDS.map(at)
        timeline = Timeline(started_at=draw(moments), zeroed_at=draw(moments), proved_at=draw(moments))
        record = record_of(intent, draw(st.sampled_from(list(RollbackPhase))), timeline)
    weights: Sequence[int] = draw(st.lists(st.sampled_from([0, 10, 100]), max_size=3))
    at_zero = not any(weights)
    return Evidence(
        now=NOON,
        canary=canary,
        workload=draw(st.none() | st.just(Workload("shop", "podinfo", {"version": "v2"}, ("podinfo:v2",), 2, 2))),
        routes=tuple(view(weight) for weight in weights),
        routes_known=draw(st.booleans()),
        records=(record,) if record else (),
        intent=intent,
        record=record,
        zero_since=draw(st.none() | SECONDS.map(at)) if at_zero else None,
        proof=draw(st.none() | st.just(Proof(NOON, ("seen",)))) if at_zero else None,
        holds=draw(st.integers(0, 5)),
        write_refused=draw(st.sampled_from(["", "denied"])),
    )


@st.composite
def alerts(draw: st.DrawFn) -> Alert:
    firing = draw(st.booleans())
    return Alert(
        fingerprint=draw(st.sampled_from(["f1", "f2"])),
        firing=firing,
        starts_at=draw(SECONDS.map(at)),
        ends_at=None if firing else NOON,
        labels={"alertname": "X", **draw(st.sampled_from([{}, {"version": "v1"}, {"version": "v2"}]))},
        annotations={},
    )


@given(evidences(), alerts(), st.sampled_from([ROLLBACK, PAUSE]))
def test_every_evidence_gets_a_decision_with_a_reason(evidence: Evidence, alert: Alert, rule: AlertRule) -> None:
    for decision in (
        deciding.judge(evidence, alert, rule, LABELS),
        deciding.accept(evidence),
        deciding.stand(evidence),
    ):
        assert isinstance(decision.verdict, Verdict)
        assert isinstance(decision.reason, Reason)


@given(evidences(phases=ACTIVE), alerts(), st.sampled_from([ROLLBACK, PAUSE]))
@PATIENT
def test_only_a_fresh_firing_alert_whose_rule_says_so_rolls_back(
    evidence: Evidence, alert: Alert, rule: AlertRule
) -> None:
    decision = deciding.judge(evidence, alert, rule, LABELS)
    assume(decision.verdict is Verdict.ROLL_BACK)

    canary = evidence.canary
    assert canary is not None
    assert alert.firing
    assert rule.act is Act.ROLLBACK
    assert canary.phase not in PRIMARY_CHANGING
    assert not canary.promotion_broke
    if canary.analysis_began is not None and canary.phase is not CanaryPhase.FAILED:
        assert alert.starts_at >= canary.analysis_began - datetime.timedelta(seconds=evidence.limits.clock_tolerance)
    if evidence.workload is not None:
        assert alert.labels.get("version", "v2") == "v2"


@given(evidences(standing=True, phases=[*PRIMARY_CHANGING, CanaryPhase.FAILED]))
@PATIENT
def test_no_traffic_is_moved_while_the_primary_changes_or_its_promotion_broke(evidence: Evidence) -> None:
    canary = evidence.canary
    assume(canary is not None and (canary.phase in PRIMARY_CHANGING or canary.promotion_broke))
    for decision in (deciding.stand(evidence), deciding.accept(evidence)):
        steps = planning.plan(evidence, decision).steps

        assert not [step for step in steps if isinstance(step, ZeroRoute)]
        assert decision.reason in HANDS_OFF | ENDINGS


@given(evidences(standing=True))
@PATIENT
def test_a_rollback_of_another_revision_moves_nothing_and_ends(evidence: Evidence) -> None:
    assume(evidence.intent is not None and evidence.canary is not None)
    assert evidence.intent is not None
    assert evidence.canary is not None
    assume(evidence.intent.revision != evidence.canary.revision)
    decision = deciding.stand(evidence)

    assert (decision.verdict, decision.reason) == (Verdict.IGNORE, Reason.NEW_REVISION_BEGAN)
    assert not [step for step in planning.plan(evidence, decision).steps if isinstance(step, ZeroRoute)]


@given(evidences(standing=True, phases=ACTIVE))
@PATIENT
def test_while_it_stands_every_raised_route_is_written_and_the_record_waits_for_none(evidence: Evidence) -> None:
    decision = deciding.stand(evidence)
    intent = evidence.intent
    assume(intent is not None and not intent.dry_run and decision.verdict in {Verdict.ROLL_BACK, Verdict.ESCALATE})
    assume(decision.reason not in HANDS_OFF)
    steps = planning.plan(evidence, decision).steps

    raised = [route for route in evidence.routes if not route.at_zero]
    assert len([step for step in steps if isinstance(step, ZeroRoute)]) == len(raised)
    assert [step for step in steps if isinstance(step, OpenRecord)] if evidence.record is None else True


@given(evidences(recorded=True))
@PATIENT
def test_a_finished_record_plans_nothing_about_itself(evidence: Evidence) -> None:
    assume(evidence.record is not None and evidence.record.phase in FINISHED)
    for decision in (deciding.stand(evidence), deciding.accept(evidence)):
        steps = planning.plan(evidence, decision).steps

        assert not [step for step in steps if isinstance(step, AmendRecord | OpenRecord)]


@given(evidences(standing=True, recorded=True))
@PATIENT
def test_what_was_amended_is_not_amended_again(evidence: Evidence) -> None:
    decision = deciding.stand(evidence)
    amendments = [step.amendment for step in planning.plan(evidence, decision).steps if isinstance(step, AmendRecord)]
    assume(amendments and evidence.record)
    assert evidence.record is not None
    done, record = amendments[0], evidence.record
    merged = {
        field.name: getattr(done.timeline, field.name) or getattr(record.timeline, field.name)
        for field in dataclasses.fields(Timeline)
    }
    written = dataclasses.replace(
        record,
        phase=done.phase or record.phase,
        timeline=Timeline(**merged),
        holds=record.holds if done.holds is None else done.holds,
        weights=record.weights if done.weights is None else done.weights,
        originals=record.originals if done.originals is None else done.originals,
        conditions=record.conditions if done.conditions is None else done.conditions,
    )
    after = dataclasses.replace(evidence, record=written, records=(written,))

    assert not [step for step in planning.plan(after, deciding.stand(after)).steps if isinstance(step, AmendRecord)]


@given(evidences(), st.lists(alerts(), min_size=1, max_size=4))
@settings(max_examples=80, deadline=None)
def test_no_order_of_alerts_and_no_further_alert_calls_a_rollback_off(evidence: Evidence, several: list[Alert]) -> None:
    def begins(order: Sequence[Alert]) -> bool:
        return any(deciding.judge(evidence, alert, ROLLBACK, LABELS).verdict is Verdict.ROLL_BACK for alert in order)

    assert begins(several) == begins(several[::-1])
    assert begins(several) >= begins(several[:-1])


@given(st.integers(1, 400), st.text("abcdef0123456789", max_size=12), st.integers(1, 3))
def test_a_record_can_always_be_named_and_the_next_name_is_free(length: int, revision: str, ordinal: int) -> None:
    ref = CanaryRef("shop", "c" * length)

    assert len(naming.record_name(ref, revision, ordinal)) <= naming.LONGEST
    assert naming.record_name(ref, revision, 1) != naming.record_name(ref, revision, 2)


def test_an_image_says_its_tag_or_its_digest() -> None:
    images = ("app", "app:v4", "repo:5000/app", "repo:5000/app:v4", "app@sha256:12", "repo:5000/a/b:v4@sha256:12")

    assert [checks.tag(image) for image in images] == ["", "v4", "", "v4", "sha256:12", "sha256:12"]
