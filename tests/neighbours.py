"""The real neighbours as fixtures. A test module asks for them with `pytest_plugins =
("tests.neighbours",)`.

The alerting programs are looked for once a session; a machine without network and without them skips what
needs them, with the reason. Everything started through `children` ends with the test.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from daemon.sandbox import application
from daemon.sandbox.envoy import Envoy, start_envoy
from daemon.sandbox.packages import AlertingBinaries, AlertingUnavailableError, default_cache, find_alerting
from daemon.sandbox.processes import Children, free_ports, wait_until_ready
from daemon.sandbox.translating import translate

CHECKOUT = Path(__file__).parents[1]
RULES = [CHECKOUT / "config" / "prometheus" / name for name in ("canary-rules.yaml", "watchdog-rules.yaml")]
ALERTMANAGER_CONFIG = CHECKOUT / "config" / "alertmanager" / "alertmanager.yaml"


@pytest.fixture(scope="session")
def alerting_binaries() -> AlertingBinaries:
    """From PATH or the project's own cache, fetched at most once for all tests and all later runs."""
    cache = default_cache(os.environ, CHECKOUT, Path.home())
    with ThreadPoolExecutor(1) as thread:  # a session has no event loop of its own to run this in
        try:
            return thread.submit(asyncio.run, find_alerting(cache)).result()
        except AlertingUnavailableError as error:
            pytest.skip(str(error))


@pytest_asyncio.fixture
async def children(tmp_path: Path) -> AsyncIterator[Children]:
    async with Children(tmp_path / "logs") as running:
        yield running


@pytest_asyncio.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as client:
        yield client


@dataclass(frozen=True, slots=True)
class Versions:
    """The two running versions of the app, under the names Flagger gives their services."""

    stable_port: int
    canary_port: int

    @property
    def clusters(self) -> dict[str, tuple[str, int]]:
        return {
            "podinfo-primary": ("127.0.0.1", self.stable_port),
            "podinfo-canary": ("127.0.0.1", self.canary_port),
        }


@pytest_asyncio.fixture
async def versions(children: Children, session: aiohttp.ClientSession) -> Versions:
    ports = free_ports(2)
    started = [
        (await children.start(f"app-{version}", application.command(version, port)), port)
        for version, port in zip(("v1", "v2"), ports, strict=True)
    ]
    for child, port in started:
        await wait_until_ready(child, f"http://127.0.0.1:{port}/", session)
    return Versions(*ports)


@dataclass(slots=True)
class Webhook:
    """A receiver that records what Alertmanager sends, with the moment and the credentials it came with."""

    url: str
    received: list[tuple[float, str, dict[str, Any]]] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def alerts(self) -> list[dict[str, Any]]:
        return [alert for _, _, payload in self.received for alert in payload["alerts"]]


@pytest_asyncio.fixture
async def webhook() -> AsyncIterator[Webhook]:
    async def record(request: web.Request) -> web.Response:
        sink.received.append((time.time(), request.headers.get("Authorization", ""), await request.json()))
        sink.arrived.set()
        return web.json_response({})

    server = web.Application()
    server.router.add_post("/webhooks/alertmanager", record)
    runner = web.AppRunner(server, access_log=None, shutdown_timeout=1)
    await runner.setup()
    (port,) = free_ports(1)
    await web.TCPSite(runner, "127.0.0.1", port).start()
    sink = Webhook(f"http://127.0.0.1:{port}/webhooks/alertmanager")
    yield sink
    await runner.cleanup()


def virtual_service(stable: int, canary: int) -> dict[str, Any]:
    shares = [
        {"destination": {"host": "podinfo-primary"}, "weight": stable},
        {"destination": {"host": "podinfo-canary"}, "weight": canary},
    ]
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "podinfo", "namespace": "test"},
        "spec": {"hosts": ["podinfo"], "http": [{"route": shares}]},
    }


def routes(stable: int, canary: int, *before: dict[str, Any]) -> dict[str, Any]:
    """What Flagger's VirtualService says at these weights, translated."""
    service = virtual_service(stable, canary)
    service["spec"]["http"][:0] = before
    return translate([service])


@pytest_asyncio.fixture
async def envoy(children: Children, session: aiohttp.ClientSession, versions: Versions, tmp_path: Path) -> Envoy:
    """Half the traffic to each version."""
    return await start_envoy(children, session, folder=tmp_path, clusters=versions.clusters, routes=routes(50, 50))


async def eventually(true: Callable[[], Awaitable[bool]], seconds: float = 5.0) -> None:
    for _ in range(int(seconds / 0.02)):
        if await true():
            return
        await asyncio.sleep(0.02)
    pytest.fail(f"not within {seconds} s")
