"""What it takes to see and judge without acting: half of the daemon, all of ``explain``, ``plan``, ``status``."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from daemon import ports
from daemon.adapters import claims, flagger, ledger, traffic, workloads
from daemon.adapters.clock import SystemChance, SystemClock
from daemon.adapters.kubernetes import reflector
from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.adapters.kubernetes.resources import (
    CANARIES,
    CANARY_REVISIONS,
    DEPLOYMENTS,
    DESTINATION_RULES_V1,
    DESTINATION_RULES_V1BETA1,
    ROLLBACKS,
    ROLLOUTS,
    Resource,
)
from daemon.adapters.traffic import conventions
from daemon.bootstrap.rollouts import Rollouts
from daemon.model.canary import Canary, CanaryPhase, CanaryRef, Workload
from daemon.model.decision import Limits
from daemon.model.route import Original, RouteObject, RouteRef, RouteView, Sides
from daemon.model.rules import Fallback, LabelNames
from daemon.model.stages import Profile
from daemon.policy.correlating import CanaryIndex
from daemon.settings import Settings
from daemon.workflow.gathering import Gatherer
from daemon.workflow.route_index import RouteNames
from daemon.workflow.standing import Standings
from daemon.workflow.world import World

Names = Callable[[RouteObject], RouteNames]


@dataclasses.dataclass(frozen=True, slots=True)
class Surroundings:
    """What the daemon takes from the machine; a simulated world brings its own."""

    clock: ports.Clock = dataclasses.field(default_factory=SystemClock)
    chance: ports.Chance = dataclasses.field(default_factory=SystemChance)


@dataclasses.dataclass(frozen=True, slots=True)
class Sight:
    """What it takes to see and judge without acting: also what ``explain``, ``plan`` and ``status`` are made of."""

    world: World
    kinds: Mapping[str, traffic.RouteKind]
    routes: traffic.Routes
    names: Names
    standings: Standings
    gatherer: Gatherer
    cluster_domain: str


def open_eyes(settings: Settings, client: KubernetesClient, surroundings: Surroundings) -> Sight:
    """An empty world, and what reads and judges it."""
    labels = settings.label_names
    kinds = traffic.discover()
    routes = traffic.Routes(client, kinds)
    domain = settings.kubernetes.cluster_domain
    world = empty_world(surroundings.clock, labels, settings.correlation.fallback, kinds, domain)
    gatherer = Gatherer(
        world=world,
        routes=routes,
        clock=surroundings.clock,
        limits=Limits(deadline=settings.rollback.deadline, clock_tolerance=settings.correlation.clock_tolerance),
        rehearsing=settings.rollback.dry_run,
        bake=_bake(settings.profiles),
    )
    return Sight(world, kinds, routes, route_names(kinds, settings.kubernetes.cluster_domain), Standings(), gatherer,
                 settings.kubernetes.cluster_domain)


def empty_world(
    clock: ports.Clock,
    labels: LabelNames,
    fallback: Fallback,
    kinds: Mapping[str, traffic.RouteKind],
    cluster_domain: str,
) -> World:
    """Of which nothing is known yet."""
    return World(
        clock=clock,
        index=CanaryIndex(labels, fallback),
        labels=labels,
        providers=frozenset().union(*(kind.PROVIDERS for kind in kinds.values())),
        cluster_domain=cluster_domain,
        reading=_Reading(kinds, cluster_domain),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class _Reading:
    """Keeps ``workflow.claim_sight.Reading``."""

    kinds: Mapping[str, traffic.RouteKind]
    cluster_domain: str

    def view(self, route: RouteObject, sides: Sides) -> RouteView:
        return self.kinds[route.ref.kind].view(route, sides)

    def canary(
        self,
        home: RouteObject,
        sides: Sides,
        workload: Workload | None,
        stable: Workload | None,
        labels: Mapping[str, str],
        phase: CanaryPhase,
    ) -> Canary:
        return claims.read_canary(home, sides, workload, stable, labels, phase)

    def remembered(self, route: RouteObject, originals: Sequence[Original]) -> Sides | None:
        return traffic.remembered(self.kinds[route.ref.kind], route, originals, self.cluster_domain)

    def named_workloads(self, home: RouteObject) -> tuple[str, str]:
        return claims.named_workloads(home)

    def is_driven(self, home: RouteObject) -> bool:
        return claims.is_driven(home)


def _bake(profiles: Mapping[str, Profile]) -> Callable[[Canary], float]:
    def bake(canary: Canary) -> float:
        return profiles.get(canary.profile or "default", profiles["default"]).promotion.bake

    return bake


def route_names(kinds: Mapping[str, traffic.RouteKind], cluster_domain: str) -> Names:
    """What the objects of every kind name."""

    def names(route: RouteObject) -> RouteNames:
        kind = kinds[route.ref.kind]
        return RouteNames(
            kind.services(route, cluster_domain),
            kind.hosts(route, cluster_domain),
            # What a controller has made tells of that controller's canary.
            claim=None if route.owner else kind.claim(route, cluster_domain),
            named=conventions.annotated(route)[0] is not None,
        )

    return names


def receivers(sight: Sight) -> list[tuple[Sequence[Resource], reflector.Receive]]:
    """Every kind that is watched, and how its objects enter the world."""
    world = sight.world

    def receive(
        put: Callable[[Mapping[str, Any]], None], drop: Callable[[str, str], None]
    ) -> Callable[[reflector.Event, dict[str, Any]], None]:
        def take(event: reflector.Event, document: dict[str, Any]) -> None:
            metadata = document["metadata"]
            if event is reflector.Event.GONE:
                drop(metadata.get("namespace", ""), metadata["name"])
            else:
                put(document)

        return take

    def put_route(kind: traffic.RouteKind) -> Callable[[Mapping[str, Any]], None]:
        def put(document: Mapping[str, Any]) -> None:
            route = kind.read(document)
            world.put_route(route, sight.names(route))

        return put

    def drop_route(kind: str) -> Callable[[str, str], None]:
        return lambda namespace, name: world.drop_route(RouteRef(kind, namespace, name))

    rollouts = Rollouts(world, sight.cluster_domain)

    def put_rule(document: Mapping[str, Any]) -> None:
        rule = claims.read_subsets(document, sight.cluster_domain)
        if rule is None:
            drop_rule(document["metadata"].get("namespace", ""), document["metadata"]["name"])
            return
        world.claims.put_rule(rule)
        rollouts.rule_changed(rule.namespace, rule.name)

    def drop_rule(namespace: str, name: str) -> None:
        world.claims.drop_rule(namespace, name)
        rollouts.rule_changed(namespace, name)

    def drop_canary(namespace: str, name: str) -> None:
        world.drop_canary(CanaryRef(namespace, name))
        rollouts.canary_gone(namespace, name)

    return [
        ((CANARY_REVISIONS,), receive(
            lambda one: world.put_revision(ledger.read_revision(one)), world.drop_revision
        )),
        ((ROLLBACKS,), receive(lambda one: world.put_record(ledger.read_rollback(one)), world.drop_record)),
        *(
            (kind.RESOURCES, receive(put_route(kind), drop_route(name)))
            for name, kind in sight.kinds.items()
        ),
        ((DESTINATION_RULES_V1, DESTINATION_RULES_V1BETA1), receive(put_rule, drop_rule)),
        ((DEPLOYMENTS,), receive(lambda one: world.put_workload(workloads.read_workload(one)), world.drop_workload)),
        ((ROLLOUTS,), receive(rollouts.put, rollouts.drop)),
        ((CANARIES,), receive(lambda one: world.put_canary(flagger.read_canary(one)), drop_canary)),
    ]  # fmt: skip
