"""The whole chain on one machine: what the demo shows and the end-to-end ring tests is one and the same stack.

Real: Envoy and the requests through it, two app versions, Prometheus, Alertmanager with the shipped rules and
route, and the daemon as its own process. Stand-ins: the Kubernetes API, the kubelet and Flagger.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from daemon.sandbox import application
from daemon.sandbox.alertmanager import Alertmanager, start_alertmanager
from daemon.sandbox.envoy import Envoy, start_envoy
from daemon.sandbox.flagger import Flagger
from daemon.sandbox.kubelet import FakeKubelet
from daemon.sandbox.kubernetes_api import KubernetesApi
from daemon.sandbox.load import Load
from daemon.sandbox.mesh import Mesh
from daemon.sandbox.packages import AlertingBinaries
from daemon.sandbox.processes import ChildProcess, Children, free_port, wait_until_ready
from daemon.sandbox.prometheus import Prometheus, Workload, start_prometheus
from daemon.sandbox.translating import translate

CHECKOUT = Path(__file__).parents[2]
RULES = tuple(CHECKOUT / "config/prometheus" / name for name in ("canary-rules.yaml", "watchdog-rules.yaml"))
ROUTE = CHECKOUT / "config/alertmanager/alertmanager.yaml"
CRDS = (CHECKOUT / "daemon/sandbox/crds", CHECKOUT / "helm/pullback/crds")

NAMESPACE = "shop"
NAME = "podinfo"
STABLE, CANARY = f"{NAME}-primary", f"{NAME}-canary"
WEIGHT = 10
SECOND = 0.15
"""How long a second of Flagger's lasts here: its interval of 10 s becomes 1.5 s."""

Json = dict[str, Any]
Say = Callable[[str], None]


@dataclass(slots=True)
class Stack:
    """Everything that runs, with its addresses."""

    folder: Path
    api: KubernetesApi
    kubeconfig: Path
    children: Children
    session: aiohttp.ClientSession
    envoy: Envoy
    mesh: Mesh
    flagger: Flagger
    load: Load
    canary_port: int
    daemon_url: str
    token: str
    configuration: Path
    daemon: ChildProcess
    prometheus: Prometheus | None = None
    alertmanager: Alertmanager | None = None

    async def break_canary(self, error_share: float) -> None:
        """From now on this share of the canary's answers is a 500."""
        await application.set_behaviour(
            self.session, self.canary_port, application.Behaviour(error_ratio=error_share, latency_seconds=0.0)
        )

    def record(self) -> Json | None:
        """The newest Rollback record, if there is any."""
        records = self.api.list("rollbacks", NAMESPACE)
        return records[-1] if records else None

    def weight(self) -> int:
        """Percent of the canary, as the VirtualService says."""
        route = self.api.read("virtualservices", NAME, NAMESPACE)
        if route is None:
            return 0
        shares = route["spec"]["http"][0]["route"]
        return next((int(one["weight"]) for one in shares if one["destination"]["host"] == CANARY), 0)

    def phase(self) -> str:
        """What Flagger says of the canary."""
        canary = self.api.read("canaries", NAME, NAMESPACE) or {}
        return str((canary.get("status") or {}).get("phase", ""))

    async def start_daemon(self) -> None:
        """Once more, after the test has ended it."""
        self.daemon = await _start_daemon(self.children, self.session, self.configuration, self.daemon_url)


