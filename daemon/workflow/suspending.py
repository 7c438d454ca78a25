"""Stops the GitOps controller that raises a held canary, where people want that, and sets it going again afterwards.

A duty of the leader's, beside everything else: the hold itself needs none of it. What is lent is written down before,
here and on the object itself; whoever leads next, and whoever finds no record any more, gives it back.
"""

import asyncio
import contextlib
import dataclasses
import datetime
from collections.abc import Callable
from typing import Protocol

from daemon import ports
from daemon.model import errors
from daemon.model.canary import CanaryRef
from daemon.model.follow_up import GITOPS, FollowUp, FollowUpState
from daemon.model.gitops import Loan, Managed, Owner
from daemon.model.rollback import Amendment, Rollback
from daemon.model.route import RouteRef
from daemon.policy import checks, gitops, stopping
from daemon.policy.stopping import Turn
from daemon.workflow.leading import Leadership
from daemon.workflow.recording import Recorder
from daemon.workflow.world import World

_LOOKS = 6
"""At an owner in one try, when others write it too."""
_EVERY = 30.0
"""Seconds between two looks whether what was stopped still is."""


class GitOps(Protocol):
    """What controllers act by. Raises the NeighbourError family."""

    async def read(self, owner: Owner, route: RouteRef | None) -> Managed | None:
        """None when there is none. ``route``: whether it counts that one among its own."""
        ...

    async def stop(self, found: Managed, loan: Loan) -> None:
        """Raises Conflict when it is not the one that was read any more; so do the others."""
        ...

    async def keep(self, found: Managed, loan: Loan) -> None:
        """Only the note changes."""
        ...

    async def put_back(self, found: Managed, original: str | None) -> None:
        """Takes the note away; None leaves the field as it is."""
        ...


