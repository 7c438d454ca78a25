"""Alertmanager's route tree: which receivers an alert with some labels reaches, and what waits on the way.

Label values that are only known once the alert fires match as "maybe": such a branch is followed, and so is what comes
after it.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from daemon.doctor.documents import Path
from daemon.doctor.durations import seconds
from daemon.model.rules import Matcher

UNKNOWN = "\0"
"""The value of a label that is there, whatever it will be."""


@dataclasses.dataclass(frozen=True, slots=True)
class Stop:
    """One route at which an alert ends, with what it inherits."""

    path: Path
    receiver: str
    group_by: tuple[str, ...]
    group_wait: float
    group_interval: float
    repeat_interval: float
    muted: bool
    certain: bool

    @property
    def apart(self) -> bool:
        """Every alert is its own group."""
        return "..." in self.group_by


_ROOT = Stop((), "", (), 30.0, 300.0, 14400.0, muted=False, certain=True)


def stops(document: Mapping[str, Any], labels: Mapping[str, str]) -> list[Stop]:
    """Where an alert goes, in the order of the configuration."""
    route = document.get("route")
    return list(_walk(route, ("route",), _ROOT, labels)) if isinstance(route, Mapping) else []


def _walk(route: Mapping[str, Any], path: Path, above: Stop, labels: Mapping[str, str]) -> Iterator[Stop]:
    here = _inherited(route, path, above)
    found = stopped = False
    children = route.get("routes")
    for index, child in enumerate(children if isinstance(children, list) else ()):
        if not isinstance(child, Mapping):
            continue
        answer = _matches(child, labels)
        if answer is False:
            continue
        found = found or answer is True
        below = here if answer else dataclasses.replace(here, certain=False)
        yield from _walk(child, (*path, "routes", index), below, labels)
        if answer is True and not child.get("continue"):
            stopped = True
            break
    if not found and not stopped:
        yield here


def _inherited(route: Mapping[str, Any], path: Path, above: Stop) -> Stop:
    group_by = route.get("group_by")
    return Stop(
        path=path,
        receiver=str(route.get("receiver") or above.receiver),
        group_by=tuple(map(str, group_by)) if isinstance(group_by, list) else above.group_by,
        group_wait=seconds(route.get("group_wait"), above.group_wait),
        group_interval=seconds(route.get("group_interval"), above.group_interval),
        repeat_interval=seconds(route.get("repeat_interval"), above.repeat_interval),
        muted=above.muted or bool(route.get("mute_time_intervals") or route.get("active_time_intervals")),
        certain=above.certain,
    )


def _matches(route: Mapping[str, Any], labels: Mapping[str, str]) -> bool | None:
    answers = [_answer(one, labels) for one in _matchers(route)]
    if False in answers:
        return False
    return None if None in answers else True


def _answer(matcher: Matcher | None, labels: Mapping[str, str]) -> bool | None:
    if matcher is None:
        return None
    if labels.get(matcher.label) != UNKNOWN:
        return matcher.matches(labels)
    if matcher.operator in {"!=", "="} and not matcher.value:
        return matcher.operator == "!="
    if matcher.operator == "=~" and matcher.value in {".+", ".*"}:
        return True
    return None


def _matchers(route: Mapping[str, Any]) -> Iterator[Matcher | None]:
    """All three spellings; None for one that cannot be read."""
    listed = route.get("matchers")
    if isinstance(listed, str):
        listed = [listed]
    for text in listed if isinstance(listed, Sequence) else ():
        for one in _split(str(text)):
            yield _parsed(one)
    for field, operator in (("match", "="), ("match_re", "=~")):
        given = route.get(field)
        for label, value in given.items() if isinstance(given, Mapping) else ():
            escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
            yield _parsed(f'{label}{operator}"{escaped}"')


def _split(text: str) -> list[str]:
    """``{a="b",c="d"}`` is two."""
    inner = text.strip()
    if not (inner.startswith("{") and inner.endswith("}")):
        return [inner]
    parts, quoted, current = [], False, ""
    for index, letter in enumerate(inner[1:-1], 1):
        if letter == '"' and inner[index - 1] != "\\":
            quoted = not quoted
        if letter == "," and not quoted:
            parts.append(current)
            current = ""
        else:
            current += letter
    return [one for one in (*parts, current) if one.strip()]


def _parsed(text: str) -> Matcher | None:
    try:
        return Matcher.parse(text)
    except ValueError:
        return None
