"""What several routing objects tell together of a canary that no controller drives. Pure.

Objects that send to the same canary destination speak of one canary: the VirtualService that splits by weight, the
HTTPRoute of an opt-in, the Ingress of internal users. One of them is its *home*: it gives the canary its name, and
people's acts are written there.
"""

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence

from daemon.model.canary import CanaryPhase, Workload
from daemon.model.route import RouteObject, RouteRef, Sides, Subsets

Service = tuple[str, str]
Spot = tuple[Service, str]
"""A destination: a service, and a subset or nothing."""

_HOMES = ("VirtualService", "HTTPRoute", "GRPCRoute", "Ingress")
"""Of several objects that tell of one canary, the kind that is likeliest to be where people look."""
_APPLICATION = ("app.kubernetes.io/name", "app", "k8s-app")
"""Labels that say which application a pod belongs to."""
_MARKS = ("canary", "stable", "primary")


@dataclasses.dataclass(frozen=True, slots=True)
class Claim:
    """One object that tells of a canary. ``sides`` are told by it alone; ``named`` says that annotations do;
    ``weighted`` that ordinary traffic is split in it."""

    route: RouteObject
    sides: Sides
    named: bool
    weighted: bool


def spots(sides: Sides) -> frozenset[Spot]:
    """The canary's destinations."""
    return sides.canary_subsets | {(service, "") for service in sides.canary_services}


def home(claims: Sequence[Claim], held: Collection[RouteRef] = ()) -> Claim:
    """Annotated before guessed, then what splits traffic, then by kind and name: it depends on no weight, so it stays
    where it is while traffic moves. Before all of that, one on which a rollback stands (``held``): under another name
    nobody would hold the canary."""
    return min(
        claims,
        key=lambda one: (one.route.ref not in held, not one.named, not one.weighted, _place(one.route), one.route.ref),
    )


def takes_name(one: Claim, other: Claim, held: Collection[RouteRef]) -> bool:
    """Of two objects of one name that tell of two canaries, whose canary the name is: acts and records say a name, and
    no kind. ``held`` are objects on which a rollback stands."""
    ranks = [(claim.route.ref not in held, _place(claim.route), claim.route.ref) for claim in (one, other)]
    return ranks[0] < ranks[1]


def merged(claims: Sequence[Claim], namespace: str) -> Sides:
    """The sides as all of them tell together. What one calls the canary is stable to none."""
    told = [one.sides for one in claims]
    canary = frozenset().union(*(one.canary_services for one in told))
    canary_subsets = frozenset().union(*(one.canary_subsets for one in told))
    return Sides(
        namespace=namespace,
        canary_services=canary,
        stable_services=frozenset().union(*(one.stable_services for one in told)) - canary,
        shared_services=frozenset().union(*(one.shared_services for one in told)) - canary,
        cluster_domain=told[0].cluster_domain,
        canary_subsets=canary_subsets,
        stable_subsets=frozenset().union(*(one.stable_subsets for one in told)) - canary_subsets,
    )


def with_stable_of(sides: Sides, before: Sides) -> Sides:
    """The same canary, with the stable side that it had."""
    return dataclasses.replace(
        sides,
        stable_services=before.stable_services - sides.canary_services,
        stable_subsets=before.stable_subsets - sides.canary_subsets,
    )


def tells_stable(sides: Sides) -> bool:
    """Whether anybody says where the canary's traffic belongs. If nobody does, it is no canary but all there is."""
    return bool(sides.stable_services or sides.stable_subsets)


def stable_names(sides: Sides) -> tuple[Service, ...]:
    """Services that may be the stable side of a canary's by their names, the likeliest first. Only one that some
    route sends to counts: a name alone would turn a sick canary into an outage."""
    return tuple(
        (namespace, name)
        for namespace, service in sorted(sides.canary_services)
        for name in (f"{_family(service)}-primary", f"{_family(service)}-stable", _family(service))
        if name != service
    )


def phase(*, at_zero: bool, driven: bool, workload: Workload | None, stable: Workload | None) -> CanaryPhase:
    """Under analysis while it gets anything; where we drive it, from the moment that it runs what stable does not."""
    if not at_zero:
        return CanaryPhase.PROGRESSING
    runs = workload is not None and workload.replicas > 0
    new = runs and (stable is None or workload is None or stable.images != workload.images)
    return CanaryPhase.PROGRESSING if driven and new else CanaryPhase.AT_ZERO


def labels_of(places: Iterable[Spot], rules: Iterable[Subsets]) -> Mapping[str, str]:
    """The pod labels of the first of these subsets that a rule knows; empty where none does."""
    wanted = sorted(places)
    found = {(rule.service, name): labels for rule in rules for name, labels in rule.labels.items()}
    return next((found[spot] for spot in wanted if found.get(spot)), {})


def workload(
    named: str, places: Iterable[Spot], labels: Mapping[str, str], fleet: Mapping[str, Workload], *, stable: bool
) -> Workload | None:
    """What runs the pods behind some destinations: the Deployment that is named, else the one that bears the
    destination's name, else the only one of the application with the subset's labels. None rather than a guess."""
    if named:
        return fleet.get(named)
    for (_, service), subset in sorted(places):
        for name in _names(service, subset, stable=stable):
            if name in fleet:
                return fleet[name]
    applications = {_family(service) for (_, service), _ in places}
    alike = [
        one for one in fleet.values()
        if labels and labels.items() <= one.labels.items() and _application(one) in applications
    ]  # fmt: skip
    return alike[0] if len(alike) == 1 else None


def runners(sides: Sides, named: Iterable[str]) -> frozenset[str]:
    """By what ``workload`` may find a Deployment for these sides: names, and applications as ``application_of`` writes
    them. ``named`` are those that annotations name."""
    stables = {*sides.stable_subsets, *((service, "") for service in (*sides.stable_services, *stable_names(sides)))}
    found = set(named) - {""}
    for places, stable in ((spots(sides), False), (stables, True)):
        for (_, service), subset in places:
            found |= {*_names(service, subset, stable=stable), _as_application(_family(service))}
    return frozenset(found)


def application_of(workload: Workload) -> str:
    """Which application's pods it runs; no name of an object is written like that."""
    return _as_application(_application(workload))


def _as_application(name: str) -> str:
    return f"application {name}"


def _names(service: str, subset: str, *, stable: bool) -> list[str]:
    if subset:
        return [f"{service}-{subset}"]
    # ``podinfo`` may be the stable Deployment behind ``podinfo`` and ``podinfo-stable``; never the canary's.
    return [service, _family(service)] if stable else [service]


def _application(workload: Workload) -> str:
    said = next((workload.labels[name] for name in _APPLICATION if workload.labels.get(name)), workload.name)
    return _family(said)


def _family(name: str) -> str:
    for mark in _MARKS:
        if name.endswith(f"-{mark}"):
            return name.removesuffix(f"-{mark}")
    return name


def _place(route: RouteObject) -> int:
    return _HOMES.index(route.ref.kind) if route.ref.kind in _HOMES else len(_HOMES)
