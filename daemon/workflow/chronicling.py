"""Keeps the records of revisions: what the world shows, and what this replica has heard, beside everything else.

Nothing waits for it (law 2): a gate reads what is recorded, and stays closed where that has not come far enough.
Every replica writes; each write is made for the record as it is, so two of them add and none undoes.
"""

import asyncio
import datetime
from collections import defaultdict
from collections.abc import Callable

from daemon import ports
from daemon.model import errors
from daemon.model.canary import Canary, CanaryRef
from daemon.model.canary_revision import CanaryRevision
from daemon.policy import acts, chronicling, noting
from daemon.policy.chronicling import Sighting
from daemon.policy.noting import Notes
from daemon.workflow.world import World

_GATHER = 0.02
"""Seconds in which what happens together is written together."""
_LAZY = 60.0
"""Seconds until what only counts once more is written."""
_FIRST, _MOST = 0.2, 30.0
"""Seconds between two tries of what failed."""
_ABREAST = 16
"""Writes at the same time, over all canaries: a timeline must never be what keeps a rollback off the wire (law 2)."""
_HOMELESS = datetime.timedelta(seconds=60)
_TRIES = 20
"""Rounds at one go: a create, a write, an annotation, and what met somebody else's."""

CURRENT = ""
"""The destination of notes about whatever revision is under analysis."""


