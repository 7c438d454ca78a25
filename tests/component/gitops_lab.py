"""A GitOps controller as a held canary meets it: again and again it writes what stands in Git, under its real name.

The owner's shape (labels, inventory, what stops it) is each controller's own. It writes by merge patch: who has written
which field looks the same as after a server-side apply, because lists of a VirtualService have one owner as a whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from tests import builders
from tests.builders import Json
from tests.component import undriven
from tests.component.undriven import NAME, shares
from tests.running import Daemon, eventually
from tests.scene import ROUTES, Scene

EVERY = 0.3
"""Seconds between two of its looks; real ones take from seconds (self-heal) to minutes (an interval)."""
NOBODY = {"stable": 100, "canary": 0}
OWNER = "delivery"


@dataclass(frozen=True, slots=True)
class Shape:
    """One of the controllers."""

    kind: str
    manager: str
    collection: str
    owner: Callable[[str], Json]
    """What it acts by, in a namespace."""
    marks: Callable[[str], Json]
    """Labels and annotations on what it writes."""
    acts: Callable[[Json], bool]
    """Whether the owner's spec lets it write."""


def _kustomization(namespace: str) -> Json:
    source = {"kind": "GitRepository", "name": "shop"}
    entries = [{"id": f"{namespace}_{NAME}_networking.istio.io_VirtualService", "v": "v1"}]
    return {
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
        "metadata": {"namespace": namespace, "name": OWNER},
        "spec": {"interval": "1m", "prune": True, "sourceRef": source},
        "status": {"inventory": {"entries": entries}},
    }  # fmt: skip


def _helm_release(namespace: str) -> Json:
    return {
        "apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease",
        "metadata": {"namespace": namespace, "name": OWNER},
        "spec": {"interval": "1m", "suspend": False, "driftDetection": {"mode": "enabled"}},
        "status": {},
    }  # fmt: skip


def _application(namespace: str) -> Json:
    mine = {"group": "networking.istio.io", "kind": "VirtualService", "namespace": namespace, "name": NAME}
    return {
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"namespace": namespace, "name": OWNER},
        "spec": {
            "project": "default", "destination": {"namespace": namespace},
            "syncPolicy": {"automated": {"prune": True, "selfHeal": True}},
        },
        "status": {"resources": [{**mine, "status": "Synced"}]},
    }  # fmt: skip


def _flux(group: str) -> Callable[[str], Json]:
    return lambda namespace: {"labels": {f"{group}/name": OWNER, f"{group}/namespace": namespace}}


def _tracked(namespace: str) -> Json:
    told = f"{OWNER}:networking.istio.io/VirtualService:{namespace}/{NAME}"
    return {"annotations": {"argocd.argoproj.io/tracking-id": told}}


KUSTOMIZATION = Shape(
    "Kustomization", "kustomize-controller", "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/{}/kustomizations",
    _kustomization, _flux("kustomize.toolkit.fluxcd.io"), lambda spec: not spec.get("suspend"),
)  # fmt: skip
HELM_RELEASE = Shape(
    "HelmRelease", "helm-controller", "/apis/helm.toolkit.fluxcd.io/v2/namespaces/{}/helmreleases",
    _helm_release, _flux("helm.toolkit.fluxcd.io"), lambda spec: not spec.get("suspend"),
)  # fmt: skip
APPLICATION = Shape(
    "Application", "argocd-controller", "/apis/argoproj.io/v1alpha1/namespaces/{}/applications",
    _application, _tracked, lambda spec: bool(spec["syncPolicy"]["automated"].get("selfHeal")),
)  # fmt: skip


class Controller:
    """Looks every so often, and writes what is in Git where the cluster has something else."""

    def __init__(self, scene: Scene, shape: Shape, weight: int) -> None:
        self._scene = scene
        self._shape = shape
        self._git = {"metadata": shape.marks(scene.namespace), "spec": undriven.routes(scene.namespace, weight)["spec"]}
        self.writes = 0

    async def look(self) -> None:
        owner = await self._scene.get(self._shape.collection, OWNER)
        if not self._shape.acts(owner["spec"]):
            return
        if (await self._scene.get(ROUTES, NAME))["spec"] != self._git["spec"]:
            await self._scene.merge(ROUTES, NAME, self._git, manager=self._shape.manager)
            self.writes += 1

    async def run(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(EVERY)

    async def wrote(self, times: int) -> None:
        """Until it has written so often."""

        async def so_often() -> bool:
            return self.writes >= times

        await eventually(so_often)


async def released(scene: Scene, shape: Shape, *, weight: int = 25, owner: Json | None = None) -> None:
    """A canary whose route that controller has written, and what the controller acts by."""
    await undriven.release(scene, weight=weight)
    for name in (f"{NAME}-opt-in", NAME):
        await scene.delete(ROUTES, name)
    route = undriven.routes(scene.namespace, weight)
    route["metadata"] = {**route["metadata"], **shape.marks(scene.namespace)}
    by = {"fieldManager": shape.manager}
    async with scene.http.post(ROUTES.format(scene.namespace), json=route, params=by) as response:
        assert response.status == 201, await response.text()
    made_at = datetime.datetime.now(datetime.UTC).replace(microsecond=0)

    async def another_second() -> bool:
        """managedFields know whole seconds: of two who wrote in the same one, nobody can tell who was last."""
        return datetime.datetime.now(datetime.UTC) >= made_at + datetime.timedelta(seconds=1)

    await eventually(another_second)
    document = owner or shape.owner(scene.namespace)
    status = document.pop("status")
    made = await scene.create(shape.collection, {**document, "status": status} if shape is APPLICATION else document)
    if shape is not APPLICATION and status:
        await scene.merge(shape.collection, f"{made['metadata']['name']}/status", {"status": status})


@contextlib.asynccontextmanager
async def reconciling(scene: Scene, shape: Shape, *, weight: int = 25) -> AsyncIterator[Controller]:
    """While inside, the controller runs."""
    controller = Controller(scene, shape, weight)
    task = asyncio.create_task(controller.run())
    try:
        yield controller
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def roll_back(daemon: Daemon, scene: Scene) -> Json:
    told = builders.alert(scene.namespace, NAME)
    status, answer = await daemon.alert(builders.webhook(told))
    assert (status, answer["alerts"][0]["verdict"]) == (200, "ROLL_BACK"), answer
    return await scene.record("Proved")


async def noted(scene: Scene, state: str, said: str = "", *, within: float = 10.0) -> Json:
    """The only follow-up of the only record, once it is in that state and says that."""

    async def found() -> Json | None:
        records = await scene.records()
        entries = records[0].get("status", {}).get("followUps", []) if records else []
        assert len(entries) <= 1, entries
        there = entries and entries[0]["state"] == state and said in entries[0]["detail"]
        return entries[0] if there else None

    entry: Json = await eventually(found, within=within)
    return entry


async def at_zero(scene: Scene) -> None:
    async def zero() -> bool:
        return bool((await shares(scene))["everybody"] == NOBODY)

    await eventually(zero)


async def next_version(scene: Scene) -> None:
    """Somebody brings a fixed canary: the rollback no longer stands."""
    fixed: Any = undriven.workload(scene.namespace, "canary", "v5")
    await scene.merge("/apis/apps/v1/namespaces/{}/deployments", f"{NAME}-canary", {"spec": fixed["spec"]})
    await scene.record("Completed")
