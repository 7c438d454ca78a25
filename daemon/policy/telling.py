"""What is still to be told, to whom: a rollback's story in words, each said once per channel.

Planned from the record alone, so a restart, or another replica, finds the same: what was said stands there too.
"""

import dataclasses
import datetime
import enum
from collections.abc import Callable

from daemon.model.cleanup import CleanupState
from daemon.model.follow_up import GITOPS, FollowUpState
from daemon.model.notice import Manner, Message, Notice, Saying, Story
from daemon.model.rollback import Milestone, Rollback, RollbackPhase, Trigger


class Word(enum.StrEnum):
    """One thing that became true of a rollback; also the key of the message that says so."""

    DECIDED = "decided"
    ZEROED = "zeroed"
    PROVED = "proved"
    ESCALATED = "escalated"
    SECOND_BRAKE = "second-brake"
    RAISED_AGAIN = "raised-again"
    RAISED_BY_GITOPS = "raised-by-gitops"
    GITOPS_STOPPED = "gitops-stopped"
    GITOPS_GOES_ON = "gitops-goes-on"
    EVIDENCE_KEPT = "evidence-kept"
    COMPLETED = "completed"
    FAILED = "failed"
    DRY_RUN = "dry-run"
    CLEANED_UP = "cleaned-up"
    CLEANUP_TROUBLE = "cleanup-trouble"
    FOLLOWED_UP = "followed-up"
    FOLLOW_UP_FAILED = "follow-up-failed"


@dataclasses.dataclass(frozen=True, slots=True)
class Chapter:
    """A word of the story, since when it is true, and one line for people."""

    word: Word
    at: datetime.datetime
    text: str


REMARKED = frozenset({Word.ESCALATED, Word.SECOND_BRAKE, Word.RAISED_AGAIN, Word.CLEANUP_TROUBLE, Word.FOLLOW_UP_FAILED,
                      Word.RAISED_BY_GITOPS, Word.GITOPS_STOPPED})  # fmt: skip
"""What a reader of a chat must be told anew: rewriting a message rings nowhere."""

DRILL = "DRILL"
"""What everything that is said about a drill begins with."""

_REMARK = "remark-"

_ALARM_OVER = f"{Word.COMPLETED}-{Word.ESCALATED}"
_OF_THE_ALARM = frozenset({str(Word.ESCALATED), _ALARM_OVER})
"""Keys of the incident that is opened when a person is needed."""

_ENDINGS = {
    RollbackPhase.COMPLETED: Word.COMPLETED,
    RollbackPhase.FAILED: Word.FAILED,
    RollbackPhase.DRY_RUN: Word.DRY_RUN,
}
_TOO_OLD = datetime.timedelta(hours=1)
"""A channel that is new tells nothing of what ended longer ago than this."""
_CLOSED = datetime.timedelta(hours=24)
"""And a channel that was told tells nothing more of it after this."""


_Wanted = tuple[Saying, str, Chapter, tuple[str, ...]]
"""What to do, its key, what it is about, and which other keys it says as well."""


def dedup_key(record: Rollback) -> str:
    """The same for every message about this rollback; another record of the same name has another."""
    return f"pullback/{record.namespace}/{record.name}/{record.uid}"


def chapters(record: Rollback) -> tuple[Chapter, ...]:
    """The story so far, in the order in which it happened."""
    decided = record.timeline.decided_at or record.started_at
    found = [Chapter(Word.DECIDED, decided, f"rollback of revision {record.revision or '?'}: {record.reason}")]
    reached = {condition.type: condition for condition in record.conditions}
    for milestone, word in ((Milestone.ZEROED, Word.ZEROED), (Milestone.PROVED, Word.PROVED),
                            (Milestone.SECOND_BRAKE, Word.SECOND_BRAKE),
                            (Milestone.ESCALATED, Word.ESCALATED)):  # fmt: skip
        if milestone in reached:
            at = _exactly(record, milestone) or reached[milestone].at
            found.append(Chapter(word, at, reached[milestone].message))
    if record.holds:
        times = f"{record.holds} time{'s' if record.holds > 1 else ''}"
        since = record.timeline.zeroed_at or decided
        found.append(Chapter(Word.RAISED_AGAIN, since, f"raised again {times} while held at 0, and undone each time"))
    if record.evidence is not None and record.evidence.config_map:
        text = f"evidence kept in ConfigMap {record.evidence.config_map}"
        found.append(Chapter(Word.EVIDENCE_KEPT, record.evidence.at, text))
    if record.phase in _ENDINGS:
        ended = record.timeline.completed_at or decided
        found.append(Chapter(_ENDINGS[record.phase], ended, record.message))
    if record.cleanup is not None and record.cleanup.state in {CleanupState.DONE, CleanupState.TROUBLE}:
        word = Word.CLEANED_UP if record.cleanup.state is CleanupState.DONE else Word.CLEANUP_TROUBLE
        found.append(Chapter(word, record.cleanup.at, record.cleanup.detail))
    found += _followed_up(record)
    order = list(Word)
    return tuple(sorted(found, key=lambda one: (one.at, order.index(one.word))))


