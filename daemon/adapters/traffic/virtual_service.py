"""Istio's VirtualService: what it reaches, how much of it the canary gets, and the write that ends that.

Pure: JSON in, values out. The workflow looks through ``view`` at every event of a route, so it has to be
cheap, and at objects in any state people leave them in, so it never raises.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from daemon.adapters.kubernetes.resources import VIRTUAL_SERVICES_V1, VIRTUAL_SERVICES_V1BETA1
from daemon.adapters.traffic import istio_sides, istio_steering, objects
from daemon.adapters.traffic.istio_destinations import Service, resolve, spellings
from daemon.adapters.traffic.istio_restoring import Restoring
from daemon.adapters.traffic.istio_rules import destination, mirrors, routed, rules
from daemon.adapters.traffic.istio_zeroing import Zeroing
from daemon.model.route import Original, PatchOperation, RouteObject, RoutePatch, RouteView, Sides

KIND = "VirtualService"
RESOURCES = (VIRTUAL_SERVICES_V1, VIRTUAL_SERVICES_V1BETA1)
PROVIDERS = frozenset({"istio"})
"""Flagger's ``spec.provider`` whose traffic is split by this kind."""


def read(document: Mapping[str, Any]) -> RouteObject:
    """The object from its JSON, ``v1`` or ``v1beta1`` alike."""
    return objects.read(KIND, document)


def services(route: RouteObject, cluster_domain: str) -> frozenset[Service]:
    """Every service the object may send or mirror requests to, whatever the weights say just now."""
    hosts_named = (found.get("host") for found in _destinations(route.spec))
    resolved = (resolve(host, route.ref.namespace, cluster_domain) for host in hosts_named if isinstance(host, str))
    return frozenset(service for service in resolved if service is not None)


def hosts(route: RouteObject, cluster_domain: str) -> frozenset[str]:
    """The hosts the object answers for, services in every spelling that people and metrics use."""
    listed = route.spec.get("hosts")
    found: set[str] = set()
    for host in listed if isinstance(listed, list) else ():
        if isinstance(host, str) and host and "*" not in host:
            found.add(host)
            found.update(_spellings(host, route.ref.namespace, cluster_domain))
    return frozenset(found)


def view(route: RouteObject, sides: Sides) -> RouteView:
    """The object as one canary sees it: all its paths, and the write that closes them if one is due."""
    return Zeroing(route, sides).view()


def claim(route: RouteObject, cluster_domain: str) -> Sides | None:
    """The sides of a canary as the object tells them itself; None when it tells of none."""
    return istio_sides.told(route, _destinations(route.spec), cluster_domain)


def steer(route: RouteObject, sides: Sides, weight: float) -> RoutePatch | None:
    """The write that gives the canary ``weight`` percent where it shares with stable by weight."""
    return istio_steering.steer(route, sides, weight)


def pending(route: RouteObject) -> str:
    """Always empty: Istio writes nothing into a VirtualService's status that could be relied on."""
    del route
    return ""


def restore(route: RouteObject, originals: Sequence[Original]) -> tuple[PatchOperation, ...]:
    """The write that puts back what zeroing re-pointed or removed, where it still is as we left it."""
    return Restoring(route).operations(originals)


def _destinations(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for rule in rules(spec):
        yield from map(destination, routed(rule.body))
        yield from (mirror.destination for mirror in mirrors(rule))


def _spellings(host: str, namespace: str, cluster_domain: str) -> tuple[str, ...]:
    service = resolve(host, namespace, cluster_domain)
    if service is None:
        return ()
    short, *longer = spellings(service, cluster_domain)
    if host.count(".") == 1 and service[0] != namespace:
        return tuple(longer)  # most likely a domain: example.com is not what people mean by "example"
    return short, *longer
