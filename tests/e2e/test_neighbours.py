"""Envoy does what the VirtualServices say: at once, or it says why not."""

from __future__ import annotations

import asyncio
import time

import aiohttp
import pytest

from daemon.sandbox.envoy import Envoy, RoutesRejectedError
from daemon.sandbox.kubernetes_api import KubernetesApi
from daemon.sandbox.load import Load
from daemon.sandbox.mesh import Mesh
from tests.neighbours import eventually, routes, virtual_service

pytestmark = pytest.mark.e2e

VIRTUAL_SERVICES = "virtualservices.networking.istio.io"


async def test_after_a_swap_to_zero_no_request_reaches_the_canary(envoy: Envoy) -> None:
    async with Load(envoy.url, "podinfo", 150) as load:
        await asyncio.sleep(1.0)
        swap = await envoy.swap(routes(100, 0), "42")
        counted = (await envoy.requests())["podinfo-canary"].total
        await asyncio.sleep(1.0)
        after = await envoy.requests()
    assert await envoy.applied_version() == "42"
    assert load.tally.share("v2", since=0) > 0.1
    assert load.tally.sent_after(swap.confirmed_at, "v2") == 0
    assert after["podinfo-canary"].total == counted
    assert after["podinfo-primary"].by_code["200"] > 100
    assert load.tally.bad == 0
    assert load.tally.skipped == 0


async def test_a_refused_update_is_noticed_with_envoys_reason_and_the_old_routes_stay(envoy: Envoy) -> None:
    nothing = routes(50, 50)
    for share in nothing["virtual_hosts"][0]["routes"][0]["route"]["weighted_clusters"]["clusters"]:
        share["weight"] = 0  # past the translator, which would have refused it
    with pytest.raises(RoutesRejectedError, match=r"routes 43: Sum of weights .* must be greater than 0"):
        await envoy.swap(nothing, "43")
    assert await envoy.applied_version() == "0"
    assert (await envoy.swap(routes(100, 0), "44")).version == "44"


async def test_envoy_follows_headers_and_mirrors_as_translated(envoy: Envoy, session: aiohttp.ClientSession) -> None:
    canary, stable = ([{"destination": {"host": host}}] for host in ("podinfo-canary", "podinfo-primary"))
    await envoy.swap(
        routes(
            100,
            0,
            {"match": [{"headers": {"x-canary": {"exact": "true"}}}], "route": canary},
            {"match": [{"uri": {"prefix": "/m"}}], "route": stable, "mirror": {"host": "podinfo-canary"}},
            {"match": [{"uri": {"prefix": "/w"}, "withoutHeaders": {"x-no": {"exact": "1"}}}], "route": canary},
        ),
        "2",
    )

    async def version_at(path: str, **headers: str) -> str:
        async with session.get(envoy.url + path, headers={"Host": "podinfo.test", **headers}) as response:
            return str((await response.json())["version"])

    assert await version_at("/") == "v1"
    assert await version_at("/", **{"x-canary": "true"}) == "v2"
    assert await version_at("/w") == "v2"
    assert await version_at("/w", **{"x-no": "1"}) == "v1"
    before = (await envoy.requests())["podinfo-canary"].total
    assert await version_at("/m") == "v1"

    async def mirrored() -> bool:
        return (await envoy.requests())["podinfo-canary"].total > before

    await eventually(mirrored)


def weigh(api: KubernetesApi, stable: int, canary: int) -> str:
    """Written as a rollback writes it; returns the resourceVersion."""
    patch = [
        {"op": "replace", "path": f"/spec/http/0/route/{index}/weight", "value": weight}
        for index, weight in enumerate((stable, canary))
    ]
    written = api.patch(VIRTUAL_SERVICES, "podinfo", "test", patch)
    return str(written["metadata"]["resourceVersion"])


async def test_a_weight_written_to_the_api_is_in_force_in_envoy_at_once(emulator: KubernetesApi, envoy: Envoy) -> None:
    emulator.create(virtual_service(50, 50))
    async with Mesh(emulator.url, envoy, envoy.session, "test") as mesh, Load(envoy.url, "podinfo", 100) as load:
        await asyncio.sleep(0.5)
        written_at = time.time()
        applied = await mesh.wait_until_applied(weigh(emulator, 100, 0))
        await asyncio.sleep(0.5)
    assert applied.moved_at - written_at < 0.5
    assert load.tally.share("v2") > 0.1
    assert load.tally.sent_after(applied.confirmed_at, "v2") == 0


async def test_what_envoy_cannot_do_is_said_and_the_next_good_state_heals_it(
    emulator: KubernetesApi, envoy: Envoy
) -> None:
    emulator.create(virtual_service(50, 50))
    async with Mesh(emulator.url, envoy, envoy.session) as mesh:
        with pytest.raises(TimeoutError, match=r"not in force: VirtualService test/podinfo: .* add up to 0"):
            await mesh.wait_until_applied(weigh(emulator, 0, 0), timeout=0.5)
        await mesh.wait_until_applied(weigh(emulator, 100, 0))
        assert mesh.failure is None


async def test_the_mesh_follows_through_cut_watches_and_forgotten_history(
    emulator: KubernetesApi, envoy: Envoy
) -> None:
    emulator.create(virtual_service(50, 50))
    async with Mesh(emulator.url, envoy, envoy.session) as mesh:
        await mesh.wait_until_applied(weigh(emulator, 60, 40))
        emulator.faults.cut_watches()
        await mesh.wait_until_applied(weigh(emulator, 70, 30))
        emulator.faults.cut_watches()
        version = weigh(emulator, 80, 20)
        emulator.compact()
        await mesh.wait_until_applied(version)
        emulator.delete(VIRTUAL_SERVICES, "podinfo", "test")
        emulator.create(virtual_service(100, 0))
        (service,) = emulator.list(VIRTUAL_SERVICES, "test")
        await mesh.wait_until_applied(service["metadata"]["resourceVersion"])
