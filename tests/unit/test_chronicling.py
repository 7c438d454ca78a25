"""What the record of a revision becomes of what is seen: when there is one, a run and its end, weights."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from daemon.model.canary import CanaryPhase, CanaryRef
from daemon.model.canary_revision import CanaryRevision, RevisionPhase, SeenActs, SeenCheck, SeenGate
from daemon.model.checking import CheckState, ImageDigest
from daemon.policy import chronicling
from daemon.policy.chronicling import Sighting
from daemon.policy.noting import Notes
from tests.unit import facts, revisions
from tests.unit.revisions import record

AGAIN = facts.after(9000)
"""When the same revision is analysed for the second time."""
PENDING: dict[str, Any] = {"revision": "", "phase": RevisionPhase.PENDING, "run": 0, "began": None, "weights": ()}


def seen(at: float = 2000, *, weight: float | None = 5, version: str = "", **changes: Any) -> Sighting:
    """The canary of ``record()``; ``template`` and ``number`` are its workload's, all else is about the canary."""
    gone, template, number = changes.pop("gone", False), changes.pop("template", "t2"), changes.pop("number", "7")
    workload = None if gone else facts.workload(template=template, revision_number=number)
    return Sighting(facts.after(at), revisions.staged(**changes), workload, weight, version)


def after(before: CanaryRevision, sighting: Sighting, *others: CanaryRevision, notes: Notes | None = None) -> Any:
    return chronicling.updated(before, (before, *others), sighting, notes or Notes())


def texts(it: CanaryRevision) -> list[str]:
    return [line.text for line in it.entries]


# -- when there is a record


def test_a_revision_under_analysis_has_a_record_named_after_its_template() -> None:
    new = chronicling.new_record(seen(template="abcdef0123456789"), (), asked=False)
    assert new is not None
    assert (new.name, new.template, new.canary_uid) == ("podinfo-abcdef0123", "abcdef0123456789", "c-1")
    assert new.images == facts.workload().images


@pytest.mark.parametrize(
    ("sighting", "asked", "made"),
    [
        (seen(), False, True),
        (seen(phase=CanaryPhase.WAITING_PROMOTION), False, True),
        (seen(phase=CanaryPhase.WAITING), False, False),
        (seen(phase=CanaryPhase.WAITING), True, True),
        (seen(phase=CanaryPhase.SUCCEEDED), False, False),
        (seen(phase=CanaryPhase.SUCCEEDED), True, True),
        (seen(deleting=True), True, False),
        (seen(gone=True), True, False),
        (seen(template=""), True, False),
    ],
)
def test_one_is_made_for_what_is_analysed_or_asked_about(sighting: Sighting, asked: bool, made: bool) -> None:
    assert (chronicling.new_record(sighting, (), asked=asked) is not None) == made


def test_there_is_one_for_each_template_and_a_workload_that_is_ahead_of_the_controller_has_none_yet() -> None:
    assert chronicling.new_record(seen(), (record(),), asked=True) is None
    assert chronicling.new_record(seen(template="t3"), (record(),), asked=False) is None
    assert chronicling.new_record(seen(template="t3"), (record(),), asked=True) is not None


def test_the_longest_name_still_has_room_and_two_of_them_stay_apart() -> None:
    names = [
        chronicling.record_name(revisions.staged(ref=CanaryRef("shop", "n" * 252 + end)), "ABCDEF0123456789")
        for end in "ab"
    ]
    assert len(set(names)) == 2
    assert all(len(name) <= 253 and name.endswith("-abcdef0123") for name in names)


# -- a run and its end


def test_an_analysis_that_begins_binds_the_record_to_the_controllers_name() -> None:
    digests = (ImageDigest("v2", "sha256:1"),)
    checks = (SeenCheck("confirm-rollout", "image", CheckState.PASSED, "", facts.after(-10)),)
    begun = after(record(**PENDING, digests=digests, checks=checks), seen(3, weight=None))
    assert (begun.phase, begun.revision, begun.run, begun.began) == (RevisionPhase.ANALYSING, "rev2", 1, facts.BEGAN)
    assert (begun.digests, begun.checks) == (digests, checks)
    assert texts(begun) == ["analysis of revision rev2 began"]


