"""Argo CD and Flux against a held canary: each raise undone, named once, and, where people want it, stopped meanwhile.

Law 6: nothing of this is needed for the hold, and nothing of it lifts it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from daemon.sandbox.kubernetes_api import KubernetesApi
from daemon.workflow import suspending
from tests.builders import Json
from tests.cluster import CRDS, Cluster
from tests.component import gitops_lab as lab
from tests.component import undriven
from tests.component.gitops_lab import APPLICATION, HELM_RELEASE, KUSTOMIZATION, OWNER, Shape
from tests.component.undriven import NAME
from tests.running import Daemon, eventually, running
from tests.scene import ROLLBACKS, ROUTES, Scene

EVENTS = "/api/v1/namespaces/{}/events"
NOTE = "pullback.dev/stopped"
KUSTOMIZATIONS = "kustomizations"
_OF_THE_LAB = 1
"""Its own patch of the status."""
SHAPES = pytest.mark.parametrize("shape", [KUSTOMIZATION, HELM_RELEASE, APPLICATION], ids=lambda one: one.kind)


def suspend(scene: Scene, **more: Any) -> Json:
    """The group ``follow_ups`` of the settings."""
    return {"gitops": {f"{scene.namespace}/{NAME}": "suspend"}, "argocd_namespace": scene.namespace, **more}


async def owner(scene: Scene, shape: Shape) -> Json:
    return await scene.get(shape.collection, OWNER)


def stopped(shape: Shape, document: Json) -> bool:
    return not shape.acts(document["spec"])


async def events(scene: Scene, reason: str) -> list[str]:
    async with scene.http.get(EVENTS.format(scene.namespace)) as response:
        found = (await response.json())["items"]
    of_the_record = [one for one in found if one["involvedObject"]["kind"] == "Rollback"]
    return [one["message"] for one in of_the_record if one["reason"] == reason]


@SHAPES
async def test_each_raise_is_undone_and_said_once_with_the_field_to_ignore(
    shape: Shape, cluster: Cluster, scene: Scene, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    await lab.released(scene, shape)
    off: Json = {"argocd_namespace": scene.namespace}
    async with running(cluster, tmp_path, follow_ups=off, log={"level": "info", "format": "json"}) as daemon:
        await lab.roll_back(daemon, scene)
        async with lab.reconciling(scene, shape) as controller:
            await controller.wrote(5)
            entry = await lab.noted(scene, "ByHand")

            async def told() -> list[str]:
                return await events(scene, "RaisedByGitops")

            await eventually(told)
        await lab.at_zero(scene)
        shown = await history(daemon, scene)
        _, metrics = await daemon.get("/metrics")

    name = f"{scene.namespace}/{OWNER}"
    assert (entry["kind"], entry["name"]) == (shape.kind, name)
    assert f"{shape.kind} {name} ({shape.manager}) raised VirtualService {scene.namespace}/{NAME}" in entry["detail"]
    assert {"Kustomization": "ignore: [{paths:", "HelmRelease": "driftDetection: ignore: [{paths:",
            "Application": '".spec.http[]?.route[]?.weight"'}[shape.kind] in entry["detail"]  # fmt: skip
    assert [(one["kind"], one["state"]) for one in shown["followUps"]] == [(shape.kind, "ByHand")]
    assert len(await events(scene, "RaisedByGitops")) == 1
    assert f"{shape.kind} {name}" in (await events(scene, "RaisedByGitops"))[0]
    assert not stopped(shape, await owner(scene, shape)), "nobody asked for that"
    assert NOTE not in (await owner(scene, shape))["metadata"].get("annotations", {})

    logged = [json.loads(line) for line in capfd.readouterr().err.splitlines() if line.startswith("{")]
    lines = [one for one in logged if one["event"] == "hold.pushed_back"]
    held = next(line for line in metrics.splitlines() if line.startswith("pullback_holds_total"))
    assert float(held.split()[1]) >= 5
    assert [one["times"] for one in lines] == [1, 2, 4, 8][: len(lines)]
    assert [one.get("owner") for one in lines] == [f"{shape.kind} {name}", *[None] * (len(lines) - 1)]
    assert lines[0]["to_ignore"] in entry["detail"]
    assert len(lines) < 5, "counted, not repeated"


async def history(daemon: Daemon, scene: Scene) -> Json:
    async with daemon.http.get("/api/v1/rollbacks") as response:
        found: list[Json] = (await response.json())["rollbacks"]
    (one,) = [each for each in found if each["namespace"] == scene.namespace]
    return one


@SHAPES
async def test_where_people_want_it_the_controller_is_stopped_and_goes_on_when_the_rollback_is_over(
    shape: Shape, cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await lab.released(scene, shape)
    before = await owner(scene, shape)
    async with running(cluster, tmp_path, follow_ups=suspend(scene)) as daemon:
        record = await lab.roll_back(daemon, scene)
        assert "followUps" not in record["status"], "nobody has raised it yet"
        assert await owner(scene, shape) == before
        async with lab.reconciling(scene, shape) as controller:
            entry = await lab.noted(scene, "Lent")
            during = await owner(scene, shape)
            wrote = controller.writes
            await controller.look()
            await controller.look()

            assert controller.writes <= wrote + 1, "one that had looked before it was stopped"
            assert stopped(shape, during)
            assert json.loads(during["metadata"]["annotations"][NOTE])["for"] == [
                f"{scene.namespace}/{NAME}/{record['metadata']['name']}"
            ]
            assert "for as long as this rollback stands" in entry["detail"]
            assert entry["undo"]
            await lab.at_zero(scene)

            await lab.next_version(scene)
            done = await lab.noted(scene, "Done", "goes on as before")
            assert "undo" not in done
            await controller.wrote(wrote + 1)
    after = await owner(scene, shape)
    assert after["spec"] == before["spec"]
    assert NOTE not in after["metadata"].get("annotations", {})


async def test_what_was_lent_before_a_crash_is_given_back_by_the_next_life(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await lab.released(scene, KUSTOMIZATION)
    async with running(cluster, tmp_path, follow_ups=suspend(scene)) as daemon:
        await lab.roll_back(daemon, scene)
        async with lab.reconciling(scene, KUSTOMIZATION):
            await lab.noted(scene, "Lent")
    assert (await owner(scene, KUSTOMIZATION))["spec"]["suspend"] is True
    # The configuration may have changed meanwhile: what is owed is owed.
    async with running(cluster, tmp_path, follow_ups={"gitops": "off"}):
        await lab.noted(scene, "Done", "goes on as before")
    found = await owner(scene, KUSTOMIZATION)
    assert "suspend" not in found["spec"]
    assert NOTE not in found["metadata"].get("annotations", {})


async def test_a_crash_between_the_note_and_the_record_lends_it_once(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await lab.released(scene, KUSTOMIZATION)
    async with running(cluster, tmp_path, follow_ups=suspend(scene)) as daemon:
        await lab.roll_back(daemon, scene)
        async with lab.reconciling(scene, KUSTOMIZATION):
            lent = await lab.noted(scene, "Lent")
    record = (await scene.records())[0]
    pending = {**lent, "state": "Pending"}
    await scene.merge(ROLLBACKS, f"{record['metadata']['name']}/status", {"status": {"followUps": [pending]}})
    before = await owner(scene, KUSTOMIZATION)
    async with running(cluster, tmp_path, follow_ups=suspend(scene)):
        await lab.noted(scene, "Lent")
        assert await owner(scene, KUSTOMIZATION) == before
        await lab.next_version(scene)
        await lab.noted(scene, "Done")
    assert "suspend" not in (await owner(scene, KUSTOMIZATION))["spec"]


@pytest.mark.parametrize("down", [False, True], ids=["seen", "while-nobody-ran"])
async def test_whoever_deletes_the_record_has_it_given_back(
    down: bool, cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await lab.released(scene, APPLICATION)
    async with running(cluster, tmp_path, follow_ups=suspend(scene)) as daemon:
        record = await lab.roll_back(daemon, scene)
        async with lab.reconciling(scene, APPLICATION):
            await lab.noted(scene, "Lent")
        if not down:
            await scene.delete(ROLLBACKS, record["metadata"]["name"])
            await going_on(scene, APPLICATION)
    if down:
        await scene.delete(ROLLBACKS, record["metadata"]["name"])
        async with running(cluster, tmp_path, follow_ups=suspend(scene)):
            await going_on(scene, APPLICATION)


async def going_on(scene: Scene, shape: Shape) -> None:
    async def as_before() -> bool:
        found = await owner(scene, shape)
        return not stopped(shape, found) and NOTE not in found["metadata"].get("annotations", {})

    await eventually(as_before)


async def test_an_application_that_a_set_makes_is_left_alone_and_says_why(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    made = APPLICATION.owner(scene.namespace)
    made["metadata"]["ownerReferences"] = [{
        "apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet", "name": "all", "uid": "1-2", "controller": True,
    }]  # fmt: skip
    await lab.released(scene, APPLICATION, owner=made)
    async with running(cluster, tmp_path, follow_ups=suspend(scene)) as daemon:
        await lab.roll_back(daemon, scene)
        async with lab.reconciling(scene, APPLICATION) as controller:
            entry = await lab.noted(scene, "Failed", "is made by ApplicationSet all")
            await controller.wrote(controller.writes + 1)
        await lab.at_zero(scene)
    assert "ignoreDifferences" in entry["detail"]
    assert not stopped(APPLICATION, await owner(scene, APPLICATION))


async def test_one_that_does_not_count_the_route_among_its_own_is_never_touched(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    """Whoever may label a route must not be able to stop somebody else's delivery by that."""
    other = KUSTOMIZATION.owner(scene.namespace)
    other["status"]["inventory"]["entries"] = [{"id": "else_web_networking.istio.io_VirtualService", "v": "v1"}]
    await lab.released(scene, KUSTOMIZATION, owner=other)
    async with running(cluster, tmp_path, follow_ups=suspend(scene)) as daemon:
        await lab.roll_back(daemon, scene)
        async with lab.reconciling(scene, KUSTOMIZATION):
            await lab.noted(scene, "Failed", "does not count that route among its own")
        await lab.at_zero(scene)
    assert "suspend" not in (await owner(scene, KUSTOMIZATION))["spec"]


