"""Server-side printing: what `kubectl get` shows is a Table that the server renders."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from typing import Any

from daemon.sandbox.kubernetes_api.resources import Column, Resource
from daemon.sandbox.kubernetes_api.statuses import JsonObject
from daemon.sandbox.kubernetes_api.storage import Stored

NAME = Column("Name", "string", ".metadata.name", format="name")
AGE = Column("Age", "date", ".metadata.creationTimestamp")
BUILT_IN_COLUMNS: dict[str, tuple[Column, ...]] = {
    "deployments": (
        Column("Desired", "integer", ".spec.replicas"),
        Column("Ready", "integer", ".status.readyReplicas"),
        Column("Available", "integer", ".status.availableReplicas"),
    ),
    "namespaces": (Column("Status", "string", ".status.phase"),),
    "pods": (Column("Status", "string", ".status.phase"),),
    "horizontalpodautoscalers": (
        Column("Reference", "string", ".spec.scaleTargetRef.name"),
        Column("MinPods", "string", ".spec.minReplicas"),
        Column("MaxPods", "integer", ".spec.maxReplicas"),
        Column("Replicas", "integer", ".status.currentReplicas"),
    ),
    "jobs": (
        Column("Completions", "integer", ".spec.completions"),
        Column("Succeeded", "integer", ".status.succeeded"),
        Column("Failed", "integer", ".status.failed"),
    ),
    "leases": (Column("Holder", "string", ".spec.holderIdentity"),),
    "customresourcedefinitions": (Column("Created At", "string", ".metadata.creationTimestamp"),),
}
STEP = re.compile(r"\.([\w-]+)|\['([^']+)'\]|\[(\d+)\]|\[\?\(@\.(\w+)==['\"]([^'\"]+)['\"]\)\]")


def wants_table(accept: str) -> bool:
    return "as=Table" in accept and "g=meta.k8s.io" in accept


def columns_of(resource: Resource, version: str) -> tuple[Column, ...]:
    if resource.custom:
        return (NAME, *(resource.columns.get(version) or (AGE,)))
    return (NAME, *BUILT_IN_COLUMNS.get(resource.plural, ()), AGE)


def table(
    resource: Resource,
    version: str,
    objects: Iterable[Stored],
    metadata: JsonObject,
    include: str = "Metadata",
) -> JsonObject:
    columns = columns_of(resource, version)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": [
            {
                "name": c.name,
                "type": c.type,
                "format": c.format,
                "description": c.description,
                "priority": c.priority,
            }
            for c in columns
        ],
        "rows": [_row(resource, version, stored, columns, include) for stored in objects],
    }


def _row(resource: Resource, version: str, stored: Stored, columns: tuple[Column, ...], include: str) -> JsonObject:
    row: JsonObject = {"cells": [_cell(stored.value, c) for c in columns]}
    if include == "Object":
        kind = {"kind": resource.kind, "apiVersion": resource.api_version(version)}
        row["object"] = {**kind, **stored.value}
    elif include != "None":
        kind = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
        row["object"] = {**kind, "metadata": stored.value["metadata"]}
    return row


def _cell(value: Any, column: Column) -> Any:
    found = read(value, column.path)
    if column.type == "date":
        return age(str(found), dt.datetime.now(dt.UTC)) if found else "<unknown>"
    if column.type == "string" and found is not None and not isinstance(found, str):
        return str(found)
    return found


def read(value: Any, path: str) -> Any:
    """Simple JSONPath: .a.b, ['a.b'], [0], [?(@.type=="Ready")]."""
    for name, quoted, index, field, wanted in STEP.findall(path):
        if name or quoted:
            value = value.get(name or quoted) if isinstance(value, dict) else None
        elif isinstance(value, list) and field:
            value = next((v for v in value if v.get(field) == wanted), None)
        elif isinstance(value, list) and index:
            value = value[int(index)] if int(index) < len(value) else None
        else:
            return None
    return value


# Below so many seconds: shown in the first unit, with the rest in the second.
AGES = (
    (120, "s", 1, "", 0),
    (600, "m", 60, "s", 1),
    (3 * 3600, "m", 60, "", 0),
    (8 * 3600, "h", 3600, "m", 60),
    (48 * 3600, "h", 3600, "", 0),
    (8 * 86400, "d", 86400, "h", 3600),
)


def age(moment: str, now: dt.datetime) -> str:
    """As kubectl shortens it: 42s, 3m7s, 25m, 5h12m, 30h, 3d4h, 12d."""
    try:
        seconds = int((now - dt.datetime.fromisoformat(moment)).total_seconds())
    except ValueError:
        return "<invalid>"
    if seconds < -1:
        return "<invalid>"
    seconds = max(0, seconds)
    for below, unit, size, minor_unit, minor_size in AGES:
        if seconds < below:
            minor = seconds % size // minor_size if minor_size else 0
            return f"{seconds // size}{unit}" + (f"{minor}{minor_unit}" if minor else "")
    return f"{seconds // 86400}d"