class Suspending:
    """``suspends``: whether people want that for a canary."""

    name = "follow-up gitops"

    def __init__(
        self,
        *,
        world: World,
        recorder: Recorder,
        owners: GitOps,
        suspends: Callable[[CanaryRef], bool],
        argocd_namespace: str,
        clock: ports.Clock,
        clock_tolerance: float,
        timeout: float,
        give_up_after: float,
    ) -> None:
        """``timeout``: seconds of one try; ``give_up_after``: seconds from the first one, for stopping: what was lent
        is returned however long that takes."""
        self._world = world
        self._recorder = recorder
        self._owners = owners
        self._suspends = suspends
        self._argocd_namespace = argocd_namespace
        self._clock = clock
        self._clock_tolerance = clock_tolerance
        self._timeout = timeout
        self._give_up_after = give_up_after
        self._watched: dict[tuple[str, str], datetime.datetime] = {}
        self._looked: dict[CanaryRef, frozenset[str]] = {}
        """The records there were when we looked for what was lent to records that are gone."""

    def concerns(self, ref: CanaryRef) -> bool:
        if any(self._turn(record, one) is not Turn.NOTHING for record, one in self._entries(ref)):
            return True
        return self._left_alone(ref) and bool(self._named(ref))

    async def work(self, ref: CanaryRef, leadership: Leadership) -> float | None:
        failed: errors.NeighbourError | None = None
        waits = []
        try:
            if self._left_alone(ref):
                await self._look_for_strangers(ref, leadership)
        except errors.NeighbourError as error:
            failed = error
        for record, one in self._entries(ref):
            try:
                waits.append(await self._one(record, one, leadership))
            except errors.NeighbourError as error:
                failed = failed or error
        if failed is not None:
            raise failed
        return min((seconds for seconds in waits if seconds is not None), default=None)

    def _entries(self, ref: CanaryRef) -> list[tuple[Rollback, FollowUp]]:
        """What is returned comes before what is stopped: a new rollback may want the same one."""
        records = self._world.records(ref)
        found = [(record, one) for record in records for one in record.follow_ups if one.kind in GITOPS]
        return sorted(found, key=lambda pair: self._turn(*pair) is not Turn.RETURN)

    def _turn(self, record: Rollback, one: FollowUp) -> Turn:
        canary = self._world.canary(record.canary)
        overtaken = checks.is_superseded(record.revision, record.started_at, canary, self._clock_tolerance)
        return stopping.turn(record, one, overtaken=overtaken, suspends=self._suspends(record.canary))

    async def _one(self, record: Rollback, one: FollowUp, leadership: Leadership) -> float | None:
        now = self._clock.now()
        match self._turn(record, one):
            case Turn.STOP:
                await self._stop(record, one, leadership)
                return _EVERY
            case Turn.WATCH:
                key = (stopping.holder(record), one.name)
                past = (now - self._watched.get(key, one.at)).total_seconds()
                if past < _EVERY:
                    return _EVERY - max(0.0, past)
                self._watched[key] = now
                await self._settle(record, one, leadership)
                return _EVERY
            case Turn.RETURN:
                await self._give_back(record, one, leadership)
                self._watched.pop((stopping.holder(record), one.name), None)
        return None

    # -- stopping

    async def _stop(self, record: Rollback, one: FollowUp, leadership: Leadership) -> None:
        try:
            await self._settle(record, one, leadership)
        except errors.NeighbourError as problem:
            now, said = self._clock.now(), str(problem)
            if (now - one.at).total_seconds() < self._give_up_after:
                await self._note(record, one, lambda entry: stopping.tried(entry, "not stopped yet", said))
                raise
            why = f"given up: {said}"
            # Whether the last write got through is not known: it is looked for when the rollback is over.
            await self._note(
                record, one,
                lambda entry: stopping.given_up(entry, FollowUpState.FAILED, why, now, owes=entry.undo is not None),
            )  # fmt: skip

    async def _settle(self, record: Rollback, one: FollowUp, leadership: Leadership) -> None:
        """Until it is stopped, or known why it is not."""
        owner = _owner(one)
        try:
            async with asyncio.timeout(self._timeout):
                for _ in range(_LOOKS):
                    found = await self._owners.read(owner, self._route(record.canary, owner))
                    if await self._step(record, one, found, leadership):
                        return
        except TimeoutError as error:
            raise errors.Unreachable(f"{owner} was not stopped within {self._timeout:g} s") from error
        raise errors.Conflict(f"{owner} was written by somebody else {_LOOKS} times in a row")

    async def _step(self, record: Rollback, one: FollowUp, found: Managed | None, leadership: Leadership) -> bool:
        """Whether that was all."""
        owner, who, now = _owner(one), stopping.holder(record), self._clock.now()
        match stopping.lending(found, owner, who, was_lent=one.state is FollowUpState.LENT):
            case stopping.Lend(loan) if found is not None:
                undo = stopping.undo(loan, owner)
                await self._note(record, one, lambda entry: dataclasses.replace(entry, undo=undo))
                leadership.check()
                stands = self._world.record(record.canary, record.name)
                if stands is None or not stopping.stands(stands, overtaken=False):
                    raise errors.Conflict("the rollback was lifted, or overtaken, in this moment")
                with contextlib.suppress(errors.Conflict):
                    await self._owners.stop(found, loan)
                return False
            case stopping.IsLent():
                if one.state is not FollowUpState.LENT:
                    await self._note(record, one, lambda entry: stopping.lent(entry, owner, now))
            case stopping.Idle(why):
                await self._note(
                    record, one, lambda entry: stopping.given_up(entry, FollowUpState.BY_HAND, why, now, owes=False)
                )  # fmt: skip
            case stopping.Impossible(why):
                owes = found is not None and found.loan is not None and who in found.loan.holders
                await self._note(
                    record, one, lambda entry: stopping.given_up(entry, FollowUpState.FAILED, why, now, owes=owes)
                )  # fmt: skip
        return True

    def _route(self, ref: CanaryRef, owner: Owner) -> RouteRef | None:
        canary = self._world.canary(ref)
        routes = self._world.routes(canary) if canary is not None else []
        return next((one.ref for one in routes if owner in gitops.owners(one, self._argocd_namespace)), None)

    # -- giving back

    async def _give_back(self, record: Rollback, one: FollowUp, leadership: Leadership) -> None:
        owner = _owner(one)
        try:
            async with asyncio.timeout(self._timeout):
                found = await self._owners.read(owner, None)
                step = stopping.returning(found, (stopping.holder(record),))
                await self._return(found, step, leadership)
        except (errors.NeighbourError, TimeoutError) as problem:
            said = str(problem) or f"no answer within {self._timeout:g} s"
            await self._note(record, one, lambda entry: stopping.tried(entry, "not put back yet", said))
            raise errors.Unreachable(f"{owner} is not put back yet: {said}") from problem
        await self._note(record, one, lambda entry: stopping.returned(entry, owner, found, step, self._clock.now()))

    async def _return(
        self, found: Managed | None, step: stopping.PutBack | stopping.Keep | None, leadership: Leadership
    ) -> None:  # fmt: skip
        if found is None or step is None:
            return
        leadership.check()
        if isinstance(step, stopping.Keep):
            await self._owners.keep(found, step.loan)
        else:
            await self._owners.put_back(found, step.original)

    def _left_alone(self, ref: CanaryRef) -> bool:
        """Whether something may stand there for a record that is gone."""
        return self._suspends(ref) and self._looked.get(ref) != self._known(ref)

    def _known(self, ref: CanaryRef) -> frozenset[str]:
        return frozenset(record.uid for record in self._world.records(ref))

    def _named(self, ref: CanaryRef) -> set[Owner]:
        canary = self._world.canary(ref)
        routes = self._world.routes(canary) if canary is not None else []
        return {owner for one in routes for owner in gitops.owners(one, self._argocd_namespace)}

    async def _look_for_strangers(self, ref: CanaryRef, leadership: Leadership) -> None:
        known = self._known(ref)
        for owner in sorted(self._named(ref)):
            try:
                found = await self._owners.read(owner, None)
            except errors.Refused:
                self._looked[ref] = known  # what may not be read was not lent either; told once
                raise
            if found is not None and found.loan is not None:
                gone = stopping.strangers(found.loan, ref, self._world.records(ref))
                await self._return(found, stopping.returning(found, gone), leadership)
        self._looked[ref] = known

    # -- the record

    async def _note(self, record: Rollback, one: FollowUp, change: Callable[[FollowUp], FollowUp]) -> None:
        def amended(now: Rollback) -> Amendment:
            before = now.follow_up(one.kind, one.name)
            if before is None:
                raise errors.Missing(f"{one.kind} {one.name} is not in Rollback {now.namespace}/{now.name} any more")
            after = change(before)
            others = tuple(each for each in now.follow_ups if (each.kind, each.name) != (one.kind, one.name))
            return Amendment() if after == before else Amendment(follow_ups=(*others, after))

        await self._recorder.amend(record.canary, record.name, amended)


def _owner(one: FollowUp) -> Owner:
    namespace, _, name = one.name.partition("/")
    return Owner(one.kind, namespace, name)
