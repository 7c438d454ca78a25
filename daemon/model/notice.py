"""What people are told: one story per rollback, said through several channels, each in its own manner."""

import dataclasses
import datetime
import enum

from daemon.model.canary import FLAGGER_CANARY, ObjectKind


class Severity(enum.StrEnum):
    """How bad, as incident tools count it: P1 is the worst."""

    P1 = "P1"
    P2 = "P2"
    P3 = "P3"
    P4 = "P4"
    P5 = "P5"


class Manner(enum.StrEnum):
    """How a channel is spoken to."""

    MESSAGE = "message"
    """One message per rollback, rewritten as it proceeds, later remarks beneath it (chat)."""
    INCIDENT = "incident"
    """Opened once, made worse once if need be, closed only if configured so (pagers)."""
    STREAM = "stream"
    """Every state said once, in order (logs of events, machines)."""


class Saying(enum.StrEnum):
    """What a channel is asked to do with one message."""

    POST = "post"
    """Show the story as it is now: post it, or rewrite what was posted."""
    REMARK = "remark"
    """Add one line beneath what was posted."""
    OPEN = "open"
    """Open an incident, or say more about the one that is open."""
    CLOSE = "close"
    """Close the incident."""
    TELL = "tell"
    """Say that this state was reached."""


class Mood(enum.StrEnum):
    """How the story stands: what a reader should feel first."""

    ACTING = "acting"
    """Traffic is being taken away; nothing is asked of the reader."""
    SAFE = "safe"
    """The canary is at 0."""
    NEEDED = "needed"
    """A person is needed now."""
    OVER = "over"
    """Ended well."""


@dataclasses.dataclass(frozen=True, slots=True)
class Fact:
    """A short name and its value, both plain text of any origin: whoever shows them escapes and cuts them."""

    name: str
    value: str


@dataclasses.dataclass(frozen=True, slots=True)
class Link:
    """Where to look. ``url`` is http or https, checked."""

    name: str
    url: str


@dataclasses.dataclass(frozen=True, slots=True)
class Story:
    """A rollback as it is told, in plain text: no channel's markup, nothing escaped, nothing cut.

    Everything in it may come from an alert's labels and annotations, so every channel escapes and bounds it.
    """

    dedup_key: str
    """The same for every message about this rollback, through every channel, for ever."""
    namespace: str
    canary: str
    revision: str
    record: str
    """Name of the Rollback object."""
    canary_uid: str
    record_uid: str
    mood: Mood
    severity: Severity
    title: str
    """One line: what, and how far it has come."""
    summary: str
    """A sentence or two: why, and what is asked of the reader."""
    facts: tuple[Fact, ...]
    links: tuple[Link, ...]
    commands: tuple[str, ...]
    """What to do next: lines for a shell that work as they are."""
    began_at: datetime.datetime
    """When the signal was received."""
    dry_run: bool = False
    drill: bool = False
    canary_kind: ObjectKind = FLAGGER_CANARY


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """One thing for one channel to say. ``key`` is unique within the rollback and the channel."""

    key: str
    saying: Saying
    story: Story
    at: datetime.datetime
    """When what it says became true."""
    text: str = ""
    """The line of a REMARK, or what a TELL says beyond the story."""
    covers: tuple[str, ...] = ()
    """Other keys that this message has said as well, once it is taken."""


@dataclasses.dataclass(frozen=True, slots=True)
class Notice:
    """What one channel has been told about one rollback, as the record remembers it.

    ``due`` are keys planned and not yet accepted, ``said`` keys accepted, oldest first; ``refused`` keys to which the
    channel said no for good. ``begun`` are keys whose delivery was begun and whose answer is not known: the channel
    may have them. ``reference`` is its own name for what it keeps (a Slack message's ``channel:ts``).
    """

    channel: str
    dedup_key: str
    due: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    begun: tuple[str, ...] = ()
    reference: str = ""
    attempts: int = 0
    problem: str = ""
    planned_at: datetime.datetime | None = None
    delivered_at: datetime.datetime | None = None
    refused_at: datetime.datetime | None = None

    @property
    def answered(self) -> frozenset[str]:
        """What needs no further try."""
        return frozenset(self.said) | frozenset(self.refused)
