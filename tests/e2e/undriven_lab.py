"""Releases that no controller drives, and everything around them real: Envoy and the requests through it, three
versions of an app, Prometheus and Alertmanager with what is shipped, the daemon as its own process, people with names
of their own. Stand-ins: the Kubernetes API, the kubelet, and what turns routes into Envoy's."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import yaml

from daemon.sandbox import application
from daemon.sandbox.alertmanager import Alertmanager, start_alertmanager
from daemon.sandbox.envoy import Envoy, start_envoy
from daemon.sandbox.kubelet import FakeKubelet
from daemon.sandbox.kubernetes_api import KubernetesApi
from daemon.sandbox.mesh import HTTP_ROUTE, VIRTUAL_SERVICE, Mesh
from daemon.sandbox.packages import AlertingBinaries
from daemon.sandbox.processes import Children, free_ports, wait_until_ready
from daemon.sandbox.prometheus import Prometheus, Workload, start_prometheus
from daemon.sandbox.stack import CHECKOUT, CRDS, ROUTE, RULES, own_environment, serve_command
from daemon.sandbox.translating import translate
from tests.builders import Json

VERSIONS = ("v3", "v4", "v5")
"""The stable one, and two that are tried out."""
STABLE = VERSIONS[0]
IN_FLIGHT = 0.25
SCRAPE = 0.5
SECOND = 0.2
"""Of the kubelet's."""
DAEMON, CAPTAIN = "system:serviceaccount:pullback:pullback", "captain@example.com"
CONTROLLERS = "system:serviceaccount:kube-system:controllers"


@dataclass(slots=True)
class Lab:
    """Everything that runs, with its addresses."""

    folder: Path
    api: KubernetesApi
    children: Children
    session: aiohttp.ClientSession
    ports: Mapping[str, int]
    envoy: Envoy
    mesh: Mesh
    daemon_url: str
    alertmanager: Alertmanager
    prometheus: Prometheus | None = None

    async def until(self, holds: Callable[[], object], what: str, *, within: float = 20.0) -> None:
        """Waits until it holds. Raises TimeoutError saying what was waited for, StartFailedError when a child died."""
        deadline = time.monotonic() + within
        while not holds():
            if (dead := self.children.dead()) is not None:
                raise dead.failed(f"ended by itself with status {dead.exit_status}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {within:g} s for {what}; routes: {self.mesh.failure}; {self.told()}")
            await asyncio.sleep(0.02)

    def told(self) -> list[str]:
        """How the rollbacks stand, in a line each."""
        records = self.api.list("rollbacks")
        return [f"{one['metadata']['name']} {(one.get('status') or {}).get('phase')}" for one in records]

    def route(self, kind: str, name: str, namespace: str) -> Json:
        found = self.api.read(kind, name, namespace)
        assert found is not None, f"{kind} {namespace}/{name}"
        return found

    def status(self, namespace: str, canary: str) -> Json:
        """Of the canary's only Rollback; empty while there is none."""
        records = [one for one in self.api.list("rollbacks", namespace) if one["spec"]["canaryRef"]["name"] == canary]
        assert len(records) <= 1, [one["metadata"]["name"] for one in records]
        return (records[0].get("status") or {}) if records else {}

    async def in_force(self, kind: str, name: str, namespace: str) -> None:
        """Waits until Envoy sends by the object as it is now."""
        await self.mesh.wait_until_applied(self.route(kind, name, namespace)["metadata"]["resourceVersion"])

    async def fire(self, namespace: str, version: str) -> None:
        """Tells Alertmanager, as Prometheus would, that this version hurts."""
        alert: Json = {
            "labels": {"alertname": "CanaryHighErrorRate", "severity": "critical", "namespace": namespace,
                       "version": version},
            "annotations": {"summary": f"{version} fails", "value": "21%", "threshold": "5%"},
            "startsAt": datetime.now(UTC).isoformat(),
            "generatorURL": "http://prometheus.example/graph",
        }  # fmt: skip
        async with self.session.post(f"{self.alertmanager.url}/api/v2/alerts", json=[alert]) as response:
            assert response.status == 200, await response.text()

    async def sent_to(self, *clusters: str) -> int:
        """Requests that Envoy has sent to these, by its own counters."""
        counted = await self.envoy.requests()
        return sum(counted[cluster].total for cluster in clusters)

    async def as_captain(self, *words: str) -> Json:
        """A command of Pullback's in a process of its own, by a person whom the API server knows."""
        kubeconfig = self.api.kubeconfig(self.folder / "captain.kubeconfig", user=CAPTAIN)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "daemon", *words, "--config", str(self.folder / "pullback.yaml"),
            "--kubeconfig", str(kubeconfig), "-o", "json", cwd=CHECKOUT, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate(), timeout=30)
        assert process.returncode == 0, err.decode() + out.decode()
        said: Json = json.loads(out)
        return said


