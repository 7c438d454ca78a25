"""What is kept of a canary before its pods go away, read over real HTTP from a cluster that may misbehave."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from daemon.adapters.argo_rollouts import read_rollout
from daemon.adapters.clock import SystemClock
from daemon.adapters.evidence import DEFAULT_PATTERNS, Bounds, KubernetesEvidence, compiled, packing
from daemon.adapters.flagger import read_canary
from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.adapters.ledger import read_rollback
from daemon.model import errors
from daemon.model.canary import Canary
from daemon.model.keeping import KeptEvidence
from daemon.model.rollback import Rollback
from daemon.sandbox.kubernetes_api import Fault, KubernetesApi
from tests import builders
from tests.builders import Json
from tests.cluster import CRDS, Cluster
from tests.component import rollouts
from tests.scene import CANARIES, DEPLOYMENTS, ROLLBACKS, Scene

PODS = "/api/v1/namespaces/{}/pods"
EVENTS = "/api/v1/namespaces/{}/events"
CONFIG_MAPS = "/api/v1/namespaces/{}/configmaps"
NAME = "podinfo-rollback-1"
SECRET = "hunter2Xyz9"
TERMINATED = {
    "reason": "Error",
    "exitCode": 137,
    "startedAt": "2026-11-24T07:00:00Z",
    "finishedAt": "2026-11-24T07:00:09Z",
    "message": f"panic: no database\npassword={SECRET}",
}


@dataclass(frozen=True, slots=True)
class Lab:
    """A canary with its record in a cluster, and the evidence room to be looked at."""

    scene: Scene
    client: KubernetesClient
    api: KubernetesApi | None

    async def prepare(self) -> None:
        await self.scene.add_canary()
        primary = builders.deployment(self.scene.namespace, "podinfo-primary", version="v1")
        primary["spec"]["selector"]["matchLabels"] = {"app": "podinfo-primary"}
        primary["spec"]["template"]["metadata"]["labels"] = {"app": "podinfo-primary", "version": "v1"}
        await self.scene.create(DEPLOYMENTS, primary)
        spec = {"canaryRef": {"name": "podinfo"}, "reason": "errors", "revision": "7b8cb8dc5d"}
        head = {"apiVersion": "pullback.dev/v1alpha1", "kind": "Rollback", "metadata": {"name": NAME}}
        await self.scene.create(ROLLBACKS, {**head, "spec": spec})

    async def keep(
        self, *, within: float = 5.0, bounds: Bounds | None = None, redact: tuple[str, ...] = ()
    ) -> KeptEvidence:
        patterns = compiled([*DEFAULT_PATTERNS, *redact])
        room = KubernetesEvidence(self.client, bounds=bounds or Bounds(), redact=patterns, clock=SystemClock())
        return await room.keep(await self.canary(), await self.record(), within=within)

    async def canary(self) -> Canary:
        canary = read_canary(await self.scene.get(CANARIES, "podinfo"))
        assert canary is not None
        return canary

    async def record(self) -> Rollback:
        return read_rollback(await self.scene.get(ROLLBACKS, NAME))

    async def kept(self) -> dict[str, str]:
        data: dict[str, str] = (await self.scene.get(CONFIG_MAPS, f"{NAME}-evidence"))["data"]
        return data

    async def add_pod(self, name: str, *, status: Json | None = None, **spec: Any) -> None:
        containers = spec.pop("containers", ["app"])
        pod = {
            "metadata": {"name": name, "labels": {"app": "podinfo", "version": "v2"}},
            "spec": {"containers": [{"name": one, "image": "podinfo:v2"} for one in containers], **spec},
        }
        await self.scene.create(PODS, pod)
        await self.scene.merge(PODS, f"{name}/status", {"status": status or healthy()})

    async def add_event(self, kind: str, name: str, message: str, at: str, **fields: Any) -> None:
        involved = {"kind": kind, "name": name, "namespace": self.scene.namespace}
        event = {
            "metadata": {"generateName": "e-"},
            "involvedObject": involved,
            "type": "Warning",
            "reason": "Tested",
            "message": message,
            "lastTimestamp": at,
            "count": 3,
            **fields,
        }
        await self.scene.create(EVENTS, event)

    def write_log(self, pod: str, text: str | bytes, container: str = "app", *, previous: bool = False) -> None:
        assert self.api is not None
        logs = self.api.previous_logs if previous else self.api.logs
        logs[self.scene.namespace, pod, container] = text


def healthy() -> Json:
    app = {"name": "app", "ready": True, "restartCount": 0, "image": "podinfo:v2", "imageID": "podinfo@sha256:0"}
    running = {**app, "state": {"running": {"startedAt": "2026-11-24T07:00:00Z"}}}
    return {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [running],
    }


def crashing(**fields: Any) -> Json:
    app = {"name": "app", "ready": False, "restartCount": 4, "image": "podinfo:v2", "imageID": "podinfo@sha256:0"}
    state = {"state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}}}
    broken = {**app, **state, "lastState": {"terminated": TERMINATED}}
    not_ready = {"type": "Ready", "status": "False", "reason": "ContainersNotReady", "message": "unready: [app]"}
    return {"phase": "Running", "conditions": [not_ready], "containerStatuses": [broken], **fields}


async def connected(kubeconfig: Path, timeout: float = 2.0) -> KubernetesClient:
    return await KubernetesClient.connect(kubeconfig=kubeconfig, context=None, timeout=timeout)


@pytest.fixture
async def anywhere(cluster: Cluster, scene: Scene) -> AsyncIterator[Lab]:
    """On the embedded API or on a real kube-apiserver, where no log can be read."""
    async with await connected(cluster.kubeconfig) as client:
        lab = Lab(scene, client, cluster.emulator)
        await lab.prepare()
        yield lab


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    """On the embedded API, with logs and faults."""
    async with (
        KubernetesApi(CRDS, ["shop"]) as api,
        aiohttp.ClientSession(api.url) as http,
        await connected(api.kubeconfig(tmp_path / "kubeconfig")) as client,
    ):
        found = Lab(Scene(http, "shop"), client, api)
        await found.prepare()
        yield found


class TestWhatIsKept:
    async def test_on_any_cluster(self, anywhere: Lab) -> None:
        await anywhere.add_pod("podinfo-7c9bd-x2k4q", status=crashing())
        await anywhere.add_event("Deployment", "podinfo", "scaled up", "2026-11-24T07:00:00Z")
        kept = await anywhere.keep()
        assert (kept.config_map, kept.pods) == (f"{NAME}-evidence", 1)
        assert all("log of podinfo-7c9bd-x2k4q" in one for one in kept.missing), kept.missing
        there = await anywhere.scene.get(CONFIG_MAPS, kept.config_map)
        record = await anywhere.record()
        (owner,) = there["metadata"]["ownerReferences"]
        assert (owner["apiVersion"], owner["kind"]) == ("pullback.dev/v1alpha1", "Rollback")
        assert (owner["name"], owner["uid"]) == (NAME, record.uid)
        assert (owner["controller"], owner["blockOwnerDeletion"]) == (False, False)
        labels = {"app.kubernetes.io/managed-by": "pullback", "pullback.dev/canary": "podinfo"}
        assert (there["metadata"]["labels"], there["immutable"]) == (labels, True)
        assert {"summary.txt", "template.diff", "events.txt"} <= set(there["data"])
        assert await anywhere.keep() == kept

    async def test_everything(self, lab: Lab) -> None:
        pod = "podinfo-7c9bd-x2k4q"
        await lab.add_pod(pod, status=crashing())
        lab.write_log(pod, "trying again\n")
        lab.write_log(pod, "connecting\nfatal: no route to db\n", previous=True)
        await lab.add_event("Pod", pod, "Back-off restarting", "2026-11-24T07:02:00Z")
        await lab.add_event("Deployment", "podinfo", "scaled up", "2026-11-24T07:00:00Z")
        await lab.add_event("ReplicaSet", "podinfo-7c9bd", "quota\nexceeded", "2026-11-24T07:01:00Z")
        await lab.add_event("Pod", "podinfo-7c9bd-zzzzz", "Evicted long ago", "2026-11-24T06:00:00Z")
        await lab.add_event("Canary", "podinfo", "Halt advancement", "2026-11-24T07:03:00Z")
        await lab.add_event("Pod", "podinfo-primary-7c9bd-x2k4q", "not ours", "2026-11-24T07:01:00Z")
        await lab.add_event("Service", "other", "not ours", "2026-11-24T07:01:00Z")
        kept = await lab.keep()
        data = await lab.kept()
        assert kept.missing == ()
        assert data[f"{pod}.app.log"] == "trying again\n"
        assert data[f"{pod}.app.previous.log"].endswith("fatal: no route to db\n")
        messages = [line.split("  ")[2:5:2] for line in data["events.txt"].splitlines()]
        assert [told[1] for told in messages] == [
            *("Evicted long ago", "scaled up", "quota exceeded", "Back-off restarting", "Halt advancement")
        ]
        assert data["events.txt"].startswith("2026-11-24T06:00:00Z  Warning  Pod/podinfo-7c9bd-zzzzz  Tested")
        assert data["events.txt"].endswith("  x3\n")
        assert "registry.example:5000/podinfo:v2" in data["template.diff"]
        assert data["template.diff"].startswith("--- primary\n+++ canary\n")
        summary = data["summary.txt"]
        for told in (
            f"/{NAME}",
            "7b8cb8dc5d",
            "registry.example:5000/podinfo:v2",
            "registry.example:5000/podinfo-primary:v1",
            f"pod {pod}: Running, not ready, restarts 4",
            "condition Ready False: ContainersNotReady unready: [app]",
            "now    waiting CrashLoopBackOff",
            "before terminated Error exit code 137 2026-11-24T07:00:00Z to 2026-11-24T07:00:09Z",
            "| panic: no database",
            "nothing is missing",
        ):
            assert told in summary
        assert SECRET not in json.dumps(data)

    async def test_init_containers_that_fail_and_several_containers(self, lab: Lab) -> None:
        pod = "podinfo-7c9bd-x2k4q"
        well = {"name": "wait", "restartCount": 0, "image": "i", "state": {"terminated": {"exitCode": 0}}}
        failed = {"name": "migrate", "restartCount": 0, "image": "i", "state": {"terminated": {"exitCode": 3}}}
        waiting = {"name": "app", "restartCount": 0, "image": "i", "state": {"waiting": {"reason": "PodInitializing"}}}
        proxy = {"name": "proxy", "restartCount": 0, "image": "i", "state": {"running": {}}}
        init = [{"name": "wait", "image": "i"}, {"name": "migrate", "image": "i"}]
        status = {"phase": "Pending", "initContainerStatuses": [well, failed], "containerStatuses": [waiting, proxy]}
        await lab.add_pod(pod, status=status, containers=["app", "proxy"], initContainers=init)
        lab.write_log(pod, "table orders is missing\n", "migrate")
        lab.write_log(pod, "proxy is up\n", "proxy")
        kept = await lab.keep()
        logs = {key for key in await lab.kept() if key.endswith(".log")}
        assert kept.missing == ()
        assert logs == {f"{pod}.migrate.log", f"{pod}.proxy.log"}
        assert "init container migrate: not ready" in (await lab.kept())["summary.txt"]
        assert "exit code 3" in (await lab.kept())["summary.txt"]

    async def test_the_first_stays(self, lab: Lab) -> None:
        await lab.add_pod("podinfo-7c9bd-x2k4q", status=crashing())
        lab.write_log("podinfo-7c9bd-x2k4q", "first\n")
        first = await lab.keep()
        await lab.scene.delete(PODS, "podinfo-7c9bd-x2k4q")
        assert await lab.keep() == first
        assert first.pods == 1
        assert first.missing
        assert (await lab.kept())["podinfo-7c9bd-x2k4q.app.log"] == "first\n"

    async def test_two_at_once_keep_the_same(self, lab: Lab) -> None:
        await lab.add_pod("podinfo-7c9bd-x2k4q")
        one, other = await asyncio.gather(lab.keep(), lab.keep())
        assert one == other

    async def test_a_name_that_is_taken(self, lab: Lab) -> None:
        await lab.scene.create(CONFIG_MAPS, {"metadata": {"name": f"{NAME}-evidence"}, "data": {"a": "b"}})
        with pytest.raises(errors.Refused, match="not of this rollback"):
            await lab.keep()
        assert await lab.kept() == {"a": "b"}


    @pytest.mark.parametrize("borrowed", [False, True], ids=["its own template", "the template of a Deployment"])
    async def test_of_a_rollout_what_is_tried_out(self, lab: Lab, borrowed: bool) -> None:
        document = rollouts.rollout(lab.scene.namespace, None)
        if borrowed:
            source = builders.deployment(lab.scene.namespace, "summit-template", version="v4")
            await lab.scene.create(DEPLOYMENTS, source)
            reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "summit-template"}
            spec = {key: value for key, value in document["spec"].items() if key != "template"}
            document["spec"] = {**spec, "workloadRef": reference}
        image = "registry.example:5000/summit-template:v4" if borrowed else "registry.example/summit:v4"
        await lab.scene.create(rollouts.ROLLOUTS, document)
        await lab.scene.merge(rollouts.ROLLOUTS, f"{rollouts.NAME}/status", {"status": rollouts.status()})
        for pod, revision in (("summit-new", rollouts.NEW), ("summit-old", rollouts.OLD)):
            labels = {"app": rollouts.NAME, "rollouts-pod-template-hash": revision}
            await lab.add_pod(pod)
            await lab.scene.merge(PODS, pod, {"metadata": {"labels": labels}})
            lab.write_log(pod, f"{pod} speaks\n")
        found = await lab.scene.get(rollouts.ROLLOUTS, rollouts.NAME)
        canary = read_rollout(found, lambda *_: None, "cluster.local")
        assert canary is not None
        room = KubernetesEvidence(lab.client, bounds=Bounds(), redact=(), clock=SystemClock())
        kept = await room.keep(canary, await lab.record(), within=5)
        data = await lab.kept()
        assert (kept.missing, kept.pods) == ((), 1)
        assert {key for key in data if key.endswith(".log")} == {"summit-new.app.log"}
        assert f"app: {image}" in data["summary.txt"]
        assert f"image: {image}" in data["template.diff"]

    async def test_what_an_earlier_record_of_the_name_has_left_is_waited_for_to_go(self, lab: Lab) -> None:
        """Whoever deletes a record lifts the hold; the alert that still fires makes another of the same name, before
        the garbage collector has taken the evidence of the first."""
        name = f"{NAME}-evidence"
        before = await lab.record()
        left = packing.document(before, KeptEvidence(name, before.created_at, 0, ()), {})
        left["metadata"]["ownerReferences"][0]["uid"] = "of the one that was deleted"
        await lab.scene.create(CONFIG_MAPS, left)
        await lab.add_pod("podinfo-7c9bd-x2k4q", status=crashing())
        canary, record = await lab.canary(), await lab.record()
        room = KubernetesEvidence(lab.client, bounds=Bounds(), redact=(), clock=SystemClock())
        with pytest.raises(errors.Conflict, match="an earlier rollback"):
            await room.keep(canary, record, within=0.3)
        assert room.holds(record)
        await lab.scene.delete(PODS, "podinfo-7c9bd-x2k4q")
        writing = asyncio.create_task(room.keep(canary, record, within=5))
        await asyncio.sleep(0.3)
        await lab.scene.delete(CONFIG_MAPS, name)
        assert (await writing).pods == 1
        assert "podinfo-7c9bd-x2k4q" in (await lab.kept())["summary.txt"]


class TestWhatIsMissing:
    async def test_pods_that_are_gone(self, lab: Lab) -> None:
        await lab.add_event("Pod", "podinfo-7c9bd-x2k4q", "OOMKilled", "2026-11-24T07:00:00Z")
        kept = await lab.keep()
        assert (kept.pods, kept.missing) == (0, ())
        assert "OOMKilled" in (await lab.kept())["events.txt"]
        assert "pods        0" in (await lab.kept())["summary.txt"]

    async def test_a_canary_that_is_gone(self, lab: Lab) -> None:
        canary, record = await lab.canary(), await lab.record()
        for name in ("podinfo", "podinfo-primary"):
            await lab.scene.delete(DEPLOYMENTS, name)
        room = KubernetesEvidence(lab.client, bounds=Bounds(), redact=(), clock=SystemClock())
        kept = await room.keep(canary, record, within=5)
        assert [one.partition(":")[0] for one in kept.missing] == [
            "deployment podinfo and its pods",
            "deployment podinfo-primary",
        ]
        assert "missing:\n  deployment podinfo and its pods: Missing" in (await lab.kept())["summary.txt"]

    @pytest.mark.parametrize("code", [400, 403, 404, 429, 500, 502])
    async def test_logs_that_fail(self, lab: Lab, code: int) -> None:
        assert lab.api is not None
        lab.api.faults.fail(code, resource="pods", subresource="log", times=None)
        await lab.add_pod("podinfo-7c9bd-x2k4q", status=crashing())
        kept = await lab.keep()
        assert {one.partition(":")[0] for one in kept.missing} == {
            "log of podinfo-7c9bd-x2k4q/app",
            "log of podinfo-7c9bd-x2k4q/app before its restart",
        }
        assert "pod podinfo-7c9bd-x2k4q" in (await lab.kept())["summary.txt"]

    @pytest.mark.parametrize(("action", "times", "kept_logs"), [("hang", 1, 1), ("reset", None, 0), ("lose", None, 0)])
    async def test_logs_that_do_not_answer(self, lab: Lab, action: str, times: int | None, kept_logs: int) -> None:
        assert lab.api is not None
        await lab.add_pod("podinfo-7c9bd-x2k4q", containers=["app", "proxy"])
        lab.write_log("podinfo-7c9bd-x2k4q", "this one answers\n", "proxy")
        lab.write_log("podinfo-7c9bd-x2k4q", "this one does not\n")
        fault: Any = {"hang": lab.api.faults.hang, "reset": lab.api.faults.reset, "lose": lab.api.faults.lose_response}
        fault[action](resource="pods", subresource="log", times=times)
        began = asyncio.get_running_loop().time()
        kept = await lab.keep(within=0.5)
        assert asyncio.get_running_loop().time() - began < 1.5
        assert len(kept.missing) == 2 - kept_logs
        assert all(one.startswith("log of podinfo-7c9bd-x2k4q/") for one in kept.missing)
        assert sum(key.endswith(".log") for key in await lab.kept()) == kept_logs

    @pytest.mark.parametrize("resource", ["pods", "events", "deployments"])
    async def test_reads_that_are_forbidden_or_hang(self, lab: Lab, resource: str) -> None:
        assert lab.api is not None
        canary, record = await lab.canary(), await lab.record()
        await lab.add_pod("podinfo-7c9bd-x2k4q")
        room = KubernetesEvidence(lab.client, bounds=Bounds(), redact=(), clock=SystemClock())
        lab.api.faults.hang(resource=resource, times=None)
        hung = await room.keep(canary, record, within=0.3)
        lab.api.faults.clear()
        await lab.scene.delete(CONFIG_MAPS, hung.config_map)
        lab.api.faults.fail(403, resource=resource, times=None)
        forbidden = await room.keep(canary, record, within=5)
        assert {one.partition(":")[0] for one in hung.missing} == {one.partition(":")[0] for one in forbidden.missing}
        assert all("not read within 0.3 s" in one for one in hung.missing)
        assert all(": Refused: " in one for one in forbidden.missing)

    async def test_there_is_no_time(self, lab: Lab) -> None:
        await lab.add_pod("podinfo-7c9bd-x2k4q")
        kept = await lab.keep(within=0.0)
        assert (kept.pods, len(kept.missing)) == (0, 5)
        assert "podinfo" in (await lab.kept())["summary.txt"]

    async def test_nothing_can_be_read(self, lab: Lab) -> None:
        assert lab.api is not None
        canary, record = await lab.canary(), await lab.record()
        lab.api.faults.fail(500, verb="list", times=None)
        lab.api.faults.fail(500, verb="get", times=None)
        room = KubernetesEvidence(lab.client, bounds=Bounds(), redact=(), clock=SystemClock())
        kept = await room.keep(canary, record, within=5)
        assert (kept.pods, len(kept.missing)) == (0, 5)

    @pytest.mark.parametrize(
        ("code", "error"), [(403, errors.Refused), (500, errors.Unreachable), (429, errors.Throttled)]
    )
    async def test_it_cannot_be_written(self, lab: Lab, code: int, error: type[Exception]) -> None:
        assert lab.api is not None
        lab.api.faults.fail(code, resource="configmaps", times=None)
        began = asyncio.get_running_loop().time()
        with pytest.raises(error):
            await lab.keep(within=0.5)
        assert asyncio.get_running_loop().time() - began < 2
        lab.api.faults.clear()
        await lab.keep()

    @pytest.mark.parametrize("code", [429, 500, 503])
    async def test_it_can_be_written_a_moment_later(self, lab: Lab, code: int) -> None:
        assert lab.api is not None
        await lab.add_pod("podinfo-7c9bd-x2k4q")
        lab.api.faults.fail(code, resource="configmaps", times=2)
        assert (await lab.keep()).pods == 1
        assert len(lab.api.requests.matching(resource="pods", verb="list")) == 1

    @pytest.mark.parametrize("action", ["status", "hang", "reset"])
    async def test_what_could_not_be_written_is_written_when_the_pods_are_gone(self, lab: Lab, action: str) -> None:
        assert lab.api is not None
        await lab.add_pod("podinfo-7c9bd-x2k4q", status=crashing())
        lab.write_log("podinfo-7c9bd-x2k4q", "no database\n")
        canary, record = await lab.canary(), await lab.record()
        room = KubernetesEvidence(lab.client, bounds=Bounds(), redact=(), clock=SystemClock())
        assert not room.holds(record)
        lab.api.faults.add(Fault(action, resource="configmaps", verb="create", times=None))  # type: ignore[arg-type]
        for _ in range(2):
            with pytest.raises(errors.Unreachable):
                await room.keep(canary, record, within=0.5)
            assert room.holds(record)
        lab.api.faults.clear()
        await lab.scene.delete(PODS, "podinfo-7c9bd-x2k4q")
        kept = await room.keep(canary, record, within=5)
        assert (kept.pods, kept.config_map) == (1, f"{NAME}-evidence")
        assert (await lab.kept())["podinfo-7c9bd-x2k4q.app.log"] == "no database\n"
        assert not room.holds(record)

    async def test_what_is_refused_for_good_is_held_no_longer(self, lab: Lab) -> None:
        assert lab.api is not None
        room = KubernetesEvidence(lab.client, bounds=Bounds(), redact=(), clock=SystemClock())
        lab.api.faults.fail(403, resource="configmaps")
        with pytest.raises(errors.Refused):
            await room.keep(await lab.canary(), await lab.record(), within=5)
        assert not room.holds(await lab.record())

    async def test_of_many_that_could_not_be_written_the_newest_are_held(self, lab: Lab) -> None:
        assert lab.api is not None
        room = KubernetesEvidence(lab.client, bounds=Bounds(), redact=(), clock=SystemClock())
        lab.api.faults.fail(500, resource="configmaps", verb="create", times=None)
        canary, record = await lab.canary(), await lab.record()
        records = [dataclasses.replace(record, uid=str(number)) for number in range(20)]
        for one in records:
            with pytest.raises(errors.Unreachable):
                await room.keep(canary, one, within=0.1)
        assert [room.holds(one) for one in records] == [False] * 4 + [True] * 16

    async def test_it_was_written_but_nobody_said_so(self, lab: Lab) -> None:
        assert lab.api is not None
        await lab.add_pod("podinfo-7c9bd-x2k4q")
        lab.api.faults.lose_response(resource="configmaps", verb="create")
        assert (await lab.keep()).pods == 1
        assert (await lab.keep()).pods == 1


class TestBounds:
    async def test_fifty_pods(self, lab: Lab) -> None:
        for index in range(48):
            await lab.add_pod(f"podinfo-7c9bd-{index:05}")
        await lab.add_pod("podinfo-7c9bd-crash", status=crashing())
        await lab.add_pod("podinfo-7c9bd-stuck", status={"phase": "Pending"})
        kept = await lab.keep()
        data = await lab.kept()
        told = [line.split()[1].rstrip(":") for line in data["summary.txt"].splitlines() if line.startswith("pod ")]
        assert kept.pods == len(told) == 5
        assert set(told[:2]) == {"podinfo-7c9bd-crash", "podinfo-7c9bd-stuck"}
        assert "pods        50, of which 5" in data["summary.txt"]
        assert lab.api is not None
        asked = {call.name for call in lab.api.requests.matching(subresource="log")}
        assert len(asked) == 5

    async def test_huge_logs(self, lab: Lab) -> None:
        for index in range(5):
            pod = f"podinfo-7c9bd-{index}"
            await lab.add_pod(pod, status=crashing())
            lines = "".join(f"{number} {'ä😀' * 500}\n" for number in range(1000))
            lab.write_log(pod, lines)
            lab.write_log(pod, lines, previous=True)
        bounds = Bounds(total_bytes=100_000)
        await lab.keep(bounds=bounds)
        data = await lab.kept()
        logs = {key: text for key, text in data.items() if key.endswith(".log")}
        assert len(logs) == 10
        assert sum(len(key) + len(text.encode()) for key, text in data.items()) <= bounds.total_bytes
        for text in logs.values():
            assert text.startswith("... cut: what came before is not kept ...\n9")
            assert text.endswith("😀\n")
            assert text.splitlines()[-1].startswith("999 ")
            assert "\ufffd" not in text

    async def test_one_line_without_an_end(self, lab: Lab) -> None:
        await lab.add_pod("podinfo-7c9bd-x2k4q")
        lab.write_log("podinfo-7c9bd-x2k4q", f"password={SECRET * 20_000}")
        await lab.keep()
        assert (await lab.kept())["podinfo-7c9bd-x2k4q.app.log"] == "... cut: what came before is not kept ...\n"

    async def test_what_is_no_utf8(self, lab: Lab) -> None:
        await lab.add_pod("podinfo-7c9bd-x2k4q")
        lab.write_log("podinfo-7c9bd-x2k4q", b"\xff\xfe bytes \x00\x1b[31mred\x1b[0m \xe2\x82\n")
        await lab.keep()
        assert (await lab.kept())["podinfo-7c9bd-x2k4q.app.log"] == "\ufffd\ufffd bytes red \ufffd\n"

    async def test_many_events(self, lab: Lab) -> None:
        for index in range(30):
            await lab.add_event("Pod", "podinfo-7c9bd-x2k4q", f"event {index}", f"2026-11-24T07:00:{index:02}Z")
        await lab.keep(bounds=Bounds(events=10))
        lines = (await lab.kept())["events.txt"].splitlines()
        assert lines[0] == "... cut: 20 older events ..."
        assert len(lines) == 11
        assert "event 29" in lines[-1]

    async def test_a_long_name(self, lab: Lab) -> None:
        long = "r" * 250
        head = {"apiVersion": "pullback.dev/v1alpha1", "kind": "Rollback", "metadata": {"name": long}}
        document = await lab.scene.create(ROLLBACKS, {**head, "spec": {"canaryRef": {"name": "podinfo"}}})
        room = KubernetesEvidence(lab.client, bounds=Bounds(), redact=(), clock=SystemClock())
        kept = await room.keep(await lab.canary(), read_rollback(document), within=5)
        assert len(kept.config_map) <= 253
        assert kept.config_map.endswith("-evidence")


class TestSecrets:
    async def test_nowhere(self, lab: Lab) -> None:
        pod = "podinfo-7c9bd-x2k4q"
        env = [
            {"name": "DB_PASSWORD", "value": SECRET},
            {"name": "DB_URL", "value": f"postgres://app:{SECRET}@db/x"},
            {"name": "REFERENCE", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}},
            {"name": "LEVEL", "value": "debug"},
        ]
        spec = {"containers": [{"name": "app", "image": "podinfo:v2", "env": env}]}
        await lab.scene.merge(DEPLOYMENTS, "podinfo", {"spec": {"template": {"spec": spec}}})
        status = crashing(message=f"token: {SECRET}")
        await lab.add_pod(pod, status=status)
        body = [f"MIIE{index:04}{'A' * 56}" for index in range(400)]
        key = ["-----BEGIN PRIVATE KEY-----", *body[:27], "-----END PRIVATE KEY-----"]
        lab.write_log(pod, "\n".join(["start", *key, f"Authorization: Bearer {SECRET}", "ticket GEHEIM-77", "end", ""]))
        lab.write_log(pod, "\n".join([key[0], *body, key[-1], "it died", ""]), previous=True)
        await lab.add_event("Pod", pod, f"pull failed: https://u:{SECRET}@registry/x", "2026-11-24T07:00:00Z")
        await lab.keep(redact=("GEHEIM-[0-9]+",))
        data = await lab.kept()
        everything = json.dumps(data)
        assert SECRET not in everything
        assert "GEHEIM" not in everything
        assert "MIIE" not in everything
        assert data[f"{pod}.app.log"] == ("start\n[redacted]\nAuthorization: [redacted]\nticket [redacted]\nend\n")
        assert data[f"{pod}.app.previous.log"].endswith("[redacted]\nit died\n")
        assert "secretKeyRef" in data["template.diff"]
        assert "value: debug" in data["template.diff"]
        assert "https://[redacted]@registry/x" in data["events.txt"]
