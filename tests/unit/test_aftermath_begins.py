"""Whoever begins to lead looks at every canary, whether or not a record is left of what was done to it."""

from __future__ import annotations

import asyncio
import math
from typing import Any

from daemon.model.canary import CanaryRef
from daemon.workflow.aftermath import Aftermath
from daemon.workflow.leading import Leadership
from tests.unit import facts

OTHER = CanaryRef("shop", "other")


class _World:
    def all_records(self) -> Any:
        return iter([facts.record(canary=OTHER)])

    def canaries(self) -> Any:
        return iter([facts.canary()])


class _Pruning:
    async def run(self, _: Leadership) -> None:
        await asyncio.Event().wait()


class _Duty:
    name = "asked"

    def __init__(self) -> None:
        self.asked: set[CanaryRef] = set()

    def concerns(self, ref: CanaryRef) -> bool:
        self.asked.add(ref)
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
