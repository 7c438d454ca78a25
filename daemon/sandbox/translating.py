"""Turns Istio VirtualServices into the RouteConfiguration that Envoy reads: what the sandbox has of istiod.

Pure: objects in, a JSON-able dict out. It follows Istio where it decides who gets the traffic (rules in
order, first match wins, a sole destination receives everything whatever its weight, delegates, mirrors),
because that is what a rollback has to get right. Rules it cannot translate truthfully are refused, never
guessed; what does not move traffic between destinations (retries, header rewriting, CORS, faults) is left
out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from daemon.sandbox.delegating import TranslationError, flattened_rules, name_of

Json = dict[str, Any]
MILLIONTHS_PER_PERCENT = 10_000
NOT_TRANSLATED = ("redirect", "directResponse", "rewrite")
MATCHED = {"uri", "headers", "withoutHeaders", "queryParams", "method", "authority", "ignoreUriCase"}
MATCHED_ELSEWHERE = {"name", "gateways", "port", "scheme", "statPrefix"}


def translate(services: Iterable[Mapping[str, Any]], *, name: str = "app") -> Json:
    """One RouteConfiguration for all `services`; a `TranslationError` names the object and the reason.

    Several VirtualServices for one host are merged as a gateway does it: in order of age, and what takes every request
    last, so that it hides no rule of another object.
    """
    ordered = sorted(services, key=age)
    by_name = {name_of(service): service for service in ordered}
    hosts: dict[str, tuple[list[str], list[Json], list[Json]]] = {}
    for service in ordered:
        namespace = service["metadata"].get("namespace", "default")
        try:
            routes = [route for rule in flattened_rules(service, by_name) for route in _routes(rule, namespace)]
        except TranslationError as error:
            raise TranslationError(f"VirtualService {name_of(service)}: {error}") from None
        # What stands behind a route for every request is never reached, and must not be by way of the merging.
        end = next((place for place, route in enumerate(routes) if _takes_all(route)), len(routes))
        for host in service.get("spec", {}).get("hosts") or []:
            domains = _domains(host, namespace)
            _, some, all_requests = hosts.setdefault(domains[0], (domains, [], []))
            some += routes[:end]
            all_requests += routes[end:]
    virtual_hosts = [
        {"name": host, "domains": domains, "routes": some + all_requests}
        for host, (domains, some, all_requests) in hosts.items()
    ]
    return {"name": name, "ignore_port_in_host_matching": True, "virtual_hosts": virtual_hosts}


def reached(routes: Mapping[str, Any]) -> frozenset[str]:
    """The clusters that a RouteConfiguration sends at least some requests to, copies of requests included."""
    all_routes = (route for host in routes["virtual_hosts"] for route in host["routes"])
    actions = [route["route"] for route in all_routes if "route" in route]  # others are answered by Envoy itself
    found = {action["cluster"] for action in actions if "cluster" in action}
    for action in actions:
        shares = (action.get("weighted_clusters") or {}).get("clusters") or []
        # A share with settings of its own is one that ends at a fault, and reaches nobody.
        found.update(
            one["name"] for one in shares if one["weight"] > 0 and "typed_per_filter_config" not in one
        )
        mirrors = action.get("request_mirror_policies") or []
        found.update(one["cluster"] for one in mirrors if one["runtime_fraction"]["default_value"]["numerator"] > 0)
    return frozenset(found)


def cluster_name(destination: Mapping[str, Any], namespace: str) -> str:
    """`podinfo-canary`, or `podinfo|v2` with a subset; other namespaces stay visible: `podinfo.other`."""
    host = str(destination["host"])
    service, _, rest = host.partition(".")
    if re.fullmatch(rf"(?:{re.escape(namespace)}(?:\.svc(?:\.cluster\.local)?)?)?", rest):
        host = service
    subset = destination.get("subset")
    return f"{host}|{subset}" if subset else host


def age(service: Mapping[str, Any]) -> tuple[str, str]:
    """What objects are ordered by where the older one wins, and of two as old the first by name."""
    return str(service["metadata"].get("creationTimestamp", "")), name_of(service)


def _takes_all(route: Json) -> bool:
    return set(route["match"]) <= {"prefix", "case_sensitive"} and route["match"].get("prefix") == "/"


def _domains(host: str, namespace: str) -> list[str]:
    """Short names become what they stand for: `podinfo` and its full name share one virtual host."""
    if "*" in host:
        return [host]
    parts = host.removesuffix(".svc.cluster.local").removesuffix(".svc").split(".")
    in_cluster = host.endswith((".svc", ".svc.cluster.local"))
    if len(parts) == 1:
        return [
            f"{host}.{namespace}.svc.cluster.local",
            host,
            f"{host}.{namespace}",
            f"{host}.{namespace}.svc",
        ]
    if len(parts) == 2 and in_cluster:
        service, home = parts
        names = [f"{service}.{home}.svc.cluster.local", f"{service}.{home}", f"{service}.{home}.svc"]
        return [names[0], service, *names[1:]] if home == namespace else names
    return [host]


def _routes(rule: Mapping[str, Any], namespace: str) -> Iterator[Json]:
    """Each of a rule's matches is an Envoy route of its own; a rule without matches takes every request."""
    refused = [field for field in NOT_TRANSLATED if field in rule]
    if refused:
        raise TranslationError(f"http rule with {', '.join(refused)} is not translated")
    action = _action(rule, namespace)
    for match in rule.get("match") or [{}]:
        yield {"match": _match(match), "route": action}


