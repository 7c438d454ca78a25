"""The lines of a timeline: bounded, in order, and nothing said twice within one stage."""

import dataclasses
import hashlib

from daemon.model.canary_revision import CanaryRevision, Entry, EntryKind

MOST = 200
"""Lines kept; the oldest go first."""
TEXT_MOST = 400

_KEY_MOST = 80
_WORTH = {EntryKind.STAGE: 1, EntryKind.ACT: 2, EntryKind.PHASE: 2}
"""What goes later than everything else, and what goes last of all."""

_DIVIDERS = frozenset({EntryKind.STAGE, EntryKind.PHASE})
"""What is said after one of these is said anew."""


def on_one_line(text: str, most: int) -> str:
    """What anybody has written, fit for a line of ours."""
    return " ".join(text.split())[:most]


def added(record: CanaryRevision, entry: Entry) -> CanaryRevision:
    """The record with one line more, or with a line counted once more."""
    entry = dataclasses.replace(entry, text=on_one_line(entry.text, TEXT_MOST), key=_short(entry.key))
    lines = list(record.entries)
    place = None if entry.kind in _DIVIDERS else _same_line(lines, entry)
    if place is not None:
        lines[place] = counted(lines[place], entry)
        return dataclasses.replace(record, entries=tuple(lines))
    lines.append(entry)
    lines.sort(key=lambda line: line.at)
    kept = _within_bounds(lines)
    return dataclasses.replace(record, entries=tuple(kept), dropped=record.dropped + len(lines) - len(kept))


def _within_bounds(lines: list[Entry]) -> list[Entry]:
    """The oldest go first; the weights it had after what storms bring, what people did and how it ended last of all."""
    surplus = len(lines) - MOST
    if surplus <= 0:
        return lines
    by_worth = sorted(range(len(lines)), key=lambda place: (_WORTH.get(lines[place].kind, 0), place))
    going = set(by_worth[:surplus])
    return [line for place, line in enumerate(lines) if place not in going]


def _short(key: str) -> str:
    if len(key) <= _KEY_MOST:
        return key
    return f"{key[: _KEY_MOST - 11]}-{hashlib.sha256(key.encode(errors='replace')).hexdigest()[:10]}"


def counted(line: Entry, again: Entry) -> Entry:
    """One line for both."""
    last = max(line.last or line.at, again.last or again.at)
    newer = again if (again.last or again.at) >= (line.last or line.at) else line
    return dataclasses.replace(line, text=newer.text, count=line.count + again.count, last=last)


def _same_line(lines: list[Entry], entry: Entry) -> int | None:
    for place in range(len(lines) - 1, -1, -1):
        line = lines[place]
        if line.kind in _DIVIDERS and line.at <= entry.at:
            return None
        if (line.kind, line.key) == (entry.kind, entry.key):
            return place
    return None
