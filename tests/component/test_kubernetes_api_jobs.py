"""Jobs on the embedded API and a real kube-apiserver: what the server adds, refuses and keeps apart."""

from __future__ import annotations

from typing import Any

import aiohttp
from kubernetes_asyncio import client as k8s

from tests.kubernetes_calls import refused

Json = dict[str, Any]


def job(name: str = "smoke", **spec: Any) -> Json:
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i:1"}]}
    return {
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
        "spec": {"template": {"metadata": {"labels": {"a": "b"}}, "spec": pod}, **spec},
    }  # fmt: skip


async def test_a_job_selects_its_own_pods(kubernetes: k8s.ApiClient, namespace: str) -> None:
    made = await k8s.BatchV1Api(kubernetes).create_namespaced_job(namespace, job())
    labels = made.spec.template.metadata.labels
    assert labels["batch.kubernetes.io/job-name"] == labels["job-name"] == "smoke"
    assert labels["batch.kubernetes.io/controller-uid"] == made.metadata.uid
    assert labels["a"] == "b"
    assert made.spec.selector.match_labels == {"batch.kubernetes.io/controller-uid": made.metadata.uid}
    assert (made.spec.completions, made.spec.parallelism, made.spec.backoff_limit) == (1, 1, 6)
    assert (made.spec.completion_mode, made.spec.suspend, made.metadata.generation) == ("NonIndexed", False, 1)
    assert made.status is None or not made.status.conditions


async def test_a_job_must_say_how_its_pods_end(kubernetes: k8s.ApiClient, namespace: str) -> None:
    batch = k8s.BatchV1Api(kubernetes)
    for policy in (None, "Always"):
        body = job()
        body["spec"]["template"]["spec"]["restartPolicy"] = policy
        with refused(422, "Invalid"):
            await batch.create_namespaced_job(namespace, body)
    with refused(422, "Invalid"):
        await batch.create_namespaced_job(namespace, job(backoffLimit=-1))
    with refused(422, "Invalid"):
        body = job()
        del body["spec"]["template"]["spec"]["containers"]
        await batch.create_namespaced_job(namespace, body)


async def test_its_template_stays_and_its_status_is_written_apart(
    kubernetes: k8s.ApiClient, http: aiohttp.ClientSession, namespace: str
) -> None:
    batch = k8s.BatchV1Api(kubernetes)
    await batch.create_namespaced_job(namespace, job(), field_manager="test")
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs/smoke"
    changed = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "i:2"}]}}}}
    status = {"status": {"startTime": "2026-05-01T12:00:00Z", "active": 1, "uncountedTerminatedPods": {}, "ready": 0}}
    headers = {"Content-Type": "application/merge-patch+json"}
    async with http.patch(path, json=changed, headers=headers) as response:
        assert response.status == 422
        assert "field is immutable" in (await response.json())["message"]
    async with http.patch(path, json=status, headers=headers) as response:
        assert "active" not in (await response.json()).get("status", {})
    async with http.patch(f"{path}/status", json=status, headers=headers) as response:
        assert response.status == 200, await response.text()
        assert (await response.json())["status"]["active"] == 1


async def test_what_may_change_counts_as_a_generation(kubernetes: k8s.ApiClient, namespace: str) -> None:
    batch = k8s.BatchV1Api(kubernetes)
    await batch.create_namespaced_job(namespace, job())
    value = await batch.patch_namespaced_job("smoke", namespace, {"spec": {"suspend": True}})
    assert value.metadata.generation == 2
