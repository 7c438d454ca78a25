"""The embedded Kubernetes API as a whole: started, filled, pointed at by a kubeconfig, and stopped."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml
from aiohttp import web

from daemon.sandbox.kubernetes_api.answering import Answering
from daemon.sandbox.kubernetes_api.faults import Faults, RequestLog
from daemon.sandbox.kubernetes_api.podlogs import LogKey
from daemon.sandbox.kubernetes_api.resources import Catalog, Resource
from daemon.sandbox.kubernetes_api.statuses import JsonObject
from daemon.sandbox.kubernetes_api.storage import Storage, Stored
from daemon.sandbox.kubernetes_api.targets import Target, split
from daemon.sandbox.kubernetes_api.watching import WatchLimits
from daemon.sandbox.kubernetes_api.writing import Author, Writing

HOST = "127.0.0.1"
BACKLOG = 1024
# Everything that waits is told to stop first, so this is only for handlers in the middle of a write.
STOPPING_GRACE = 0.5
# The C loader reads a definition ten times faster, which every test that starts a server feels.
LOADER: type[yaml.SafeLoader | yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


class KubernetesApi:
    """`async with KubernetesApi(crds=[...], namespaces=["test"]) as api: api.url, api.faults, api.requests`

    `crds` are YAML files or folders of them. With `tokens` (token → user name) callers must show one of them.
    Methods below act on the objects directly, without HTTP and without faults, as a test's own hand.
    """

    def __init__(
        self,
        crds: Iterable[Path | str] = (),
        namespaces: Iterable[str] = (),
        *,
        port: int = 0,
        tokens: Mapping[str, str] | None = None,
        history: int = 10_000,
        bookmark_interval: float = 60.0,
        watch_queue: int = 1000,
    ) -> None:
        self._crds = [Path(p) for p in crds]
        self._namespaces = [*NAMESPACES, *namespaces]
        self._port = port
        self._tokens = tokens
        self._history = history
        self._limits = WatchLimits(bookmark_interval=bookmark_interval, queue=watch_queue)
        self._runner: web.ServerRunner | None = None
        self._catalog = Catalog()
        self._storage = Storage(history)
        self._answering: Answering | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        for resource in self._catalog:
            self._storage.shelf(resource.key)
        answering = self._answering = Answering(self._storage, self._catalog, self._tokens, self._limits)
        for name in dict.fromkeys(self._namespaces):
            self.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        for definition in read_definitions(self._crds):
            self.create(definition)
        # With handler_cancellation a caller that hangs up ends its watch at once.
        server = web.Server(answering.handle, handler_cancellation=True, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=STOPPING_GRACE)
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, self._port, backlog=BACKLOG)
        await site.start()
        self._port = self._runner.addresses[0][1]
        self.url = f"http://{HOST}:{self._port}"

    async def stop(self) -> None:
        if self._runner is None or self._answering is None:
            return
        self._answering.stopping.set()
        self.faults.clear()
        self.faults.cut_watches()
        runner, self._runner = self._runner, None
        await runner.cleanup()

    @property
    def port(self) -> int:
        return self._port

    @property
    def faults(self) -> Faults:
        return self._running.faults

    @property
    def requests(self) -> RequestLog:
        return self._running.requests

    @property
    def logs(self) -> dict[LogKey, str | bytes]:
        """What containers write, to be filled by a test: logs[namespace, pod, container] = text."""
        return self._running.pod_logs.current

    @property
    def previous_logs(self) -> dict[LogKey, str | bytes]:
        """What containers wrote before they were restarted last."""
        return self._running.pod_logs.previous

    @property
    def resource_version(self) -> int:
        return self._storage.revision

    @property
    def _running(self) -> Answering:
        if self._answering is None:
            raise RuntimeError("the Kubernetes API is not started")
        return self._answering

    @property
    def _writing(self) -> Writing:
        return self._running.writing

    def compact(self) -> None:
        """Forget the history now: watches that resume and half-read lists get 410 Expired."""
        self._storage.compact()

    def kubeconfig(self, path: Path | str, *, user: str | None = None, namespace: str = "default") -> Path:
        """Write a kubeconfig for this server (as `user`, when tokens are in force) and return its path."""
        token = next((t for t, u in (self._tokens or {}).items() if user in {None, u}), None)
        name = "pullback-sandbox"
        context = {"cluster": name, "user": name, "namespace": namespace}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [{"name": name, "cluster": {"server": self.url}}],
            "users": [{"name": name, "user": {"token": token} if token else {}}],
            "contexts": [{"name": name, "context": context}],
        }
        path = Path(path)
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        path.chmod(0o600)
        return path

    def create(self, manifest: JsonObject, *, manager: str = "sandbox") -> JsonObject:
        """Create the object, status included (the HTTP API would drop it)."""
        manifest = json.loads(json.dumps(manifest))
        target = self._target_of(manifest)
        status = manifest.get("status")
        stored = self._writing.create(target, manifest, Author(manager))
        if status is not None and target.version in target.resource.status:
            return self.patch_status(target, stored.value["metadata"]["name"], status, manager)
        return self._whole(target, stored)

    def patch_status(self, target: Target, name: str, status: JsonObject, manager: str) -> JsonObject:
        at = Target(target.resource, target.version, "patch", target.namespace, name, "status")
        stored = self._writing.patch(at, "application/merge-patch+json", {"status": status}, Author(manager))
        return self._whole(at, stored)

    def read(self, resource: str, name: str, namespace: str = "") -> JsonObject | None:
        """read("virtualservices.networking.istio.io", "app", "test"), or None."""
        target = self._target(resource, name, namespace)
        stored = self._storage.get(target.resource.key, target.key)
        return self._whole(target, stored) if stored else None

    def list(self, resource: str, namespace: str = "") -> list[JsonObject]:
        target = self._target(resource, "", namespace)
        shelf = self._storage.shelf(target.resource.key)
        return [self._whole(target, stored) for _, stored in shelf.ordered(namespace)]

    def patch(
        self,
        resource: str,
        name: str,
        namespace: str,
        patch: Any,
        *,
        subresource: str = "",
        manager: str = "sandbox",
    ) -> JsonObject:
        """A list is a JSON Patch, a dict a merge patch."""
        target = self._target(resource, name, namespace, subresource)
        kind = "application/json-patch+json" if isinstance(patch, list) else "application/merge-patch+json"
        copied = json.loads(json.dumps(patch))
        return self._whole(target, self._writing.patch(target, kind, copied, Author(manager)))

    def delete(self, resource: str, name: str, namespace: str = "") -> None:
        self._writing.delete(self._target(resource, name, namespace), {}, Author("sandbox"))

    def _target_of(self, manifest: JsonObject) -> Target:
        api_version = manifest["apiVersion"]
        root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        group, version, _ = split(root)
        for resource in self._catalog:
            if (resource.group, resource.kind) == (group, manifest["kind"]) and version in resource.versions:
                namespace = manifest["metadata"].get("namespace", "default") if resource.namespaced else ""
                return Target(resource, version, "create", namespace, manifest["metadata"].get("name", ""))
        raise LookupError(f"no such kind is served: {api_version} {manifest['kind']}")

    def _target(self, name: str, at: str, namespace: str, subresource: str = "") -> Target:
        resource = self._resource(name)
        return Target(resource, resource.versions[0], "patch", namespace, at, subresource)

    def _resource(self, name: str) -> Resource:
        for resource in self._catalog:
            if name in {resource.qualified, resource.plural}:
                return resource
        raise LookupError(f"no such resource is served: {name}")

    def _whole(self, target: Target, stored: Stored) -> JsonObject:
        return {"apiVersion": target.api_version, "kind": target.resource.kind, **stored.copied()}


def read_definitions(paths: Iterable[Path]) -> list[JsonObject]:
    """Every CustomResourceDefinition in these YAML files and folders."""
    files: list[Path] = []
    for path in paths:
        files += sorted(path.glob("*.yaml")) if path.is_dir() else [path]
    documents = [d for f in files for d in yaml.load_all(f.read_text(), LOADER) if d]
    return [d for d in documents if d.get("kind") == "CustomResourceDefinition"]
