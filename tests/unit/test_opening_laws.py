"""The laws of the gates, for any world: what never opens one, what an answer may look like, and that knowing less
opens nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.model.canary import AlertPause
from daemon.model.checking import CheckResult, CheckState, Finding
from daemon.model.decision import Reason
from daemon.model.signal import HookType
from daemon.model.stages import Profile, Promotion, Stage
from daemon.policy import approving, opening, staging
from daemon.policy.answering import Answer, GateEvidence
from tests.unit import facts, revisions

Gate = Callable[[GateEvidence], Answer]
RAISING: tuple[Gate, ...] = (
    opening.confirm_rollout,
    opening.pre_rollout,
    opening.traffic_increase,
    opening.promotion,
)
STAGED: tuple[Gate, ...] = (opening.traffic_increase, opening.promotion)
EVERY: tuple[Gate, ...] = (*RAISING, opening.rollout)

NAMES = ("rev2", "rev2", "rev2", "rev1", "")
WELL = revisions.record(acts=revisions.approved_at(10))

moments = st.integers(-100, 20_000).map(facts.after)
approvals = st.none() | st.builds(
    revisions.approval,
    revision=st.sampled_from(NAMES),
    by=st.sampled_from([("ann",), ("ann", "ben"), ()]),
    until=st.none() | moments,
    used=st.sampled_from([None, facts.BEGAN, facts.after(-3600)]),
)
advances = st.none() | st.builds(
    revisions.advance,
    to=st.sampled_from([0, 5, 24, 25, 50, 100]),
    revision=st.sampled_from(NAMES),
    by=st.sampled_from(["ann", "ann", ""]),
)
texts = st.text(max_size=200) | st.text(st.sampled_from("a \n\r\x85\u2028\tü\U0001f600"), min_size=900, max_size=3000)
findings = st.builds(Finding, st.sampled_from(CheckState), st.just("seen"))
states = findings | st.none()
records = st.builds(
    revisions.record,
    began=st.sampled_from([facts.BEGAN, None]),
    weights=st.lists(st.tuples(st.sampled_from([0, 5, 10, 25, 50]), st.integers(0, 9_000)), max_size=4).map(
        lambda seen: revisions.weights(*sorted(seen, key=lambda one: one[1]))
    ),
    acts=st.sampled_from([revisions.approved_at(10), revisions.approved_at(-20_000), revisions.record().acts]),
)
profiles = st.builds(
    Profile,
    stages=st.sampled_from([(), revisions.STAGES, (Stage(5, 0),), (Stage(25, 600),)]),
    promotion=st.builds(Promotion, approvals=st.integers(0, 2)),
)


CANARY: dict[str, st.SearchStrategy[Any]] = {
    "revision": st.sampled_from(["", "rev3"]),
    "paused": st.just(True),
    "alert_pauses": st.sampled_from([(facts.pause(),), (facts.pause(revision="rev1"),)]),
    "steps": st.sampled_from([(), (5.0, 25.0, 50.0)]),
    "hooks": st.sampled_from([frozenset(), frozenset({HookType.CONFIRM_TRAFFIC_INCREASE.value})]),
    "approval": approvals,
    "advance": advances,
}
WORLD: dict[str, st.SearchStrategy[Any]] = {
    "now": moments,
    "profile": profiles | st.none(),
    "record": records | st.none(),
    "weight": st.sampled_from([0.0, 5.0, 10.0, 25.0, None]),
    "rollback": st.sampled_from([None, "podinfo-rev2"]),
    "fresh": st.booleans(),
    "ours": st.booleans(),
    "results": st.lists(states, max_size=3).map(
        lambda found: tuple(
            CheckResult(f"check-{place}", finding, facts.after(0) if finding else None)
            for place, finding in enumerate(found)
        )
    ),
    "load": st.builds(revisions.result, st.sampled_from([*CheckState, None])),
}


@st.composite
def worlds(draw: st.DrawFn) -> GateEvidence:
    """All is well and approved but for a few things: so gates are open often enough to find one that should not be."""
    special = draw(st.sets(st.sampled_from([*CANARY, *WORLD]), max_size=4))
    canary = {"approval": revisions.approval()} | {name: draw(CANARY[name]) for name in CANARY if name in special}
    world = {name: draw(WORLD[name]) for name in WORLD if name in special}
    return revisions.evidence(canary=canary, **({"record": WELL} | world))


def all_passed(results: tuple[CheckResult, ...]) -> bool:
    return all(one.finding is not None and one.finding.state is CheckState.PASSED for one in results)


@settings(max_examples=300)
@given(worlds())
def test_no_gate_that_raises_traffic_opens_on_a_rollback_on_old_knowledge_or_on_what_has_not_passed(
    seen: GateEvidence,
) -> None:
    for gate in RAISING:
        if gate(seen).opened:
            assert seen.rollback is None, gate.__name__
            assert seen.fresh, gate.__name__
            assert seen.profile is not None, gate.__name__
            assert all_passed(seen.results), gate.__name__
            assert seen.ours or gate is opening.confirm_rollout, gate.__name__


@settings(max_examples=300)
@given(worlds())
def test_no_increase_while_it_is_paused_or_soaks_but_a_named_persons_for_this_very_revision(
    seen: GateEvidence,
) -> None:
    canary, profile = seen.canary, seen.profile
    for gate in STAGED:
        if not gate(seen).opened:
            continue
        assert profile is not None
        assert not canary.paused
        assert not [pause for pause in canary.alert_pauses if pause.revision == canary.revision]
        if not any(stage.soak for stage in profile.stages):
            continue
        assert seen.weight is not None
        if staging.stage_at(profile.stages, seen.weight) is None:
            continue  # below the first stage nothing is asked
        assert seen.record is not None
        soak = staging.soak(profile.stages, seen.record.weights, seen.weight, seen.now)
        assert soak is not None
        if soak.left > 0:
            advance = canary.advance
            assert advance is not None
            assert advance.by
            assert advance.revision == canary.revision != ""
            assert advance.to > seen.weight


@settings(max_examples=300)
@given(worlds())
def test_promotion_needs_all_that_an_increase_does_and_an_approval_of_this_very_revision(seen: GateEvidence) -> None:
    answer = opening.promotion(seen)
    if not answer.opened:
        return
    assert opening.traffic_increase(seen).opened
    profile, canary = seen.profile, seen.canary
    assert profile is not None
    if profile.promotion.approvals == 0:
        return
    judged = approving.judge(canary, seen.record, profile.promotion, seen.now, seen.clock_tolerance)
    assert judged.reason is answer.decision.reason is Reason.APPROVED
    assert canary.approval is not None
    assert canary.approval.revision == canary.revision != ""
    assert len(canary.approval.by) >= profile.promotion.approvals


@given(worlds())
def test_what_is_not_known_never_counts_against_a_canary_whose_increase_waits_for_it(seen: GateEvidence) -> None:
    answer = opening.rollout(seen)
    looked_at = (*seen.results, *([seen.load] if seen.load is not None and seen.load.finding is not None else []))
    failed = [one for one in looked_at if one.finding is not None and one.finding.state is CheckState.FAILED]
    if failed:
        assert (answer.opened, answer.decision.reason) == (False, Reason.CHECK_FAILED)
    elif HookType.CONFIRM_TRAFFIC_INCREASE in seen.canary.hooks:
        assert answer.opened
    else:
        assert answer.opened == (all_passed(looked_at) and seen.profile is not None)


LESS: dict[str, Callable[[GateEvidence], GateEvidence]] = {
    "the watch is stale": lambda seen: dataclasses.replace(seen, fresh=False),
    "the checksum is unknown": lambda seen: dataclasses.replace(seen, ours=False),
    "nobody knows the weight": lambda seen: dataclasses.replace(seen, weight=None),
    "the record is not there": lambda seen: dataclasses.replace(seen, record=None),
    "the profile is not there": lambda seen: dataclasses.replace(seen, profile=None),
    "no check has ended": lambda seen: dataclasses.replace(
        seen, results=tuple(dataclasses.replace(one, finding=None, at=None) for one in seen.results)
    ),
}


@given(worlds())
def test_knowing_less_opens_no_gate_that_is_closed(seen: GateEvidence) -> None:
    for gate in RAISING:
        if not gate(seen).opened:
            opened = [lost for lost, forget in LESS.items() if gate(forget(seen)).opened]
            assert opened == [], gate.__name__


@settings(max_examples=300)
@given(worlds())
def test_no_check_is_asked_only_where_none_could_open_the_gate(seen: GateEvidence) -> None:
    without = dataclasses.replace(seen, results=())
    if opening.waits_for_soak(without):
        assert not opening.traffic_increase(seen).opened
        assert not opening.promotion(seen).opened
        assert not opening.traffic_increase(without).opened


@given(worlds(), texts, st.lists(texts, max_size=30), st.integers(0, 40))
def test_an_answer_is_one_line_that_fits_into_a_kibibyte_whatever_anybody_says(
    seen: GateEvidence, word: str, details: list[str], checks: int
) -> None:
    pauses = tuple(AlertPause(f"f{place}", facts.after(60), "rev2", word) for place in range(len(details)))
    states_ = list(CheckState)
    canary = dataclasses.replace(
        seen.canary,
        paused_by=word,
        paused_reason=word,
        profile=word,
        alert_pauses=pauses if seen.canary.alert_pauses else (),
        approval=revisions.approval(revision=word or "rev2", by=(word or "ann",)) if word[:1] > "m" else None,
        advance=revisions.advance(revision=word, to=5),
    )
    results = tuple(
        CheckResult(f"{place}-{'n' * 36}"[:40], Finding(states_[place % 3], detail), facts.after(0))
        for place, detail in enumerate(details)
    ) or tuple(CheckResult(f"{place}-{'n' * 36}", Finding(CheckState.PASSED, word), None) for place in range(checks))
    world = dataclasses.replace(seen, canary=canary, results=results, rollback=word if seen.rollback else None)
    for gate in EVERY:
        decision = gate(world).decision
        assert len(decision.detail.splitlines()) == 1, gate.__name__
        assert len(f"{decision.reason}: {decision.detail}\n".encode(errors="replace")) <= 1024, gate.__name__
