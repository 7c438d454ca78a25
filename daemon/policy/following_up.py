"""What has to be brought in step elsewhere once the routes are at zero: whose turn it is, what to do, when to give up.

A chart value that still says 25 would give the canary its traffic back with the next ``helm upgrade --reuse-values``.
Planned from what lies in the cluster alone, so whoever looks again after a crash finds what is missing, and no more.
"""

import datetime
import enum
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from daemon.model.follow_up import FollowUp, FollowUpKind, FollowUpState
from daemon.model.helm_release import Deployed, NextRevision, Release, Tracked
from daemon.model.rollback import Rollback, RollbackPhase

_NUMBER = re.compile(r"\s*[+-]?\d+(\.\d*)?\s*(%?)\s*")


class Turn(enum.Enum):
    """What one follow-up of one rollback is due for."""

    NOTHING = enum.auto()
    TRY = enum.auto()
    LEAVE = enum.auto()
    """It was begun, and the rollback no longer stands: what is there now is somebody's newer wish."""


def turn(
    record: Rollback, kind: FollowUpKind, name: str, *, overtaken: bool, now: datetime.datetime, give_up_after: float
) -> Turn:  # fmt: skip
    """``overtaken``: the canary has gone on to another revision. ``give_up_after``: seconds.

    Never before the routes are at zero: from then on the proof is under way, and nothing waits for this.
    """
    if not record.begun or record.dry_run or record.drill or record.timeline.zeroed_at is None:
        return Turn.NOTHING
    begun = record.follow_up(kind, name)
    if begun is not None and begun.settled:
        return Turn.NOTHING
    if overtaken or record.timeline.next_revision_began_at is not None or record.phase is RollbackPhase.FAILED:
        return Turn.NOTHING if begun is None else Turn.LEAVE
    ended = record.timeline.completed_at
    if begun is None and record.finished and (ended is None or (now - ended).total_seconds() > give_up_after):
        return Turn.NOTHING  # history: it was not configured then
    return Turn.TRY


def begun(record: Rollback, kind: FollowUpKind, name: str, now: datetime.datetime) -> FollowUp:
    """What stands in the record from the first try on: by when it is given up must survive us."""
    return record.follow_up(kind, name) or FollowUp(kind, name, FollowUpState.PENDING, "begun", now)


def ended(before: FollowUp, state: FollowUpState, detail: str, now: datetime.datetime) -> FollowUp:
    return replace(before, state=state, detail=detail, at=now)


def after_failure(
    before: FollowUp, problem: str, by_hand: str, *, now: datetime.datetime, give_up_after: float
) -> FollowUp:  # fmt: skip
    """Pending for another ``give_up_after`` seconds from its beginning at most, and then Failed."""
    if (now - before.at).total_seconds() < give_up_after:
        return replace(before, detail=problem)
    return ended(before, FollowUpState.FAILED, f"given up: {problem}; by hand: {by_hand}", now)


# -- Helm


@dataclass(frozen=True, slots=True)
class InStep:
    """Nothing is left to do. ``ours``: because this very rollback has done it."""

    detail: str
    ours: bool


@dataclass(frozen=True, slots=True)
class Succeed:
    """Write this revision. ``before`` is the weight that the one in force has."""

    revision: NextRevision
    before: object


@dataclass(frozen=True, slots=True)
class Supersede:
    """Take this older revision out of force: the last write of an upgrade."""

    number: int


@dataclass(frozen=True, slots=True)
class Busy:
    """Somebody else is at it: look again."""

    detail: str


@dataclass(frozen=True, slots=True)
class Impossible:
    """A person must look: trying again changes nothing."""

    detail: str


Step = InStep | Succeed | Supersede | Busy | Impossible


def description(tracked: Tracked, record: Rollback) -> str:
    """What ``helm history`` says of the revision; also how our own is recognised after a crash."""
    return f"Pullback set {tracked.weight_value} to 0 (Rollback {record.namespace}/{record.name})"


