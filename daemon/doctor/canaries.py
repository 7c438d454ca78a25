"""Flagger's Canary objects out of documents: one object may stand in several parts, as articles print them."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from daemon.doctor.documents import Document, Path
from daemon.doctor.durations import seconds

_FLOOR = 10.0
"""Flagger raises a shorter interval to this."""


@dataclasses.dataclass(frozen=True, slots=True)
class Canary:
    """``parts`` are the documents that speak of it, with the path at which their analysis stands."""

    namespace: str
    name: str
    spec: Mapping[str, Any]
    parts: tuple[tuple[Document, Path], ...]

    @property
    def analysis(self) -> Mapping[str, Any]:
        found = self.spec.get("analysis") or self.spec.get("canaryAnalysis")
        return found if isinstance(found, Mapping) else {}

    @property
    def interval(self) -> float | None:
        """Seconds of a tick; None for hooks of which no more is known."""
        if "analysis" not in self.spec or self.fragment:
            return None
        return max(_FLOOR, seconds(self.analysis.get("interval"), 60.0))

    @property
    def fragment(self) -> bool:
        """Only a list of hooks is known."""
        return all(isinstance(document.data, list) for document, _ in self.parts)

    @property
    def hooks(self) -> list[Mapping[str, Any]]:
        return _mappings(self.analysis.get("webhooks"))

    @property
    def metrics(self) -> list[Mapping[str, Any]]:
        return _mappings(self.analysis.get("metrics"))

    def at(self, *field: str | int) -> str:
        """Where a field of the analysis stands, in the part that has it."""
        for document, path in self.parts:
            if isinstance(document.data, list):
                return document.at(*field[1:])
            if field and (*path, field[0]) in document.lines:
                return document.at(*path, *field)
        document, path = self.parts[0]
        return document.at(*path, *field)


def gather(documents: Sequence[Document]) -> list[Canary]:
    """Every Canary, parts of one object put together; and every bare list of hooks."""
    found: dict[tuple[str, str], Canary] = {}
    for index, document in enumerate(documents):
        if document.kind == "Canary" and str(document.data.get("apiVersion", "")).startswith("flagger.app/"):
            key = (document.namespace, document.name)
            spec = document.data.get("spec")
            known = found.get(key)
            merged = _merged(known.spec if known else {}, spec if isinstance(spec, Mapping) else {})
            path = ("spec", "canaryAnalysis" if "canaryAnalysis" in merged else "analysis")
            parts = (*(known.parts if known else ()), (document, path))
            found[key] = Canary(*key, merged, parts)
        elif _is_hooks(document.data):
            spec = {"analysis": {"webhooks": document.data}}
            found["", f"hooks {index}"] = Canary("", "", spec, ((document, ()),))
    return list(found.values())


def _is_hooks(data: Any) -> bool:
    return isinstance(data, list) and bool(data) and all(
        isinstance(one, Mapping) and "url" in one and ("type" in one or "timeout" in one) for one in data
    )  # fmt: skip


def _merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(first)
    for key, value in second.items():
        there = merged.get(key)
        merged[key] = _merged(there, value) if isinstance(there, Mapping) and isinstance(value, Mapping) else value
    return merged


def _mappings(given: Any) -> list[Mapping[str, Any]]:
    return [one for one in given if isinstance(one, Mapping)] if isinstance(given, list) else []
