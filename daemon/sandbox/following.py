"""Keeps all objects of one kind by list and watch, as a controller does: again from the list when the watch is too
old to go on, or breaks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import aiohttp

WATCH_SECONDS = 60
RETRY_SECONDS = 0.2
PAUSE_SECONDS = 0.02


class _StartAgainError(Exception):
    """The watch cannot go on from where it was; only a new list can."""


@dataclass(slots=True)
class Following:
    """One collection at `url`. `changed` is told of every change, with the resourceVersions that it brought; `troubled`
    why nothing can be learnt just now."""

    url: str
    session: aiohttp.ClientSession
    changed: Callable[[list[str]], Awaitable[None]]
    troubled: Callable[[str], None]
    objects: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """By NAMESPACE/NAME."""
    listed: bool = False

    async def run(self) -> None:
        """Until it is cancelled. What `changed` could not do over HTTP is done again after the next list."""
        while True:
            try:
                version = await self._list()
                while True:
                    version = await self._watch(version)
            except _StartAgainError:
                self.troubled("the watch was too old to go on; listing again")
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                self.troubled(f"the Kubernetes API refuses, or is not there: {str(error) or type(error).__name__}")
            await asyncio.sleep(RETRY_SECONDS)

    async def _list(self) -> str:
        async with self.session.get(self.url, timeout=aiohttp.ClientTimeout(total=10)) as response:
            response.raise_for_status()
            found = await response.json()
        self.objects = {_key(item): item for item in found["items"]}
        self.listed = True
        version = str(found["metadata"]["resourceVersion"])
        await self.changed([version, *(_version(item) for item in self.objects.values())])
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
                    self.objects.pop(_key(item), None)
                else:
                    self.objects[_key(item)] = item
                await self.changed([version])
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
        async with self.session.get(self.url, params=query, timeout=timeout) as response:
            if response.status == 410:
                raise _StartAgainError
            response.raise_for_status()
            rest = b""
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in filter(None, lines):
                    event = json.loads(line)
                    yield event["type"], event["object"]


def _key(item: Mapping[str, Any]) -> str:
    return f"{item['metadata'].get('namespace', '')}/{item['metadata']['name']}"


def _version(item: Mapping[str, Any]) -> str:
    return str(item["metadata"]["resourceVersion"])
