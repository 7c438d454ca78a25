"""Writes what came after zero into a record, one change at a time, each made for the record as it is now."""

import asyncio
from collections.abc import Callable
from weakref import WeakValueDictionary

from daemon import ports
from daemon.model import errors
from daemon.model.canary import CanaryRef
from daemon.model.canary_revision import CanaryRevision
from daemon.model.rollback import Amendment, Rollback
from daemon.workflow.world import World

_TRIES = 8
"""Passes write too while a rollback is young: a change that meets theirs is made again."""


class Recorder:
    """``amend`` is the only way in; a record that is gone raises Missing."""

    def __init__(self, *, world: World, ledger: ports.Ledger) -> None:
        self._world = world
        self._ledger = ledger
        self._locks: WeakValueDictionary[tuple[CanaryRef, str], asyncio.Lock] = WeakValueDictionary()

    async def amend(self, ref: CanaryRef, name: str, change: Callable[[Rollback], Amendment]) -> Rollback:
        """Applies ``change`` to the newest version known; a change that is nothing writes nothing.

        Raises the NeighbourError family; Conflict only when others win every time.
        """
        lock = self._locks.setdefault((ref, name), asyncio.Lock())
        async with lock:
            for tries in range(1, _TRIES + 1):
                record = self._world.record(ref, name)
                if record is None:
                    raise errors.Missing(f"Rollback {ref.namespace}/{name} is gone")
                amendment = change(record)
                if not amendment:
                    return record
                try:
                    written = await self._ledger.amend(
                        ref.namespace, name, amendment, resource_version=record.resource_version
                    )
                except errors.Conflict:
                    if tries == _TRIES:
                        raise
                    await self._look_again(ref, name)
                    continue
                self._world.put_record(written)
                return written
        raise AssertionError("unreachable: the last try returns or raises")

    async def _look_again(self, ref: CanaryRef, name: str) -> None:
        fresh = await self._ledger.read(ref.namespace, name)
        if fresh is None:
            raise errors.Missing(f"Rollback {ref.namespace}/{name} is gone")
        self._world.put_record(fresh)


class RevisionRecorder:
    """The same for the records of revisions."""

    def __init__(self, *, world: World, revisions: ports.Revisions) -> None:
        self._world = world
        self._revisions = revisions
        self._locks: WeakValueDictionary[tuple[CanaryRef, str], asyncio.Lock] = WeakValueDictionary()

    async def amend(
        self, ref: CanaryRef, name: str, change: Callable[[CanaryRevision], CanaryRevision]
    ) -> CanaryRevision:  # fmt: skip
        """Raises like ``Recorder.amend``."""
        lock = self._locks.setdefault((ref, name), asyncio.Lock())
        async with lock:
            for tries in range(1, _TRIES + 1):
                record = next((one for one in self._world.revisions(ref) if one.name == name), None)
                if record is None:
                    raise errors.Missing(f"CanaryRevision {ref.namespace}/{name} is gone")
                after = change(record)
                if after == record:
                    return record
                try:
                    written = await self._revisions.amend(record, after)
                except errors.Conflict:
                    if tries == _TRIES:
                        raise
                    fresh = await self._revisions.read(ref.namespace, name)
                    if fresh is None:
                        raise errors.Missing(f"CanaryRevision {ref.namespace}/{name} is gone") from None
                    self._world.put_revision(fresh)
                    continue
                self._world.put_revision(written)
                return written
        raise AssertionError("unreachable: the last try returns or raises")
