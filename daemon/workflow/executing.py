"""Carries out a plan: all steps at once, each with its own outcome, none waiting for another (law 2).

Sends once and reports; trying again is the next pass's business, planned from the world as it then is.
"""

import asyncio
from collections.abc import Callable
from typing import assert_never

from daemon import ports
from daemon.model import errors
from daemon.model.outcome import Outcome, StepOutcome
from daemon.model.plan import (
    AbortRelease,
    AmendRecord,
    CloseGate,
    DivertService,
    OpenGate,
    OpenRecord,
    Plan,
    RestoreRoute,
    ScaleCanary,
    Step,
    ZeroRoute,
)
from daemon.model.rollback import Amendment, Rollback
from daemon.model.route import RouteObject, RouteRef
from daemon.workflow.route_index import RouteNames
from daemon.workflow.world import World

_AMENDS = 5
"""Tries to write into a record that somebody else writes into as well."""

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
        brakes: ports.Brakes,
        clock: ports.Clock,
    ) -> None:
        self._world = world
        self._routes = routes
        self._names = names
        self._canaries = canaries
        self._ledger = ledger
        self._brakes = brakes
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

    async def _look_again(self, step: Step) -> None:
        """Reads an object whose write met somebody else's, so that the next plan is made for what is there."""
        try:
            if isinstance(step, ZeroRoute | RestoreRoute):
                await self._read_route(step.patch.route)
            elif isinstance(step, AmendRecord):
                record = await self._ledger.read(step.record.namespace, step.record.name)
                if record is not None:
                    self._world.put_record(record)
        except errors.NeighbourError:
            return  # not evidence of anything; the watch or the next pass will tell

    async def _read_route(self, ref: RouteRef) -> None:
        held, fresh = self._world.route(ref), await self._routes.read(ref)
        if fresh is None:
            self._world.drop_route(ref)
        elif held is None or fresh.resource_version != held.resource_version:
            self._world.put_route(fresh, self._names(fresh))

    async def _attempt(self, step: Step) -> StepOutcome:
        try:
            await self._carry_out(step)
        except errors.NeighbourError as error:
            if isinstance(error, errors.Conflict | errors.Missing):
                await self._look_again(step)
            return StepOutcome(step, self._clock.now(), error)
        return StepOutcome(step, self._clock.now())

    async def _amend(self, record: Rollback, amendment: Amendment) -> Rollback:
        """Replicas write side by side: none may undo what another has written since it looked. What the leader
        writes about the time after zero is no such thing, so a conflict with that is no reason to look again."""
        seen = self._world.record(record.canary, record.name) or record
        for _ in range(_AMENDS):
            if not seen.as_far_as(record):
                raise errors.Conflict(f"Rollback {record.namespace}/{record.name} has come further meanwhile")
            try:
                return await self._ledger.amend(
                    record.namespace, record.name, amendment, resource_version=seen.resource_version
                )
            except errors.Conflict:
                fresh = await self._ledger.read(record.namespace, record.name)
                if fresh is None:
                    raise
                seen = fresh
        raise errors.Conflict(f"Rollback {record.namespace}/{record.name} changes all the time")

    async def _carry_out(self, step: Step) -> None:
        match step:
            case ZeroRoute(patch) | RestoreRoute(patch):
                written = await self._routes.write(patch)
                self._world.put_route(written, self._names(written))
            case AbortRelease(canary):
                self._world.put_canary(await self._canaries.abort(canary))
            case DivertService(_, namespace, service, stable):
                await self._brakes.divert(namespace, service, stable)
            case ScaleCanary(_, workload):
                await self._brakes.scale_down(workload)
            case OpenRecord(record):
                self._world.put_record(await self._ledger.open(record))
            case AmendRecord(record, amendment):
                self._world.put_record(await self._amend(record, amendment))
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
