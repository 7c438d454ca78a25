"""Writes into records beside the passes, one change at a time, each made for the record as it is now."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar
from weakref import WeakValueDictionary

from daemon import ports
from daemon.model import errors
from daemon.model.canary import CanaryRef
from daemon.model.canary_revision import CanaryRevision
from daemon.model.rollback import Amendment, Rollback
from daemon.workflow.world import World

Record = TypeVar("Record")

_TRIES = 8
"""Passes write too while a rollback is young: a change that meets theirs is made again."""


class _Locks:
    """One writer of ours at a time for each record."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[tuple[CanaryRef, str], asyncio.Lock] = WeakValueDictionary()

    def of(self, ref: CanaryRef, name: str) -> asyncio.Lock:
        return self._locks.setdefault((ref, name), asyncio.Lock())


class Recorder:
    """What came after zero. ``amend`` is the only way in; a record that is gone raises Missing."""

    def __init__(self, *, world: World, ledger: ports.Ledger) -> None:
        self._world = world
        self._ledger = ledger
        self._locks = _Locks()

    async def amend(self, ref: CanaryRef, name: str, change: Callable[[Rollback], Amendment]) -> Rollback:
        """Applies ``change`` to the newest version known; a change that is nothing writes nothing.

        Raises the NeighbourError family; Conflict only when others win every time.
        """

        async def write(record: Rollback) -> Rollback:
            amendment = change(record)
            if not amendment:
                return record
            written = await self._ledger.amend(
                ref.namespace, name, amendment, resource_version=record.resource_version
            )  # fmt: skip
            self._world.put_record(written)
            return written

        async with self._locks.of(ref, name):
            return await _until_written(
                f"Rollback {ref.namespace}/{name}",
                look=lambda: self._world.record(ref, name),
                write=write,
                read=lambda: self._ledger.read(ref.namespace, name),
                put=self._world.put_record,
            )


class RevisionRecorder:
    """The same for the records of revisions."""

    def __init__(self, *, world: World, revisions: ports.Revisions) -> None:
        self._world = world
        self._revisions = revisions
        self._locks = _Locks()

    async def amend(
        self, ref: CanaryRef, name: str, change: Callable[[CanaryRevision], CanaryRevision]
    ) -> CanaryRevision:  # fmt: skip
        """Raises like ``Recorder.amend``."""

        async def write(record: CanaryRevision) -> CanaryRevision:
            after = change(record)
            if after == record:
                return record
            written = await self._revisions.amend(record, after)
            self._world.put_revision(written)
            return written

        async with self._locks.of(ref, name):
            return await _until_written(
                f"CanaryRevision {ref.namespace}/{name}",
                look=lambda: next((one for one in self._world.revisions(ref) if one.name == name), None),
                write=write,
                read=lambda: self._revisions.read(ref.namespace, name),
                put=self._world.put_revision,
            )


async def _until_written(
    what: str,
    *,
    look: Callable[[], Record | None],
    write: Callable[[Record], Awaitable[Record]],
    read: Callable[[], Awaitable[Record | None]],
    put: Callable[[Record], None],
) -> Record:
    """Writes for the record as it is known; after a conflict, for the record as it was read anew."""
    for tries in range(1, _TRIES + 1):
        record = look()
        if record is None:
            raise errors.Missing(f"{what} is gone")
        try:
            return await write(record)
        except errors.Conflict:
            if tries == _TRIES:
                raise
        fresh = await read()
        if fresh is None:
            raise errors.Missing(f"{what} is gone")
        put(fresh)
    raise AssertionError("unreachable: the last try returns or raises")
