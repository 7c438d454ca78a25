"""Several event loops under one virtual clock: each is a process of its own, which can be stopped for a while.

Time passes only when no loop that runs has anything to do. A loop that is stopped loses nothing: what became due
meanwhile (answers first, then timers, as with a selector) runs in its first turn after that.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

STEPS_AT_ONE_MOMENT = 10_000


class VirtualTime:
    """The clock, the loops under it, and what the world itself does at its moments (``at``)."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.loops: list[VirtualLoop] = []
        self.after_each_step: Callable[[], None] = lambda: None
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def loop(self) -> VirtualLoop:
        made = VirtualLoop(self)  # type: ignore[abstract]
        self.loops.append(made)
        return made

    def at(self, when: float, act: Callable[[], None]) -> None:
        """Done by the world, whichever loops are stopped."""
        heapq.heappush(self._events, (max(when, self.now), next(self._order), act))

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while True:
            self._settle()
            moments = [loop.next_timer() for loop in self.loops if not loop.stopped]
            moments += [self._events[0][0]] if self._events else []
            upcoming = min(moments, default=until)
            if upcoming > until:
                self.now = until
                return
            self.now = max(self.now, upcoming)
            if not moments:
                return

    def _settle(self) -> None:
        """All that is due now."""
        for _ in range(STEPS_AT_ONE_MOMENT):
            if self._events and self._events[0][0] <= self.now:
                heapq.heappop(self._events)[2]()
                continue
            due = next((loop for loop in self.loops if not loop.stopped and loop.is_due()), None)
            if due is None:
                return
            due.turn()
            self.loops.append(self.loops.pop(self.loops.index(due)))  # everyone in turn
            self.after_each_step()
        raise AssertionError(f"the loops never rest at {self.now}")


class VirtualLoop(asyncio.AbstractEventLoop):
    """As much of an event loop as tasks, timeouts and futures need."""

    def __init__(self, world: VirtualTime) -> None:
        self.stopped = False
        self.unhandled: list[dict[str, Any]] = []
        self._world = world
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._order = itertools.count()

    def time(self) -> float:
        return self._world.now

    def stop(self) -> None:
        """SIGSTOP: no step until ``go_on``."""
        self.stopped = True

    def go_on(self) -> None:
        self.stopped = False

    def is_due(self) -> bool:
        return bool(self._ready) or self.next_timer() <= self._world.now

    def next_timer(self) -> float:
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else float("inf")

    def turn(self) -> None:
        while self.next_timer() <= self._world.now:
            self._ready.append(heapq.heappop(self._timers)[2])
        asyncio._set_running_loop(self)
        try:
            for _ in range(len(self._ready)):
                handle = self._ready.popleft()
                if not handle.cancelled():
                    handle._run()
        finally:
            asyncio._set_running_loop(None)

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        return self.create_task(coroutine)

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._order), handle))
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: str | None = None, context: Any = None) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=self, name=name, context=context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.unhandled.append(context)

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Asked for by TimerHandle.cancel."""