class Chronicle:
    """``weight``: percent on the routes of a canary, None when nobody knows. ``ready``: all has been seen once."""

    def __init__(
        self,
        *,
        world: World,
        revisions: ports.Revisions,
        canaries: ports.Canaries,
        weight: Callable[[Canary], float | None],
        ready: Callable[[], bool],
        observer: ports.Observer,
        clock: ports.Clock,
        chance: ports.Chance,
    ) -> None:
        self._world = world
        self._revisions = revisions
        self._canaries = canaries
        self._weight = weight
        self._ready = ready
        self._observer = observer
        self._clock = clock
        self._chance = chance
        self._pending: defaultdict[CanaryRef, dict[str, Notes]] = defaultdict(dict)
        self._tasks: dict[CanaryRef, tuple[asyncio.Task[None], asyncio.Event]] = {}
        self._lanes = asyncio.Semaphore(_ABREAST)
        self._written: dict[CanaryRef, float] = {}
        self._stopping = False

    def touched(self, ref: CanaryRef) -> None:
        """Something about this canary changed, or is to be written."""
        if self._stopping or not self._ready() or not self._has_work(ref):
            return
        running = self._tasks.get(ref)
        if running is not None:
            running[1].set()
            return
        stir = asyncio.Event()
        task = asyncio.get_running_loop().create_task(self._work(ref, stir), name=f"chronicle {ref}")
        self._tasks[ref] = (task, stir)

    async def stop(self) -> None:
        """What is pending is written if that works at once."""
        self._stopping = True
        tasks = [task for task, _ in self._tasks.values()]
        for _, stir in self._tasks.values():
            stir.set()
        if tasks:
            _, left = await asyncio.wait(tasks, timeout=1.0)
            for task in left:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def note(self, ref: CanaryRef, destination: str, notes: Notes) -> None:
        """``destination``: the template it is about, or CURRENT for whatever revision is under analysis."""
        if self._world.canary(ref) is None:
            return
        before = self._pending[ref].get(destination, Notes())
        self._pending[ref][destination] = noting.together(before, notes)
        self.touched(ref)

    # -- what is written

    def _has_work(self, ref: CanaryRef) -> bool:
        if self._pending.get(ref):
            return True
        canary = self._world.canary(ref)
        if canary is None:
            return False
        records = self._world.revisions(ref)
        seen = self._sighting(canary)
        if chronicling.new_record(seen, records, asked=False) is not None:
            return True
        return any(self._wants(record, records, seen) for record in records)

    @staticmethod
    def _wants(record: CanaryRevision, records: tuple[CanaryRevision, ...], seen: Sighting) -> bool:
        if chronicling.updated(record, records, seen, Notes()) != record:
            return True
        return acts.to_bind(record, seen.canary) or acts.to_withdraw(record, seen.canary)

    def _sighting(self, canary: Canary) -> Sighting:
        versions = [route.resource_version for route in self._world.routes(canary)]
        highest = max((version for version in versions if version.isdigit()), key=int, default="")
        return Sighting(self._clock.now(), canary, self._world.workload(canary), self._weight(canary), highest)

    async def _work(self, ref: CanaryRef, stir: asyncio.Event) -> None:
        failures = 0
        loop = asyncio.get_running_loop()
        try:
            await asyncio.sleep(_GATHER)
            while True:
                stir.clear()
                lazy_until = self._written.get(ref, -_LAZY) + _LAZY
                try:
                    later = await self._write(ref, lazily=loop.time() < lazy_until and not self._stopping)
                    failures = 0
                except errors.NeighbourError as error:
                    failures += 1
                    self._observer.duty_failed(ref, "chronicle", error)
                    if self._stopping:
                        return
                    most = min(_MOST, _FIRST * 2 ** min(failures, 10))
                    await asyncio.sleep(self._chance.between(most / 2, most))
                    continue
                except Exception as error:  # noqa: BLE001 - told: a record that cannot be written ends nothing else
                    self._observer.pass_failed(ref, error)
                    self._pending.pop(ref, None)
                    return
                if not later:
                    return
                await _pause(stir, max(_GATHER, lazy_until - loop.time()))
        finally:
            # In the same step as the last look at what is pending: no change falls between two tasks.
            self._tasks.pop(ref, None)
            if self._world.canary(ref) is None:
                self._written.pop(ref, None)

    async def _write(self, ref: CanaryRef, *, lazily: bool) -> bool:
        """Everything that is to be written now. True when something is left that may wait."""
        for _ in range(_TRIES):
            canary = self._world.canary(ref)
            if canary is None:
                self._pending.pop(ref, None)
                return False
            try:
                async with self._lanes:
                    left = await self._one_round(canary, lazily=lazily)
            except errors.Conflict:
                await self._look_again(ref)
                continue
            if left is not None:
                return left
        raise errors.Conflict(f"the records of {ref} change all the time")

    async def _one_round(self, canary: Canary, *, lazily: bool) -> bool | None:
        """None when something was written, and there may be more."""
        ref = canary.ref
        records, seen = self._world.revisions(ref), self._sighting(canary)
        asked = seen.workload is not None and seen.workload.template in self._pending.get(ref, {})
        new = chronicling.new_record(seen, records, asked=asked)
        if new is not None:
            self._world.put_revision(await self._revisions.open(new))
            return None
        now = chronicling.current(records, canary)
        for record in records:
            is_current = now is not None and now.name == record.name
            if await self._advanced(record, records, seen, is_current=is_current, lazily=lazily):
                return None
        if any(acts.to_withdraw(record, canary) for record in records):
            self._world.put_canary(await self._canaries.withdraw_advance(canary))
            return None
        if any(acts.to_bind(record, canary) for record in records):
            self._world.put_canary(await self._canaries.bind_advance(canary))
            return None
        self._forget_homeless(ref, seen)
        return bool(self._pending.get(ref))

    async def _advanced(
        self, record: CanaryRevision, records: tuple[CanaryRevision, ...], seen: Sighting,
        *, is_current: bool, lazily: bool,
    ) -> bool:  # fmt: skip
        """Writes one record if there is something to write."""
        ref = record.canary
        taken = {destination: self._pending.get(ref, {}).pop(destination, Notes())
                 for destination in (record.template, *([CURRENT] if is_current else []))}  # fmt: skip
        notes = noting.together(taken[record.template], taken.get(CURRENT, Notes()))
        after = chronicling.updated(record, records, seen, notes)
        written = False
        try:
            if after == record:
                taken = {}
            elif not (lazily and chronicling.says_the_same(record, after)):
                self._world.put_revision(await self._revisions.amend(record, after))
                self._written[ref] = asyncio.get_running_loop().time()
                taken, written = {}, True
        finally:
            for destination, kept in taken.items():
                if kept:
                    self._pending[ref][destination] = noting.together(
                        kept, self._pending[ref].get(destination, Notes())
                    )
        return written

    def _forget_homeless(self, ref: CanaryRef, seen: Sighting) -> None:
        """What speaks of a revision that has no record waits a moment for one: Flagger tells before it writes."""
        pending = self._pending.get(ref, {})
        homes = {record.template for record in self._world.revisions(ref)}
        if chronicling.current(self._world.revisions(ref), seen.canary) is not None:
            homes.add(CURRENT)
        for destination in [one for one in pending if one not in homes]:
            kept = noting.since(pending[destination], seen.now - _HOMELESS)
            pending[destination] = kept
            if not kept:
                del pending[destination]
        if not pending:
            self._pending.pop(ref, None)

    async def _look_again(self, ref: CanaryRef) -> None:
        for record in self._world.revisions(ref):
            fresh = await self._revisions.read(record.namespace, record.name)
            if fresh is None:
                self._world.drop_revision(record.namespace, record.name)
            elif fresh.resource_version != record.resource_version:
                self._world.put_revision(fresh)


async def _pause(stir: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stir.wait()
    except TimeoutError:
        return
