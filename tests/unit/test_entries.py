"""The lines of a timeline: bounded, in order, and nothing said twice within one stage."""

from __future__ import annotations

import dataclasses

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.model.canary_revision import CanaryRevision, Entry, EntryKind
from daemon.policy import entries
from tests.unit import facts, revisions

DIVIDERS = (EntryKind.STAGE, EntryKind.PHASE)


def said(key: str, at: float, kind: EntryKind = EntryKind.HOOK, text: str = "") -> Entry:
    return Entry(facts.after(at), kind, key, text or key)


def told(*lines: Entry) -> CanaryRevision:
    record = revisions.record()
    for line in lines:
        record = entries.added(record, line)
    return record


def shown(record: CanaryRevision) -> list[tuple[str, int]]:
    return [(line.key, line.count) for line in record.entries]


def test_the_same_again_is_counted_with_the_newest_words() -> None:
    record = told(said("soaking", 10, text="20 min left"), said("soaking", 20, text="19 min left"))
    (line,) = record.entries
    assert (line.at, line.last, line.count, line.text) == (facts.after(10), facts.after(20), 2, "19 min left")


def test_what_arrives_late_is_counted_and_does_not_turn_the_clock_back() -> None:
    record = told(said("soaking", 20, text="new"), said("soaking", 10, text="old"))
    (line,) = record.entries
    assert (line.last, line.count, line.text) == (facts.after(20), 2, "new")


def test_after_a_stage_it_is_said_anew() -> None:
    record = told(said("no", 10), said("5", 20, EntryKind.STAGE), said("no", 30), said("no", 40))
    assert shown(record) == [("no", 1), ("5", 1), ("no", 2)]


def test_what_belongs_before_a_stage_is_counted_there_however_late_it_arrives() -> None:
    record = told(said("no", 10), said("5", 20, EntryKind.STAGE), said("no", 15))
    assert shown(record) == [("no", 2), ("5", 1)]


def test_a_stage_that_comes_again_is_a_line_of_its_own() -> None:
    record = told(*(said("0", at, EntryKind.STAGE) for at in (10, 20)))
    assert shown(record) == [("0", 1), ("0", 1)]


def test_one_key_of_two_kinds_is_two_lines() -> None:
    assert shown(told(said("a", 10), said("a", 11, EntryKind.ACT))) == [("a", 1), ("a", 1)]


def test_what_anybody_says_becomes_one_bounded_line() -> None:
    (line,) = told(said("k" * 900, 10, text="a\n b\u2028" + "c" * 900)).entries
    assert line.text == "a b " + "c" * 396
    assert len(line.key) == 80


def test_a_key_that_was_cut_is_still_the_same() -> None:
    assert [count for _, count in shown(told(said("k" * 900, 10), said("k" * 900, 20)))] == [2]
    # What differs only behind the cut is told apart all the same.
    assert [count for _, count in shown(told(said("k" * 900, 10), said("k" * 901, 20)))] == [1, 1]


lines = st.builds(
    said,
    st.sampled_from("abc"),
    st.integers(0, 50),
    st.sampled_from([EntryKind.HOOK, EntryKind.ACT, *DIVIDERS]),
)


@given(st.lists(lines, max_size=60))
def test_nothing_is_lost_and_the_order_is_that_of_time(told_: list[Entry]) -> None:
    record = told(*told_)
    assert sum(line.count for line in record.entries) == len(told_)
    assert [line.at for line in record.entries] == sorted(line.at for line in record.entries)
    for kind in EntryKind:
        for key in "abc":
            same = [one for one in told_ if (one.kind, one.key) == (kind, key)]
            assert sum(line.count for line in record.entries if (line.kind, line.key) == (kind, key)) == len(same)


@given(st.lists(lines, max_size=60))
def test_no_line_stands_twice_between_two_stages(told_: list[Entry]) -> None:
    """As long as they come in the order of time, as they do from one replica."""
    seen: set[tuple[EntryKind, str]] = set()
    for line in told(*sorted(told_, key=lambda one: one.at)).entries:
        if line.kind in DIVIDERS:
            seen.clear()
            continue
        assert (line.kind, line.key) not in seen
        seen.add((line.kind, line.key))


@settings(max_examples=15)
@given(st.lists(st.integers(0, 1000), min_size=180, max_size=400))
def test_never_more_lines_than_fit_and_those_that_went_are_counted(times: list[int]) -> None:
    record = told(*(said(str(place), at) for place, at in enumerate(times)))
    assert len(record.entries) <= entries.MOST
    assert len(record.entries) + record.dropped == len(times)
    kept = [line.at for line in record.entries]
    assert kept == sorted(facts.after(at) for at in times)[-entries.MOST :]


def test_a_storm_of_alerts_leaves_the_stages_and_a_weight_that_flaps_leaves_what_people_did() -> None:
    act, stages = said("ann", 0, EntryKind.ACT), [said(key, at, EntryKind.STAGE) for at, key in enumerate(("5", "25"))]
    storm = [said(f"{number}", 10 + number, EntryKind.ALERT) for number in range(400)]
    assert [key for key, _ in shown(told(act, *stages, *storm))[:3]] == ["ann", "5", "25"]
    flaps = [said(f"{number % 7}", 500 + number, EntryKind.STAGE) for number in range(400)]
    assert [key for key, _ in shown(told(act, *stages, *storm, *flaps))[:2]] == ["ann", "5"]


@given(lines, lines, st.integers(1, 5), st.integers(1, 5))
def test_two_lines_that_are_one_add_up_whichever_was_first(one: Entry, two: Entry, this: int, that: int) -> None:
    first, second = dataclasses.replace(one, count=this), dataclasses.replace(two, count=that)
    there, back = entries.counted(first, second), entries.counted(second, first)
    assert there.count == back.count == this + that
    assert there.last == back.last == max(first.at, second.at)
