"""What is shown of a canary, in lines for people: one sentence per thing that holds it, or lets it go on.

Read off the plain values that the API shows, so that the commands and the console page say the same.
"""

import datetime
from collections.abc import Iterable, Mapping
from typing import Any

from daemon.policy.answering import duration

Shown = Mapping[str, Any]


def clock(moment: str | None) -> str:
    """``2026-11-26 10:31:05Z``; a dash for none."""
    return f"{datetime.datetime.fromisoformat(moment).astimezone(datetime.UTC):%Y-%m-%d %H:%M:%SZ}" if moment else "-"


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


def again(entry: Shown) -> str:
    """Of a line of a timeline: how often it was said, and until when; the day only where it is another one."""
    if entry["count"] < 2:
        return ""
    if not entry["last"]:
        return f"  x{entry['count']}"
    at, last = (datetime.datetime.fromisoformat(entry[key]).astimezone(datetime.UTC) for key in ("at", "last"))
    until = f"{last:%H:%M:%S}" if last.date() == at.date() else f"{last:%Y-%m-%d %H:%M:%S}"
    return f"  x{entry['count']} until {until}"
