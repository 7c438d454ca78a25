"""What HTTPRoute and GRPCRoute have in common: all but their names, for they say where requests go in the same words.

Pure: JSON in, values out. The workflow looks through ``view`` at every event of a route, so it has to be cheap, and at
objects in any state people leave them in, so it never raises.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from daemon.adapters.traffic import gateway_sides, gateway_status, gateway_steering
from daemon.adapters.traffic.gateway_backends import Service, reference, service_of
from daemon.adapters.traffic.gateway_restoring import Restoring
from daemon.adapters.traffic.gateway_rules import backends, mirrors, rules
from daemon.adapters.traffic.gateway_zeroing import Zeroing
from daemon.adapters.traffic.istio_destinations import spellings
from daemon.adapters.traffic.objects import mapping
from daemon.model.route import Original, PatchOperation, RouteObject, RoutePatch, RouteView, Sides


def services(route: RouteObject, cluster_domain: str) -> frozenset[Service]:
    """Every service the object may send or mirror requests to, whatever the weights say just now."""
    del cluster_domain  # references are names, never hosts
    found = (service_of(one, route.ref.namespace) for one in _references(route.spec))
    return frozenset(service for service in found if service is not None)


def hosts(route: RouteObject, cluster_domain: str) -> frozenset[str]:
    """The hosts the object answers for; of a mesh's route the services it is attached to, in every spelling."""
    listed = route.spec.get("hostnames")
    found = {host for host in (listed if isinstance(listed, list) else ())
             if isinstance(host, str) and host and "*" not in host}  # fmt: skip
    for parent in _parents(route.spec):
        # Without a kind it is a Gateway, unlike a backend, which is a Service.
        service = service_of(parent, route.ref.namespace) if parent.get("kind") == "Service" else None
        if service is not None:
            found.update(spellings(service, cluster_domain))
    return frozenset(found)


def view(route: RouteObject, sides: Sides) -> RouteView:
    """The object as one canary sees it: all its paths, and the write that closes them if one is due."""
    return Zeroing(route, sides).view()


def claim(route: RouteObject, cluster_domain: str) -> Sides | None:
    """The sides of a canary as the object tells them itself; None when it tells of none."""
    return gateway_sides.told(route, services(route, cluster_domain), cluster_domain)


def steer(route: RouteObject, sides: Sides, weight: float) -> RoutePatch | None:
    """The write that gives the canary ``weight`` percent where it shares with stable by weight."""
    return gateway_steering.steer(route, sides, weight)


def pending(route: RouteObject) -> str:
    """Which gateway does not send by the spec as it is now, and why; empty when all do."""
    return gateway_status.pending(route)


def restore(route: RouteObject, originals: Sequence[Original]) -> tuple[PatchOperation, ...]:
    """The write that puts back what zeroing re-pointed or removed, where it still is as we left it."""
    return Restoring(route).operations(originals)


def _references(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for rule in rules(spec):
        yield from map(reference, backends(rule.body))
        yield from (mirror.target for mirror in mirrors(rule))


def _parents(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    listed = spec.get("parentRefs")
    return map(mapping, listed if isinstance(listed, list) else ())