@contextlib.asynccontextmanager
async def running(
    folder: Path,
    binaries: AlertingBinaries,
    *,
    clusters: Mapping[str, str],
    namespaces: list[str],
    configured: Callable[[Mapping[str, int]], Json],
    workloads: tuple[Workload, ...] = (),
) -> AsyncIterator[Lab]:
    """Starts all of it. ``clusters`` says which version each of Envoy's is; ``configured`` gives the daemon's settings
    from the versions' ports. With ``workloads`` there is a Prometheus, in which Envoy's counters bear their names."""
    async with contextlib.AsyncExitStack() as exits:
        tokens = {secrets.token_hex(8): user for user in (DAEMON, CAPTAIN, CONTROLLERS)}
        api = await exits.enter_async_context(KubernetesApi(CRDS, namespaces, tokens=tokens))
        session = await exits.enter_async_context(aiohttp.ClientSession())
        children = await exits.enter_async_context(Children(folder / "logs"))
        headers = {"Authorization": f"Bearer {next(token for token, user in tokens.items() if user == CONTROLLERS)}"}
        controllers = await exits.enter_async_context(aiohttp.ClientSession(headers=headers))
        ports = await _applications(children, session)
        behind = {cluster: ("127.0.0.1", ports[version]) for cluster, version in clusters.items()}
        envoy = await start_envoy(children, session, folder=folder, clusters=behind, routes=translate([]))
        mesh = Mesh(api.url, envoy, controllers, kinds=(VIRTUAL_SERVICE, HTTP_ROUTE))
        await exits.enter_async_context(mesh)
        kubelet = FakeKubelet(api.url, namespaces=namespaces, second=SECOND, headers=headers)
        (await exits.enter_async_context(kubelet)).start()
        daemon_url, token = f"http://127.0.0.1:{free_ports(1)[0]}", secrets.token_hex(16)
        (folder / "token").write_text(token + "\n", "utf-8")
        alertmanager = await start_alertmanager(
            children, session, binaries, folder=folder, shipped_config=ROUTE,
            webhook_url=f"{daemon_url}/webhooks/alertmanager", credentials_file=folder / "token",
        )  # fmt: skip
        lab = Lab(folder, api, children, session, ports, envoy, mesh, daemon_url, alertmanager)
        if workloads:
            lab.prometheus = await start_prometheus(
                children, session, binaries, folder=folder, envoy_admin=f"127.0.0.1:{envoy.admin_port}",
                workloads=workloads, shipped_rules=RULES, alertmanager=alertmanager.address, scrape_seconds=SCRAPE,
            )  # fmt: skip
        await _start_daemon(lab, configured(ports))
        yield lab


async def _applications(children: Children, session: aiohttp.ClientSession) -> dict[str, int]:
    ports = dict(zip(VERSIONS, free_ports(len(VERSIONS)), strict=True))
    started = [
        (await children.start(f"app-{version}", application.command(version, port), folder=CHECKOUT), port)
        for version, port in ports.items()
    ]
    for child, port in started:
        await wait_until_ready(child, f"http://127.0.0.1:{port}/", session)
    return ports


async def _start_daemon(lab: Lab, configured: Json) -> None:
    files = [str(lab.folder / "token")]
    door = {"bearer_token_files": files, "password_files": files}
    proof: Json = {"window": "1s", "read_back": "300ms", **configured.pop("proof", {})}
    if lab.prometheus is not None:
        proof["prometheus_url"] = lab.prometheus.url
    document = {
        "web": {"host": "127.0.0.1", "port": int(lab.daemon_url.rpartition(":")[2]),
                **dict.fromkeys(("alertmanager", "flagger", "console"), door)},
        "kubernetes": {"kubeconfig": str(lab.api.kubeconfig(lab.folder / "kubeconfig", user=DAEMON))},
        "proof": proof,
        "log": {"format": "console"},
        **configured,
    }  # fmt: skip
    path = lab.folder / "pullback.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")
    child = await lab.children.start("pullback", serve_command(path), environment=own_environment(), folder=CHECKOUT)
    await wait_until_ready(child, f"{lab.daemon_url}/readyz", lab.session)


def between(canary: str, stable: str, weight: int) -> list[Json]:
    """Backends of an HTTPRoute's rule."""
    return [{"name": stable, "port": 80, "weight": 100 - weight}, {"name": canary, "port": 80, "weight": weight}]


def http_route(namespace: str, name: str, host: str, *rules: Json, **annotations: str) -> Json:
    """Attached to a gateway of the infrastructure's."""
    said = {f"pullback.dev/{key.replace('_', '-')}": value for key, value in annotations.items()}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"namespace": namespace, "name": name, "annotations": said},
        "spec": {
            "parentRefs": [{"name": "public", "namespace": "infra"}],
            "hostnames": [host],
            "rules": list(rules),
        },
    }
