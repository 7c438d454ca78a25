"""The little istiod of the sandbox: what the VirtualServices say becomes what Envoy does.

It watches VirtualServices over the Kubernetes API like the real one (list, watch, list again when the watch
is too old or breaks), translates all of them and swaps Envoy's routes. For every resourceVersion it keeps
when Envoy was seen to use it, so that the demo's stopwatch can tell "written to the API" from "in force for
users".
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self

import aiohttp

from daemon.sandbox.delegating import TranslationError
from daemon.sandbox.envoy import RoutesRejectedError, Swap
from daemon.sandbox.translating import reached, translate

PATH = "/apis/networking.istio.io/v1/{namespace}virtualservices"
WATCH_SECONDS = 60
RETRY_SECONDS = 0.2
PAUSE_SECONDS = 0.02
REMEMBERED = 10_000


class DataPlane(Protocol):
    """What the mesh drives: Envoy, or a recorder in a test."""

    async def swap(self, routes: Mapping[str, Any], version: str) -> Swap: ...


@dataclass(frozen=True, slots=True)
class Applied:
    """One state of the VirtualServices in force: who changed last, seen, moved and confirmed when (epoch).

    `reaches` are the clusters that get requests while it is in force.
    """

    resource_version: str
    seen_at: float
    moved_at: float
    confirmed_at: float
    reaches: frozenset[str] = frozenset()


class _StartAgainError(Exception):
    """The watch cannot go on from where it was; only a new list can."""


@dataclass(slots=True)
class Mesh:
    """`async with Mesh(...)` keeps the data plane in step with the VirtualServices of one namespace, or all.

    `failure` is None, or the reason why the last state that was seen is not in force.
    """

    api_url: str
    data_plane: DataPlane
    session: aiohttp.ClientSession
    namespace: str | None = None
    applied: dict[str, Applied] = field(default_factory=dict)
    failure: str | None = None
    _services: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="sandbox-mesh")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

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

    async def _run(self) -> None:
        while True:
            try:
                version = await self._list()
                while True:
                    version = await self._watch(version)
            except _StartAgainError:
                self.failure = "the watch was too old to go on; listing again"
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                self.failure = f"the Kubernetes API cannot be watched: {str(error) or type(error).__name__}"
            await asyncio.sleep(RETRY_SECONDS)

    def _url(self) -> str:
        within = f"namespaces/{self.namespace}/" if self.namespace else ""
        return self.api_url.rstrip("/") + PATH.format(namespace=within)

    async def _list(self) -> str:
        async with self.session.get(self._url(), timeout=aiohttp.ClientTimeout(total=10)) as response:
            response.raise_for_status()
            found = await response.json()
        self._services = {_key(item): item for item in found["items"]}
        version = str(found["metadata"]["resourceVersion"])
        await self._apply([version, *(_version(item) for item in self._services.values())])
        return version

    async def _watch(self, version: str) -> str:
        """Follow changes until the server ends the stream; returns where to go on."""
        async with aclosing(self._events(version)) as events:
            async for kind, item in events:
                if kind == "ERROR":
                    raise _StartAgainError
                version = _version(item)
                if kind == "BOOKMARK":
                    continue
                if kind == "DELETED":
                    self._services.pop(_key(item), None)
                else:
                    self._services[_key(item)] = item
                await self._apply([version])
        await asyncio.sleep(PAUSE_SECONDS)  # a server that ends every watch at once is not asked in a tight loop
        return version

    async def _events(self, version: str) -> AsyncGenerator[tuple[str, Mapping[str, Any]], None]:
        query = {
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        # No limit on one line, and a little more than the server was asked for on the whole.
        timeout = aiohttp.ClientTimeout(total=WATCH_SECONDS + 10, sock_connect=5)
        async with self.session.get(self._url(), params=query, timeout=timeout) as response:
            if response.status == 410:
                raise _StartAgainError
            response.raise_for_status()
            rest = b""
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in filter(None, lines):
                    event = json.loads(line)
                    yield event["type"], event["object"]

    async def _apply(self, versions: list[str]) -> None:
        seen_at = time.time()
        try:
            routes = translate(self._services.values())
            swap = await self.data_plane.swap(routes, versions[0])
        except (TranslationError, RoutesRejectedError, aiohttp.ClientError) as error:
            self.failure = str(error) or type(error).__name__
        else:
            self.failure = None
            for version in versions:
                applied = Applied(version, seen_at, swap.moved_at, swap.confirmed_at, reached(routes))
                self.applied.setdefault(version, applied)
            while len(self.applied) > REMEMBERED:
                del self.applied[next(iter(self.applied))]
        self._changed.set()


def _key(item: Mapping[str, Any]) -> str:
    return f"{item['metadata'].get('namespace', '')}/{item['metadata']['name']}"


def _version(item: Mapping[str, Any]) -> str:
    return str(item["metadata"]["resourceVersion"])
