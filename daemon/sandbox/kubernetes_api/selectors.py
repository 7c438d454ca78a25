"""Label and field selectors, as list, watch and deletecollection take them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from daemon.sandbox.kubernetes_api.statuses import JsonObject, bad_request

Matcher = Callable[[JsonObject], bool]

KEY = r"[A-Za-z0-9](?:[-A-Za-z0-9_./]*[A-Za-z0-9])?"
SET_BASED = re.compile(rf"^({KEY})\s+(in|notin)\s+\(([^)]*)\)$")
EQUALITY = re.compile(rf"^({KEY})\s*(==|=|!=)\s*([-A-Za-z0-9_.]*)$")
EXISTS = re.compile(rf"^(!?)\s*({KEY})$")
# What the real server offers beyond metadata, per plural.
FIELDS = {
    "pods": {"spec.nodeName", "status.phase"},
    "events": {
        *(f"involvedObject.{f}" for f in ("kind", "name", "namespace", "uid")),
        *(f"involvedObject.{f}" for f in ("apiVersion", "resourceVersion", "fieldPath")),
        *("reason", "reportingComponent", "source", "type"),
    },
    "namespaces": {"status.phase"},
    "secrets": {"type"},
}


def matching(label_selector: str, field_selector: str, plural: str) -> Matcher | None:
    """One predicate over the stored object, or None when everything matches."""
    labels = [_label_term(t) for t in _split(label_selector)]
    fields = [_field_term(t.strip(), plural) for t in field_selector.split(",") if t.strip()]
    if not labels and not fields:
        return None

    def matches(value: JsonObject) -> bool:
        found = value["metadata"].get("labels") or {}
        return all(term(found) for term in labels) and all(term(value) for term in fields)

    return matches


def _split(selector: str) -> list[str]:
    """Commas part the terms, except inside `in (a,b)`."""
    return [t.strip() for t in re.split(r",(?![^(]*\))", selector) if t.strip()]


def _label_term(term: str) -> Matcher:
    if found := SET_BASED.match(term):
        key, operator, listed = found.groups()
        allowed = {v.strip() for v in listed.split(",")}
        if operator == "in":
            return lambda labels: key in labels and labels[key] in allowed
        return lambda labels: labels.get(key) not in allowed
    if found := EQUALITY.match(term):
        key, operator, value = found.groups()
        if operator == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: key in labels and labels[key] == value
    if found := EXISTS.match(term):
        absent, key = found.groups()
        return lambda labels: (key in labels) != bool(absent)
    raise bad_request(f"unable to parse requirement: found '{term}', expected: identifier or operator")


def _field_term(term: str, plural: str) -> Matcher:
    path, operator, value = re.split(r"(!=|==|=)", term, maxsplit=1) if "=" in term else (term, "", "")
    if not operator:
        raise bad_request(f"invalid selector: '{term}'; can't understand '{term}'")
    if path not in {"metadata.name", "metadata.namespace"} | FIELDS.get(plural, set()):
        raise bad_request(f"field label not supported: {path}")
    # `source` is an object; its selector means the component in it.
    steps = ["source", "component"] if path == "source" else path.split(".")
    return lambda stored: (_read(stored, steps) == value) == (operator != "!=")


def _read(value: Any, steps: list[str]) -> str:
    for step in steps:
        value = value.get(step) if isinstance(value, dict) else None
    return "" if value is None else str(value)
