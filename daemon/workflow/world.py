"""The world as last seen: what the watches bring, indexed so that no look-up grows with the number of canaries.

Only facts that were read are put here. An object older than the one held is refused, so a write's own answer
and the watch may come in any order.
"""

import dataclasses
import datetime
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from daemon import ports
from daemon.model.canary import Canary, CanaryRef, Workload
from daemon.model.canary_revision import CanaryRevision
from daemon.model.rollback import Rollback
from daemon.model.route import RouteObject, RouteRef, Sides
from daemon.model.rules import LabelNames
from daemon.policy import checks
from daemon.policy.correlating import CanaryIndex, Match, Profile

Service = tuple[str, str]
K = TypeVar("K")
V = TypeVar("V")


@dataclasses.dataclass(frozen=True, slots=True)
class RouteNames:
    """What a routing object says about itself: the services it can send to, and the hosts it answers."""

    services: frozenset[Service]
    hosts: frozenset[str]


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
    ) -> None:
        self._clock = clock
        self._index = index
        self._labels = labels
        self._providers = providers
        self._cluster_domain = cluster_domain
        self._canaries: dict[CanaryRef, Canary] = {}
        self._workloads: dict[tuple[str, str], Workload] = {}
        self._targets: defaultdict[tuple[str, str], set[CanaryRef]] = defaultdict(set)
        self._routes: dict[RouteRef, RouteObject] = {}
        self._route_names: dict[RouteRef, RouteNames] = {}
        self._by_service: defaultdict[Service, set[RouteRef]] = defaultdict(set)
        self._serves: defaultdict[Service, set[CanaryRef]] = defaultdict(set)
        self._records: defaultdict[CanaryRef, dict[str, Rollback]] = defaultdict(dict)
        self._revisions: defaultdict[CanaryRef, dict[str, CanaryRevision]] = defaultdict(dict)
        self.touched: Callable[[CanaryRef], None] = lambda _: None
        self.record_deleted: Callable[[CanaryRef, str], None] = lambda _ref, _name: None

    # -- what is known

    def canaries(self) -> Iterator[Canary]:
        return iter(tuple(self._canaries.values()))

    def canary(self, ref: CanaryRef) -> Canary | None:
        return self._canaries.get(ref)

    def workload(self, canary: Canary) -> Workload | None:
        return self._workloads.get((canary.ref.namespace, canary.workload))

    def primary(self, canary: Canary) -> Workload | None:
        return self._workloads.get((canary.ref.namespace, canary.primary_workload))

    def routes(self, canary: Canary) -> list[RouteObject]:
        """Every routing object that names a service of this canary, in a stable order."""
        refs: set[RouteRef] = set()
        for service in _services(canary):
            refs |= self._by_service.get(service, set())
        return [self._routes[ref] for ref in sorted(refs)]

    def route(self, ref: RouteRef) -> RouteObject | None:
        return self._routes.get(ref)

    def sides(self, canary: Canary) -> Sides:
        namespace = canary.ref.namespace
        return Sides(
            namespace=namespace,
            canary_services=frozenset({(namespace, canary.canary_service)}),
            stable_services=frozenset({(namespace, canary.primary_service)}),
            shared_services=frozenset({(namespace, canary.service)}),
            cluster_domain=self._cluster_domain,
        )

    def routes_known(self, canary: Canary) -> bool:
        """Whether the canary's traffic is split by something that we can write."""
        return not canary.provider or canary.provider in self._providers

    def records(self, ref: CanaryRef) -> tuple[Rollback, ...]:
        """Oldest first."""
        found = self._records.get(ref, {}).values()
        return tuple(sorted(found, key=lambda record: (record.created_at, record.name)))

    def record(self, ref: CanaryRef, name: str) -> Rollback | None:
        return self._records.get(ref, {}).get(name)

    def all_records(self) -> Iterator[Rollback]:
        return (record for records in tuple(self._records.values()) for record in tuple(records.values()))

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
        if held is not None and held.uid == canary.uid and _is_no_news(canary.resource_version, held.resource_version):
            return
        canary = self._with_beginning(canary, held)
        if held is not None:
            self._unlink(held)
        self._canaries[canary.ref] = canary
        self._targets[canary.ref.namespace, canary.workload].add(canary.ref)
        self._targets[canary.ref.namespace, canary.primary_workload].add(canary.ref)
        for service in _services(canary):
            self._serves[service].add(canary.ref)
        self._profile(canary)
        self.touched(canary.ref)

    def drop_canary(self, ref: CanaryRef) -> None:
        held = self._canaries.pop(ref, None)
        if held is not None:
            self._unlink(held)
            self._index.drop(ref)
            self.touched(ref)

    def put_workload(self, workload: Workload) -> None:
        self._workloads[workload.namespace, workload.name] = workload
        self._workload_changed(workload.namespace, workload.name)

    def drop_workload(self, namespace: str, name: str) -> None:
        if self._workloads.pop((namespace, name), None) is not None:
            self._workload_changed(namespace, name)

    def put_route(self, route: RouteObject, names: RouteNames) -> None:
        held = self._routes.get(route.ref)
        if held is not None and _is_no_news(route.resource_version, held.resource_version):
            return
        before = self._route_names.get(route.ref)
        self._routes[route.ref] = route
        if before != names:
            self._relink(route.ref, before, names)
        affected = names.services | (before.services if before else frozenset())
        self._services_changed(affected, reprofile=before != names)

    def drop_route(self, ref: RouteRef) -> None:
        if self._routes.pop(ref, None) is None:
            return
        names = self._route_names.pop(ref)
        for service in names.services:
            _discard(self._by_service, service, ref)
        self._services_changed(names.services, reprofile=True)

    def put_record(self, record: Rollback) -> None:
        held = self._records[record.canary].get(record.name)
        if held is not None and held.uid == record.uid and _is_no_news(record.resource_version, held.resource_version):
            return
        self._records[record.canary][record.name] = record
        self.touched(record.canary)

    def drop_record(self, namespace: str, name: str) -> None:
        for ref, records in tuple(self._records.items()):
            if ref.namespace == namespace and records.pop(name, None) is not None:
                if not records:
                    del self._records[ref]
                self.record_deleted(ref, name)
                self.touched(ref)

    def put_revision(self, record: CanaryRevision) -> None:
        held = self._revisions[record.canary].get(record.name)
        if held is not None and held.uid == record.uid and _is_no_news(record.resource_version, held.resource_version):
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
        self._index.put(
            Profile(
                ref=canary.ref,
                # Nothing that only hints at a canary may mean a drill's, or find two where there is one.
                active=canary.under_analysis and not canary.drill,
                workloads=frozenset({canary.workload}),
                stable_workloads=frozenset({canary.primary_workload}),
                applications=frozenset({canary.workload, canary.service, canary.canary_service}),
                versions=checks.versions_of(canary, self.workload(canary), self._labels),
                hosts=self._hosts(canary),
            )
        )

    def _hosts(self, canary: Canary) -> frozenset[str]:
        namespace, service = canary.ref.namespace, canary.canary_service
        hosts = {f"{service}.{namespace}", f"{service}.{namespace}.svc",
                 f"{service}.{namespace}.svc.{self._cluster_domain}"}  # fmt: skip
        for route in self.routes(canary):
            hosts |= self._route_names[route.ref].hosts
        return frozenset(hosts)

    def _unlink(self, canary: Canary) -> None:
        _discard(self._targets, (canary.ref.namespace, canary.workload), canary.ref)
        _discard(self._targets, (canary.ref.namespace, canary.primary_workload), canary.ref)
        for service in _services(canary):
            _discard(self._serves, service, canary.ref)

    def _relink(self, ref: RouteRef, before: RouteNames | None, names: RouteNames) -> None:
        for service in before.services - names.services if before else ():
            _discard(self._by_service, service, ref)
        for service in names.services:
            self._by_service[service].add(ref)
        self._route_names[ref] = names

    def _workload_changed(self, namespace: str, name: str) -> None:
        for ref in tuple(self._targets.get((namespace, name), ())):
            self._profile(self._canaries[ref])
            self.touched(ref)

    def _services_changed(self, services: frozenset[Service], *, reprofile: bool) -> None:
        affected: set[CanaryRef] = set()
        for service in services:
            affected |= self._serves.get(service, set())
        for ref in affected:
            if reprofile:
                self._profile(self._canaries[ref])
            self.touched(ref)


def _services(canary: Canary) -> tuple[Service, ...]:
    namespace = canary.ref.namespace
    return ((namespace, canary.canary_service), (namespace, canary.service))


def _is_no_news(new: str, held: str) -> bool:
    """Whether a resource version is the one held, or older. They are numbers in every known API server; where they
    are not, what comes last counts as newest."""
    return new.isdigit() and held.isdigit() and int(new) <= int(held)


def _discard(index: "dict[K, set[V]]", key: K, value: V) -> None:
    bucket = index.get(key)
    if bucket is not None:
        bucket.discard(value)
        if not bucket:
            del index[key]
