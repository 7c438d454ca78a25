"""Routing objects by the services they may send to, so that no look-up grows with their number."""

import dataclasses
from collections import defaultdict
from collections.abc import Iterable

from daemon.model.route import RouteObject, RouteRef, Sides

Service = tuple[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class RouteNames:
    """What a routing object says about itself: the services it can send to, and the hosts it answers.

    ``claim`` are the sides of a canary that no controller drives, where it tells of one; ``named``: by annotations.
    """

    services: frozenset[Service]
    hosts: frozenset[str]
    claim: Sides | None = None
    named: bool = False


class RouteIndex:
    """Objects, and what they say about themselves."""

    def __init__(self) -> None:
        self._routes: dict[RouteRef, RouteObject] = {}
        self._names: dict[RouteRef, RouteNames] = {}
        self._by_service: defaultdict[Service, set[RouteRef]] = defaultdict(set)

    def get(self, ref: RouteRef) -> RouteObject | None:
        return self._routes.get(ref)

    def names(self, ref: RouteRef) -> RouteNames | None:
        return self._names.get(ref)

    def reaching(self, services: Iterable[Service]) -> list[RouteObject]:
        """Every object that names one of these services, in a stable order."""
        refs: set[RouteRef] = set()
        for service in services:
            refs |= self._by_service.get(service, set())
        return [self._routes[ref] for ref in sorted(refs)]

    def put(self, route: RouteObject, names: RouteNames) -> RouteNames | None:
        """Returns what the object said about itself before."""
        before = self._names.get(route.ref)
        self._routes[route.ref] = route
        if before != names:
            self._unlink(route.ref, before.services - names.services if before else ())
            for service in names.services:
                self._by_service[service].add(route.ref)
            self._names[route.ref] = names
        return before

    def drop(self, ref: RouteRef) -> RouteNames | None:
        """Returns what the object said about itself; None when it was not there."""
        if self._routes.pop(ref, None) is None:
            return None
        names = self._names.pop(ref)
        self._unlink(ref, names.services)
        return names

    def _unlink(self, ref: RouteRef, services: Iterable[Service]) -> None:
        for service in services:
            bucket = self._by_service.get(service)
            if bucket is not None:
                bucket.discard(ref)
                if not bucket:
                    del self._by_service[service]
