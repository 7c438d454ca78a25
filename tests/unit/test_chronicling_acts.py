"""What people did and what gates were heard to say, in the record; and the laws of writing it from several replicas."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.model.canary import CanaryPhase
from daemon.model.canary_revision import CanaryRevision, RevisionPhase, SeenActs, SeenCheck, SeenGate
from daemon.model.checking import CheckState, ImageDigest
from daemon.model.stages import Promotion
from daemon.policy import acts, approving, chronicling
from daemon.policy.chronicling import Sighting
from daemon.policy.noting import Notes
from tests.unit import facts, revisions
from tests.unit.revisions import record

UNBOUND = revisions.advance(revision="")
BY_NOBODY = revisions.advance(revision="", by="")


def seen(at: float = 2000, *, weight: float | None = 5, version: str = "", template: str = "t2", **changes: Any) -> Any:
    """The canary of ``record()``, and its workload."""
    workload = facts.workload(template=template, revision_number="7")
    return Sighting(facts.after(at), revisions.staged(**changes), workload, weight, version)


def after(before: CanaryRevision, *sightings: Sighting) -> CanaryRevision:
    for sighting in sightings:
        before = chronicling.updated(before, (before,), sighting, Notes())
    return before


def heard(before: CanaryRevision, **notes: Any) -> CanaryRevision:
    return chronicling.updated(before, (before,), seen(), Notes(**notes))


def texts(it: CanaryRevision) -> list[str]:
    return [line.text for line in it.entries]


# -- what people did


def test_every_act_is_told_once_and_by_whom() -> None:
    paused: dict[str, Any] = {"paused": True, "paused_by": "ann", "paused_reason": "lunch"}
    approved: dict[str, Any] = {"approval": revisions.approval(by=("ann", "ben"))}
    told = after(
        record(),
        seen(2001, **paused),
        seen(2002, **paused),
        seen(2003, advance=revisions.advance(25)),
        seen(2004, advance=revisions.advance(25), **approved),
        seen(2005, **approved),
        seen(2006),
    )
    assert texts(told) == [
        "paused by ann: lunch",
        "resumed by a person",
        "soaks up to 25% skipped by ann",
        "revision rev2 approved by ann, ben until 2026-11-23 08:45:00Z",
        "approval withdrawn",
    ]


def test_who_says_nothing_of_themselves_is_told_so() -> None:
    told = after(record(), seen(paused=True), seen(paused=True, advance=BY_NOBODY, approval=revisions.approval(by=())))
    assert texts(told) == [
        "paused by a person",
        "soaks up to 25% skipped by nobody named",
        "revision rev2 approved by nobody named until 2026-11-23 08:45:00Z",
    ]


def test_an_approval_is_seen_since_it_first_was_and_another_one_anew() -> None:
    first = after(record(), seen(2000, approval=revisions.approval()), seen(2100, approval=revisions.approval()))
    assert first.acts.approval_at == facts.after(2000)
    another = after(first, seen(2200, approval=revisions.approval(word="rev2 ben")))
    assert another.acts.approval_at == facts.after(2200)


def test_a_new_run_does_not_make_an_approval_young_again() -> None:
    said = revisions.approval(until=None)
    failed = dataclasses.replace(after(record(), seen(2000, approval=said)), phase=RevisionPhase.FAILED)
    again = after(failed, seen(30_000, approval=said, analysis_began=facts.after(30_000)))
    assert again.run == 2
    assert approving.expiry(said, again, Promotion().expires) == facts.after(2000 + 4 * 3600)


@pytest.mark.parametrize("phase", [RevisionPhase.PROMOTED, RevisionPhase.FAILED, RevisionPhase.SUPERSEDED])
def test_what_people_do_after_the_end_is_about_the_next(phase: RevisionPhase) -> None:
    ended = record(phase=phase)
    assert after(ended, seen(paused=True, phase=CanaryPhase.SUCCEEDED)) == ended


def test_an_advance_that_was_there_before_is_not_meant_for_this_revision() -> None:
    fresh = record(revision="", phase=RevisionPhase.PENDING, run=0, began=None, weights=())
    begun = after(fresh, seen(3, advance=UNBOUND))
    assert not acts.to_bind(begun, revisions.staged(advance=UNBOUND))
    assert texts(begun)[1:] == ["5% of traffic"]


def test_an_advance_that_is_said_during_the_analysis_is_bound_to_it() -> None:
    told = after(record(), seen(advance=UNBOUND))
    assert acts.to_bind(told, revisions.staged(advance=UNBOUND))
    assert not acts.to_bind(told, revisions.staged(advance=revisions.advance()))
    assert not acts.to_bind(told, revisions.staged(revision="rev3", advance=UNBOUND))
    assert not acts.to_bind(record(), revisions.staged(advance=UNBOUND)), "the record has not seen it yet"
    assert not acts.to_bind(None, revisions.staged(advance=UNBOUND))


def test_an_old_advance_that_is_said_again_is_meant() -> None:
    stale = record(acts=SeenActs(stale_advance="25", advance="25"))
    said_again = after(stale, seen(2000), seen(2001, advance=UNBOUND))
    assert acts.to_bind(said_again, revisions.staged(advance=UNBOUND))


# -- what this replica heard


def gate(reason: str, at: float, *, opened: bool = False) -> SeenGate:
    return SeenGate("rollout", opened, reason, f"{reason} at {at:g}", facts.after(at))


CLOSED: dict[str, tuple[list[SeenGate], float | None]] = {
    "for one reason": ([gate("paused", 10)], 10),
    "for one reason, said again and again": ([gate("paused", 10), gate("paused", 99)], 10),
    "for one reason after another": ([gate("paused", 10), gate("cannot-know", 20), gate("check-failed", 30)], 10),
    "by a soak, whose end is known": ([gate("soaking", 10)], None),
    "after a soak": ([gate("soaking", 10), gate("approval-missing", 20)], 20),
    "and by a soak again": ([gate("paused", 10), gate("soaking", 20)], None),
    "after it was open": ([gate("paused", 10), gate("open", 20, opened=True), gate("paused", 30)], 30),
    "no longer": ([gate("paused", 10), gate("open", 20, opened=True)], None),
}  # fmt: skip


@pytest.mark.parametrize("sentence", CLOSED)
@pytest.mark.parametrize("at_once", [True, False])
def test_since_when_a_gate_is_closed(sentence: str, at_once: bool) -> None:
    said, since = CLOSED[sentence]
    it = record()
    for notes in [tuple(said)] if at_once else [(one,) for one in said]:
        it = heard(it, gates=notes)
    held = it.gate("rollout")
    assert held is not None
    assert held.refusing_since == (None if since is None else facts.after(since))
    assert held.detail == said[-1].detail


def test_of_every_check_and_image_the_newest_is_kept_in_the_order_of_names() -> None:
    def check(name: str, state: CheckState) -> SeenCheck:
        return SeenCheck("rollout", name, state, "", facts.after(5))

    it = heard(record(), checks=(check("b", CheckState.FAILED), check("a", CheckState.PASSED)))
    it = heard(it, checks=(check("b", CheckState.PASSED),), digests=(ImageDigest("y", "1"), ImageDigest("x", "2")))
    assert it.checks == (check("a", CheckState.PASSED), check("b", CheckState.PASSED))
    assert it.digests == (ImageDigest("x", "2"), ImageDigest("y", "1"))


# -- laws

said: dict[str, st.SearchStrategy[Any]] = {
    "paused": st.booleans(),
    "advance": st.sampled_from([None, UNBOUND, revisions.advance(50)]),
    "approval": st.sampled_from([None, revisions.approval(), revisions.approval(until=None, word="w")]),
}
sightings = st.builds(
    seen,
    st.integers(0, 20_000),
    weight=st.sampled_from([None, 0, 5, 25, 50]),
    version=st.sampled_from(["", "90", "101", "102", "1000"]),
    template=st.sampled_from(["t2", "t2", "t3"]),
    phase=st.sampled_from(CanaryPhase) | st.just(CanaryPhase.PROGRESSING),
    revision=st.sampled_from(["rev2", "rev2", "rev3", ""]),
    analysis_began=st.sampled_from([None, facts.BEGAN, facts.after(4), facts.after(9000)]),
    **said,
)
starts = st.sampled_from(
    [record(), record(revision="", phase=RevisionPhase.PENDING, run=0, began=None, weights=())]
    + [record(phase=phase) for phase in RevisionPhase]
)  # fmt: skip


@settings(max_examples=300)
@given(starts, st.lists(sightings, max_size=12))
def test_what_was_seen_already_changes_nothing(it: CanaryRevision, world: list[Sighting]) -> None:
    for sighting in world:
        it = after(it, sighting)
        assert after(it, sighting) == it


@given(starts, st.lists(sightings, max_size=12))
def test_a_run_counts_up_one_at_a_time_and_begins_with_its_own_weights(
    it: CanaryRevision, world: list[Sighting]
) -> None:
    for sighting in world:
        before, it = it, after(it, sighting)
        assert it.run - before.run in {0, 1}
        if it.run > before.run:
            assert len(it.weights) <= 1
            assert all(one.since == sighting.now for one in it.weights)
            assert it.began is not None
        else:
            assert it.weights[: len(before.weights)] == before.weights
        assert len(it.weights) - len(before.weights) <= 1


HISTORY = ((0, 100), (5, 101), (25, 108), (5, 112), (0, 113), (25, 120), (50, 1001))
"""What the routes said one after another, and the version of each."""


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=60))
def test_replicas_that_lag_add_no_weight_twice_and_none_that_is_over(moves: list[tuple[int, int]]) -> None:
    """Each replica sees the whole history, in its own time; each writes what it sees into the one record."""
    it, places = record(weights=()), [0, 0, 0]
    for step, (replica, ahead) in enumerate(moves):
        places[replica] = min(places[replica] + ahead, len(HISTORY) - 1)
        weight, version = HISTORY[places[replica]]
        it = after(it, seen(step, weight=weight, version=str(version)))
        versions = [int(one.version) for one in it.weights]
        assert versions == sorted(set(versions))
        assert all((one.weight, int(one.version)) in HISTORY for one in it.weights)
        assert all(one.weight != two.weight for one, two in zip(it.weights, it.weights[1:], strict=False))
    stages = [line.key for line in it.entries]
    assert stages == [f"{one.weight:g}" for one in it.weights]


@given(st.lists(st.booleans(), max_size=20))
def test_a_replica_that_still_sees_the_revision_before_ends_nothing(who: list[bool]) -> None:
    """Two replicas take turns; one of them has not seen yet that another analysis has begun."""
    began = facts.after(9000)
    it = record(began=began, revision="rev3", template="t3")
    late: Sighting = seen(9001, version="90", weight=50)
    here: Sighting = seen(9001, version="200", weight=5, revision="rev3", template="t3", analysis_began=began)
    it = after(it, here)
    assert after(it, *[late if lags else here for lags in who]) == it
