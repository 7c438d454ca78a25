"""Manifests and raw calls that the tests of the Kubernetes API share."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
import pytest
from kubernetes_asyncio.client.exceptions import ApiException

JSON_PATCH = "application/json-patch+json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
VS = ("networking.istio.io", "v1")
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
SOON = 5.0

Json = dict[str, Any]


def route(name: str, stable: int = 90, canary: int = 10, **metadata: Any) -> Json:
    weights = ({"host": "stable"}, stable), ({"host": "canary"}, canary)
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, **metadata},
        "spec": {
            "hosts": ["app"],
            "http": [{"route": [{"destination": d, "weight": w} for d, w in weights]}],
        },
    }


def rollback(name: str, spec: Json | None = None) -> Json:
    head = {"apiVersion": "pullback.dev/v1alpha1", "kind": "Rollback", "metadata": {"name": name}}
    return {**head, "spec": {"canaryRef": {"name": "app"}} if spec is None else spec}


def deployment(name: str, replicas: int = 2) -> Json:
    labels = {"app": name}
    containers = [{"name": "c1", "image": "i:1"}, {"name": "c2", "image": "i:2"}]
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def weights_of(value: Json) -> list[int]:
    return [r.get("weight", 0) for r in value["spec"]["http"][0]["route"]]


def vs_path(namespace: str, name: str = "", version: str = "v1") -> str:
    return f"/apis/networking.istio.io/{version}/namespaces/{namespace}/virtualservices/{name}".rstrip("/")


def rb_path(namespace: str, name: str = "") -> str:
    return f"/apis/pullback.dev/v1alpha1/namespaces/{namespace}/rollbacks/{name}".rstrip("/")


async def call(
    session: aiohttp.ClientSession, method: str, path: str, body: Any = None, kind: str = "application/json"
) -> tuple[int, Any]:
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body)
    async with session.request(method, path, data=data, headers={"Content-Type": kind}) as response:
        text = await response.text()
        return response.status, json.loads(text) if "json" in response.content_type else text


async def made(session: aiohttp.ClientSession, path: str, body: Json) -> Json:
    status, answer = await call(session, "POST", path, body)
    assert status == 201, answer
    result: Json = answer
    return result


async def patched(session: aiohttp.ClientSession, path: str, body: Any) -> Json:
    kind = JSON_PATCH if isinstance(body, list) else MERGE
    status, answer = await call(session, "PATCH", path, body, kind)
    assert status == 200, answer
    result: Json = answer
    return result


def assert_status(answer: tuple[int, Any], code: int, reason: str) -> Json:
    status, body = answer
    assert (status, body["kind"], body["status"], body["reason"], body["code"]) == (
        code,
        "Status",
        "Failure",
        reason,
        code,
    ), body
    result: Json = body
    return result


@contextmanager
def refused(code: int, reason: str | None = None) -> Iterator[None]:
    with pytest.raises(ApiException) as caught:
        yield
    assert caught.value.status == code, caught.value
    if reason:
        body = json.loads(caught.value.body or "{}")
        assert (body["kind"], body["reason"], body["code"]) == ("Status", reason, code)


async def read_events(response: aiohttp.ClientResponse, count: int, within: float = SOON) -> list[Json]:
    async with asyncio.timeout(within):
        return [json.loads(await response.content.readline()) for _ in range(count)]


def summary(events: list[Json]) -> list[tuple[str, str]]:
    return [(e["type"], e["object"]["metadata"]["name"]) for e in events]
