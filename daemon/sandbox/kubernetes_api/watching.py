"""One watch: from the history on, as a stream of lines, until it times out, is cut, or falls behind."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from daemon.sandbox.kubernetes_api.faults import OpenWatch, WatchFaults
from daemon.sandbox.kubernetes_api.selectors import Matcher
from daemon.sandbox.kubernetes_api.statuses import ApiError, bad_request, expired
from daemon.sandbox.kubernetes_api.storage import Change, Shelf, Storage, Stored, encode
from daemon.sandbox.kubernetes_api.targets import TRUE, Target

Encoder = Callable[[bytes, Stored], bytes]

# The real server sends a last bookmark this long before the stream's own deadline.
LAST_BOOKMARK = 2.0
BATCH = 500


@dataclass(frozen=True, slots=True)
class WatchLimits:
    bookmark_interval: float = 60.0
    default_timeout: float = 1800.0  # the real server adds up to as much again, at random
    queue: int = 1000


def framed(verdict: str, encoded: bytes) -> bytes:
    return b'{"type":"' + verdict.encode() + b'","object":' + encoded + b"}\n"


class Watch:
    """What one client has still to be told. One too slow for its queue is cut off, as by the real server."""

    def __init__(
        self,
        target: Target,
        query: Mapping[str, str],
        matcher: Matcher | None,
        limits: WatchLimits,
        plain: Encoder,
    ) -> None:
        self.target = target
        self.matcher = matcher
        self.limits = limits
        self.bookmarks = query.get("allowWatchBookmarks") in TRUE
        self.initial = query.get("sendInitialEvents") in TRUE
        self.revision = _revision(query.get("resourceVersion", ""))
        seconds = _revision(query.get("timeoutSeconds", ""))
        default = limits.default_timeout
        self.seconds = float(seconds) if seconds else default * (1 + random.random())
        self._encode = plain
        self._pending: deque[bytes] = deque()
        self._room = limits.queue
        self._wake = asyncio.Event()
        self._ended = False
        self._writing = False
        self.transport: asyncio.Transport | None = None

    def replay(self, storage: Storage, shelf: Shelf) -> None:
        """What comes first: the whole state, or everything since the version asked for."""
        if self.revision == 0 or self.initial:
            for key, stored in shelf.ordered(self.target.namespace):
                if self._wants(key[0], stored):
                    self._pending.append(framed("ADDED", self._encode(self.target.prefix, stored)))
            if self.initial and self.bookmarks:
                self._pending.append(self._bookmark(storage.revision, initial_end=True))
        elif self.revision < shelf.floor:
            # An established watch is told inside the stream: the answer's own status is 200.
            self._pending.append(framed("ERROR", expired(self.revision, shelf.floor).encoded()))
            self._ended = True
        else:
            lines = map(self._line, shelf.since(self.revision))
            self._pending.extend(line for line in lines if line is not None)
        # The state itself is no backlog: only what happens while it is being sent.
        self._room = len(self._pending) + self.limits.queue

    def offer(self, change: Change) -> None:
        if self._ended or change.revision <= self.revision:
            return
        if (line := self._line(change)) is None:
            return
        if len(self._pending) >= self._room:
            self.end()
            if self._writing and self.transport:
                self.transport.abort()
            return
        self._pending.append(line)
        self._wake.set()

    def end(self) -> None:
        self._ended = True
        self._wake.set()

    def cut(self) -> None:
        self.end()
        if self.transport:
            self.transport.abort()

    def _wants(self, namespace: str, stored: Stored | None) -> bool:
        if stored is None or (self.target.namespace and self.target.namespace != namespace):
            return False
        return self.matcher is None or self.matcher(stored.value)

    def _line(self, change: Change) -> bytes | None:
        """An object that stops matching the selector is DELETED for this client, one that starts is ADDED."""
        before = self._wants(change.key[0], change.previous)
        after = change.verdict != "DELETED" and self._wants(change.key[0], change.stored)
        if not before and not after:
            return None
        if after:
            verdict, stored = ("MODIFIED" if before else "ADDED"), change.stored
        elif change.verdict == "DELETED" or change.previous is None:
            verdict, stored = "DELETED", change.stored
        else:
            old = change.previous.copied()
            old["metadata"]["resourceVersion"] = str(change.revision)
            verdict, stored = "DELETED", Stored(old, change.revision)
        return framed(verdict, self._encode(self.target.prefix, stored))

    def _bookmark(self, revision: int, *, initial_end: bool = False) -> bytes:
        metadata: dict[str, object] = {"resourceVersion": str(revision)}
        if initial_end:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        return framed("BOOKMARK", self.target.prefix + encode({"metadata": metadata})[1:])

    async def stream(self, response: web.StreamResponse, storage: Storage, opened: OpenWatch) -> None:
        clock = asyncio.get_running_loop().time
        deadline = clock() + self.seconds
        bookmark_at = self._next_bookmark(clock(), deadline)
        while True:
            if opened.frozen:
                await opened.thawed.wait()
            now = clock()
            if self._pending:
                await self._write(response)
            elif self._ended or now >= deadline:
                return
            elif now >= bookmark_at:
                self._pending.append(self._bookmark(storage.revision))
                bookmark_at = self._next_bookmark(now, deadline)
            else:
                await self._sleep(min(deadline, bookmark_at) - now)

    async def _write(self, response: web.StreamResponse) -> None:
        batch = [self._pending.popleft() for _ in range(min(BATCH, len(self._pending)))]
        self._writing = True
        try:
            await response.write(b"".join(batch))
        finally:
            self._writing = False

    async def _sleep(self, seconds: float) -> None:
        self._wake.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    def _next_bookmark(self, now: float, deadline: float) -> float:
        if not self.bookmarks:
            return deadline
        beat = now + self.limits.bookmark_interval
        last = deadline - LAST_BOOKMARK
        return min(beat, last) if last > now else beat


def _revision(text: str) -> int:
    if not text:
        return 0
    if not text.isascii() or not text.isdigit():
        raise bad_request(f"strconv.ParseUint: parsing {text!r}: invalid syntax")
    return int(text)


async def watch(request: web.BaseRequest, watching: Watch, storage: Storage, faults: WatchFaults) -> web.StreamResponse:
    """Serve one watch to its end."""
    shelf = storage.shelf(watching.target.resource.key)
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    opened = OpenWatch(watching.target.resource, watching.cut)
    watching.transport = request.transport
    # Replay and subscription in one step: nothing can happen between them.
    watching.replay(storage, shelf)
    shelf.listeners.add(watching.offer)
    shelf.closers.add(watching.end)
    faults.opened(opened)
    try:
        await response.prepare(request)
        await watching.stream(response, storage, opened)
        await response.write_eof()
    except ConnectionError:
        return response
    finally:
        faults.closed(opened)
        shelf.listeners.discard(watching.offer)
        shelf.closers.discard(watching.end)
    return response


def revision_of(query: Mapping[str, str]) -> int:
    return _revision(query.get("resourceVersion", ""))


def too_large(asked: int, current: int) -> ApiError:
    message = f"Too large resource version: {asked}, current: {current}"
    causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    return ApiError(504, "Timeout", f"Timeout: {message}", {"causes": causes}, retry_after=1)
