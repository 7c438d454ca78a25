"""GET: health for the kubelet and metrics for Prometheus. Nobody is asked who he is: nothing here tells of anybody."""

from aiohttp import web

from daemon.web.promises import Rooms


class Health:
    """The handlers. Nothing here changes anything."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._closing = False

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/healthz", self.healthz),
            web.get("/readyz", self.readyz),
            web.get("/metrics", self.metrics),
        ]

    def close(self) -> None:
        """Not ready any more: no new traffic, please."""
        self._closing = True

    async def healthz(self, _: web.Request) -> web.Response:
        return _verdict(self._rooms.alive())

    async def readyz(self, _: web.Request) -> web.Response:
        problem = "shutting down" if self._closing else self._rooms.ready()
        return _verdict(problem, warning=self._rooms.warn())

    async def metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=await self._rooms.render_metrics(),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )


def _verdict(problem: str, *, warning: str = "") -> web.Response:
    lines = [problem or "ok", *([f"warning: {warning}"] if warning else [])]
    return web.Response(status=503 if problem else 200, text="\n".join(lines) + "\n")