def _followed_up(record: Rollback) -> list[Chapter]:
    """What failed at once; what was done when nothing is under way any more, because a word is said only once. What was
    lent to the rollback is not waited for: it lasts as long as that does."""
    ours = [one for one in record.follow_ups if one.kind not in GITOPS]
    theirs = [one for one in record.follow_ups if one.kind in GITOPS]
    done = [one for one in ours if one.state is FollowUpState.DONE] if all(one.settled for one in ours) else []
    words = (
        (Word.FOLLOW_UP_FAILED, [one for one in record.follow_ups if one.state is FollowUpState.FAILED]),
        (Word.FOLLOWED_UP, done),
        (Word.RAISED_BY_GITOPS, [one for one in theirs if one.state in {FollowUpState.PENDING, FollowUpState.BY_HAND}]),
        (Word.GITOPS_STOPPED, [one for one in theirs if one.state is FollowUpState.LENT]),
        (Word.GITOPS_GOES_ON, [one for one in theirs if one.state is FollowUpState.DONE]),
    )
    found = []
    for word, those in words:
        if those:
            text = "; ".join(one.detail if one.kind in GITOPS else f"{one.kind}: {one.detail}" for one in those)
            found.append(Chapter(word, max(one.at for one in those), text))
    return found


def _exactly(record: Rollback, milestone: Milestone) -> datetime.datetime | None:
    """Conditions know whole seconds only."""
    timeline = record.timeline
    return {
        Milestone.ZEROED: timeline.zeroed_at,
        Milestone.PROVED: timeline.proved_at,
        Milestone.ESCALATED: timeline.escalated_at,
        Milestone.COMPLETED: timeline.completed_at,
    }[milestone]


def due(
    record: Rollback, channel: str, manner: Manner, *, closes: bool, story: Callable[[], Story], now: datetime.datetime,
    drills: bool = False,
) -> tuple[Message, ...]:  # fmt: skip
    """The messages that one channel has yet to take, in their order. What it refused for good is not sent again;
    what comes later is.

    ``closes``: the channel wants its incidents closed when the rollback has completed. ``drills``: chats are told of
    drills; what wakes people up never is.
    """
    missing = _missing(record, channel, manner, closes=closes, now=now, drills=drills)
    if not missing:
        return ()
    telling = story()
    alarm = dataclasses.replace(telling, dedup_key=f"{telling.dedup_key}/{Word.ESCALATED}")
    drill = f"{DRILL}: " if record.drill else ""
    return tuple(
        Message(
            key, saying, alarm if manner is Manner.INCIDENT and key in _OF_THE_ALARM else telling, one.at,
            f"{drill}{one.text}", covers,
        ) for saying, key, one, covers in missing
    )  # fmt: skip


def is_due(
    record: Rollback, channel: str, manner: Manner, *, closes: bool, now: datetime.datetime, drills: bool = False
) -> bool:
    """Whether ``due`` has something. Cheap, and without a word of the story."""
    return bool(_missing(record, channel, manner, closes=closes, now=now, drills=drills))


def _missing(
    record: Rollback, channel: str, manner: Manner, *, closes: bool, now: datetime.datetime, drills: bool
) -> list[_Wanted]:  # fmt: skip
    if record.drill and (manner is Manner.INCIDENT or (manner is Manner.MESSAGE and not drills)):
        return []
    notice = record.notice(channel) or Notice(channel, dedup_key(record))
    if not notice.due and _is_history(record, now, known=bool(notice.answered)):
        return []
    told = chapters(record)
    if manner is Manner.MESSAGE:
        wanted = _as_message(told, notice)
    elif manner is Manner.INCIDENT:
        wanted = _as_incident(record, told, notice, closes=closes)
    else:
        wanted = [(Saying.TELL, str(one.word), one, ()) for one in told]
    return [one for one in wanted if one[1] not in notice.answered]


