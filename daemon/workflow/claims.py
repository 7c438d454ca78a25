"""Canaries that no controller drives, made of what routing objects, DestinationRules and Deployments say.

Whenever one of those changes, what it may speak of is put together anew (level-based: nothing here is remembered but
which objects speak of one another). A service that a controller's canary takes traffic by is left to that canary.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from daemon.model.canary import Canary, CanaryPhase, CanaryRef, Controller, Workload
from daemon.model.route import Original, RouteObject, RouteRef, RouteView, Sides, Subsets
from daemon.policy import claims
from daemon.policy.claims import Claim, Service, Spot
from daemon.workflow.route_index import RouteNames


class Reading(Protocol):
    """What objects say, read by those who know their kind."""

    def view(self, route: RouteObject, sides: Sides) -> RouteView: ...

    def canary(
        self,
        home: RouteObject,
        sides: Sides,
        workload: Workload | None,
        stable: Workload | None,
        labels: Mapping[str, str],
        phase: CanaryPhase,
    ) -> Canary: ...

    def remembered(self, route: RouteObject, originals: Sequence[Original]) -> Sides | None:
        """What the object told of a canary before these places in it were changed."""
        ...

    def named_workloads(self, home: RouteObject) -> tuple[str, str]: ...

    def is_driven(self, home: RouteObject) -> bool: ...


class Surroundings(Protocol):
    """What is known of the world."""

    def canary(self, ref: CanaryRef) -> Canary | None: ...

    def fleet(self, namespace: str) -> Mapping[str, Workload]: ...

    def reaching(self, services: Iterable[Service]) -> list[RouteObject]: ...

    def held(self, route: RouteRef) -> Sequence[Original]:
        """What rollbacks in force have changed in this object."""
        ...

    def controlled(self, service: Service) -> bool:
        """Whether a controller's canary takes traffic by it."""
        ...

    def put_canary(self, canary: Canary) -> None: ...

    def drop_canary(self, ref: CanaryRef) -> None: ...


