"""Reads back, again and again, what a rollback has written: proof while it is young, a second pair of eyes after.

A watch can be silent without being dead, so while a rollback stands its routes are also read from the API
server itself. Every replica reads back; only the one that leads proves. Runs beside the passes and never in their
way (law 2): a slow Prometheus delays the proof, not the hold. A failed read proves nothing (law 8).
"""

import asyncio
import dataclasses
import datetime
from collections.abc import Callable

from daemon import ports
from daemon.model import errors
from daemon.model.canary import Canary, CanaryRef
from daemon.model.decision import Proof
from daemon.model.route import RouteObject
from daemon.workflow.gathering import Gatherer
from daemon.workflow.route_index import RouteNames
from daemon.workflow.standing import Standing, Standings
from daemon.workflow.world import World


@dataclasses.dataclass(frozen=True, slots=True)
class Pace:
    """Seconds."""

    window: float = 5.0
    """How long the routes must have been at 0 without a break."""
    read_back: float = 1.0
    """Between two readings until proved."""
    read_back_after: float = 5.0
    """Between two readings while it is only held."""


class Prover:
    """One task per rollback that stands; ``look`` starts it, and it ends by itself with the rollback."""

    def __init__(
        self,
        *,
        world: World,
        standings: Standings,
        gatherer: Gatherer,
        routes: ports.Routes,
        names: Callable[[RouteObject], RouteNames],
        probe: ports.TrafficProbe | None,
        clock: ports.Clock,
        nudge: Callable[[CanaryRef], None],
        leading: Callable[[], bool],
        pace: Pace,
    ) -> None:
        self._world = world
        self._standings = standings
        self._gatherer = gatherer
        self._routes = routes
        self._names = names
        self._probe = probe
        self._clock = clock
        self._nudge = nudge
        self._leading = leading
        self._pace = pace
        self._tasks: dict[CanaryRef, asyncio.Task[None]] = {}
        # When a zero was first seen here, on the loop's clock: a wall clock that jumps must not shorten the window.
        self._seen: dict[CanaryRef, tuple[datetime.datetime, float]] = {}

    def look(self, ref: CanaryRef) -> None:
        """Called after every pass."""
        standing = self._standings.peek(ref)
        if standing is None or standing.intent is None or standing.intent.dry_run or ref in self._tasks:
            return
        task = asyncio.get_running_loop().create_task(self._work(ref), name=f"prover {ref}")
        self._tasks[ref] = task
        task.add_done_callback(lambda _: self._ended(ref))

    def _ended(self, ref: CanaryRef) -> None:
        self._tasks.pop(ref, None)
        self._seen.pop(ref, None)

    def _zero_for(self, standing: Standing) -> float | None:
        """Seconds for which this prover has seen the routes at zero without a break; None while they are not."""
        since = standing.zero_since
        if since is None:
            return None
        now = asyncio.get_running_loop().time()
        held = self._seen.get(standing.ref)
        if held is None or held[0] != since:
            held = self._seen[standing.ref] = (since, now)
        return now - held[1]

    async def stop(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self, ref: CanaryRef) -> None:
        while True:
            standing = self._standings.peek(ref)
            canary = self._world.canary(ref)
            if standing is None or standing.intent is None or canary is None:
                return
            proved = standing.proof is not None or self._proved_before(standing)
            await asyncio.sleep(self._pace.read_back_after if proved else self._next_reading(standing))
            if await self._read_back(canary) and not proved and self._leading():
                await self._prove(ref, canary, standing)

    def _proved_before(self, standing: Standing) -> bool:
        name = standing.intent.record_name if standing.intent else ""
        records = self._world.records(standing.ref)
        return any(record.name == name and record.timeline.proved_at is not None for record in records)

    def _next_reading(self, standing: Standing) -> float:
        """Often, and once just at the end of the window."""
        seconds = self._zero_for(standing)
        if seconds is None:
            return self._pace.read_back
        left = self._pace.window - seconds
        return min(self._pace.read_back, max(left, 0.0) + 0.001) if left > 0 else self._pace.read_back / 2

    async def _read_back(self, canary: Canary) -> bool:
        """True when every route could be read; what was read is in the world, and raises are dealt with there."""
        for route in self._world.routes(canary):
            try:
                fresh = await self._routes.read(route.ref)
            except errors.NeighbourError:
                return False
            if fresh is None:
                self._world.drop_route(route.ref)
            elif fresh.resource_version != route.resource_version:
                self._world.put_route(fresh, self._names(fresh))
        return True

    async def _prove(self, ref: CanaryRef, canary: Canary, standing: Standing) -> None:
        self._gatherer.gather(ref, standing)  # notes since when all is at zero
        since, seconds = standing.zero_since, self._zero_for(standing)
        if seconds is None or seconds < self._pace.window:
            return
        # A gateway that tells nothing is no proof; requests that have stopped are, whatever it tells.
        standing.unproved = self._not_live(canary)
        probe = self._probe if self._probe is not None and self._probe.tells(canary) else None
        if standing.unproved and probe is None:
            return
        statements = [self._routes_statement(canary, seconds)]
        statements += [f"not told live: {standing.unproved}"] if standing.unproved else []
        if probe is not None:
            seen = await self._traffic_statement(canary, probe)
            if seen is None:
                rate = "Prometheus does not say that the canary's request rate is 0"
                standing.unproved = "; ".join(filter(None, (standing.unproved, rate)))
            # All of it may be over by the time Prometheus has answered: the zero, and the leadership.
            if seen is None or standing.zero_since != since or not self._leading():
                return
            statements.append(seen)
        standing.proof = Proof(self._clock.now(), tuple(statements))
        self._nudge(ref)

    def _not_live(self, canary: Canary) -> str:
        """Which route's own status does not say yet that what was written is live; empty when none does."""
        reasons = ((route.ref, self._routes.pending(route)) for route in self._world.routes(canary))
        return "; ".join(f"{ref}: {why}" for ref, why in reasons if why)

    def _routes_statement(self, canary: Canary, seconds: float) -> str:
        if not self._world.routes_known(canary):
            return f"the canary has had no pods for {seconds:.1f} s; routes of {canary.provider} cannot be read here"
        routes = self._world.routes(canary)
        names = ", ".join(f"{route.ref} at resourceVersion {route.resource_version}" for route in routes)
        return f"routes read back at 0 for {seconds:.1f} s: {names or 'no route reaches the canary'}"

    async def _traffic_statement(self, canary: Canary, probe: ports.TrafficProbe) -> str | None:
        try:
            rate = await probe.canary_rate(canary)
        except errors.NeighbourError:
            return None
        if rate == 0:
            return "Prometheus: the canary's request rate is 0"
        workload = self._world.workload(canary)
        if rate is None and workload is not None and workload.ready_replicas == 0:
            return "the canary has no ready endpoints, and Prometheus no series of it"
        return None
