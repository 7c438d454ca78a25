"""What is still missing, as steps: nothing twice, nothing after the end, nothing while it would hurt."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from daemon.model.canary import PRIMARY_CHANGING, CanaryPhase
from daemon.model.decision import Decision, Evidence, Reason, Verdict
from daemon.model.plan import AmendRecord, OpenGate, OpenRecord, Plan, ZeroRoute
from daemon.model.rollback import FINISHED, Amendment, Milestone, Rollback, RollbackPhase, Timeline
from daemon.model.route import Original, RouteRef
from daemon.policy import deciding, planning
from tests.unit import facts
from tests.unit.test_deciding import worlds

HELD = Decision(Verdict.ROLL_BACK, Reason.ROLLBACK_IN_FORCE)
OTHER = RouteRef("VirtualService", "shop", "podinfo-gateway")


def amended(record: Rollback, amendment: Amendment) -> Rollback:
    """The record as the API server has it after that write."""
    before, written = record.timeline, amendment.timeline
    moments = {
        field.name: getattr(written, field.name) or getattr(before, field.name)
        for field in dataclasses.fields(Timeline)
    }
    plain = {
        name: given
        for name in ("phase", "revision", "checksum", "holds", "weights", "originals", "proof", "conditions", "message")
        if (given := getattr(amendment, name)) is not None
    }
    return dataclasses.replace(record, timeline=Timeline(**moments), **plain)


def applied(world: Evidence, plan: Plan) -> Evidence:
    """The world when every step has been carried out and read back."""
    for step in plan.steps:
        match step:
            case ZeroRoute(patch):
                routes = tuple(facts.route(0, ref=one.ref) if one.ref == patch.route else one for one in world.routes)
                world = dataclasses.replace(world, routes=routes)
            case OpenRecord(new):
                record = facts.record(
                    name=new.name, revision=new.revision, weights=new.weights, originals=new.originals,
                    dry_run=new.dry_run, checksum=new.checksum,
                    timeline=Timeline(received_at=new.started_at, decided_at=new.decided_at),
                )  # fmt: skip
                world = dataclasses.replace(world, record=record)
            case AmendRecord(amendment=amendment):
                assert world.record is not None
                world = dataclasses.replace(world, record=amended(world.record, amendment))
    return world


def steps(world: Evidence) -> Plan:
    return planning.plan(world, deciding.stand(world))


def test_a_rollback_that_begins_writes_every_route_and_the_record_at_once() -> None:
    routes = (facts.route(10), facts.route(50, ref=OTHER), facts.route(0))
    plan = steps(facts.evidence(intent=facts.intent(), routes=routes))

    assert [type(step) for step in plan.steps] == [ZeroRoute, ZeroRoute, OpenRecord]
    opened = plan.steps[-1]
    assert isinstance(opened, OpenRecord)
    assert [(str(one.route), one.before, one.after) for one in opened.record.weights] == [
        ("VirtualService shop/podinfo", 10, 0), ("VirtualService shop/podinfo-gateway", 50, 0),
    ]  # fmt: skip
    assert (opened.record.name, opened.record.started_at) == ("podinfo-rev2", facts.after(61))


def test_without_an_intent_nothing_is_planned() -> None:
    assert planning.plan(facts.evidence(), HELD) == Plan()


def test_a_rehearsal_opens_its_record_and_writes_no_route() -> None:
    world = facts.evidence(intent=facts.intent(dry_run=True))
    plan = steps(world)
    assert [type(step) for step in plan.steps] == [OpenRecord]

    ended = steps(applied(world, plan))
    (step,) = ended.steps
    assert isinstance(step, AmendRecord)
    assert (step.amendment.phase, step.amendment.message) == (
        RollbackPhase.DRY_RUN, "dry run; would write VirtualService shop/podinfo http[0]: 10% -> 0%",
    )  # fmt: skip


def test_an_end_that_comes_before_the_record_leaves_none_behind() -> None:
    assert steps(facts.evidence(intent=facts.intent(), canary=None)) == Plan()


def test_zero_and_proof_are_written_down_with_their_times_and_seconds() -> None:
    world = facts.evidence(
        intent=facts.intent(), record=facts.record(), routes=(facts.route(0),), zero_since=facts.after(61.25),
        proof=facts.proof(66), now=facts.after(67),
    )  # fmt: skip
    (step,) = steps(world).steps
    assert isinstance(step, AmendRecord)
    amendment = step.amendment

    assert (amendment.phase, amendment.seconds_to_zero) == (RollbackPhase.PROVED, 0.25)
    assert (amendment.timeline.zeroed_at, amendment.timeline.proved_at) == (facts.after(61.25), facts.after(66))
    assert [one.type for one in amendment.conditions or ()] == [Milestone.ZEROED, Milestone.PROVED]
    assert amendment.proof == ("routes read back at 0 for 5.0 s",)


def test_a_clock_that_jumped_back_makes_no_negative_seconds() -> None:
    world = facts.evidence(
        intent=facts.intent(), record=facts.record(), routes=(facts.route(0),), zero_since=facts.after(50)
    )
    (step,) = steps(world).steps
    assert isinstance(step, AmendRecord)
    assert step.amendment.seconds_to_zero == 0.0


def test_an_escalated_rollback_goes_on_and_can_still_be_proved() -> None:
    late = facts.evidence(intent=facts.intent(), record=facts.record(), now=facts.after(200))
    plan = steps(late)
    assert [type(step) for step in plan.steps] == [ZeroRoute, AmendRecord]
    escalated = applied(late, plan)
    assert escalated.record is not None
    assert escalated.record.phase is RollbackPhase.ESCALATED

    proved = dataclasses.replace(escalated, zero_since=facts.after(201), proof=facts.proof(206))
    ended = applied(proved, steps(proved))
    assert ended.record is not None
    assert ended.record.phase is RollbackPhase.PROVED
    assert ended.record.timeline.escalated_at == facts.after(200)


def test_holds_are_counted_when_they_double_and_with_every_end() -> None:
    counted = [
        step.amendment.holds
        for holds in range(1, 17)
        for step in steps(
            facts.evidence(intent=facts.intent(), record=facts.record(holds=holds - 1), holds=holds)
        ).steps
        if isinstance(step, AmendRecord)
    ]
    assert counted == [1, 2, 4, 8, 16]


def test_originals_of_the_first_write_are_never_overwritten_by_what_we_wrote_ourselves() -> None:
    first = Original(facts.ROUTE, "http", 0, "", "destination", 0, {"host": "podinfo-canary"}, {"host": "primary"})
    later = dataclasses.replace(first, value={"host": "primary"})
    intent = planning.remember(facts.intent(), facts.evidence(routes=(facts.route(10, originals=(first,)),)))
    again = planning.remember(intent, facts.evidence(routes=(facts.route(99, originals=(later,)),)))

    assert again.originals == (first,)
    assert [one.before for one in again.weights] == [10]


def test_pauses_of_revisions_that_are_gone_are_forgotten() -> None:
    pauses = (facts.pause("w1"), facts.pause("old", revision="rev1"))
    found = planning.gate_steps(facts.evidence(canary=facts.canary(alert_pauses=pauses)))
    assert found == (OpenGate(facts.REF, ("old",)),)
    assert planning.gate_steps(facts.evidence()) == ()
    assert planning.gate_steps(facts.evidence(canary=None)) == ()


def test_what_became_stable_before_its_traffic_was_taken_failed_and_what_was_at_zero_completed() -> None:
    promoted = facts.evidence(intent=facts.intent(), record=facts.record(), canary=facts.canary(CanaryPhase.SUCCEEDED))
    zeroed = facts.record(timeline=Timeline(started_at=facts.after(61), zeroed_at=facts.after(62)))
    superseded = facts.evidence(intent=facts.intent(), record=zeroed, canary=facts.canary(revision="rev3"))
    never_zero = dataclasses.replace(superseded, record=facts.record())
    ends = [applied(world, steps(world)).record for world in (promoted, superseded, never_zero)]
    assert [end.phase if end else None for end in ends] == [
        RollbackPhase.FAILED, RollbackPhase.COMPLETED, RollbackPhase.FAILED,
    ]  # fmt: skip


# -- for any world


@given(worlds)
def test_a_plan_that_has_been_carried_out_leaves_nothing_to_do(world: Evidence) -> None:
    done = world
    for _ in range(3):  # begin, and end, and no more
        done = applied(done, steps(done))
    assert steps(done) == Plan()


@given(worlds, st.data())
def test_cut_anywhere_and_planned_again_the_rest_is_what_remained(world: Evidence, data: st.DataObject) -> None:
    plan = steps(world)
    carried_out = tuple(step for step in plan.steps if data.draw(st.booleans()))
    once = applied(world, Plan(carried_out))
    left = steps(once)
    zeroes = {step.patch.route for step in left.steps if isinstance(step, ZeroRoute)}
    assert zeroes == {step.patch.route for step in plan.steps if isinstance(step, ZeroRoute)} - {
        step.patch.route for step in carried_out if isinstance(step, ZeroRoute)
    }


@given(worlds, st.sampled_from(sorted(FINISHED)))
def test_a_finished_record_plans_nothing_for_itself(world: Evidence, phase: RollbackPhase) -> None:
    finished = dataclasses.replace(world, record=facts.record(phase))
    plan = steps(finished)
    assert not [step for step in plan.steps if isinstance(step, AmendRecord | OpenRecord)]


@given(worlds)
def test_no_route_is_written_while_the_primary_changes_or_for_another_revision(world: Evidence) -> None:
    canary, intent = world.canary, world.intent
    moved = [step for step in steps(world).steps if isinstance(step, ZeroRoute)]
    if moved:
        assert canary is not None
        assert intent is not None
        assert canary.phase not in PRIMARY_CHANGING
        assert not canary.promotion_broke
        assert intent.revision == canary.revision
        assert not intent.dry_run