def test_the_same_revision_again_is_a_new_run_with_its_soaks_from_the_beginning() -> None:
    gates = (SeenGate("rollout", False, "paused", "", facts.after(5)),)
    checks = (SeenCheck("rollout", "errors", CheckState.FAILED, "", facts.after(5)),)
    failed = record(phase=RevisionPhase.FAILED, gates=gates, checks=checks)
    begun = after(failed, seen(9001, weight=0, analysis_began=AGAIN))
    assert (begun.phase, begun.run, begun.began) == (RevisionPhase.ANALYSING, 2, AGAIN)
    assert [(one.weight, one.since) for one in begun.weights] == [(0, facts.after(9001))]
    assert (begun.gates, begun.checks) == ((), ())
    assert texts(begun)[0] == "analysis of revision rev2 began, for the 2. time"


@pytest.mark.parametrize("later", [0, 1, 5, -60])
def test_what_two_replicas_think_of_one_beginning_is_one_run(later: float) -> None:
    assert after(record(), seen(analysis_began=facts.after(later))).run == 1


@pytest.mark.parametrize(
    "sighting",
    [seen(template="t3"), seen(gone=True), seen(revision=""), seen(phase=CanaryPhase.WAITING)],
)
def test_what_is_not_surely_this_revisions_analysis_begins_nothing(sighting: Sighting) -> None:
    assert after(record(**PENDING), sighting).run == 0


def test_a_name_that_another_record_holds_is_not_taken_from_it() -> None:
    assert after(record(**PENDING, name="podinfo-other"), seen(), record()).run == 0


ENDS: dict[str, tuple[CanaryRevision, Sighting, RevisionPhase]] = {
    "promoted": (record(), seen(phase=CanaryPhase.SUCCEEDED, analysis_began=facts.after(6000)),
                 RevisionPhase.PROMOTED),
    "given up": (record(), seen(phase=CanaryPhase.FAILED, analysis_began=facts.after(6000)), RevisionPhase.FAILED),
    "overtaken": (record(), seen(revision="rev3", template="t3", analysis_began=AGAIN), RevisionPhase.SUPERSEDED),
    "overtaken within one analysis": (record(), seen(revision="rev3", template="t3"), RevisionPhase.SUPERSEDED),
    "replaced before it began": (record(**PENDING), seen(phase=CanaryPhase.WAITING, template="t3"),
                                 RevisionPhase.SUPERSEDED),
    "being promoted": (record(), seen(phase=CanaryPhase.PROMOTING), RevisionPhase.ANALYSING),
    "being finalised": (record(), seen(phase=CanaryPhase.FINALISING), RevisionPhase.ANALYSING),
    "another one lies in the workload, not taken up": (record(), seen(template="t3"), RevisionPhase.ANALYSING),
    "the workload is gone": (record(**PENDING), seen(gone=True, phase=CanaryPhase.WAITING), RevisionPhase.PENDING),
    "still waiting": (record(**PENDING), seen(phase=CanaryPhase.WAITING, revision="rev1"), RevisionPhase.PENDING),
    "a replica that lags shows the revision before, in its analysis": (
        record(began=AGAIN), seen(revision="rev1", template="t1"), RevisionPhase.ANALYSING),
    "a replica that lags shows how the run before failed": (
        record(began=AGAIN, run=2), seen(phase=CanaryPhase.FAILED, analysis_began=facts.after(6000)),
        RevisionPhase.ANALYSING),
    "a replica that lags shows how the same was promoted before": (
        record(began=AGAIN, run=2), seen(phase=CanaryPhase.SUCCEEDED, analysis_began=facts.after(6000)),
        RevisionPhase.ANALYSING),
}  # fmt: skip


@pytest.mark.parametrize("sentence", ENDS)
def test_how_it_ends(sentence: str) -> None:
    before, sighting, phase = ENDS[sentence]
    ended = after(before, sighting)
    assert ended.phase is phase
    assert len(texts(ended)) == (1 if ended.ended else 0)


def test_when_it_became_stable_is_what_the_controller_says() -> None:
    ended = after(record(), seen(7000, phase=CanaryPhase.SUCCEEDED, analysis_began=facts.after(6000)))
    assert ended.promoted_at == facts.after(6000)


def test_what_has_ended_stays_as_it_ended() -> None:
    for phase in (RevisionPhase.PROMOTED, RevisionPhase.FAILED, RevisionPhase.SUPERSEDED):
        ended = record(phase=phase)
        for canary_phase in CanaryPhase:
            assert after(ended, seen(phase=canary_phase, weight=25, revision="rev3", template="t3")) == ended


