"""What the stopwatch reads from the load: onset, last canary answer, and what came after the cut."""

from __future__ import annotations

import pytest

from daemon.sandbox.application import Application, Behaviour
from daemon.sandbox.load import Answer, Tally


@pytest.fixture
def tally() -> Tally:
    tally = Tally()
    for answer in (
        Answer(1.0, 1.1, "v1", 200),
        Answer(2.0, 2.1, "v2", 200),
        Answer(3.0, 3.1, "v2", 500),
        Answer(4.0, 5.5, "v2", 500),
        Answer(5.0, 5.1, "v1", 200),
        Answer(6.0, 6.1, "none", 503),
    ):
        tally.add(answer)
    return tally


def test_onset_is_the_first_bad_answer_of_the_canary(tally: Tally) -> None:
    assert tally.first_bad_at("v2") == 3.1
    assert tally.first_bad_at("v1") is None


def test_in_flight_at_the_cut_is_not_sent_after_it(tally: Tally) -> None:
    assert tally.sent_after(4.5, "v2") == 0
    assert tally.answered_after(4.5, "v2") == 1
    assert tally.last_answer_at("v2") == 5.5
    assert tally.last_sent_at("v2") == 4.0


def test_totals(tally: Tally) -> None:
    assert (tally.total, tally.bad) == (6, 3)
    assert tally.by_version_and_status["v2", 500] == 2
    assert tally.share("v2") == 0.5
    assert tally.share("v2", since=100.0) == 0.0


def test_errors_come_evenly() -> None:
    application = Application("v2", Behaviour(error_ratio=0.05))
    fails = [application._fails_now() for _ in range(100)]
    assert fails.count(True) == 5
    assert fails[19]


@pytest.mark.parametrize("behaviour", [{"error_ratio": 1.1}, {"error_ratio": -0.1}, {"latency_seconds": 61}])
def test_behaviour_has_limits(behaviour: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be within"):
        Behaviour(**behaviour)