class Claims:
    """Told of every change; puts canaries into the world, and takes them out."""

    def __init__(self, world: Surroundings, reading: Reading) -> None:
        self._world = world
        self._reading = reading
        self._claims: dict[RouteRef, Claim] = {}
        self._by_spot: defaultdict[Spot, set[RouteRef]] = defaultdict(set)
        self._by_service: defaultdict[Service, set[RouteRef]] = defaultdict(set)
        self._by_namespace: defaultdict[str, set[RouteRef]] = defaultdict(set)
        self._home_of: dict[RouteRef, CanaryRef] = {}
        """Which canary each object is part of."""
        self._rules: dict[tuple[str, str], Subsets] = {}

    def route_changed(self, route: RouteObject, names: RouteNames) -> None:
        """An object is there, or has changed."""
        before = self._claims.get(route.ref)
        # What a rollback has re-pointed names its canary no more, and is held all the same.
        sides = None if route.owner else names.claim or self._remembered(route)
        if sides is None:
            if before is not None:
                self.route_gone(route.ref)
            return
        view = self._reading.view(route, sides)
        claim = Claim(route, sides, names.named, any(path.weighted for path in view.paths))
        related = self._related(before) if before is not None else set()
        self._forget(route.ref)
        self._claims[route.ref] = claim
        for bucket in self._buckets(claim):
            bucket.add(route.ref)
        self._settle(related | {route.ref})

    def _remembered(self, route: RouteObject) -> Sides | None:
        held = self._world.held(route.ref)
        return self._reading.remembered(route, held) if held else None

    def route_gone(self, ref: RouteRef) -> None:
        before = self._claims.get(ref)
        if before is None:
            return
        related = self._related(before) - {ref}
        self._forget(ref)
        home = self._home_of.pop(ref, None)
        self._settle(related)
        if home is not None and home not in self._home_of.values():
            self._drop(home)

    def traffic_changed(self, services: Iterable[Service]) -> None:
        """An object that tells of no canary itself sends to these, or has ceased to."""
        self._settle({ref for service in services for ref in self._by_service.get(service, ())})

    def workload_changed(self, namespace: str) -> None:
        self._settle(self._by_namespace.get(namespace, ()))

    def controller_changed(self, services: Iterable[Service]) -> None:
        """A controller's canary has come, or gone."""
        self.traffic_changed(services)

    def rule(self, namespace: str, name: str) -> Subsets | None:
        """A DestinationRule, as last seen."""
        return self._rules.get((namespace, name))

    def put_rule(self, rule: Subsets) -> None:
        self._rules[rule.namespace, rule.name] = rule
        self.traffic_changed([rule.service])

    def drop_rule(self, namespace: str, name: str) -> None:
        rule = self._rules.pop((namespace, name), None)
        if rule is not None:
            self.traffic_changed([rule.service])

    # -- how it hangs together

    def _buckets(self, claim: Claim) -> list[set[RouteRef]]:
        sides = claim.sides
        services = sides.canary_services | sides.shared_services
        return [
            *(self._by_spot[spot] for spot in claims.spots(sides)),
            *(self._by_service[service] for service in services | sides.stable_services),
            *(self._by_service[service] for service in claims.stable_names(sides)),
            *(self._by_namespace[namespace] for namespace, _ in services),
        ]

    def _forget(self, ref: RouteRef) -> None:
        claim = self._claims.pop(ref, None)
        if claim is None:
            return
        for bucket in self._buckets(claim):
            bucket.discard(ref)

    def _related(self, claim: Claim) -> set[RouteRef]:
        """All objects that speak of the same canary, directly or by way of one another."""
        found, left = {claim.route.ref}, [claim]
        while left:
            for spot in claims.spots(left.pop().sides):
                for ref in self._by_spot.get(spot, set()) - found:
                    found.add(ref)
                    left.append(self._claims[ref])
        return found

    def _settle(self, refs: Iterable[RouteRef]) -> None:
        left = {ref for ref in refs if ref in self._claims}
        while left:
            group = self._related(self._claims[min(left)])
            left -= group
            self._put(sorted(group))

    def _put(self, group: list[RouteRef]) -> None:
        told = [self._claims[ref] for ref in group]
        before = {self._home_of[ref] for ref in group if ref in self._home_of}
        canary = self._canary(told)
        for ref in group:
            if canary is None:
                self._home_of.pop(ref, None)
            else:
                self._home_of[ref] = canary.ref
        before -= {canary.ref} if canary is not None else set()
        for gone in sorted(before - set(self._home_of.values()) if before else ()):
            self._drop(gone)
        if canary is not None:
            self._world.put_canary(canary)

    def _with_stable(self, sides: Sides) -> Sides:
        """Where none of them says where stable is (an Ingress of the canary's own, a route of its own for people who
        opt in), it is what other routes send to under the application's name."""
        if claims.tells_stable(sides):
            return sides
        named = (service for service in claims.stable_names(sides) if self._world.reaching([service]))
        found = next(named, None)
        return sides if found is None else dataclasses.replace(sides, stable_services=frozenset({found}))

    def _drop(self, ref: CanaryRef) -> None:
        held = self._world.canary(ref)
        if held is not None and held.controller is Controller.NONE:  # else a controller's has taken its name over
            self._world.drop_canary(ref)

    def _canary(self, told: list[Claim]) -> Canary | None:
        home = claims.home(told)
        sides = self._with_stable(claims.merged(told, home.route.ref.namespace))
        services = sides.canary_services | sides.shared_services
        held = self._world.canary(CanaryRef(home.route.ref.namespace, home.route.ref.name))
        taken = held is not None and held.controller is not Controller.NONE
        if taken or not claims.tells_stable(sides) or any(map(self._world.controlled, services)):
            return None
        canary_named, stable_named = self._reading.named_workloads(home.route)
        fleet = self._world.fleet(min(services)[0])
        stables = sides.stable_subsets | {(service, "") for service in sides.stable_services}
        labels = claims.labels_of(claims.spots(sides), self._rules.values())
        workload = claims.workload(canary_named, claims.spots(sides), labels, fleet, stable=False)
        stable = claims.workload(
            stable_named, stables, claims.labels_of(stables, self._rules.values()), fleet, stable=True
        )
        if workload is not None and stable is not None and workload.name == stable.name:
            stable = None
        views = [self._reading.view(route, sides) for route in self._world.reaching(services)]
        at_zero = all(view.at_zero for view in views)
        phase = claims.phase(
            at_zero=at_zero, driven=self._reading.is_driven(home.route), workload=workload, stable=stable
        )
        return _steady(self._reading.canary(home.route, sides, workload, stable, labels, phase), held)


def _steady(canary: Canary, held: Canary | None) -> Canary:
    """What is known of a revision is not unlearnt: its beginning, as first seen, and its name while its workload is
    away (deleted by hand after a rollback, say): a workload that is gone is no new revision (law 8)."""
    if held is None or held.uid != canary.uid:
        return canary
    if not canary.revision and held.revision:
        return dataclasses.replace(
            canary, revision=held.revision, workload=held.workload, analysis_began=held.analysis_began
        )
    if held.revision == canary.revision and held.analysis_began is not None:
        return dataclasses.replace(canary, analysis_began=held.analysis_began)
    return canary
