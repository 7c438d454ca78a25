"""Walks a canary that no controller drives through its stages, or to where a person wants it. The leader's duty.

Every round looks again at the routes and the record, so a restart, or another leader, goes on where they are. Each
raise is written over exactly the routes that were looked at: one that a rollback has touched meanwhile refuses it.
"""

import dataclasses
from collections.abc import Callable

from daemon import ports
from daemon.model import errors
from daemon.model.canary import Canary, CanaryRef
from daemon.model.decision import Reason
from daemon.model.rollback import NewRollback, Rollback, Trigger
from daemon.model.route import RouteObject
from daemon.model.signal import HookType
from daemon.policy import driving, naming
from daemon.policy.driving import Ask, Scene, Steer, TakeBack, Watch, Withdraw
from daemon.workflow.gate_sight import GateSight
from daemon.workflow.gathering import Gatherer
from daemon.workflow.gating import Gates
from daemon.workflow.leading import Leadership
from daemon.workflow.route_index import RouteNames
from daemon.workflow.world import World

REQUESTED_BY = "pullback stage driver"


@dataclasses.dataclass(frozen=True, slots=True)
class Pace:
    """``every`` seconds a stage is looked at; criteria that fail ``threshold`` times in a row roll back."""

    every: float = 10.0
    threshold: int = 3


class Driving:
    """Keeps ``workflow.aftermath.Duty``."""

    name = "driving"

    def __init__(
        self,
        *,
        world: World,
        gatherer: Gatherer,
        gates: Gates,
        sight: GateSight,
        routes: ports.Routes,
        names: Callable[[RouteObject], RouteNames],
        canaries: ports.Canaries,
        ledger: ports.Ledger,
        clock: ports.Clock,
        fresh: Callable[[], bool],
        rehearsing: bool,
        pace: Pace,
    ) -> None:
        self._world = world
        self._gatherer = gatherer
        self._gates = gates
        self._sight = sight
        self._routes = routes
        self._names = names
        self._canaries = canaries
        self._ledger = ledger
        self._clock = clock
        self._fresh = fresh
        self._rehearsing = rehearsing
        self._pace = pace
        # Failures in a row at one weight of one revision. A restart counts from nothing: later, never sooner.
        self._failures: dict[CanaryRef, tuple[str, float, int]] = {}

    def concerns(self, ref: CanaryRef) -> bool:
        canary = self._world.canary(ref)
        if canary is None:
            self._failures.pop(ref, None)
        return canary is not None and driving.concerns(canary)

    async def work(self, ref: CanaryRef, leadership: Leadership) -> float | None:
        canary = self._world.canary(ref)
        if canary is None or not driving.concerns(canary):
            return None
        weight = self._gatherer.weight(canary)
        step = driving.next_step(self._scene(canary, weight))
        match step:
            case Ask(gates, ahead, health):
                healthy = not health or await self._healthy(canary, weight or 0.0)
                if healthy and await self._opened(canary, gates):
                    leadership.check()
                    await self._steer(canary, weight, ahead)
            case Watch():
                await self._healthy(canary, weight or 0.0)
            case Steer(wanted, _):
                leadership.check()
                await self._steer(canary, weight, wanted)
            case Withdraw():
                leadership.check()
                self._world.put_canary(await self._canaries.withdraw_advance(canary))
            case TakeBack(detail):
                leadership.check()
                await self._take_back(canary, detail)
            case driving.Rest():
                pass
        return self._pace.every

    def _scene(self, canary: Canary, weight: float | None) -> Scene:
        revision, at, failures = self._failures.get(canary.ref, ("", 0.0, 0))
        return Scene(
            canary=canary,
            weight=weight,
            profile=self._sight.profile(canary),
            record=self._sight.record(canary),
            rollback=self._sight.standing_rollback(canary),
            workload=self._world.workload(canary),
            fresh=self._fresh(),
            failures=failures if (revision, at) == (canary.revision, weight) else 0,
            threshold=self._pace.threshold,
        )

    async def _healthy(self, canary: Canary, weight: float) -> bool:
        """Asks the criteria, and counts. What cannot be said is no failure (law 8), and no reason to go on either."""
        answer = await self._gates.ask(HookType.ROLLOUT, canary)
        before = self._failures.get(canary.ref)
        count = before[2] if before is not None and before[:2] == (canary.revision, weight) else 0
        failed = answer.decision.reason is Reason.CHECK_FAILED
        self._failures[canary.ref] = (canary.revision, weight, count + 1 if failed else 0)
        return answer.opened and not failed

    async def _opened(self, canary: Canary, gates: tuple[HookType, ...]) -> bool:
        for gate in gates:
            answer = await self._gates.ask(gate, canary)
            if not answer.opened:
                return False
        return True

    async def _steer(self, canary: Canary, seen: float | None, weight: float) -> None:
        """Raises Conflict where somebody else has moved the routes, or the canary, since they were looked at."""
        now = self._world.canary(canary.ref)
        if now is None or now.revision != canary.revision or self._sight.standing_rollback(now) is not None:
            return
        if self._gatherer.weight(now) != seen:
            return
        sides = self._world.sides(now)
        patches = [self._routes.steer(route, sides, weight) for route in self._world.routes(now)]
        planned = [patch for patch in patches if patch is not None]
        if not planned:
            raise errors.Refused(f"no route of {canary.ref} splits traffic by weight between stable and canary")
        for patch in planned:
            if self._rehearsing:
                continue
            written = await self._routes.write(patch)
            self._world.put_route(written, self._names(written))

    async def _take_back(self, canary: Canary, detail: str) -> None:
        """Makes the record, which is the act: every replica sees it and writes zero."""
        # What is released is looked at anew.
        self._failures.pop(canary.ref, None)
        records = self._world.records(canary.ref)
        if self._rehearsing and any(_is_rehearsal(record, canary.revision) for record in records):
            return
        now = self._clock.now()
        record = NewRollback(
            namespace=canary.ref.namespace,
            name=naming.next_record_name(canary, records, dry_run=self._rehearsing),
            canary=canary.ref,
            revision=canary.revision,
            trigger=Trigger.CRITERIA,
            reason=f"{Reason.CHECK_FAILED}: {detail}",
            requested_by=REQUESTED_BY,
            signal=None,
            dry_run=self._rehearsing,
            started_at=now,
            decided_at=now,
            canary_kind=canary.object_kind,
        )
        self._world.put_record(await self._ledger.open(record))


def _is_rehearsal(record: Rollback, revision: str) -> bool:
    """Written down once is enough: nothing is done, so the criteria go on failing."""
    return record.dry_run and record.trigger is Trigger.CRITERIA and record.revision == revision