def by_hand(tracked: Tracked) -> str:
    """The command that a person types instead."""
    release, value = shlex.quote(tracked.release), shlex.quote(f"{tracked.weight_value}=0")
    return f"helm upgrade {release} CHART -n {shlex.quote(tracked.namespace)} --reuse-values --set {value}"


def next_step(release: Release, tracked: Tracked, record: Rollback) -> Step:
    """The one thing to do now, for the release as it was read a moment ago."""
    newest, deployed = release.newest, release.deployed
    if newest is None:
        return Impossible(f"Helm keeps no release {tracked} in Secrets")
    if newest.pending or newest.status in {"uninstalling", "unknown"}:
        # Helm itself refuses to act now. Whoever is at it may still be writing, and will write its own values.
        return Busy(f"revision {newest.number} of {tracked} is {newest.status}: another operation of Helm is under way")
    if newest.status == "uninstalled":
        return InStep(f"{tracked} is uninstalled", ours=False)
    if deployed is None:
        return Impossible(f"{tracked} has no revision that is deployed; its newest is {newest.status}")
    try:
        value = effective(deployed, tracked.weight_value)
        at_zero = is_zero(value)
    except ValueError as problem:
        return Impossible(f"revision {deployed.number} of {tracked}: {problem}")
    if not at_zero:
        values = with_zero(deployed.values, tracked.weight_value, value)
        said = description(tracked, record)
        return Succeed(NextRevision(deployed, newest.number + 1, values, said), before=value)
    ours = deployed.description == description(tracked, record)
    if ours and release.leftovers:
        return Supersede(release.leftovers[0])
    return InStep(f"revision {deployed.number} of {tracked} has {tracked.weight_value} at 0", ours)


def told(tracked: Tracked, number: int, before: object, routes: tuple[str, ...]) -> str:
    """One line for the record. Without a route in the manifest, going back to this revision is no way to zero."""
    was = "" if before is None else f", was {before!s:.20}"
    unchanged = "its manifest is as it was: no route in it gave the canary anything"
    at_zero = f"in its manifest at 0: {', '.join(routes)}" if routes else unchanged
    return f"revision {number} of {tracked} has {tracked.weight_value} at 0{was}; {at_zero}"


def effective(deployed: Deployed, path: str) -> object:
    """The value as the chart's templates see it: the user's, else the chart's default; None where the user has taken
    the default away. Raises ValueError when there is no such value: a name that is spelt wrongly must not be written
    and called done."""
    parts = path.split(".")
    for values in (deployed.values, deployed.defaults):
        found = _look(values, parts)
        if found is not None:
            return found[0]
    raise ValueError(f"no value {path}, neither set nor among the chart's defaults")


def _look(values: Mapping[str, Any], parts: list[str]) -> tuple[object] | None:
    """The value, wrapped, because None is one. Raises ValueError where the path leads through what is no mapping."""
    node: object = values
    for depth, part in enumerate(parts):
        if not isinstance(node, Mapping):
            group = ".".join(parts[:depth])
            raise ValueError(f"{group} is no group of values: {'.'.join(parts)} cannot be in it")  # noqa: TRY004
        if part not in node:
            return None
        node = node[part]
    return (node,)


def is_zero(value: object) -> bool:
    """Raises ValueError for what is no weight: nobody knows what a chart makes of it."""
    if value is None:
        return False
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value == 0
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value.strip().rstrip("%").strip()) == 0
    # Not what it is: whoever has mistaken the path may have hit upon a password.
    raise ValueError(f"expected a number where the weight is, got {type(value).__name__}")


def with_zero(values: Mapping[str, Any], path: str, before: object) -> dict[str, Any]:
    """The user's values with the weight at 0, written as it was written before: a chart's schema may want a text."""
    zero: object = 0
    if isinstance(before, str):
        zero = "0%" if before.strip().endswith("%") else "0"
    first, _, rest = path.partition(".")
    if not rest:
        return {**values, first: zero}
    inner = values.get(first, {})
    return {**values, first: with_zero(inner, rest, before)}