@contextlib.asynccontextmanager
async def running(folder: Path, binaries: AlertingBinaries | None, say: Say) -> AsyncIterator[Stack]:
    """Starts all of it and brings the canary to 10%. ``binaries`` None: without Prometheus and Alertmanager.

    Raises StartFailedError, naming the log, when a part does not come up.
    """
    if not CRDS[1].is_dir():
        raise FileNotFoundError(f"{CRDS[1]} is not there: the demo runs from a checkout of the project")
    async with contextlib.AsyncExitStack() as stack:
        say("Kubernetes API (embedded)")
        api = await stack.enter_async_context(KubernetesApi(CRDS, [NAMESPACE]))
        kubeconfig = api.kubeconfig(folder / "kubeconfig")
        session = await stack.enter_async_context(aiohttp.ClientSession())
        children = await stack.enter_async_context(Children(folder / "logs"))
        say("two versions of an app, Envoy in front of them")
        ports = [free_port(), free_port()]
        for version, port in zip(("v1", "v2"), ports, strict=True):
            child = await children.start(f"app-{version}", application.command(version, port))
            await wait_until_ready(child, f"http://127.0.0.1:{port}/", session)
        clusters = {STABLE: ("127.0.0.1", ports[0]), CANARY: ("127.0.0.1", ports[1])}
        envoy = await start_envoy(
            children, session, folder=folder, clusters=clusters, routes=translate([_first_route()])
        )
        mesh = await stack.enter_async_context(Mesh(api.url, envoy, session, NAMESPACE))
        token, daemon_url = secrets.token_hex(16), f"http://127.0.0.1:{free_port()}"
        token_file = folder / "token"
        token_file.write_text(token + "\n", "utf-8")
        prometheus, alertmanager = None, None
        if binaries is not None:
            say(f"Prometheus and Alertmanager ({binaries.source})")
            prometheus, alertmanager = await _start_alerting(
                children, session, binaries, folder, envoy, daemon_url, token_file
            )
        say("Pullback")
        configuration = _configure(folder, kubeconfig, token_file, daemon_url, prometheus)
        daemon = await _start_daemon(children, session, configuration, daemon_url)
        say("Flagger (a stand-in that ticks as the real one was measured to)")
        kubelet = await stack.enter_async_context(FakeKubelet(api.url, namespaces=[NAMESPACE], second=SECOND))
        kubelet.start()
        flagger = await stack.enter_async_context(Flagger(api.url, namespaces=[NAMESPACE], second=SECOND))
        flagger.start()
        load = await stack.enter_async_context(Load(envoy.url, NAME))
        running_stack = Stack(
            folder=folder, api=api, kubeconfig=kubeconfig, children=children, session=session, envoy=envoy,
            mesh=mesh, flagger=flagger, load=load, canary_port=ports[1], daemon_url=daemon_url, token=token,
            configuration=configuration, daemon=daemon, prometheus=prometheus, alertmanager=alertmanager,
        )  # fmt: skip
        await _release(running_stack, say)
        yield running_stack


async def _release(stack: Stack, say: Say) -> None:
    """A first version, then a second one that Flagger brings to 10%, where a person pauses it."""
    api = stack.api
    api.create(_deployment("v1"), manager="kubectl")
    api.create(_canary(stack.daemon_url, stack.token), manager="kubectl")
    await until(lambda: stack.phase() == "Initialized", "Flagger to initialize the canary")
    say("version v2 is released; Flagger raises its traffic")
    api.patch("deployments", NAME, NAMESPACE, {"spec": {"template": _template("v2")}}, manager="kubectl")
    await until(lambda: stack.weight() >= WEIGHT, f"Flagger to bring the canary to {WEIGHT}%")
    pause = {"metadata": {"annotations": {"pullback.dev/paused": "true"}}}
    api.patch("canaries", NAME, NAMESPACE, pause, manager="kubectl")
    say(f"the canary has {stack.weight()}% of the traffic, and is paused there")


async def until(holds: Callable[[], object], what: str, *, within: float = 30.0) -> None:
    """Waits until it holds. Raises TimeoutError saying what was waited for."""

    async def true() -> bool:
        return bool(holds())

    await until_true(true, what, within=within)


async def until_true(holds: Callable[[], Awaitable[bool]], what: str, *, within: float = 30.0) -> None:
    """The same for a question that has to be asked over the network."""
    try:
        async with asyncio.timeout(within):
            while not await holds():  # noqa: ASYNC110 - asks other processes, which set no event here
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise TimeoutError(f"waited {within:g} s for {what}") from None


