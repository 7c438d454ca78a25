"""The whole daemon in this process, against any cluster, over real HTTP on a free port."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from daemon import bootstrap, settings
from daemon.lifecycle import Lifecycle
from daemon.telemetry.logs import Logs, configure
from tests.builders import Json
from tests.cluster import Cluster

TOKEN = "a-token-for-tests"


@dataclass(frozen=True, slots=True)
class Daemon:
    """A running daemon and an HTTP session that has its credentials."""

    http: aiohttp.ClientSession
    lifecycle: Lifecycle

    async def alert(self, body: Json | bytes, **headers: str) -> tuple[int, Json]:
        data: Json = {"data": io.BytesIO(body)} if isinstance(body, bytes) else {"json": body}
        async with self.http.post("/webhooks/alertmanager", headers=headers, **data) as response:
            return response.status, await response.json()

    async def hook(self, kind: str, body: Json) -> tuple[int, str]:
        async with self.http.post(f"/webhooks/flagger/{kind}", json=body) as response:
            return response.status, await response.text()

    async def get(self, path: str) -> tuple[int, str]:
        async with self.http.get(path) as response:
            return response.status, await response.text()


def configuration(kubeconfig: Path, tokens: Path, **groups: Json) -> settings.Settings:
    """Quick settings: proofs in a fraction of a second. ``groups`` are merged over them, field by field."""
    secret = tokens / "token"
    secret.write_text(TOKEN + "\n", encoding="utf-8")
    given: Any = {
        "web": {
            "host": "127.0.0.1",
            "port": 0,
            **{door: {"bearer_token_files": [str(secret)]} for door in ("alertmanager", "flagger", "console")},
        },
        "kubernetes": {"kubeconfig": str(kubeconfig), "absent_retry": 0.3},
        "proof": {"window": 0.2, "read_back": 0.05, "read_back_after": 0.5},
        "evidence": {"within": 0.5},
        # Gates that a test is not about open at once.
        "policy": {"stages": [], "promotion": {"approval": "none"}},
        "lease": {"namespace": "default", "duration": 1.5, "renew_deadline": 1.0, "retry": 0.2},
        "log": {"level": "error", "format": "console"},
    }
    for group, fields in groups.items():
        given[group] = {**given.get(group, {}), **fields}
    return settings.Settings(**given)


@contextlib.asynccontextmanager
async def running(cluster: Cluster, folder: Path, *, wait: bool = True, **groups: Json) -> AsyncIterator[Daemon]:
    """A daemon that is ready (unless ``wait`` is False)."""
    configured = configuration(cluster.kubeconfig, folder, **groups)
    configure(level=configured.log.level, style=configured.log.format)
    lifecycle = Lifecycle(lambda name, what: print("lifecycle", name, what))
    async with bootstrap.started(configured, lifecycle, Logs(), bootstrap.Surroundings()) as server:
        task = asyncio.create_task(lifecycle.run())
        base = f"http://127.0.0.1:{server.port}"
        try:
            async with aiohttp.ClientSession(base, headers={"Authorization": f"Bearer {TOKEN}"}) as http:
                daemon = Daemon(http, lifecycle)
                if wait:
                    await eventually(lambda: _ready(daemon))
                yield daemon
        finally:
            lifecycle.stop()
            await task


async def _ready(daemon: Daemon) -> bool:
    status, _ = await daemon.get("/readyz")
    return status == 200


async def eventually(condition: Callable[[], Awaitable[Any]], *, within: float = 10.0, every: float = 0.02) -> Any:
    """The first truthy answer; fails with the last one when the time (seconds) is over."""
    until = asyncio.get_running_loop().time() + within
    while True:
        answer = await condition()
        if answer:
            return answer
        assert asyncio.get_running_loop().time() < until, f"not within {within} s, last seen: {answer!r}"
        await asyncio.sleep(every)
