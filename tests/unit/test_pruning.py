"""Which records may be forgotten, and which are asked for."""

from __future__ import annotations

import dataclasses
import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.model.canary import CanaryRef
from daemon.model.cleanup import Cleanup, CleanupState, Nudge
from daemon.model.history import Filter
from daemon.model.notice import Notice
from daemon.model.rollback import Rollback, RollbackPhase, Timeline, Trigger
from daemon.policy.pruning import Retention, expired
from tests.unit import facts

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
        {"cleanup": Cleanup(CleanupState.NUDGED, "", facts.after(0), nudge=Nudge(600, facts.after(0)))},
    ],
)
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
