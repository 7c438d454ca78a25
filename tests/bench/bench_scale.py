"""What one alert costs with 100 canaries known and with 10 000, in time and in memory: two daemons, in turns."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests import builders
from tests.bench.bench_intake import Pace, records, roll_back
from tests.bench.figures import Figure, median
from tests.bench.neighbours import NAMESPACE, Neighbours, Process, neighbours
from tests.bench.senders import burst, reasons, request
from tests.builders import Json
from tests.running import TOKEN

SMALL = 100
LARGE = int(os.environ.get("PULLBACK_BENCH_CANARIES", "10000"))
TURNS = 9
WARM_UP = 2
WEBHOOKS = 40
GROUP = 50
NAMED = 100
"""How many different canaries alerts name: as many in the small world as in the large one."""
MOST = 1.3
READERS = 3
MOST_BESIDE = 0.2
"""Of the time a list takes: an alert does not wait for its end."""

OLD = "2026-11-01T00:00:00Z"
EXPECTED = {
    "unmatched": ("IGNORE", "unmatched"),
    "matched, ignored": ("IGNORE", "signal-older-than-revision"),
    "duplicate": ("ROLL_BACK", "already-rolling-back"),
}


@dataclass(slots=True)
class Daemon:
    """One of the two, its webhooks, and how it fared."""

    canaries: int
    api: Process
    process: Process
    empty: int
    """Bytes resident in a daemon that knows nothing."""
    webhooks: dict[str, list[bytes]]
    paces: dict[str, Pace] = field(default_factory=lambda: {kind: Pace() for kind in EXPECTED})
    grown: dict[str, int] = field(default_factory=lambda: dict.fromkeys(EXPECTED, 0))

    async def turn(self, kind: str, *, counts: bool) -> None:
        before = self.process.resident()
        one = await burst(self.process, self.webhooks[kind])
        assert reasons(one.bodies) == {EXPECTED[kind]}, reasons(one.bodies)
        if counts:
            self.paces[kind].add(one, GROUP * WEBHOOKS)
            self.grown[kind] += self.process.resident() - before


def alert(kind: str, number: int, canaries: int) -> Json:
    fingerprint = f"{number:016x}"
    if kind == "duplicate":
        return builders.alert(NAMESPACE, "canary-0", fingerprint=fingerprint)
    if kind == "unmatched":
        return builders.alert(NAMESPACE, f"nobody-{number}", fingerprint=fingerprint)
    # Spread over the whole world, but for the one that is rolling back.
    named = 1 + (number % NAMED) * (canaries - 1) // NAMED
    return builders.alert(NAMESPACE, f"canary-{named}", fingerprint=fingerprint, starts_at=OLD)


def webhooks(kind: str, canaries: int) -> list[bytes]:
    return [
        request(builders.webhook(*(alert(kind, GROUP * webhook + one, canaries) for one in range(GROUP))))
        for webhook in range(WEBHOOKS)
    ]


async def begin(around: Neighbours, canaries: int, empty: int) -> Daemon:
    api = await around.api(f"api-{canaries}", canaries=canaries)
    process = await around.daemon(f"api-{canaries}")
    return Daemon(canaries, api, process, empty, {kind: webhooks(kind, canaries) for kind in EXPECTED})


async def measure(folder: Path, turns: int = TURNS) -> list[Figure]:
    async with neighbours(folder) as around:
        await around.api("api-0")
        empty = (await around.daemon("api-0")).resident()
        daemons = [await begin(around, SMALL, empty), await begin(around, LARGE, empty)]
        filled = [daemon.process.resident() for daemon in daemons]
        for daemon in daemons:
            await roll_back(around, daemon.api, daemon.process)
        for turn in range(turns + WARM_UP):
            for kind in EXPECTED:
                for daemon in daemons if turn % 2 else reversed(daemons):
                    await daemon.turn(kind, counts=turn >= WARM_UP)
        for daemon in daemons:
            assert len(await records(around, daemon.api)) == 1, "a duplicate made a second record"
        beside = await _beside_readers(around, daemons[-1])
    return [*_figures(daemons, filled, turns), *beside]


async def _beside_readers(around: Neighbours, daemon: Daemon) -> list[Figure]:
    """How long an alert is answered at most while somebody has everything listed, against how long that list takes."""
    clock = asyncio.get_running_loop().time
    one = [request(builders.webhook(alert("matched, ignored", 0, daemon.canaries)))]
    made = []
    for path in ("/metrics", "/api/v1/canaries"):
        listings, answers = [], []
        for _ in range(READERS):
            began = clock()
            reader = asyncio.create_task(_read(around, daemon.process, path))
            while not reader.done():
                answers.append((await burst(daemon.process, one)).seconds)
            await reader
            listings.append(clock() - began)
        made.append(
            Figure("scale", f"an alert's longest answer beside GET {path} at {daemon.canaries}", max(answers) * 1000,
                   "ms", median(listings) * 1000, "that GET", MOST_BESIDE)
        )  # fmt: skip
    return made


async def _read(around: Neighbours, process: Process, path: str) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with around.http.get(f"{process.url}{path}", headers=headers) as response:
        assert response.status == 200, await response.text()
        await response.read()


def _figures(daemons: Sequence[Daemon], filled: Sequence[int], turns: int) -> list[Figure]:
    small, large = daemons
    made = []
    for kind in EXPECTED:
        for what, of_small, of_large, most in (
            ("CPU per alert", small.paces[kind].cpu, large.paces[kind].cpu, MOST),
            ("time per alert", small.paces[kind].wall, large.paces[kind].wall, None),
        ):
            made.append(
                Figure("scale", f"{kind}: {what} at {large.canaries}", median(of_large), "us", median(of_small),
                       f"the same at {small.canaries}", most)
            )  # fmt: skip
    alerts = turns * GROUP * WEBHOOKS
    made += [
        Figure("scale", f"{kind}: memory kept per alert at {daemon.canaries}", daemon.grown[kind] / alerts, "B")
        for kind in EXPECTED
        for daemon in daemons
    ]
    made += [
        Figure("scale", f"memory with {daemon.canaries} canaries", resident / 2**20, "MiB", daemon.empty / 2**20,
               "a daemon that knows none")
        for daemon, resident in zip(daemons, filled, strict=True)
    ]  # fmt: skip
    per_canary = (filled[1] - filled[0]) / (large.canaries - small.canaries) / 1024
    return [*made, Figure("scale", "memory per canary", per_canary, "KiB")]
