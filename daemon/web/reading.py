"""GET: what is going on, as JSON for scripts and as a page for whoever is on call."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from aiohttp import web

from daemon.model.canary import CanaryRef
from daemon.web import challenging, console, queries
from daemon.web.promises import Rooms


class _NotThereError(Exception):
    """What was asked for does not exist."""


class Reading:
    """The handlers. Nothing here changes anything, and what is long is told in turns: no alert waits for a list."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self.page),
            web.get("/api/v1/canaries", self.canaries),
            web.get("/api/v1/canaries/{namespace}/{name}", self.canary),
            web.get("/api/v1/rollbacks", self.rollbacks),
        ]

    async def canaries(self, request: web.Request) -> web.Response:
        async def listed() -> web.Response:
            namespace = queries.only(request, "namespace").get("namespace")
            found = self._rooms.canaries(lambda one: namespace in {None, one.ref.namespace})
            return await _list("canaries", found)

        return await self._answer(request, listed)

    async def canary(self, request: web.Request) -> web.Response:
        async def shown() -> web.Response:
            queries.only(request)
            ref = CanaryRef(request.match_info["namespace"], request.match_info["name"])
            return _json(json.dumps(self._story(ref)))

        return await self._answer(request, shown)

    async def rollbacks(self, request: web.Request) -> web.Response:
        async def listed() -> web.Response:
            return await _list("rollbacks", self._rooms.rollbacks(queries.rollbacks(request)))

        return await self._answer(request, listed)

    async def page(self, request: web.Request) -> web.Response:
        async def shown() -> web.Response:
            asked = queries.only(request, "namespace", "canary")
            namespace, name = asked.get("namespace"), asked.get("canary")
            if name is None:
                return await console.overview(self._rooms, namespace)
            if namespace is None:
                raise queries.BadQueryError("namespace: expected beside canary")
            ref = CanaryRef(namespace, name)
            return await console.one(self._rooms, ref, self._story(ref))

        return await self._answer(request, shown)

    def _story(self, ref: CanaryRef) -> dict[str, Any]:
        found = self._rooms.canary(ref)
        if found is None:
            raise _NotThereError(f"no canary {ref.name[:253]} in namespace {ref.namespace[:253]}")
        return found

    async def _answer(self, request: web.Request, shown: Callable[[], Awaitable[web.Response]]) -> web.Response:
        if not self._rooms.console.accept(request.headers.get("Authorization", "")):
            self._rooms.refused(request.path, "no valid credentials")
            return challenging.unauthorized("expected valid credentials; see web.console in the configuration")
        try:
            return await shown()
        except queries.BadQueryError as problem:
            return web.json_response({"error": str(problem)}, status=400)
        except _NotThereError as problem:
            return web.json_response({"error": str(problem)}, status=404)


async def _list(name: str, found: AsyncIterator[dict[str, Any]]) -> web.Response:
    rows = [json.dumps(one) async for one in found]
    return _json(f'{{"{name}": [{", ".join(rows)}]}}')


def _json(text: str) -> web.Response:
    return web.Response(text=text + "\n", content_type="application/json")
