"""A TCP proxy that can stop being one: nothing of the protocol is known here, so it stands before anything."""

from __future__ import annotations

import asyncio
import contextlib
import enum
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


class Mode(enum.Enum):
    PASS = "pass"
    BLACK_HOLE = "black hole"
    """Connections are accepted, and stand; nothing comes through, nothing comes back."""
    REFUSE = "refuse"
    """Connections are cut, and new ones too."""
    SLOW = "slow"
    """Everything comes through ``delay`` seconds later."""


class Proxy:
    """On a free port of loopback, for as long as the context lasts."""

    def __init__(self, upstream: str, *, delay: float = 0.3) -> None:
        self._upstream = urlsplit(upstream)
        self._delay = delay
        self._mode = Mode.PASS
        self._passing = asyncio.Event()
        self._passing.set()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"{self._upstream.scheme}://127.0.0.1:{self.port}"

    def become(self, mode: Mode) -> None:
        self._mode = mode
        if mode is Mode.BLACK_HOLE:
            self._passing.clear()
        else:
            self._passing.set()
        if mode is Mode.REFUSE:
            for writer in tuple(self._open):
                writer.transport.abort()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for writer in tuple(self._open):
            writer.transport.abort()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._open.add(writer)
        # Cancelled only when the proxy ends: a stream server's task must not end as cancelled (Python 3.11 says so).
        with contextlib.suppress(OSError, asyncio.CancelledError):
            async with self._connected() as (back, forth):
                if self._mode is not Mode.REFUSE:
                    await asyncio.gather(self._pump(reader, forth), self._pump(back, writer))
        self._open.discard(writer)
        writer.transport.abort()

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        await self._passing.wait()
        back, forth = await asyncio.open_connection(self._upstream.hostname, self._upstream.port)
        self._open.add(forth)
        try:
            yield back, forth
        finally:
            self._open.discard(forth)
            forth.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while chunk := await source.read(65536):
                if self._mode is Mode.SLOW:
                    await asyncio.sleep(self._delay)
                await self._passing.wait()
                target.write(chunk)
                await target.drain()
        finally:
            target.transport.abort() if target.transport.is_closing() else target.close()
