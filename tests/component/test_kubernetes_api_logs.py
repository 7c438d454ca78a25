"""What the embedded API serves around pods: their logs, their events, what scales them, and what is kept of them.

Logs need a kubelet, which a bare kube-apiserver does not have: those tests are for the embedded API alone.
"""

from __future__ import annotations

import io
import json
from typing import Any

import aiohttp
import pytest
from kubernetes_asyncio import client as k8s

from daemon.sandbox.kubernetes_api import KubernetesApi
from tests.cluster import TEST_NAMESPACE as NS
from tests.kubernetes_calls import MERGE, Json, assert_status, call, made, patched, refused
from tests.scene import AUTOSCALERS

PODS = f"/api/v1/namespaces/{NS}/pods"
SCALED = "/apis/keda.sh/v1alpha1/namespaces/{}/scaledobjects"


def pod(name: str, *containers: str, node: str = "", init: tuple[str, ...] = ()) -> Json:
    spec: Json = {"containers": [{"name": c, "image": "i:1"} for c in containers or ("app",)]}
    if init:
        spec["initContainers"] = [{"name": c, "image": "i:1"} for c in init]
    if node:
        spec["nodeName"] = node
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": NS}, "spec": spec}


@pytest.fixture
async def direct(emulator: KubernetesApi) -> Any:
    async with aiohttp.ClientSession(emulator.url) as session:
        yield session


class TestLogs:
    async def test_what_a_container_wrote(self, emulator: KubernetesApi, direct: aiohttp.ClientSession) -> None:
        emulator.create(pod("p"))
        emulator.logs[NS, "p", "app"] = "one\ntwo\nthree\n"
        emulator.previous_logs[NS, "p", "app"] = b"\xff panic\n"
        assert await call(direct, "GET", f"{PODS}/p/log") == (200, "one\ntwo\nthree\n")
        assert await call(direct, "GET", f"{PODS}/p/log?container=app&tailLines=2") == (200, "two\nthree\n")
        assert await call(direct, "GET", f"{PODS}/p/log?tailLines=0") == (200, "")
        assert await call(direct, "GET", f"{PODS}/p/log?tailLines=2&limitBytes=5") == (200, "two\nt")
        _, stamped = await call(direct, "GET", f"{PODS}/p/log?timestamps=true&tailLines=1")
        assert stamped.startswith("20")
        assert stamped.endswith("Z three\n")
        async with direct.get(f"{PODS}/p/log?previous=true") as response:
            assert (response.content_type, await response.read()) == ("text/plain", b"\xff panic\n")

    async def test_the_container_must_be_clear(self, emulator: KubernetesApi, direct: aiohttp.ClientSession) -> None:
        emulator.create(pod("p", "a", "b"))
        emulator.create(pod("q", "a", "b", init=("i", "j")))
        _, answer = await call(direct, "GET", f"{PODS}/p/log")
        assert answer["message"] == "a container name must be specified for pod p, choose one of: [a b]"
        answer = assert_status(await call(direct, "GET", f"{PODS}/q/log"), 400, "BadRequest")
        assert answer["message"].endswith("choose one of: [a b] or one of the init containers: [i j]")
        answer = assert_status(await call(direct, "GET", f"{PODS}/p/log?container=z"), 400, "BadRequest")
        assert answer["message"] == "container z is not valid for pod p"
        emulator.logs[NS, "q", "i"] = "from init\n"
        assert await call(direct, "GET", f"{PODS}/q/log?container=i") == (200, "from init\n")

    async def test_what_is_not_there(self, emulator: KubernetesApi, direct: aiohttp.ClientSession) -> None:
        emulator.create(pod("p", "c", node="n"))
        emulator.create(pod("unscheduled"))
        answer = assert_status(await call(direct, "GET", f"{PODS}/p/log?previous=true"), 400, "BadRequest")
        assert answer["message"] == 'previous terminated container "c" in pod "p" not found'
        assert_status(await call(direct, "GET", f"{PODS}/nobody/log"), 404, "NotFound")
        assert await call(direct, "GET", f"{PODS}/p/log") == (200, "")
        assert (await call(direct, "GET", f"{PODS}/unscheduled/log"))[0] == 204
        waiting = {"name": "c", "restartCount": 0, "state": {"waiting": {"reason": "ImagePullBackOff"}}}
        emulator.patch("pods", "p", NS, {"status": {"containerStatuses": [waiting]}}, subresource="status")
        answer = assert_status(await call(direct, "GET", f"{PODS}/p/log"), 400, "BadRequest")
        assert "waiting to start: ImagePullBackOff" in answer["message"]
        assert_status(await call(direct, "GET", f"{PODS}/p/log?tailLines=-1"), 422, "Invalid")
        assert_status(await call(direct, "GET", f"{PODS}/p/log?limitBytes=0"), 422, "Invalid")
        assert_status(await call(direct, "GET", f"{PODS}/p/log?tailLines=x"), 400, "BadRequest")
        assert_status(await call(direct, "POST", f"{PODS}/p/log", {}), 405, "MethodNotAllowed")
        assert await call(direct, "GET", "/api/v1/namespaces/test/services/s/log") == (404, "404 page not found\n")

    async def test_faults_and_discovery(self, emulator: KubernetesApi, direct: aiohttp.ClientSession) -> None:
        emulator.create(pod("p"))
        emulator.faults.fail(403, resource="pods", subresource="log")
        assert_status(await call(direct, "GET", f"{PODS}/p/log"), 403, "Forbidden")
        assert (await call(direct, "GET", f"{PODS}/p"))[0] == 200
        _, core = await call(direct, "GET", "/api/v1")
        served = {r["name"]: r["verbs"] for r in core["resources"]}
        assert served["pods/log"] == ["get"]


