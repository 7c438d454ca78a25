"""Canaries that no controller drives, made of what routing objects, DestinationRules and Deployments say.

Whenever one of those changes, what it may speak of is put together anew (level-based: nothing here is remembered but
which objects speak of one another). A service that a controller's canary takes traffic by is left to that canary.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping

from daemon.model.canary import FLAGGER_CANARY, Canary, CanaryRef, Controller, Workload
from daemon.model.route import RouteObject, RouteRef, Sides, Subsets
from daemon.policy import claims
from daemon.policy.claims import Claim, Service, Spot
from daemon.workflow.buckets import discard
from daemon.workflow.claim_sight import Reading, Surroundings
from daemon.workflow.route_index import RouteNames


class Claims:
    """Told of every change; puts canaries into the world, and takes them out."""

    def __init__(self, world: Surroundings, reading: Reading) -> None:
        self._world = world
        self._reading = reading
        self._claims: dict[RouteRef, Claim] = {}
        self._by_spot: defaultdict[Spot, set[RouteRef]] = defaultdict(set)
        self._by_service: defaultdict[Service, set[RouteRef]] = defaultdict(set)
        self._by_runner: defaultdict[tuple[str, str], set[RouteRef]] = defaultdict(set)
        """Claims by the Deployments that may run their pods, as (namespace, name or application)."""
        self._by_name: defaultdict[CanaryRef, set[RouteRef]] = defaultdict(set)
        self._home_of: dict[RouteRef, CanaryRef] = {}
        """Which canary each object is part of."""
        self._parts: defaultdict[CanaryRef, set[RouteRef]] = defaultdict(set)
        """The same, the other way round."""
        self._rules: dict[tuple[str, str], Subsets] = {}
        self._rules_of: defaultdict[Service, dict[tuple[str, str], Subsets]] = defaultdict(dict)

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
        self._settle(related | self._by_name[_name(route.ref)])

    def _remembered(self, route: RouteObject) -> Sides | None:
        held = self._world.held(route.ref)
        return self._reading.remembered(route, held) if held else None

    def route_gone(self, ref: RouteRef) -> None:
        before = self._claims.get(ref)
        if before is None:
            return
        related = self._related(before) | self._by_name[_name(ref)]
        self._forget(ref)
        home = self._home_of.get(ref)
        self._join(ref, None)
        self._settle(related)
        if home is not None and home not in self._parts:
            self._drop(home)

    def traffic_changed(self, services: Iterable[Service]) -> None:
        """An object that tells of no canary itself sends to these, or has ceased to."""
        self._settle({ref for service in services for ref in self._by_service.get(service, ())})

    def workload_changed(self, *seen: Workload) -> None:
        """A Deployment as it was, as it is, or both."""
        keys = {(one.namespace, key) for one in seen for key in (one.name, claims.application_of(one))}
        self._settle({ref for key in keys for ref in self._by_runner.get(key, ())})

    def controller_changed(self, canary: CanaryRef, services: Iterable[Service]) -> None:
        """A controller's canary has come, or gone: its name and its services are taken, or free."""
        self.traffic_changed(services)
        self._settle(self._by_name.get(canary, ()))

    def record_changed(self, canary: CanaryRef) -> None:
        """A rollback has begun to stand, or has ended."""
        self._settle(self._by_name.get(canary, ()))

    def rule(self, namespace: str, name: str) -> Subsets | None:
        """A DestinationRule, as last seen."""
        return self._rules.get((namespace, name))

    def put_rule(self, rule: Subsets) -> None:
        before = self._rules.get((rule.namespace, rule.name))
        if before is not None:
            self._drop_rule(before)
        self._rules[rule.namespace, rule.name] = rule
        self._rules_of[rule.service][rule.namespace, rule.name] = rule
        self.traffic_changed({rule.service} | ({before.service} if before is not None else set()))

    def drop_rule(self, namespace: str, name: str) -> None:
        rule = self._rules.pop((namespace, name), None)
        if rule is not None:
            self._drop_rule(rule)
            self.traffic_changed([rule.service])

    def _drop_rule(self, rule: Subsets) -> None:
        del self._rules_of[rule.service][rule.namespace, rule.name]
        if not self._rules_of[rule.service]:
            del self._rules_of[rule.service]

    # -- how it hangs together

    def _buckets(self, claim: Claim) -> list[set[RouteRef]]:
        sides = claim.sides
        services = sides.canary_services | sides.shared_services
        runners = claims.runners(sides, self._reading.named_workloads(claim.route))
        return [
            *(self._by_spot[spot] for spot in claims.spots(sides)),
            *(self._by_service[service] for service in services | sides.stable_services),
            *(self._by_service[service] for service in claims.stable_names(sides)),
            *(self._by_runner[namespace, key] for namespace, _ in services for key in runners),
            self._by_name[_name(claim.route.ref)],
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
        left, done = {ref for ref in refs if ref in self._claims}, set[RouteRef]()
        while left:
            group = self._related(self._claims[min(left)])
            done |= group
            self._put(sorted(group))
            # Whose name it is where two canaries have objects of one name: what changes here may change it there.
            left |= {other for ref in group for other in self._by_name[_name(ref)]}
            left -= done

    def _put(self, group: list[RouteRef]) -> None:
        told = [self._claims[ref] for ref in group]
        before = {self._home_of[ref] for ref in group if ref in self._home_of}
        canary = self._canary(told)
        for ref in group:
            self._join(ref, canary.ref if canary is not None else None)
        for gone in sorted(one for one in before if one not in self._parts):
            self._drop(gone)
        if canary is not None:
            self._world.put_canary(canary)

    def _join(self, ref: RouteRef, canary: CanaryRef | None) -> None:
        before = self._home_of.pop(ref, None)
        if before is not None:
            discard(self._parts, before, ref)
        if canary is not None:
            self._home_of[ref] = canary
            self._parts[canary].add(ref)

    def _home(self, told: list[Claim]) -> Claim | None:
        """None where each of them bears the name of another canary."""
        held = self._held(told)
        free = [one for one in told if not self._is_taken(one, {each.route.ref for each in told})]
        return claims.home(free, held) if free else None

    def _held(self, told: Iterable[Claim]) -> frozenset[RouteRef]:
        """Objects on which a rollback stands. A record that a person made may say no kind."""
        return frozenset(
            ref
            for ref in (one.route.ref for one in told)
            for record in self._world.records(_name(ref))
            if record.stands and record.canary_kind.kind in {ref.kind, FLAGGER_CANARY.kind}
        )

    def _is_taken(self, claim: Claim, group: set[RouteRef]) -> bool:
        for ref in self._by_name[_name(claim.route.ref)] - group:
            rival = self._claims[ref]
            others = [self._claims[one] for one in self._related(rival)]
            homely = claims.home(others, self._held(others)) is rival and self._tells(others, ref.namespace)
            if homely and claims.takes_name(rival, claim, self._held([rival, claim])):
                return True
        return False

    def _tells(self, told: list[Claim], namespace: str) -> bool:
        """Whether they tell of a canary that nobody drives."""
        sides = self._with_stable(claims.merged(told, namespace), None)
        services = sides.canary_services | sides.shared_services
        return claims.tells_stable(sides) and not any(map(self._world.controlled, services))

    def _with_stable(self, sides: Sides, held: Canary | None) -> Sides:
        """Where none of them says where stable is (an Ingress of the canary's own, a route of its own for people who
        opt in), it is what other routes send to under the application's name. An edit that leaves the canary alone in
        its route while a rollback stands (``held``) is a raise, and what was stable still is."""
        if claims.tells_stable(sides):
            return sides
        named = (service for service in claims.stable_names(sides) if self._world.reaching([service]))
        found = next(named, None)
        if found is not None:
            return dataclasses.replace(sides, stable_services=frozenset({found}))
        return sides if held is None or held.sides is None else claims.with_stable_of(sides, held.sides)

    def _labels(self, places: Iterable[Spot]) -> Mapping[str, str]:
        wanted = frozenset(places)
        return claims.labels_of(
            wanted, [one for service, _ in sorted(wanted) for one in self._rules_of.get(service, {}).values()]
        )

    def _drop(self, ref: CanaryRef) -> None:
        held = self._world.canary(ref)
        if held is not None and held.controller is Controller.NONE:  # else a controller's has taken its name over
            self._world.drop_canary(ref)

    def _canary(self, told: list[Claim]) -> Canary | None:
        home = self._home(told)
        if home is None:
            return None
        held = self._world.canary(_name(home.route.ref))
        stood = held if held is not None and held.uid == home.route.uid and self._held(told) else None
        sides = self._with_stable(claims.merged(told, home.route.ref.namespace), stood)
        services = sides.canary_services | sides.shared_services
        taken = held is not None and held.controller is not Controller.NONE
        if taken or not claims.tells_stable(sides) or any(map(self._world.controlled, services)):
            return None
        canary_named, stable_named = self._reading.named_workloads(home.route)
        fleet = self._world.fleet(min(services)[0])
        stables = sides.stable_subsets | {(service, "") for service in sides.stable_services}
        labels = self._labels(claims.spots(sides))
        workload = claims.workload(canary_named, claims.spots(sides), labels, fleet, stable=False)
        stable = claims.workload(stable_named, stables, self._labels(stables), fleet, stable=True)
        if workload is not None and stable is not None and workload.name == stable.name:
            stable = None
        views = [self._reading.view(route, sides) for route in self._world.reaching(services)]
        at_zero = all(view.at_zero for view in views)
        phase = claims.phase(
            at_zero=at_zero, driven=self._reading.is_driven(home.route), workload=workload, stable=stable
        )
        return _steady(self._reading.canary(home.route, sides, workload, stable, labels, phase), held)


def _name(ref: RouteRef) -> CanaryRef:
    """What the canary is called whose home the object is."""
    return CanaryRef(ref.namespace, ref.name)


def _steady(canary: Canary, held: Canary | None) -> Canary:
    """What is known of a revision is not unlearnt: its beginning, as first seen, and its name while its workload is
    away (deleted by hand after a rollback, say): a workload that is gone is no new revision (law 8)."""
    if held is None or held.uid != canary.uid or not held.services & canary.services:
        return canary
    if not canary.revision and held.revision:
        return dataclasses.replace(
            canary, revision=held.revision, workload=held.workload, analysis_began=held.analysis_began
        )
    if held.revision == canary.revision and held.analysis_began is not None:
        return dataclasses.replace(canary, analysis_began=held.analysis_began)
    return canary
