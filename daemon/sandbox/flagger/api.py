"""A Kubernetes API as controllers use it: GET, then PUT of the whole object with the version that was read.

The daemon's own client only patches, and that is right for the daemon. Flagger does not: it reads,
changes and writes back whole objects, and most of what it does to other people's writes comes from
exactly that.
"""

from __future__ import annotations

import json
import ssl as tls
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import aiohttp

Json = dict[str, Any]

MERGE_PATCH = "application/merge-patch+json"


class ApiError(Exception):
    """The API server said no, or said nothing (status 0)."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason

    @property
    def missing(self) -> bool:
        return self.status == 404

    @property
    def conflict(self) -> bool:
        return self.status == 409 and self.reason != "AlreadyExists"


class HaltedError(Exception):
    """Ends a tick; Flagger says the message to the event hooks and waits for the next one."""


class Api:
    """Unary calls, JSON in and out, as one named writer."""

    def __init__(
        self,
        url: str,
        *,
        agent: str,
        timeout: float = 10.0,
        headers: Mapping[str, str] | None = None,
        ssl: tls.SSLContext | bool = True,
    ) -> None:
        self._url = url.rstrip("/")
        self._agent = agent
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._headers = {"User-Agent": f"{agent}/sandbox", "Accept": "application/json", **(headers or {})}
        self._ssl = ssl
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=self._timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(self, path: str) -> Json:
        return await self._call("GET", path)

    async def find(self, path: str) -> Json | None:
        """The object, or None when there is none."""
        try:
            return await self.get(path)
        except ApiError as error:
            if error.missing:
                return None
            raise

    async def create(self, path: str, body: Json) -> Json:
        return await self._call("POST", path, body)

    async def replace(self, path: str, body: Json) -> Json:
        """PUT: refused with a conflict when somebody wrote since ``body`` was read."""
        return await self._call("PUT", path, body)

    async def merge(self, path: str, body: Json) -> Json:
        return await self._call("PATCH", path, body, MERGE_PATCH)

    async def _call(
        self, method: str, path: str, body: Json | None = None, content_type: str = "application/json"
    ) -> Json:
        if self._session is None:
            raise RuntimeError("not entered: use `async with`")
        query = {} if method == "GET" else {"fieldManager": self._agent}
        data = None if body is None else json.dumps(body).encode()
        try:
            async with self._session.request(
                method, self._url + path, params=query, data=data, ssl=self._ssl,
                headers={} if data is None else {"Content-Type": content_type},
            ) as response:  # fmt: skip
                raw = await response.read()
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiError(0, "Unreachable", f"{method} {path}: {type(error).__name__}: {error}") from error
        return _decoded(status, raw)


def _decoded(status: int, raw: bytes) -> Json:
    try:
        answer = json.loads(raw)
    except ValueError:
        answer = {}
    if not 200 <= status <= 299 or not isinstance(answer, dict):
        details = answer if isinstance(answer, dict) else {}
        message = str(details.get("message") or raw[:300].decode(errors="replace"))
        raise ApiError(status, str(details.get("reason", "")), message)
    return answer


def namespaced(group: str, version: str, namespace: str, plural: str, name: str = "") -> str:
    """The REST path of an object, or of its collection."""
    root = f"/apis/{group}/{version}" if group else f"/api/{version}"
    return f"{root}/namespaces/{namespace}/{plural}" + (f"/{name}" if name else "")


def deployment(namespace: str, name: str = "") -> str:
    return namespaced("apps", "v1", namespace, "deployments", name)


def version_of(body: Json) -> str:
    return str(body["metadata"].get("resourceVersion", ""))
