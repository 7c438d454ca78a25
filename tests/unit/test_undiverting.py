"""A diverted Service is given back whenever its canary is there to say which it is."""

from __future__ import annotations

from typing import Any

from daemon.model.rollback import Condition, Milestone, RollbackPhase
from daemon.workflow.leading import Leadership
from daemon.workflow.undiverting import Undiverting
from tests.unit import facts


class World:
    """A finished rollback with the second brake; its canary comes and goes."""

    def __init__(self) -> None:
        self.there: Any = None
        braked = Condition(Milestone.SECOND_BRAKE, "write-refused", "diverted", facts.after(70))
        self._record = facts.record(RollbackPhase.COMPLETED, conditions=(braked,))

    def canary(self, _: object) -> Any:
        return self.there

    def records(self, _: object) -> Any:
        return (self._record,)


class Brakes:
    def __init__(self) -> None:
        self.given_back: list[tuple[str, str]] = []

    async def undivert(self, namespace: str, canary: str) -> None:
        self.given_back.append((namespace, canary))


async def test_it_waits_for_a_canary_that_is_away() -> None:
    world, brakes, leads = World(), Brakes(), Leadership(lambda: 0.0, 1.0)
    duty = Undiverting(world=world, brakes=brakes)  # type: ignore[arg-type]
    assert await duty.work(facts.REF, leads) is None
    assert duty.concerns(facts.REF)
    world.there = facts.canary()
    assert await duty.work(facts.REF, leads) is None
    assert brakes.given_back == [("shop", "podinfo-canary")]
    assert not duty.concerns(facts.REF)
