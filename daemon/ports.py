"""What the workflow needs from the world: promises only, kept in ``adapters`` and ``telemetry``.

The workflow reaches clock, chance and every neighbour through these, so the whole daemon can run in a
simulated world under a virtual clock.
"""

import datetime
from collections.abc import Sequence
from typing import Protocol

from daemon.model.canary import AlertPause, Canary, CanaryRef
from daemon.model.decision import Decision, Intent, Reason
from daemon.model.outcome import StepOutcome
from daemon.model.rollback import Amendment, NewRollback, Rollback
from daemon.model.route import RouteObject, RoutePatch, RouteRef, RouteView, Sides
from daemon.model.signal import Alert, HookType, MalformedAlert, Source


class Clock(Protocol):
    """Time as the world has it: for what is written down and compared with others' times, and for the deadline,
    which a restart must not begin anew. Other durations are measured with the event loop's own clock."""

    def now(self) -> datetime.datetime:
        """The wall clock, UTC."""
        ...


class Chance(Protocol):
    """Randomness, for jitter only: nothing is ever decided by it."""

    def between(self, low: float, high: float) -> float: ...


class Routes(Protocol):
    """One kind of routing object: how it reaches a canary, and how to stop that. Pure but for two calls."""

    def view(self, route: RouteObject, sides: Sides) -> RouteView:
        """The object seen from one canary, with the write that takes it to zero. Pure."""
        ...

    async def write(self, patch: RoutePatch) -> RouteObject:
        """Carries out one patch, once. Raises Conflict when the object is not the one it was planned for."""
        ...

    async def read(self, ref: RouteRef) -> RouteObject | None:
        """The object as the API server has it now (not as the watch had it); None when it does not exist."""
        ...


class Canaries(Protocol):
    """The controller's canary objects, where operator acts and pauses live."""

    async def close_gate(self, canary: CanaryRef, pause: AlertPause) -> Canary: ...

    async def open_gate(self, canary: CanaryRef, fingerprints: Sequence[str]) -> Canary: ...


class Ledger(Protocol):
    """The records."""

    async def open(self, record: NewRollback) -> Rollback:
        """Creates the record, or returns the one of that name that is there already."""
        ...

    async def amend(self, namespace: str, name: str, amendment: Amendment) -> Rollback: ...


class TrafficProbe(Protocol):
    """What the data plane says about a canary's traffic."""

    async def canary_rate(self, canary: Canary) -> float | None:
        """Requests per second that reach the canary; None when there is no data to tell from."""
        ...


class Observer(Protocol):
    """Listens to what happened. Nothing waits for a listener, and none may fail its speaker."""

    def signal_judged(self, source: Source, decision: Decision, canary: CanaryRef | None, alert: Alert) -> None: ...

    def alert_malformed(self, alert: MalformedAlert) -> None: ...

    def group_truncated(self, count: int, group_key: str) -> None: ...

    def heartbeat(self) -> None: ...

    def rollback_decided(self, canary: CanaryRef, intent: Intent, decision: Decision) -> None: ...

    def step_done(self, canary: CanaryRef, outcome: StepOutcome) -> None: ...

    def rollback_moved(self, before: Rollback | None, after: Rollback) -> None:
        """A record of ours reached another phase."""
        ...

    def raised_again(self, canary: CanaryRef, route: RouteView) -> None:
        """Somebody raised a canary that is held at zero."""
        ...

    def escalated(self, canary: CanaryRef, reason: Reason, detail: str, break_glass: Sequence[str]) -> None:
        """A person is needed. ``break_glass`` are commands that do by hand what is missing."""
        ...

    def gate_answered(self, hook: HookType, canary: CanaryRef, decision: Decision, *, opened: bool) -> None: ...

    def pass_failed(self, canary: CanaryRef, error: BaseException) -> None:
        """A pass ended in an error nobody expected; it will be tried again."""
        ...
