"""One file per kind of routing object, found by being here. Pure: the reading and writing is done by ``Routes``.

A kind is a module with the names of ``RouteKind``; a new one needs nothing else but the chart's RBAC.
"""

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.adapters.kubernetes.resources import Resource
from daemon.adapters.traffic.patching import patched
from daemon.model import errors
from daemon.model.route import Original, PatchOperation, RouteObject, RoutePatch, RouteRef, RouteView, Sides


class RouteKind(Protocol):
    """What a module of this package says and does."""

    KIND: str
    """The Kubernetes kind."""
    RESOURCES: tuple[Resource, ...]
    """Versions to look for, the one to prefer first."""
    PROVIDERS: frozenset[str]
    """Flagger's ``spec.provider`` names whose traffic this kind splits."""

    def read(self, document: Mapping[str, Any]) -> RouteObject: ...

    def services(self, route: RouteObject, cluster_domain: str) -> frozenset[tuple[str, str]]: ...

    def hosts(self, route: RouteObject, cluster_domain: str) -> frozenset[str]: ...

    def view(self, route: RouteObject, sides: Sides) -> RouteView: ...

    def claim(self, route: RouteObject, cluster_domain: str) -> Sides | None:
        """The sides of a canary, as this object itself tells them: by the annotations of ``conventions``, else by
        names. None when it tells of no canary. Where stable is may be for another object to tell."""
        ...

    def steer(self, route: RouteObject, sides: Sides, weight: float) -> RoutePatch | None:
        """The write that gives the canary ``weight`` percent wherever stable and canary share by weight: a person's
        act, or a stage. Other paths stay as they are. None when nothing has to change."""
        ...

    def restore(self, route: RouteObject, originals: Sequence[Original]) -> tuple[PatchOperation, ...]:
        """The write that puts back what zeroing re-pointed or removed, where it still is as we left it."""
        ...

    def pending(self, route: RouteObject) -> str:
        """Why what was written cannot be taken for live yet, as the object's own status tells; empty when it can, or
        when the kind never tells."""
        ...


def discover() -> dict[str, RouteKind]:
    """Every kind in this package, by its Kubernetes kind. A module that cannot be imported stops the start."""
    kinds: dict[str, RouteKind] = {}
    for found in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{found.name}")
        if hasattr(module, "KIND"):
            kinds[module.KIND] = cast("RouteKind", module)
    return kinds


def remembered(
    kind: RouteKind, route: RouteObject, originals: Sequence[Original], cluster_domain: str
) -> Sides | None:
    """What the object told of a canary before these places in it were changed; None where that is lost."""
    operations = kind.restore(route, [one for one in originals if one.route == route.ref])
    if not operations:
        return None
    try:
        before = patched(route, operations)
    except (LookupError, TypeError, ValueError):
        return None  # people have made another object of it meanwhile
    return kind.claim(before, cluster_domain)


class Routes:
    """Keeps ``ports.Routes`` for every kind there is.

    ``served`` says which version of a kind the API server has, once a watch has found out.
    """

    def __init__(self, client: KubernetesClient, kinds: Mapping[str, RouteKind]) -> None:
        self._client = client
        self._kinds = dict(kinds)
        self.served: dict[str, Resource] = {kind: module.RESOURCES[0] for kind, module in kinds.items()}

    def view(self, route: RouteObject, sides: Sides) -> RouteView:
        return self._kinds[route.ref.kind].view(route, sides)

    def steer(self, route: RouteObject, sides: Sides, weight: float) -> RoutePatch | None:
        return self._kinds[route.ref.kind].steer(route, sides, weight)

    def restore(self, route: RouteObject, originals: Sequence[Original]) -> RoutePatch | None:
        ours = [original for original in originals if original.route == route.ref]
        operations = self._kinds[route.ref.kind].restore(route, ours) if ours else ()
        return RoutePatch(route.ref, operations, (), ()) if operations else None

    def pending(self, route: RouteObject) -> str:
        return self._kinds[route.ref.kind].pending(route)

    async def write(self, patch: RoutePatch) -> RouteObject:
        ref = patch.route
        document = await self._client.patch(self.served[ref.kind], ref.namespace, ref.name, patch.operations)
        return self._kinds[ref.kind].read(document)

    async def read(self, ref: RouteRef) -> RouteObject | None:
        try:
            document = await self._client.get(self.served[ref.kind], ref.namespace, ref.name)
        except errors.Missing:
            return None
        return self._kinds[ref.kind].read(document)
