"""Alerts per second that ask for nothing new, against a bare aiohttp handler that only decodes the JSON, in turns."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tests import builders
from tests.bench.figures import Figure, median
from tests.bench.neighbours import NAMESPACE, Neighbours, Process, neighbours
from tests.bench.senders import Burst, burst, reasons, request
from tests.builders import Json
from tests.running import TOKEN, eventually
from tests.scene import ROLLBACKS

CANARY = "canary-0"
CANARIES = 10
TURNS = 7
GROUPS = {1: 600, 50: 60}
"""Alerts in one webhook, and how many webhooks make a burst."""

EXPECTED = {"duplicate": ("ROLL_BACK", "already-rolling-back"), "unmatched": ("IGNORE", "unmatched")}


@dataclass(slots=True)
class Pace:
    """Burst after burst of one kind of alert; microseconds per alert."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def add(self, one: Burst, alerts: int) -> None:
        self.wall.append(1e6 * one.seconds / alerts)
        self.cpu.append(1e6 * one.cpu_seconds / alerts)


def alert(kind: str, number: int) -> Json:
    fingerprint = f"{number:016x}"
    if kind == "duplicate":
        return builders.alert(NAMESPACE, CANARY, fingerprint=fingerprint)
    one = builders.alert(NAMESPACE, fingerprint=fingerprint)
    del one["labels"]["canary"]
    one["labels"]["pod"] = f"checkout-{number}"
    return one


def requests(kind: str, group: int, count: int) -> list[bytes]:
    return [
        request(builders.webhook(*(alert(kind, group * webhook + one) for one in range(group))))
        for webhook in range(count)
    ]


async def roll_back(around: Neighbours, api: Process, daemon: Process) -> None:
    """Returns when it is proved: what is measured then is intake alone."""
    body = builders.webhook(builders.alert(NAMESPACE, CANARY))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with around.http.post(f"{daemon.url}/webhooks/alertmanager", json=body, headers=headers) as response:
        assert response.status == 200, await response.text()

    async def proved() -> bool:
        return [one.get("status", {}).get("phase") for one in await records(around, api)] == ["Proved"]

    await eventually(proved, within=30, every=0.1)


async def records(around: Neighbours, api: Process) -> list[Json]:
    async with around.http.get(f"{api.url}{ROLLBACKS.format(NAMESPACE)}") as response:
        items: list[Json] = (await response.json())["items"]
        return items


async def measure(folder: Path, turns: int = TURNS) -> list[Figure]:
    made: list[Figure] = []
    async with neighbours(folder) as around:
        api = await around.api(canaries=CANARIES)
        daemon, bare = await around.daemon(), await around.bare()
        await roll_back(around, api, daemon)
        for group, count in GROUPS.items():
            made += await _compare(daemon, bare, group, count, turns)
        assert len(await records(around, api)) == 1, "a duplicate made a second record"
    return made


async def _compare(daemon: Process, bare: Process, group: int, count: int, turns: int) -> list[Figure]:
    bodies = {kind: requests(kind, group, count) for kind in EXPECTED}
    paces = {kind: Pace() for kind in (*EXPECTED, "bare")}
    for turn in range(turns + 1):
        for kind, expected in EXPECTED.items():
            one = await burst(daemon, bodies[kind])
            assert reasons(one.bodies) == {expected}, reasons(one.bodies)
            yardstick = await burst(bare, bodies[kind])
            if turn:  # the first warms up
                paces[kind].add(one, group * count)
                paces["bare"].add(yardstick, group * count)
    return [figure for kind in EXPECTED for figure in _figures(kind, group, paces[kind], paces["bare"])]


def _figures(kind: str, group: int, pace: Pace, bare: Pace) -> list[Figure]:
    what = f"{kind}, {group} in a webhook"
    wall, bare_wall = median(pace.wall), median(bare.wall)
    return [
        Figure("intake", f"{what}: alerts/s", 1e6 / wall, "/s", 1e6 / bare_wall, "bare handler, decodes only",
               ratio_given=wall / bare_wall),
        Figure("intake", f"{what}: CPU per alert", median(pace.cpu), "us", median(bare.cpu),
               "bare handler, decodes only"),
    ]  # fmt: skip
