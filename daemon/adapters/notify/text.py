"""Plain text of any origin, made fit to be sent: cleaned and cut. Markup is each channel's own matter."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from daemon.model.notice import Fact, Story

ELLIPSIS = "…"
DRY_RUN = "DRY RUN"

# Control characters but line breaks and tabs, and those that turn the reading direction of everything after them,
# so that a line shows other words than it holds.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """Without what cannot be seen (but line breaks and tabs), and with nothing that UTF-8 cannot carry."""
    return _UNSEEN.sub("", text).encode("utf-8", "replace").decode("utf-8")


def line(text: str) -> str:
    """Cleaned, on one line."""
    return " ".join(clean(text).split())


def headline(story: Story) -> str:
    """The title on one line, which says so when nothing is really done."""
    title = line(story.title) or f"Rollback of {story.namespace}/{story.canary}"
    return title if not story.dry_run or title.startswith(DRY_RUN) else f"{DRY_RUN}: {title}"


def units(text: str) -> int:
    """The length in UTF-16 code units: the longest way in which any of the vendors counts characters."""
    return len(text.encode("utf-16-le")) // 2


def cut(text: str, limit: int) -> str:
    """At most ``limit`` UTF-16 code units; what was cut ends in an ellipsis."""
    if units(text) <= limit:
        return text
    return text.encode("utf-16-le")[: 2 * (limit - 1)].decode("utf-16-le", "ignore") + ELLIPSIS


def cut_bytes(text: str, limit: int) -> str:
    """At most ``limit`` bytes of UTF-8; what was cut ends in an ellipsis."""
    raw = text.encode()
    if len(raw) <= limit:
        return text
    return raw[: limit - len(ELLIPSIS.encode())].decode("utf-8", "ignore") + ELLIPSIS


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
