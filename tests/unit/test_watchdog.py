"""The dead man's switch: what counts as a heartbeat, and what silence is said to be."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest

from daemon.model.decision import Reason
from daemon.model.signal import AlertGroup, Source
from daemon.workflow.intake import Intake
from daemon.workflow.watchdog import Watchdog
from tests.unit import facts

BEAT = dataclasses.replace(facts.alert(), labels={"alertname": "Watchdog"})


class _Observer:
    def signal_judged(self, *_: object) -> None:
        """Nothing is done about it."""


async def taken(alert: Any, source: Source = Source.ALERTMANAGER) -> tuple[int, Reason]:
    heard: list[int] = []
    nobody: Any = None
    observer: Any = _Observer()
    intake = Intake(
        gatherer=nobody, mailboxes=nobody, observer=observer, rules=(), watchdog="Watchdog",
        heartbeat=lambda: heard.append(1), truncated=lambda: None, answer_within=1.0, ready=lambda: "",
        fresh=lambda: True,
    )  # fmt: skip
    answer = await intake.take(AlertGroup(alerts=(alert,), truncated=0, group_key="", receiver=""), facts.BEGAN, source)
    return len(heard), answer.alerts[0].decision.reason


async def test_a_watchdog_that_fires_is_a_heartbeat() -> None:
    assert await taken(BEAT) == (1, Reason.HEARTBEAT)


async def test_one_that_was_found_by_asking_shows_nothing_of_the_road() -> None:
    assert await taken(BEAT, Source.PULL) == (0, Reason.HEARTBEAT)


async def test_its_end_is_none() -> None:
    """Alertmanager says so when Prometheus no longer sends it: half of the road is cut."""
    assert await taken(dataclasses.replace(BEAT, firing=False)) == (0, Reason.HEARTBEAT)


async def test_silence_is_said_to_be_what_it_is() -> None:
    watchdog = Watchdog(expected=True, late=0.2)
    assert watchdog.warning() == ""
    await asyncio.sleep(0.25)
    assert "has never come to this replica since the start" in watchdog.warning()
    watchdog.heard()
    assert watchdog.warning() == ""
    assert watchdog.age() == pytest.approx(0, abs=0.15)
    await asyncio.sleep(0.25)
    assert "last came" in watchdog.warning()
    unexpected = Watchdog(expected=False, late=0.0)
    assert (unexpected.age(), unexpected.warning()) == (None, "")
