"""The backstop asks on, whatever it is told and whatever becomes of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from daemon.model import errors
from daemon.model.decision import Decision, Reason, Verdict
from daemon.model.signal import AlertGroup
from daemon.workflow.intake import Answer, GroupAnswer
from daemon.workflow.pulling import Pulling

NOTHING = AlertGroup(alerts=(), truncated=0, group_key="", receiver="")
EVERY = 600.0


@dataclass
class Alertmanager:
    """Keeps ``ports.FiringAlerts``: fails so many times, then answers with nothing."""

    failures: int = 0
    asked: list[float] = field(default_factory=list)

    async def firing(self) -> AlertGroup:
        self.asked.append(asyncio.get_running_loop().time())
        if len(self.asked) <= self.failures:
            raise errors.Unreachable("connection refused")
        return NOTHING


@dataclass
class Listener:
    """The one thing of an observer that is told here."""

    told: list[errors.NeighbourError | None] = field(default_factory=list)

    def pulled(self, _count: int, error: errors.NeighbourError | None) -> None:
        self.told.append(error)


class Longest:
    def between(self, _low: float, high: float) -> float:
        return high


async def nothing(_: AlertGroup) -> GroupAnswer:
    return GroupAnswer((), 0)


async def pulled(
    alerts: Any, take: Callable[[AlertGroup], Awaitable[GroupAnswer]], seconds: float, *, every: float = EVERY
) -> list[errors.NeighbourError | None]:
    listener: Any = Listener()
    pulling = Pulling(
        alerts=alerts, take=take, ready=lambda: "", observer=listener, chance=Longest(), every=every
    )  # fmt: skip
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await pulling.run()
    told: list[errors.NeighbourError | None] = listener.told
    return told


async def test_an_alert_that_nobody_can_judge_ends_no_asking() -> None:
    """Its webhook would be answered 500; a daemon that ends with it would meet it again at the next start."""
    alertmanager = Alertmanager()

    async def surprised(_: AlertGroup) -> GroupAnswer:
        raise KeyError("what nobody foresaw")

    told = await pulled(alertmanager, surprised, 0.5, every=0.05)
    assert len(alertmanager.asked) >= 2
    assert all(isinstance(error, errors.Unreachable) and "foresaw" in str(error) for error in told)


async def test_nobody_is_asked_before_the_world_was_seen_whole_and_then_at_once() -> None:
    alertmanager: Any = Alertmanager()
    listener: Any = Listener()
    waits_for = ["the world has not been seen whole"] * 2

    def ready() -> str:
        return waits_for.pop() if waits_for else ""

    pulling = Pulling(
        alerts=alertmanager, take=nothing, ready=ready, observer=listener, chance=Longest(), every=EVERY
    )  # fmt: skip
    began = asyncio.get_running_loop().time()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1.5):
            await pulling.run()
    (asked,) = alertmanager.asked
    assert asked - began >= 0.4


async def test_what_could_not_be_made_durable_is_asked_for_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.workflow.pulling._SOON", 0.05)
    again = Answer("", Decision(Verdict.IGNORE, Reason.CANNOT_KNOW, "the mailbox is full"), retry=True)

    async def full(_: AlertGroup) -> GroupAnswer:
        return GroupAnswer((again,), 0)

    alertmanager = Alertmanager()
    await pulled(alertmanager, full, 0.5)
    assert len(alertmanager.asked) >= 3


async def test_what_was_not_answered_is_asked_again_soon_then_ever_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.workflow.pulling._SOON", 0.05)
    alertmanager = Alertmanager(failures=3)
    told = await pulled(alertmanager, nothing, 2.0)
    first, second, third, fourth = alertmanager.asked
    assert [second - first >= 0.05, third - second >= 0.1, fourth - third >= 0.2] == [True] * 3
    assert [error is None for error in told] == [False, False, False, True]


async def test_it_is_never_asked_later_than_it_is_anyway(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.workflow.pulling._SOON", 0.05)
    alertmanager = Alertmanager(failures=1_000)
    await pulled(alertmanager, nothing, 0.6, every=0.06)
    assert len(alertmanager.asked) >= 7