def _action(rule: Mapping[str, Any], namespace: str) -> Json:
    action = {**_target(rule.get("route") or [], namespace), "timeout": str(rule.get("timeout", "0s"))}
    mirrors = [_mirror(mirror, namespace) for mirror in _mirrors(rule)]
    return {**action, "request_mirror_policies": mirrors} if mirrors else action


def _target(route: Sequence[Mapping[str, Any]], namespace: str) -> Json:
    if not route:
        raise TranslationError("http rule has neither a route nor a delegate")
    if len(route) == 1:  # Istio does not look at the weight of a destination that stands alone
        return {"cluster": cluster_name(route[0]["destination"], namespace)}
    shares: list[Json] = [
        {"name": cluster_name(each["destination"], namespace), "weight": int(each.get("weight", 0))} for each in route
    ]
    if sum(share["weight"] for share in shares) <= 0:
        names = ", ".join(share["name"] for share in shares)
        raise TranslationError(f"the weights of {names} add up to 0; Envoy refuses that and keeps the old routes")
    return {"weighted_clusters": {"clusters": shares}}


def _mirrors(rule: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Both spellings as `mirrors[]` entries: the older `mirror` has its percentage beside it."""
    if mirror := rule.get("mirror"):
        percentage = rule.get("mirrorPercentage") or {"value": rule.get("mirrorPercent", 100)}
        yield {"destination": mirror, "percentage": percentage}
    yield from rule.get("mirrors") or []


def _mirror(mirror: Mapping[str, Any], namespace: str) -> Json:
    percent = float((mirror.get("percentage") or {"value": 100}).get("value", 0))
    share = {"numerator": round(percent * MILLIONTHS_PER_PERCENT), "denominator": "MILLION"}
    return {
        "cluster": cluster_name(mirror["destination"], namespace),
        "runtime_fraction": {"default_value": share},
    }


def _match(match: Mapping[str, Any]) -> Json:
    unknown = sorted(set(match) - MATCHED - MATCHED_ELSEWHERE)
    if unknown:
        raise TranslationError(f"match on {', '.join(unknown)} is not translated")
    translated = _path(match.get("uri") or {}, bool(match.get("ignoreUriCase")))
    headers = [_header(name, value or {}) for name, value in (match.get("headers") or {}).items()]
    without = match.get("withoutHeaders") or {}
    headers += [_missing_header(name, value or {}) for name, value in without.items()]
    for field, pseudo_header in (("method", ":method"), ("authority", ":authority")):
        if field in match:
            headers.append(_header(pseudo_header, match[field]))
    if headers:
        translated["headers"] = headers
    if parameters := match.get("queryParams"):
        translated["query_parameters"] = [
            {"name": name, **_present_or(value or {}, "string_match")} for name, value in parameters.items()
        ]
    return translated


def _path(uri: Mapping[str, str], ignore_case: bool) -> Json:
    path: Json = {"prefix": "/"}
    if "exact" in uri:
        path = {"path": uri["exact"]}
    elif "prefix" in uri:
        path = {"prefix": uri["prefix"]}
    elif "regex" in uri:
        return {"safe_regex": {"regex": uri["regex"]}}
    return {**path, "case_sensitive": False} if ignore_case else path


def _string_match(match: Mapping[str, Any]) -> Json:
    if "regex" in match:
        return {"safe_regex": {"regex": match["regex"]}}
    return {kind: match[kind] for kind in ("exact", "prefix") if kind in match}


def _present_or(match: Mapping[str, Any], field: str) -> Json:
    """Without a value to compare with, Istio asks for presence alone."""
    string_match = _string_match(match)
    return {field: string_match} if string_match else {"present_match": True}


def _header(name: str, match: Mapping[str, Any]) -> Json:
    return {"name": name.lower(), **_present_or(match, "string_match")}


def _missing_header(name: str, match: Mapping[str, Any]) -> Json:
    header = {**_header(name, match), "invert_match": True}
    if "string_match" in header:  # a request without the header is one that does not carry the value
        header["treat_missing_header_as_empty"] = True
    return header
