"""Single fields of a record's JSON, both ways: what is not there, or is no such thing, is empty."""

import datetime
import math
from collections.abc import Mapping, Sequence
from typing import Any

from daemon.adapters import times
from daemon.model.canary import FLAGGER_CANARY, ObjectKind


def there(fields: dict[str, Any]) -> dict[str, Any]:
    """Without what is None: in a list, a merge patch deletes nothing, so a null would stand in the object, and be
    refused by its schema."""
    return {key: value for key, value in fields.items() if value is not None}


def written(moment: datetime.datetime | None) -> str | None:
    return None if moment is None else times.write(moment)


def moment(said: Any, field: str) -> datetime.datetime | None:
    return times.read(said.get(field)) if isinstance(said, dict) else None


def part(said: Any, field: str) -> Mapping[str, Any]:
    """An object within an object."""
    inner = said.get(field) if isinstance(said, dict) else None
    return inner if isinstance(inner, dict) else {}


def several(said: Any, field: str) -> Sequence[Any]:
    inner = said.get(field) if isinstance(said, dict) else None
    return inner if isinstance(inner, list) else ()


def text(said: Any, field: str) -> str:
    value = said.get(field) if isinstance(said, dict) else None
    return "" if isinstance(value, dict | list) else str(value or "")


def number(said: Any, field: str) -> int:
    return int(real(said, field) or 0)


def real(said: Any, field: str) -> float | None:
    """None for what is no number."""
    value = said.get(field) if isinstance(said, dict) else None
    return value if isinstance(value, int | float) and math.isfinite(value) else None


def words(said: Any, field: str) -> tuple[str, ...]:
    return tuple(map(str, several(said, field)))


def member(kind: Any, value: object, default: Any) -> Any:
    """The member of an enum with that value."""
    return next((one for one in kind if one.value == value), default)


def canary_ref(kind: ObjectKind, name: str) -> dict[str, str]:
    """How a record names the object that its canary is."""
    return {"apiVersion": kind.api_version, "kind": kind.kind, "name": name}


def canary_kind(written: object) -> ObjectKind:
    """Flagger's where a record does not say."""
    said = written if isinstance(written, Mapping) else {}
    usual = FLAGGER_CANARY
    return ObjectKind(str(said.get("apiVersion") or usual.api_version), str(said.get("kind") or usual.kind))
