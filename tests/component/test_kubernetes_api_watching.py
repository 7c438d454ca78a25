"""Watches: the same events from the embedded API and a real kube-apiserver."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import aiohttp
import pytest
from kubernetes_asyncio import watch as k8s_watch
from kubernetes_asyncio.client.exceptions import ApiException

from tests.kubernetes_calls import (
    VS,
    call,
    made,
    patched,
    read_events,
    route,
    summary,
    vs_path,
    weights_of,
)


class TestWatching:
    async def test_from_a_list_on(self, custom_objects: Any, http: aiohttp.ClientSession, namespace: str) -> None:
        await made(http, vs_path(namespace), route("b"))
        listed = await custom_objects.list_namespaced_custom_object(*VS, namespace, "virtualservices")
        revision = listed["metadata"]["resourceVersion"]
        op = [{"op": "replace", "path": "/spec/http/0/route/1/weight", "value": 1}]
        last = await patched(http, vs_path(namespace, "b"), op)
        await call(http, "DELETE", vs_path(namespace, "b"))
        started = time.monotonic()
        seen = []
        async with k8s_watch.Watch() as watcher:
            stream = watcher.stream(
                custom_objects.list_namespaced_custom_object,
                *VS,
                namespace,
                "virtualservices",
                resource_version=revision,
                timeout_seconds=1,
            )
            async for event in stream:
                seen.append((event["type"], event["object"]))  # noqa: PERF401
        assert [(kind, value["metadata"]["name"]) for kind, value in seen] == [("MODIFIED", "b"), ("DELETED", "b")]
        assert weights_of(seen[0][1]) == [90, 1]
        deleted = int(seen[1][1]["metadata"]["resourceVersion"])
        assert deleted > int(last["metadata"]["resourceVersion"])
        assert 0.7 < time.monotonic() - started < 5

    async def test_without_a_version_the_state_comes_first(self, http: aiohttp.ClientSession, namespace: str) -> None:
        for name in "ab":
            await made(http, vs_path(namespace), route(name))
        for query in ("?watch=true", "?watch=True&resourceVersion=0"):
            async with http.get(vs_path(namespace) + query) as response:
                assert summary(await read_events(response, 2)) == [("ADDED", "a"), ("ADDED", "b")]
                name = f"new-{uuid.uuid4().hex[:6]}"
                await made(http, vs_path(namespace), route(name))
                assert summary(await read_events(response, 1)) == [("ADDED", name)]
                await call(http, "DELETE", vs_path(namespace, name))

    async def test_a_version_long_gone(self, custom_objects: Any, http: aiohttp.ClientSession, namespace: str) -> None:
        query = "?watch=1&resourceVersion=1"
        async with http.get(vs_path(namespace) + query) as response:
            (event,) = await read_events(response, 1)
            assert await response.content.read() == b""
        assert response.status == 200
        assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")
        assert event["object"]["message"].startswith("too old resource version: 1 (")
        async with k8s_watch.Watch() as watcher:
            where = (*VS, namespace, "virtualservices")
            stream = watcher.stream(
                custom_objects.list_namespaced_custom_object, *where, resource_version="1", timeout_seconds=5
            )
            with pytest.raises(ApiException, match="too old resource version") as caught:
                await anext(stream)
        assert caught.value.status == 410

    async def test_selectors_see_objects_come_and_go(self, http: aiohttp.ClientSession, namespace: str) -> None:
        first = await made(http, vs_path(namespace), route("a", labels={"app": "x"}))
        since = first["metadata"]["resourceVersion"]
        query = f"?watch=1&labelSelector=app%3Dx&resourceVersion={since}"
        async with http.get(vs_path(namespace) + query) as response:
            await made(http, vs_path(namespace), route("other", labels={"app": "y"}))
            for app in ("y", "x"):
                await patched(http, vs_path(namespace, "a"), {"metadata": {"labels": {"app": app}}})
            events = await read_events(response, 2)
        assert summary(events) == [("DELETED", "a"), ("ADDED", "a")]
        assert events[0]["object"]["metadata"]["labels"] == {"app": "x"}
        assert int(events[0]["object"]["metadata"]["resourceVersion"]) > int(since)

    async def test_one_object_and_all_namespaces(self, http: aiohttp.ClientSession, namespace: str) -> None:
        first = await made(http, vs_path(namespace), route("a"))
        since = first["metadata"]["resourceVersion"]
        everywhere = f"/apis/networking.istio.io/v1/virtualservices?watch=1&resourceVersion={since}"
        one = f"{vs_path(namespace)}?watch=1&resourceVersion={since}&fieldSelector=metadata.name%3Db"
        async with http.get(everywhere) as wide, http.get(one) as narrow:
            for name in "bc":
                await made(http, vs_path(namespace), route(name))
            ours = [e for e in await read_events(wide, 2) if e["object"]["metadata"]["namespace"] == namespace]
            assert summary(ours) == [("ADDED", "b"), ("ADDED", "c")]
            assert summary(await read_events(narrow, 1)) == [("ADDED", "b")]

    async def test_a_bookmark_comes_before_the_timeout(self, http: aiohttp.ClientSession, namespace: str) -> None:
        first = await made(http, vs_path(namespace), route("a"))
        since = first["metadata"]["resourceVersion"]
        query = f"?watch=1&allowWatchBookmarks=true&timeoutSeconds=3&resourceVersion={since}"
        async with http.get(vs_path(namespace) + query) as response:
            lines = (await response.content.read()).splitlines()
        bookmark = json.loads(lines[-1])
        assert bookmark["type"] == "BOOKMARK"
        assert bookmark["object"]["kind"] == "VirtualService"
        assert int(bookmark["object"]["metadata"]["resourceVersion"]) >= int(since)
