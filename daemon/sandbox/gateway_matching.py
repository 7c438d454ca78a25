"""What an HTTPRoute's matches are to Envoy, and which of several that fit a request has it.

Envoy takes the first route that fits, whereas the Gateway API has the most specific match win wherever it stands: so
every match becomes a route of its own, and ``rank`` says in which order they have to stand. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from daemon.sandbox.delegating import TranslationError

Json = dict[str, Any]
Rank = tuple[int, ...]

PATH_TYPES = ("Exact", "RegularExpression", "PathPrefix")
"""In the order in which they win. Where regular expressions stand the API leaves open; this is Envoy's own custom."""
MATCHED = {"path", "headers", "queryParams", "method"}
NO_PATH = ("//", "?", "#")
"""What the API allows in no path; Envoy would refuse all routes for one of them."""


def rank(match: Mapping[str, Any]) -> Rank:
    """The smallest of those that fit has the request: by path, its length, method, headers, query parameters."""
    kind, value = _path_of(match)
    headers, parameters = _headers_of(match), _parameters_of(match)
    return PATH_TYPES.index(kind), -len(value), not match.get("method"), -len(headers), -len(parameters)


def translated(match: Mapping[str, Any]) -> Json:
    """One of a rule's matches as Envoy's; a `TranslationError` says what in it cannot be translated."""
    if unknown := sorted(set(match) - MATCHED):
        raise TranslationError(f"match on {', '.join(unknown)} is not translated")
    found = _path(*_path_of(match))
    headers = [{"name": name, "string_match": _value(one)} for name, one in _headers_of(match).items()]
    if method := match.get("method"):
        headers.append({"name": ":method", "string_match": {"exact": method}})
    if headers:
        found["headers"] = headers
    if parameters := _parameters_of(match):
        found["query_parameters"] = [{"name": name, "string_match": _value(one)} for name, one in parameters.items()]
    return found


def _path_of(match: Mapping[str, Any]) -> tuple[str, str]:
    path = match.get("path") or {}
    kind, value = path.get("type") or "PathPrefix", path.get("value") or "/"
    if kind not in PATH_TYPES:
        raise TranslationError(f"path match of type {kind} is not translated")
    if kind != "RegularExpression" and (not value.startswith("/") or any(part in value for part in NO_PATH)):
        raise TranslationError(f"{value!r} is no path that a request could have")
    return kind, value


def _path(kind: str, value: str) -> Json:
    if kind == "Exact":
        return {"path": value}
    if kind == "RegularExpression":
        return {"safe_regex": {"regex": value}}
    whole = value.removesuffix("/")  # a prefix ends where an element of the path ends: /shop is none of /shopping
    return {"path_separated_prefix": whole} if whole else {"prefix": "/"}


def _headers_of(match: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return _first_by_name(match.get("headers") or (), lower=True)


def _parameters_of(match: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return _first_by_name(match.get("queryParams") or ())


def _first_by_name(listed: Sequence[Mapping[str, Any]], *, lower: bool = False) -> dict[str, Mapping[str, Any]]:
    """Of several for one name the API heeds the first only."""
    found: dict[str, Mapping[str, Any]] = {}
    for one in listed:
        found.setdefault(one["name"].lower() if lower else one["name"], one)
    return found


def _value(match: Mapping[str, Any]) -> Json:
    kind, value = match.get("type") or "Exact", match["value"]
    if kind == "Exact":
        return {"exact": value}
    if kind == "RegularExpression":
        return {"safe_regex": {"regex": value}}
    raise TranslationError(f"{match['name']} matched by {kind} is not translated")
