"""Several people at one cluster, and a release that they act on."""

from __future__ import annotations

import asyncio
import datetime
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from daemon.adapters.canary_objects import CanaryObjects
from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.adapters.workloads import read_workload
from daemon.model import errors
from daemon.sandbox.kubernetes_api import KubernetesApi
from tests import builders
from tests.apiserver import PEOPLE, ControlPlane
from tests.cluster import CRDS, TEST_NAMESPACE, Cluster
from tests.commands import Pullback, Ran, exit_code
from tests.scene import CANARIES, DEPLOYMENTS, ROLLBACKS, Scene

REVISIONS = "/apis/pullback.dev/v1alpha1/namespaces/{}/canaryrevisions"
REVISION = "7b8cb8dc5d"
IMAGE = "registry.example:5000/podinfo:v2"
STAGES = [{"weight": 0, "soak": "15m"}, {"weight": 5, "soak": "30m"}, {"weight": 50, "soak": "30m"}]


@pytest.fixture
async def cluster(control_plane: ControlPlane | None, tmp_path: Path) -> AsyncIterator[Cluster]:
    """As the other one, but it knows several people, and asks who comes. We are alice."""
    if control_plane is not None:
        tokens = control_plane.people
        path = _kubeconfig(control_plane.kubeconfig, tmp_path / "alice", tokens["alice"])
        yield Cluster(path, control_plane.url, None, tokens["alice"])
        return
    tokens = {name: f"token-of-{number}" for number, name in enumerate(PEOPLE)}
    async with KubernetesApi(CRDS, [TEST_NAMESPACE], tokens={token: name for name, token in tokens.items()}) as api:
        yield Cluster(api.kubeconfig(tmp_path / "alice", user="alice"), api.url, api, tokens["alice"])


def _kubeconfig(pattern: Path, path: Path, token: str) -> Path:
    document = yaml.safe_load(pattern.read_text(encoding="utf-8"))
    document["users"][0]["user"] = {"token": token}
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


@dataclass(slots=True)
class Captains:
    """The command, for one canary under analysis."""

    cluster: Cluster
    scene: Scene
    pullback: Pullback
    folder: Path
    control_plane: ControlPlane | None
    config: Path

    def configure(self, **promotion: Any) -> None:
        self.config.write_text(yaml.safe_dump({"policy": {"stages": STAGES, "promotion": promotion}}))

    def kubeconfig(self, who: str) -> Path:
        path = self.folder / f"kubeconfig-{PEOPLE.index(who)}"
        if self.control_plane is not None:
            return _kubeconfig(self.cluster.kubeconfig, path, self.control_plane.people[who])
        assert self.cluster.emulator is not None
        return self.cluster.emulator.kubeconfig(path, user=who)

    def words(self, command: str, *more: str, who: str = "alice") -> list[str]:
        return [command, "podinfo", "-n", self.scene.namespace, "--config", str(self.config), "--kubeconfig",
                str(self.kubeconfig(who)), *more]  # fmt: skip

    async def run(self, command: str, *more: str, who: str = "alice") -> Ran:
        return await self.pullback(*self.words(command, *more, who=who), reaching=False)

    async def approve(self, *more: str, who: str = "alice", reason: str = "looks good") -> Ran:
        return await self.run("approve", "--yes", "--reason", reason, *more, who=who)

    async def refused(self, command: str, *more: str, who: str = "alice") -> str:
        """Why; and nothing was written."""
        before = await self.version()
        code, out, err = await self.run(command, *more, who=who)
        assert (code, out) == (1, ""), (code, out, err)
        assert await self.version() == before
        assert err.startswith("pullback: ")
        return err.removeprefix("pullback: ").rstrip("\n")

    # -- the canary object

    async def version(self) -> str:
        version: str = (await self.scene.get(CANARIES, "podinfo"))["metadata"]["resourceVersion"]
        return version

    async def ticked(self) -> None:
        """Its controller has written something into its status."""
        status = (await self.scene.get(CANARIES, "podinfo"))["status"]
        await self.scene.merge(CANARIES, "podinfo/status", {"status": {"iterations": status["iterations"] + 1}})

    async def annotations(self) -> dict[str, str]:
        """Ours, without their prefix."""
        found = (await self.scene.get(CANARIES, "podinfo"))["metadata"].get("annotations", {})
        return {key.removeprefix("pullback.dev/"): value for key, value in found.items()}

    async def annotate(self, **annotations: str | None) -> None:
        named = {f"pullback.dev/{key.replace('_', '-')}": value for key, value in annotations.items()}
        await self.scene.merge(CANARIES, "podinfo", {"metadata": {"annotations": named}})

    # -- the record

    async def template(self) -> str:
        return read_workload(await self.scene.get(DEPLOYMENTS, "podinfo")).template

    async def record(self, name: str = "podinfo-a", *, template: str | None = None, **status: Any) -> None:
        """What the daemon would have written of a revision."""
        document = {
            "apiVersion": "pullback.dev/v1alpha1",
            "kind": "CanaryRevision",
            "metadata": {"namespace": self.scene.namespace, "name": name},
            "spec": {
                "canaryRef": {"name": "podinfo"}, "template": template or await self.template(), "images": [IMAGE],
            },
        }  # fmt: skip
        await self.scene.create(REVISIONS, document)
        plain = {"revision": REVISION, "phase": "Analysing", "run": 1, "began": builders.BEGAN}
        await self.scene.merge(REVISIONS, f"{name}/status", {"status": plain | status})


