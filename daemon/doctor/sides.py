"""Which destinations of a route are the canary and which are stable, told by their names alone."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from daemon.adapters.traffic import RouteKind
from daemon.adapters.traffic.conventions import family
from daemon.adapters.traffic.istio_destinations import resolve
from daemon.doctor.documents import Document
from daemon.model.route import Sides

_STABLE = ("stable", "primary")
GATEWAY_KINDS = frozenset({"HTTPRoute", "GRPCRoute"})
"""Kinds that name their backends as Services, and say themselves which is which."""


def is_canary(entry: Mapping[str, Any]) -> bool:
    return any(one == "canary" or one.endswith("-canary") for one in _names(entry))


def is_stable(entry: Mapping[str, Any]) -> bool:
    """By name; and what has neither name nor subset of the canary's, but its family, is where people keep stable."""
    named = list(_names(entry))
    return any(one in _STABLE or one.endswith(tuple(f"-{mark}" for mark in _STABLE)) for one in named) or (
        len(named) == 1 and not is_canary(entry)
    )


def sides(document: Document, kind: RouteKind, cluster_domain: str) -> Sides:
    """As the object tells them itself; what it does not tell, as Flagger names it."""
    if document.kind in GATEWAY_KINDS:
        return _backends(document, kind, cluster_domain)
    hosts = {service for host in _hosts(document)
             if (service := resolve(host, document.namespace, cluster_domain)) is not None}  # fmt: skip
    canaries = {one for one in hosts if one[1].endswith("-canary")}
    roots = {(namespace, family(name)) for namespace, name in hosts}
    stable = {(namespace, f"{name}-primary") for namespace, name in roots}
    stable |= {one for one in hosts if one[1].endswith(("-stable", "-primary"))}
    return Sides(
        namespace=document.namespace,
        canary_services=frozenset(canaries),
        stable_services=frozenset(stable),
        shared_services=frozenset(roots),
        cluster_domain=cluster_domain,
    )


def _backends(document: Document, kind: RouteKind, cluster_domain: str) -> Sides:
    told = kind.claim(kind.read(document.data), cluster_domain)
    if told is None:
        return Sides(document.namespace, frozenset(), frozenset(), frozenset(), cluster_domain)
    primaries = {(namespace, f"{family(name)}-primary") for namespace, name in told.canary_services}
    return dataclasses.replace(told, stable_services=told.stable_services or frozenset(primaries))


def _names(entry: Mapping[str, Any]) -> Iterator[str]:
    """Short name of the service, and the subset if there is one."""
    destination = entry.get("destination")
    if isinstance(destination, Mapping):
        yield str(destination.get("host") or "").partition(".")[0]
        if destination.get("subset"):
            yield str(destination["subset"])
    elif entry.get("name"):
        yield str(entry["name"])


def _hosts(value: Any) -> Iterator[str]:
    """Every host of a destination, wherever it stands."""
    if isinstance(value, Document):
        value = value.data.get("spec")
    if isinstance(value, Mapping):
        destination = value.get("destination", value.get("mirror"))
        if isinstance(destination, Mapping) and isinstance(destination.get("host"), str):
            yield destination["host"]
        for inner in value.values():
            yield from _hosts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _hosts(inner)
