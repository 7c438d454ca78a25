"""Whatever network, pauses and wall clocks do, two never hold at once; and when it is over, somebody leads.

The same runs find a second leader with electors that break one rule each: what they look at can fail.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from daemon.model.lease import LeaseSeen, Terms
from daemon.workflow import leading
from daemon.workflow.claiming import Claim
from daemon.workflow.leading import Leadership
from tests.unit.electing import Fate, Replica, Stage

RUNS = 200
TROUBLE = 120.0
FAULTS = ("refused", "throttled", "unreachable", "hang", "lost", "unanswered")


class TwoLeadError(AssertionError):
    """What must not be."""


@dataclass
class Troubles:
    """One replica's faults: in spells of some seconds each, of one kind, or of all kinds mixed."""

    stage: Stage
    source: random.Random
    over_at: float
    longest_wait: float
    kind: str = ""

    def begin_spell(self) -> None:
        self.kind = self.source.choice(["", "", "", "mixed", "slow", "fading", "fading", *FAULTS])
        world = self.stage.world
        world.at(world.now + self.source.choice([5, 40]) * self.source.random(), self.begin_spell)

    def fate(self, _verb: str) -> Fate:
        left = self.over_at - self.stage.now
        if left <= 0:
            return Fate(there=0.02, back=0.02)
        there, back = self.source.uniform(0, 0.05), self.source.uniform(0, 0.05)
        kind = self.kind
        if kind == "mixed":
            kind = self.source.choice(["", "slow", *FAULTS])
        if kind == "fading":  # the last answer is nearly too late, and then there is none
            self.kind, kind = "hang", ""
            there, back = 0.0, self.longest_wait * 0.95
        if kind == "slow":  # on the way there, or back: a write may take effect long after it was given up
            there, back = self.source.choice([(0.0, 8.0), (8.0, 0.0), (30.0, 0.0), (4.0, 4.0)])
            there, back = self.source.uniform(0, there), self.source.uniform(0, back)
        return Fate(kind if kind in FAULTS else "", min(there, left), back)


def plan_pauses(stage: Stage, replica: Replica, source: random.Random, over_at: float) -> None:
    """The process is stopped now and then, and its wall clock jumps."""
    world = stage.world
    when = world.now + source.expovariate(1 / 30)
    while when < over_at:
        until = min(when + source.choice([0.3, 3.0, 12.0, 40.0]) * source.random(), over_at)
        world.at(when, replica.loop.stop)
        world.at(until, replica.loop.go_on)
        when = until + source.expovariate(1 / 30)

    def jump() -> None:
        replica.clock.off = source.uniform(-1e5, 1e5)
        world.at(world.now + source.uniform(5, 40), jump)

    world.at(world.now + source.uniform(5, 40), jump)


def watch(stage: Stage) -> Callable[[], None]:
    def look() -> None:
        holding = [replica.name for replica in stage.replicas if replica.holds()]
        if len(holding) > 1:
            raise TwoLeadError(f"{holding} at {stage.now}")

    return look


def random_terms(source: random.Random) -> Terms:
    duration = float(source.randint(4, 15))
    deadline = duration - source.uniform(0.2, source.choice([0.6, duration / 2]))
    return Terms(duration, deadline, source.uniform(0.3, deadline / 4))


def run_at_random(seed: int) -> Stage:
    """Raises TwoLeadError when two hold at once, at any moment."""
    source = random.Random(seed)
    terms = random_terms(source)
    with Stage(seed, terms) as stage:
        over_at = stage.now + TROUBLE
        for name in "abc"[: source.choice([2, 3])]:
            replica = stage.add(name)
            troubles = Troubles(stage, source, over_at, terms.renew_deadline / 2)
            replica.line.fate = troubles.fate
            troubles.begin_spell()
            plan_pauses(stage, replica, source, over_at)
        stage.world.after_each_step = watch(stage)
        stage.run(TROUBLE)
        # What hangs then is given up, what others have promised is waited out, and a few retries are free.
        stage.run(terms.renew_deadline / 2 + terms.written_seconds + 4 * terms.retry + 1)
        assert len(stage.leaders) == 1, f"seed {seed}: nobody leads"
    return stage


def test_two_never_hold_at_once_and_somebody_leads_when_the_trouble_is_over() -> None:
    takeovers = leaderships = losses = 0
    for seed in range(RUNS):
        stage = run_at_random(seed)
        leaderships += sum(len(replica.began) for replica in stage.replicas)
        takeovers += max(lease.transitions for _, lease in stage.server.writes)
        losses += sum(len(replica.said("lost")) for replica in stage.replicas)

    # Not vacuous: leadership was won, lost and handed over all the time.
    assert leaderships > 3 * RUNS
    assert losses > 2 * RUNS
    assert takeovers > RUNS


class CountsFromTheAnswer(Claim):
    """Wrong: a renewal is good from when it was answered."""

    async def attempt(self, until: float = float("inf")) -> float | None:
        sent_at = await super().attempt(until)
        return None if sent_at is None else leading._now()


class TakesOverAfterRetry(Claim):
    """Wrong: what the holder promised is not waited out."""

    def _is_free(self) -> bool:
        return self._promise == 0 or leading._now() - self._since >= self._terms.retry


class ComparesWallClocks(Claim):
    """Wrong: the age of a lease is what its holder's clock and ours say."""

    def _is_free(self) -> bool:
        if self._seen is None or self._promise == 0 or self._seen.renewed_at is None:
            return super()._is_free()
        return (self._clock.now() - self._seen.renewed_at).total_seconds() >= self._promise


class OverwritesWhatItDidNotSee(Claim):
    """Wrong: writes whatever version is there."""

    async def _write(self, lease: LeaseSeen | None, until: float) -> float:
        if lease is not None:
            current = self._store.server.lease  # type: ignore[attr-defined]
            lease = LeaseSeen(lease.holder, 1, 1, None, None, current.resource_version)
        return await super()._write(lease, until)


class TrustsAFlag(Leadership):
    """Wrong: holds until a timer has run that says otherwise."""

    def __init__(self, time: Callable[[], float], until: float) -> None:
        super().__init__(time, until)
        self._timer: asyncio.TimerHandle | None = None
        self.extend(until)

    def holds(self) -> bool:
        return self._flag

    def extend(self, until: float) -> None:
        super().extend(until)
        self._flag = True
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(until, self._lower)

    def end(self) -> None:
        super().end()
        self._lower()

    def _lower(self) -> None:
        self._flag = False


@pytest.mark.parametrize(
    "wrong", [CountsFromTheAnswer, TakesOverAfterRetry, ComparesWallClocks, OverwritesWhatItDidNotSee, TrustsAFlag]
)
def test_an_elector_that_breaks_a_rule_is_found_out(
    monkeypatch: pytest.MonkeyPatch, wrong: type[Claim] | type[Leadership]
) -> None:
    monkeypatch.setattr(leading, "Claim" if issubclass(wrong, Claim) else "Leadership", wrong)

    assert any(two_lead(seed) for seed in range(RUNS))


def two_lead(seed: int) -> bool:
    try:
        run_at_random(seed)
    except TwoLeadError:
        return True
    return False
