"""Claims the lease by which one of several replicas leads: looks, takes, renews, gives back.

Nobody's wall clock is ever compared. A holder counts a write from the monotonic moment before it was sent. A candidate
waits, on its own monotonic clock, from when it *got to see* a version of the lease, for all the seconds its holder
promised; then it writes from that very version, so that a renewal it did not see makes the write fail.
"""

import asyncio
import contextlib
import dataclasses
import datetime
import enum
import math
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from daemon import ports
from daemon.model import errors
from daemon.model.lease import LeaseSeen, Terms

Answer = TypeVar("Answer")

_SHORTEST = 0.8
"""A jittered pause is at least this share of what was asked for, and never more than all of it."""

_MOST_TRANSITIONS = 2**31 - 1
"""What an API server can hold: one that somebody else has brought so far is no reason for nobody to lead."""


class LeaseStore(Protocol):
    """One lease, by version. Raises the NeighbourError family."""

    async def read(self) -> LeaseSeen:
        """Raises Missing when there is none."""
        ...

    async def create(self, lease: LeaseSeen) -> LeaseSeen:
        """Raises AlreadyThere when somebody was faster."""
        ...

    async def replace(self, lease: LeaseSeen) -> LeaseSeen:
        """Raises Conflict or Missing when the lease is not the one at ``lease.resource_version`` any more."""
        ...


class News(enum.StrEnum):
    """What is told of."""

    ACQUIRED = "acquired"
    LOST = "lost"
    RELEASED = "released"
    TAKEOVER = "takeover"
    """Another one holds the lease now."""
    FAILING = "failing"
    """Once per kind of error, until a try has passed."""
    WORK_FAILED = "work-failed"


class Claim:
    """One replica's claim on the lease: what was seen of it, since when, and whether it may be written."""

    def __init__(
        self,
        *,
        store: LeaseStore,
        identity: str,
        terms: Terms,
        report: Callable[[str, str], None],
        clock: ports.Clock,
        chance: ports.Chance,
    ) -> None:
        self._store = store
        self._identity = identity
        self._terms = terms
        self._report = report
        self._clock = clock
        self._chance = chance
        self._seen: LeaseSeen | None = None
        self._holder: str | None = None  # None until a lease was seen
        self._since = 0.0  # when we got to see this version
        self._promise = 0.0  # seconds from then that belong to its holder
        self._unsure = False  # a write of ours was not confirmed: it may stand or not
        self._failing: set[type[BaseException]] = set()
        self._throttled = 0.0

    @property
    def holder(self) -> str:
        """Who held the lease when it was last seen; empty for nobody, or not seen yet."""
        return self._holder or ""

    @property
    def taken(self) -> bool:
        """Whether somebody else held it then."""
        return self.holder not in {"", self._identity}

    @property
    def vacant(self) -> bool:
        """Whether nobody can be leading, as far as is known here: the last holder's promise has run out."""
        return self._is_free()

    async def attempt(self, until: float = math.inf) -> float | None:
        """Tries once to take or renew, until that moment of the loop's clock at most. Tells of failures.

        Returns the moment before the write was sent that makes the lease ours; None when it is not, or nobody knows.
        """
        self._throttled = 0.0
        try:
            sent_at = await self._try(until)
        except errors.NeighbourError as error:
            self._fails(error)
            return None
        self._failing.clear()
        return sent_at

    async def release(self) -> None:
        """Gives the lease back if it is ours, within ``retry`` seconds; else it runs out by itself."""
        try:
            async with asyncio.timeout(self._terms.retry):
                given_back = await self._give_back()
        except (errors.NeighbourError, TimeoutError) as error:
            self._unsure = True
            self._fails(error)
            return
        if given_back:
            self._report(News.RELEASED, self._identity)

    def pause(self) -> float:
        """Seconds until the next try."""
        return max(self.jittered(self._terms.retry), self._throttled)

    def jittered(self, seconds: float) -> float:
        return self._chance.between(_SHORTEST * seconds, seconds)

    async def _try(self, until: float) -> float | None:
        for _ in range(2):  # again, and at once, when somebody wrote in between
            sure = not self._unsure and self._seen is not None and self._seen.holder == self._identity
            lease = self._seen if sure else await self._look(until)
            if not self._is_free():
                return None
            with contextlib.suppress(errors.Conflict, errors.AlreadyThere, errors.Missing):
                return await self._write(lease, until)
        return None

    def _is_free(self) -> bool:
        """Whether the lease, as last seen, is ours to write."""
        return _now() - self._since >= self._promise

    async def _look(self, until: float) -> LeaseSeen | None:
        try:
            self._note(await self._ask(self._store.read(), until))
        except errors.Missing:
            self._note(None)
        return self._seen

    async def _write(self, lease: LeaseSeen | None, until: float) -> float:
        now = self._clock.now()
        if lease is not None and lease.renewed_at == now:
            now += datetime.timedelta(microseconds=1)  # a write that changes nothing makes no version others could see
        ours = lease is not None and lease.holder == self._identity
        claim = LeaseSeen(
            holder=self._identity,
            duration_seconds=self._terms.written_seconds,
            transitions=0 if lease is None else min(lease.transitions + (not ours), _MOST_TRANSITIONS),
            acquired_at=lease.acquired_at if lease is not None and ours else now,
            renewed_at=now,
            resource_version="" if lease is None else lease.resource_version,
        )
        self._unsure = True
        sent_at = _now()
        request = self._store.create(claim) if lease is None else self._store.replace(claim)
        self._note(await self._ask(request, until))
        return sent_at

    async def _ask(self, request: Awaitable[Answer], until: float) -> Answer:
        """Bounds a request: one that is lost leaves time for another."""
        try:
            async with asyncio.timeout_at(min(until, _now() + self._terms.renew_deadline / 2)):
                return await request
        except TimeoutError as error:
            raise errors.Unreachable("lease: no answer in time") from error

    def _note(self, lease: LeaseSeen | None) -> None:
        version = "" if lease is None else lease.resource_version
        if version != ("" if self._seen is None else self._seen.resource_version):
            self._since = _now()
        if lease is not None:  # else the promise stays: to delete a lease does not stop its holder
            free = lease.holder in {"", self._identity}
            self._promise = 0.0 if free else float(lease.duration_seconds or self._terms.written_seconds)
        self._seen, self._unsure = lease, False
        before = self._holder
        if lease is not None or before is not None:
            self._holder = "" if lease is None else lease.holder
        if self.taken and before not in {None, self._holder}:
            self._report(News.TAKEOVER, self.holder)

    async def _give_back(self) -> bool:
        while self._unsure or self.holder == self._identity:
            lease = await self._look(math.inf) if self._unsure else self._seen
            if lease is None or lease.holder != self._identity:
                return False
            free = dataclasses.replace(lease, holder="", duration_seconds=1, renewed_at=self._clock.now())
            self._unsure = True
            with contextlib.suppress(errors.Conflict, errors.Missing):
                self._note(await self._store.replace(free))
                return True
        return False

    def _fails(self, error: BaseException) -> None:
        if isinstance(error, errors.Throttled):
            self._throttled = min(error.retry_after, self._terms.renew_deadline / 2)
        if type(error) not in self._failing:
            self._failing.add(type(error))
            self._report(News.FAILING, str(error) or "no answer in time")


def _now() -> float:
    return asyncio.get_running_loop().time()
