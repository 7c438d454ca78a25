"""The Ingress as ingress-nginx understands it: a canary's own beside the main one, or an ordinary one that leads to a
canary.

Flagger (provider ``nginx``, ``pkg/router/ingress.go``) takes the Ingress of ``spec.ingressRef``, copies it to
``<ingress>-canary`` with all its annotations, puts ``<service>-canary`` in the place of ``<service>``, and from then on
writes that copy's annotations; at rest they are ``canary: "true"`` and ``canary-weight: "0"``.

Pure: JSON in, values out, cheap, and it never raises. What is known of ingress-nginx is in ``nginx_annotations``, and
why zero is written as it is in ``nginx_zeroing``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from daemon.adapters.kubernetes.resources import INGRESSES
from daemon.adapters.traffic import conventions, nginx_annotations, objects
from daemon.adapters.traffic.conventions import Named, family, says_canary, says_stable
from daemon.adapters.traffic.istio_destinations import Service, resolve
from daemon.adapters.traffic.nginx_annotations import Alternative, alternatives, pointer
from daemon.adapters.traffic.nginx_backends import backends
from daemon.adapters.traffic.nginx_restoring import Restoring
from daemon.adapters.traffic.nginx_zeroing import Zeroing
from daemon.adapters.traffic.shares import shared_out
from daemon.adapters.traffic.sides import Side
from daemon.model.route import Original, PatchOperation, RouteObject, RoutePatch, RouteView, Sides, WeightChange

KIND = "Ingress"
RESOURCES = (INGRESSES,)
PROVIDERS = frozenset({"nginx"})
"""Flagger's ``spec.provider`` whose traffic is split by this kind."""


def read(document: Mapping[str, Any]) -> RouteObject:
    """The object from its JSON. In a canary's own, whoever writes annotations splits traffic; in any other, the spec
    does. In a list, the API server names the version of a kind of its own only once, for the list."""
    annotations = objects.mapping(objects.mapping(document.get("metadata")).get("annotations"))
    readable = {key: value for key, value in annotations.items() if isinstance(value, str)}
    field = "f:metadata/f:annotations" if alternatives(readable) else "f:spec"
    return objects.read(KIND, {"apiVersion": INGRESSES.api_version, **document}, field=field)


def services(route: RouteObject, cluster_domain: str) -> frozenset[Service]:
    """Every service the object may send or copy requests to, whatever the weights say just now."""
    found = {(route.ref.namespace, one.service) for one in backends(route.spec)}
    for _, host in nginx_annotations.mirrors(route.annotations):
        service = resolve(host, route.ref.namespace, cluster_domain)
        if service is not None:
            found.add(service)
    return frozenset(found)


def hosts(route: RouteObject, cluster_domain: str) -> frozenset[str]:
    """The hosts the object answers for. They are domains, so there is one way to spell them."""
    del cluster_domain
    listed = route.spec.get("rules")
    named = (objects.text(objects.mapping(one).get("host")) for one in (listed if isinstance(listed, list) else ()))
    return frozenset(host for host in named if host and "*" not in host)


def view(route: RouteObject, sides: Sides) -> RouteView:
    """The object as one canary sees it: all its paths, and the write that closes them if one is due."""
    return Zeroing(route, sides).view()


def claim(route: RouteObject, cluster_domain: str) -> Sides | None:
    """The sides of a canary as the object tells them itself; None when it tells of none.

    A canary's own Ingress tells which service the canary is, by name or annotation, and seldom more: its requests
    come from the main one, which tells nothing of a canary. ``pullback.dev/stable`` on the canary's own, or
    ``pullback.dev/canary`` on the main one, brings the two together; so does an object that names both sides.
    """
    spots = services(route, cluster_domain)
    canary, stable = conventions.annotated(route)
    canaries = _meant(canary, route, cluster_domain) if canary else {one for one in spots if says_canary(one[1])}
    if not canaries:
        return None
    if stable is not None:
        stables = _meant(stable, route, cluster_domain)
    else:
        stables = _kin(spots, canaries) or (_rest(spots, canaries) if canary else set())
    return Sides(
        namespace=route.ref.namespace,
        canary_services=frozenset(canaries),
        stable_services=frozenset(stables - canaries),
        shared_services=frozenset(),
        cluster_domain=cluster_domain,
    )


def steer(route: RouteObject, sides: Sides, weight: float) -> RoutePatch | None:
    """The write that gives the canary ``weight`` percent of what is decided by the die.

    Like every raise it lands on exactly what was looked at, or not at all.
    """
    canaries = [one for one in backends(route.spec) if (route.ref.namespace, one.service) in sides.canary_services]
    tests: list[PatchOperation] = []
    writes: list[PatchOperation] = []
    changes: list[WeightChange] = []
    for rule in alternatives(route.annotations) if canaries else ():
        wanted = _wanted(rule, weight)
        if wanted == rule.weight:
            continue
        tests += [
            PatchOperation("test", pointer(rule.key(name)), rule.value(name))
            for name in ("canary", "canary-weight", "canary-weight-total")
        ]
        writes.append(PatchOperation("add", pointer(rule.key("canary-weight")), str(wanted)))
        before = round(100 * rule.share, 4)
        changes.append(WeightChange(route.ref, rule.path("canary-weight"), before, weight))
    if not writes:
        return None
    tests += [PatchOperation("test", f"{one.pointer}/service/name", one.service) for one in canaries]
    return RoutePatch(route.ref, (*tests, *writes), tuple(changes), ())


def pending(route: RouteObject) -> str:
    """Always empty: the status of an Ingress tells addresses, not what a controller has made of it."""
    del route
    return ""


def restore(route: RouteObject, originals: Sequence[Original]) -> tuple[PatchOperation, ...]:
    """The write that puts back what zeroing re-pointed or removed, where it still is as we left it."""
    return Restoring(route).operations(originals)


def _wanted(rule: Alternative, percent: float) -> int:
    known = min(max(rule.weight or 0, 0), rule.total)
    return shared_out([known, rule.total - known], [Side.CANARY, Side.STABLE], percent)[0]


def _meant(named: Named, route: RouteObject, cluster_domain: str) -> set[Service]:
    service = resolve(named.host, route.ref.namespace, cluster_domain)
    return set() if service is None else {service}


def _kin(spots: frozenset[Service], canaries: set[Service]) -> set[Service]:
    """What is called stable among the relatives of the canaries, else what bears the application's plain name."""
    families = {(namespace, family(name)) for namespace, name in canaries}
    kin = {spot for spot in spots - canaries if (spot[0], family(spot[1])) in families}
    return {spot for spot in kin if says_stable(spot[1])} or kin


def _rest(spots: frozenset[Service], canaries: set[Service]) -> set[Service]:
    """Where only the canary is annotated, the one other service is the stable side; of several, none."""
    left = spots - canaries
    return set(left) if len(left) == 1 else set()
