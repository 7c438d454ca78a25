"""What a gateway does with HTTPRoutes and GRPCRoutes: the judge of the planner, so it shares no code with it.

Written from the Gateway API's rules alone: backends share a rule by weight, an absent weight is 1, a sum of 0 answers
with errors; a RequestMirror copies all unless ``percent`` or ``fraction`` says less; with ``sessionPersistence`` a
session stays with its backend even at weight 0; of several rules that match a request the most specific one takes it.
Fractions, so that nothing is lost to rounding.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

from daemon.model.route import Sides

Document = dict[str, Any]
Backend = tuple[str, str, str, str]
"""(group, kind, namespace, name)"""
Shares = dict[Backend, Fraction]
Request = Mapping[str, Any]
"""``host``, ``path`` (of gRPC ``/service/method``) and ``headers``, names in lower case"""


def backend(reference: Mapping[str, Any], home: str) -> Backend:
    """Whom a reference means, with the defaults of the API."""
    group, kind = reference.get("group", ""), reference.get("kind", "Service")
    return group, kind, reference.get("namespace", home), reference["name"]


def split(entries: Sequence[Mapping[str, Any]], home: str) -> Shares:
    """Who gets what of a rule; nobody anything where all weigh 0."""
    weights = [Fraction(entry.get("weight", 1)) for entry in entries]
    shares: Shares = {}
    for entry, weight in zip(entries, weights, strict=True):
        whom = backend(entry, home)
        shares[whom] = shares.get(whom, Fraction(0)) + (weight / sum(weights) if any(weights) else 0)
    return shares


def copied(mirror: Mapping[str, Any]) -> Fraction:
    """The part of the requests that a RequestMirror copies."""
    if "percent" in mirror:
        return Fraction(mirror["percent"], 100)
    if "fraction" in mirror:
        return Fraction(mirror["fraction"]["numerator"], mirror["fraction"].get("denominator", 100))
    return Fraction(1)


def paths(document: Document) -> dict[str, Shares]:
    """All ways through one object: its rules' splits and, beside them, their mirrors and those of their backends."""
    home = document["metadata"]["namespace"]
    found: dict[str, Shares] = {}
    for where, rule in rules(document):
        if rule.get("backendRefs"):
            found[where] = split(rule["backendRefs"], home)
        for place, mirror in mirrors(rule):
            found[f"{where}.{place}"] = {backend(mirror["backendRef"], home): copied(mirror)}
    return found


def rules(document: Document) -> Iterator[tuple[str, Document]]:
    for position, rule in enumerate(document["spec"].get("rules", [])):
        yield f"rules[{position}]", rule


def mirrors(rule: Document) -> Iterator[tuple[str, Document]]:
    holders = [("filters", rule.get("filters", []))]
    for position, entry in enumerate(rule.get("backendRefs", [])):
        holders.append((f"backendRefs[{position}].filters", entry.get("filters", [])))
    for place, filters in holders:
        for position, one in enumerate(filters):
            if one["type"] == "RequestMirror":
                yield f"{place}[{position}]", one["requestMirror"]


def clung_to(document: Document) -> set[Backend]:
    """Backends whose sessions go on whatever they weigh."""
    home = document["metadata"]["namespace"]
    return {
        backend(entry, home)
        for _, rule in rules(document) if "sessionPersistence" in rule
        for entry in rule.get("backendRefs", [])
    }  # fmt: skip


def services(document: Document) -> frozenset[tuple[str, str]]:
    """(namespace, name) of every Service that some path names."""
    named = {whom for shares in paths(document).values() for whom in shares}
    return frozenset((namespace, name) for group, kind, namespace, name in named if (group, kind) == ("", "Service"))


def is_canary(whom: Backend, sides: Sides) -> bool:
    return whom[:2] == ("", "Service") and whom[2:] in sides.canary_services


def is_stable(whom: Backend, sides: Sides) -> bool:
    return whom[:2] == ("", "Service") and whom[2:] in sides.stable_services - sides.canary_services


def side(reference: Mapping[str, Any], home: str, sides: Sides) -> str:
    whom = backend(reference, home)
    if is_canary(whom, sides):
        return "canary"
    return "stable" if is_stable(whom, sides) else "other"


def share(shares: Shares, belongs: Callable[[Backend, Sides], bool], sides: Sides) -> Fraction:
    return sum((part for whom, part in shares.items() if belongs(whom, sides)), Fraction(0))


def canary_shares(found: Mapping[str, Shares], sides: Sides) -> dict[str, Fraction]:
    """The canary's part of every path on which it appears at all."""
    named = {where: s for where, s in found.items() if any(is_canary(whom, sides) for whom in s)}
    return {where: share(shares, is_canary, sides) for where, shares in named.items()}


# -- one request


def answer(documents: Iterable[Document], request: Request) -> Shares | None:
    """Who answers a request at a gateway with these routes of one kind; None: nobody does (404)."""
    found: list[tuple[tuple[Any, ...], Document, str]] = []
    for document in documents:
        metadata = document["metadata"]
        age = metadata.get("creationTimestamp", ""), f"{metadata['namespace']}/{metadata['name']}"
        host = _hostname(document["spec"].get("hostnames", []), request["host"])
        for position, (_, rule) in enumerate(rules(document)):
            for match in rule.get("matches") or [{}]:
                weight = _weight(match, request)
                if host is not None and weight is not None:
                    found.append(((host, weight, age, position), rule, metadata["namespace"]))
    if not found:
        return None
    # The largest of hostname and match, then the oldest object, then its first rule.
    _, rule, home = min(found, key=lambda one: (_down(one[0][0]), _down(one[0][1]), one[0][2:]))
    return split(rule.get("backendRefs", []), home)


def _down(numbers: Sequence[int]) -> tuple[int, ...]:
    return tuple(-number for number in numbers)


def _hostname(listed: Sequence[str], host: str) -> tuple[int, int] | None:
    """How specific the route's hostname for this host is; None for a route of other hosts."""
    fitting = [
        (0 if one.startswith("*") else len(one), len(one))
        for one in listed
        if one == host or (one.startswith("*.") and host.endswith(one[1:]))
    ]
    if not listed:
        return 0, 0
    return max(fitting, default=None)


def _weight(match: Mapping[str, Any], request: Request) -> tuple[int, ...] | None:
    """How specific a match is that the request fulfils; None for one that it does not."""
    headers = match.get("headers", [])
    if any(request["headers"].get(one["name"].lower()) != one["value"] for one in headers):
        return None
    path = match.get("path", {"type": "PathPrefix", "value": "/"})
    exact, value = path["type"] == "Exact", path["value"]
    below = request["path"].startswith(value.rstrip("/") + "/") or request["path"] == value
    if (exact and request["path"] != value) or not below:
        return None
    service, method = request["path"].strip("/").partition("/")[::2]
    wanted = match.get("method", {})
    if wanted.get("service", service) != service or wanted.get("method", method) != method:
        return None
    called = len(wanted.get("service", "")), len(wanted.get("method", ""))
    return int(exact), len(value), *called, len(headers)
