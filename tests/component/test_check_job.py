"""Jobs that decide: on the embedded API and a real kube-apiserver, where the test plays the Job controller."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from daemon import ports
from daemon.adapters import checks
from daemon.model import errors
from daemon.model.canary import CanaryRef
from daemon.model.checking import CheckState, Finding, Subject
from daemon.sandbox.kubernetes_api import KubernetesApi
from tests.checks import subject, surrounded
from tests.cluster import Cluster
from tests.running import eventually
from tests.scene import CANARIES, Scene

Json = dict[str, Any]

JOBS = "/apis/batch/v1/namespaces/{}/jobs"
CONFIG_MAPS = "/api/v1/namespaces/{}/configmaps"

TEMPLATE = """
apiVersion: batch/v1
kind: Job
metadata:
  name: ignored
  namespace: elsewhere
  labels: {team: shop}
spec:
  template:
    metadata:
      labels: {app: smoke-$name}
    spec:
      initContainers:
        - {name: wait, image: "busybox:1"}
      containers:
        - name: smoke
          image: busybox:1
          command: [sh, -c, 'curl -fsS "http://$canary_service.$namespace/$HOME" && echo $$name']
          env:
            - {name: PULLBACK_NAME, value: forged}
            - {name: OWN, value: "${weight}%"}
