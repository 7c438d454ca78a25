"""Carries out the cleanup, one step of ``policy.cleaning`` at a time; what is lent is written down before."""

import asyncio
import dataclasses
import datetime
from collections.abc import Sequence
from typing import assert_never

from daemon import ports
from daemon.model import errors
from daemon.model.canary import CanaryPhase, CanaryRef, Controller, Workload
from daemon.model.cleanup import SETTLED, Cleanup, CleanupState, PausedScaler
from daemon.model.rollback import Amendment, Rollback
from daemon.policy import cleaning, lending
from daemon.workflow.gathering import Gatherer
from daemon.workflow.leading import Leadership
from daemon.workflow.recording import Recorder
from daemon.workflow.world import World

_WHY_MOST = 500
_STEPS = 12
"""More than any cleanup takes; what comes after is the next look's business."""


class Cleaning:
    """A duty: the newest rollback of a canary, and any older one that still owes something."""

    name = "cleanup"

    def __init__(
        self,
        *,
        world: World,
        gatherer: Gatherer,
        recorder: Recorder,
        canaries: ports.Canaries,
        workloads: ports.Workloads,
        clock: ports.Clock,
        choices: cleaning.Choices,
    ) -> None:
        self._world = world
        self._gatherer = gatherer
        self._recorder = recorder
        self._canaries = canaries
        self._workloads = workloads
        self._clock = clock
        self._choices = choices
        self._raised: dict[CanaryRef, datetime.datetime] = {}
        self._unkept: dict[str, float] = {}
        """Since when, by the loop's clock, we have seen a record without evidence, by its uid."""
        self._looked: set[CanaryRef] = set()
        """Canaries of whose autoscalers none was paused when we looked, and none has been since."""

    def concerns(self, ref: CanaryRef) -> bool:
        records = self._world.records(ref)
        if any(self._is_open(record) for record in self._records(ref)) or self._left_alone(ref, records):
            return True
        return lending.orphaned(self._world.canary(ref), records) is not None

    async def work(self, ref: CanaryRef, leadership: Leadership) -> float | None:
        await self._give_back(ref, leadership)
        waits: list[float | None] = []
        failed: errors.NeighbourError | None = None
        for name in [one.name for one in self._records(ref) if self._is_open(one)]:
            try:
                waits.append(await self._clean(ref, name, leadership))
            except errors.Refused as problem:
                await self._say(ref, name, problem)
                failed = failed or problem
            except errors.NeighbourError as problem:
                failed = failed or problem
        if failed is not None:
            raise failed
        return min((seconds for seconds in waits if seconds is not None), default=None)

    def _left_alone(self, ref: CanaryRef, records: Sequence[Rollback]) -> bool:
        """Whether a canary without controller may have paused autoscalers that no record accounts for."""
        canary = self._world.canary(ref)
        if canary is None or canary.controller is not Controller.NONE or any(map(cleaning.owes_scalers, records)):
            return False
        return ref not in self._looked

    async def _give_back(self, ref: CanaryRef, leadership: Leadership) -> None:
        """What was lent for records that are not there any more."""
        canary, records = self._world.canary(ref), self._world.records(ref)
        if any(map(cleaning.owes_scalers, records)):
            self._looked.discard(ref)
        step = lending.orphaned(canary, records)
        if step is not None:
            leadership.check()
            self._world.put_canary(await self._canaries.return_deadline(ref, step.found, step.original))
        workload = self._world.workload(canary) if canary else None
        if workload is not None and self._left_alone(ref, records):
            for scaler in await self._workloads.paused(workload):
                leadership.check()
                await self._workloads.restore(scaler)
            self._looked.add(ref)

    def _records(self, ref: CanaryRef) -> list[Rollback]:
        records = self._world.records(ref)
        return [one for one in records[:-1] if one.cleanup and one.cleanup.owes] + list(records[-1:])

    def _is_open(self, record: Rollback) -> bool:
        canary, cleanup = self._world.canary(record.canary), record.cleanup
        if record.dry_run or not record.begun:
            return False
        if cleanup is None:
            return not record.finished or (canary is not None and canary.phase is CanaryPhase.FAILED)
        if cleanup.owes or cleanup.state not in SETTLED:
            return True
        workload = self._world.workload(canary) if canary else None
        if workload is None:
            return False
        # Settled, and yet: pods behind the controller's back, or a release that finds its workload emptied by us.
        return cleanup.state is CleanupState.DONE if workload.replicas else bool(cleanup.scaled_from)

    async def _clean(self, ref: CanaryRef, name: str, leadership: Leadership) -> float | None:
        for _ in range(_STEPS):
            record = self._world.record(ref, name)
            if record is None:
                return None
            scene = await self._look(record)
            step = cleaning.next_step(scene)
            if isinstance(step, cleaning.Wait):
                return step.seconds
            leadership.check()
            await self._carry_out(record, step, leadership)
            if isinstance(step, cleaning.ScaleToZero | cleaning.ScaleBack):
                break  # the watch will show what came of it
        return 1.0

    async def _say(self, ref: CanaryRef, name: str, problem: errors.Refused) -> None:
        """It is tried again, for a person may allow it; until then the record says what it waits for."""
        record = self._world.record(ref, name)
        if record is not None and record.cleanup is not None and record.cleanup.state not in SETTLED:
            detail = f"refused, tried again: {str(problem)[:_WHY_MOST]}"
            await self._note(record, dataclasses.replace(record.cleanup, detail=detail))

    async def _look(self, record: Rollback) -> cleaning.Scene:
        ref, now = record.canary, self._clock.now()
        canary = self._world.canary(ref)
        workload = self._world.workload(canary) if canary else None
        known = canary is not None and self._world.routes_known(canary)
        if canary is not None and canary.phase is CanaryPhase.FAILED and workload is not None and workload.replicas:
            self._raised.setdefault(ref, now)
        else:
            self._raised.pop(ref, None)
        scalers: tuple[PausedScaler, ...] = ()
        if canary is not None and workload is not None and canary.controller is Controller.NONE:
            scalers = await self._workloads.scalers(workload)
        return cleaning.Scene(
            now=now,
            record=record,
            canary=canary,
            workload=workload,
            routes_at_zero=known and all(view.at_zero for view in self._gatherer.views(canary)),
            scalers=scalers,
            raised_since=self._raised.get(ref),
            evidence_waited=self._waited(record),
            choices=self._choices,
        )

    def _waited(self, record: Rollback) -> float:
        """Seconds since this leader first saw the rollback without evidence."""
        if record.evidence is not None:
            self._unkept.pop(record.uid, None)
            return 0.0
        now = asyncio.get_running_loop().time()
        return now - self._unkept.setdefault(record.uid, now)

    async def _carry_out(self, record: Rollback, step: cleaning.Step, leadership: Leadership) -> None:
        match step:
            case cleaning.Wait():
                return
            case cleaning.Note(cleanup):
                await self._note(record, cleanup)
            case lending.LendDeadline(original):
                ref, seconds = record.canary, lending.NUDGED_SECONDS
                self._world.put_canary(await self._canaries.lend_deadline(ref, original, seconds))
            case lending.ReturnDeadline(found, original):
                self._world.put_canary(await self._canaries.return_deadline(record.canary, found, original))
            case cleaning.PauseScalers(scalers):
                await self._pause(record, scalers, leadership)
            case cleaning.RestoreScalers(scalers):
                await self._restore(record, scalers)
            case cleaning.ScaleToZero(workload):
                await self._scale_down(record, workload, leadership)
            case cleaning.ScaleBack(workload, replicas):
                await self._workloads.scale(workload, replicas)
                await self._note(record, dataclasses.replace(_of(record), scaled_from=0))
            case _:
                assert_never(step)

    async def _note(self, record: Rollback, cleanup: Cleanup) -> None:
        def change(now: Rollback) -> Amendment:
            return Amendment() if now.cleanup == cleanup else Amendment(cleanup=cleanup)

        await self._recorder.amend(record.canary, record.name, change)

    async def _scale_down(self, record: Rollback, workload: Workload, leadership: Leadership) -> None:
        lent = dataclasses.replace(_of(record), scaled_from=workload.replicas)
        await self._note(record, lent)
        leadership.check()
        await self._workloads.scale(workload, 0)
        detail = f"{workload.name} scaled from {workload.replicas} to 0"
        await self._note(record, dataclasses.replace(
            lent, state=CleanupState.DONE, detail=detail, at=self._clock.now(), scaled_down=lent.scaled_down + 1
        ))  # fmt: skip

    async def _pause(self, record: Rollback, scalers: tuple[PausedScaler, ...], leadership: Leadership) -> None:
        self._looked.discard(record.canary)
        cleanup = _of(record)
        held = {(one.kind, one.namespace, one.name) for one in cleanup.scalers if one.restored_at is None}
        new = tuple(one for one in scalers if (one.kind, one.namespace, one.name) not in held)
        if new:
            await self._note(record, dataclasses.replace(cleanup, scalers=(*cleanup.scalers, *new)))
        for scaler in scalers:
            leadership.check()
            await self._workloads.pause(scaler)

    async def _restore(self, record: Rollback, scalers: tuple[PausedScaler, ...]) -> None:
        for scaler in scalers:
            await self._workloads.restore(scaler)
        now, cleanup = self._clock.now(), _of(record)
        restored = tuple(
            dataclasses.replace(one, restored_at=now) if one.restored_at is None else one for one in cleanup.scalers
        )
        await self._note(record, dataclasses.replace(cleanup, scalers=restored))


def _of(record: Rollback) -> Cleanup:
    assert record.cleanup is not None  # noqa: S101 - the first step of every cleanup is to note that it began
    return record.cleanup
