"""What a mesh does with routing objects: the judge of the planner, so it shares no code with it.

Written from Istio's rules alone: hosts are expanded to full names, a rule's only destination gets everything,
several share by weight, an absent weight is 0, a mirror copies all unless a percentage says otherwise, a
delegate's rules stand in for the rule that names it. Fractions, so that nothing is lost to rounding.

Below it a JSON Patch (RFC 6902) as an API server applies it: all of it, or a ``Conflict``.
"""

import copy
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

from daemon.model.route import PatchOperation, Sides

Document = dict[str, Any]
Endpoint = tuple[str, str]
"""(full host, subset)"""
Shares = dict[Endpoint, Fraction]

SERVICE = re.compile(r"(?P<name>[^.]+)\.(?P<namespace>[^.]+)\.svc\.cluster\.local")


def full_host(host: str, namespace: str) -> str:
    """The name the mesh looks a host up by."""
    if re.fullmatch(r"[^.]+", host):
        return f"{host}.{namespace}.svc.cluster.local"
    if re.fullmatch(r"[^.]+\.[^.]+", host):
        return f"{host}.svc.cluster.local"
    if re.fullmatch(r"[^.]+\.[^.]+\.svc", host):
        return f"{host}.cluster.local"
    return host


def endpoint(destination: Mapping[str, Any], namespace: str) -> Endpoint:
    return full_host(destination["host"], namespace), destination.get("subset") or ""


def split(route: Sequence[Mapping[str, Any]], namespace: str) -> Shares:
    """Who gets what of a rule. A split that adds up to 0 is refused by Envoy: anybody may still have it all."""
    weights = [Fraction(entry.get("weight") or 0) for entry in route]
    total = sum(weights, Fraction(0))
    shares: Shares = {}
    for entry, weight in zip(route, weights, strict=True):
        part = Fraction(1) if len(route) == 1 or total == 0 else weight / total
        target = endpoint(entry["destination"], namespace)
        shares[target] = min(shares.get(target, Fraction(0)) + part, Fraction(1))
    return shares


def copied(percentage: Mapping[str, Any] | None) -> Fraction:
    return Fraction(1) if percentage is None else Fraction(str(percentage.get("value", 0))) / 100


def paths(document: Document) -> dict[str, Shares]:
    """All ways through one object: its rules' splits and, beside them, their mirrors."""
    namespace, spec = document["metadata"]["namespace"], document["spec"]
    found: dict[str, Shares] = {}
    for section in ("http", "tcp", "tls"):
        for position, rule in enumerate(spec.get(section) or []):
            where = f"{section}[{position}]"
            if rule.get("route"):
                found[where] = split(rule["route"], namespace)
            for suffix, destination, percentage in _mirrors(rule):
                found[where + suffix] = {endpoint(destination, namespace): copied(percentage)}
    return found


def _mirrors(rule: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any] | None]]:
    if rule.get("mirror"):
        yield ".mirror", rule["mirror"], rule.get("mirrorPercentage")
    for position, mirror in enumerate(rule.get("mirrors") or []):
        yield f".mirrors[{position}]", mirror["destination"], mirror.get("percentage")


def mesh_paths(documents: Iterable[Document]) -> dict[str, Shares]:
    """All ways into a mesh: the objects with hosts, delegates followed into the objects they name."""
    known = {(d["metadata"]["namespace"], d["metadata"]["name"]): d for d in documents}
    found: dict[str, Shares] = {}
    for (namespace, name), document in known.items():
        if not document["spec"].get("hosts"):
            continue
        found |= {f"{namespace}/{name}:{where}": shares for where, shares in paths(document).items()}
        for position, rule in enumerate(document["spec"].get("http") or []):
            if delegate := rule.get("delegate"):
                target = known.get((delegate.get("namespace", namespace), delegate["name"]))
                inner = paths(target) if target else {}
                prefix = f"{namespace}/{name}:http[{position}]>"
                found |= {prefix + where: shares for where, shares in inner.items()}
    return found


def services(document: Document) -> frozenset[tuple[str, str]]:
    """(namespace, name) of every service that some path names."""
    hosts = {host for shares in paths(document).values() for host, _ in shares}
    matches = (SERVICE.fullmatch(host) for host in hosts)
    return frozenset((match["namespace"], match["name"]) for match in matches if match)


def is_canary(target: Endpoint, sides: Sides) -> bool:
    host, subset = target
    if host in _hosts(sides.canary_services):
        return True
    return host in _hosts(sides.shared_services) and re.search(r"(^|-)canary$", subset) is not None


def is_stable(target: Endpoint, sides: Sides) -> bool:
    host, subset = target
    if is_canary(target, sides):
        return False
    if host in _hosts(sides.stable_services) and not re.search(r"(^|-)canary$", subset):
        return True
    return host in _hosts(sides.shared_services) and bool(re.search(r"(^|-)(stable|primary)$", subset))


def _hosts(services: Iterable[tuple[str, str]]) -> set[str]:
    return {f"{name}.{namespace}.svc.cluster.local" for namespace, name in services}


def share(shares: Shares, belongs: Callable[[Endpoint, Sides], bool], sides: Sides) -> Fraction:
    parts = (part for target, part in shares.items() if belongs(target, sides))
    return min(sum(parts, Fraction(0)), Fraction(1))


def canary_shares(found: Mapping[str, Shares], sides: Sides) -> dict[str, Fraction]:
    """The canary's part of every path on which it appears at all."""
    named = {where: s for where, s in found.items() if any(is_canary(target, sides) for target in s)}
    return {where: share(shares, is_canary, sides) for where, shares in named.items()}


def side(destination: Mapping[str, Any], namespace: str, sides: Sides) -> str:
    target = endpoint(destination, namespace)
    if is_canary(target, sides):
        return "canary"
    return "stable" if is_stable(target, sides) else "other"


class Conflict(Exception):  # noqa: N818 - it is what the API server calls it
    """The patch does not apply: a test failed, or a place is not there."""


def apply(document: Document, operations: Iterable[PatchOperation]) -> Document:
    """The document after the patch. The one given stays as it is."""
    patched = copy.deepcopy(document)
    for operation in operations:
        _apply(patched, operation.as_json())
    return patched


def _apply(document: Document, operation: Mapping[str, Any]) -> None:
    *way, last = (token.replace("~1", "/").replace("~0", "~") for token in operation["path"].split("/")[1:])
    parent: Any = document
    for token in way:
        parent = parent[_key(parent, token)]
    op, value = operation["op"], copy.deepcopy(operation.get("value"))
    if op == "test":
        found = parent.get(last) if isinstance(parent, dict) else parent[_key(parent, last)]
        if not same(found, value):
            raise Conflict(operation)
    elif op == "remove":
        del parent[_key(parent, last)]
    elif op == "replace":
        parent[_key(parent, last)] = value
    elif op == "add" and isinstance(parent, list):
        parent.insert(_key([*parent, None], last), value)
    elif op == "add" and isinstance(parent, dict):
        parent[last] = value
    else:
        raise Conflict(operation)


def _key(parent: Any, token: str) -> Any:
    if isinstance(parent, dict) and token in parent:
        return token
    if isinstance(parent, list) and token.isdigit() and int(token) < len(parent):
        return int(token)
    raise Conflict(token)


def same(left: Any, right: Any) -> bool:
    """Equal as JSON, where true is not 1."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)
