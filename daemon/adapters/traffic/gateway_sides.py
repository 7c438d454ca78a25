"""What a route of the Gateway API itself tells of a canary that no controller drives: by annotations, else by names."""

from collections.abc import Iterable

from daemon.adapters.traffic.conventions import Named, annotated, family, says_canary, says_stable
from daemon.adapters.traffic.gateway_backends import Service
from daemon.adapters.traffic.istio_destinations import resolve
from daemon.model.route import RouteObject, Sides


def told(route: RouteObject, services: Iterable[Service], cluster_domain: str) -> Sides | None:
    """The sides, as far as this one object tells them; None when it tells of no canary."""
    named = set(services)
    canary, stable = annotated(route)
    if canary is not None:
        canaries = _meant(canary, route.ref.namespace, cluster_domain)
        rest = named - canaries
        stables = (
            _meant(stable, route.ref.namespace, cluster_domain) if stable is not None
            else _kin(named, canaries) or (rest if len(rest) == 1 else set())  # of several others none is the one
        )  # fmt: skip
    else:
        canaries = {service for service in named if says_canary(service[1])}
        stables = _kin(named, canaries)
    if not canaries:
        return None
    return Sides(
        namespace=route.ref.namespace,
        canary_services=frozenset(canaries),
        stable_services=frozenset(stables - canaries),
        shared_services=frozenset(),
        cluster_domain=cluster_domain,
    )


def _meant(named: Named, namespace: str, cluster_domain: str) -> set[Service]:
    """The service that an annotation names, in any spelling. A subset is nothing that such a route could send to."""
    service = None if named.subset else resolve(named.host, namespace, cluster_domain)
    return set() if service is None else {service}


def _kin(services: set[Service], canaries: set[Service]) -> set[Service]:
    """What is called stable among the relatives of the canaries, else what bears the application's plain name."""
    families = {(namespace, family(name)) for namespace, name in canaries}
    kin = {one for one in services - canaries if (one[0], family(one[1])) in families}
    return {one for one in kin if says_stable(one[1])} or kin
