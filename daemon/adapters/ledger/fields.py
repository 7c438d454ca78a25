"""Single fields of a record's JSON, both ways: what is not there, or is no such thing, is empty."""

import datetime
from collections.abc import Mapping
from typing import Any

from daemon.adapters import times


def there(fields: dict[str, Any]) -> dict[str, Any]:
    """Without what is None: in a list, a merge patch deletes nothing, so a null would stand in the object, and be
    refused by its schema."""
    return {key: value for key, value in fields.items() if value is not None}


def written(moment: datetime.datetime | None) -> str | None:
    return None if moment is None else times.write(moment)


def moment(said: Any, field: str) -> datetime.datetime | None:
    return times.read(said.get(field)) if isinstance(said, dict) else None


def text(said: Mapping[str, Any], field: str) -> str:
    return str(said.get(field) or "")


def number(said: Mapping[str, Any], field: str) -> int:
    return int(said.get(field) or 0)


def words(said: Mapping[str, Any], field: str) -> tuple[str, ...]:
    return tuple(map(str, said.get(field) or ()))


def member(kind: Any, value: object, default: Any) -> Any:
    """The member of an enum with that value."""
    return next((one for one in kind if one.value == value), default)
