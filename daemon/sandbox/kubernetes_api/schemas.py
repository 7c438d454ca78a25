"""Structural schemas of custom resources: prune what they do not know, fill defaults, say what is wrong."""

from __future__ import annotations

import copy
import datetime as dt
import json
import re
from collections.abc import Iterator
from typing import Any

from daemon.sandbox.kubernetes_api.patching import same
from daemon.sandbox.kubernetes_api.statuses import JsonObject, cause

PRESERVE = "x-kubernetes-preserve-unknown-fields"
INT_OR_STRING = "x-kubernetes-int-or-string"
ROOT_FIELDS = frozenset({"apiVersion", "kind", "metadata"})
IMMUTABLE_RULE = "self == oldSelf"
DATE_TIME = re.compile(r"^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$")
TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}


def prune(schema: JsonObject, value: Any, path: str = "") -> list[str]:
    """Drop, in place, every field the schema does not name; where they were."""
    dropped: list[str] = []
    if isinstance(value, list):
        for index, item in enumerate(value):
            dropped += prune(schema.get("items") or {}, item, f"{path}[{index}]")
        return dropped
    if not isinstance(value, dict):
        return dropped
    properties, extra = schema.get("properties") or {}, schema.get("additionalProperties")
    for key in list(value):
        at = _join(path, key)
        if not path and key in ROOT_FIELDS:
            continue
        if key in properties:
            dropped += prune(properties[key], value[key], at)
        elif isinstance(extra, dict):
            dropped += prune(extra, value[key], at)
        elif not extra and not schema.get(PRESERVE):
            del value[key]
            dropped.append(at)
    return dropped


def fill_defaults(schema: JsonObject, value: Any) -> None:
    """Fill, in place, what is absent; a null where none is allowed counts as absent."""
    if isinstance(value, list):
        for item in value:
            fill_defaults(schema.get("items") or {}, item)
        return
    if not isinstance(value, dict):
        return
    properties, extra = schema.get("properties") or {}, schema.get("additionalProperties")
    for key in [k for k, v in value.items() if v is None]:
        below = properties.get(key, extra)
        if isinstance(below, dict) and not below.get("nullable"):
            del value[key]
    for key, below in properties.items():
        if "default" in below and key not in value:
            value[key] = copy.deepcopy(below["default"])
    for key, item in value.items():
        fill_defaults(properties.get(key) or (extra if isinstance(extra, dict) else {}), item)


def flaws(schema: JsonObject, value: Any, path: str = "") -> Iterator[JsonObject]:
    """Every way `value` breaks the schema, as causes of a 422."""
    if value is None and schema.get("nullable"):
        return
    shown = path or "<nil>"
    wrong_type = _type_flaw(schema, value, shown)
    if wrong_type is not None:
        yield wrong_type
        return
    if "enum" in schema and value not in schema["enum"]:
        allowed = ", ".join(json.dumps(e) for e in schema["enum"])
        unsupported = f"Unsupported value: {json.dumps(value)}: supported values: {allowed}"
        yield cause(shown, "FieldValueNotSupported", unsupported)
    if isinstance(value, str):
        yield from _string_flaws(schema, value, shown)
    elif isinstance(value, dict):
        yield from _object_flaws(schema, value, path)
    elif isinstance(value, list):
        yield from _array_flaws(schema, value, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _number_flaws(schema, value, shown)


def _type_flaw(schema: JsonObject, value: Any, path: str) -> JsonObject | None:
    wanted = schema.get("type")
    if schema.get(INT_OR_STRING):
        fits, wanted = isinstance(value, int | str) and not isinstance(value, bool), "integer,string"
    elif wanted is None:
        return None
    elif isinstance(value, bool):
        fits = wanted == "boolean"
    elif wanted == "integer" and isinstance(value, float):
        fits = value.is_integer()
    else:
        fits = isinstance(value, TYPES[wanted])
    if fits:
        return None
    given = _type_name(value)
    shown = json.dumps(value) if given not in {"object", "array"} else f'"{given}"'
    message = f'Invalid value: {shown}: {path} in body must be of type {wanted}: "{given}"'
    return cause(path, "FieldValueTypeInvalid", message)


def _type_name(value: Any) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}
    return names.get(type(value), "null")