def _as_message(told: tuple[Chapter, ...], notice: Notice) -> list[_Wanted]:
    """One post that shows all words at once, named after the newest that it has not shown; and remarks beneath it."""
    wanted: list[_Wanted] = []
    unsaid = [one for one in told if one.word not in notice.answered]
    if unsaid:
        wanted.append((Saying.POST, str(unsaid[-1].word), unsaid[-1], tuple(str(one.word) for one in told)))
    if unsaid or notice.reference:  # without a post there is nothing to write beneath
        wanted += [(Saying.REMARK, f"{_REMARK}{one.word}", one, ()) for one in told if one.word in REMARKED]
    return wanted


def _as_incident(record: Rollback, told: tuple[Chapter, ...], notice: Notice, *, closes: bool) -> list[_Wanted]:
    """An incident that a rollback goes on, and one of its own when a person is needed: of what is in an incident that
    somebody has acknowledged already, a pager wakes nobody. Where nobody was told before, only the second is opened."""
    by_word = {one.word: one for one in told}
    if record.dry_run:
        return []
    wanted: list[_Wanted] = []
    alarm, beginning, end = (by_word.get(word) for word in (Word.ESCALATED, Word.DECIDED, Word.COMPLETED))
    # Who rolls back by hand is awake already, and needs no page unless it goes wrong.
    paged = beginning is not None and record.trigger is not Trigger.OPERATOR
    late = alarm is not None and Word.DECIDED not in notice.answered
    if beginning is not None and paged and not late:
        wanted.append((Saying.OPEN, str(Word.DECIDED), beginning, ()))
    if alarm is not None:
        wanted.append((Saying.OPEN, str(Word.ESCALATED), alarm, (str(Word.DECIDED),) if paged and late else ()))
    if closes and end is not None:
        wanted += [(Saying.CLOSE, str(Word.COMPLETED), end, ())] if paged else []
        wanted += [(Saying.CLOSE, _ALARM_OVER, end, ())] if alarm is not None else []
    return wanted


def _is_history(record: Rollback, now: datetime.datetime, *, known: bool) -> bool:
    ended = record.timeline.completed_at
    return record.finished and ended is not None and now - ended > (_CLOSED if known else _TOO_OLD)


def planned(notice: Notice, messages: tuple[Message, ...], now: datetime.datetime) -> Notice:
    """The notice with what is due now, for the record."""
    keys = tuple(message.key for message in messages)
    since = notice.planned_at if notice.due else now
    return dataclasses.replace(notice, due=keys, planned_at=since if keys else notice.planned_at)


def begun(notice: Notice, message: Message) -> Notice:
    """The notice just before a message is sent."""
    keys = dict.fromkeys((*notice.begun, message.key))
    return dataclasses.replace(notice, begun=tuple(keys), attempts=notice.attempts + 1)


def is_uncertain(notice: Notice, message: Message) -> bool:
    """Whether the channel may have this message already. All posts are one, whatever word each was sent for."""
    if message.saying is Saying.POST:
        return any(not key.startswith(_REMARK) for key in notice.begun)
    return message.key in notice.begun


def refused(notice: Notice, message: Message, problem: str, now: datetime.datetime) -> Notice:
    """The notice after the channel has said no to a message for good."""
    keys = dict.fromkeys((*notice.refused, message.key, *message.covers))
    return dataclasses.replace(
        notice,
        refused=tuple(key for key in keys if key not in notice.said),
        due=tuple(key for key in notice.due if key not in keys),
        begun=tuple(key for key in notice.begun if key != message.key),
        problem=problem,
        refused_at=now,
    )


def taken(notice: Notice, message: Message, reference: str, now: datetime.datetime) -> Notice:
    """The notice after the channel has taken a message."""
    said = dict.fromkeys((*notice.said, message.key, *message.covers))
    return dataclasses.replace(
        notice,
        said=tuple(said),
        refused=tuple(key for key in notice.refused if key not in said),
        due=tuple(key for key in notice.due if key not in said),
        begun=tuple(key for key in notice.begun if key not in said),
        reference=reference or notice.reference,
        problem="",
        delivered_at=now,
    )


def undelivered(record: Rollback, now: datetime.datetime) -> tuple[Notice, ...]:
    """Channels that have yet to be told something about it, or have refused to hear it less than a day ago: what is
    refused for good nobody can mend, and whoever is to know has had that day."""
    return tuple(
        notice for notice in record.notices
        if notice.due or (notice.refused and (notice.refused_at is None or now - notice.refused_at < _CLOSED))
    )  # fmt: skip