def ago(**time: float) -> str:
    return (datetime.datetime.now(datetime.UTC) - datetime.timedelta(**time)).isoformat()


def at_ten_percent(**status: Any) -> dict[str, Any]:
    """A record: twenty minutes internally, ten minutes at 10%, of which 30 are asked for."""
    return {
        "weights": [{"weight": 0, "since": ago(minutes=30)}, {"weight": 10, "since": ago(minutes=10)}],
        "images": [{"image": IMAGE, "digest": "sha256:ab12"}],
        "checks": [{"gate": "rollout", "name": "error-rate", "state": "passed", "detail": "0.1 of at most 0.5",
                    "at": ago(seconds=90)}],
        **status,
    }  # fmt: skip


@pytest.fixture
async def captains(
    cluster: Cluster, scene: Scene, pullback: Pullback, tmp_path: Path, control_plane: ControlPlane | None
) -> Captains:
    """podinfo at 10%, under analysis, and recorded. Two people must approve in ``configure(approvals=2)`` only."""
    await scene.add_canary(weight=10)
    found = Captains(cluster, scene, pullback, tmp_path, control_plane, tmp_path / "pullback.yaml")
    found.configure()
    await found.record(**at_ten_percent())
    return found


@pytest.fixture
async def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``meanwhile(happens)``: that is done between the first look of the next commands and their write."""
    loop = asyncio.get_running_loop()
    written = CanaryObjects.act

    def prepare(happens: Callable[[], Coroutine[Any, Any, None]], *, times: int = 1) -> None:
        left = times

        async def act(self: CanaryObjects, *given: Any) -> Any:
            nonlocal left
            if left > 0:
                left -= 1
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(happens(), loop))
            return await written(self, *given)

        monkeypatch.setattr(CanaryObjects, "act", act)

    return prepare


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The API server does not say who asks."""

    async def whoami(self: KubernetesClient) -> str:
        raise errors.Refused("POST selfsubjectreviews: 403")

    monkeypatch.setattr(KubernetesClient, "whoami", whoami)


class Terminal:
    """A real terminal as standard input."""

    def __init__(self) -> None:
        self._ours, theirs = os.openpty()
        self.stdin = os.fdopen(theirs, "r", encoding="utf-8")

    def type(self, line: str) -> None:
        os.write(self._ours, f"{line}\n".encode())

    def close(self) -> None:
        self.stdin.close()
        os.close(self._ours)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    found = Terminal()
    monkeypatch.setattr("sys.stdin", found.stdin)
    yield found
    monkeypatch.undo()
    found.close()


async def at_once(*commands: list[str]) -> list[int]:
    """Exit codes of commands that run side by side."""
    return await asyncio.gather(*(asyncio.to_thread(exit_code, *words) for words in commands))


# -- what speaks against an act


async def nothing(_: Captains) -> None:
    """As it is."""


async def rolled_back(captains: Captains) -> None:
    await captains.scene.create(ROLLBACKS, {
        "apiVersion": "pullback.dev/v1alpha1", "kind": "Rollback",
        "metadata": {"namespace": captains.scene.namespace, "name": f"podinfo-{REVISION}"},
        "spec": {"canaryRef": {"name": "podinfo"}, "revision": REVISION, "trigger": "Operator", "reason": "slow"},
    })  # fmt: skip


async def overtaken(captains: Captains) -> None:
    deployment = builders.deployment(captains.scene.namespace, version="v3")
    await captains.scene.merge(DEPLOYMENTS, "podinfo", {"spec": {"template": deployment["spec"]["template"]}})


def in_phase(phase: str, **status: Any) -> Any:
    async def prepare(captains: Captains) -> None:
        await captains.scene.set_status(phase=phase, **status)

    return prepare


REFUSED = {
    "another revision": (nothing, ("--revision", "abc"), f"abc is not the one under analysis, that is {REVISION}"),
    "initialized": (in_phase("Initialized"), (), "nothing is under analysis (phase Initialized)"),
    "waiting": (in_phase("Waiting"), (), "(phase Waiting, the next revision has no name before it is confirmed)"),
    "failed": (in_phase("Failed", weight=0), (), "nothing is under analysis (phase Failed)"),
    "promoted": (in_phase("Succeeded"), (), f"revision {REVISION} is promoted already (Succeeded)"),
    "promoting": (in_phase("Promoting"), (), f"revision {REVISION} is promoted already (Promoting)"),
    "the next one is not there yet": (in_phase("Succeeded"), ("--revision", "abc"), "nothing is under analysis"),
    "rolled back": (rolled_back, (), f"Rollback podinfo-{REVISION} of revision {REVISION} is in force; to lift it: "),
    "superseded": (overtaken, (), f"revision {REVISION} is superseded: another version lies in its workload"),
}  # fmt: skip
"""What neither promote nor approve does anything about."""