async def test_what_somebody_sets_going_again_is_not_stopped_a_second_time(
    cluster: Cluster, scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suspending, "_EVERY", 0.2)
    await lab.released(scene, KUSTOMIZATION)
    async with running(cluster, tmp_path, follow_ups=suspend(scene)) as daemon:
        await lab.roll_back(daemon, scene)
        async with lab.reconciling(scene, KUSTOMIZATION) as controller:
            await lab.noted(scene, "Lent")
            await scene.merge(KUSTOMIZATION.collection, OWNER, {"spec": {"suspend": False}}, manager="flux")
            await lab.noted(scene, "Failed", "was taken back by flux")
            await controller.wrote(controller.writes + 2)
            await lab.at_zero(scene)
            assert (await owner(scene, KUSTOMIZATION))["spec"]["suspend"] is False
            await lab.next_version(scene)
            await going_on(scene, KUSTOMIZATION)
    assert (await owner(scene, KUSTOMIZATION))["spec"]["suspend"] is False


async def test_a_person_who_raises_it_is_nobodys_controller(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    await lab.released(scene, KUSTOMIZATION)
    async with running(cluster, tmp_path, follow_ups=suspend(scene)) as daemon:
        await lab.roll_back(daemon, scene)
        git = undriven.routes(scene.namespace, 25)["spec"]
        await scene.merge(ROUTES, NAME, {"spec": git}, manager="kubectl-edit")
        await lab.at_zero(scene)
        await lab.next_version(scene)
    record = await scene.record("Completed")
    assert "followUps" not in record["status"]
    assert "suspend" not in (await owner(scene, KUSTOMIZATION))["spec"]


# -- what goes wrong on the way


@dataclass(frozen=True, slots=True)
class Lab:
    cluster: Cluster
    scene: Scene
    api: KubernetesApi
    folder: Path

    def daemon(self, **changes: Any) -> AbstractAsyncContextManager[Daemon]:
        return running(self.cluster, self.folder, follow_ups=suspend(self.scene, **changes))

    def calls(self, verb: str) -> int:
        found = [one for one in self.api.requests if (one.resource, one.verb) == (KUSTOMIZATIONS, verb)]
        return len(found) - _OF_THE_LAB


@pytest.fixture
async def fragile(tmp_path: Path) -> AsyncIterator[Lab]:
    async with KubernetesApi(CRDS, ["shop"]) as api, aiohttp.ClientSession(api.url) as http:
        scene = Scene(http, "shop")
        await lab.released(scene, KUSTOMIZATION)
        yield Lab(Cluster(api.kubeconfig(tmp_path / "kubeconfig"), api.url, api), scene, api, tmp_path)


async def test_without_permission_it_says_which_role_is_missing_and_is_given_up_in_the_end(fragile: Lab) -> None:
    fragile.api.faults.fail(403, "forbidden", resource=KUSTOMIZATIONS, user_agent="pullback", times=None)
    async with fragile.daemon(give_up_after=1.5) as daemon:
        await lab.roll_back(daemon, fragile.scene)
        async with lab.reconciling(fragile.scene, KUSTOMIZATION) as controller:
            await lab.noted(fragile.scene, "Pending", "where gitops.namespaces names shop")
            entry = await lab.noted(fragile.scene, "Failed", "given up: may not get and patch")
            await controller.wrote(controller.writes + 1)
        await lab.at_zero(fragile.scene)
    assert "to make it leave that alone, add to its spec" in entry["detail"]
    assert "undo" not in entry


async def test_an_answer_that_was_lost_is_looked_for_and_given_back(fragile: Lab) -> None:
    """The write got through, and nobody was told: by the time it is given up, the Kustomization is stopped."""
    fragile.api.faults.lose_response(resource=KUSTOMIZATIONS, verb="patch", user_agent="pullback", times=1)
    async with fragile.daemon() as daemon:
        await lab.roll_back(daemon, fragile.scene)
        async with lab.reconciling(fragile.scene, KUSTOMIZATION):
            await lab.noted(fragile.scene, "Lent")
            assert fragile.calls("patch") == 1
            await lab.next_version(fragile.scene)
            await lab.noted(fragile.scene, "Done")
    assert "suspend" not in (await owner(fragile.scene, KUSTOMIZATION))["spec"]


async def test_what_cannot_be_put_back_is_tried_until_it_can(fragile: Lab) -> None:
    async with fragile.daemon(give_up_after=0.1) as daemon:
        await lab.roll_back(daemon, fragile.scene)
        async with lab.reconciling(fragile.scene, KUSTOMIZATION):
            await lab.noted(fragile.scene, "Lent")
        fragile.api.faults.fail(503, verb="patch", resource=KUSTOMIZATIONS, user_agent="pullback", times=None)
        await lab.next_version(fragile.scene)
        await lab.noted(fragile.scene, "Lent", "not put back yet")
        fragile.api.faults.clear()
        await lab.noted(fragile.scene, "Done", "goes on as before")
    assert "suspend" not in (await owner(fragile.scene, KUSTOMIZATION))["spec"]


async def test_an_owner_that_is_gone_or_was_never_there_is_in_nobodys_way(fragile: Lab) -> None:
    async with fragile.daemon() as daemon:
        await lab.roll_back(daemon, fragile.scene)
        async with lab.reconciling(fragile.scene, KUSTOMIZATION):
            await lab.noted(fragile.scene, "Lent")
        await fragile.scene.delete(KUSTOMIZATION.collection, OWNER)
        await lab.next_version(fragile.scene)
        await lab.noted(fragile.scene, "NotNeeded", "nothing of ours is left")


async def test_two_replicas_write_it_once(fragile: Lab) -> None:
    async with fragile.daemon() as first, fragile.daemon():
        await lab.roll_back(first, fragile.scene)
        async with lab.reconciling(fragile.scene, KUSTOMIZATION) as controller:
            await controller.wrote(1)
            await lab.noted(fragile.scene, "Lent")
        assert fragile.calls("patch") == 1
        await lab.next_version(fragile.scene)
        await lab.noted(fragile.scene, "Done")
