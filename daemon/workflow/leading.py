"""Leads, or waits to: one replica at a time does what must be done once, for as long as it holds the lease.

A renewal counts from the monotonic moment *before* it was sent, and for ``renew_deadline`` only; the rest of
``duration`` is the work's time to end, and that of a request that had just left. Two things this cannot do: recall
such a request (``Leadership.check`` right before it), and see a lease that somebody deleted before this process began.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable

from daemon import ports
from daemon.model import errors
from daemon.model.lease import Terms
from daemon.workflow.claiming import Claim, LeaseStore, News

__all__ = ["Elector", "Leadership", "LeaseStore", "News", "NotLeadingError", "WorkDoesNotEndError"]

_TO_END = 0.9
"""The share of the time between ``renew_deadline`` and ``duration`` that the work has to end in."""

_AFTER_A_STALL = 0.5
"""The share of that time the work has in any case, when this process itself was stopped for longer."""


class NotLeadingError(errors.PullbackError):
    """This replica does not lead (any more): what it was about to do is not its business."""


class WorkDoesNotEndError(errors.PullbackError):
    """The leading work was cancelled and did not end while the lease was ours: the process must."""


class Leadership:
    """What the leading work asks before it acts."""

    def __init__(self, time: Callable[[], float], until: float) -> None:
        self._time = time
        self._until = until

    @property
    def until(self) -> float:
        """Until when it holds if not renewed: seconds of the event loop's clock."""
        return self._until

    def holds(self) -> bool:
        """Compares the clock: right even when the process was stopped and nothing of ours has run since."""
        return self._time() < self._until

    def check(self) -> None:
        """To be called right before every act on the world. Raises NotLeadingError."""
        if not self.holds():
            raise NotLeadingError("the lease is not ours any more")

    def extend(self, until: float) -> None:
        """The elector's: the lease was renewed."""
        self._until = until

    def end(self) -> None:
        """The elector's: whoever still has this in hand must not act on it."""
        self._until = -math.inf


class Elector:
    """``run`` is an actor for ever; ``work`` runs as a task of its own while, and only while, the lease is ours.

    ``identity`` must be unique to this process: a lease that names it counts as ours. ``report`` is told of ``News``
    and a detail; it must not fail.
    """

    def __init__(
        self,
        *,
        store: LeaseStore,
        identity: str,
        terms: Terms,
        work: Callable[[Leadership], Awaitable[None]],
        report: Callable[[str, str], None],
        clock: ports.Clock,
        chance: ports.Chance,
    ) -> None:
        self._identity = identity
        self._terms = terms
        self._work = work
        self._report = report
        self._claim = Claim(
            store=store, identity=identity, terms=terms, report=report, clock=clock, chance=chance
        )  # fmt: skip
        self._leadership: Leadership | None = None
        self._setbacks = 0

    @property
    def leading(self) -> bool:
        return self._leadership is not None and self._leadership.holds()

    @property
    def holder(self) -> str:
        """Who held the lease when it was last seen; empty for nobody, or not seen yet."""
        return self._claim.holder

    @property
    def vacant(self) -> bool:
        """Whether nobody leads, as far as is known here; so it is also when the last holder is gone without a word."""
        return not self.leading and self._claim.vacant

    async def run(self) -> None:
        """Until cancelled; gives the lease back then. Raises WorkDoesNotEndError."""
        try:
            while True:
                await self._lead(await self._campaign())
        except WorkDoesNotEndError:
            raise  # and keep the lease: nobody may lead while that work may still be at it
        except BaseException:
            await self._claim.release()
            raise

    async def _campaign(self) -> float:
        """Tries until the lease is ours; returns the moment before the write was sent that made it so."""
        while True:
            sent_at = await self._claim.attempt()
            if sent_at is not None and _now() < sent_at + self._terms.renew_deadline:
                return sent_at
            await asyncio.sleep(self._claim.pause())

    async def _lead(self, sent_at: float) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._leadership = Leadership(loop.time, sent_at + self._terms.renew_deadline)
        self._report(News.ACQUIRED, self._identity)
        work = loop.create_task(self._do(self._leadership), name="leading")
        try:
            lost = await self._keep(self._leadership, work)
        finally:
            await self._end(self._leadership, work)
            failure = _failure(work)
            if failure:
                self._report(News.WORK_FAILED, failure)
        if lost:
            self._report(News.LOST, lost)
        elif not failure:
            self._report(News.WORK_FAILED, "ended, though nobody had asked it to")
        if failure or not lost:
            await self._claim.release()
            await self._back_off(_now() - began)

    async def _do(self, leadership: Leadership) -> None:
        await self._work(leadership)

    async def _keep(self, leadership: Leadership, work: "asyncio.Task[None]") -> str:
        """Renews until the lease is lost, and says why; empty when the work has ended first."""
        renew_at = leadership.until - self._terms.renew_deadline + self._claim.pause()
        while True:
            await asyncio.wait({work}, timeout=max(0.0, min(renew_at, leadership.until) - _now()))
            if not leadership.holds():
                return f"not renewed within {self._terms.renew_deadline:g} s"
            if work.done():
                return ""
            sent_at = await self._claim.attempt(leadership.until)
            if sent_at is not None:
                leadership.extend(sent_at + self._terms.renew_deadline)
                renew_at = sent_at + self._claim.pause()
            elif self._claim.taken:
                leadership.end()
                return f"{self._claim.holder} holds the lease"
            else:
                renew_at = _now() + self._claim.pause()

    async def _end(self, leadership: Leadership, work: "asyncio.Task[None]") -> None:
        """Cancels the work and waits for its end, while nobody else can be leading. Being cancelled changes nothing."""
        spare = self._terms.duration - self._terms.renew_deadline
        until = max(leadership.until + _TO_END * spare, _now() + _AFTER_A_STALL * spare)
        interrupted: asyncio.CancelledError | None = None
        work.cancel()
        while not work.done() and _now() < until:
            try:
                await asyncio.wait({work}, timeout=until - _now())
            except asyncio.CancelledError as error:
                interrupted = error
        leadership.end()
        if not work.done():
            raise WorkDoesNotEndError("the leading work did not end when it was cancelled") from interrupted
        if interrupted is not None:
            raise interrupted

    async def _back_off(self, led: float) -> None:
        """So that work which fails at once does not take the lease again and again. ``led`` seconds."""
        self._setbacks = 0 if led >= self._terms.duration else self._setbacks + 1
        pause = min(self._terms.retry * 2.0 ** min(self._setbacks, 30), self._terms.duration)
        await asyncio.sleep(self._claim.jittered(pause))


def _failure(work: "asyncio.Task[None]") -> str:
    """What the work died of; empty when it was cancelled, ended, or noticed itself that it no longer leads."""
    error = None if work.cancelled() else work.exception()
    return "" if error is None or isinstance(error, NotLeadingError) else repr(error)


def _now() -> float:
    return asyncio.get_running_loop().time()
