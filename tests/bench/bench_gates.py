"""Flagger's hooks, 5,000 calls a minute, while a storm of alerts comes in; against the same calls in quiet."""

from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path

from tests import builders
from tests.bench.bench_intake import CANARY, requests, roll_back
from tests.bench.figures import Figure, percentile
from tests.bench.neighbours import NAMESPACE, Process, neighbours
from tests.bench.senders import burst
from tests.running import TOKEN

CANARIES = 20
CALLS_PER_MINUTE = 5_000
SECONDS = 6.0
"""Of each turn; quiet and storm take turns."""
TURNS = 3
LONGEST = 1.0
"""Seconds that any answer may take: Flagger's tick waits for it."""
HOOKS = ("rollback", "rollout", "confirm-traffic-increase", "confirm-promotion")


async def measure(folder: Path, turns: int = TURNS) -> list[Figure]:
    quiet: list[float] = []
    storm: list[float] = []
    alerts = 0
    async with neighbours(folder) as around:
        api = await around.api(canaries=CANARIES)
        daemon = await around.daemon(evidence={"within": 1})
        await roll_back(around, api, daemon)
        bodies = requests("duplicate", 50, 40)
        await _calls(daemon, 1.0)  # the first second warms up
        for _ in range(turns):
            quiet += await _calls(daemon, SECONDS)
            raging = asyncio.create_task(_rage(daemon, bodies))
            storm += await _calls(daemon, SECONDS)
            raging.cancel()
            alerts += await raging
    assert max(storm) < LONGEST, f"an answer took {max(storm):.3f} s"
    what = f"gate answered, {alerts / (turns * SECONDS):,.0f} alerts/s beside it"
    return [
        Figure("gates", f"{what}: p{share:.0%}".replace("%", ""), 1e3 * percentile(storm, share), "ms",
               1e3 * percentile(quiet, share), "the same calls in quiet")
        for share in (0.5, 0.99)
    ]  # fmt: skip


async def _rage(daemon: Process, bodies: list[bytes]) -> int:
    """Alert after alert until cancelled; how many were answered."""
    answered = 0
    try:
        while True:
            one = await burst(daemon, bodies)
            answered += 50 * len(one.bodies)
    except asyncio.CancelledError:
        return answered


async def _calls(daemon: Process, seconds: float) -> list[float]:
    """Open loop: a late answer holds up no later call. Seconds of each answer."""
    loop = asyncio.get_running_loop()
    began, pause = loop.time(), 60 / CALLS_PER_MINUTE
    names = itertools.cycle([f"canary-{number}" for number in range(1, CANARIES) if f"canary-{number}" != CANARY])
    tasks = []
    for number in range(int(seconds / pause)):
        await asyncio.sleep(max(0.0, began + number * pause - loop.time()))
        tasks.append(loop.create_task(_call(daemon, HOOKS[number % len(HOOKS)], next(names))))
    return list(await asyncio.gather(*tasks))


async def _call(daemon: Process, hook: str, name: str) -> float:
    """One call as Flagger makes it: on a connection of its own."""
    loop = asyncio.get_running_loop()
    body = json.dumps(builders.hook(NAMESPACE, name)).encode()
    head = (
        f"POST /webhooks/flagger/{hook} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    began = loop.time()
    reader, writer = await asyncio.open_connection("127.0.0.1", daemon.port)
    try:
        writer.write(head.encode() + body)
        status = (await reader.readline()).split()[1]
        assert status in {b"200", b"403"}, status
        return loop.time() - began
    finally:
        writer.close()
