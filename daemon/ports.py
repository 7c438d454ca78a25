"""What the workflow needs from the world: promises only, kept in ``adapters`` and ``telemetry``.

The workflow reaches clock, chance and every neighbour through these, so the whole daemon can run in a
simulated world under a virtual clock.
"""

import datetime
from collections.abc import Sequence
from typing import Protocol

from daemon.model.canary import AlertPause, Approval, Canary, CanaryRef, Workload
from daemon.model.canary_revision import CanaryRevision, NewRevision
from daemon.model.checking import Finding, Subject
from daemon.model.cleanup import PausedScaler
from daemon.model.decision import Decision, Intent, Reason
from daemon.model.errors import NeighbourError
from daemon.model.gitops import Raise
from daemon.model.notice import Manner, Message
from daemon.model.outcome import StepOutcome
from daemon.model.rollback import Amendment, NewRollback, Rollback
from daemon.model.route import Original, RouteObject, RoutePatch, RouteRef, RouteView, Sides
from daemon.model.signal import Alert, AlertGroup, Hook, MalformedAlert, Source


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

    def steer(self, route: RouteObject, sides: Sides, weight: float) -> RoutePatch | None:
        """The write that gives the canary ``weight`` percent of what is split by weight; None when it has it, or
        nothing is split. Pure, and the only write that can raise: for a person's act, or a stage's."""
        ...

    def restore(self, route: RouteObject, originals: Sequence[Original]) -> RoutePatch | None:
        """The write that puts back what zeroing re-pointed or removed, where it is still as we left it. Pure."""
        ...

    def pending(self, route: RouteObject) -> str:
        """Why what was written cannot be taken for live yet; empty when it can, or the kind never tells. Pure."""
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

    async def lend_deadline(self, canary: CanaryRef, original: int | None, seconds: int) -> Canary:
        """Shortens the progress deadline and notes, in the same write and on the canary itself, what it was (None: it
        was not there). Raises Conflict when it is not ``original`` any more."""
        ...

    async def return_deadline(self, canary: CanaryRef, found: int | None, original: int | None) -> Canary:
        """Puts it back and takes the note away. Raises Conflict when it is not ``found`` any more."""
        ...

    async def abort(self, canary: CanaryRef) -> Canary:
        """Tells the controller to give the revision up. Idempotent."""
        ...

    async def use_approval(self, canary: CanaryRef, approval: Approval, began: datetime.datetime) -> Canary:
        """Notes that this very approval has opened the promotion of the analysis that began then. Raises Conflict when
        it is not there any more."""
        ...

    async def withdraw_advance(self, canary: Canary) -> Canary:
        """Takes an ``advance-to`` away. Raises Conflict when the object has changed."""
        ...

    async def bind_advance(self, canary: Canary) -> Canary:
        """Notes which revision an ``advance-to`` was said for. Raises Conflict when the object has changed."""
        ...


class Brakes(Protocol):
    """What stops a canary whose route cannot be written."""

    async def divert(self, namespace: str, canary: str, stable: str) -> None:
        """Points one Service at the pods of the other. Idempotent; raises Refused where they are of another shape."""
        ...

    async def undivert(self, namespace: str, canary: str) -> None:
        """Gives it its own pods back, if we have taken them. Idempotent."""
        ...

    async def scale_down(self, workload: Workload) -> None:
        """Raises Conflict when the workload is no longer the one that was seen."""
        ...


class Revisions(Protocol):
    """The records of revisions on their way up."""

    async def open(self, record: NewRevision) -> CanaryRevision:
        """Creates the record, or returns the one of that name that is there already."""
        ...

    async def amend(self, before: CanaryRevision, after: CanaryRevision) -> CanaryRevision:
        """Raises Conflict when the record is no longer ``before``."""
        ...

    async def read(self, namespace: str, name: str) -> CanaryRevision | None:
        """The record as the API server has it now (not as the watch had it); None when it does not exist."""
        ...

    async def delete(self, record: CanaryRevision) -> None:
        """Deletes this very record: Conflict when it has changed since it was read."""
        ...


class Workloads(Protocol):
    """What runs the pods, and what else scales it."""

    async def scale(self, workload: Workload, replicas: int) -> None:
        """Raises Conflict when the workload is no longer the one that was seen."""
        ...

    async def scalers(self, workload: Workload) -> tuple[PausedScaler, ...]:
        """The autoscalers that could raise the workload now, each with what to put back after pausing it."""
        ...

    async def pause(self, scaler: PausedScaler) -> None:
        """Keeps one autoscaler from raising its workload. Idempotent; one that is gone is no error."""
        ...

    async def restore(self, scaler: PausedScaler) -> None:
        """Lets it go on as before. Idempotent; one that is gone is no error."""
        ...

    async def paused(self, workload: Workload) -> tuple[PausedScaler, ...]:
        """The workload's autoscalers that we have paused, as they themselves say: our record may be gone."""
        ...


