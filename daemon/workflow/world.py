"""The world as last seen: what the watches bring, indexed so that no look-up grows with the number of canaries.

Only facts that were read are put here. An object older than the one held is refused, so a write's own answer
and the watch may come in any order.
"""

import dataclasses
import datetime
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping

from daemon import ports
from daemon.model.canary import Canary, CanaryRef, Controller, Workload
from daemon.model.canary_revision import CanaryRevision
from daemon.model.rollback import Rollback
from daemon.model.route import Original, RouteObject, RouteRef, Sides
from daemon.model.rules import LabelNames
from daemon.model.versions import is_no_news
from daemon.policy import checks
from daemon.policy.correlating import CanaryIndex, Match, profile
from daemon.workflow.buckets import discard
from daemon.workflow.claim_sight import Reading
from daemon.workflow.claims import Claims
from daemon.workflow.record_index import RecordIndex
from daemon.workflow.route_index import RouteIndex, RouteNames

Service = tuple[str, str]


class World:
    """Canaries, workloads, routes and records.

    ``touched`` is called with every canary whose world changed, after the change.
    """

    def __init__(
        self,
        *,
        clock: ports.Clock,
        index: CanaryIndex,
        labels: LabelNames,
        providers: frozenset[str],
        cluster_domain: str,
        reading: Reading,
    ) -> None:
        self._clock = clock
        self._index = index
        self._labels = labels
        self._providers = providers
        self._cluster_domain = cluster_domain
        self._canaries: dict[CanaryRef, Canary] = {}
        self._workloads: defaultdict[str, dict[str, Workload]] = defaultdict(dict)
        self._targets: defaultdict[tuple[str, str], set[CanaryRef]] = defaultdict(set)
        self._routes = RouteIndex()
        self._serves: defaultdict[Service, set[CanaryRef]] = defaultdict(set)
        self._records = RecordIndex()
        self._revisions: defaultdict[CanaryRef, dict[str, CanaryRevision]] = defaultdict(dict)
        self.claims = Claims(self, reading)
        self.touched: Callable[[CanaryRef], None] = lambda _: None
        self.record_deleted: Callable[[CanaryRef, str], None] = lambda _ref, _name: None

    # -- what is known

    def canaries(self) -> Iterator[Canary]:
        return iter(tuple(self._canaries.values()))

    def canary(self, ref: CanaryRef) -> Canary | None:
        return self._canaries.get(ref)

    def workload(self, canary: Canary) -> Workload | None:
        found = self.fleet(canary.workload_namespace).get(canary.workload)
        if found is None or canary.pods is None:
            return found
        return dataclasses.replace(
            found, replicas=canary.pods, ready_replicas=canary.pods, observed=bool(canary.revision)
        )

    def primary(self, canary: Canary) -> Workload | None:
        return self.fleet(canary.workload_namespace).get(canary.primary_workload)

    def fleet(self, namespace: str) -> Mapping[str, Workload]:
        """All workloads of a namespace, by name."""
        return self._workloads.get(namespace, {})

    def routes(self, canary: Canary) -> list[RouteObject]:
        """Every routing object that names a service of this canary, in a stable order."""
        return self._routes.reaching(canary.services)

    def reaching(self, services: Iterable[Service]) -> list[RouteObject]:
        """Every routing object that names one of these services, in a stable order."""
        return self._routes.reaching(services)

    def held(self, route: RouteRef) -> list[Original]:
        """What rollbacks in force have changed in this object."""
        return self._records.held(route)

    def controlled(self, service: Service) -> bool:
        """Whether a controller's canary takes traffic by this service."""
        return any(self._canaries[ref].controller is not Controller.NONE for ref in self._serves.get(service, ()))

    def route(self, ref: RouteRef) -> RouteObject | None:
        return self._routes.get(ref)

    def sides(self, canary: Canary) -> Sides:
        if canary.sides is not None:
            return canary.sides
        namespace = canary.ref.namespace
        return Sides(
            namespace=namespace,
            canary_services=frozenset({(namespace, canary.canary_service)}),
            stable_services=frozenset({(namespace, canary.primary_service)}),
            shared_services=frozenset({(namespace, canary.service)}),
            cluster_domain=self._cluster_domain,
        )

    def routes_known(self, canary: Canary) -> bool:
        """Whether the canary's traffic is split by something that we can write, between sides that we know (those of
        a Rollout may stand in a DestinationRule that is not there)."""
        told = canary.sides is None or bool(canary.services)
        return told and (not canary.provider or canary.provider in self._providers)

    def records(self, ref: CanaryRef) -> tuple[Rollback, ...]:
        """Oldest first."""
        return self._records.of(ref)

    def record(self, ref: CanaryRef, name: str) -> Rollback | None:
        return self._records.get(ref, name)

    def all_records(self) -> Iterator[Rollback]:
        return self._records.all()

    def revisions(self, ref: CanaryRef) -> tuple[CanaryRevision, ...]:
        """What is recorded of each revision, in no order."""
        return tuple(self._revisions.get(ref, {}).values())

    def all_revisions(self) -> Iterator[CanaryRevision]:
        return (one for records in tuple(self._revisions.values()) for one in tuple(records.values()))

    def correlate(self, labels: Mapping[str, str]) -> Match:
        return self._index.correlate(labels)

    # -- what is told

    def put_canary(self, canary: Canary) -> None:
        held = self._canaries.get(canary.ref)
        if canary.controller is Controller.NONE:
            if canary == held:
                return  # made of several objects: none of their versions tells whether it is news
        elif held is not None and held.uid == canary.uid:
            # A Rollout says another thing once the rule that it names is known.
            derived = canary.controller is Controller.ARGO and canary.resource_version == held.resource_version
            if canary == held or (is_no_news(canary.resource_version, held.resource_version) and not derived):
                return
            canary = self._with_beginning(canary, held)
        if held is not None:
            self._unlink(held)
        self._canaries[canary.ref] = canary
        for workload in _workloads(canary):
            self._targets[workload].add(canary.ref)
        for service in canary.services:
            self._serves[service].add(canary.ref)
        if canary.controller is not Controller.NONE and (held is None or _serves_as(held) != _serves_as(canary)):
            self.claims.controller_changed(canary.ref, canary.services | (held.services if held else frozenset()))
        self._profile(canary)
        self.touched(canary.ref)

    def drop_canary(self, ref: CanaryRef) -> None:
        held = self._canaries.pop(ref, None)
        if held is not None:
            self._unlink(held)
            self._index.drop(ref)
            if held.controller is not Controller.NONE:
                self.claims.controller_changed(ref, held.services)
            self.touched(ref)

    def put_workload(self, workload: Workload) -> None:
        held = self._workloads[workload.namespace].get(workload.name)
        self._workloads[workload.namespace][workload.name] = workload
        if held is None or held.version != workload.version:
            self.claims.workload_changed(*filter(None, (held, workload)))
        self._workload_changed(workload.namespace, workload.name)

    def drop_workload(self, namespace: str, name: str) -> None:
        held = self._workloads[namespace].pop(name, None)
        if held is not None:
            self.claims.workload_changed(held)
            self._workload_changed(namespace, name)

    def put_route(self, route: RouteObject, names: RouteNames) -> None:
        held = self._routes.get(route.ref)
        if held is not None and is_no_news(route.resource_version, held.resource_version):
            return
        before = self._routes.put(route, names)
        affected = names.services | (before.services if before else frozenset())
        self.claims.route_changed(route, names)
        self._services_changed(affected, reprofile=before != names)

    def drop_route(self, ref: RouteRef) -> None:
        names = self._routes.drop(ref)
        if names is not None:
            self.claims.route_gone(ref)
            self._services_changed(names.services, reprofile=True)

    def put_record(self, record: Rollback) -> None:
        held = self._records.get(record.canary, record.name)
        if held is not None and held.uid == record.uid and is_no_news(record.resource_version, held.resource_version):
            return
        self._claim_again(self._records.put(record))
        if record.stands is not (held is not None and held.stands):
            self.claims.record_changed(record.canary)
        self.touched(record.canary)

    def drop_record(self, namespace: str, name: str) -> None:
        ref, routes = self._records.drop(namespace, name)
        if ref is not None:
            self.record_deleted(ref, name)
            self._claim_again(routes)
            self.claims.record_changed(ref)
            self.touched(ref)

    def _claim_again(self, routes: Iterable[RouteRef]) -> None:
        for ref in routes:
            route, names = self._routes.get(ref), self._routes.names(ref)
            if route is not None and names is not None:
                self.claims.route_changed(route, names)

    def put_revision(self, record: CanaryRevision) -> None:
        held = self._revisions[record.canary].get(record.name)
        if held is not None and held.uid == record.uid and is_no_news(record.resource_version, held.resource_version):
            return
        self._revisions[record.canary][record.name] = record
        self.touched(record.canary)

    def drop_revision(self, namespace: str, name: str) -> None:
        for ref, records in tuple(self._revisions.items()):
            if ref.namespace == namespace and records.pop(name, None) is not None and not records:
                del self._revisions[ref]

    # -- how it hangs together

    def _with_beginning(self, canary: Canary, held: Canary | None) -> Canary:
        # Flagger keeps conditions[0].lastTransitionTime when a new revision restarts an analysis that is still
        # running, so for such a revision the moment we saw it take over is the truer beginning.
        if held is None or held.uid != canary.uid or not held.revision:
            return canary
        began = canary.analysis_began
        if held.revision == canary.revision:
            kept = held.analysis_began
            if began is not None and kept is not None and kept > began:
                return dataclasses.replace(canary, analysis_began=kept)
            return canary
        if held.under_analysis and canary.under_analysis:
            now = self._clock.now()
            later: datetime.datetime = now if began is None else max(began, now)
            return dataclasses.replace(canary, analysis_began=later)
        return canary

    def _profile(self, canary: Canary) -> None:
        versions = checks.versions_of(canary, self.workload(canary), self._labels)
        self._index.put(profile(canary, versions, self._hosts(canary)))

    def _hosts(self, canary: Canary) -> frozenset[str]:
        hosts: set[str] = set()
        for namespace, service in self.sides(canary).canary_services:
            hosts |= {f"{service}.{namespace}", f"{service}.{namespace}.svc",
                      f"{service}.{namespace}.svc.{self._cluster_domain}"}  # fmt: skip
        for route in self.routes(canary):
            names = self._routes.names(route.ref)
            hosts |= names.hosts if names is not None else frozenset()
        return frozenset(hosts)

    def _unlink(self, canary: Canary) -> None:
        for workload in _workloads(canary):
            discard(self._targets, workload, canary.ref)
        for service in canary.services:
            discard(self._serves, service, canary.ref)

    def _workload_changed(self, namespace: str, name: str) -> None:
        for ref in tuple(self._targets.get((namespace, name), ())):
            self._profile(self._canaries[ref])
            self.touched(ref)

    def _services_changed(self, services: frozenset[Service], *, reprofile: bool) -> None:
        self.claims.traffic_changed(services)
        affected: set[CanaryRef] = set()
        for service in services:
            affected |= self._serves.get(service, set())
        for ref in affected:
            if reprofile:
                self._profile(self._canaries[ref])
            self.touched(ref)


def _serves_as(canary: Canary) -> tuple[bool, frozenset[Service]]:
    return canary.controller is Controller.NONE, canary.services


def _workloads(canary: Canary) -> list[tuple[str, str]]:
    names = (canary.workload, canary.primary_workload)
    return [(canary.workload_namespace, name) for name in names if name]
