"""Whoever begins to lead looks at every canary, whether or not a record is left of what was done to it."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Any

from daemon.model.canary import CanaryRef
from daemon.workflow.aftermath import Aftermath
from daemon.workflow.leading import Leadership
from tests.unit import facts

OTHER = CanaryRef("shop", "other")


class _World:
    def __init__(self, canaries: int = 1) -> None:
        self._canaries = canaries

    def all_records(self) -> Any:
        return iter([facts.record(canary=OTHER)])

    def canaries(self) -> Any:
        refs = (CanaryRef(facts.REF.namespace, f"{facts.REF.name}-{number}") for number in range(1, self._canaries))
        return iter([facts.canary(), *(facts.canary(ref=ref) for ref in refs)])


class _Pruning:
    async def run(self, _: Leadership) -> None:
        await asyncio.Event().wait()


class _Duty:
    name = "asked"

    def __init__(self, seconds: float = 0.0) -> None:
        self.asked: set[CanaryRef] = set()
        self.first: CanaryRef | None = None
        self._seconds = seconds

    def concerns(self, ref: CanaryRef) -> bool:
        self.first = self.first or ref
        self.asked.add(ref)
        time.sleep(self._seconds)
        return False


async def test_canaries_with_a_record_and_those_without_are_asked_about() -> None:
    duty: Any = _Duty()
    nobody: Any = None
    world: Any = _World()
    pruning: Any = _Pruning()
    aftermath = Aftermath(world=world, duties=[duty], pruning=pruning, observer=nobody, chance=nobody)
    leading = asyncio.create_task(aftermath.lead(Leadership(asyncio.get_running_loop().time, math.inf)))
    await asyncio.sleep(0)
    leading.cancel()
    await asyncio.gather(leading, return_exceptions=True)
    assert duty.asked == {facts.REF, OTHER}


async def test_the_first_look_keeps_no_alert_waiting_and_begins_where_something_was_done() -> None:
    duty: Any = _Duty(seconds=0.0005)
    nobody: Any = None
    world: Any = _World(canaries=100)
    pruning: Any = _Pruning()
    aftermath = Aftermath(world=world, duties=[duty], pruning=pruning, observer=nobody, chance=nobody)
    leading = asyncio.create_task(aftermath.lead(Leadership(asyncio.get_running_loop().time, math.inf)))
    turns = 0
    while len(duty.asked) < 101:
        await asyncio.sleep(0)
        turns += 1
    leading.cancel()
    await asyncio.gather(leading, return_exceptions=True)
    assert turns > 10
    assert duty.first == OTHER
