"""Plain text of any origin, made fit to be sent: cleaned and cut. Markup is each channel's own matter."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from daemon.adapters.text import ELLIPSIS, clean, cut, line, units
from daemon.model.notice import Fact, Story

__all__ = [
    "DRY_RUN", "ELLIPSIS", "as_json", "as_mapping", "bounded_key", "clean", "cut", "cut_bytes", "headline", "line",
    "units", "whole",
]  # fmt: skip

DRY_RUN = "DRY RUN"


def headline(story: Story) -> str:
    """The title on one line, which says so when nothing is really done."""
    title = line(story.title) or f"Rollback of {story.namespace}/{story.canary}"
    return title if not story.dry_run or title.startswith(DRY_RUN) else f"{DRY_RUN}: {title}"


def cut_bytes(text: str, limit: int) -> str:
    """At most ``limit`` bytes of UTF-8; what was cut ends in an ellipsis."""
    raw = text.encode()
    if len(raw) <= limit:
        return text
    return raw[: limit - len(ELLIPSIS.encode())].decode("utf-8", "ignore") + ELLIPSIS


def whole(commands: Iterable[str], each: int, together: int) -> list[str]:
    """Those that fit uncut, in code units and with a line break each: a command that is cut might do something else."""
    kept = []
    for command in map(clean, commands):
        length = units(command) + 1
        if length <= min(each, together):
            together -= length
            kept.append(command)
    return kept


def bounded_key(key: str, limit: int) -> str:
    """A key of at most ``limit`` characters: the same for the same key, and for no other."""
    if len(key) <= limit:
        return key
    return f"{key[: limit - 17]}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def as_mapping(facts: Iterable[Fact], each: int) -> dict[str, str]:
    """Facts by name, values cut to ``each`` code units; what several facts of one name say stands in lines."""
    said: dict[str, str] = {}
    for fact in facts:
        name, value = cut(line(fact.name), 100) or "-", clean(fact.value)
        said[name] = cut(f"{said[name]}\n{value}" if name in said else value, each)
    return said


def as_json(document: Mapping[str, Any]) -> bytes:
    """UTF-8, no white space: what is signed is what is sent."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
