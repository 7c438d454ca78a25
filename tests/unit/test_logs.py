"""What the log says of a fight: who it is when it begins, and then only how often."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from structlog.testing import capture_logs

from daemon.model.follow_up import FollowUpKind
from daemon.model.gitops import Owner, Raise
from daemon.model.outcome import StepOutcome
from daemon.model.plan import ZeroRoute
from daemon.telemetry.logs import Logs, configure
from tests.unit import facts

APPS = Owner(FollowUpKind.KUSTOMIZATION, "flux-system", "apps")
BY = Raise(APPS, "kustomize-controller", facts.ROUTE, (), "add this")
VIEW = dataclasses.replace(facts.route(), writers=("kustomize-controller",))


@pytest.fixture(autouse=True)
def everything_is_logged() -> None:
    """Whatever a test before this one has left: a logger keeps the level that it was first used with."""
    configure(level="debug", style="json")


def fought(logs: Logs, first: int, last: int, by: Raise | None = BY, view: Any = VIEW) -> list[tuple[int, Any]]:
    with capture_logs() as lines:
        for times in range(first, last + 1):
            logs.raised_again(facts.REF, view, by, times)
    return [(one["times"], one.get("to_ignore")) for one in lines if one["event"] == "hold.pushed_back"]


def test_a_fight_is_told_when_it_begins_and_then_whenever_it_has_doubled() -> None:
    assert fought(Logs(), 1, 20) == [(1, "add this"), (2, None), (4, None), (8, None), (16, None)]


def test_another_writer_is_another_fight() -> None:
    logs = Logs()
    fought(logs, 1, 3)
    assert fought(logs, 4, 5, None, facts.route()) == [(1, None), (2, None)]
    assert fought(logs, 6, 6) == [(4, None)]


def test_the_next_rollback_tells_it_anew_whichever_replica_ended_the_last() -> None:
    logs = Logs()
    fought(logs, 1, 6)
    assert fought(logs, 1, 2) == [(1, "add this"), (2, None)]


def test_each_zero_that_a_fight_takes_is_no_line_of_its_own() -> None:
    logs = Logs()
    assert VIEW.zero is not None
    outcome = StepOutcome(ZeroRoute(VIEW.zero), facts.after(80))
    with capture_logs() as lines:
        logs.step_done(facts.REF, outcome)
        logs.raised_again(facts.REF, VIEW, BY, 1)
        logs.step_done(facts.REF, outcome)
    assert [one["log_level"] for one in lines if one["event"] == "step.done"] == ["info", "debug"]
