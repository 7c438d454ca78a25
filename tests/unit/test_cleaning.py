"""What is cleaned up after zero, when, and by whom; above all, what is never scaled down."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.model.canary import Canary, CanaryPhase, Controller, LentDeadline
from daemon.model.cleanup import Cleanup, CleanupPolicy, CleanupState, Nudge, PausedScaler
from daemon.model.keeping import KeptEvidence
from daemon.model.rollback import Rollback, RollbackPhase, Timeline
from daemon.policy import cleaning, lending
from daemon.policy.cleaning import (
    Choices,
    Note,
    PauseScalers,
    RestoreScalers,
    ScaleBack,
    ScaleToZero,
    Wait,
)
from daemon.policy.lending import LendDeadline, ReturnDeadline
from tests.unit import facts

WAITING = Cleanup(CleanupState.WAITING, "", facts.after(61), template="t1")
KEPT = KeptEvidence("podinfo-evidence", facts.after(65), 2, ())
KEDA = PausedScaler("ScaledObject", "shop", "podinfo", "null")


def record(cleanup: Cleanup | None = WAITING, **changes: Any) -> Rollback:
    timeline = Timeline(started_at=facts.after(61), zeroed_at=facts.after(61.01), proved_at=facts.after(66))
    plain = facts.record(RollbackPhase.PROVED, cleanup=cleanup, timeline=timeline, evidence=KEPT)
    return dataclasses.replace(plain, **changes)


def scene(**changes: Any) -> cleaning.Scene:
    """A Flagger canary in mid-analysis, its routes at 0 and proved, its pods ready, 80 s after it began."""
    plain: dict[str, Any] = {
        "now": facts.after(80),
        "record": record(),
        "canary": facts.canary(),
        "workload": facts.workload(template="t1"),
        "routes_at_zero": True,
        "choices": Choices(),
    }
    return cleaning.Scene(**(plain | changes))


def failed(**changes: Any) -> Canary:
    return facts.canary(CanaryPhase.FAILED, status_weight=0, **changes)


def alone(**changes: Any) -> Canary:
    return facts.canary(controller=Controller.NONE, **changes)


def noted(step: cleaning.Step) -> Cleanup:
    assert isinstance(step, Note), step
    return step.cleanup


def test_first_of_all_it_is_noted_which_template_is_rolled_back() -> None:
    cleanup = noted(cleaning.next_step(scene(record=record(None))))
    assert (cleanup.state, cleanup.template) == (CleanupState.WAITING, "t1")


def test_with_flagger_nothing_is_scaled_before_it_says_failed() -> None:
    assert cleaning.next_step(scene()) == Wait()
    assert cleaning.next_step(scene(workload=facts.workload(template="t1", ready_replicas=0))) == Wait()


def test_when_flagger_has_scaled_down_it_is_done() -> None:
    step = cleaning.next_step(scene(canary=failed(), workload=facts.workload(template="t1", replicas=0)))
    assert noted(step).state is CleanupState.DONE


def test_pods_behind_flaggers_back_are_taken_down_after_the_grace() -> None:
    up = {"canary": failed(), "workload": facts.workload(template="t1")}
    assert cleaning.next_step(scene(**up)) == Wait(60.0)
    assert cleaning.next_step(scene(**up, raised_since=facts.after(50))) == Wait(30.0)
    assert cleaning.next_step(scene(**up, raised_since=facts.after(20))) == ScaleToZero(facts.workload(template="t1"))


def test_who_scales_them_up_again_and_again_is_told_of_not_fought() -> None:
    tired = dataclasses.replace(WAITING, state=CleanupState.DONE, scaled_down=3)
    up = {"canary": failed(), "workload": facts.workload(template="t1"), "raised_since": facts.after(0)}
    step = cleaning.next_step(scene(**up, record=record(tired)))
    assert noted(step).state is CleanupState.TROUBLE
    assert cleaning.next_step(scene(**up, record=record(noted(step)))) == Wait()


@pytest.mark.parametrize(
    "changes",
    [
        {"canary": failed(revision="rev3")},
        {"workload": facts.workload(template="t2")},
        {"canary": facts.canary(revision="rev3")},
        {"canary": None},
        {"canary": failed(deleting=True)},
        {"canary": facts.canary(CanaryPhase.PROMOTING)},
        {"canary": facts.canary(CanaryPhase.FINALISING)},
        {"canary": facts.canary(CanaryPhase.SUCCEEDED)},
        {"canary": facts.canary(), "record": record(phase=RollbackPhase.COMPLETED)},
    ],
)
def test_what_belongs_to_another_release_by_now_is_never_touched(changes: dict[str, Any]) -> None:
    plain = {"canary": failed(), "raised_since": facts.after(0), "now": facts.after(500)}
    step = cleaning.next_step(scene(**(plain | changes)))
    assert noted(step).state is CleanupState.OVERTAKEN


def test_in_the_failed_of_a_broken_promotion_nothing_is_touched() -> None:
    broken = facts.canary(CanaryPhase.FAILED, status_weight=100)
    assert cleaning.next_step(scene(canary=broken, raised_since=facts.after(0), now=facts.after(500))) == Wait()


def test_a_failed_canary_that_still_has_traffic_keeps_its_pods() -> None:
    step = cleaning.next_step(scene(canary=failed(), routes_at_zero=False, raised_since=facts.after(0)))
    assert step == Wait()


def test_a_daemon_set_has_nothing_to_scale() -> None:
    step = cleaning.next_step(scene(canary=failed(workload_kind="DaemonSet"), workload=None))
    assert noted(step).state is CleanupState.KEPT


def test_keep_keeps_them() -> None:
    choices = Choices(policy=CleanupPolicy.KEEP)
    step = cleaning.next_step(scene(canary=failed(), choices=choices, raised_since=facts.after(0)))
    assert noted(step).state is CleanupState.KEPT
    assert noted(cleaning.next_step(scene(canary=alone(), choices=choices))).state is CleanupState.KEPT


# -- the nudge

NUDGING = Choices(nudge=True)
STUCK = facts.workload(template="t1", ready_replicas=0)
NOTED = dataclasses.replace(WAITING, state=CleanupState.NUDGED, nudge=Nudge(600, facts.after(77)))
LENT = dataclasses.replace(NOTED, nudge=Nudge(600, facts.after(77), set_at=facts.after(78)))
SHORT: dict[str, Any] = {"progress_deadline": 1, "deadline_lent": LentDeadline(600)}
"""A canary whose deadline is lent, as the note on it says."""


def test_a_nudge_waits_for_a_controller_that_may_yet_ask() -> None:
    assert cleaning.next_step(scene(choices=NUDGING, workload=STUCK, now=facts.after(66.01))) == Wait(10.0)


def test_what_to_put_back_is_noted_before_it_is_lent() -> None:
    canary = facts.canary(progress_deadline=600)
    cleanup = noted(cleaning.next_step(scene(choices=NUDGING, workload=STUCK, canary=canary)))
    assert cleanup.state is CleanupState.NUDGED
    assert cleanup.nudge == Nudge(600, facts.after(80))
    step = cleaning.next_step(scene(choices=NUDGING, workload=STUCK, canary=canary, record=record(cleanup)))
    assert step == LendDeadline(600)


def test_a_canary_whose_pods_are_ready_is_not_nudged_and_none_by_default() -> None:
    assert cleaning.next_step(scene(choices=NUDGING)) == Wait()
    assert cleaning.next_step(scene(workload=STUCK)) == Wait()


@pytest.mark.parametrize(
    "changes",
    [
        {"canary": failed(**SHORT)},
        {"canary": facts.canary(revision="rev3", **SHORT)},
        {"workload": facts.workload(template="t2", ready_replicas=0)},
        {"record": record(LENT, phase=RollbackPhase.COMPLETED)},
        {"canary": facts.canary(CanaryPhase.SUCCEEDED, **SHORT)},
        {"canary": failed(progress_deadline=1)},
    ],
)
def test_it_is_put_back_whatever_has_happened(changes: dict[str, Any]) -> None:
    plain = {"canary": facts.canary(**SHORT), "workload": STUCK, "record": record(LENT)}
    assert cleaning.next_step(scene(**(plain | changes))) == ReturnDeadline(1, 600)


def test_a_deadline_that_was_not_there_is_taken_away_again() -> None:
    lent = dataclasses.replace(LENT, nudge=Nudge(None, facts.after(77), set_at=facts.after(78)))
    canary = failed(progress_deadline=1, deadline_lent=LentDeadline(None))
    assert cleaning.next_step(scene(record=record(lent), canary=canary)) == ReturnDeadline(1, None)


def test_what_somebody_else_has_set_meanwhile_stays() -> None:
    noted_there = failed(progress_deadline=300, deadline_lent=LentDeadline(600))
    assert cleaning.next_step(scene(record=record(LENT), canary=noted_there)) == ReturnDeadline(300, 300)
    cleanup = noted(cleaning.next_step(scene(record=record(LENT), canary=failed(progress_deadline=300))))
    assert cleanup.nudge is not None
    assert cleanup.nudge.restored_at == facts.after(80)


def test_of_a_canary_that_is_gone_nothing_is_owed() -> None:
    cleanup = noted(cleaning.next_step(scene(record=record(LENT), canary=None, workload=None)))
    assert not cleanup.owes
    step = cleaning.next_step(scene(record=record(cleanup), canary=None, workload=None))
    assert noted(step).state is CleanupState.OVERTAKEN


def test_while_it_is_lent_nothing_else_is_done() -> None:
    assert cleaning.next_step(scene(record=record(LENT), canary=facts.canary(**SHORT))) == Wait()


def test_it_counts_as_set_once_it_was_seen_to_be() -> None:
    cleanup = noted(cleaning.next_step(scene(record=record(NOTED), canary=facts.canary(**SHORT))))
    assert cleanup.nudge == Nudge(600, facts.after(77), set_at=facts.after(80))
    assert cleanup.state is CleanupState.NUDGED


def test_who_died_between_noting_and_setting_has_not_set_it_however_late_the_heir_comes() -> None:
    canary = facts.canary(progress_deadline=600)
    for late in (80, 92.5, 300):
        step = cleaning.next_step(scene(record=record(NOTED), canary=canary, workload=STUCK, now=facts.after(late)))
        assert step == LendDeadline(600)


def test_a_noted_nudge_whose_deadline_is_anothers_by_now_is_left() -> None:
    cleanup = noted(cleaning.next_step(scene(record=record(NOTED), canary=facts.canary(progress_deadline=300))))
    assert not cleanup.owes


def test_who_takes_it_back_again_and_again_wins() -> None:
    back = {"canary": facts.canary(progress_deadline=600), "workload": STUCK, "record": record(LENT)}
    assert cleaning.next_step(scene(**back)) == LendDeadline(600)
    cleanup = noted(cleaning.next_step(scene(**back, now=facts.after(100))))
    assert not cleanup.owes


def test_who_takes_only_the_deadline_back_wins_too_and_our_note_goes() -> None:
    canary = facts.canary(progress_deadline=600, deadline_lent=LentDeadline(600))
    back = {"canary": canary, "workload": STUCK, "record": record(LENT)}
    assert cleaning.next_step(scene(**back)) == LendDeadline(600)
    assert cleaning.next_step(scene(**back, now=facts.after(100))) == ReturnDeadline(600, 600)


@pytest.mark.parametrize(
    "canary", [facts.canary(**SHORT), facts.canary(progress_deadline=1), facts.canary(CanaryPhase.WAITING, **SHORT)]
)
def test_what_is_lent_already_is_not_taken_for_the_original(canary: Canary) -> None:
    assert cleaning.next_step(scene(choices=NUDGING, workload=STUCK, canary=canary)) == Wait()


# -- when its record was deleted


def test_a_deadline_that_no_record_accounts_for_is_given_back() -> None:
    short = facts.canary(**SHORT)
    assert lending.orphaned(short, []) == ReturnDeadline(1, 600)
    assert lending.orphaned(short, [record(None), record(WAITING)]) == ReturnDeadline(1, 600)
    assert lending.orphaned(facts.canary(progress_deadline=1, deadline_lent=LentDeadline(None)), []) == (
        ReturnDeadline(1, None)
    )


def test_of_a_deadline_that_is_anothers_by_now_only_the_note_is_taken_away() -> None:
    changed = facts.canary(progress_deadline=300, deadline_lent=LentDeadline(600))
    assert lending.orphaned(changed, []) == ReturnDeadline(300, 300)


def test_what_a_record_accounts_for_or_we_never_lent_is_no_orphan() -> None:
    assert lending.orphaned(facts.canary(**SHORT), [record(LENT)]) is None
    assert lending.orphaned(facts.canary(**SHORT), [record(NOTED), record(None)]) is None
    assert lending.orphaned(facts.canary(progress_deadline=1), []) is None
    assert lending.orphaned(None, []) is None


# -- without a controller


def test_alone_it_is_scaled_to_zero_only_once_zero_is_proved() -> None:
    unproved = record(timeline=Timeline(started_at=facts.after(61), zeroed_at=facts.after(61.01)))
    assert cleaning.next_step(scene(canary=alone(), record=unproved)) == Wait()
    assert cleaning.next_step(scene(canary=alone(), routes_at_zero=False)) == Wait()
    assert cleaning.next_step(scene(canary=alone())) == ScaleToZero(facts.workload(template="t1"))


def test_alone_pods_that_nobody_knows_are_not_said_to_be_gone() -> None:
    cleanup = noted(cleaning.next_step(scene(canary=alone(workload=""), workload=None)))
    assert cleanup.state is CleanupState.KEPT
    deleted = noted(cleaning.next_step(scene(canary=alone(), workload=None)))
    assert deleted.state is CleanupState.DONE


def test_alone_autoscalers_are_paused_first() -> None:
    assert cleaning.next_step(scene(canary=alone(), scalers=(KEDA,))) == PauseScalers((KEDA,))


def test_alone_the_evidence_comes_first_but_not_for_ever() -> None:
    unkept = record(evidence=None)
    assert cleaning.next_step(scene(canary=alone(), record=unkept, evidence_waited=10)) == Wait(10.0)
    assert cleaning.next_step(scene(canary=alone(), record=unkept, evidence_waited=19)) == Wait(1.0)
    assert isinstance(cleaning.next_step(scene(canary=alone(), record=unkept, evidence_waited=20)), ScaleToZero)


@pytest.mark.parametrize("now", [62.0, 61 + 3600, -3600], ids=["soon", "another leader, late", "the clock jumped back"])
def test_evidence_has_its_time_whenever_this_leader_began_and_no_more(now: float) -> None:
    unkept = {"canary": alone(), "record": record(evidence=None), "now": facts.after(now)}
    assert cleaning.next_step(scene(**unkept)) == Wait(20.0)
    assert isinstance(cleaning.next_step(scene(**unkept, evidence_waited=20)), ScaleToZero)


def test_what_runs_both_sides_is_never_scaled_down() -> None:
    """A wrong pullback.dev/workload: the pods are the stable ones as well, and have all the traffic now."""
    canary = facts.undriven(stable_workload="podinfo")
    cleanup = noted(cleaning.next_step(scene(canary=canary, scalers=(KEDA,))))
    assert cleanup.state is CleanupState.KEPT
    assert "Deployment podinfo runs the stable side too" in cleanup.detail
    assert isinstance(cleaning.next_step(scene(canary=facts.undriven())), ScaleToZero)


def test_the_next_release_finds_its_autoscalers_as_they_were() -> None:
    paused = dataclasses.replace(WAITING, state=CleanupState.DONE, scalers=(KEDA,), scaled_down=1, scaled_from=2)
    step = cleaning.next_step(scene(canary=alone(revision="rev3"), record=record(paused)))
    assert step == RestoreScalers((KEDA,))


def test_a_release_that_starts_with_the_emptiness_we_made_gets_its_pods_back() -> None:
    """Flagger takes a Deployment of 0 for ready, promotes it, and scales the primary to 0."""
    emptied = dataclasses.replace(WAITING, state=CleanupState.DONE, scaled_down=1, scaled_from=2)
    empty = facts.workload(template="t2", replicas=0)
    starting = facts.canary(revision="rev3")
    step = cleaning.next_step(scene(canary=starting, workload=empty, record=record(emptied)))
    assert step == ScaleBack(empty, 2)
    asking = facts.canary(CanaryPhase.WAITING, revision="rev3")
    assert cleaning.next_step(scene(canary=asking, workload=empty, record=record(emptied))) == Wait()


@pytest.mark.parametrize("canary", [alone(revision="rev3"), facts.canary(revision="rev3")], ids=["alone", "Flagger"])
def test_a_release_that_has_its_pods_needs_none_back_however_empty_it_is_later(canary: Canary) -> None:
    """Else the end of a later release, which takes the canary to 0 as it should, would look like our emptiness."""
    emptied = dataclasses.replace(WAITING, state=CleanupState.DONE, scaled_down=1, scaled_from=2)
    up = facts.workload(template="t2", replicas=2)
    cleanup = noted(cleaning.next_step(scene(canary=canary, workload=up, record=record(emptied))))
    assert (cleanup.state, cleanup.scaled_from) == (CleanupState.DONE, 0)
    over = facts.workload(template="t2", replicas=0)
    assert cleaning.next_step(scene(canary=canary, workload=over, record=record(cleanup))) == Wait()


def test_what_was_seen_before_we_emptied_it_is_not_taken_for_a_release_with_pods() -> None:
    emptied = dataclasses.replace(WAITING, state=CleanupState.DONE, scaled_down=1, scaled_from=2)
    before = facts.workload(template="t1", replicas=2)
    step = cleaning.next_step(scene(canary=facts.canary(revision="rev3"), workload=before, record=record(emptied)))
    assert step == Wait()


def test_a_rehearsal_cleans_nothing() -> None:
    assert cleaning.next_step(scene(record=record(None, dry_run=True), canary=failed())) == Wait()


phases = st.sampled_from(CanaryPhase)


@given(
    phase=phases,
    revision=st.sampled_from(["rev2", "rev3"]),
    template=st.sampled_from(["t1", "t2"]),
    replicas=st.integers(0, 3),
    ready=st.integers(0, 3),
    status_weight=st.sampled_from([0, 50, 100]),
    at_zero=st.booleans(),
    raised=st.sampled_from([None, 0.0, 79.0]),
    finished=st.booleans(),
    nudge=st.booleans(),
)
def test_whatever_the_world_looks_like_flaggers_target_is_scaled_only_in_a_failure_it_has_accepted(
    phase: CanaryPhase, revision: str, template: str, replicas: int, ready: int, status_weight: int, at_zero: bool,
    raised: float | None, finished: bool, nudge: bool,
) -> None:  # fmt: skip
    step = cleaning.next_step(
        scene(
            canary=facts.canary(phase, revision=revision, status_weight=status_weight, progress_deadline=600),
            workload=facts.workload(template=template, replicas=replicas, ready_replicas=ready),
            routes_at_zero=at_zero,
            raised_since=None if raised is None else facts.after(raised),
            record=record(phase=RollbackPhase.COMPLETED if finished else RollbackPhase.PROVED),
            choices=Choices(nudge=nudge),
            now=facts.after(90),
        )
    )
    if isinstance(step, ScaleToZero):
        assert (phase, revision, template, at_zero) == (CanaryPhase.FAILED, "rev2", "t1", True)
        assert status_weight != 100
        assert raised == 0.0
    assert not isinstance(step, LendDeadline | ReturnDeadline), "nothing is lent that was not noted before"
