"""A stage for electors: an API server in memory with faults, wall clocks that lie, and virtual time."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from daemon.model import errors
from daemon.model.lease import LeaseSeen, Terms
from daemon.workflow.leading import Elector, Leadership
from tests.unit.virtual_time import VirtualLoop, VirtualTime

EPOCH = datetime.datetime(2024, 5, 1, tzinfo=datetime.UTC)
REFUSALS: dict[str, Callable[[], errors.NeighbourError]] = {
    "refused": lambda: errors.Refused("403"),
    "throttled": lambda: errors.Throttled("429", 1.0),
    "unreachable": lambda: errors.Unreachable("503"),
}

Work = Callable[[Leadership], Awaitable[None]]


@dataclass(slots=True)
class Fate:
    """What becomes of one request: ``there`` seconds until it takes effect, ``back`` more until it is answered.

    ``fault``: empty; a key of REFUSALS (no effect); "hang" (no effect, no answer); "lost" (effect, then a 5xx);
    "unanswered" (effect, and no answer).
    """

    fault: str = ""
    there: float = 0.01
    back: float = 0.01


class Server:
    """The one lease there is, with resource versions as an API server counts them."""

    def __init__(self, world: VirtualTime) -> None:
        self.world = world
        self.lease: LeaseSeen | None = None
        self.writes: list[tuple[float, LeaseSeen]] = []
        self._version = 100

    def put(self, lease: LeaseSeen) -> LeaseSeen:
        self._version += 1
        self.lease = dataclasses.replace(lease, resource_version=str(self._version))
        self.writes.append((self.world.now, self.lease))
        return self.lease

    def read(self) -> LeaseSeen:
        if self.lease is None:
            raise errors.Missing("no lease")
        return self.lease

    def create(self, lease: LeaseSeen) -> LeaseSeen:
        if self.lease is not None:
            raise errors.AlreadyThere("taken")
        return self.put(lease)

    def replace(self, lease: LeaseSeen) -> LeaseSeen:
        if self.read().resource_version != lease.resource_version:
            raise errors.Conflict("stale")
        if lease == self.lease:
            return lease  # as an API server does: nothing changes, nothing is written
        return self.put(lease)


def well(_verb: str) -> Fate:
    """No fault, and quickly."""
    return Fate()


@dataclass
class Line:
    """One elector's way to the server: keeps ``LeaseStore``."""

    server: Server
    loop: VirtualLoop
    fate: Callable[[str], Fate] = well
    asked: list[tuple[float, str]] = field(default_factory=list)

    async def read(self) -> LeaseSeen:
        return await self._request("read", self.server.read)

    async def create(self, lease: LeaseSeen) -> LeaseSeen:
        return await self._request("create", lambda: self.server.create(lease))

    async def replace(self, lease: LeaseSeen) -> LeaseSeen:
        return await self._request("replace", lambda: self.server.replace(lease))

    async def _request(self, verb: str, effect: Callable[[], LeaseSeen]) -> LeaseSeen:
        fate = self.fate(verb)
        world, answer = self.server.world, self.loop.create_future()
        self.asked.append((world.now, verb))

        def deliver(result: LeaseSeen | BaseException) -> None:
            # Queued: a loop that is stopped finds it when it goes on.
            self.loop.call_soon(_settle, answer, result)

        def arrive() -> None:
            result: LeaseSeen | BaseException
            try:
                result = effect()
            except errors.NeighbourError as error:
                result = error
            if fate.fault == "lost":
                result = errors.Unreachable("500 after the write")
            if fate.fault != "unanswered":
                world.at(world.now + fate.back, lambda: deliver(result))

        if fate.fault in REFUSALS:
            world.at(world.now + fate.there, lambda: deliver(REFUSALS[fate.fault]()))
        elif fate.fault != "hang":
            world.at(world.now + fate.there, arrive)
        seen: LeaseSeen = await answer
        return seen


def _settle(answer: asyncio.Future[LeaseSeen], result: LeaseSeen | BaseException) -> None:
    if answer.done():
        return
    if isinstance(result, BaseException):
        answer.set_exception(result)
    else:
        answer.set_result(result)


@dataclass
class WallClock:
    """Keeps ``ports.Clock``; ``off`` by so many seconds, or standing still."""

    world: VirtualTime
    off: float = 0.0
    frozen: bool = False

    def now(self) -> datetime.datetime:
        if self.frozen:
            return EPOCH
        return EPOCH + datetime.timedelta(seconds=self.world.now + self.off)


@dataclass
class SeededChance:
    """Keeps ``ports.Chance``."""

    source: random.Random

    def between(self, low: float, high: float) -> float:
        return self.source.uniform(low, high)


@dataclass
class Replica:
    """One process: a loop, a clock, a line, an elector, and what it said."""

    name: str
    loop: VirtualLoop
    line: Line
    clock: WallClock
    work: Work | None = None
    news: list[tuple[float, str, str]] = field(default_factory=list)
    leaderships: list[Leadership] = field(default_factory=list)
    acts: list[float] = field(default_factory=list)
    began: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    elector: Elector = field(init=False)
    task: asyncio.Task[None] = field(init=False)

    def said(self, what: str) -> list[str]:
        return [detail for _, one, detail in self.news if one == what]

    def holds(self) -> bool:
        return any(leadership.holds() for leadership in self.leaderships)

    async def lead(self, leadership: Leadership) -> None:
        self.leaderships.append(leadership)
        self.began.append(self.loop.time())
        try:
            if self.work is not None:
                return await self.work(leadership)
            while True:
                leadership.check()
                self.acts.append(self.loop.time())
                await asyncio.sleep(0.1)
        finally:
            self.ended.append(self.loop.time())


class Stage:
    """A world with one lease and some replicas. Use as a context: what still runs at its end is ended."""

    def __init__(self, seed: int = 1, terms: Terms | None = None) -> None:
        self.world = VirtualTime()
        self.server = Server(self.world)
        self.replicas: list[Replica] = []
        self._seed = seed
        self._terms = terms or Terms()

    def add(self, name: str, work: Work | None = None, terms: Terms | None = None) -> Replica:
        loop = self.world.loop()
        replica = Replica(name, loop, Line(self.server, loop), WallClock(self.world), work)

        def report(what: str, detail: str) -> None:
            replica.news.append((loop.time(), str(what), detail))

        replica.elector = Elector(
            store=replica.line,
            identity=name,
            terms=terms or self._terms,
            work=replica.lead,
            report=report,
            clock=replica.clock,
            chance=SeededChance(random.Random(f"{self._seed} {name}")),
        )
        replica.task = loop.start(replica.elector.run())
        self.replicas.append(replica)
        return replica

    def run(self, seconds: float) -> None:
        self.world.run(seconds)

    @property
    def now(self) -> float:
        return self.world.now

    @property
    def leaders(self) -> list[str]:
        return [replica.name for replica in self.replicas if replica.elector.leading]

    def stop(self, replica: Replica) -> None:
        """As SIGTERM does: the elector is cancelled."""
        replica.loop.call_soon(replica.task.cancel)

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        self.world.after_each_step = lambda: None
        for replica in self.replicas:
            replica.loop.go_on()
            replica.line.fate = well
            self.stop(replica)
        self.world.run(60)
        assert all(replica.task.done() for replica in self.replicas)
        assert [problem for replica in self.replicas for problem in replica.loop.unhandled] == []
