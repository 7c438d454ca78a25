"""One mailbox per canary: in order within, parallel across, bounded, and gone when there is nothing to do.

A mailbox holds letters (alerts that wait for an answer) and at most one nudge (something changed: look). Many
letters are read in one pass, so a storm costs one look at the world, not thousands.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from daemon import ports
from daemon.model import errors
from daemon.model.canary import CanaryRef
from daemon.workflow.letters import Letter

Run = Callable[[CanaryRef, Sequence[Letter]], Awaitable[float | None]]

_AFTER_SURPRISE = 0.5
"""Seconds until a pass that ended in an unforeseen error is tried again."""


class Mailbox:
    """Runs passes for one canary for as long as there is something to do."""

    def __init__(
        self, ref: CanaryRef, run: Run, *, observer: ports.Observer, capacity: int, idle: Callable[[], None]
    ) -> None:
        self._ref = ref
        self._run = run
        self._observer = observer
        self._capacity = capacity
        self._idle = idle
        self._letters: list[Letter] = []
        self._stir = asyncio.Event()
        self._closing = False

    def post(self, letter: Letter) -> None:
        """Raises NotDurable when full: no is an answer, and the sender comes again."""
        if len(self._letters) >= self._capacity:
            raise errors.NotDurable(f"{self._ref}: {self._capacity} alerts are waiting already")
        self._letters.append(letter)
        self._stir.set()

    def nudge(self) -> None:
        self._stir.set()

    def close(self) -> None:
        """The running pass is the last one."""
        self._closing = True
        self._stir.set()

    async def work(self) -> None:
        """Ends when nothing is left to do; whatever ends it, no letter is left without an answer."""
        batch: list[Letter] = []
        try:
            while True:
                self._stir.clear()
                batch, self._letters = self._letters, []
                again = await self._one_pass(batch)
                if not await self._wait(again):
                    return
        finally:
            # In the same step as the last look at ``_stir``: nobody can post to a mailbox that has stopped.
            self._idle()
            for letter in batch + self._letters:
                letter.fail("shutting down")

    async def _one_pass(self, batch: Sequence[Letter]) -> float | None:
        try:
            return await self._run(self._ref, batch)
        except Exception as error:  # noqa: BLE001 - told, answered 503, and tried again: a bug must not end a hold
            self._observer.pass_failed(self._ref, error)
            for letter in batch:
                letter.fail(f"the pass failed: {type(error).__name__}")
            return _AFTER_SURPRISE

    async def _wait(self, again: float | None) -> bool:
        """False when the mailbox may vanish."""
        if self._closing:
            return False
        if again == 0 or self._stir.is_set():
            # Other canaries' mailboxes get their turn between two passes of this one.
            await asyncio.sleep(0)
            return True
        if again is None:
            return False
        try:
            async with asyncio.timeout(again):
                await self._stir.wait()
        except TimeoutError:
            pass
        return not self._closing


class Mailboxes:
    """All mailboxes; ``nudge`` and ``post`` make one when it is needed."""

    def __init__(self, *, run: Run, observer: ports.Observer, capacity: int) -> None:
        self._run = run
        self._observer = observer
        self._capacity = capacity
        self._open: dict[CanaryRef, tuple[Mailbox, asyncio.Task[None]]] = {}
        self._closing = False

    def post(self, ref: CanaryRef, letter: Letter) -> None:
        """Raises NotDurable when the mailbox is full, or the daemon is stopping."""
        if self._closing:
            raise errors.NotDurable("shutting down")
        self._mailbox(ref).post(letter)

    def nudge(self, ref: CanaryRef) -> None:
        if not self._closing:
            self._mailbox(ref).nudge()

    async def drain(self, seconds: float) -> None:
        """Takes no more, lets running passes finish for at most ``seconds``, then stops what is left."""
        self._closing = True
        for mailbox, _ in self._open.values():
            mailbox.close()
        tasks = [task for _, task in self._open.values()]
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def _mailbox(self, ref: CanaryRef) -> Mailbox:
        found = self._open.get(ref)
        if found is not None:
            return found[0]
        mailbox = Mailbox(
            ref, self._run, observer=self._observer, capacity=self._capacity, idle=lambda: self._vanish(ref)
        )
        task = asyncio.get_running_loop().create_task(mailbox.work(), name=f"mailbox {ref}")
        self._open[ref] = (mailbox, task)
        return mailbox

    def _vanish(self, ref: CanaryRef) -> None:
        self._open.pop(ref, None)
