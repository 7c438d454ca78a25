"""Where every second went: the moments of one rollback, each from the one who must know.

Users (the load generator) say when the first bad answer came and the last one of the canary; the Rollback
record says what Pullback did when; Envoy says what it was told and what it counted; Flagger says when it gave
up. All on one machine, so by one clock.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from daemon.sandbox.shop import CANARY, NEW, STABLE
from daemon.sandbox.stack import Stack

BARS = 40
REDRAW_SECONDS = 0.1
UNKNOWN = "..."
ONSET, FIRING, RECEIVED, DECIDED = "first bad answer", "alert firing", "webhook received", "decided"
ZEROED, IN_FORCE, LAST = "weight 0 written", "routes in force", "last canary answer"
PROVED, ACCEPTED, COMPLETED = "proved", "phase Failed", "completed"
STRETCHES = (
    ("detect", ONSET, FIRING),
    ("notify", FIRING, RECEIVED),
    ("decide", RECEIVED, DECIDED),
    ("write", DECIDED, ZEROED),
    ("apply", ZEROED, IN_FORCE),
    ("prove", ZEROED, PROVED),
    ("accept", ZEROED, ACCEPTED),
)


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened; ``at`` is seconds since the epoch, None while it has not."""

    what: str
    who: str
    at: float | None


@dataclass(frozen=True, slots=True)
class Counted:
    """Envoy's own counters of requests sent on, per side."""

    stable: int
    canary: int


async def count(stack: Stack) -> Counted:
    requests = await stack.envoy.requests()
    return Counted(requests[STABLE].total, requests[CANARY].total)


def moments(stack: Stack) -> list[Moment]:
    """As they happened; those that have not yet, behind them in the order in which they should."""
    status = stack.status()
    signal: dict[str, Any] = (stack.record().get("spec") or {}).get("signal") or {}
    cut = stack.mesh.left_at(CANARY)
    tally = stack.load.tally
    found = [
        Moment(ONSET, "users", tally.first_bad_at(NEW)),
        Moment(FIRING, "Prometheus" if stack.prometheus else "the demo itself", _epoch(signal.get("startsAt"))),
        Moment(RECEIVED, "Pullback", _epoch(status.get("startedAt"))),
        Moment(DECIDED, "Pullback", _epoch(status.get("decidedAt"))),
        Moment(ZEROED, "Pullback", _epoch(status.get("zeroedAt"))),
        Moment(IN_FORCE, "Envoy", cut.confirmed_at if cut else None),
        # Until then each answer could be the last.
        Moment(LAST, "users", tally.last_answer_at(NEW) if cut else None),
        Moment(PROVED, "Pullback", _epoch(status.get("provedAt"))),
        Moment(ACCEPTED, "Flagger", stack.failed_at),
        Moment(COMPLETED, "Pullback", _epoch(status.get("completedAt"))),
    ]
    return sorted(found, key=lambda moment: float("inf") if moment.at is None else moment.at)


@contextlib.asynccontextmanager
async def shown(console: Console, stack: Stack) -> AsyncIterator[None]:
    """Shows the stopwatch while it runs: drawn anew in a terminal, line by line elsewhere."""
    live = console.is_terminal and not console.is_dumb_terminal
    watching = asyncio.create_task(_drawing(console, stack) if live else _telling(console, stack))
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _drawing(console: Console, stack: Stack) -> None:
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            bad = stack.load.tally.bad
            title = f"canary at {stack.weight()}%, Flagger says {stack.phase()}, {bad} bad answers"
            live.update(screen(moments(stack), title), refresh=True)
            await asyncio.sleep(REDRAW_SECONDS)


async def _telling(console: Console, stack: Stack) -> None:
    told: set[str] = set()
    try:
        while True:
            _tell(console, stack, told)
            await asyncio.sleep(REDRAW_SECONDS)
    finally:
        _tell(console, stack, told)


def _tell(console: Console, stack: Stack, told: set[str]) -> None:
    for what, who, clock, _ in lines(moments(stack)):
        if clock != UNKNOWN and what not in told:
            told.add(what)
            console.print(f"  {clock:>12}  {what} ({who})", markup=False)


def screen(found: Sequence[Moment], title: str) -> Table:
    """The stopwatch as it stands."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    table.add_column("seen by")
    table.add_column("clock", justify="right", no_wrap=True)
    table.add_column("since before", justify="right", no_wrap=True)
    for line in lines(found):
        table.add_row(*line)
    return table


def lines(found: Sequence[Moment]) -> list[tuple[str, str, str, str]]:
    """What, who, seconds since the first bad answer, seconds since the moment before."""
    onset = at_of(found, ONSET)
    before = None
    told = []
    for moment in found:
        if moment.at is None or onset is None:
            told.append((moment.what, moment.who, UNKNOWN, ""))
            continue
        since = "" if before is None else f"{moment.at - before:.3f} s"
        told.append((moment.what, moment.who, f"{moment.at - onset:+.3f} s", since))
        before = moment.at
    return told


def waterfall(found: Sequence[Moment], bar: str) -> list[str]:
    """Where the seconds went, one bar per stretch, each beginning where it began."""
    at = {moment.what: moment.at for moment in found}
    took = []
    for name, first, last in STRETCHES:
        since, until = at[first], at[last]
        if since is not None and until is not None:
            # Envoy can have the routes, and Flagger the failure, before the API's answer is back with Pullback.
            took.append((name, f"{first} -> {last}", since, max(until - since, 0.0)))
    if not took:
        return []
    began = took[0][2]
    longest = max(since + seconds - began for _, _, since, seconds in took)
    scale = BARS / (longest or 1.0)
    return [
        f"{name:<7} {words:<36} {seconds:8.3f} s  {' ' * int((since - began) * scale)}{_bar(seconds * scale, bar)}"
        for name, words, since, seconds in took
    ]


def at_of(found: Sequence[Moment], what: str) -> float | None:
    return next(moment.at for moment in found if moment.what == what)


def _bar(length: float, bar: str) -> str:
    return bar * max(1, round(length))


def _epoch(text: str | None) -> float | None:
    return datetime.fromisoformat(text).timestamp() if text else None
