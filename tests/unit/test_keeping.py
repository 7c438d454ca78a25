"""Evidence of several rollbacks of one canary: whose pods are looked at first, and what holds up what."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from daemon.model import errors
from daemon.model.canary import Canary
from daemon.model.keeping import KeptEvidence
from daemon.model.rollback import Amendment, Rollback
from daemon.workflow.keeping import Keeping
from daemon.workflow.leading import Leadership
from tests.unit import facts

OLD, NEW = facts.record(name="podinfo-rev1", uid="r-1"), facts.record(name="podinfo-rev2", uid="r-2")


class World:
    """Two rollbacks, neither with evidence."""

    def canary(self, _: object) -> Canary:
        return facts.canary()

    def records(self, _: object) -> tuple[Rollback, ...]:
        return OLD, NEW


class Room:
    """Cannot write what it has of the old one."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def keep(self, _: Canary, record: Rollback, *, within: float) -> KeptEvidence:
        self.asked.append(record.name)
        if record is OLD:
            raise errors.Unreachable("not now")
        return KeptEvidence("it", facts.after(70), 1, ())

    def holds(self, _: Rollback) -> bool:
        return True


class Recorder:
    def __init__(self) -> None:
        self.amended: list[str] = []

    async def amend(self, _: object, name: str, change: Any) -> None:
        assert change(NEW) == Amendment(evidence=KeptEvidence("it", facts.after(70), 1, ()))
        self.amended.append(name)


async def test_what_cannot_be_written_of_an_old_one_holds_up_no_new_one() -> None:
    room, recorder, world, clock = Room(), Recorder(), World(), None
    duty = Keeping(
        world=world, recorder=recorder, room=room, clock=clock, within=1,  # type: ignore[arg-type]
    )  # fmt: skip
    with pytest.raises(errors.Unreachable, match="not now"):
        await duty.work(facts.REF, Leadership(asyncio.get_running_loop().time, math.inf))
    assert room.asked == [NEW.name, OLD.name]
    assert recorder.amended == [NEW.name]
