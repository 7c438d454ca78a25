"""Sends to one channel: what is due is written down before it is sent, and what was taken after.

A crash between the two leaves a word *begun*: it may have been taken, so it is said again with the same key, and a
channel that can find out whether it has it already does so first.
"""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable

from daemon import ports
from daemon.model import errors
from daemon.model.canary import CanaryRef
from daemon.model.notice import Message, Notice
from daemon.policy import telling
from daemon.workflow.leading import Leadership

_ABREAST = 2
"""Messages to one channel at the same time, whatever number of canaries there is to tell of."""

Amend = Callable[[Callable[[Notice], Notice]], Awaitable[Notice]]
"""Changes what the record says this channel was told, for the record as it is now; returns how it reads then."""


class Outbox:
    """One channel by its name in the configuration: a dead Slack delays no page."""

    def __init__(self, name: str, channel: ports.Channel, *, observer: ports.Observer, clock: ports.Clock) -> None:
        self.name = name
        self.channel = channel
        self._observer = observer
        self._clock = clock
        self._lanes = asyncio.Semaphore(_ABREAST)
        self._not_before = 0.0

    async def send(
        self,
        ref: CanaryRef,
        message: Message,
        *,
        plan: Callable[[], tuple[Message, ...]],
        amend: Amend,
        leadership: Leadership,
        anew: bool = False,
    ) -> None:
        """``plan``: everything that is due as the record reads now. ``anew``: it belongs to nothing said before.

        Raises the NeighbourError of a try that failed and is worth another.
        """
        async with self._lanes:
            await self._pause_asked_for()
            leadership.check()
            amend = _unless_answered(message, amend)
            begun, uncertain = await self._begin(message, plan, amend)
            if message.key in begun.answered:
                return  # another leader has said it, and our watch had not shown us yet
            leadership.check()
            reference = "" if anew else begun.reference
            try:
                taken = await self.channel.deliver(message, reference, uncertain=uncertain)
            except errors.NeighbourError as error:
                self._observer.notice_sent(ref, self.name, message.key, error)
                await self._failed(message, error, amend)
                return
            self._observer.notice_sent(ref, self.name, message.key, None)
            await amend(lambda one: telling.taken(one, message, taken, self._clock.now()))

    async def _begin(
        self, message: Message, plan: Callable[[], tuple[Message, ...]], amend: Amend
    ) -> tuple[Notice, bool]:
        """Writes down that it is being said, unless it has been; and whether the channel may have it already. Both by
        the very version of the record that the write is made for."""
        uncertain = False

        def change(one: Notice) -> Notice:
            nonlocal uncertain
            uncertain = telling.is_uncertain(one, message)
            return telling.begun(telling.planned(one, plan() or (message,), self._clock.now()), message)

        return await amend(change), uncertain

    async def _pause_asked_for(self) -> None:
        left = self._not_before - asyncio.get_running_loop().time()
        if left > 0:
            await asyncio.sleep(left)

    async def _failed(self, message: Message, error: errors.NeighbourError, amend: Amend) -> None:
        if isinstance(error, errors.Refused):
            await amend(lambda one: telling.refused(one, message, str(error), self._clock.now()))
            return
        if isinstance(error, errors.Throttled):
            # The channel is tired, not this canary: all of its messages wait.
            asked = asyncio.get_running_loop().time() + error.retry_after
            self._not_before = max(self._not_before, asked)
        await amend(lambda one: dataclasses.replace(one, problem=str(error)))
        raise error


def _unless_answered(message: Message, amend: Amend) -> Amend:
    """What another leader has said and written down meanwhile stays as that one wrote it: whoever was stopped in the
    middle of saying it writes nothing more of it."""

    async def amended(change: Callable[[Notice], Notice]) -> Notice:
        return await amend(lambda one: one if message.key in one.answered else change(one))

    return amended
