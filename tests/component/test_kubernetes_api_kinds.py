"""Built-in and custom kinds, and how they are found, on the embedded API and a real kube-apiserver."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import re
import shutil
import subprocess
import uuid
from typing import Any

import aiohttp
import pytest
from kubernetes_asyncio import client as k8s
from kubernetes_asyncio.client.exceptions import ApiException

from tests.cluster import Cluster
from tests.kubernetes_calls import (
    DEFINITIONS,
    MERGE,
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
    weights_of,
)


class TestBuiltIns:
    async def test_deployments_merge_containers_by_name(self, kubernetes: k8s.ApiClient, namespace: str) -> None:
        apps = k8s.AppsV1Api(kubernetes)
        made_one = await apps.create_namespaced_deployment(namespace, deployment("web"))
        assert made_one.spec.replicas == 2
        patch = {"spec": {"template": {"spec": {"containers": [{"name": "c2", "image": "i:3"}]}}}}
        value = await apps.patch_namespaced_deployment("web", namespace, patch)
        images = [(c.name, c.image) for c in value.spec.template.spec.containers]
        assert sorted(images) == [("c1", "i:1"), ("c2", "i:3")]
        gone = {"spec": {"template": {"spec": {"containers": [{"$patch": "delete", "name": "c1"}]}}}}
        value = await apps.patch_namespaced_deployment("web", namespace, gone)
        assert [c.name for c in value.spec.template.spec.containers] == ["c2"]
        missing = deployment("bad")
        del missing["spec"]["selector"]
        with refused(422, "Invalid"):
            await apps.create_namespaced_deployment(namespace, missing)

    async def test_scale(self, kubernetes: k8s.ApiClient, http: aiohttp.ClientSession, namespace: str) -> None:
        apps = k8s.AppsV1Api(kubernetes)
        await apps.create_namespaced_deployment(namespace, deployment("web"))
        scale = await apps.read_namespaced_deployment_scale("web", namespace)
        assert (scale.kind, scale.spec.replicas) == ("Scale", 2)
        scale = await apps.patch_namespaced_deployment_scale("web", namespace, {"spec": {"replicas": 0}})
        assert scale.spec.replicas is None
        assert (await apps.read_namespaced_deployment("web", namespace)).spec.replicas == 0
        path = f"/apis/apps/v1/namespaces/{namespace}/deployments/web/scale"
        _, raw = await call(http, "GET", path)
        raw["spec"] = {"replicas": 5}
        assert (await call(http, "PUT", path, raw))[1]["spec"] == {"replicas": 5}
        assert_status(await call(http, "PUT", path, raw), 409, "Conflict")
        negative = await call(http, "PATCH", path, {"spec": {"replicas": -1}}, MERGE)
        assert_status(negative, 422, "Invalid")

    async def test_leases_are_renewed_by_replacing(self, kubernetes: k8s.ApiClient, namespace: str) -> None:
        leases = k8s.CoordinationV1Api(kubernetes)
        now = dt.datetime(2026, 1, 2, 3, 4, 5, 678900, tzinfo=dt.UTC)
        spec = k8s.V1LeaseSpec(holder_identity="me", lease_duration_seconds=5, renew_time=now)
        lease = k8s.V1Lease(metadata=k8s.V1ObjectMeta(name="leader"), spec=spec)
        created = await leases.create_namespaced_lease(namespace, lease)
        read = await leases.read_namespaced_lease("leader", namespace)
        assert (read.spec.holder_identity, read.spec.renew_time) == ("me", now)
        read.spec.holder_identity = "A"
        assert (await leases.replace_namespaced_lease("leader", namespace, read)).spec.holder_identity == "A"
        with refused(409, "Conflict"):
            await leases.replace_namespaced_lease("leader", namespace, created)
        created.metadata.resource_version = None
        with refused(422, "Invalid"):
            await leases.replace_namespaced_lease("leader", namespace, created)

    async def test_core_objects(self, kubernetes: k8s.ApiClient, namespace: str) -> None:
        core = k8s.CoreV1Api(kubernetes)
        await core.create_namespaced_config_map(namespace, {"metadata": {"name": "c"}, "data": {"a": "1"}})
        value = await core.patch_namespaced_config_map("c", namespace, {"data": {"b": "2", "a": None}})
        assert value.data == {"b": "2"}
        secret = {"metadata": {"name": "s"}, "stringData": {"k": "v"}}
        assert (await core.create_namespaced_secret(namespace, secret)).data == {"k": "dg=="}
        event = {
            "metadata": {"generateName": "e-"},
            "involvedObject": {"kind": "Pod", "name": "p", "namespace": namespace},
            "reason": "Pulled",
        }
        await core.create_namespaced_event(namespace, event)
        selector = "involvedObject.name=p,reason=Pulled"
        assert len((await core.list_namespaced_event(namespace, field_selector=selector)).items) == 1
        assert (await core.list_namespaced_event(namespace, field_selector="reason=Other")).items == []
        service = {"metadata": {"name": "svc"}, "spec": {"ports": [{"port": 80}], "selector": {"a": "b"}}}
        assert (await core.create_namespaced_service(namespace, service)).spec.ports[0].port == 80
        read = await core.read_namespace(namespace)
        assert (read.status.phase, read.metadata.labels["kubernetes.io/metadata.name"]) == ("Active", namespace)

    async def test_reviews(self, cluster: Cluster, kubernetes: k8s.ApiClient, http: aiohttp.ClientSession) -> None:
        who = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        _, answer = await call(http, "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", who)
        assert answer["status"]["userInfo"]["username"]
        attributes = {"verb": "patch", "resource": "virtualservices", "group": VS[0], "namespace": "test"}
        body = {"spec": {"resourceAttributes": attributes}}
        may = await k8s.AuthorizationV1Api(kubernetes).create_self_subject_access_review(body)
        assert may.status.allowed is True


class TestSchema:
    async def test_unknown_fields_go_and_defaults_come(self, http: aiohttp.ClientSession, namespace: str) -> None:
        spec = {"canaryRef": {"name": "app", "bogus": 1}, "bogus": {"a": 1}, "signal": {"labels": {"any": "thing"}}}
        value = await made(http, rb_path(namespace), {**rollback("r", spec), "bogus": 1})
        reference = {"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "name": "app"}
        labels = {"labels": {"any": "thing"}}
        asked = {"trigger": "Operator", "dryRun": False, "drill": False}
        assert value["spec"] == {"canaryRef": reference, **asked, "signal": labels}
        assert "bogus" not in value

    @pytest.mark.parametrize(
        ("spec", "field"),
        [
            ({}, "spec.canaryRef"),
            ({"canaryRef": {}}, "spec.canaryRef.name"),
            ({"canaryRef": {"name": ""}}, "spec.canaryRef.name"),
            ({"canaryRef": {"name": 5}}, "spec.canaryRef.name"),
            ({"canaryRef": {"name": "a"}, "trigger": "Cat"}, "spec.trigger"),
            ({"canaryRef": {"name": "a"}, "reason": "x" * 1025}, "spec.reason"),
            ({"canaryRef": {"name": "a"}, "dryRun": "yes"}, "spec.dryRun"),
            ({"canaryRef": {"name": "a"}, "signal": {"startsAt": "yesterday"}}, "spec.signal.startsAt"),
            ({"canaryRef": {"name": "a"}, "signal": {"labels": {"a": 1}}}, "spec.signal.labels.a"),
            ("no object", "spec"),
        ],
    )
    async def test_names_the_broken_field(
        self, http: aiohttp.ClientSession, namespace: str, spec: Any, field: str
    ) -> None:
        answer = assert_status(await call(http, "POST", rb_path(namespace), rollback("r", spec)), 422, "Invalid")
        assert field in [c["field"] for c in answer["details"]["causes"]]
        assert field in answer["message"]

    async def test_takes_what_is_allowed(self, http: aiohttp.ClientSession, namespace: str) -> None:
        moment = "2026-01-02T03:04:05.678901234Z"
        signal: Json = {"startsAt": moment, "endsAt": None, "labels": {}, "fingerprint": "f"}
        spec = {"canaryRef": {"name": "a"}, "signal": signal, "reason": "x" * 1024, "revision": None}
        value = await made(http, rb_path(namespace), rollback("r", spec))
        assert "revision" not in value["spec"]
        assert value["spec"]["signal"]["startsAt"] == moment
        assert value["spec"]["signal"]["endsAt"] is None
        original = {"route": "r", "rule": 1, "value": {"any": {"thing": [1]}}, "replacedWith": {"x": 1.5}}
        condition = {"type": "Zero", "status": "True"}
        status = {"originals": [original], "conditions": [condition], "startedAt": moment, "holds": 0}
        value = await patched(http, rb_path(namespace, "r/status"), {"status": status})
        assert value["status"] == status
        twice = {"status": {"conditions": [condition, condition]}}
        answer = await call(http, "PATCH", rb_path(namespace, "r/status"), twice, MERGE)
        assert_status(answer, 422, "Invalid")
        wrong = {"status": {"holds": -1}}
        answer = await call(http, "PATCH", rb_path(namespace, "r/status"), wrong, MERGE)
        assert assert_status(answer, 422, "Invalid")["details"]["causes"][0]["field"] == "status.holds"

    async def test_a_record_s_spec_is_for_ever(self, http: aiohttp.ClientSession, namespace: str) -> None:
        await made(http, rb_path(namespace), rollback("r"))
        for spec in ({"reason": "other"}, {"signal": {"labels": {"a": "b"}}}, {"canaryRef": {"name": "b"}}):
            answer = await call(http, "PATCH", rb_path(namespace, "r"), {"spec": spec}, MERGE)
            assert "immutable" in assert_status(answer, 422, "Invalid")["message"]
        removed = await call(http, "PATCH", rb_path(namespace, "r"), {"spec": None}, MERGE)
        assert_status(removed, 422, "Invalid")
        await patched(http, rb_path(namespace, "r"), {"metadata": {"labels": {"a": "b"}}})

    async def test_a_canary_of_any_shape(self, http: aiohttp.ClientSession, namespace: str) -> None:
        path = f"/apis/flagger.app/v1beta1/namespaces/{namespace}/canaries"
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "app"}
        spec = {"targetRef": target, "service": {"port": 80, "targetPort": "http"}, "analysis": {"interval": "1m"}}
        head = {"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "metadata": {"name": "app"}}
        await made(http, path, {**head, "spec": spec})
        told = {"status": {"phase": "Progressing", "lastAppliedSpec": "abc", "canaryWeight": 10}}
        assert (await patched(http, f"{path}/app/status", told))["status"] == told["status"]
        wrong = {"status": {"phase": "Dancing"}}
        assert_status(await call(http, "PATCH", f"{path}/app/status", wrong, MERGE), 422, "Invalid")


class TestDiscovery:
    async def test_what_is_not_served_is_plain_text(self, custom_objects: Any, http: aiohttp.ClientSession) -> None:
        for path in ("/apis/nope.example/v1/things", "/apis/networking.istio.io/v1/nope", "/nope"):
            assert await call(http, "GET", path) == (404, "404 page not found\n")
        with pytest.raises(ApiException, match="404 page not found"):
            await custom_objects.list_namespaced_custom_object("nope.example", "v1", "test", "things")

    async def test_groups_versions_and_resources(self, http: aiohttp.ClientSession) -> None:
        _, version = await call(http, "GET", "/version")
        assert (version["major"], int(re.sub(r"\D", "", version["minor"])) >= 28) == ("1", True)
        assert (await call(http, "GET", "/api"))[1]["versions"] == ["v1"]
        groups = {g["name"]: g for g in (await call(http, "GET", "/apis"))[1]["groups"]}
        assert {"apps", "coordination.k8s.io", "pullback.dev", "flagger.app"} <= set(groups)
        istio = (await call(http, "GET", "/apis/networking.istio.io"))[1]
        assert istio["preferredVersion"]["version"] == "v1"
        assert [v["version"] for v in istio["versions"]] == ["v1", "v1beta1"]
        _, ours = await call(http, "GET", "/apis/pullback.dev/v1alpha1")
        served = {r["name"]: r for r in ours["resources"]}
        assert set(served) == {"rollbacks", "rollbacks/status", "canaryrevisions", "canaryrevisions/status"}
        assert (served["rollbacks"]["shortNames"], served["rollbacks"]["kind"]) == (["rb"], "Rollback")
        _, apps = await call(http, "GET", "/apis/apps/v1")
        assert {"deployments", "deployments/scale", "deployments/status"} <= {r["name"] for r in apps["resources"]}

    async def test_tables_have_the_definition_s_columns(self, http: aiohttp.ClientSession, namespace: str) -> None:
        await made(http, rb_path(namespace), rollback("r", {"canaryRef": {"name": "app"}, "reason": "errors"}))
        status = {"status": {"phase": "Zeroed", "secondsToZero": 1.5}}
        await patched(http, rb_path(namespace, "r/status"), status)
        accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
        async with http.get(rb_path(namespace), headers=accept) as response:
            table = await response.json()
        names = [c["name"] for c in table["columnDefinitions"]]
        assert (table["kind"], names) == ("Table", ["Name", "Canary", "Reason", "Phase", "Age", "To-Zero"])
        (row,) = table["rows"]
        assert [c for i, c in enumerate(row["cells"]) if i != 4] == ["r", "app", "errors", "Zeroed", 1.5]
        assert re.fullmatch(r"\d+s", row["cells"][4])
        assert row["object"]["metadata"]["name"] == "r"

    async def test_a_definition_comes_and_goes(self, http: aiohttp.ClientSession, namespace: str) -> None:
        kind = f"Thing{uuid.uuid4().hex[:6]}"
        plural = kind.lower() + "s"
        group = "sandbox.pullback.dev"
        schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
        version = {"name": "v1", "served": True, "storage": True, "schema": schema}
        spec = {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind},
            "versions": [version],
        }
        name = f"{plural}.{group}"
        head = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
        wrong = {**head, "metadata": {"name": "wrong"}, "spec": spec}
        assert_status(await call(http, "POST", DEFINITIONS, wrong), 422, "Invalid")
        await made(http, DEFINITIONS, {**head, "metadata": {"name": name}, "spec": spec})
        path = f"/apis/{group}/v1/namespaces/{namespace}/{plural}"
        listed = await self._until(http, path, 200)
        _, definition = await call(http, "GET", f"{DEFINITIONS}/{name}")
        conditions = {c["type"]: c["status"] for c in definition["status"]["conditions"]}
        assert conditions["Established"] == "True"
        thing = {"apiVersion": f"{group}/v1", "kind": kind, "metadata": {"name": "t"}, "any": {"thing": 1}}
        assert (await made(http, path, thing))["any"] == {"thing": 1}
        query = f"?watch=1&resourceVersion={listed['metadata']['resourceVersion']}"
        async with http.get(path + query) as response, asyncio.timeout(90):
            assert (await call(http, "DELETE", f"{DEFINITIONS}/{name}"))[0] == 200
            lines = (await response.content.read()).splitlines()
        assert json.loads(lines[0])["type"] == "ADDED"
        assert await self._until(http, path, 404) == "404 page not found\n"

    async def _until(self, http: aiohttp.ClientSession, path: str, wanted: int) -> Any:
        async with asyncio.timeout(30):
            while True:
                status, answer = await call(http, "GET", path)
                if status == wanted:
                    return answer
                await asyncio.sleep(0.05)

    @pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl on PATH")
    async def test_a_stock_kubectl_is_content(self, cluster: Cluster, namespace: str) -> None:
        async def kubectl(*arguments: str, stdin: str = "") -> str:
            command = ["kubectl", "--kubeconfig", str(cluster.kubeconfig), "--cache-dir", f"{cluster.kubeconfig}.d"]
            done = await asyncio.to_thread(
                subprocess.run,
                [*command, "-n", namespace, "--request-timeout=10s", *arguments],
                input=stdin,
                text=True,
                capture_output=True,
                timeout=30,
            )
            assert done.returncode == 0, done.stderr
            return str(done.stdout)

        manifests = [rollback("app-1", {"canaryRef": {"name": "app"}, "reason": "errors"}), route("app")]
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
        await kubectl("apply", "--validate=false", "-f", "-", stdin=text)
        assert "unchanged" in await kubectl("apply", "--validate=false", "-f", "-", stdin=text)
        status = json.dumps({"status": {"phase": "Zeroed", "secondsToZero": 0.5}})
        await kubectl("patch", "rb", "app-1", "--subresource=status", "--type=merge", "-p", status)
        header, row = (await kubectl("get", "rb")).splitlines()
        assert header.split() == ["NAME", "CANARY", "REASON", "PHASE", "AGE", "TO-ZERO"]
        assert row.split()[:4] == ["app-1", "app", "errors", "Zeroed"]
        assert "app-1" in await kubectl("get", "rb", "-A")
        op = json.dumps([{"op": "replace", "path": "/spec/http/0/route/1/weight", "value": 0}])
        await kubectl("patch", "vs", "app", "--type=json", "-p", op)
        assert weights_of(json.loads(await kubectl("get", "vs", "app", "-o", "json"))) == [90, 0]
        await kubectl("delete", "rb", "app-1")