class TestAutoscalers:
    async def test_defaults_and_status(self, http: aiohttp.ClientSession, namespace: str) -> None:
        path = AUTOSCALERS.format(namespace)
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
        body = {"metadata": {"name": "web"}, "spec": {"scaleTargetRef": target, "maxReplicas": 4}}
        value = await made(http, path, body)
        assert (value["kind"], value["spec"]["minReplicas"]) == ("HorizontalPodAutoscaler", 1)
        assert value["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 80
        status = {"status": {"currentReplicas": 2, "desiredReplicas": 3}}
        assert (await patched(http, f"{path}/web/status", status))["status"]["desiredReplicas"] == 3
        await patched(http, f"{path}/web", {"spec": {"minReplicas": 2}})
        for spec in ({"maxReplicas": 0}, {"maxReplicas": 1}, {"minReplicas": 0}, {"scaleTargetRef": {"name": ""}}):
            assert_status(await call(http, "PATCH", f"{path}/web", {"spec": spec}, MERGE), 422, "Invalid")

    async def test_the_typed_client(self, kubernetes: k8s.ApiClient, namespace: str) -> None:
        scaling = k8s.AutoscalingV2Api(kubernetes)
        spec = {"scaleTargetRef": {"kind": "Deployment", "name": "w", "apiVersion": "apps/v1"}, "maxReplicas": 3}
        await scaling.create_namespaced_horizontal_pod_autoscaler(namespace, {"metadata": {"name": "w"}, "spec": spec})
        (one,) = (await scaling.list_namespaced_horizontal_pod_autoscaler(namespace)).items
        assert (one.spec.max_replicas, one.spec.scale_target_ref.name) == (3, "w")

    async def test_scaled_objects(self, http: aiohttp.ClientSession, namespace: str) -> None:
        path = SCALED.format(namespace)
        head = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "web"}}
        trigger = {"type": "cron", "metadata": {"start": "0 8 * * *"}, "authenticationRef": {"name": "a"}}
        spec = {"scaleTargetRef": {"name": "web"}, "minReplicaCount": 2, "maxReplicaCount": 9, "triggers": [trigger]}
        value = await made(http, path, {**head, "spec": {**spec, "bogus": 1}})
        assert value["spec"] == spec
        told = {"status": {"hpaName": "keda-hpa-web", "originalReplicaCount": 2}}
        assert (await patched(http, f"{path}/web/status", told))["status"] == told["status"]
        wrong = {"spec": {"minReplicaCount": "many"}}
        assert_status(await call(http, "PATCH", f"{path}/web", wrong, MERGE), 422, "Invalid")


class TestEventsAndConfigMaps:
    async def test_events_by_whom_they_are_about(self, kubernetes: k8s.ApiClient, namespace: str) -> None:
        core = k8s.CoreV1Api(kubernetes)
        for name, uid in (("p", "u-1"), ("q", "u-2")):
            involved = {"kind": "Pod", "name": name, "uid": uid, "namespace": namespace, "apiVersion": "v1"}
            body = {"metadata": {"generateName": "e-"}, "involvedObject": involved, "reason": "BackOff"}
            body |= {"source": {"component": f"kubelet-{name}"}, "type": "Warning"}
            await core.create_namespaced_event(namespace, body)

        async def found(selector: str) -> list[str]:
            events = await core.list_namespaced_event(namespace, field_selector=selector)
            return sorted(e.involved_object.name for e in events.items)

        assert await found("involvedObject.uid=u-1") == ["p"]
        assert await found("involvedObject.kind=Pod,involvedObject.name!=p") == ["q"]
        assert await found("source=kubelet-q,type=Warning") == ["q"]
        with refused(400, "BadRequest"):
            await found("involvedObject.color=red")

    async def test_an_immutable_config_map_stays(self, http: aiohttp.ClientSession, namespace: str) -> None:
        path = f"/api/v1/namespaces/{namespace}/configmaps"
        await made(http, path, {"metadata": {"name": "c"}, "data": {"a.log": "1"}, "immutable": True})
        for change in ({"data": {"a.log": "2"}}, {"immutable": False}, {"immutable": None}):
            assert_status(await call(http, "PATCH", f"{path}/c", change, MERGE), 422, "Invalid")
        await patched(http, f"{path}/c", {"metadata": {"labels": {"a": "b"}}})
        wrong = {"metadata": {"name": "d"}, "data": {"not/a key": "1"}}
        assert_status(await call(http, "POST", path, wrong), 422, "Invalid")
        large = {"metadata": {"name": "d"}, "data": {"a": "x" * (1024 * 1024 + 1)}}
        sent = io.BytesIO(json.dumps(large).encode())
        async with http.post(path, data=sent, headers={"Content-Type": "application/json"}) as response:
            assert_status((response.status, await response.json()), 422, "Invalid")