"""


@contextlib.asynccontextmanager
async def checking(cluster: Cluster, **options: Any) -> AsyncIterator[ports.Check]:
    async with surrounded(kubeconfig=cluster.kubeconfig) as surroundings:
        entry = {"kind": "job", "config_map": "smoke", "timeout": "20s", **options}
        yield checks.build({"smoke": entry}, surroundings)["smoke"]


async def released(scene: Scene, template: str = TEMPLATE, **changes: Any) -> Subject:
    """A canary and its template in the cluster."""
    await scene.add_canary()
    data = {"job.yaml": template}
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "smoke"}, "data": data}
    await scene.create(CONFIG_MAPS, config_map)
    canary = await scene.get(CANARIES, "podinfo")
    return subject(
        "registry.example/podinfo:v2", "registry.example/proxy:1",
        ref=CanaryRef(scene.namespace, "podinfo"), uid=canary["metadata"]["uid"], **changes,
    )  # fmt: skip


async def jobs(scene: Scene) -> list[Json]:
    async with scene.http.get(JOBS.format(scene.namespace)) as response:
        items: list[Json] = (await response.json())["items"]
        return items


async def began(scene: Scene) -> Json:
    """The only Job there is, once it is there."""
    (job,) = await eventually(lambda: jobs(scene))
    found: Json = job
    return found


async def ends(scene: Scene, job: Json, *, well: bool) -> None:
    """As the Job controller says it; a real API server insists on all of these fields."""
    at = "2026-05-01T12:00:00Z"
    if well:
        kinds, more = ("SuccessCriteriaMet", "Complete"), {"succeeded": 1, "completionTime": at}
        why = {"reason": "CompletionsReached", "message": "Reached expected number of succeeded pods"}
    else:
        kinds, more = ("FailureTarget", "Failed"), {"failed": 1}
        why = {"reason": "BackoffLimitExceeded", "message": "Job has reached the specified backoff limit"}
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": at, "lastProbeTime": at, **why} for kind in kinds
    ]
    status = {"startTime": at, "conditions": conditions, "uncountedTerminatedPods": {}, "ready": 0, **more}
    await scene.merge(JOBS, f"{job['metadata']['name']}/status", {"status": status})


async def run(check: ports.Check, of: Subject, scene: Scene, *, well: bool) -> Finding:
    async with asyncio.TaskGroup() as group:
        running = group.create_task(check.run(of))
        job = await began(scene)
        if not (job.get("status") or {}).get("conditions"):
            await ends(scene, job, well=well)
    finding = running.result()
    assert len(finding.detail) <= 300
    return finding


async def test_a_job_that_completes_passes(cluster: Cluster, scene: Scene) -> None:
    of = await released(scene)
    async with checking(cluster) as check:
        finding = await run(check, of, scene, well=True)
    (job,) = await jobs(scene)
    assert finding.state is CheckState.PASSED
    assert finding.detail == f"Job {job['metadata']['name']} completed"


async def test_a_failed_job_stays_failed_until_it_is_deleted(cluster: Cluster, scene: Scene) -> None:
    of = await released(scene)
    async with checking(cluster) as check:
        finding = await run(check, of, scene, well=False)
        assert finding.state is CheckState.FAILED
        (job,) = await jobs(scene)
        name = job["metadata"]["name"]
        assert finding.detail == (
            f"expected Job {name} to complete, got BackoffLimitExceeded: Job has reached the specified backoff limit"
        )[:150] + f"; run again: kubectl delete job {name} -n {scene.namespace}"
        assert await check.run(of) == finding
        assert [one["metadata"]["uid"] for one in await jobs(scene)] == [job["metadata"]["uid"]]
        await scene.delete(JOBS, f"{name}?propagationPolicy=Background")
        assert (await run(check, of, scene, well=True)).state is CheckState.PASSED


async def test_what_is_created(cluster: Cluster, scene: Scene) -> None:
    of = await released(scene)
    async with checking(cluster, keep="1h") as check:
        await run(check, of, scene, well=True)
    (job,) = await jobs(scene)
    metadata, spec = job["metadata"], job["spec"]
    assert metadata["name"].startswith("podinfo-smoke-")
    assert metadata["labels"]["app.kubernetes.io/managed-by"] == "pullback"
    assert metadata["labels"]["team"] == "shop"
    assert metadata["annotations"]["pullback.dev/release"] == "podinfo/0123456789abcdef"
    (owner,) = metadata["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Canary", "podinfo", of.canary.uid)
    assert (spec["backoffLimit"], spec["activeDeadlineSeconds"], spec["ttlSecondsAfterFinished"]) == (0, 20, 3600)
    pod = spec["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    assert spec["template"]["metadata"]["labels"]["app"] == "smoke-podinfo"
    (container,) = pod["containers"]
    address = f"http://podinfo-svc-canary.{scene.namespace}/$HOME"
    assert container["command"][2] == f'curl -fsS "{address}" && echo $name'
    told = {one["name"]: one.get("value", "") for one in container["env"]}
    assert told == {
        "OWN": "5%",
        "PULLBACK_NAMESPACE": scene.namespace,
        "PULLBACK_NAME": "podinfo",
        "PULLBACK_REVISION": "7b8cb8dc5d",
        "PULLBACK_TEMPLATE": "0123456789abcdef",
        "PULLBACK_IMAGES": "registry.example/podinfo:v2 registry.example/proxy:1",
        "PULLBACK_WEIGHT": "5",
    }
    assert {one["name"] for one in pod["initContainers"][0]["env"]} == set(told) - {"OWN"}


async def test_a_second_run_attaches(cluster: Cluster, scene: Scene) -> None:
    of = await released(scene)
    async with checking(cluster) as one, checking(cluster) as other, asyncio.TaskGroup() as group:
        running = [group.create_task(check.run(of)) for check in (one, other, one)]
        await ends(scene, await began(scene), well=True)
    assert {task.result().state for task in running} == {CheckState.PASSED}
    assert len(await jobs(scene)) == 1


async def test_another_release_has_another_job_and_another_weight_only_where_it_is_said(
    cluster: Cluster, scene: Scene
) -> None:
    of = await released(scene)
    later, heavier = (subject(**{**_of(of), **change}) for change in ({"template": "f" * 16}, {"weight": 25.0}))
    async with checking(cluster) as check, checking(cluster, per_weight=True) as weighed:
        for one in (of, heavier, later):
            await _run_new(check, one, scene)
        assert len(await jobs(scene)) == 2
        for one in (of, heavier):
            await _run_new(weighed, one, scene)
    assert len(await jobs(scene)) == 4


async def test_a_load_is_made_again_when_the_same_release_is_analysed_again(cluster: Cluster, scene: Scene) -> None:
    of = await released(scene, run=1)
    async with checking(cluster, per_weight=True) as load, checking(cluster) as acceptance:
        for run in (1, 2):
            again = subject(**{**_of(of), "run": run})
            await _run_new(load, again, scene)
            await _run_new(acceptance, again, scene)
    assert len(await jobs(scene)) == 3  # what is acceptable once is acceptable


async def test_another_configuration_of_the_same_template_is_another_release(cluster: Cluster, scene: Scene) -> None:
    of = await released(scene)
    async with checking(cluster) as check:
        for configs in ("", "aaaaaaaaaa", "bbbbbbbbbb"):
            await _run_new(check, subject(**_of(of), configs=configs), scene)
    assert len(await jobs(scene)) == 3


async def test_a_job_stays_until_everybody_has_seen_how_it_ended(cluster: Cluster, scene: Scene) -> None:
    """One that is gone between two looks would be run again and again, and never pass."""
    of = await released(scene, TEMPLATE.replace("spec:", "spec:\n  ttlSecondsAfterFinished: 0", 1))
    async with checking(cluster) as check:
        await _run_new(check, of, scene)
    (job,) = await jobs(scene)
    assert job["spec"]["ttlSecondsAfterFinished"] == 60


def _of(one: Subject) -> Json:
    return {"ref": one.canary.ref, "uid": one.canary.uid, "template": one.template, "weight": one.weight}


async def _run_new(check: ports.Check, of: Subject, scene: Scene) -> None:
    async with asyncio.TaskGroup() as group:
        running = group.create_task(check.run(of))
        while not running.done():
            for job in await jobs(scene):
                if not (job.get("status") or {}).get("conditions"):
                    await ends(scene, job, well=True)
            await asyncio.sleep(0.05)
    assert running.result().state is CheckState.PASSED


async def test_a_job_that_outlives_its_time_fails(cluster: Cluster, scene: Scene) -> None:
    of = await released(scene)
    async with checking(cluster, timeout="1s") as check:
        finding = await check.run(of)
    assert finding.state is CheckState.FAILED
    assert "to complete within 1 s, and it still runs; run again: kubectl delete job podinfo-smoke-" in finding.detail


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("kind: Pod", "expected one Job of batch/v1, got Pod"),
        ("- a", "expected one Job of batch/v1, got list"),
        ("a: [", "not YAML: while parsing"),
        ("a: 1\n---\nb: 2", "not YAML: expected a single document"),
        ("apiVersion: batch/v1\nkind: Job\nspec: []", "spec: expected an object"),
        ("apiVersion: batch/v1\nkind: Job\nmetadata: {annotations: {at: 2026-05-01}}", "with dates in quotes"),
        ("apiVersion: batch/v1\nkind: Job\nspec: {template: {spec: {containers: [a]}}}", "containers: expected"),
        ("apiVersion: batch/v1\nkind: Job", "Job.batch"),
        ("x" * 70_000, "expected at most 65536 characters"),
    ],
)
async def test_a_template_that_is_none_is_no_finding(
    template: str, told: str, cluster: Cluster, scene: Scene
) -> None:
    of = await released(scene, template)
    async with checking(cluster) as check:
        with pytest.raises(errors.Refused, match=told):
            await check.run(of)
    assert await jobs(scene) == []


async def test_a_template_that_is_not_there_is_no_finding(cluster: Cluster, scene: Scene) -> None:
    of = await released(scene)
    async with checking(cluster, config_map="other") as check:
        with pytest.raises(errors.Missing):
            await check.run(of)
    async with checking(cluster, key="other") as check:
        with pytest.raises(errors.Refused, match=r"key other: there is no such key; there are: job.yaml"):
            await check.run(of)


async def test_a_job_in_the_place_of_ours_is_not_believed(cluster: Cluster, scene: Scene) -> None:
    of = await released(scene)
    async with checking(cluster) as check:
        await run(check, of, scene, well=False)
        (job,) = await jobs(scene)
        name = job["metadata"]["name"]
        await scene.delete(JOBS, f"{name}?propagationPolicy=Background")
        pod = {"restartPolicy": "Never", "containers": [{"name": "a", "image": "b"}]}
        spec = {"template": {"spec": pod}}
        forged = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}
        await ends(scene, await scene.create(JOBS, forged), well=True)
        with pytest.raises(errors.Refused, match="is there and is not of this release"):
            await check.run(of)


class TestWithLogs:
    """The embedded API only: a real one asks a kubelet for them."""

    async def test_its_last_words_are_told_without_secrets(self, cluster: Cluster, scene: Scene) -> None:
        if cluster.emulator is None:
            pytest.skip("there is no kubelet to have a log")
        of = await released(scene)
        said = "x" * 20_000 + "\nGET /cart 500\ntoken=hunter2hunter2\n"
        async with checking(cluster) as check, asyncio.TaskGroup() as group:
            running = group.create_task(check.run(of))
            job = await began(scene)
            self._write(cluster.emulator, scene.namespace, job, said)
            await ends(scene, job, well=False)
        finding = running.result()
        assert finding.detail.endswith("GET /cart 500 token=[redacted]")
        assert "; log: " in finding.detail
        assert len(finding.detail) <= 300

    async def test_a_log_that_cannot_be_read_changes_nothing(self, cluster: Cluster, scene: Scene) -> None:
        if cluster.emulator is None:
            pytest.skip("there are no faults in a real API server")
        of = await released(scene)
        async with checking(cluster) as check, asyncio.TaskGroup() as group:
            running = group.create_task(check.run(of))
            job = await began(scene)
            cluster.emulator.faults.fail(403, "no", resource="pods", times=None)
            await ends(scene, job, well=True)
        cluster.emulator.faults.clear()
        assert running.result().state is CheckState.PASSED
        assert "; log: not readable (" in running.result().detail

    @staticmethod
    def _write(api: KubernetesApi, namespace: str, job: Json, text: str) -> None:
        labels = job["spec"]["template"]["metadata"]["labels"]
        status = {"containerStatuses": [{"name": "smoke", "state": {"terminated": {"exitCode": 1}}}]}
        pod = {
            "apiVersion": "v1", "kind": "Pod", "status": status,
            "metadata": {"name": "smoke-x7", "namespace": namespace, "labels": labels},
            "spec": {"nodeName": "n1", "containers": [{"name": name, "image": "i"} for name in ("proxy", "smoke")]},
        }  # fmt: skip
        api.create(pod)
        api.logs[namespace, "smoke-x7", "smoke"] = text