@pytest.mark.parametrize("phase", [CanaryPhase.WAITING, CanaryPhase.SUCCEEDED])
def test_what_lies_in_the_workload_again_before_it_was_ever_analysed_waits_again(phase: CanaryPhase) -> None:
    """It was put back; or a replica whose watch lags took it for replaced before it had seen it."""
    closed = SeenGate("confirm-rollout", False, "check-failed", "no", facts.after(0), facts.after(0))
    waiting = record(**PENDING, gates=(closed,))
    replaced = after(waiting, seen(phase=phase, revision="rev1", template="t3"))
    assert replaced.phase is RevisionPhase.SUPERSEDED
    again = after(replaced, seen(2100, phase=phase, revision="rev1"))
    assert (again.phase, again.gates, texts(again)[-1]) == (RevisionPhase.PENDING, (), "it lies in the workload again")
    assert after(again, seen(2200)).phase is RevisionPhase.ANALYSING


# -- which record is meant


def test_current_is_the_record_that_is_bound_to_this_very_analysis() -> None:
    this, other = record(), record(name="podinfo-t1", template="t1", revision="rev1")
    assert chronicling.current((other, this), revisions.staged()) == this
    assert chronicling.current((other, this), revisions.staged(revision="rev1")) == other
    assert chronicling.current((other, this), revisions.staged(revision="rev3")) is None
    assert chronicling.current((other, this), revisions.staged(revision="")) is None
    assert chronicling.current((record(**PENDING),), revisions.staged(revision="")) is None
    assert chronicling.current((this,), revisions.staged(analysis_began=AGAIN)) is None


def test_what_is_about_to_be_released_is_known_by_its_template_alone() -> None:
    this = record(**PENDING)
    assert chronicling.of_template((record(template="t1"), this), "t2") == this
    assert chronicling.of_template((record(template=""),), "") is None


# -- weights


def test_a_weight_is_recorded_since_it_was_seen_and_told_as_a_step() -> None:
    weighed = after(record(), seen(2800, weight=25, version="120"))
    assert [(one.weight, one.since, one.version) for one in weighed.weights[-1:]] == [(25, facts.after(2800), "120")]
    assert texts(weighed) == ["5% -> 25% of traffic"]


@pytest.mark.parametrize(
    ("sighting", "added"),
    [
        (seen(weight=5.004), False),
        (seen(weight=None), False),
        (seen(weight=0, version="100"), False),
        (seen(weight=0, version="99"), False),
        (seen(weight=25, version="101"), True),
        (seen(weight=25, version="1000"), True),
        (seen(weight=25), True),
        (seen(weight=25, revision="rev1"), False),
        (seen(weight=25, phase=CanaryPhase.PROMOTING), True),
        (seen(weight=0, phase=CanaryPhase.FAILED), True),
    ],
)
def test_only_what_is_new_is_added_to_the_weights(sighting: Sighting, added: bool) -> None:
    """The record's last weight is 5% at version 101."""
    assert (len(after(record(), sighting).weights) > 2) == added


def test_the_oldest_weights_go_and_the_soak_of_the_last_is_still_there() -> None:
    it = record(weights=())
    for step in range(300):
        it = after(it, seen(step, weight=step % 7))
    assert len(it.weights) == 100
    assert it.weights[-1].since == facts.after(299)


# -- the gist


def test_what_only_counts_once_more_may_wait() -> None:
    gate = SeenGate("rollout", False, "paused", "paused", facts.after(5))
    check = SeenCheck("rollout", "errors", CheckState.PASSED, "0.1%", facts.after(5))
    before = after(record(acts=SeenActs()), seen(), notes=Notes(gates=(gate,), checks=(check,)))
    later = dataclasses.replace(check, detail="0.2%", at=facts.after(9))
    again = after(before, seen(), notes=Notes(gates=(dataclasses.replace(gate, detail="p"),), checks=(later,)))
    assert again != before
    assert chronicling.says_the_same(before, again)
    failed = dataclasses.replace(later, state=CheckState.FAILED)
    assert not chronicling.says_the_same(before, after(before, seen(), notes=Notes(checks=(failed,))))
    assert not chronicling.says_the_same(before, after(before, seen(weight=25)))
