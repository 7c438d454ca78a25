"""The processes a bench measures, each its own: an API server, a daemon, a bare HTTP server."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from daemon.sandbox.processes import ChildProcess, Children, free_ports, wait_until_ready
from tests.bench.crowd import NAMESPACE
from tests.cluster import ROOT
from tests.running import TOKEN

__all__ = ["NAMESPACE", "Neighbours", "Process", "neighbours"]


@dataclass(frozen=True, slots=True)
class Process:
    """Something that answers HTTP, and what it has cost so far."""

    child: ChildProcess
    url: str

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    def cpu_seconds(self) -> float:
        """On-CPU time of its main thread, in which its event loop runs: what noisy neighbours cannot change much."""
        spent = Path(f"/proc/{self.child.pid}/schedstat").read_text(encoding="ascii")
        return int(spent.split()[0]) / 1e9

    def resident(self) -> int:
        """Bytes of memory in use (VmRSS)."""
        status = Path(f"/proc/{self.child.pid}/status").read_text(encoding="ascii")
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Starts them in one folder, under one roof: all end with it."""

    children: Children
    folder: Path
    http: aiohttp.ClientSession

    async def api(self, name: str = "api", *, canaries: int = 0) -> Process:
        """The embedded API server, filled with so many canaries in mid-analysis."""
        (port,) = free_ports(1)
        child = await self.children.start(
            name,
            [sys.executable, "-m", "tests.bench.crowd", "--port", str(port), "--canaries", str(canaries),
             "--kubeconfig", self.folder / f"{name}.kubeconfig"],
            folder=ROOT,
        )  # fmt: skip
        url = f"http://127.0.0.1:{port}"
        await wait_until_ready(child, f"{url}/readyz", self.http, timeout=90)
        return Process(child, url)

    async def daemon(self, api: str = "api", **groups: Any) -> Process:
        """``pullback serve`` as it is shipped: default settings, but for its port, its token, its cluster, and
        ``groups``."""
        (port,) = free_ports(1)
        token = self.folder / "token"
        token.write_text(TOKEN + "\n", encoding="utf-8")
        doors = {door: {"bearer_token_files": [str(token)]} for door in ("alertmanager", "flagger", "console")}
        config = self.folder / f"{api}.yaml"
        config.write_text(
            yaml.safe_dump(
                {
                    "web": {"host": "127.0.0.1", "port": port, **doors},
                    "kubernetes": {"kubeconfig": str(self.folder / f"{api}.kubeconfig")},
                    **groups,
                }
            ),
            encoding="utf-8",
        )
        child = await self.children.start(
            f"daemon-{api}", [sys.executable, "-m", "daemon", "serve", "--config", config], folder=ROOT
        )
        url = f"http://127.0.0.1:{port}"
        await wait_until_ready(child, f"{url}/readyz", self.http, timeout=60)
        return Process(child, url)

    async def bare(self) -> Process:
        """The yardstick of intake."""
        (port,) = free_ports(1)
        child = await self.children.start("bare", [sys.executable, "-m", "tests.bench.bare", str(port)], folder=ROOT)
        url = f"http://127.0.0.1:{port}"
        await wait_until_ready(child, f"{url}/readyz", self.http)
        return Process(child, url)


@contextlib.asynccontextmanager
async def neighbours(folder: Path) -> AsyncIterator[Neighbours]:
    async with aiohttp.ClientSession() as http, Children(folder) as children:
        yield Neighbours(children, folder, http)
