"""Where every second went: the moments of one rollback, from three independent witnesses.

Users (the load generator) say when the first bad answer came and the last one of the canary; the Rollback
record says what Pullback did when; Envoy says what it was told and what it counted. One machine, one clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.table import Table

from daemon.sandbox.stack import CANARY, STABLE, Stack

BARS = 40


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


def moments(stack: Stack, *, ended: bool) -> list[Moment]:
    """In the order in which they should come. ``ended``: the last canary answer is the last one only then."""
    record = stack.record() or {}
    status: dict[str, Any] = record.get("status") or {}
    signal: dict[str, Any] = (record.get("spec") or {}).get("signal") or {}
    zeroed = _epoch(status.get("zeroedAt"))
    applied = None
    if zeroed is not None:
        swaps = [one.confirmed_at for one in stack.mesh.applied.values() if one.seen_at >= zeroed - 0.25]
        applied = min((moment for moment in swaps if moment >= zeroed - 0.25), default=None)
    return [
        Moment("first bad answer", "users", stack.load.tally.first_bad_at("v2")),
        Moment("alert firing", "Prometheus", _epoch(signal.get("startsAt"))),
        Moment("webhook received", "Pullback", _epoch(status.get("startedAt"))),
        Moment("decided", "Pullback", _epoch(status.get("decidedAt"))),
        Moment("weight 0 written", "Pullback", zeroed),
        Moment("routes in force", "Envoy", applied),
        Moment("last canary answer", "users", stack.load.tally.last_answer_at("v2") if ended or applied else None),
        Moment("proved", "Pullback", _epoch(status.get("provedAt"))),
        Moment("failure accepted", "Flagger", _epoch(status.get("completedAt"))),
    ]


def screen(found: Sequence[Moment], title: str) -> Table:
    """The stopwatch as it stands."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for heading, justify in (("", "left"), ("seen by", "left"), ("clock", "right"), ("since before", "right")):
        table.add_column(heading, justify="right" if justify == "right" else "left", no_wrap=True)
    for line in lines(found):
        table.add_row(*line)
    return table


def lines(found: Sequence[Moment]) -> list[tuple[str, str, str, str]]:
    """What, who, seconds since the first bad answer, seconds since the moment before."""
    began = found[0].at
    before = began
    told = []
    for moment in found:
        if moment.at is None or began is None or before is None:
            told.append((moment.what, moment.who, "…", ""))
            continue
        told.append((moment.what, moment.who, f"{moment.at - began:+9.3f} s", f"{moment.at - before:+9.3f} s"))
        before = moment.at
    return told


def waterfall(found: Sequence[Moment]) -> list[str]:
    """Where the seconds went, one bar per stretch."""
    at = {moment.what: moment.at for moment in found}
    stretches = (
        ("detect   first bad answer -> alert firing", "first bad answer", "alert firing"),
        ("notify   alert firing -> webhook received", "alert firing", "webhook received"),
        ("act      webhook received -> weight 0 written", "webhook received", "weight 0 written"),
        ("apply    weight 0 written -> routes in force", "weight 0 written", "routes in force"),
        ("prove    weight 0 written -> proved", "weight 0 written", "proved"),
    )
    took = [(words, (at[until] or 0.0) - (at[since] or 0.0)) for words, since, until in stretches
            if at[since] is not None and at[until] is not None]  # fmt: skip
    longest = max((seconds for _, seconds in took), default=1.0) or 1.0
    return [f"{words:<46}{seconds:9.3f} s  {'█' * round(BARS * max(seconds, 0.0) / longest)}"
            for words, seconds in took]  # fmt: skip


def _epoch(text: str | None) -> float | None:
    return datetime.fromisoformat(text).timestamp() if text else None
