"""Every call of a happy rollback, failed in every way a network and an API server have: the end is always the same.

The happy run is recorded first, so a call that the daemon makes tomorrow is failed here tomorrow.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from daemon.sandbox.kubernetes_api import Fault, KubernetesApi
from tests import builders
from tests.cluster import CRDS, Cluster
from tests.running import Daemon, running
from tests.scene import Scene

NAMESPACE = "shop"

SURE = 3
"""So many calls of one kind happen in every run; how many notices are written down together after that varies, and
so does what of a timeline is."""

FAULTS: dict[str, dict[str, Any]] = {
    "429": {"action": "status", "code": 429, "retry_after": 0.2},
    "500": {"action": "status", "code": 500},
    "503, three times": {"action": "status", "code": 503, "times": 3},
    "409": {"action": "status", "code": 409},
    "403 for a moment": {"action": "status", "code": 403, "message": "denied by a webhook that is restarting"},
    "slow": {"action": "slow", "seconds": 0.7},
    "hangs": {"action": "hang"},
    "reset": {"action": "reset"},
    "answer lost": {"action": "lose"},
}

AT_ONCE = {"500", "409", "hangs", "answer lost"}


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[tuple[Cluster, Scene, KubernetesApi]]:
    async with (
        KubernetesApi(CRDS, [NAMESPACE]) as api,
        aiohttp.ClientSession(api.url) as http,
    ):
        scene = Scene(http, NAMESPACE)
        await scene.add_canary(weight=25)
        yield Cluster(api.kubeconfig(tmp_path / "kubeconfig"), api.url, api), scene, api


async def calls_of_a_happy_run(
    cluster: Cluster, scene: Scene, api: KubernetesApi, folder: Path
) -> list[tuple[str, str, str, int]]:
    """(verb, resource, subresource, how many of the same came before) of every call after the alert."""
    async with running(cluster, folder) as daemon:
        api.requests.clear()
        await daemon.alert(builders.webhook(builders.alert(NAMESPACE)))
        await scene.record("Proved")
    counted: Counter[tuple[str, str, str]] = Counter()
    calls = []
    for call in api.requests:
        kind = (call.verb, call.resource, call.subresource)
        ours = call.user_agent.startswith("pullback") and call.resource != "leases"
        sure = 1 if call.resource == "canaryrevisions" else SURE
        if ours and call.verb in {"get", "create", "patch"} and counted[kind] < sure:
            calls.append((*kind, counted[kind]))
            counted[kind] += 1
    return calls


async def send_until_taken(daemon: Daemon, body: builders.Json) -> int:
    """As Alertmanager does: 5xx is sent again, nothing else is."""
    for tries in range(1, 30):
        status, _ = await daemon.alert(body)
        if status == 200:
            return tries
        assert status == 503
        await asyncio.sleep(0.1)
    raise AssertionError("never taken")


def each_fault() -> list[Any]:
    """One of each sort with every run; the others, which take as long, with the slow ring."""
    return [pytest.param(one, marks=() if one in AT_ONCE else pytest.mark.slow) for one in FAULTS]


@pytest.mark.parametrize("fault", each_fault())
async def test_whatever_call_fails_the_canary_ends_at_zero_with_one_record(
    fault: str, shop: tuple[Cluster, Scene, KubernetesApi], tmp_path: Path
) -> None:
    cluster, scene, api = shop
    calls = await calls_of_a_happy_run(cluster, scene, api, tmp_path)
    writes = [call for call in calls if call[0] != "get"]

    first = [call[:3] for call in writes if call[1] != "canaryrevisions"][:2]
    assert set(first) == {("patch", "virtualservices", ""), ("create", "rollbacks", "")}

    for verb, resource, subresource, before in [*writes, ("get", "virtualservices", "", 0)]:
        name = writes_name(verb, resource, subresource, before)
        await scene.add_canary(name, weight=25)
        async with running(cluster, tmp_path, kubernetes={"timeout": 0.5}) as daemon:
            struck = api.faults.add(
                Fault(verb=verb, resource=resource, subresource=subresource, after=before, **FAULTS[fault])
            )
            await send_until_taken(daemon, builders.webhook(builders.alert(NAMESPACE, name, fingerprint=name)))
            record = await proved(scene, name)
            api.faults.clear()

        assert struck.hits >= 1, f"{fault} at {verb} {resource} never struck"
        assert await scene.weights(name) == [100, 0]
        assert record["status"]["secondsToZero"] < 10


def writes_name(verb: str, resource: str, subresource: str, before: int) -> str:
    return "-".join(part for part in (verb, resource, subresource, str(before)) if part)


async def proved(scene: Scene, canary: str) -> builders.Json:
    """The one record of this canary, once it is proved."""
    found: list[builders.Json] = []
    for _ in range(500):
        found = [one for one in await scene.records() if one["spec"]["canaryRef"]["name"] == canary]
        assert len(found) <= 1
        if found and found[0].get("status", {}).get("phase") == "Proved":
            return found[0]
        await asyncio.sleep(0.02)
    raise AssertionError(f"{canary} never proved: {found}")
