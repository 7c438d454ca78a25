"""GET: health for the kubelet, metrics for Prometheus, and what is going on for people and scripts."""

import json
from typing import Any

from aiohttp import web

from daemon.web.promises import Rooms


class Reading:
    """The handlers. Nothing here changes anything."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._closing = False

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/healthz", self.healthz),
            web.get("/readyz", self.readyz),
            web.get("/metrics", self.metrics),
            web.get("/api/v1/canaries", self.canaries),
            web.get("/api/v1/rollbacks", self.rollbacks),
        ]

    def close(self) -> None:
        """Not ready any more: no new traffic, please."""
        self._closing = True

    async def healthz(self, _: web.Request) -> web.Response:
        return _verdict(self._rooms.alive())

    async def readyz(self, _: web.Request) -> web.Response:
        return _verdict("shutting down" if self._closing else self._rooms.ready())

    async def metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=self._rooms.render_metrics(),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )

    async def canaries(self, request: web.Request) -> web.Response:
        return self._list(request, "canaries", self._rooms.canaries)

    async def rollbacks(self, request: web.Request) -> web.Response:
        return self._list(request, "rollbacks", self._rooms.rollbacks)

    def _list(self, request: web.Request, name: str, listed: Any) -> web.Response:
        if not self._rooms.console.accept(request.headers.get("Authorization", "")):
            self._rooms.refused(request.path, "no valid credentials")
            return web.json_response(
                {"error": "expected valid credentials; see web.console in the configuration"},
                status=401, headers={"WWW-Authenticate": 'Bearer realm="pullback", Basic realm="pullback"'},
            )  # fmt: skip
        items = listed()
        namespace = request.query.get("namespace")
        if namespace is not None:
            items = [item for item in items if item["namespace"] == namespace]
        return web.Response(text=json.dumps({name: items}) + "\n", content_type="application/json")


def _verdict(problem: str) -> web.Response:
    return web.Response(status=503 if problem else 200, text=(problem or "ok") + "\n")
