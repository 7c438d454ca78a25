"""To prove is the leader's: who has stopped leading meanwhile proves nothing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from daemon.model.canary import Canary, CanaryRef
from daemon.workflow.proving import Pace, Prover
from daemon.workflow.standing import Standings
from tests.unit import facts


@dataclass
class Scene:
    """A canary at zero, a Prometheus, and the lease, which may be lost while Prometheus is asked."""

    lost_while_asked: bool
    standings: Standings = field(default_factory=Standings)
    nudged: list[CanaryRef] = field(default_factory=list)
    leads: bool = True
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    def tells(self, _: Canary) -> bool:
        return True

    async def canary_rate(self, _: Canary) -> float:
        self.asked.set()
        await asyncio.sleep(0)
        self.leads = not self.lost_while_asked
        return 0.0

    def prover(self) -> Prover:
        canary = facts.canary()
        world: Any = SimpleNamespace(
            canary=lambda _: canary, routes=lambda _: [], records=lambda _: (), workload=lambda _: None,
            routes_known=lambda _: True,
        )  # fmt: skip
        gatherer: Any = SimpleNamespace(gather=lambda _ref, _standing: None)
        clock: Any = SimpleNamespace(now=lambda: facts.after(70))
        nobody: Any = None
        probe: Any = self
        return Prover(
            world=world, standings=self.standings, gatherer=gatherer, routes=nobody, names=nobody, probe=probe,
            clock=clock, nudge=self.nudged.append, leading=lambda: self.leads, pace=Pace(0.0, 0.01, 0.01),
        )  # fmt: skip


@pytest.mark.parametrize("lost", [False, True])
async def test_a_lease_that_was_lost_while_prometheus_was_asked_leaves_the_proof_to_the_next(lost: bool) -> None:
    scene = Scene(lost_while_asked=lost)
    standing = scene.standings.of(facts.REF)
    standing.begin(facts.intent(), durable=True, accepted=True)
    standing.zero_since = facts.after(65)
    prover = scene.prover()
    prover.look(facts.REF)
    async with asyncio.timeout(5):
        await scene.asked.wait()
        await asyncio.sleep(0.1)
    await prover.stop()
    assert (standing.proof is None, scene.nudged == []) == (lost, lost)
