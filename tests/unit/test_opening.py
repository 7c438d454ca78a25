"""The gates read aloud: a sentence about the world, and what Flagger is told. The laws are beside, for any world."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest

from daemon.model.checking import CheckState
from daemon.model.decision import Reason
from daemon.model.stages import Profile, Promotion, Stage
from daemon.policy import answering, approving, opening, weights
from daemon.policy.answering import Answer, GateEvidence
from daemon.policy.opening import confirm_rollout, pre_rollout, promotion, rollout
from daemon.policy.opening import traffic_increase as increase
from tests.unit import facts, revisions
from tests.unit.revisions import PROFILE, SOAKED, evidence, result

Gate = Callable[[GateEvidence], Answer]
FAILED, UNDECIDED = result(CheckState.FAILED, "5% <= 1%"), result(CheckState.UNDECIDED, "cannot know: no answer")
RUNNING = result(None)
ALL_INCREASE_HOOKS: dict[str, Any] = {"hooks": frozenset({"confirm-traffic-increase", "confirm-promotion"})}
NO_INCREASE_HOOK: dict[str, Any] = {"hooks": frozenset({"rollout"})}
APPROVED: dict[str, Any] = {"canary": {"approval": revisions.approval()}}
EARLY = facts.after(1500)
"""Ten minutes into the half hour at 5%."""


def soaking(**changes: Any) -> GateEvidence:
    return evidence(now=EARLY, **changes)


TOLD: dict[str, tuple[Gate, GateEvidence, bool, Reason, str]] = {
    # -- confirm-rollout
    "nothing is configured for a new revision": (
        confirm_rollout, evidence(results=()), True, Reason.OPEN, "no rollback is in force"),
    "its acceptance has passed": (
        confirm_rollout, evidence(), True, Reason.OPEN, "passed: errors"),
    "its acceptance is under way for the first time": (
        confirm_rollout, evidence(results=(dataclasses.replace(RUNNING, began=facts.after(2670)),)), False,
        Reason.CHECK_RUNNING, "errors: running for 30 s"),
    "its acceptance waits for its turn": (
        confirm_rollout, evidence(results=(RUNNING,)), False, Reason.CHECK_RUNNING, "errors: running"),
    "its acceptance failed": (
        confirm_rollout, evidence(results=(FAILED,)), False, Reason.CHECK_FAILED, "errors: 5% <= 1%"),
    "what was asked did not answer": (
        confirm_rollout, evidence(results=(UNDECIDED,)), False, Reason.CHECK_UNDECIDED,
        "errors: cannot know: no answer"),
    "a failure is said before what still runs, and that before what nobody knows": (
        confirm_rollout, evidence(results=(UNDECIDED, RUNNING, FAILED)), False, Reason.CHECK_FAILED,
        "errors: 5% <= 1%"),
    "what still runs is said before what nobody knows": (
        confirm_rollout, evidence(results=(UNDECIDED, RUNNING)), False, Reason.CHECK_RUNNING, "errors: running"),
    "a new revision while a rollback is in force": (
        confirm_rollout, evidence(rollback="podinfo-rev2"), False, Reason.ROLLBACK_IN_FORCE,
        "Rollback podinfo-rev2 of revision rev2 is in force; to lift it: pullback release podinfo -n shop"),
    "a new revision while the watch is stale": (
        confirm_rollout, evidence(fresh=False), False, Reason.CANNOT_KNOW,
        "what is known of the canary is too old, or not complete yet, to raise traffic on"),
    "a new revision of a canary with a mistyped profile": (
        confirm_rollout, evidence(profile=None, canary={"profile": "paymnts"}), False, Reason.UNKNOWN_PROFILE,
        "annotation pullback.dev/profile names 'paymnts', which gates.profiles does not have"),
    "a new revision of a paused canary is scaled up, but gets no traffic": (
        confirm_rollout, evidence(canary={"paused": True}), True, Reason.OPEN, "passed: errors"),
    # -- pre-rollout
    "acceptable": (pre_rollout, evidence(), True, Reason.OPEN, "passed: errors"),
    "not acceptable": (pre_rollout, evidence(results=(FAILED,)), False, Reason.CHECK_FAILED, "errors: 5% <= 1%"),
    "acceptance of a checksum that nobody knows": (
        pre_rollout, evidence(ours=False), False, Reason.CANNOT_KNOW,
        "the hook's checksum is not known to be that of revision rev2"),
    "acceptance while a rollback is in force": (
        pre_rollout, evidence(rollback="podinfo-rev2"), False, Reason.ROLLBACK_IN_FORCE,
        "Rollback podinfo-rev2 of revision rev2 is in force; to lift it: pullback release podinfo -n shop"),
    # -- rollout
    "healthy": (rollout, evidence(), True, Reason.OPEN, "passed: errors"),
    "nothing to check": (rollout, evidence(results=()), True, Reason.OPEN, "nothing to check"),
    "unhealthy": (rollout, evidence(results=(FAILED,)), False, Reason.CHECK_FAILED, "errors: 5% <= 1%"),
    "nobody knows, and the next increase waits for it": (
        rollout, evidence(results=(UNDECIDED,)), True, Reason.CHECK_UNDECIDED, "errors: cannot know: no answer"),
    "a mistyped profile, and the next increase waits for it": (
        rollout, evidence(profile=None, canary={"profile": "x"}), True, Reason.UNKNOWN_PROFILE,
        "annotation pullback.dev/profile names 'x', which gates.profiles does not have"),
    "nobody knows, and no later gate is asked": (
        rollout, evidence(results=(UNDECIDED,), canary=NO_INCREASE_HOOK), False, Reason.CHECK_UNDECIDED,
        "errors: cannot know: no answer"),
    "healthy while a load runs": (
        rollout, evidence(load=result(None, name="hey", began=facts.after(2640))), True, Reason.OPEN,
        "passed: errors; load hey: running for 60 s"),
    "the load has failed": (
        rollout, evidence(load=dataclasses.replace(FAILED, name="hey")), False, Reason.CHECK_FAILED, "hey: 5% <= 1%"),
    # -- confirm-traffic-increase
    "the soak is over and the criteria hold": (increase, evidence(), True, Reason.OPEN, "passed: errors"),
    "no criteria": (increase, evidence(results=()), True, Reason.OPEN, "nothing speaks against it"),
    "the soak is not over": (
        increase, soaking(), False, Reason.SOAKING, "5% for 10 min of 30 min, 20 min left"),
    "a second is left of it": (
        increase, evidence(now=facts.after(2699)), False, Reason.SOAKING, "5% for 30 min of 30 min, 1.0 s left"),
    "somebody wrote a weight that is none of Flagger's steps": (
        increase, evidence(canary={"steps": (10.0, 25.0, 50.0), "steps_listed": True}), False, Reason.WEIGHT_IS_NO_STEP,
        ("5% is none of stepWeights (10, 25, 50), from there Flagger would go to 100%; set the weight to 0, and it "
         "climbs again")),
    "the last increase, and no hook that would ask for the approval": (
        increase, evidence(canary={"steps": (5.0,)}), False, Reason.APPROVAL_MISSING,
        "an approval is required, but no confirm-promotion hook of the Canary asks Pullback for it"),
    "a named person has said to go on to 25%": (
        increase, soaking(canary={"advance": revisions.advance(25)}), True, Reason.OPEN, "passed: errors"),
    "a named person has said to go on to 20%, which is no step": (
        increase, soaking(canary={"advance": revisions.advance(20)}), False, Reason.SOAKING,
        "5% for 10 min of 30 min, 20 min left"),
    "nobody in particular has said to go on": (
        increase, soaking(canary={"advance": revisions.advance(by="")}), False, Reason.SOAKING,
        "5% for 10 min of 30 min, 20 min left; advance-to is not heeded without pullback.dev/advance-by"),
    "it was said of another revision": (
        increase, soaking(canary={"advance": revisions.advance(revision="rev1")}), False, Reason.SOAKING,
        "5% for 10 min of 30 min, 20 min left; advance-to was for revision rev1"),
    "it was said, and is not bound to a revision yet": (
        increase, soaking(canary={"advance": revisions.advance(revision="")}), False, Reason.SOAKING,
        "5% for 10 min of 30 min, 20 min left"),
    "an advance skips a soak, not the criteria": (
        increase, soaking(canary={"advance": revisions.advance()}, results=(FAILED,)), False, Reason.CHECK_FAILED,
        "errors: 5% <= 1%"),
    "the record still says 0% while the routes say 5%": (
        increase, evidence(record=revisions.record(weights=revisions.weights((0, 0)))), False, Reason.CANNOT_KNOW,
        "the record has not come to 5% yet"),
    "there is no record": (
        increase, evidence(record=None), False, Reason.CANNOT_KNOW,
        "nothing is recorded of revision rev2 yet, so no soak can be counted"),
    "there is no record, and will be none": (
        increase, evidence(record=None, canary={"workload_kind": "DaemonSet"}), False, Reason.CANNOT_KNOW,
        "nothing is recorded of a DaemonSet, only Deployments are known here: no soak can be counted"),
    "nobody knows the weight": (
        increase, evidence(weight=None), False, Reason.CANNOT_KNOW,
        "nobody knows the weight on the routes, so this may be the increase that needs an approval"),
    "nobody knows the weight, and a hook asks for the approval": (
        increase, evidence(weight=None, canary=ALL_INCREASE_HOOKS), False, Reason.CANNOT_KNOW,
        "nobody knows the weight on the routes, so no soak can be counted"),
    "no soak is asked for, and nobody knows the weight": (
        increase, evidence(weight=None, canary=ALL_INCREASE_HOOKS, profile=Profile(stages=(Stage(5, 0),))), True,
        Reason.OPEN, "passed: errors"),
    "paused by a person who says nothing": (
        increase, evidence(canary={"paused": True}), False, Reason.PAUSED,
        "paused by a person (annotation pullback.dev/paused)"),
    "paused by a person who says why": (
        increase, evidence(canary={"paused": True, "paused_by": "ann", "paused_reason": "lunch"}), False,
        Reason.PAUSED, "paused by ann: lunch"),
    "an alert holds it": (
        increase, evidence(canary={"alert_pauses": (facts.pause(),)}), False, Reason.ALERT_PAUSES,
        "waiting for alerts to end: HighLatency since 07:01:00Z"),
    "an alert held the revision before": (
        increase, evidence(canary={"alert_pauses": (facts.pause(revision="rev1"),)}), True, Reason.OPEN,
        "passed: errors"),
    "the criteria fail over the soak": (
        increase, evidence(results=(FAILED,)), False, Reason.CHECK_FAILED, "errors: 5% <= 1%"),
    "what was seen two minutes ago says so": (
        increase, evidence(results=(dataclasses.replace(FAILED, at=facts.after(2580)),)), False, Reason.CHECK_FAILED,
        "errors: 5% <= 1% (seen 2 min ago)"),
    # -- confirm-promotion
    "nobody has approved": (
        promotion, evidence(), False, Reason.APPROVAL_MISSING,
        "approval of rev2 is not there: pullback approve podinfo -n shop --reason ..."),
    "approved": (promotion, evidence(**APPROVED), True, Reason.APPROVED, "revision rev2 approved by ann"),
    "nobody is asked": (
        promotion, evidence(profile=revisions.asking(Promotion(approvals=0))), True, Reason.OPEN, "passed: errors"),
    "approved another": (
        promotion, evidence(canary={"approval": revisions.approval(revision="rev1")}), False,
        Reason.APPROVAL_OF_ANOTHER_REVISION,
        "approved is rev1, to be promoted is rev2: pullback approve podinfo -n shop --reason ..."),
    "approved too long ago": (
        promotion, evidence(canary={"approval": revisions.approval(until=SOAKED)}), False, Reason.APPROVAL_EXPIRED,
        "it counted until 2026-11-23 07:45:00Z: pullback approve podinfo -n shop --reason ..."),
    "it has opened an earlier promotion": (
        promotion, evidence(canary={"approval": revisions.approval(used=facts.after(-3600))}), False,
        Reason.APPROVAL_USED,
        "this approval has opened an earlier promotion: pullback approve podinfo -n shop --reason ..."),
    "approved in the middle of a soak": (
        promotion, soaking(**APPROVED), False, Reason.SOAKING, "5% for 10 min of 30 min, 20 min left"),
    "approved, and then the criteria fail": (
        promotion, evidence(**APPROVED, results=(FAILED,)), False, Reason.CHECK_FAILED, "errors: 5% <= 1%"),
    "approved while a rollback is in force": (
        promotion, evidence(**APPROVED, rollback="podinfo-rev2"), False, Reason.ROLLBACK_IN_FORCE,
        "Rollback podinfo-rev2 of revision rev2 is in force; to lift it: pullback release podinfo -n shop"),
}  # fmt: skip


@pytest.mark.parametrize("sentence", TOLD)
def test_a_gate_says_whether_it_is_open_and_why(sentence: str) -> None:
    gate, seen, opened, reason, detail = TOLD[sentence]
    answer = gate(seen)
    assert (answer.opened, answer.decision.reason, answer.decision.detail) == (opened, reason, detail)


def test_every_reason_that_a_gate_can_give_is_in_the_table() -> None:
    source = "".join(inspect.getsource(module) for module in (opening, weights, answering, approving))
    assert {Reason[name] for name in re.findall(r"\bReason\.([A-Z_]+)", source)} == {told[3] for told in TOLD.values()}


def test_every_failed_check_is_named_however_much_each_has_to_say() -> None:
    results = tuple(result(CheckState.FAILED, f"{'long ' * 500}", name=f"check-{number}") for number in range(20))
    detail = increase(evidence(results=results)).decision.detail
    assert [name for name in (one.name for one in results) if f"{name}: long" not in detail] == []


@pytest.mark.parametrize("letter", ["x", "ü", "漢", "🔥"])
@pytest.mark.parametrize("count", [2, 3, 20])
def test_they_are_named_whatever_letters_the_others_speak_in(letter: str, count: int) -> None:
    results = tuple(result(CheckState.FAILED, letter * 300, name=f"check-{number}") for number in range(count))
    decision = increase(evidence(results=results)).decision
    answer = f"{decision.reason}: {decision.detail}".encode()[:1023].decode()
    assert [f"{one.name}: {letter}" in answer for one in results] == [True] * count


def test_of_more_than_a_line_can_hold_the_first_are_named_and_the_rest_is_counted() -> None:
    results = tuple(result(CheckState.FAILED, "no", name=f"{number:02}-{'n' * 37}") for number in range(32))
    answer = increase(evidence(results=results)).decision.detail
    assert [one.name in answer for one in results] == [True] * 20 + [False] * 12
    assert answer.endswith(" and 12 more")


@pytest.mark.parametrize("gate", [pre_rollout, rollout, increase])
def test_a_gate_that_opens_on_what_was_seen_a_while_ago_says_so(gate: Gate) -> None:
    results = result(at=facts.after(2700 - 61)), result(name="latency", at=facts.after(2700 - 59))
    assert gate(evidence(results=results)).decision.detail == "passed: errors (seen 61 s ago), latency"


def test_a_long_detail_does_not_hide_how_old_it_is() -> None:
    old = result(CheckState.FAILED, "long " * 500, at=facts.after(2400))
    assert increase(evidence(results=(old,))).decision.detail.endswith("(seen 5 min ago)")


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({}, 1800.0),
        ({"now": facts.after(910)}, 60.0),
        ({"record": None}, 60.0),
        ({"weight": None}, 60.0),
        ({"weight": 25.0}, 60.0),
        ({"profile": Profile()}, 60.0),
    ],
    ids=str,
)
def test_criteria_are_judged_over_the_time_at_this_stage_and_a_minute_at_least(
    changes: dict[str, Any], seconds: float
) -> None:
    seen = evidence(**changes)
    assert opening.look_over(seen.profile or PROFILE, seen.record, seen.weight, seen.now) == seconds


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0.0 s"), (9.94, "9.9 s"), (10, "10 s"), (119, "119 s"), (120, "2 min"), (1790, "30 min"),
     (7140, "119 min"), (7200, "2 h"), (7500, "2 h 5 min"), (90000, "25 h")],
)  # fmt: skip
def test_durations_in_words(seconds: float, said: str) -> None:
    assert answering.duration(seconds) == said
