"""managedFields: who wrote which field last, so that whoever raises a weight can be named."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from daemon.sandbox.kubernetes_api.patching import same
from daemon.sandbox.kubernetes_api.statuses import JsonObject

Path = tuple[str, ...]

# The server's own fields belong to nobody.
UNOWNED_METADATA = frozenset(
    {
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "generation",
        "managedFields",
        "name",
        "namespace",
        "resourceVersion",
        "selfLink",
        "uid",
    }
)


@dataclass(frozen=True, slots=True)
class Writer:
    manager: str
    api_version: str
    subresource: str = ""

    def entry(self, fields: JsonObject) -> JsonObject:
        entry = {
            "manager": self.manager,
            "operation": "Update",
            "apiVersion": self.api_version,
            "time": timestamp(),
            "fieldsType": "FieldsV1",
            "fieldsV1": fields,
        }
        return {**entry, "subresource": self.subresource} if self.subresource else entry

    def wrote(self, entry: JsonObject) -> bool:
        return (
            entry.get("manager") == self.manager
            and entry.get("operation") == "Update"
            and entry.get("apiVersion") == self.api_version
            and entry.get("subresource", "") == self.subresource
        )


def timestamp() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def attribute(old: JsonObject | None, new: JsonObject, writer: Writer) -> list[JsonObject]:
    """The managedFields of `new`: changed fields go to the writer, vanished ones to nobody."""
    entries: list[JsonObject] = list((old or {}).get("metadata", {}).get("managedFields") or ())
    before, after = _owned_part(old or {}), _owned_part(new)
    changed = set(_changes(before, after, ()))
    gone = set(_removals(before, after, ()))
    if not changed and not gone:
        return entries
    kept: list[JsonObject] = []
    mine: set[Path] = set()
    for entry in entries:
        owned = set(_paths(entry.get("fieldsV1") or {}, ()))
        if writer.wrote(entry):
            mine |= owned - gone
            continue
        left = owned - gone - changed
        if left == owned:
            kept.append(entry)
        elif left:
            kept.append({**entry, "fieldsV1": _trie(left)})
    mine |= changed
    return [*kept, writer.entry(_trie(mine))] if mine else kept


def _owned_part(value: JsonObject) -> JsonObject:
    metadata = {k: v for k, v in value.get("metadata", {}).items() if k not in UNOWNED_METADATA}
    rest = {k: v for k, v in value.items() if k not in {"metadata", "apiVersion", "kind"}}
    return {"metadata": metadata, **rest} if metadata else rest


def _changes(before: Any, after: JsonObject, at: Path) -> Iterator[Path]:
    """Leaves (lists are atomic) that are new or differ; a new map is also owned itself, as `.`."""
    for key, value in after.items():
        path = (*at, key)
        old = before.get(key) if isinstance(before, dict) else None
        if isinstance(value, dict):
            if not isinstance(old, dict) and path != ("metadata",):
                yield path
            yield from _changes(old, value, path)
        elif not isinstance(before, dict) or key not in before or not same(old, value):
            yield path


def _removals(before: JsonObject, after: Any, at: Path) -> Iterator[Path]:
    for key, value in before.items():
        path = (*at, key)
        new = after.get(key) if isinstance(after, dict) else None
        if not isinstance(after, dict) or key not in after:
            yield path
        if isinstance(value, dict):
            yield from _removals(value, new, path)


def _trie(paths: set[Path]) -> JsonObject:
    root: JsonObject = {}
    for path in sorted(paths):
        node = root
        for step in path:
            node = node.setdefault(f"f:{step}", {})
    parents = {p[:i] for p in paths for i in range(1, len(p))}
    for path in paths & parents:
        node = root
        for step in path:
            node = node[f"f:{step}"]
        node["."] = {}
    return root


def _paths(node: JsonObject, at: Path) -> Iterator[Path]:
    for key, below in node.items():
        if key == ".":
            yield at
        elif not below:
            yield (*at, key[2:])
        else:
            yield from _paths(below, (*at, key[2:]))
