"""Carries out a plan: all steps at once, each with its own outcome, none waiting for another (law 2).

Sends once and reports; trying again is the next pass's business, planned from the world as it then is.
"""

import asyncio
from collections.abc import Callable
from typing import assert_never

from daemon import ports
from daemon.model import errors
from daemon.model.outcome import Outcome, StepOutcome
from daemon.model.plan import AmendRecord, CloseGate, OpenGate, OpenRecord, Plan, Step, ZeroRoute
from daemon.model.route import RouteObject
from daemon.workflow.world import RouteNames, World

_TURNS_TO_THE_WIRE = 3
"""Turns of the event loop until an HTTP request that was begun has left: connection, headers, body."""


class Executor:
    """Steps in, outcomes out; what a write answers goes straight into the world, ahead of the watch."""

    def __init__(
        self,
        *,
        world: World,
        routes: ports.Routes,
        names: Callable[[RouteObject], RouteNames],
        canaries: ports.Canaries,
        ledger: ports.Ledger,
        clock: ports.Clock,
    ) -> None:
        self._world = world
        self._routes = routes
        self._names = names
        self._canaries = canaries
        self._ledger = ledger
        self._clock = clock

    async def execute(self, plan: Plan, told: Callable[[StepOutcome], None]) -> Outcome:
        """``told`` hears of each step as soon as it ends: an answer need not wait for the slowest one."""

        async def one(step: Step) -> StepOutcome:
            outcome = await self._attempt(step)
            told(outcome)
            return outcome

        async def after_the_routes(step: Step) -> StepOutcome:
            # Nobody waits for anybody's answer here; the writes to the routes only get the wire first.
            for _ in range(_TURNS_TO_THE_WIRE):
                await asyncio.sleep(0)
            return await one(step)

        routes = [step for step in plan.steps if isinstance(step, ZeroRoute)]
        others = [step for step in plan.steps if not isinstance(step, ZeroRoute)]
        if not routes:
            return Outcome(tuple(await asyncio.gather(*(one(step) for step in others))))
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(one(step)) for step in routes[1:]]
        tasks += [loop.create_task(after_the_routes(step)) for step in others]
        try:
            # Not a task: it leaves in this very turn of the loop, before the others begin.
            first = await one(routes[0])
            return Outcome((first, *[await task for task in tasks]))
        finally:
            await _ended(tasks)

    async def look_again(self, route: RouteObject | None, step: ZeroRoute) -> None:
        """Reads a route whose write met somebody else's, so that the next plan is made for what is there."""
        ref = step.patch.route
        try:
            fresh = await self._routes.read(ref)
        except errors.NeighbourError:
            return  # not evidence of anything; the watch or the next pass will tell
        if fresh is None:
            self._world.drop_route(ref)
        elif route is None or fresh.resource_version != route.resource_version:
            self._world.put_route(fresh, self._names(fresh))

    async def _attempt(self, step: Step) -> StepOutcome:
        try:
            await self._carry_out(step)
        except errors.NeighbourError as error:
            if isinstance(step, ZeroRoute) and isinstance(error, errors.Conflict | errors.Missing):
                await self.look_again(self._world.route(step.patch.route), step)
            return StepOutcome(step, self._clock.now(), error)
        return StepOutcome(step, self._clock.now())

    async def _carry_out(self, step: Step) -> None:
        match step:
            case ZeroRoute(patch):
                written = await self._routes.write(patch)
                self._world.put_route(written, self._names(written))
            case OpenRecord(record):
                self._world.put_record(await self._ledger.open(record))
            case AmendRecord(namespace, name, amendment):
                self._world.put_record(await self._ledger.amend(namespace, name, amendment))
            case CloseGate(canary, pause):
                self._world.put_canary(await self._canaries.close_gate(canary, pause))
            case OpenGate(canary, fingerprints):
                self._world.put_canary(await self._canaries.open_gate(canary, fingerprints))
            case _:
                assert_never(step)


async def _ended(tasks: list["asyncio.Task[StepOutcome]"]) -> None:
    """Whatever ended the pass, none of its steps goes on behind its back."""
    left = [task for task in tasks if not task.done()]
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
