"""kill -9 at any moment: nothing is lost, nothing is done twice, and the next life brings every canary to zero.

Daemons are forked from a process that has imported everything once, so a life begins in a few hundredths of a
second and forty deaths fit into a minute. PULLBACK_KILLS sets their number (`make test-slow`: 200).
"""

from __future__ import annotations

import asyncio
import functools
import multiprocessing
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from daemon import bootstrap, settings
from daemon.sandbox.kubernetes_api import KubernetesApi
from daemon.sandbox.processes import free_port
from tests import builders
from tests.builders import Json
from tests.cluster import CRDS
from tests.running import TOKEN, configuration, eventually
from tests.scene import ROUTES, Scene

KILLS = int(os.environ.get("PULLBACK_KILLS", "40"))
NAMESPACE = "shop"

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["daemon.bootstrap"])


def live(configured: settings.Settings) -> None:
    asyncio.run(bootstrap.run(configured))


class Lives:
    """One daemon after the other, on one port."""

    def __init__(self, configured: settings.Settings, http: aiohttp.ClientSession) -> None:
        self._configured = configured
        self._http = http
        self._process: ForkServerProcess | None = None

    async def begin(self) -> None:
        self._process = CONTEXT.Process(target=live, args=(self._configured,), daemon=True)
        self._process.start()
        await eventually(self._ready, within=20)

    async def end(self) -> None:
        """SIGKILL, to this one's own pid."""
        assert self._process is not None
        self._process.kill()
        await asyncio.to_thread(self._process.join, 10)
        assert self._process.exitcode == -9
        self._process.close()

    async def _ready(self) -> bool:
        try:
            async with self._http.get("/readyz") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[tuple[KubernetesApi, Scene, Lives, aiohttp.ClientSession]]:
    port = free_port()
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        KubernetesApi(CRDS, [NAMESPACE]) as api,
        aiohttp.ClientSession(api.url) as http,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=headers) as daemon,
    ):
        configured = configuration(api.kubeconfig(folder / "kubeconfig"), folder, web={"port": port})
        lives = Lives(configured, daemon)
        await lives.begin()
        try:
            yield api, Scene(http, NAMESPACE), lives, daemon
        finally:
            await lives.end()


async def send(daemon: aiohttp.ClientSession, body: Json) -> int:
    """The status, 0 when the connection broke."""
    try:
        async with daemon.post("/webhooks/alertmanager", json=body) as response:
            await response.read()
            return response.status
    except aiohttp.ClientError:
        return 0


def moment(chance: random.Random) -> float:
    """Seconds from the alert to the kill: mostly among the first writes, sometimes into proof."""
    kind = chance.random()
    longest = 0.005 if kind < 0.7 else 0.02 if kind < 0.85 else 0.4
    return chance.uniform(0, longest)


def opt_in(name: str) -> Json:
    """A second way to the canary: by header, the canary alone."""
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"namespace": NAMESPACE, "name": f"{name}-opt-in"},
        "spec": {
            "hosts": [f"{name}.example.com"],
            "http": [
                {
                    "match": [{"headers": {"x-canary-opt-in": {"exact": "true"}}}],
                    "route": [{"destination": {"host": f"{name}-canary"}}],
                },
                {"route": [{"destination": {"host": f"{name}-primary"}}]},
            ],
        },
    }


def records_of(api: KubernetesApi, name: str) -> list[Json]:
    return [one for one in api.list("rollbacks", NAMESPACE) if one["spec"]["canaryRef"]["name"] == name]


def reached(api: KubernetesApi, name: str) -> list[str]:
    """Destinations that still reach the canary: weighted above 0, or alone in their rule."""
    return [
        route["metadata"]["name"]
        for route in api.list("virtualservices", NAMESPACE)
        for rule in route["spec"]["http"]
        for one in rule["route"]
        if one["destination"]["host"] == f"{name}-canary" and (one.get("weight") or len(rule["route"]) == 1)
    ]


def state(api: KubernetesApi, name: str) -> str:
    records = records_of(api, name)
    if not records:
        return "zero without a record" if not reached(api, name) else "nothing written"
    if reached(api, name):
        return "a record without zero"
    return "proved" if records[0].get("status", {}).get("phase") == "Proved" else "zero and a record"


async def run(kills: int, seed: int, folder: Path) -> Counter[str]:
    chance = random.Random(seed)
    fell: Counter[str] = Counter()
    async with world(folder) as (api, scene, lives, daemon):
        for number in range(kills):
            name = f"canary-{number}"
            await scene.add_canary(name, weight=25, revision=f"rev{number}")
            if number % 3 == 0:
                await scene.create(ROUTES, opt_in(name))
            await asyncio.sleep(0.02)  # until the watch has told the daemon
            body = builders.webhook(builders.alert(NAMESPACE, name, fingerprint=f"{number:016x}"))
            sending = asyncio.create_task(send(daemon, body))
            await asyncio.sleep(moment(chance))
            await lives.end()
            status = await sending
            fell[state(api, name)] += 1

            assert status in {0, 200}
            if status == 200:
                assert len(records_of(api, name)) == 1, f"{name}: 200 without a record (seed {seed})"

            await lives.begin()
            while status != 200:
                status = await send(daemon, body)

            await eventually(functools.partial(at_zero_with_one_record, api, name))
        for number in range(kills):
            await eventually(functools.partial(proved, api, f"canary-{number}"), within=20)
    return fell


async def at_zero_with_one_record(api: KubernetesApi, name: str) -> bool:
    assert len(records_of(api, name)) <= 1
    return len(records_of(api, name)) == 1 and not reached(api, name)


async def proved(api: KubernetesApi, name: str) -> bool:
    assert len(records_of(api, name)) == 1
    assert not reached(api, name)
    return bool(records_of(api, name)[0].get("status", {}).get("phase") == "Proved")


def show(fell: Counter[str], kills: int, seed: int) -> None:
    places = ", ".join(f"{count} at «{place}»" for place, count in fell.most_common())
    print(f"\n{kills} kills (seed {seed}), 0 lost, 0 double records, all at zero and proved; fell: {places}")


async def test_killed_at_any_moment_the_next_life_finishes(tmp_path: Path, capsys: Any) -> None:
    kills, seed = min(KILLS, 40), random.SystemRandom().randrange(10**6)
    fell = await run(kills, seed, tmp_path)
    with capsys.disabled():
        show(fell, kills, seed)

    assert sum(fell.values()) == kills


@pytest.mark.slow
async def test_killed_two_hundred_times(tmp_path: Path, capsys: Any) -> None:
    kills, seed = max(KILLS, 200), 20261123
    fell = await run(kills, seed, tmp_path)
    with capsys.disabled():
        show(fell, kills, seed)

    assert sum(fell.values()) == kills
