"""The HTTP server: one port, bounded connections and bodies, every request measured, no request ever a 500 unseen."""

import asyncio
import socket
import ssl

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from daemon.web.health import Health
from daemon.web.promises import Bounds, Rooms
from daemon.web.reading import Reading
from daemon.web.webhooks import Webhooks

_BACKLOG = 512
_LAST_WORDS = 1.0
"""Seconds that a request may still take when the server stops: every write has ended before, so what is left are
callers that do not finish sending."""
_LINGERING = 0.5
"""Seconds in which the rest of a refused body is still read, so that its sender gets to see the answer."""


class _Refused(asyncio.Protocol):
    """A connection beyond the bound: closed as soon as it is made."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


class Server:
    """Start, turn new work away, stop."""

    def __init__(self, rooms: Rooms, bounds: Bounds, *, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self._rooms = rooms
        self._bounds = bounds
        self._host = host
        self._port = port
        self._tls = tls
        self._webhooks = Webhooks(rooms, bounds)
        self._health = Health(rooms)
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port in use (the configured one may be 0)."""
        assert self._server is not None  # noqa: S101 - asked after start
        address: tuple[str, int] = self._server.sockets[0].getsockname()
        return address[1]

    async def start(self) -> None:
        app = web.Application(client_max_size=self._bounds.body, middlewares=[self._measured()])
        app.add_routes([*self._webhooks.routes(), *self._health.routes(), *Reading(self._rooms).routes()])
        self._runner = web.AppRunner(
            app,
            keepalive_timeout=self._bounds.keep_alive,
            lingering_time=_LINGERING,
            access_log=None,
            shutdown_timeout=_LAST_WORDS,
        )
        await self._runner.setup()
        listening = socket.create_server((self._host, self._port), backlog=_BACKLOG)
        listening.setblocking(False)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, sock=listening, ssl=self._tls)

    def turn_away(self) -> None:
        """Not ready, and 503 for new webhooks; reading goes on."""
        self._webhooks.close()
        self._health.close()

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        if self._runner is not None:
            await self._runner.cleanup()

    def _connection(self) -> asyncio.BaseProtocol:
        assert self._runner is not None and self._runner.server is not None  # noqa: S101, PT018 - set in start
        if len(self._runner.server.connections) >= self._bounds.connections:
            return _Refused()
        return self._runner.server()

    def _measured(self) -> Middleware:
        rooms = self._rooms

        @web.middleware
        async def measured(request: web.Request, handler: Handler) -> web.StreamResponse:
            loop = asyncio.get_running_loop()
            began = loop.time()
            resource = request.match_info.route.resource
            route = resource.canonical if resource is not None else "other"
            status = 500
            try:
                response = await handler(request)
                status = response.status
                return response
            except web.HTTPException as answer:
                status = answer.status
                raise
            finally:
                rooms.observe_request(route, request.method, status, loop.time() - began)

        return measured
