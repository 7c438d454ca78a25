"""The outbox, by the version of the record that each write is made for."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable

import pytest

from daemon.model import errors
from daemon.model.notice import Manner, Message, Notice, Saying
from daemon.policy import telling, wording
from daemon.workflow.hearing import Hearing
from daemon.workflow.outbox import Outbox
from tests.unit import facts

CHANNEL = "team"


class Leads:
    """A leadership that stands."""

    def check(self) -> None:
        return


@dataclasses.dataclass
class Chat:
    """Takes everything, and remembers with what."""

    manner: Manner = Manner.MESSAGE
    closes: bool = False
    taken: list[tuple[str, str, bool]] = dataclasses.field(default_factory=list)
    problem: errors.NeighbourError | None = None

    async def deliver(self, message: Message, reference: str, *, uncertain: bool) -> str:
        self.taken.append((message.key, reference, uncertain))
        if self.problem is not None:
            raise self.problem
        return "C1:17"


class Clock:
    def now(self) -> object:
        return facts.after(100)


@dataclasses.dataclass
class Record:
    """What the API server has; whoever writes gets to see it."""

    notice: Notice
    writes: int = 0

    async def amend(self, change: Callable[[Notice], Notice]) -> Notice:
        after = change(self.notice)
        self.writes += after != self.notice
        self.notice = after
        return after


def post(key: str = "zeroed", covers: tuple[str, ...] = ("decided", "zeroed")) -> Message:
    story = wording.story(facts.record(), facts.canary(), (), "", wording.Style())
    return Message(key, Saying.POST, story, facts.after(62), "at 0%", covers)


async def send(record: Record, chat: Chat, message: Message) -> None:
    outbox = Outbox(CHANNEL, chat, observer=Hearing(), clock=Clock())  # type: ignore[arg-type]
    await outbox.send(
        facts.REF, message, plan=lambda: (message,), amend=record.amend, leadership=Leads(),  # type: ignore[arg-type]
    )  # fmt: skip


async def test_what_is_said_is_written_down_before_and_after() -> None:
    record, chat = Record(Notice(CHANNEL, "key")), Chat()
    await send(record, chat, post())
    assert chat.taken == [("zeroed", "", False)]
    assert record.writes == 2
    assert (record.notice.said, record.notice.begun, record.notice.reference) == (("zeroed", "decided"), (), "C1:17")


async def test_what_another_leader_has_said_meanwhile_is_not_said_again() -> None:
    """Our watch was behind: only the record that the write is made for knows."""
    record, chat = Record(Notice(CHANNEL, "key", said=("decided", "zeroed"), reference="C1:17")), Chat()
    await send(record, chat, post())
    assert chat.taken == []
    assert record.writes == 0


async def test_what_another_leader_has_begun_is_looked_for_before_it_is_said() -> None:
    record, chat = Record(Notice(CHANNEL, "key", begun=("decided",))), Chat()
    await send(record, chat, post())
    assert chat.taken == [("zeroed", "", True)]


@pytest.mark.parametrize("problem", [errors.Unreachable("down"), errors.Throttled("slow", 0.0)])
async def test_a_try_that_failed_is_still_due(problem: errors.NeighbourError) -> None:
    record, chat = Record(Notice(CHANNEL, "key")), Chat(problem=problem)
    with pytest.raises(type(problem)):
        await send(record, chat, post())
    assert record.notice.due == ("zeroed",)
    assert record.notice.problem
    assert telling.is_uncertain(record.notice, post())


async def test_the_longest_pause_that_a_channel_asks_for_counts_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two messages are on their way at once; the one asked to wait less is answered last."""
    chat, slept = Chat(), []
    outbox = Outbox(CHANNEL, chat, observer=Hearing(), clock=Clock())  # type: ignore[arg-type]

    async def send_one() -> None:
        message = post()
        await outbox.send(
            facts.REF, message, plan=lambda: (message,), amend=Record(Notice(CHANNEL, "key")).amend,
            leadership=Leads(),  # type: ignore[arg-type]
        )  # fmt: skip

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    for pause in (60.0, 1.0):
        chat.problem = errors.Throttled("slow", pause)
        with pytest.raises(errors.Throttled):
            await send_one()
    chat.problem = None
    await send_one()
    assert slept[-1] == pytest.approx(60, abs=1)


async def test_what_is_refused_for_good_is_not_due_any_more() -> None:
    record, chat = Record(Notice(CHANNEL, "key")), Chat(problem=errors.Refused("no"))
    await send(record, chat, post())
    assert (record.notice.due, set(record.notice.refused)) == ((), {"zeroed", "decided"})
