"""Records of rollbacks, by canary and by the routes in which they have changed something."""

from collections import defaultdict
from collections.abc import Iterator

from daemon.model.canary import CanaryRef
from daemon.model.rollback import Rollback
from daemon.model.route import Original, RouteRef


class RecordIndex:
    """The newest version of each."""

    def __init__(self) -> None:
        self._records: defaultdict[CanaryRef, dict[str, Rollback]] = defaultdict(dict)
        self._whose: dict[tuple[str, str], CanaryRef] = {}
        self._holding: defaultdict[RouteRef, dict[tuple[str, str], Rollback]] = defaultdict(dict)

    def of(self, ref: CanaryRef) -> tuple[Rollback, ...]:
        """Oldest first."""
        found = self._records.get(ref, {}).values()
        return tuple(sorted(found, key=lambda record: (record.created_at, record.name)))

    def get(self, ref: CanaryRef, name: str) -> Rollback | None:
        return self._records.get(ref, {}).get(name)

    def all(self) -> Iterator[Rollback]:
        return (record for records in tuple(self._records.values()) for record in tuple(records.values()))

    def held(self, route: RouteRef) -> list[Original]:
        """What rollbacks in force have changed in an object."""
        records = self._holding.get(route, {}).values()
        return [original for record in records for original in record.originals if original.route == route]

    def put(self, record: Rollback) -> frozenset[RouteRef]:
        """Returns the routes of which it says, or has ceased to say, that it holds something in them."""
        if self._whose.get((record.namespace, record.name), record.canary) != record.canary:
            self.drop(record.namespace, record.name)  # deleted, and made anew for another, while nobody looked
        before = self._forget(self._records[record.canary].get(record.name))
        self._records[record.canary][record.name] = record
        self._whose[record.namespace, record.name] = record.canary
        if record.finished or record.dry_run:
            return before
        now = frozenset(original.route for original in record.originals)
        for route in now:
            self._holding[route][record.namespace, record.name] = record
        return before ^ now

    def drop(self, namespace: str, name: str) -> tuple[CanaryRef | None, frozenset[RouteRef]]:
        """Returns whose record it was (None: it was not there), and the routes that nothing is held in any more."""
        ref = self._whose.pop((namespace, name), None)
        if ref is None:
            return None, frozenset()
        records = self._records[ref]
        routes = self._forget(records.pop(name))
        if not records:
            del self._records[ref]
        return ref, routes

    def _forget(self, record: Rollback | None) -> frozenset[RouteRef]:
        routes = frozenset(original.route for original in record.originals) if record is not None else frozenset()
        for route in routes:
            assert record is not None  # noqa: S101 - it has originals
            bucket = self._holding.get(route)
            if bucket is not None:
                bucket.pop((record.namespace, record.name), None)
                if not bucket:
                    del self._holding[route]
        return routes
