"""Tells the story of each rollback through one channel, word by word, as the record says what was said."""

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
from daemon.workflow.outbox import Outbox
from daemon.workflow.recording import Recorder
from daemon.workflow.standing import Standing
from daemon.workflow.world import World

_IN_A_ROW = 50
"""Messages about one rollback at one go; a story has fewer."""


class Telling:
    """A duty, one per channel."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        world: World,
        gatherer: Gatherer,
        recorder: Recorder,
        clock: ports.Clock,
        break_glass: Callable[[Evidence], Sequence[str]],
        style: wording.Style,
        drills: bool = False,
    ) -> None:
        """``drills``: chats are told of drills too."""
        self.name = f"notice {outbox.name}"
        self._outbox = outbox
        self._world = world
        self._gatherer = gatherer
        self._recorder = recorder
        self._clock = clock
        self._break_glass = break_glass
        self._style = style
        self._drills = drills

    def concerns(self, ref: CanaryRef) -> bool:
        return any(
            record.begun and telling.is_due(
                record, self._outbox.name, self._outbox.channel.manner,
                closes=self._outbox.channel.closes, now=self._clock.now(), drills=self._drills,
            )
            for record in self._world.records(ref)
        )  # fmt: skip

    async def work(self, ref: CanaryRef, leadership: Leadership) -> float | None:
        failed: errors.NeighbourError | None = None
        # Newest first: what a channel cannot stomach of yesterday keeps nothing of tonight from it.
        for name in [record.name for record in reversed(self._world.records(ref))]:
            try:
                await self._tell(ref, name, leadership)
            except errors.NeighbourError as error:
                failed = failed or error
        if failed is not None:
            raise failed
        return None

    async def _tell(self, ref: CanaryRef, name: str, leadership: Leadership) -> None:
        for _ in range(_IN_A_ROW):
            record = self._world.record(ref, name)
            due = self._due(record) if record is not None else ()
            if record is None or not due:
                return
            await self._send(record, due[0], leadership)

    def _due(self, record: Rollback) -> tuple[Message, ...]:
        if not record.begun:
            return ()
        channel = self._outbox.channel
        return telling.due(
            record, self._outbox.name, channel.manner,
            closes=channel.closes, story=lambda: self._story(record), now=self._clock.now(), drills=self._drills,
        )  # fmt: skip

    def _story(self, record: Rollback) -> Story:
        canary = self._world.canary(record.canary)
        # A memory of its own: to look must not change what the passes remember.
        evidence = self._gatherer.gather(record.canary, Standing(record.canary))
        return wording.story(record, canary, self._break_glass(evidence), evidence.undo, self._style)

    async def _send(self, record: Rollback, message: Message, leadership: Leadership) -> None:
        ref, name = record.canary, record.name

        async def amend(change: Callable[[Notice], Notice]) -> Notice:
            written = await self._recorder.amend(ref, name, lambda now: self._with(now, change(self._notice(now))))
            return self._notice(written)

        def plan() -> tuple[Message, ...]:
            now = self._world.record(ref, name)
            return self._due(now) if now is not None else ()

        await self._outbox.send(ref, message, plan=plan, amend=amend, leadership=leadership)

    def _notice(self, record: Rollback) -> Notice:
        return record.notice(self._outbox.name) or Notice(self._outbox.name, telling.dedup_key(record))

    def _with(self, record: Rollback, notice: Notice) -> Amendment:
        others = tuple(one for one in record.notices if one.channel != notice.channel)
        return Amendment(notices=(*others, notice))
