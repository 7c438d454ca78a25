"""A rollback while Slack hangs and PagerDuty refuses, against one of a daemon that tells nobody, in turns.

Both hold twenty others at zero meanwhile, about which one of them has told nobody yet.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from daemon.sandbox.processes import free_ports
from tests.bench.bench_rollback import ROUNDS, WARM_UP, Bench, Moments
from tests.bench.figures import Figure, percentile
from tests.bench.neighbours import neighbours

AT_MOST = 1.1
BACKLOG = 20
"""Rollbacks that stand meanwhile, and whose notices nobody takes."""


@contextlib.asynccontextmanager
async def black_hole() -> AsyncIterator[int]:
    """Takes connections and says nothing."""
    released = asyncio.Event()

    async def hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await released.wait()
        writer.close()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        released.set()
        server.close()


def dead(folder: Path, hanging: int, refusing: int) -> dict[str, Any]:
    secret = folder / "secret"
    secret.write_text("a-secret-of-nobody\n", encoding="utf-8")
    return {
        "channels": {
            "slack": {"kind": "slack", "token_file": str(secret), "channel": "C0",
                      "api_url": f"http://127.0.0.1:{hanging}/api/"},
            "pager": {"kind": "pagerduty", "routing_key_file": str(secret),
                      "url": f"http://127.0.0.1:{refusing}/v2/enqueue"},
        }
    }  # fmt: skip


async def measure(folder: Path, rounds: int = ROUNDS) -> list[Figure]:
    async with neighbours(folder) as around, black_hole() as hanging:
        everybody = [f"canary-{number}" for number in range(BACKLOG + rounds + WARM_UP)]
        backlog, names = everybody[:BACKLOG], everybody[BACKLOG:]
        (refusing,) = free_ports(1)
        quiet_api = await around.api("quiet", canaries=len(everybody))
        dead_api = await around.api("dead", canaries=len(everybody))
        quiet = Bench(around.http, quiet_api, await around.daemon("quiet", notices={"channels": {}}))
        loud = Bench(around.http, dead_api, await around.daemon("dead", notices=dead(folder, hanging, refusing)))
        for name in backlog:
            await quiet.roll_back(name)
            await loud.roll_back(name)
        pairs = [(await _rollback(quiet, name), await _rollback(loud, name)) for name in names]
        applied = await quiet.applied(), await loud.applied()
    return figures(pairs[WARM_UP:], *applied)


async def _rollback(bench: Bench, name: str) -> Moments:
    moments = await bench.roll_back(name)
    return replace(moments, received=await bench.settle(name))


def figures(pairs: list[tuple[Moments, Moments]], quiet: dict[str, float], loud: dict[str, float]) -> list[Figure]:
    plain = [1000 * (quiet[one.name] - one.received) for one, _ in pairs]
    ours = [1000 * (loud[one.name] - one.received) for _, one in pairs]
    return [
        Figure(
            "dead channels", f"webhook received -> zero, {word}", percentile(ours, share), "ms",
            percentile(plain, share), "nobody to tell", promised,
        )
        for word, share, promised in (("p50", 0.50, AT_MOST), ("p90", 0.90, None))
    ]  # fmt: skip
