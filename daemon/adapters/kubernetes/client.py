"""Every call to the Kubernetes API goes through here: one timeout each, our errors out, JSON in and out.

kubernetes_asyncio brings configuration (in-cluster, kubeconfig, token refresh) and the connection (TLS). Its typed
calls add nothing for objects we read as JSON, have no default timeout, walk every body twice, and answer None to a
201 on a patch, so the request itself is made on its session.
"""

import json
import pathlib
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import aiohttp
from kubernetes_asyncio import client as kubernetes
from kubernetes_asyncio import config as kubernetes_config

from daemon.adapters.kubernetes import answers, texts
from daemon.adapters.kubernetes.resources import PODS, SELF_SUBJECT_REVIEWS, Resource
from daemon.model import errors
from daemon.model.route import PatchOperation

FIELD_MANAGER = "pullback"
"""Who we are in managedFields: how a hold tells our own writes from others'."""

PAGE = 500
"""Objects per list page: what client-go uses."""

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"

_CONNECTIONS = 256
_LONGEST_LINE = 2 * 1024 * 1024
"""Bytes of a watch event: etcd takes objects of up to 1.5 MiB."""

_BODY_SHOWN = 300


class KubernetesClient:
    """Unary calls and raw watch streams, as JSON.

    Raises the family in ``daemon.model.errors``; never retries (the caller knows whether that is wise).
    """

    def __init__(self, api: kubernetes.ApiClient, *, timeout: float, where: str) -> None:
        self._api = api
        self._timeout = timeout
        self.where = where

    @classmethod
    async def connect(
        cls, *, kubeconfig: pathlib.Path | None, context: str | None, timeout: float
    ) -> "KubernetesClient":
        """Uses the kubeconfig if one is given or KUBECONFIG / ~/.kube/config exist, else the pod's own account.

        ``timeout`` is seconds for each unary call. Raises ConfigurationError when neither can be read.
        """
        configuration = kubernetes.Configuration()
        try:
            if kubeconfig is None and context is None and _in_a_pod():
                kubernetes_config.load_incluster_config(client_configuration=configuration)
            else:
                await kubernetes_config.load_kube_config(
                    config_file=None if kubeconfig is None else str(kubeconfig),
                    context=context,
                    client_configuration=configuration,
                    persist_config=False,
                )
        except (kubernetes_config.ConfigException, OSError) as error:
            raise errors.ConfigurationError(f"no way to reach a Kubernetes API: {error}") from error
        configuration.connection_pool_maxsize = _CONNECTIONS
        api = kubernetes.ApiClient(configuration)
        _read_environment_once(api, configuration.host)
        api.user_agent = f"{FIELD_MANAGER}/1"
        return cls(api, timeout=timeout, where=configuration.host)

    async def close(self) -> None:
        await self._api.close()

    async def __aenter__(self) -> "KubernetesClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str = "",
        fields: str = "",
        most: int | None = None,
    ) -> tuple[list[dict[str, Any]], str]:
        """All objects (of a namespace, or of the cluster) and the resource version to watch from.

        ``labels`` and ``fields`` are selectors; no further page is asked for once there are ``most`` objects.
        """
        items: list[dict[str, Any]] = []
        query = {"limit": str(min(PAGE, most or PAGE))}
        query |= {key: text for key, text in (("labelSelector", labels), ("fieldSelector", fields)) if text}
        while True:
            page = await self._call("GET", _path(resource, namespace), query=query)
            items.extend(page.get("items") or ())
            metadata = page.get("metadata") or {}
            if not metadata.get("continue") or (most is not None and len(items) >= most):
                return items, str(metadata.get("resourceVersion", ""))
            query["continue"] = metadata["continue"]

    async def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any]:
        return await self._call("GET", _path(resource, namespace, name))

    async def tail(self, pod: tuple[str, str], query: Mapping[str, str], *, most: int) -> tuple[bytes, bool]:
        """The last ``most`` bytes of a log of the pod (namespace, name), and whether there was more before them."""
        path = _path(PODS, *pod, "log")
        what = f"GET {path}"
        with answers.ours(what):
            response = await self._send("GET", path, query, None, None, aiohttp.ClientTimeout(total=self._timeout))
            async with response:
                if not 200 <= response.status <= 299:
                    raise answers.refusal(response.status, response.headers, await response.read(), what)
                return await texts.last(response.content, most)

    async def create(self, resource: Resource, namespace: str | None, body: Mapping[str, Any]) -> dict[str, Any]:
        """Raises AlreadyThere when the name is taken."""
        query = {"fieldManager": FIELD_MANAGER}
        return await self._call("POST", _path(resource, namespace), query=query, body=dict(body))

    async def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        operations: Sequence[PatchOperation],
    ) -> dict[str, Any]:
        """JSON Patch. A failed ``test`` (the API server answers 422) is raised as Conflict: look again."""
        body = [operation.as_json() for operation in operations]
        return await self._call(
            "PATCH", _path(resource, namespace, name), query={"fieldManager": FIELD_MANAGER},
            body=body, content_type=JSON_PATCH,
        )  # fmt: skip

    async def merge(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: Mapping[str, Any],
        *,
        subresource: str = "",
    ) -> dict[str, Any]:
        """JSON Merge Patch: lists are replaced whole, None deletes."""
        return await self._call(
            "PATCH", _path(resource, namespace, name, subresource), query={"fieldManager": FIELD_MANAGER},
            body=dict(body), content_type=MERGE_PATCH,
        )  # fmt: skip

    async def replace(self, resource: Resource, namespace: str, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """PUT of the whole object. Raises Conflict when it is no longer at its ``metadata.resourceVersion``."""
        query = {"fieldManager": FIELD_MANAGER}
        return await self._call("PUT", _path(resource, namespace, name), query=query, body=dict(body))

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str = "", resource_version: str = ""
    ) -> None:
        """With ``uid`` or ``resource_version`` only that very object: Conflict when it is another one by now."""
        given = {"uid": uid, "resourceVersion": resource_version}
        preconditions = {key: value for key, value in given.items() if value}
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions} if preconditions else None
        await self._call("DELETE", _path(resource, namespace, name), body=body)

    async def whoami(self) -> str:
        """The name the API server knows us by (SelfSubjectReview, Kubernetes ≥ 1.28)."""
        review = await self.create(
            SELF_SUBJECT_REVIEWS, None,
            {"apiVersion": SELF_SUBJECT_REVIEWS.api_version, "kind": SELF_SUBJECT_REVIEWS.kind},
        )  # fmt: skip
        return str(review.get("status", {}).get("userInfo", {}).get("username", ""))

    async def watch(
        self, resource: Resource, namespace: str | None, resource_version: str, *, seconds: float, silence: float
    ) -> AsyncIterator[dict[str, Any]]:
        """Watch events since a resource version, for ``seconds`` at most; ends normally when they are over.

        ``silence`` is how long (seconds) the connection may say nothing before it counts as dead.
        """
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(max(1, round(seconds))),
        }
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._timeout, sock_read=silence)
        what = f"watch {resource}"
        with answers.ours(what):
            response = await self._send("GET", _path(resource, namespace), query, None, None, timeout)
            try:
                if response.status != 200:
                    raise answers.refusal(response.status, response.headers, await response.read(), what)
                async for line in response.content:
                    if line.strip():
                        yield answers.read_event(line, what)
            finally:
                response.close()

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str | None = None,
    ) -> dict[str, Any]:
        what = f"{method} {path}"
        timeout = aiohttp.ClientTimeout(total=self._timeout)
        with answers.ours(what):
            response = await self._send(method, path, query or {}, body, content_type, timeout)
            async with response:
                raw = await response.read()
                if not 200 <= response.status <= 299:
                    raise answers.refusal(response.status, response.headers, raw, what)
                answer = json.loads(raw)
        if not isinstance(answer, dict):
            raise errors.Unreachable(f"{what}: expected a JSON object, got {raw[:_BODY_SHOWN]!r}")
        return answer

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Any,
        content_type: str | None,
        timeout: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        headers = {"Accept": "application/json, */*", "User-Agent": self._api.user_agent}
        if body is not None:
            headers["Content-Type"] = content_type or "application/json"
        # Asks for a fresh token where the configuration knows how to get one.
        await self._api.update_params_for_auth(headers, [], ["BearerToken"])
        rest = self._api.rest_client
        extra = {"server_hostname": rest.server_hostname} if rest.server_hostname else {}
        response: aiohttp.ClientResponse = await rest.pool_manager.request(
            method,
            self.where + path,
            params=query or None,
            data=None if body is None else json.dumps(body).encode(),
            headers=headers,
            timeout=timeout,
            proxy=rest.proxy,
            proxy_headers=rest.proxy_headers,
            **extra,
        )
        return response


def _read_environment_once(api: kubernetes.ApiClient, host: str) -> None:
    """Proxy variables are read here, once.

    The session that kubernetes_asyncio makes trusts the environment, for which aiohttp asks a thread, twice, at
    every request: as long as the request itself takes.
    """
    rest = api.rest_client
    made = rest.pool_manager
    rest.pool_manager = aiohttp.ClientSession(connector=made.connector, read_bufsize=_LONGEST_LINE)
    made.detach()
    url = urllib.parse.urlsplit(host)
    if rest.proxy is None and not urllib.request.proxy_bypass(url.hostname or ""):
        rest.proxy = urllib.request.getproxies().get(url.scheme)


def _in_a_pod() -> bool:
    return pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount/token").exists()


def _path(resource: Resource, namespace: str | None, name: str = "", subresource: str = "") -> str:
    root = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
    parts = [root]
    if namespace is not None:
        parts += ["namespaces", _quoted(namespace)]
    parts.append(resource.plural)
    if name:
        parts.append(_quoted(name))
    if subresource:
        parts.append(subresource)
    return "/".join(parts)


def _quoted(segment: str) -> str:
    # A name comes from outside: it must stay one segment of the path.
    return urllib.parse.quote(segment, safe="")
