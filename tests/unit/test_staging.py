"""Where a staged release stands, by the record of its weights alone."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.model.stages import Stage
from daemon.policy import staging
from tests.unit import facts, revisions
from tests.unit.revisions import STAGES

LATER = 10_000.0

SOAKS: dict[str, tuple[list[tuple[float, float]], float, tuple[float, float] | None]] = {
    "at the weight of a stage": ([(0, 0), (5, 900)], 5, (5, 900)),
    "between two stages it is still the lower one": ([(0, 0), (5, 900), (15, 1000)], 15, (5, 900)),
    "steps within one stage do not begin it anew": ([(5, 0), (10, 60), (15, 120), (20, 180)], 20, (5, 0)),
    "a weight that was taken away does": ([(25, 0), (0, 600), (25, 660)], 25, (25, 660)),
    "back from a higher stage it begins anew": ([(25, 0), (50, 600), (25, 660)], 25, (25, 660)),
    "back to a lower weight of the same stage it does not": ([(25, 0), (40, 600), (25, 660)], 25, (25, 0)),
    "at the last stage and above": ([(50, 0), (90, 60)], 90, (50, 0)),
    "a share of a whole number is that number": ([(5.004, 900)], 5, (5, 900)),
    "just below a stage by a rounding is in it": ([(4.995, 900)], 4.995, (5, 900)),
    "the record has not come there yet": ([(0, 0)], 5, None),
    "nothing is recorded": ([], 5, None),
}  # fmt: skip


@pytest.mark.parametrize("sentence", SOAKS)
def test_a_soak_lasts_since_its_stage_was_entered_last(sentence: str) -> None:
    seen, weight, expected = SOAKS[sentence]
    soak = staging.soak(STAGES, revisions.weights(*seen), weight, facts.after(LATER))
    if expected is None:
        assert soak is None
        return
    assert soak is not None
    stage, since = expected
    assert (soak.stage.weight, soak.since, soak.lasted) == (stage, facts.after(since), LATER - since)


def test_no_stage_speaks_of_a_weight_below_the_first() -> None:
    stages = (Stage(25, 600), Stage(50, 600))
    assert staging.stage_at(stages, 5) is None
    assert staging.soak(stages, revisions.weights((5, 0)), 5, facts.after(60)) is None
    assert staging.stage_at((), 5) is None


def test_what_is_left_ends_at_zero_and_a_clock_that_lags_makes_nothing_negative() -> None:
    seen = revisions.weights((5, 900))
    moments = {899: (0.0, 1800.0), 900: (0.0, 1800.0), 2699: (1799.0, 1.0), 2700: (1800.0, 0.0), 9900: (9000.0, 0.0)}
    for at, told in moments.items():
        soak = staging.soak(STAGES, seen, 5, facts.after(at))
        assert soak is not None
        assert (soak.lasted, soak.left) == told


@pytest.mark.parametrize(
    ("steps", "weight", "ahead"),
    [
        ((5, 25, 50), 0, 5),
        ((5, 25, 50), 5, 25),
        ((5, 25, 50), 5.004, 25),
        ((5, 25, 50), 50, 100),
        ((5, 25, 50), 10, 100),
        ((5, 25, 50), 0.004, 5),
        ((5, 25, 50), 100, 100),
        ((), 0, 100),
    ],
)
def test_where_the_controller_goes_from_here(steps: tuple[float, ...], weight: float, ahead: float) -> None:
    assert staging.next_weight(steps, weight) == ahead


WEIGHTS: st.SearchStrategy[float] = st.sampled_from([0.0, 5.0, 10.0, 25.0, 30.0, 50.0, 100.0])


def one_after_another(seen: list[tuple[float, int]]) -> list[tuple[float, float]]:
    """Weights, and when each began, from how long each lasted."""
    begins = itertools.accumulate((lasted for _, lasted in seen), initial=0)
    return [(weight, at) for (weight, _), at in zip(seen, begins, strict=False)]


histories = st.lists(st.tuples(WEIGHTS, st.integers(1, 900)), min_size=1, max_size=12).map(one_after_another)


@given(histories, st.integers(0, 5000))
def test_it_never_counts_time_at_which_the_weight_was_in_another_stage(
    seen: list[tuple[float, float]], more: int
) -> None:
    now, weight = facts.after(seen[-1][1] + more), seen[-1][0]
    soak = staging.soak(STAGES, revisions.weights(*seen), weight, now)
    assert soak is not None
    within = [one for one in seen if facts.after(one[1]) >= soak.since]
    assert {staging.stage_at(STAGES, one[0]) for one in within} == {soak.stage}
    before = seen[: -len(within)]
    assert not before or staging.stage_at(STAGES, before[-1][0]) != soak.stage
    assert soak.lasted == pytest.approx((now - soak.since).total_seconds())
    assert soak.left == max(0.0, soak.stage.soak - soak.lasted)


@given(histories, WEIGHTS, st.integers(0, 5000))
def test_another_weight_that_comes_after_never_makes_a_soak_longer(
    seen: list[tuple[float, float]], other: float, more: int
) -> None:
    now = facts.after(seen[-1][1] + more)
    before = staging.soak(STAGES, revisions.weights(*seen), seen[-1][0], now)
    there_and_back = [*seen, (other, seen[-1][1]), (seen[-1][0], seen[-1][1])]
    after = staging.soak(STAGES, revisions.weights(*there_and_back), seen[-1][0], now)
    assert before is not None
    assert after is not None
    assert after.since >= before.since
