"""What an HTTP answer must be, and in which words it is not."""

import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any

import pydantic

from daemon.adapters.checks.findings import line

MATCHED_MOST = 16 * 1024
"""Characters a regular expression is shown: some patterns take time that grows with the square of the length."""
_SHOWN = 80
_RANGE = re.compile(r"(?P<class>[1-5])xx|(?P<low>[1-5]\d\d)(?:-(?P<high>[1-5]\d\d))?")
_NOTHING = object()


def _statuses(value: Any) -> Any:
    given = value if isinstance(value, list | tuple) else [value]
    if not given:
        raise ValueError("expected at least one status")
    return tuple(_range(one) for one in given)


def _range(value: Any) -> tuple[int, int]:
    found = _RANGE.fullmatch(str(value)) if isinstance(value, int | str) else None
    if found is None:
        raise ValueError(f"expected a status such as 200, 2xx or 200-204, got {value!r}")
    if found["class"]:
        low = int(found["class"]) * 100
        return low, low + 99
    low, high = int(found["low"]), int(found["high"] or found["low"])
    if low > high:
        raise ValueError(f"expected the lower status first, got {value!r}")
    return low, high


Statuses = Annotated[tuple[tuple[int, int], ...], pydantic.BeforeValidator(_statuses)]
"""Ranges of statuses, both ends included."""


def told(statuses: tuple[tuple[int, int], ...]) -> str:
    """``200-299 or 404``."""
    return " or ".join(str(low) if low == high else f"{low}-{high}" for low, high in statuses)


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """An answer; ``whole`` is False when the body had more than was read, ``took`` is seconds."""

    status: int
    body: bytes
    whole: bool
    took: float


@dataclasses.dataclass(frozen=True, slots=True)
class Expectation:
    """What all must hold."""

    status: tuple[tuple[int, int], ...]
    contains: tuple[str, ...]
    matches: re.Pattern[str] | None
    json: Mapping[str, Any]
    latency: float | None

    def problem(self, seen: Seen) -> str:
        """The first thing that is not as expected, as ``expected X, got Y``; empty when all is."""
        if not any(low <= seen.status <= high for low, high in self.status):
            return f"expected {told(self.status)}, got {seen.status}{_said(seen)}"
        return self._problem_of_text(seen) or self._problem_of_json(seen) or self._problem_of_time(seen)

    def _problem_of_text(self, seen: Seen) -> str:
        # Decoded only for who asks for it: most checks look at the status alone.
        body = seen.body.decode(errors="replace") if self.contains or self.matches else ""
        for text in self.contains:
            if text not in body:
                return f"expected {_short(text)!r} in the answer, got {seen.status}{_said(seen)}"
        if self.matches is not None and not self.matches.search(body[:MATCHED_MOST]):
            return f"expected the answer to match {_short(self.matches.pattern)!r}, got {seen.status}{_said(seen)}"
        return ""

    def _problem_of_json(self, seen: Seen) -> str:
        if not self.json:
            return ""
        if not seen.whole:
            return f"expected JSON, got more than {len(seen.body)} bytes"
        try:
            document = json.loads(seen.body)
        except (ValueError, RecursionError):
            return f"expected JSON, got {seen.status}{_said(seen) or ' with an empty body'}"
        for path, expected in self.json.items():
            found = _at(document, path)
            if not _same(found, expected):
                got = "nothing there" if found is _NOTHING else _short(json.dumps(found))
                return f"expected {path} to be {_short(json.dumps(expected))}, got {got}"
        return ""

    def _problem_of_time(self, seen: Seen) -> str:
        if self.latency is None or seen.took <= self.latency:
            return ""
        return f"expected {seen.status} within {self.latency * 1000:.0f} ms, got it after {seen.took * 1000:.0f} ms"


def _at(document: Any, path: str) -> Any:
    value = document
    for step in path.split("."):
        if isinstance(value, Mapping) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isascii() and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return _NOTHING
    return value


def _same(found: Any, expected: Any) -> bool:
    # In Python True == 1; in JSON they are different things.
    if isinstance(found, bool) or isinstance(expected, bool):
        return found is expected
    return bool(found == expected)


def _said(seen: Seen) -> str:
    said = line(seen.body[:1_000].decode(errors="replace"), _SHOWN)
    return f": {said}" if said else ""


def _short(text: str) -> str:
    return line(text, _SHOWN)