class FiringAlerts(Protocol):
    """What fires now, asked for rather than told."""

    async def firing(self) -> AlertGroup:
        """All alerts that fire, neither silenced nor inhibited."""
        ...


class Ledger(Protocol):
    """The records."""

    async def open(self, record: NewRollback) -> Rollback:
        """Creates the record, or returns the one of that name that is there already."""
        ...

    async def amend(self, namespace: str, name: str, amendment: Amendment, *, resource_version: str) -> Rollback:
        """Raises Conflict when the record is no longer the one of that version."""
        ...

    async def read(self, namespace: str, name: str) -> Rollback | None:
        """The record as the API server has it now (not as the watch had it); None when it does not exist."""
        ...

    async def delete(self, record: Rollback) -> None:
        """Deletes this very record: Conflict when it has changed since it was read."""
        ...


class TrafficProbe(Protocol):
    """What the data plane says about a canary's traffic."""

    def tells(self, canary: Canary) -> bool:
        """Whether it can tell this canary's requests from those of its stable side at all."""
        ...

    async def canary_rate(self, canary: Canary) -> float | None:
        """Requests per second that reach the canary; None when there is no data to tell from."""
        ...


class Check(Protocol):
    """One thing that must hold before a gate opens. Safe to repeat; two runs at once are never asked for."""

    @property
    def timeout(self) -> float:
        """Seconds after which a run is given up."""
        ...

    @property
    def once(self) -> bool:
        """Whether a pass holds for the revision for ever (acceptance), or must be seen again and again (health)."""
        ...

    async def run(self, subject: Subject) -> Finding:
        """Raises the NeighbourError family where nothing could be found out: that is no failure of the canary."""
        ...


class Channel(Protocol):
    """One way to tell people: a chat, a pager, a machine that listens."""

    @property
    def manner(self) -> Manner: ...

    @property
    def closes(self) -> bool:
        """Whether it wants to hear that a rollback has completed, to close what was opened (INCIDENT only)."""
        ...

    async def deliver(self, message: Message, reference: str, *, uncertain: bool) -> str:
        """Says one thing, once; returns the channel's reference to what it keeps for this rollback.

        ``reference`` is what the last delivery returned, empty before the first. ``uncertain`` is set when an
        earlier try of this very message may have been accepted without our knowing: a channel that can find out,
        or recognises a repetition by ``story.dedup_key``, must not say it twice.

        Raises Unreachable (try again), Throttled (with the seconds to wait) or Refused (never try again).
        """
        ...


class Observer(Protocol):
    """Listens to what happened. Nothing waits for a listener, and none may fail its speaker."""

    def signal_judged(self, source: Source, decision: Decision, canary: CanaryRef | None, alert: Alert) -> None: ...

    def alert_malformed(self, alert: MalformedAlert) -> None: ...

    def group_truncated(self, count: int, group_key: str) -> None: ...

    def rollback_decided(self, canary: CanaryRef, intent: Intent, decision: Decision) -> None: ...

    def step_done(self, canary: CanaryRef, outcome: StepOutcome) -> None: ...

    def rollback_moved(self, before: Rollback | None, after: Rollback) -> None:
        """A record of ours reached another phase."""
        ...

    def raised_again(self, canary: CanaryRef, route: RouteView, by: Raise | None = None, times: int = 1) -> None:
        """Somebody raised a canary that is held at zero; it was undone. ``by``: a GitOps controller, if it was one;
        ``times``: how often that has happened in this rollback."""
        ...

    def escalated(self, canary: CanaryRef, reason: Reason, detail: str, break_glass: Sequence[str]) -> None:
        """A person is needed. ``break_glass`` are commands that do by hand what is missing."""
        ...

    def gate_answered(self, hook: Hook, decision: Decision, *, opened: bool) -> None: ...

    def notice_sent(self, canary: CanaryRef, channel: str, key: str, error: NeighbourError | None) -> None:
        """One message to one channel: taken, or why not."""
        ...

    def duty_failed(self, canary: CanaryRef, duty: str, error: NeighbourError) -> None:
        """Something after zero could not be done now; it will be tried again, and nothing else waits for it."""
        ...

    def record_pruned(self, canary: CanaryRef, name: str) -> None:
        """A record was old enough to be forgotten."""
        ...

    def pulled(self, count: int, error: NeighbourError | None) -> None:
        """Alertmanager was asked what fires: so many alerts, or why it did not say."""
        ...

    def leading_changed(self, what: str, detail: str, *, leading: bool) -> None:
        """News of the lease."""
        ...

    def pass_failed(self, canary: CanaryRef, error: BaseException) -> None:
        """A pass ended in an error nobody expected; it will be tried again."""
        ...
