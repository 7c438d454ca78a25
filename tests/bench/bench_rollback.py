"""From a webhook sent to weight 0 in the API server, against one raw JSON PATCH on the same server, in turns."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp

from tests import builders
from tests.bench.figures import Figure, percentile
from tests.bench.neighbours import NAMESPACE, Neighbours, Process, neighbours
from tests.builders import Json
from tests.running import TOKEN, eventually
from tests.scene import ROLLBACKS, ROUTES

ROUNDS = int(os.environ.get("PULLBACK_BENCH_ROUNDS", "500"))
WARM_UP = 20
SETTLED = 5.0
YARDSTICK = "one raw PATCH"
RULE = "/spec/http/0/route"


@dataclass(frozen=True, slots=True)
class Moments:
    """Of one rollback, or of one raw PATCH; seconds on CLOCK_MONOTONIC.

    ``received`` is when the daemon began to handle the webhook, as its record says.
    """

    name: str
    sent: float
    answered: float
    received: float = 0.0


def operations(name: str) -> list[Json]:
    """What the daemon writes to such a route."""
    return [
        {"op": "test", "path": f"{RULE}/0/destination/host", "value": f"{name}-primary"},
        {"op": "test", "path": f"{RULE}/1/destination/host", "value": f"{name}-canary"},
        {"op": "replace", "path": f"{RULE}/0/weight", "value": 100},
        {"op": "replace", "path": f"{RULE}/1/weight", "value": 0},
    ]


class Bench:
    def __init__(self, http: aiohttp.ClientSession, api: Process, daemon: Process) -> None:
        self._http = http
        self._api = api.url
        self._daemon = daemon.url
        self._clock = asyncio.get_running_loop().time

    async def round(self, name: str) -> tuple[Moments, Moments]:
        """One rollback and one raw PATCH, each with nothing else going on."""
        rollback = await self.roll_back(name)
        received = await self.settle(name)
        return replace(rollback, received=received), await self.patch(f"raw-{name}")

    async def roll_back(self, name: str) -> Moments:
        body = builders.webhook(builders.alert(NAMESPACE, name, fingerprint=name))
        sent = self._clock()
        async with self._http.post(
            f"{self._daemon}/webhooks/alertmanager", json=body, headers={"Authorization": f"Bearer {TOKEN}"}
        ) as response:
            answer = await response.json()
            answered = self._clock()
            assert response.status == 200, answer
            assert (answer["alerts"][0]["verdict"], answer["alerts"][0]["reason"]) == ("ROLL_BACK", "alert-fires")
        return Moments(name, sent, answered)

    async def patch(self, name: str) -> Moments:
        path = f"{self._api}{ROUTES.format(NAMESPACE)}/{name}"
        headers = {"Content-Type": "application/json-patch+json"}
        sent = self._clock()
        async with self._http.patch(
            path, json=operations(name), headers=headers, params={"fieldManager": "raw"}
        ) as response:
            route = await response.json()
            answered = self._clock()
            assert response.status == 200, route
        assert weights(route) == [100, 0]
        return Moments(name, sent, answered)

    async def settle(self, name: str) -> float:
        """Waits for what follows zero, and ends the rollback: the next round is to find a daemon at rest.

        Returns when the daemon had received the webhook. Its record says so on the wall clock.
        """
        record = f"{self._api}{ROLLBACKS.format(NAMESPACE)}/{name}-7b8cb8dc5d"

        async def zeroed() -> bool:
            return bool((await self._get(record)).get("status", {}).get("phase") == "Zeroed")

        await eventually(zeroed, within=SETTLED, every=0.002)
        started = datetime.fromisoformat((await self._get(record))["status"]["startedAt"]).timestamp()
        received = started - (time.time() - self._clock())
        assert weights(await self._get(f"{self._api}{ROUTES.format(NAMESPACE)}/{name}")) == [100, 0]
        async with self._http.delete(record) as response:
            assert response.status == 200, await response.text()
        await asyncio.sleep(0.005)
        return received

    async def applied(self) -> dict[str, float]:
        """When the API server had applied each PATCH and was about to answer it, by the route's name."""
        query = {"verb": "patch", "resource": "virtualservices"}
        async with self._http.get(f"{self._api}/sandbox/requests", params=query) as response:
            calls: list[Json] = await response.json()
        names = [call["name"] for call in calls]
        assert len(names) == len(set(names)), "a route was written more than once"
        assert all(call["status"] == 200 for call in calls)
        return {call["name"]: call["started"] + call["seconds"] for call in calls}

    async def _get(self, url: str) -> Json:
        async with self._http.get(url) as response:
            document: Json = await response.json()
            assert response.status == 200, document
            return document


def weights(route: Json) -> list[Any]:
    return [one["weight"] for one in route["spec"]["http"][0]["route"]]


async def add_raw_routes(around: Neighbours, api: Process, names: list[str]) -> None:
    for name in names:
        route = builders.virtual_service(NAMESPACE, f"raw-{name}")
        async with around.http.post(f"{api.url}{ROUTES.format(NAMESPACE)}", json=route) as response:
            assert response.status == 201, await response.text()


async def measure(folder: Path, rounds: int = ROUNDS) -> list[Figure]:
    async with neighbours(folder) as around:
        names = [f"canary-{number}" for number in range(rounds + WARM_UP)]
        api = await around.api(canaries=len(names))
        daemon = await around.daemon()
        await add_raw_routes(around, api, names)
        bench = Bench(around.http, api, daemon)
        pairs = [await bench.round(name) for name in names]
        applied = await bench.applied()
    return figures(pairs[WARM_UP:], applied)


def figures(pairs: list[tuple[Moments, Moments]], applied: dict[str, float]) -> list[Figure]:
    zero = [1000 * (applied[rollback.name] - rollback.sent) for rollback, _ in pairs]
    received = [1000 * (applied[rollback.name] - rollback.received) for rollback, _ in pairs]
    acknowledged = [1000 * (rollback.answered - rollback.sent) for rollback, _ in pairs]
    raw = [1000 * (patch.answered - patch.sent) for _, patch in pairs]
    raw_applied = [1000 * (applied[patch.name] - patch.sent) for _, patch in pairs]
    made = []
    for word, share, most in (("p50", 0.50, 2.0), ("p99", 0.99, 4.0)):
        # The promise is from the webhook received; "sent" adds a whole HTTP request on the way in, which no PATCH has.
        for name, ours, yardstick, against, promised in (
            ("webhook received -> zero", received, raw_applied, "applied", most),
            ("webhook sent -> zero", zero, raw_applied, "applied", None),
            ("webhook sent -> zero", zero, raw, "answered", None),
            ("webhook sent -> 200", acknowledged, raw, "answered", None),
        ):
            made.append(
                Figure(
                    "rollback",
                    f"{name}, {word}",
                    percentile(ours, share),
                    "ms",
                    percentile(yardstick, share),
                    f"{YARDSTICK}, {against}",
                    promised,
                )
            )
    return [*made, Figure("rollback", "rollbacks measured", float(len(pairs)), "")]
