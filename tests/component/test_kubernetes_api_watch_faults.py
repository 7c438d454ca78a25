"""Watches of the embedded API when things go wrong: cut, frozen, too slow, too old."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from daemon.sandbox.kubernetes_api import KubernetesApi
from tests.cluster import CRDS
from tests.kubernetes_calls import (
    SOON,
    assert_status,
    call,
    made,
    patched,
    read_events,
    route,
    summary,
    vs_path,
)

PATH = vs_path("test", "app")
ZERO = [{"op": "replace", "path": "/spec/http/0/route/1/weight", "value": 0}]


@pytest.fixture
async def http(emulator: KubernetesApi) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(emulator.url) as raw:
        await made(raw, vs_path("test"), route("app"))
        yield raw


async def revision(http: aiohttp.ClientSession) -> str:
    return str((await call(http, "GET", vs_path("test")))[1]["metadata"]["resourceVersion"])


class TestWatches:
    async def test_cut(self, emulator: KubernetesApi, http: aiohttp.ClientSession) -> None:
        async with http.get(f"{vs_path('test')}?watch=1") as response:
            await read_events(response, 1)
            assert emulator.faults.cut_watches("canaries") == 0
            assert emulator.faults.cut_watches("virtualservices") == 1
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.content.read()

    async def test_frozen_is_open_and_silent(self, emulator: KubernetesApi, http: aiohttp.ClientSession) -> None:
        since = await revision(http)
        async with http.get(f"{vs_path('test')}?watch=1&timeoutSeconds=1&resourceVersion={since}") as response:
            assert emulator.faults.freeze_watches() == 1
            await patched(http, PATH, ZERO)
            with pytest.raises(TimeoutError):
                await read_events(response, 1, within=1.2)
            emulator.faults.thaw_watches()
            assert summary(await read_events(response, 1)) == [("MODIFIED", "app")]

    async def test_frozen_from_the_start(self, emulator: KubernetesApi, http: aiohttp.ClientSession) -> None:
        emulator.faults.freeze_watches("virtualservices", new_too=True)
        async with http.get(f"{vs_path('test')}?watch=1") as response:
            with pytest.raises(TimeoutError):
                await read_events(response, 1, within=0.1)
            emulator.faults.clear()
            assert summary(await read_events(response, 1)) == [("ADDED", "app")]

    async def test_a_caller_who_hangs_up_is_forgotten(
        self, emulator: KubernetesApi, http: aiohttp.ClientSession
    ) -> None:
        async with http.get(f"{vs_path('test')}?watch=1") as response:
            await read_events(response, 1)
            response.close()
        async with asyncio.timeout(SOON):
            while emulator.faults.watches.open:  # noqa: ASYNC110 - the server tells nobody
                await asyncio.sleep(0.01)

    async def test_compaction_expires_watches_and_pages(
        self, emulator: KubernetesApi, http: aiohttp.ClientSession
    ) -> None:
        await made(http, vs_path("test"), route("b"))
        _, page = await call(http, "GET", f"{vs_path('test')}?limit=1")
        since = page["metadata"]["resourceVersion"]
        await patched(http, PATH, ZERO)
        emulator.compact()
        async with http.get(f"{vs_path('test')}?watch=1&resourceVersion={since}") as response:
            (event,) = await read_events(response, 1)
        assert (event["type"], event["object"]["code"]) == ("ERROR", 410)
        rest = await call(http, "GET", f"{vs_path('test')}?continue={page['metadata']['continue']}")
        assert_status(rest, 410, "Expired")

    async def test_history_is_bounded(self) -> None:
        async with KubernetesApi(CRDS, ["test"], history=3) as api, aiohttp.ClientSession(api.url) as http:
            since = (await made(http, vs_path("test"), route("app")))["metadata"]["resourceVersion"]
            for weight in range(1, 4):
                await patched(http, PATH, [{**ZERO[0], "value": weight}])
            query = f"?watch=1&timeoutSeconds=1&resourceVersion={since}"
            async with http.get(vs_path("test") + query) as response:
                assert {e["type"] for e in await read_events(response, 3)} == {"MODIFIED"}
            await patched(http, PATH, ZERO)
            async with http.get(vs_path("test") + query) as response:
                assert (await read_events(response, 1))[0]["object"]["reason"] == "Expired"

    async def test_bookmarks_beat(self) -> None:
        async with (
            KubernetesApi(CRDS, ["test"], bookmark_interval=0.05) as api,
            aiohttp.ClientSession(api.url) as http,
        ):
            since = await revision(http)
            await made(http, "/api/v1/namespaces/test/configmaps", {"metadata": {"name": "c"}})
            query = f"?watch=1&allowWatchBookmarks=True&resourceVersion={since}"
            async with http.get(vs_path("test") + query) as response:
                bookmark, _ = await read_events(response, 2)
            assert bookmark["type"] == "BOOKMARK"
            assert int(bookmark["object"]["metadata"]["resourceVersion"]) > int(since)

    async def test_a_streaming_list(self, http: aiohttp.ClientSession) -> None:
        query = "?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
        async with http.get(vs_path("test") + query) as response:
            added, end = await read_events(response, 2)
        assert (added["type"], end["type"]) == ("ADDED", "BOOKMARK")
        assert end["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}

    async def test_who_does_not_read_is_cut(self) -> None:
        async with (
            KubernetesApi(CRDS, ["test"], watch_queue=5) as api,
            aiohttp.ClientSession(api.url, read_bufsize=1024) as http,
        ):
            big = {"metadata": {"name": "big", "namespace": "test"}, "data": {"k": "x" * 900_000}}
            api.create({"apiVersion": "v1", "kind": "ConfigMap", **big})
            path = "/api/v1/namespaces/test/configmaps"
            async with http.get(f"{path}?watch=1&resourceVersion={api.resource_version}") as response:
                async with asyncio.timeout(SOON):
                    number = 0
                    while api.faults.watches.open:
                        number += 1
                        api.patch("configmaps", "big", "test", {"data": {"n": str(number)}})
                        await asyncio.sleep(0.005)
                with pytest.raises(aiohttp.ClientError):
                    await response.content.read()
