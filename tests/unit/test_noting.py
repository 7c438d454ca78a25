"""What a replica keeps until it is written: bounded, nothing lost but the oldest, what is said twice counted."""

from __future__ import annotations

import dataclasses
from functools import reduce

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.model.canary_revision import Entry, EntryKind, SeenCheck, SeenGate
from daemon.model.checking import CheckState, ImageDigest
from daemon.policy import noting
from daemon.policy.noting import Notes
from tests.unit import facts


def line(key: str, at: float, text: str = "") -> Entry:
    return Entry(facts.after(at), EntryKind.HOOK, key, text or key)


def gate(reason: str, at: float, *, hook: str = "rollout", opened: bool = False, detail: str = "") -> SeenGate:
    return SeenGate(hook, opened, reason, detail or reason, facts.after(at))


def check(state: CheckState, at: float, name: str = "errors") -> SeenCheck:
    return SeenCheck("rollout", name, state, str(state), facts.after(at))


def test_nothing_is_nothing() -> None:
    assert not Notes()
    assert not noting.together(Notes(), Notes())
    assert Notes(entries=(line("a", 1),))


def test_a_line_that_is_said_again_is_counted_with_its_newest_words() -> None:
    both = noting.together(Notes(entries=(line("a", 1, "old"),)), Notes(entries=(line("b", 2), line("a", 3, "new"))))
    assert [(one.key, one.count, one.text) for one in both.entries] == [("a", 2, "new"), ("b", 1, "b")]


def test_what_a_gate_said_last_comes_last_and_it_said_so_since_it_first_did() -> None:
    both = noting.together(
        Notes(gates=(gate("soaking", 1), gate("paused", 2))), Notes(gates=(gate("soaking", 3, detail="new"),))
    )
    assert [(one.reason, one.at, one.detail) for one in both.gates] == [
        ("paused", facts.after(2), "paused"),
        ("soaking", facts.after(1), "new"),
    ]


def test_of_a_check_and_an_image_the_newest_is_kept() -> None:
    first = Notes(checks=(check(CheckState.FAILED, 1),), digests=(ImageDigest("v2", "sha256:1"),))
    second = Notes(checks=(check(CheckState.PASSED, 2),), digests=(ImageDigest("v2", "sha256:2"),))
    assert noting.together(first, second) == second


def test_what_is_older_than_a_moment_is_let_go_and_digests_are_not() -> None:
    again = dataclasses.replace(line("a", 1), last=facts.after(20))
    notes = Notes(
        entries=(line("b", 9), again, line("c", 10)),
        gates=(gate("soaking", 9), gate("paused", 10)),
        checks=(check(CheckState.PASSED, 9), check(CheckState.PASSED, 10, "latency")),
        digests=(ImageDigest("v2", "sha256:1"),),
    )
    kept = noting.since(notes, facts.after(10))
    assert [one.key for one in kept.entries] == ["a", "c"]
    assert [one.reason for one in kept.gates] == ["paused"]
    assert [one.name for one in kept.checks] == ["latency"]
    assert kept.digests == notes.digests


moments = st.integers(0, 100)
notes = st.builds(
    Notes,
    entries=st.lists(st.builds(line, st.sampled_from("abc"), moments), max_size=4).map(tuple),
    gates=st.lists(st.builds(gate, st.sampled_from(["soaking", "paused"]), moments), max_size=4).map(tuple),
    checks=st.lists(st.builds(check, st.sampled_from(CheckState), moments), max_size=2).map(tuple),
)


@given(st.lists(notes, max_size=6))
def test_however_they_are_put_together_the_counts_add_up_and_the_last_word_stands(heard: list[Notes]) -> None:
    one_by_one = reduce(noting.together, heard, Notes())
    from_the_end = reduce(lambda later, earlier: noting.together(earlier, later), reversed(heard), Notes())
    assert {one.key: (one.count, one.last or one.at) for one in one_by_one.entries} == {
        one.key: (one.count, one.last or one.at) for one in from_the_end.entries
    }
    said = [one for each in heard for one in each.entries]
    assert sum(one.count for one in one_by_one.entries) == len(said)
    answered = [one for each in heard for one in each.gates]
    assert [one.reason for one in one_by_one.gates[-1:]] == [one.reason for one in answered[-1:]]
    assert one_by_one.gates == from_the_end.gates
    assert one_by_one.checks == from_the_end.checks


@settings(max_examples=15)
@given(st.lists(st.integers(0, 100), min_size=190, max_size=260))
def test_it_stays_small_however_much_is_said(times: list[int]) -> None:
    kept = Notes()
    for place, at in enumerate(times):
        kept = noting.together(kept, Notes(entries=(line(str(place), at),), gates=(gate(str(place), at),)))
    assert [one.key for one in kept.entries] == [str(place) for place in range(len(times))][-200:]
    assert [one.reason for one in kept.gates] == [str(place) for place in range(len(times))][-200:]
