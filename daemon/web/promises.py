"""What the web room needs from the others, which it does not know."""

import dataclasses
import datetime
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Protocol

from daemon.model.canary import Canary, CanaryRef
from daemon.model.decision import Decision
from daemon.model.history import Filter
from daemon.model.signal import AlertGroup, Hook

Wanted = Callable[[Canary], bool]


class Guard(Protocol):
    """Says whether a caller is known. Keeps its secrets to itself."""

    def accept(self, authorization: str, token: str = "") -> bool: ...


class AlertAnswer(Protocol):
    """What became of one alert."""

    @property
    def fingerprint(self) -> str: ...

    @property
    def decision(self) -> Decision: ...

    @property
    def canary(self) -> object | None: ...

    @property
    def retry(self) -> bool: ...


class GroupAnswer(Protocol):
    """What became of one webhook."""

    @property
    def alerts(self) -> Sequence[AlertAnswer]: ...

    @property
    def truncated(self) -> int: ...

    @property
    def retry(self) -> bool: ...

    @property
    def malformed(self) -> bool: ...


class GateAnswer(Protocol):
    """What Flagger is told."""

    @property
    def opened(self) -> bool: ...

    @property
    def decision(self) -> Decision: ...


@dataclasses.dataclass(frozen=True, slots=True)
class Rooms:
    """The doors that lead on from here."""

    take: Callable[[AlertGroup, datetime.datetime], Awaitable[GroupAnswer]]
    answer: Callable[[Hook], Awaitable[GateAnswer]]
    now: Callable[[], datetime.datetime]
    alertmanager: Guard
    flagger: Guard
    console: Guard
    canaries: Callable[[Wanted], AsyncIterator[dict[str, Any]]]
    """By namespace and name."""
    moving: Wanted
    """On its way, or held: what somebody who is on call looks for."""
    canary: Callable[[CanaryRef], dict[str, Any] | None]
    """One canary with its timelines; None when there is none of that name."""
    rollbacks: Callable[[Filter], AsyncIterator[dict[str, Any]]]
    """Newest first."""
    alive: Callable[[], str]
    """Empty when the loops are alive, else what is not."""
    ready: Callable[[], str]
    """Empty when the watches are fresh, else what is missing."""
    warn: Callable[[], str]
    """Empty, or what people should know of a daemon that is ready all the same."""
    render_metrics: Callable[[], Awaitable[bytes]]
    observe_request: Callable[[str, str, int, float], None]
    """Route, method, status, seconds."""
    refused: Callable[[str, str], None]
    """A request was refused: route, why (never with its credentials)."""


@dataclasses.dataclass(frozen=True, slots=True)
class Bounds:
    """What one caller may cost us."""

    body: int = 1024 * 1024
    """Bytes of a webhook's body: 1280 ordinary alerts."""
    body_seconds: float = 10.0
    """Until the whole body must be here."""
    keep_alive: float = 15.0
    """Idle seconds before a connection is closed: Flagger leaves one behind with every call."""
    connections: int = 1000
    """Open at once, over all callers."""
