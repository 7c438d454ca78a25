"""What is shown of a canary, in lines for people: one sentence per thing that holds it, or lets it go on."""

import datetime
from collections.abc import Iterable, Mapping
from typing import Any

from daemon.adapters import text, times
from daemon.policy.answering import duration

Shown = Mapping[str, Any]


def clock(moment: str | None) -> str:
    """``2026-11-26 10:31:05Z``; a dash for none."""
    read = times.read(moment)
    return f"{read.astimezone(datetime.UTC):%Y-%m-%d %H:%M:%SZ}" if read is not None else "-"


def aligned(rows: Iterable[tuple[str, str]], indent: str = "  ") -> list[str]:
    """A name and what is said of it, the second column in line. A name that is not repeated may be empty."""
    said = [(name, text.line(words)) for name, words in rows]
    width = max((len(name) for name, _ in said), default=0)
    return [f"{indent}{name:<{width}}  {words}".rstrip() for name, words in said]


def stage(shown: Shown | None) -> str:
    if shown is None:
        return "no stage is counted"
    left = "soak is over" if shown["left"] <= 0 else f"{duration(shown['left'])} of its soak left"
    return f"{shown['weight']:g}% since {clock(shown['since'])}, soak {duration(shown['soak'])}, {left}"


def alerts(shown: Iterable[Shown]) -> str:
    return ", ".join(f"{one['alertname']} since {clock(one['since'])}" for one in shown) or "none holds the gate"


def pause(shown: Shown) -> str:
    """``pause`` of a canary that is paused."""
    why = f": {shown['reason']}" if shown["reason"] else ""
    return f"by {shown['by'] or 'a person who did not say a name'}{why}"


def approval(shown: Shown | None) -> str:
    if shown is None:
        return "none"
    until = f" until {clock(shown['until'])}" if shown["until"] else ""
    used = f", used in the analysis of {clock(shown['used'])}" if shown["used"] else ""
    why = f" ({shown['reason']})" if shown["reason"] else ""
    return f"revision {shown['revision']} by {', '.join(shown['by']) or 'nobody named'}{until}{used}{why}"


def advance(shown: Shown) -> str:
    bound = f" of revision {shown['revision']}" if shown["revision"] else ""
    return f"soaks up to {shown['to']:g}%{bound} skipped by {shown['by'] or 'nobody named'}"


def answer(shown: Shown) -> str:
    return f"{'yes' if shown['open'] else 'no'}, {shown['reason']}: {shown['detail']}"


def last_answer(gate: Shown) -> str:
    """What the daemon said, where that is something else than what it would say now; else nothing."""
    last = gate["answered"]
    if last is None or (last["open"], last["reason"]) == (gate["open"], gate["reason"]):
        return ""
    return f"was answered {answer(last)} (since {clock(last['at'])})"
