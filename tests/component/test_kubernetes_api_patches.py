"""Patches, status and ownership: the same answers from the embedded API and a real kube-apiserver."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from typing import Any

import aiohttp
import pytest

from tests.kubernetes_calls import (
    JSON_PATCH,
    MERGE,
    STRATEGIC,
    VS,
    Json,
    assert_status,
    call,
    deployment,
    made,
    patched,
    rb_path,
    refused,
    rollback,
    route,
    vs_path,
    weights_of,
)


class TestPatches:
    @pytest.fixture(autouse=True)
    async def _a_route(self, http: aiohttp.ClientSession, namespace: str) -> None:
        labels = {"k": "v"}
        self.made = await made(http, vs_path(namespace), route("a", labels=labels))
        self.path = vs_path(namespace, "a")

    async def test_content_types(self, custom_objects: Any, http: aiohttp.ClientSession, namespace: str) -> None:
        where = (*VS, namespace, "virtualservices", "a")
        labels = {"metadata": {"labels": {"k": "v2", "z": "1"}}}
        with refused(400, "BadRequest"):
            await custom_objects.patch_namespaced_custom_object(*where, labels)
        merged = await custom_objects.patch_namespaced_custom_object(*where, labels, _content_type=MERGE)
        assert merged["metadata"]["labels"] == {"k": "v2", "z": "1"}
        removed = {"metadata": {"labels": {"z": None}}}
        merged = await custom_objects.patch_namespaced_custom_object(*where, removed, _content_type=MERGE)
        assert merged["metadata"]["labels"] == {"k": "v2"}
        assert_status(await call(http, "PATCH", self.path, labels, STRATEGIC), 415, "UnsupportedMediaType")
        assert_status(await call(http, "PATCH", self.path, labels), 415, "UnsupportedMediaType")
        assert_status(await call(http, "PATCH", self.path, b"[", JSON_PATCH), 400, "BadRequest")
        assert (await call(http, "PATCH", self.path, b"[]", MERGE))[0] in {400, 422}
        assert_status(await call(http, "PATCH", vs_path(namespace, "b"), labels, MERGE), 404, "NotFound")

    async def test_json_patch(self, custom_objects: Any, namespace: str) -> None:
        where = (*VS, namespace, "virtualservices", "a")
        revision = self.made["metadata"]["resourceVersion"]
        guard = {"op": "test", "path": "/metadata/resourceVersion", "value": revision}
        zero = [
            {"op": "replace", "path": "/spec/http/0/route/0/weight", "value": 100},
            {"op": "replace", "path": "/spec/http/0/route/1/weight", "value": 0},
        ]
        done = await custom_objects.patch_namespaced_custom_object(*where, [guard, *zero])
        assert weights_of(done) == [100, 0]
        assert done["metadata"]["generation"] == 2
        with refused(422, "Invalid"):
            await custom_objects.patch_namespaced_custom_object(*where, [guard, *zero])

    @pytest.mark.parametrize(
        "operation",
        [
            {"op": "test", "path": "/spec/http/0/route/0/weight", "value": 1},
            {"op": "test", "path": "/spec/nope", "value": 1},
            {"op": "replace", "path": "/spec/nope", "value": 1},
            {"op": "remove", "path": "/spec/http/7"},
            {"op": "add", "path": "/spec/nope/below", "value": 1},
            {"op": "add", "path": "/spec/http/9", "value": {}},
            {"op": "bogus", "path": "/spec", "value": 1},
            {"op": "copy", "from": "/spec/nope", "path": "/spec/x"},
        ],
        ids=lambda o: f"{o['op']} {o['path']}",
    )
    async def test_json_patch_that_does_not_apply(self, http: aiohttp.ClientSession, operation: Json) -> None:
        ops = [{"op": "add", "path": "/metadata/labels/half", "value": "done"}, operation]
        assert_status(await call(http, "PATCH", self.path, ops, JSON_PATCH), 422, "Invalid")
        assert (await call(http, "GET", self.path))[1] == self.made

    async def test_every_json_patch_operation(self, http: aiohttp.ClientSession) -> None:
        ops = [
            {"op": "test", "path": "/spec/hosts", "value": ["app"]},
            {"op": "add", "path": "/spec/hosts/-", "value": "last"},
            {"op": "add", "path": "/spec/hosts/0", "value": "first"},
            {"op": "copy", "from": "/spec/hosts/0", "path": "/spec/hosts/1"},
            {"op": "move", "from": "/spec/http", "path": "/spec/kept"},
            {"op": "remove", "path": "/metadata/labels/k"},
            {"op": "add", "path": "/metadata/annotations", "value": {"pullback.dev/x": "1"}},
            {"op": "replace", "path": "/metadata/annotations/pullback.dev~1x", "value": "2"},
        ]
        value = await patched(http, self.path, ops)
        assert value["spec"]["hosts"] == ["first", "first", "app", "last"]
        assert "http" not in value["spec"]
        assert value["spec"]["kept"] == self.made["spec"]["http"]
        assert value["metadata"].get("labels", {}) == {}
        assert value["metadata"]["annotations"] == {"pullback.dev/x": "2"}

    async def test_a_stale_merge_patch_conflicts(self, http: aiohttp.ClientSession) -> None:
        stale = self.made["metadata"]["resourceVersion"]
        body = {"metadata": {"resourceVersion": stale, "labels": {"k": "v2"}}}
        await patched(http, self.path, body)
        body["metadata"]["labels"] = {"k": "v3"}
        assert_status(await call(http, "PATCH", self.path, body, MERGE), 409, "Conflict")

    async def test_of_racing_writers_one_wins(self, http: aiohttp.ClientSession) -> None:
        read = self.made["metadata"]["resourceVersion"]
        bodies = [{"metadata": {"resourceVersion": read, "labels": {"n": str(n)}}} for n in range(5)]
        answers = await asyncio.gather(*(call(http, "PATCH", self.path, b, MERGE) for b in bodies))
        assert sorted(a[0] for a in answers) == [200, 409, 409, 409, 409]

    async def test_a_patch_cannot_rename(self, http: aiohttp.ClientSession) -> None:
        answer = await call(http, "PATCH", self.path, {"metadata": {"name": "b"}}, MERGE)
        assert answer[0] in {400, 422}

    async def test_server_owned_fields_stay(self, http: aiohttp.ClientSession) -> None:
        body: Json = {"metadata": {"generation": 77, "creationTimestamp": None, "uid": None, "labels": {"a": "b"}}}
        metadata = (await patched(http, self.path, body))["metadata"]
        for field in ("generation", "creationTimestamp", "uid"):
            assert metadata[field] == self.made["metadata"][field]
        younger = {"metadata": {"creationTimestamp": "2001-01-01T00:00:00Z"}}
        assert_status(await call(http, "PATCH", self.path, younger, MERGE), 422, "Invalid")


class TestStatus:
    async def test_status_and_the_rest_do_not_touch_each_other(
        self, custom_objects: Any, http: aiohttp.ClientSession, namespace: str
    ) -> None:
        where = ("pullback.dev", "v1alpha1", namespace, "rollbacks")
        body = {**rollback("r"), "status": {"phase": "Completed"}}
        assert "status" not in await custom_objects.create_namespaced_custom_object(*where, body)
        told = {
            "status": {"phase": "Zeroed", "secondsToZero": 0.25},
            "spec": {"reason": "x"},
            "metadata": {"labels": {"a": "b"}},
        }
        value = await custom_objects.patch_namespaced_custom_object_status(*where, "r", told, _content_type=MERGE)
        assert value["status"] == {"phase": "Zeroed", "secondsToZero": 0.25}
        assert "reason" not in value["spec"]
        assert "labels" not in value["metadata"]
        assert value["metadata"]["generation"] == 1
        kept = await patched(
            http, rb_path(namespace, "r"), {"status": {"phase": "Failed"}, "metadata": told["metadata"]}
        )
        assert kept["status"]["phase"] == "Zeroed"
        assert kept["metadata"]["labels"] == {"a": "b"}
        whole = {**kept, "status": {"phase": "Proved"}}
        status, replaced = await call(http, "PUT", rb_path(namespace, "r/status"), whole)
        assert (status, replaced["status"]) == (200, {"phase": "Proved"})
        assert_status(await call(http, "PUT", rb_path(namespace, "r/status"), whole), 409, "Conflict")
        status, shown = await call(http, "GET", rb_path(namespace, "r/status"))
        assert (status, shown) == (200, replaced)

    async def test_deployments_have_it_too(self, http: aiohttp.ClientSession, namespace: str) -> None:
        base = f"/apis/apps/v1/namespaces/{namespace}/deployments"
        await made(http, base, deployment("web"))
        ready = {"status": {"replicas": 2, "readyReplicas": 2}, "spec": {"replicas": 9}}
        value = await patched(http, f"{base}/web/status", ready)
        assert (value["spec"]["replicas"], value["status"]["readyReplicas"]) == (2, 2)
        assert value["metadata"]["generation"] == 1
        value = await patched(http, f"{base}/web", {"status": {"readyReplicas": 1}, "spec": {"replicas": 3}})
        assert (value["spec"]["replicas"], value["status"]["readyReplicas"]) == (3, 2)
        assert value["metadata"]["generation"] == 2


class TestOwnership:
    async def test_whoever_changed_a_field_is_named(self, http: aiohttp.ClientSession, namespace: str) -> None:
        path = vs_path(namespace, "a")
        await made(http, vs_path(namespace) + "?fieldManager=maker", route("a", labels={"k": "v"}))
        op = [{"op": "replace", "path": "/spec/http/0/route/1/weight", "value": 50}]
        headers = {"User-Agent": "raiser/v1.2 (linux)", "Content-Type": JSON_PATCH}
        async with http.patch(path, data=json.dumps(op), headers=headers) as response:
            entries = (await response.json())["metadata"]["managedFields"]
        by_manager = {e["manager"]: e for e in entries}
        assert set(by_manager) == {"maker", "raiser"}
        raiser = by_manager["raiser"]
        assert (raiser["operation"], raiser["apiVersion"]) == ("Update", "networking.istio.io/v1")
        assert raiser["fieldsV1"] == {"f:spec": {"f:http": {}}}
        assert raiser["fieldsType"] == "FieldsV1"
        assert dt.datetime.fromisoformat(raiser["time"]).tzinfo is not None
        kept = by_manager["maker"]["fieldsV1"]
        assert "f:http" not in kept["f:spec"]
        assert kept["f:metadata"]["f:labels"] == {".": {}, "f:k": {}}

    async def test_status_writers_are_told_apart(self, http: aiohttp.ClientSession, namespace: str) -> None:
        await made(http, rb_path(namespace) + "?fieldManager=me", rollback("r"))
        value = await patched(
            http, rb_path(namespace, "r/status") + "?fieldManager=me", {"status": {"phase": "Pending"}}
        )
        entries = {e.get("subresource", ""): e for e in value["metadata"]["managedFields"]}
        assert {(e["manager"], part) for part, e in entries.items()} == {("me", ""), ("me", "status")}
        assert entries["status"]["fieldsV1"] == {"f:status": {".": {}, "f:phase": {}}}
