"""Which records may be forgotten, and which are asked for."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.model.canary import CanaryRef
from daemon.model.canary_revision import CanaryRevision, RevisionPhase
from daemon.model.cleanup import Cleanup, CleanupState, Nudge
from daemon.model.follow_up import FollowUp, FollowUpKind, FollowUpState
from daemon.model.history import Filter
from daemon.model.notice import Notice
from daemon.model.rollback import Rollback, RollbackPhase, Timeline, Trigger
from daemon.policy.pruning import Retention, expired, outlived
from tests.unit import facts, revisions

DAY = 86400.0
RETENTION = Retention(datetime.timedelta(days=30), keep=3)


def ended(name: str, at: float, phase: RollbackPhase = RollbackPhase.COMPLETED, **changes: object) -> Rollback:
    timeline = Timeline(started_at=facts.after(at - 10), completed_at=facts.after(at))
    plain = facts.record(phase, name=name, created_at=facts.after(at - 10), timeline=timeline)
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def names(records: tuple[Rollback, ...] | list[Rollback]) -> list[str]:
    return [record.name for record in records]


def test_old_ones_go_and_the_newest_of_a_canary_stays() -> None:
    records = [ended("a", 0), ended("b", DAY), ended("c", 2 * DAY)]
    assert names(expired(records, RETENTION, facts.after(100 * DAY))) == ["a", "b"]


def test_more_than_the_number_goes_however_young() -> None:
    records = [ended(name, number * 60) for number, name in enumerate("abcde")]
    assert names(expired(records, RETENTION, facts.after(600))) == ["a", "b"]


def test_every_canary_has_its_own_number() -> None:
    other = CanaryRef("shop", "other")
    records = [ended(name, number * 60) for number, name in enumerate("abc")]
    records += [ended(name, number * 60, canary=other) for number, name in enumerate("xyz")]
    assert expired(records, RETENTION, facts.after(600)) == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"phase": RollbackPhase.ESCALATED},
        {"phase": RollbackPhase.PENDING},
        {"notices": (Notice("team", "k", due=("decided",)),)},
        {"follow_ups": (FollowUp(FollowUpKind.KUSTOMIZATION, "flux-system/apps", FollowUpState.LENT, "", facts.after(0),
                                 {"spec.suspend": "false"}),)},
        {"cleanup": Cleanup(CleanupState.NUDGED, "", facts.after(0), nudge=Nudge(600, facts.after(0)))},
    ],
)  # fmt: skip
def test_what_is_not_over_stays_however_old(changes: dict[str, object]) -> None:
    records = [ended("a", 0, **changes), ended("b", DAY)]  # type: ignore[arg-type]
    assert expired(records, RETENTION, facts.after(1000 * DAY)) == ()


def test_a_notice_that_was_refused_for_good_keeps_nothing() -> None:
    refused = Notice("team", "k", refused=("decided",), refused_at=facts.after(1))
    records = [ended("a", 0, notices=(refused,)), ended("b", DAY)]
    assert names(expired(records, RETENTION, facts.after(1000 * DAY))) == ["a"]


@given(st.lists(st.tuples(st.integers(0, 200), st.sampled_from(RollbackPhase)), max_size=20), st.integers(1, 5))
def test_unfinished_ones_and_the_newest_are_never_among_them(
    kept: list[tuple[int, RollbackPhase]], number: int
) -> None:
    records = [ended(f"r{place}", day * DAY, phase) for place, (day, phase) in enumerate(kept)]
    gone = expired(records, Retention(datetime.timedelta(days=7), number), facts.after(300 * DAY))
    assert all(record.finished for record in gone)
    if records:
        newest = max(records, key=lambda one: (one.created_at, one.name))
        assert newest.name not in names(gone)


def test_history_is_asked_for_by_all_that_is_given() -> None:
    first = ended("a", 100)
    second = ended("b", 200, phase=RollbackPhase.FAILED, trigger=Trigger.OPERATOR)
    other = ended("c", 300, namespace="pay", canary=CanaryRef("pay", "till"))
    every = [first, second, other]
    assert names(Filter().select(every)) == ["c", "b", "a"]
    assert names(Filter(limit=2).select(every)) == ["c", "b"]
    assert names(Filter(namespace="shop").select(every)) == ["b", "a"]
    assert names(Filter(canary="till").select(every)) == ["c"]
    assert names(Filter(phase=RollbackPhase.FAILED).select(every)) == ["b"]
    assert names(Filter(trigger=Trigger.OPERATOR, namespace="pay").select(every)) == []
    assert names(Filter(since=facts.after(190)).select(every)) == ["c", "b"]


# -- records of revisions


def revision(name: str, at: float, phase: RevisionPhase = RevisionPhase.FAILED, **changes: Any) -> CanaryRevision:
    plain: dict[str, Any] = {"name": name, "created_at": facts.after(at - 60), "began": facts.after(at), "phase": phase}
    return revisions.record(**(plain | changes))


def gone(records: list[CanaryRevision], now: float, retention: Retention = RETENTION) -> list[str]:
    return [one.name for one in outlived(records, retention, facts.after(now))]


def test_old_revisions_go_and_the_newest_of_a_canary_stays() -> None:
    assert gone([revision("c", 2 * DAY), revision("a", 0), revision("b", DAY)], 100 * DAY) == ["a", "b"]


def test_more_revisions_than_the_number_go_however_young() -> None:
    assert gone([revision(name, place * 60) for place, name in enumerate("abcde")], 600) == ["a", "b"]


def test_the_last_two_that_were_promoted_stay_to_the_older_of_them_a_revert_goes() -> None:
    kept = [revision(name, place * DAY, RevisionPhase.PROMOTED) for place, name in enumerate("abc")]
    kept += [revision(name, (3 + place) * DAY) for place, name in enumerate("xyz")]
    assert gone(kept, 1000 * DAY) == ["a", "x", "y"]


@pytest.mark.parametrize("phase", [RevisionPhase.PENDING, RevisionPhase.ANALYSING])
def test_what_is_on_its_way_stays_however_old(phase: RevisionPhase) -> None:
    assert gone([revision("a", 0, phase), revision("b", DAY)], 1000 * DAY) == []


def test_a_revision_that_came_back_is_as_young_as_its_last_run() -> None:
    back = revision("a", 95 * DAY, created_at=facts.after(0))
    assert gone([back, revision("b", 96 * DAY)], 100 * DAY) == []


def test_one_that_never_began_is_as_old_as_its_record() -> None:
    never = revision("a", 0, RevisionPhase.SUPERSEDED, began=None)
    assert gone([never, revision("b", DAY)], 100 * DAY) == ["a"]


def test_every_canary_has_its_own_number_of_revisions() -> None:
    kept = [revision(name, place * 60) for place, name in enumerate("abc")]
    kept += [revision(name, place * 60, canary=CanaryRef("shop", "other")) for place, name in enumerate("xyz")]
    assert gone(kept, 600) == []


@given(st.lists(st.tuples(st.integers(0, 200), st.sampled_from(RevisionPhase)), max_size=20), st.integers(1, 5))
def test_what_a_revert_or_a_release_needs_is_never_among_them(
    kept: list[tuple[int, RevisionPhase]], number: int
) -> None:
    records = [revision(f"r{place:02}", day * DAY, phase) for place, (day, phase) in enumerate(kept)]
    went = set(gone(records, 300 * DAY, Retention(datetime.timedelta(days=7), number)))
    newest_first = sorted(records, key=lambda one: (one.began or one.created_at, one.name), reverse=True)
    promoted = [one for one in newest_first if one.phase is RevisionPhase.PROMOTED]
    needed = {one.name for one in (*newest_first[:1], *promoted[:2])}
    assert not went & (needed | {one.name for one in records if not one.ended})
    assert went >= {one.name for one in newest_first[number:] if one.ended} - needed
