"""The outbox of one channel: what is due is written into the record before it is sent, and what was taken after.

A crash between the two leaves a word *begun*: it may have been taken, so it is said again with the same key, and a
channel that can find out whether it has it already does so first.
"""

import asyncio
import dataclasses
from collections.abc import Callable, Sequence

from daemon import ports
from daemon.model import errors
from daemon.model.canary import CanaryRef
from daemon.model.decision import Evidence
from daemon.model.notice import Message, Notice, Story
from daemon.model.rollback import Amendment, Rollback
from daemon.policy import telling, wording
from daemon.workflow.gathering import Gatherer
from daemon.workflow.leading import Leadership
from daemon.workflow.recording import Recorder
from daemon.workflow.standing import Standing
from daemon.workflow.world import World

_IN_A_ROW = 50
"""Messages about one rollback at one go; a story has fewer."""
_ABREAST = 2
"""Messages to one channel at the same time, whatever number of rollbacks there is to tell of."""


class Telling:
    """A duty, one per channel: a dead Slack delays no page."""

    def __init__(
        self,
        *,
        name: str,
        channel: ports.Channel,
        world: World,
        gatherer: Gatherer,
        recorder: Recorder,
        observer: ports.Observer,
        clock: ports.Clock,
        break_glass: Callable[[Evidence], Sequence[str]],
        style: wording.Style,
    ) -> None:
        self.name = f"notice {name}"
        self._channel_name = name
        self._channel = channel
        self._world = world
        self._gatherer = gatherer
        self._recorder = recorder
        self._observer = observer
        self._clock = clock
        self._break_glass = break_glass
        self._style = style
        self._lanes = asyncio.Semaphore(_ABREAST)
        self._not_before = 0.0

    def concerns(self, ref: CanaryRef) -> bool:
        return any(self._due(record) for record in self._world.records(ref))

    async def work(self, ref: CanaryRef, leadership: Leadership) -> float | None:
        for name in [record.name for record in self._world.records(ref)]:
            for _ in range(_IN_A_ROW):
                record = self._world.record(ref, name)
                due = self._due(record) if record is not None else ()
                if not due:
                    break
                async with self._lanes:
                    await self._pause_asked_for()
                    await self._say(ref, name, due[0], leadership)
        return None

    def _due(self, record: Rollback) -> tuple[Message, ...]:
        if not record.begun:
            return ()
        return telling.due(
            record, self._channel_name, self._channel.manner,
            closes=self._channel.closes, story=lambda: self._story(record), now=self._clock.now(),
        )  # fmt: skip

    def _story(self, record: Rollback) -> Story:
        canary = self._world.canary(record.canary)
        # A memory of its own: to look must not change what the passes remember.
        evidence = self._gatherer.gather(record.canary, Standing(record.canary))
        return wording.story(record, canary, self._break_glass(evidence), evidence.undo, self._style)

    async def _pause_asked_for(self) -> None:
        left = self._not_before - asyncio.get_running_loop().time()
        if left > 0:
            await asyncio.sleep(left)

    async def _say(self, ref: CanaryRef, name: str, message: Message, leadership: Leadership) -> None:
        leadership.check()
        before = self._world.record(ref, name)
        uncertain = before is not None and telling.is_uncertain(self._notice(before), message)
        record = await self._recorder.amend(ref, name, lambda now: self._begun(now, message))
        leadership.check()
        try:
            reference = await self._channel.deliver(message, self._notice(record).reference, uncertain=uncertain)
        except errors.NeighbourError as error:
            self._observer.notice_sent(ref, self._channel_name, message.key, error)
            await self._failed(ref, name, message, error)
            return
        self._observer.notice_sent(ref, self._channel_name, message.key, None)
        await self._recorder.amend(ref, name, lambda now: self._with(
            now, telling.taken(self._notice(now), message, reference, self._clock.now())
        ))  # fmt: skip

    async def _failed(self, ref: CanaryRef, name: str, message: Message, error: errors.NeighbourError) -> None:
        if isinstance(error, errors.Refused):
            await self._recorder.amend(ref, name, lambda now: self._with(
                now, telling.refused(self._notice(now), message, str(error), self._clock.now())
            ))  # fmt: skip
            return
        if isinstance(error, errors.Throttled):
            # The channel is tired, not this rollback: all of its messages wait.
            self._not_before = asyncio.get_running_loop().time() + error.retry_after
        await self._recorder.amend(ref, name, lambda now: self._with(
            now, dataclasses.replace(self._notice(now), problem=str(error))
        ))  # fmt: skip
        raise error

    def _begun(self, record: Rollback, message: Message) -> Amendment:
        notice = telling.planned(self._notice(record), self._due(record) or (message,), self._clock.now())
        return self._with(record, telling.begun(notice, message))

    def _notice(self, record: Rollback) -> Notice:
        return record.notice(self._channel_name) or Notice(self._channel_name, telling.dedup_key(record))

    def _with(self, record: Rollback, notice: Notice) -> Amendment:
        others = tuple(one for one in record.notices if one.channel != notice.channel)
        return Amendment(notices=(*others, notice))