async def _start_alerting(
    children: Children,
    session: aiohttp.ClientSession,
    binaries: AlertingBinaries,
    folder: Path,
    envoy: Envoy,
    daemon_url: str,
    token_file: Path,
) -> tuple[Prometheus, Alertmanager]:
    alertmanager = await start_alertmanager(
        children, session, binaries, folder=folder, shipped_config=ROUTE,
        webhook_url=f"{daemon_url}/webhooks/alertmanager", credentials_file=token_file,
    )  # fmt: skip
    prometheus = await start_prometheus(
        children, session, binaries, folder=folder, envoy_admin=f"127.0.0.1:{envoy.admin_port}",
        workloads=[
            Workload(STABLE, NAMESPACE, STABLE, STABLE, "v1"),
            Workload(CANARY, NAMESPACE, NAME, CANARY, "v2"),
        ],
        shipped_rules=RULES, alertmanager=alertmanager.address,
    )  # fmt: skip
    return prometheus, alertmanager


def _configure(
    folder: Path, kubeconfig: Path, token_file: Path, daemon_url: str, prometheus: Prometheus | None
) -> Path:
    door = {"bearer_token_files": [str(token_file)], "password_files": [str(token_file)]}
    proof: Json = {"window": "3s", "read_back": "500ms"}
    if prometheus is not None:
        # The shipped query looks back one minute, four scrapes of 15 s; here a scrape is 1 s.
        series = 'istio_requests_total{destination_workload="$workload",destination_workload_namespace="$namespace"}'
        query = f"sum(rate({series}[4s]))"
        proof |= {"prometheus_url": prometheus.url, "prometheus_query": query}
    document = {
        "web": {
            "host": "127.0.0.1",
            "port": int(daemon_url.rpartition(":")[2]),
            "alertmanager": door,
            "flagger": door,
            "console": door,
        },
        "kubernetes": {"kubeconfig": str(kubeconfig)},
        "proof": proof,
        "log": {"format": "console"},
    }
    path = folder / "pullback.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")
    return path


async def _start_daemon(
    children: Children, session: aiohttp.ClientSession, configuration: Path, daemon_url: str
) -> ChildProcess:
    argv: list[str | Path] = [sys.executable, "-m", "daemon", "serve", "--config", configuration]
    child = await children.start("pullback", argv, environment={"PYTHONPATH": str(CHECKOUT)})
    await wait_until_ready(child, f"{daemon_url}/readyz", session)
    return child


def _template(version: str) -> Json:
    return {
        "metadata": {"labels": {"app": NAME, "version": version}},
        "spec": {"containers": [{"name": NAME, "image": f"registry.example/{NAME}:{version}"}]},
    }


def _deployment(version: str) -> Json:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"namespace": NAMESPACE, "name": NAME},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": NAME}},
            "template": _template(version),
        },
    }


def _canary(daemon_url: str, password: str) -> Json:
    # As the README tells it: the password in the URL, the only header that Flagger can send.
    hooks = daemon_url.replace("http://", f"http://pullback:{password}@") + "/webhooks/flagger"
    kinds = ("rollback", "confirm-traffic-increase", "pre-rollout", "confirm-promotion", "event")
    return {
        "apiVersion": "flagger.app/v1beta1",
        "kind": "Canary",
        "metadata": {"namespace": NAMESPACE, "name": NAME},
        "spec": {
            "provider": "istio",
            "progressDeadlineSeconds": 600,
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME},
            "service": {"port": 80, "targetPort": 9898},
            "analysis": {
                "interval": "10s",
                "threshold": 5,
                "maxWeight": 50,
                "stepWeight": WEIGHT,
                "webhooks": [{"name": f"pullback-{kind}", "type": kind, "url": f"{hooks}/{kind}"} for kind in kinds],
            },
        },
    }


def _first_route() -> Json:
    """Until Flagger makes the VirtualService, everything goes to the first version."""
    route = [{"destination": {"host": STABLE}, "weight": 100}]
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"namespace": NAMESPACE, "name": NAME},
        "spec": {"hosts": [NAME], "http": [{"route": route}]},
    }
