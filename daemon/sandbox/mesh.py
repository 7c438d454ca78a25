"""The little istiod of the sandbox, and its gateway controller: what the routes say becomes what Envoy does.

It watches VirtualServices, HTTPRoutes or both over the Kubernetes API like the real ones, translates all of them and
swaps Envoy's routes. For every resourceVersion it keeps when Envoy was seen to use it, so that the demo's stopwatch can
tell "written to the API" from "in force for users"; into HTTPRoutes it writes that it has taken them over, once it has.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self

import aiohttp

from daemon.sandbox.delegating import TranslationError
from daemon.sandbox.envoy import RoutesRejectedError, Swap
from daemon.sandbox.following import Following
from daemon.sandbox.gateway_status import StatusWriter
from daemon.sandbox.gateway_translating import UnsupportedRouteError, translate_http_routes
from daemon.sandbox.translating import reached, translate

VIRTUAL_SERVICE, HTTP_ROUTE = "VirtualService", "HTTPRoute"
PATHS = {
    VIRTUAL_SERVICE: "/apis/networking.istio.io/v1/{namespace}virtualservices",
    HTTP_ROUTE: "/apis/gateway.networking.k8s.io/v1/{namespace}httproutes",
}
REMEMBERED = 10_000

Json = dict[str, Any]


class DataPlane(Protocol):
    """What the mesh drives: Envoy, or a recorder in a test."""

    @property
    def clusters(self) -> Collection[str]:
        """Whom it can send requests to."""
        ...

    async def swap(self, routes: Mapping[str, Any], version: str) -> Swap: ...


@dataclass(frozen=True, slots=True)
class Applied:
    """One state of the routes in force: who changed last, seen, moved and confirmed when (epoch).

    `reaches` are the clusters that get requests while it is in force.
    """

    resource_version: str
    seen_at: float
    moved_at: float
    confirmed_at: float
    reaches: frozenset[str] = frozenset()


@dataclass(slots=True)
class Mesh:
    """`async with Mesh(...)` keeps the data plane in step with the routes of these kinds in one namespace, or all.

    `failure` is None, or the reason why the last state that was seen is not in force.
    """

    api_url: str
    data_plane: DataPlane
    session: aiohttp.ClientSession
    namespace: str | None = None
    kinds: Sequence[str] = (VIRTUAL_SERVICE,)
    applied: dict[str, Applied] = field(default_factory=dict)
    failure: str | None = None
    _followed: dict[str, Following] = field(default_factory=dict)
    _unapplied: list[str] = field(default_factory=list)
    _in_force: tuple[Json, Swap] | None = None
    _applying: asyncio.Lock = field(default_factory=asyncio.Lock)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        within = f"namespaces/{self.namespace}/" if self.namespace else ""
        for kind in self.kinds:
            url = self.api_url.rstrip("/") + PATHS[kind].format(namespace=within)
            self._followed[kind] = Following(url, self.session, self._apply, self._troubled)
        for kind, followed in self._followed.items():
            self._tasks.append(asyncio.create_task(followed.run(), name=f"sandbox-mesh-{kind}"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, Exception):  # a defect of its own: its cancellation is none
                raise ended

    async def wait_until_applied(self, resource_version: str, *, timeout: float = 5.0) -> Applied:
        """When a written resourceVersion was in force; a `TimeoutError` carries the reason known so far."""
        try:
            async with asyncio.timeout(timeout):
                while resource_version not in self.applied:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            why = self.failure or "it was not seen in the watch"
            raise TimeoutError(f"resourceVersion {resource_version} is not in force: {why}") from None
        return self.applied[resource_version]

    def left_at(self, cluster: str) -> Applied | None:
        """The first state in force that no longer reached this cluster, after one that did."""
        reaching = False
        for applied in self.applied.values():
            if reaching and cluster not in applied.reaches:
                return applied
            reaching = cluster in applied.reaches
        return None

    def _troubled(self, why: str) -> None:
        self.failure = why

    def _objects(self, kind: str) -> list[Mapping[str, Any]]:
        return list(self._followed[kind].objects.values()) if kind in self._followed else []

    async def _apply(self, versions: list[str]) -> None:
        seen_at = time.time()
        async with self._applying:
            self._unapplied += versions
            if not all(followed.listed for followed in self._followed.values()):
                return  # without the other kind's routes their hosts would be cut off
            versions, self._unapplied = self._unapplied, []
            routes = self._objects(HTTP_ROUTE)
            status = StatusWriter(self.api_url, self.session)
            try:
                translated = self._translated(routes)
                swap = await self._swapped(translated, versions[0])
            except (TranslationError, RoutesRejectedError, aiohttp.ClientError) as error:
                self.failure = str(error) or type(error).__name__
                if isinstance(error, UnsupportedRouteError):
                    await status.one_refused(error, routes, self.data_plane.clusters)
            else:
                self.failure = None
                self._remember(versions, seen_at, swap, reached(translated))
                await status.all_taken_over(routes, self.data_plane.clusters)
            finally:
                self._changed.set()

    def _translated(self, routes: Sequence[Mapping[str, Any]]) -> Json:
        translated = translate(self._objects(VIRTUAL_SERVICE))
        hosts = translate_http_routes(routes, self.data_plane.clusters)
        taken = {domain for host in translated["virtual_hosts"] for domain in host["domains"]}
        if both := sorted(taken.intersection(host["name"] for host in hosts)):
            raise TranslationError(f"{', '.join(both)}: in VirtualServices as well as in HTTPRoutes")
        return {**translated, "virtual_hosts": [*translated["virtual_hosts"], *hosts]}

    async def _swapped(self, routes: Json, version: str) -> Swap:
        """What has changed nothing for Envoy (a status, an annotation) is in force since the swap before it."""
        if self._in_force is None or self._in_force[0] != routes:
            self._in_force = None  # a swap that fails leaves it open what Envoy will do
            self._in_force = routes, await self.data_plane.swap(routes, version)
        return self._in_force[1]

    def _remember(self, versions: Sequence[str], seen_at: float, swap: Swap, reaches: frozenset[str]) -> None:
        for version in versions:
            applied = Applied(version, seen_at, swap.moved_at, swap.confirmed_at, reaches)
            self.applied.setdefault(version, applied)
        while len(self.applied) > REMEMBERED:
            del self.applied[next(iter(self.applied))]
