"""Pairs of replicas, each behind a proxy of its own that fails at random: never two at the leading work."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import os
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from daemon.adapters.clock import SystemChance, SystemClock
from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.adapters.lease import KubernetesLease
from daemon.model.lease import Terms
from daemon.sandbox.kubernetes_api import KubernetesApi
from daemon.workflow.leading import Elector, Leadership
from tests.cluster import CRDS, Cluster
from tests.component.test_replicas import behind
from tests.proxy import Mode, Proxy

RUNS = int(os.environ.get("PULLBACK_PAIRS", "200"))
ABREAST = 20
SECONDS = 5.0
TERMS = Terms(duration=1.5, renew_deadline=1.0, retry=0.2)


@dataclass(slots=True)
class Stint:
    """One leadership, from its first act to the end of its work; seconds of one clock for all."""

    who: str
    began: float
    ended: float = math.inf


@dataclass(slots=True)
class Pair:
    """What two replicas did."""

    stints: list[Stint] = field(default_factory=list)
    trouble: int = 0

    async def work(self, who: str, leadership: Leadership) -> None:
        loop = asyncio.get_running_loop()
        stint = Stint(who, loop.time())
        leadership.check()
        self.stints.append(stint)
        try:
            # It never asks whether it still leads: it ends when it is ended, and says until when it was at it.
            await asyncio.Event().wait()
        finally:
            stint.ended = loop.time()

    def overlaps(self) -> list[tuple[Stint, Stint]]:
        stints = sorted(self.stints, key=lambda one: one.began)
        return [(a, b) for a, b in itertools.combinations(stints, 2) if b.began <= a.ended and a.who != b.who]


def _heard(what: str, detail: str) -> None:
    """Nothing is done about the news."""


async def run(number: int, seed: int, cluster: Cluster, folder: Path) -> Pair:
    chance = random.Random(seed)
    pair = Pair()
    async with contextlib.AsyncExitStack() as stack:
        proxies, electors = [], []
        for who in ("a", "b"):
            proxy = await stack.enter_async_context(Proxy(cluster.url, delay=0.15))
            own = behind(cluster, proxy, folder / f"{number}-{who}")
            client = await KubernetesClient.connect(kubeconfig=own.kubeconfig, context=None, timeout=0.4)
            await stack.enter_async_context(client)
            elector = Elector(
                store=KubernetesLease(client, namespace="default", name=f"pair-{number}"),
                identity=who,
                terms=TERMS,
                work=lambda leadership, who=who: pair.work(who, leadership),  # type: ignore[misc]
                report=_heard,
                clock=SystemClock(),
                chance=SystemChance(),
            )
            proxies.append(proxy)
            electors.append(asyncio.create_task(elector.run()))
        until = asyncio.get_running_loop().time() + SECONDS
        while asyncio.get_running_loop().time() < until:
            await asyncio.sleep(chance.uniform(0.1, 0.6))
            chance.choice(proxies).become(chance.choice(list(Mode)))
            pair.trouble += 1
        for proxy in proxies:
            proxy.become(Mode.PASS)
        await asyncio.sleep(TERMS.duration + 4 * TERMS.retry)
        count = len(pair.stints)
        assert count, f"nobody led in run {number} (seed {seed})"
        for task in electors:
            task.cancel()
        await asyncio.gather(*electors, return_exceptions=True)
    return pair


@pytest.mark.slow
async def test_of_two_replicas_that_are_cut_off_at_random_never_both_are_at_work(
    tmp_path: Path, capsys: Any
) -> None:
    seed = random.SystemRandom().randrange(10**6)
    stints = 0
    async with KubernetesApi(CRDS, []) as api:
        cluster = Cluster(api.kubeconfig(tmp_path / "kubeconfig"), api.url, api)
        for start in range(0, RUNS, ABREAST):
            numbers = range(start, min(start + ABREAST, RUNS))
            pairs = await asyncio.gather(*(run(number, seed + number, cluster, tmp_path) for number in numbers))
            for number, pair in zip(numbers, pairs, strict=True):
                assert pair.overlaps() == [], f"run {number}, seed {seed}"
                stints += len(pair.stints)
    with capsys.disabled():
        print(f"\n{RUNS} pairs (seed {seed}), {stints} leaderships, 0 overlaps")
    assert stints > RUNS, "the work must have changed hands now and then, or nothing was tested"
