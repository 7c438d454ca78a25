"""What the leader does for every rollback beside and after zero: several duties, each alone, none in the way (law 2).

One task per duty and canary, for as long as there is something to do. It ends with the leadership; the next leader
looks again and does what is missing (law 5).
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from daemon import ports
from daemon.model import errors
from daemon.model.canary import CanaryRef
from daemon.workflow import pacing
from daemon.workflow.leading import Leadership, NotLeadingError
from daemon.workflow.pruning import Pruning
from daemon.workflow.world import World

_AFTER_SURPRISE = 5.0
_FIRST, _MOST = 1.0, 60.0
"""Seconds between two tries of what failed."""
_SOONEST = 2.0
"""Seconds after a failed try before news may bring the next one forward."""


class Duty(Protocol):
    """One thing that has to be done after zero."""

    @property
    def name(self) -> str: ...

    def concerns(self, ref: CanaryRef) -> bool:
        """Whether there is something to do for this canary. Cheap: asked at every change."""
        ...

    async def work(self, ref: CanaryRef, leadership: Leadership) -> float | None:
        """Does what can be done now; returns in how many seconds to look again, None for when something changes.

        Calls ``leadership.check()`` before every act. Raises the NeighbourError family: tried again, with backoff.
        """
        ...


class Aftermath:
    """``lead`` is the leading work; ``touched`` tells it of a change."""

    def __init__(
        self,
        *,
        world: World,
        duties: Sequence[Duty],
        pruning: Pruning,
        observer: ports.Observer,
        chance: ports.Chance,
    ) -> None:
        self._world = world
        self._duties = tuple(duties)
        self._pruning = pruning
        self._observer = observer
        self._chance = chance
        self._leadership: Leadership | None = None
        self._tasks: dict[tuple[str, CanaryRef], tuple[asyncio.Task[None], asyncio.Event]] = {}

    async def lead(self, leadership: Leadership) -> None:
        """Until cancelled; then every task of its own has ended."""
        self._leadership = leadership
        try:
            # Canaries without a record too: what was lent to one outlives the record that somebody deleted.
            refs = dict.fromkeys(record.canary for record in self._world.all_records())
            refs |= dict.fromkeys(canary.ref for canary in self._world.canaries())
            async for ref in pacing.in_turns(refs):
                self.touched(ref)
            await self._pruning.run(leadership)
        finally:
            self._leadership = None
            tasks = [task for task, _ in self._tasks.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def touched(self, ref: CanaryRef) -> None:
        """Something about this canary changed; nothing is done where this replica does not lead."""
        leadership = self._leadership
        if leadership is None:
            return
        for duty in self._duties:
            running = self._tasks.get((duty.name, ref))
            if running is not None:
                running[1].set()
            elif self._concerns(duty, ref):
                self._begin(duty, ref, leadership)

    def _concerns(self, duty: Duty, ref: CanaryRef) -> bool:
        try:
            return duty.concerns(ref)
        except Exception as error:  # noqa: BLE001 - told: whoever brought the news must not hear of it
            self._observer.pass_failed(ref, error)
            return False

    def _begin(self, duty: Duty, ref: CanaryRef, leadership: Leadership) -> None:
        stir = asyncio.Event()
        work = self._work(duty, ref, leadership, stir)
        task = asyncio.get_running_loop().create_task(work, name=f"{duty.name} {ref}")
        self._tasks[duty.name, ref] = (task, stir)

    async def _work(self, duty: Duty, ref: CanaryRef, leadership: Leadership, stir: asyncio.Event) -> None:
        failures = 0
        try:
            while True:
                stir.clear()
                try:
                    again = await duty.work(ref, leadership)
                    failures = 0
                except NotLeadingError:
                    return
                except errors.NeighbourError as error:
                    failures += 1
                    again = self._backoff(failures, error)
                    self._observer.duty_failed(ref, duty.name, error)
                    await _rest(stir, again)
                    continue
                except Exception as error:  # noqa: BLE001 - told, and tried again: a bug in one duty ends no other
                    self._observer.pass_failed(ref, error)
                    await asyncio.sleep(_AFTER_SURPRISE)
                    continue
                if not await _wait(stir, again):
                    return
        finally:
            # In the same step as the last look at ``stir``: no change falls between two tasks.
            self._tasks.pop((duty.name, ref), None)

    def _backoff(self, failures: int, error: errors.NeighbourError) -> float:
        most = min(_MOST, _FIRST * 2 ** min(failures - 1, 10))
        asked = error.retry_after if isinstance(error, errors.Throttled) else 0.0
        return max(asked, self._chance.between(most / 2, most))


async def _rest(stir: asyncio.Event, seconds: float) -> None:
    """After a failure. What the failed try wrote down itself is no news; what comes now may be."""
    soonest = min(seconds, _SOONEST)
    stir.clear()
    await asyncio.sleep(soonest)
    if not stir.is_set():
        await _wait(stir, seconds - soonest)


async def _wait(stir: asyncio.Event, again: float | None) -> bool:
    """False when there is nothing left to wait for."""
    if again is None:
        return stir.is_set()
    try:
        async with asyncio.timeout(again):
            await stir.wait()
    except TimeoutError:
        pass
    return True
