"""Resolves VirtualServices that hand rules over to others (`delegate`) into one flat list of http rules.

Apart from `translating`, because this is about Istio's objects alone: nothing here knows Envoy. A root's
match and a delegate's match both have to hold; where they cannot both hold, Istio drops the combination,
and so does this.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Json = dict[str, Any]
INHERITED = ("timeout", "mirror", "mirrorPercentage", "mirrorPercent", "mirrors")
MERGED_BY_NAME = ("headers", "withoutHeaders", "queryParams")


class TranslationError(ValueError):
    """A VirtualService that cannot be put into force; the message says which and why."""


def name_of(service: Mapping[str, Any]) -> str:
    metadata = service["metadata"]
    return f"{metadata.get('namespace', 'default')}/{metadata['name']}"


def flattened_rules(service: Mapping[str, Any], by_name: Mapping[str, Mapping[str, Any]]) -> Iterator[Json]:
    """The http rules of `service` in order, a delegate's rules in the place of the rule naming it.

    A delegate on its own has no hosts, so it produces no rules until a root asks for them.
    """
    if not (service.get("spec", {}).get("hosts")):
        return
    for rule in service["spec"].get("http") or []:
        if delegate := rule.get("delegate"):
            yield from _delegated(rule, _find(delegate, service, by_name))
        else:
            yield dict(rule)


def _find(
    delegate: Mapping[str, str], root: Mapping[str, Any], by_name: Mapping[str, Mapping[str, Any]]
) -> Mapping[str, Any]:
    home = delegate.get("namespace") or root["metadata"].get("namespace", "default")
    wanted = f"{home}/{delegate['name']}"
    found = by_name.get(wanted)
    if found is None:
        raise TranslationError(f"it delegates to {wanted}, which does not exist")
    if found.get("spec", {}).get("hosts"):
        raise TranslationError(f"it delegates to {wanted}, which has hosts of its own")
    return found


def _delegated(root_rule: Mapping[str, Any], delegate: Mapping[str, Any]) -> Iterator[Json]:
    inherited = {field: root_rule[field] for field in INHERITED if field in root_rule}
    for rule in delegate.get("spec", {}).get("http") or []:
        if rule.get("delegate"):
            raise TranslationError(f"its delegate {name_of(delegate)} delegates again; Istio allows one level")
        matches = _merged_matches(root_rule.get("match") or [], rule.get("match") or [])
        if matches is None:
            continue
        merged = {**inherited, **rule}
        merged.pop("match", None)
        yield {**merged, "match": matches} if matches else merged


def _merged_matches(root: list[Json], delegate: list[Json]) -> list[Json] | None:
    """Every pair that can hold at once; None when none can, so that the rule is unreachable."""
    if not root or not delegate:
        return root or delegate
    pairs = (_merged_match(mine, theirs) for mine in root for theirs in delegate)
    return [pair for pair in pairs if pair is not None] or None


def _merged_match(root: Json, delegate: Json) -> Json | None:
    merged = {**root, **delegate}
    for field in MERGED_BY_NAME:
        mine, theirs = root.get(field) or {}, delegate.get(field) or {}
        if any(mine[name] != theirs[name] for name in mine.keys() & theirs.keys()):
            return None
        if mine or theirs:
            merged[field] = {**mine, **theirs}
    for field in root.keys() & delegate.keys() - set(MERGED_BY_NAME) - {"uri", "name"}:
        if root[field] != delegate[field]:
            return None
    if root.get("uri") and delegate.get("uri") and not _narrower(root["uri"], delegate["uri"]):
        return None
    return merged


def _narrower(root: Mapping[str, str], delegate: Mapping[str, str]) -> bool:
    """Istio lets a delegate only refine the root's path; with a regex they must be equal."""
    if root == delegate:
        return True
    return "prefix" in root and any(
        delegate.get(kind, "").startswith(root["prefix"]) for kind in ("exact", "prefix") if kind in delegate
    )
