"""What a VirtualService itself tells of a canary that no controller drives: by annotations, else by names."""

from collections.abc import Iterable, Mapping
from typing import Any

from daemon.adapters.traffic.conventions import Named, annotated, family, says_canary, says_stable
from daemon.adapters.traffic.istio_destinations import Service, resolve
from daemon.model.route import RouteObject, Sides

Spot = tuple[Service, str]
"""Where a destination sends its part: a service, and a subset or nothing."""


def told(route: RouteObject, destinations: Iterable[Mapping[str, Any]], cluster_domain: str) -> Sides | None:
    """The sides, as far as this one object tells them; None when it tells of no canary."""
    spots = {spot for found in destinations if (spot := _spot(found, route.ref.namespace, cluster_domain)) is not None}
    canary, stable = annotated(route)
    if canary is not None:
        canaries = _meant(canary, spots, route.ref.namespace, cluster_domain)
        stables = _meant(stable, spots, route.ref.namespace, cluster_domain) if stable is not None else (
            _kin(spots, canaries) or _rest(spots, canaries)
        )  # fmt: skip
    else:
        canaries = {spot for spot in spots if says_canary(spot[1]) or (not spot[1] and says_canary(spot[0][1]))}
        stables = _kin(spots, canaries)
    if not canaries:
        return None
    return _sides(route.ref.namespace, cluster_domain, canaries, stables - canaries)


def _spot(destination: Mapping[str, Any], namespace: str, cluster_domain: str) -> Spot | None:
    host, subset = destination.get("host"), destination.get("subset")
    service = resolve(host, namespace, cluster_domain) if isinstance(host, str) and host else None
    if service is None:
        return None
    return service, subset if isinstance(subset, str) else ""


def _meant(named: Named, spots: set[Spot], namespace: str, cluster_domain: str) -> set[Spot]:
    """What an annotation means: one word is a subset where the object has one of that name, else a host."""
    if not named.subset:
        subsets = {spot for spot in spots if spot[1] == named.host}
        if subsets:
            return subsets
    service = resolve(named.host, namespace, cluster_domain)
    return set() if service is None else {(service, named.subset)}


def _kin(spots: set[Spot], canaries: set[Spot]) -> set[Spot]:
    """What is called stable among the relatives of the canaries, else what bears the application's plain name."""
    families = {(service[0], family(service[1])) for service, _ in canaries}
    kin = {spot for spot in spots - canaries if (spot[0][0], family(spot[0][1])) in families}
    marked = {spot for spot in kin if says_stable(spot[1]) or says_stable(spot[0][1])}
    return marked or {spot for spot in kin if not spot[1] and spot[0] not in {one for one, _ in canaries}}


def _rest(spots: set[Spot], canaries: set[Spot]) -> set[Spot]:
    """Where only the canary is annotated, the one other destination is the stable side; of several, none."""
    left = spots - canaries
    return left if len(left) == 1 else set()


def _sides(namespace: str, cluster_domain: str, canaries: set[Spot], stables: set[Spot]) -> Sides:
    whole = {service for service, subset in canaries if not subset}
    return Sides(
        namespace=namespace,
        canary_services=frozenset(whole),
        stable_services=frozenset(service for service, subset in stables if not subset),
        shared_services=frozenset(service for service, subset in canaries if subset and service not in whole),
        cluster_domain=cluster_domain,
        canary_subsets=frozenset(spot for spot in canaries if spot[1]),
        stable_subsets=frozenset(spot for spot in stables if spot[1]),
    )