def _string_flaws(schema: JsonObject, value: str, path: str) -> Iterator[JsonObject]:
    if len(value) > schema.get("maxLength", len(value)):
        most = schema["maxLength"]
        yield cause(path, "FieldValueTooLong", f"Too long: may not be more than {most} bytes")
    invalid = f"Invalid value: {json.dumps(value)}: {path} in body"
    if len(value) < schema.get("minLength", 0):
        yield cause(path, "FieldValueInvalid", f"{invalid} should be at least {schema['minLength']} chars long")
    if "pattern" in schema and not re.search(schema["pattern"], value):
        yield cause(path, "FieldValueInvalid", f"{invalid} should match '{schema['pattern']}'")
    if schema.get("format") == "date-time" and not _is_date_time(value):
        yield cause(path, "FieldValueInvalid", f'{invalid} must be of type date-time: "{value}"')


def _is_date_time(value: str) -> bool:
    if not DATE_TIME.match(value):
        return False
    try:
        dt.datetime.fromisoformat(value[:19])
    except ValueError:
        return False
    return True


def _number_flaws(schema: JsonObject, value: float, path: str) -> Iterator[JsonObject]:
    invalid = f"Invalid value: {json.dumps(value)}: {path} in body should be"
    if value < schema.get("minimum", value):
        yield cause(path, "FieldValueInvalid", f"{invalid} greater than or equal to {schema['minimum']}")
    if value > schema.get("maximum", value):
        yield cause(path, "FieldValueInvalid", f"{invalid} less than or equal to {schema['maximum']}")


def _object_flaws(schema: JsonObject, value: JsonObject, path: str) -> Iterator[JsonObject]:
    for name in schema.get("required") or ():
        if name not in value:
            yield cause(_join(path, name), "FieldValueRequired", "Required value")
    if len(value) > schema.get("maxProperties", len(value)):
        most = schema["maxProperties"]
        yield cause(path, "FieldValueTooMany", f"Too many: {len(value)}: must have at most {most} items")
    properties, extra = schema.get("properties") or {}, schema.get("additionalProperties")
    for key, item in value.items():
        below = properties.get(key, extra)
        if isinstance(below, dict) and not (not path and key in ROOT_FIELDS):
            yield from flaws(below, item, _join(path, key))


def _array_flaws(schema: JsonObject, value: list[Any], path: str) -> Iterator[JsonObject]:
    if len(value) > schema.get("maxItems", len(value)):
        most = schema["maxItems"]
        yield cause(path, "FieldValueTooMany", f"Too many: {len(value)}: must have at most {most} items")
    if len(value) < schema.get("minItems", 0):
        few = f"Invalid value: {len(value)}: {path} in body should have at least {schema['minItems']} items"
        yield cause(path, "FieldValueInvalid", few)
    seen: list[Any] = []
    keys = schema.get("x-kubernetes-list-map-keys") or ()
    unique = schema.get("x-kubernetes-list-type", "atomic") != "atomic"
    for index, item in enumerate(value):
        at = f"{path}[{index}]"
        yield from flaws(schema.get("items") or {}, item, at)
        identity = {k: item.get(k) for k in keys} if keys and isinstance(item, dict) else item
        if unique and identity in seen:
            yield cause(at, "FieldValueDuplicate", f"Duplicate value: {json.dumps(identity)}")
        seen.append(identity)


def transition_flaws(schema: JsonObject, new: Any, old: Any, path: str = "") -> Iterator[JsonObject]:
    """The one CEL rule honoured here: `self == oldSelf`. A real server runs every rule."""
    for rule in schema.get("x-kubernetes-validations") or ():
        if rule.get("rule", "").strip() == IMMUTABLE_RULE and not same(new, old):
            why = rule.get("message") or f"failed rule: {IMMUTABLE_RULE}"
            shown = f'"{_type_name(new)}"' if isinstance(new, dict | list) else json.dumps(new)
            yield cause(path, "FieldValueInvalid", f"Invalid value: {shown}: {why}")
    if isinstance(new, dict) and isinstance(old, dict):
        for key, below in (schema.get("properties") or {}).items():
            if key in new and key in old:
                yield from transition_flaws(below, new[key], old[key], _join(path, key))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
