"""Starts in order, stops in reverse; every cleanup has a name and a deadline; the first actor to end ends all.

No word of our own trade in here.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

Tell = Callable[[str, str], None]
"""Told of a name, and what became of it."""

_CLEANUP_SECONDS = 10.0


class Lifecycle:
    """A process: actors that run for ever, and cleanups for when they no longer may."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._actors: list[asyncio.Task[None]] = []
        self._cleanups: list[tuple[str, Callable[[], Awaitable[None]], float | None]] = []
        self._stop = asyncio.Event()
        self.failed = False

    def on_stop(
        self, name: str, cleanup: Callable[[], Awaitable[None]], *, within: float | None = None
    ) -> None:  # fmt: skip
        """Cleanups run last in, first out, each for ``within`` seconds (10) at most; one that fails does not keep the
        others from running."""
        self._cleanups.append((name, cleanup, within))

    def actor(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Runs for ever; its end, whatever the reason, ends the process."""
        self._actors.append(asyncio.get_running_loop().create_task(work, name=name))

    def alive(self) -> str:
        """Empty while every actor runs, else the name of one that does not."""
        return next((f"{task.get_name()} has ended" for task in self._actors if task.done()), "")

    def heed_signals(self) -> None:
        """SIGTERM and SIGINT stop the process in order."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.stop)

    def stop(self) -> None:
        self._stop.set()

    async def run(self) -> None:
        """Until a signal, ``stop``, or the end of an actor; then stops everything."""
        waiting = asyncio.get_running_loop().create_task(self._stop.wait(), name="stop")
        try:
            await asyncio.wait({waiting, *self._actors}, return_when=asyncio.FIRST_COMPLETED)
            for task in self._actors:
                if task.done():
                    self.failed = True
                    problem = None if task.cancelled() else task.exception()
                    self._tell(task.get_name(), f"ended: {problem!r}" if problem else "ended")
        finally:
            waiting.cancel()
            await self._clean_up()

    async def _clean_up(self) -> None:
        for name, cleanup, asked in reversed(self._cleanups):
            within = _CLEANUP_SECONDS if asked is None else asked
            try:
                async with asyncio.timeout(within):
                    await cleanup()
            except TimeoutError:
                self._tell(name, f"not stopped within {within:.0f} s")
            except Exception as error:  # noqa: BLE001 - told, and the next cleanup still runs
                self._tell(name, f"failed to stop: {error!r}")
        for task in self._actors:
            task.cancel()
        await asyncio.gather(*self._actors, return_exceptions=True)
