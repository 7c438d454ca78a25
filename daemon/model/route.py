"""Routing objects, and what has to change in them for a canary to get nothing."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class RouteRef:
    """Names one routing object: ``kind`` is the Kubernetes kind (``VirtualService``)."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclasses.dataclass(frozen=True, slots=True)
class RouteObject:
    """A routing object as last observed. ``spec`` is the object's own JSON and is never changed in place.

    ``writers`` are the field managers that own parts of what splits traffic, latest first, as managedFields name
    them. ``owner`` is the kind of the controller that made the object (``Canary``, ``Rollout``), empty where people
    did.
    """

    ref: RouteRef
    api_version: str
    resource_version: str
    generation: int
    spec: Mapping[str, Any]
    writers: tuple[str, ...] = ()
    uid: str = ""
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    annotations: Mapping[str, str] = dataclasses.field(default_factory=dict)
    status: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    owner: str = ""
    deleting: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Sides:
    """Which destinations are the canary and which are stable, for one canary.

    Services are given as (namespace, name). ``canary_services`` take canary traffic whatever the subset;
    ``shared_services`` take it when the subset's name says so (``canary`` or ``…-canary``), or when it is one of
    ``canary_subsets``; subsets are given as (service, subset).
    """

    namespace: str
    canary_services: frozenset[tuple[str, str]]
    stable_services: frozenset[tuple[str, str]]
    shared_services: frozenset[tuple[str, str]]
    cluster_domain: str = "cluster.local"
    canary_subsets: frozenset[tuple[tuple[str, str], str]] = frozenset()
    stable_subsets: frozenset[tuple[tuple[str, str], str]] = frozenset()


@dataclasses.dataclass(frozen=True, slots=True)
class Subsets:
    """What a DestinationRule says of a service: pod labels by subset."""

    namespace: str
    name: str
    service: tuple[str, str]
    labels: Mapping[str, Mapping[str, str]]


@dataclasses.dataclass(frozen=True, slots=True)
class PathShare:
    """One path by which the canary can be reached: ``path`` is where in the object, as in ``http[0]``.

    ``share`` is the fraction 0…1 of that path's requests that the canary gets (a mirror counts as what it
    copies). ``weighted`` tells a split among several destinations from a path that is the canary's alone.
    """

    path: str
    share: float
    weighted: bool


@dataclasses.dataclass(frozen=True, slots=True)
class PatchOperation:
    """One operation of a JSON Patch (RFC 6902). ``value`` is left out for ``remove``."""

    op: str
    path: str
    value: Any = None

    def as_json(self) -> dict[str, Any]:
        """The operation as it goes over the wire."""
        if self.op == "remove":
            return {"op": self.op, "path": self.path}
        return {"op": self.op, "path": self.path, "value": self.value}


@dataclasses.dataclass(frozen=True, slots=True)
class Original:
    """What a re-pointed or removed field held before, so that ``release`` can put it back.

    ``section`` is where the rule stands (``http``, ``tcp``, ``tls``; ``rules`` in the Gateway API); ``rule`` the
    rule's index, ``rule_name`` its name if it has one (indices move when people edit); ``field`` is what was
    changed in it (``destination``, ``mirror``, ``backendRef``, …); ``index`` its place within the rule.
    """

    route: RouteRef
    section: str
    rule: int
    rule_name: str
    field: str
    index: int
    value: Any
    replaced_with: Any


@dataclasses.dataclass(frozen=True, slots=True)
class WeightChange:
    """The canary's share on one path in percent, before and after our write; it goes into the record."""

    route: RouteRef
    path: str
    before: float
    after: float


@dataclasses.dataclass(frozen=True, slots=True)
class RoutePatch:
    """The one write that takes a routing object to zero: guarded by ``test`` operations, all or nothing."""

    route: RouteRef
    operations: tuple[PatchOperation, ...]
    changes: tuple[WeightChange, ...]
    originals: tuple[Original, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class RouteView:
    """A routing object seen from one canary: how the canary is reached, and the write that ends it.

    ``zero`` is None when nothing is left to do.
    """

    ref: RouteRef
    paths: tuple[PathShare, ...]
    zero: RoutePatch | None
    writers: tuple[str, ...] = ()

    @property
    def weight(self) -> float:
        """Percent of ordinary traffic, as this object alone says."""
        return percent([self])

    @property
    def at_zero(self) -> bool:
        return all(path.share == 0 for path in self.paths)


def percent(views: Iterable[RouteView]) -> float:
    """Percent of ordinary traffic over all objects: the largest weighted share. Only where nothing is split does the
    largest of any path count: an opt-in in an object of its own is all the canary's, and nobody's ordinary request."""
    paths = [path for view in views for path in view.paths]
    weighted = [path.share for path in paths if path.weighted]
    return round(100 * max(weighted or [path.share for path in paths], default=0.0), 4)
