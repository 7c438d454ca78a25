"""The stage of a benchmark: API server and daemon as processes of their own, the measuring client apart from both."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import yaml

from daemon.sandbox.processes import Children, free_port, wait_until_ready
from daemon.sandbox.stack import CHECKOUT, CRDS
from tests.builders import Json
from tests.running import TOKEN
from tests.scene import Scene

NAMESPACE = "shop"


@dataclass(frozen=True, slots=True)
class Stage:
    """``api`` and ``daemon`` are keep-alive sessions to the two servers."""

    api: aiohttp.ClientSession
    daemon: aiohttp.ClientSession
    scene: Scene

    async def requests(self, **where: str) -> list[Json]:
        """The API server's own log: what came, when it began to be handled and for how long (one machine, one
        monotonic clock)."""
        async with self.api.get("/sandbox/requests", params=where) as response:
            answer = await response.json()
        found: list[Json] = answer["requests"] if isinstance(answer, dict) else answer
        return found


@contextlib.asynccontextmanager
async def stage(proof: Json | None = None) -> AsyncIterator[Stage]:
    with tempfile.TemporaryDirectory(prefix="pullback-bench-") as name:
        folder = Path(name)
        (folder / "token").write_text(TOKEN, "utf-8")
        async with Children(folder / "logs") as children, aiohttp.ClientSession() as plain:
            api_port, daemon_port = free_port(), free_port()
            crds = [str(path) for path in CRDS]
            argv = [sys.executable, "-m", "daemon.sandbox.kubernetes_api", "--port", str(api_port), "--kubeconfig",
                    str(folder / "kubeconfig"), "--namespace", NAMESPACE, "--history", "200000", "--crds", *crds]  # fmt: skip
            api = await children.start("api", argv, environment={"PYTHONPATH": str(CHECKOUT)})
            await wait_until_ready(api, f"http://127.0.0.1:{api_port}/version", plain)
            config = folder / "pullback.yaml"
            config.write_text(yaml.safe_dump(_configuration(folder, daemon_port, proof)), "utf-8")
            argv = [sys.executable, "-m", "daemon", "serve", "--config", str(config)]
            daemon = await children.start("pullback", argv, environment={"PYTHONPATH": str(CHECKOUT)})
            await wait_until_ready(daemon, f"http://127.0.0.1:{daemon_port}/readyz", plain)
            headers = {"Authorization": f"Bearer {TOKEN}"}
            async with (
                aiohttp.ClientSession(f"http://127.0.0.1:{api_port}") as http,
                aiohttp.ClientSession(f"http://127.0.0.1:{daemon_port}", headers=headers) as session,
            ):
                yield Stage(http, session, Scene(http, NAMESPACE))


def _configuration(folder: Path, port: int, proof: Json | None) -> Json:
    door = {"bearer_token_files": [str(folder / "token")]}
    return {
        "web": {"host": "127.0.0.1", "port": port, "alertmanager": door, "flagger": door, "console": door},
        "kubernetes": {"kubeconfig": str(folder / "kubeconfig")},
        "proof": proof or {},
        "log": {"level": "error"},
    }


def percentile(values: Sequence[float], share: float) -> float:
    """Of a sorted or unsorted sample."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def settle(seconds: float = 0.5) -> None:
    """Lets what was begun before come to its end, so that it is not measured with what comes next."""
    await asyncio.sleep(seconds)
