"""Is the embedded Kubernetes API one? `cluster` holds it and a real kube-apiserver to the same answers."""

from __future__ import annotations

import copy
import re
import uuid
from typing import Any

import aiohttp
from kubernetes_asyncio import client as k8s

from tests.kubernetes_calls import (
    MERGE,
    VS,
    assert_status,
    call,
    made,
    patched,
    refused,
    rollback,
    route,
    vs_path,
    weights_of,
)


class TestObjects:
    async def test_a_new_object_gets_its_identity(self, custom_objects: Any, namespace: str) -> None:
        empty = await custom_objects.list_namespaced_custom_object(*VS, namespace, "virtualservices")
        made_vs = await custom_objects.create_namespaced_custom_object(*VS, namespace, "virtualservices", route("a"))
        assert (empty["kind"], empty["items"]) == ("VirtualServiceList", [])
        assert empty["metadata"].get("continue", "") == ""
        metadata = made_vs["metadata"]
        assert int(metadata["resourceVersion"]) > int(empty["metadata"]["resourceVersion"])
        assert str(uuid.UUID(metadata["uid"])) == metadata["uid"]
        assert metadata["generation"] == 1
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", metadata["creationTimestamp"])
        with refused(409, "AlreadyExists"):
            await custom_objects.create_namespaced_custom_object(*VS, namespace, "virtualservices", route("a"))
        with refused(404, "NotFound"):
            await custom_objects.get_namespaced_custom_object(*VS, namespace, "virtualservices", "nope")

    async def test_lists_by_selector_by_page_and_across_namespaces(
        self, custom_objects: Any, http: aiohttp.ClientSession, namespace: str
    ) -> None:
        for name, labels in (("a", {"app": "x", "tier": "web"}), ("b", {"app": "y"}), ("c", {})):
            await made(http, vs_path(namespace), route(name, labels=labels))

        async def names(**query: Any) -> list[str]:
            found = await custom_objects.list_namespaced_custom_object(*VS, namespace, "virtualservices", **query)
            return [i["metadata"]["name"] for i in found["items"]]

        assert await names(label_selector="app=x") == ["a"]
        assert await names(label_selector="app!=x") == ["b", "c"]
        assert await names(label_selector="app in (x, y),tier") == ["a"]
        assert await names(label_selector="app notin (x)") == ["b", "c"]
        assert await names(label_selector="!app") == ["c"]
        assert await names(label_selector="app") == ["a", "b"]
        assert await names(field_selector="metadata.name=b") == ["b"]
        assert await names(field_selector=f"metadata.namespace={namespace},metadata.name!=b") == ["a", "c"]
        with refused(400):
            await names(label_selector="app in x")
        with refused(400):
            await names(field_selector="spec.nope=b")
        everywhere = await custom_objects.list_cluster_custom_object(*VS, "virtualservices")
        assert {"a", "b", "c"} <= {
            i["metadata"]["name"] for i in everywhere["items"] if i["metadata"]["namespace"] == namespace
        }

    async def test_pages_show_one_moment(self, http: aiohttp.ClientSession, namespace: str) -> None:
        for name in "abc":
            await made(http, vs_path(namespace), route(name))
        first = (await call(http, "GET", vs_path(namespace) + "?limit=1"))[1]
        assert [i["metadata"]["name"] for i in first["items"]] == ["a"]
        assert first["metadata"]["remainingItemCount"] == 2
        await made(http, vs_path(namespace), route("bb"))
        token = first["metadata"]["continue"]
        rest = (await call(http, "GET", f"{vs_path(namespace)}?limit=5&continue={token}"))[1]
        assert [i["metadata"]["name"] for i in rest["items"]] == ["b", "c"]
        assert rest["metadata"].get("continue", "") == ""
        assert rest["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        assert_status(await call(http, "GET", vs_path(namespace) + "?continue=%25"), 400, "BadRequest")

    async def test_refuses_what_cannot_be_made(self, http: aiohttp.ClientSession, namespace: str) -> None:
        bad_name = assert_status(await call(http, "POST", vs_path(namespace), route("A_b")), 422, "Invalid")
        assert bad_name["details"]["causes"][0]["field"] == "metadata.name"
        bad_label = route("a", labels={"k": "not a label"})
        assert_status(await call(http, "POST", vs_path(namespace), bad_label), 422, "Invalid")
        nameless = route("")
        assert_status(await call(http, "POST", vs_path(namespace), nameless), 422, "Invalid")
        lost = assert_status(await call(http, "POST", vs_path("no-such-place"), route("a")), 404, "NotFound")
        assert lost["details"]["name"] == "no-such-place"
        assert_status(await call(http, "POST", vs_path(namespace), rollback("a")), 400, "BadRequest")
        assert_status(await call(http, "POST", vs_path(namespace), b"{"), 400, "BadRequest")
        elsewhere = route("a", namespace="default")
        assert_status(await call(http, "POST", vs_path(namespace), elsewhere), 400, "BadRequest")

    async def test_makes_up_a_name(self, http: aiohttp.ClientSession, namespace: str) -> None:
        body = route("")
        body["metadata"] = {"generateName": "app-"}
        first, second = [await made(http, vs_path(namespace), copy.deepcopy(body)) for _ in "12"]
        assert re.fullmatch(r"app-[a-z0-9]{5}", first["metadata"]["name"])
        assert first["metadata"]["name"] != second["metadata"]["name"]

    async def test_replaces_only_the_version_that_was_read(self, custom_objects: Any, namespace: str) -> None:
        where = (*VS, namespace, "virtualservices")
        first = await custom_objects.create_namespaced_custom_object(*where, route("a"))
        current = copy.deepcopy(first)
        current["spec"]["http"][0]["route"][1]["weight"] = 33
        second = await custom_objects.replace_namespaced_custom_object(*where, "a", current)
        assert weights_of(second) == [90, 33]
        assert second["metadata"]["generation"] == 2
        with refused(409, "Conflict"):
            await custom_objects.replace_namespaced_custom_object(*where, "a", first)
        del current["metadata"]["resourceVersion"]
        with refused(422, "Invalid"):
            await custom_objects.replace_namespaced_custom_object(*where, "a", current)
        gone = {**current, "metadata": {**current["metadata"], "name": "nope", "resourceVersion": "1"}}
        with refused(409, "Conflict"):
            await custom_objects.replace_namespaced_custom_object(*where, "nope", gone)
        del gone["metadata"]["uid"]
        with refused(404, "NotFound"):
            await custom_objects.replace_namespaced_custom_object(*where, "nope", gone)
        other_uid = {**second, "metadata": {**second["metadata"], "uid": str(uuid.uuid4())}}
        with refused(409, "Conflict"):
            await custom_objects.replace_namespaced_custom_object(*where, "a", other_uid)

    async def test_both_versions_show_the_same_object(self, http: aiohttp.ClientSession, namespace: str) -> None:
        await made(http, vs_path(namespace), route("a"))
        _, older = await call(http, "GET", vs_path(namespace, "a", "v1beta1"))
        assert older["apiVersion"] == "networking.istio.io/v1beta1"
        op = [{"op": "replace", "path": "/spec/http/0/route/1/weight", "value": 0}]
        await patched(http, vs_path(namespace, "a", "v1beta1"), op)
        _, newer = await call(http, "GET", vs_path(namespace, "a"))
        assert (newer["apiVersion"], weights_of(newer)) == ("networking.istio.io/v1", [90, 0])
        assert newer["metadata"]["uid"] == older["metadata"]["uid"]

    async def test_a_dry_run_leaves_no_trace(self, http: aiohttp.ClientSession, namespace: str) -> None:
        assert (await call(http, "POST", vs_path(namespace) + "?dryRun=All", route("a")))[0] == 201
        assert_status(await call(http, "GET", vs_path(namespace, "a")), 404, "NotFound")
        first = await made(http, vs_path(namespace), route("a", labels={"k": "v"}))
        dry = await patched(http, vs_path(namespace, "a") + "?dryRun=All", {"metadata": {"labels": {"dry": "1"}}})
        assert dry["metadata"]["labels"] == {"k": "v", "dry": "1"}
        assert (await call(http, "DELETE", vs_path(namespace, "a") + "?dryRun=All"))[0] == 200
        assert (await call(http, "GET", vs_path(namespace, "a")))[1] == first

    async def test_writing_what_is_there_already_writes_nothing(
        self, http: aiohttp.ClientSession, namespace: str
    ) -> None:
        first = await made(http, vs_path(namespace), route("a", labels={"k": "v"}))
        op = [{"op": "replace", "path": "/spec/http/0/route/1/weight", "value": 10}]
        assert await patched(http, vs_path(namespace, "a"), op) == first
        assert await patched(http, vs_path(namespace, "a"), {"metadata": {"labels": {"k": "v"}}}) == first
        assert (await call(http, "PUT", vs_path(namespace, "a"), first))[1] == first
        query = f"?watch=1&timeoutSeconds=1&resourceVersion={first['metadata']['resourceVersion']}"
        async with http.get(vs_path(namespace) + query) as response:
            assert await response.content.read() == b""


class TestDeleting:
    async def test_one(self, custom_objects: Any, http: aiohttp.ClientSession, namespace: str) -> None:
        await made(http, vs_path(namespace), route("a"))
        answer = await custom_objects.delete_namespaced_custom_object(*VS, namespace, "virtualservices", "a")
        assert (answer["kind"], answer["status"], answer["details"]["name"]) == ("Status", "Success", "a")
        with refused(404, "NotFound"):
            await custom_objects.delete_namespaced_custom_object(*VS, namespace, "virtualservices", "a")

    async def test_many_by_label(self, custom_objects: Any, http: aiohttp.ClientSession, namespace: str) -> None:
        for name, app in (("a", "x"), ("b", "x"), ("s", "y")):
            await made(http, vs_path(namespace), route(name, labels={"app": app}))
        where = (*VS, namespace, "virtualservices")
        gone = await custom_objects.delete_collection_namespaced_custom_object(*where, label_selector="app=x")
        assert gone["kind"] == "VirtualServiceList"
        left = await custom_objects.list_namespaced_custom_object(*where)
        assert [i["metadata"]["name"] for i in left["items"]] == ["s"]

    async def test_finalizers_hold_it(self, http: aiohttp.ClientSession, namespace: str) -> None:
        path = vs_path(namespace, "a")
        await made(http, vs_path(namespace), route("a", finalizers=["pullback.dev/test"]))
        status, value = await call(http, "DELETE", path)
        assert (status, "deletionTimestamp" in value["metadata"]) == (200, True)
        again = {"metadata": {"finalizers": ["pullback.dev/test", "pullback.dev/more"]}}
        assert_status(await call(http, "PATCH", path, again, MERGE), 422, "Invalid")
        await patched(http, path, {"metadata": {"finalizers": None}})
        assert_status(await call(http, "GET", path), 404, "NotFound")

    async def test_preconditions(self, http: aiohttp.ClientSession, namespace: str) -> None:
        value = await made(http, vs_path(namespace), route("a"))
        wrong = {"preconditions": {"uid": str(uuid.uuid4())}}
        assert_status(await call(http, "DELETE", vs_path(namespace, "a"), wrong), 409, "Conflict")
        right = {"preconditions": {"uid": value["metadata"]["uid"]}}
        assert (await call(http, "DELETE", vs_path(namespace, "a"), right))[0] == 200

    async def test_a_namespace(self, kubernetes: k8s.ApiClient) -> None:
        core = k8s.CoreV1Api(kubernetes)
        name = f"gone-{uuid.uuid4().hex[:8]}"
        await core.create_namespace({"metadata": {"name": name}})
        with refused(409, "AlreadyExists"):
            await core.create_namespace({"metadata": {"name": name}})
        await core.delete_namespace(name)
