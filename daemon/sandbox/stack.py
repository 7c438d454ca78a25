"""The whole chain on one machine: what the demo shows and the end-to-end ring tests is one and the same stack.

Real: Envoy and the requests through it, two app versions, Prometheus, Alertmanager with the shipped rules and
route, and the daemon as its own process. Stand-ins: the Kubernetes API, the kubelet and Flagger.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from daemon.sandbox import application, shop
from daemon.sandbox.alertmanager import Alertmanager, start_alertmanager
from daemon.sandbox.envoy import Envoy, start_envoy
from daemon.sandbox.flagger import Flagger, Line, Timeline
from daemon.sandbox.kubelet import FakeKubelet
from daemon.sandbox.kubernetes_api import KubernetesApi
from daemon.sandbox.load import Load
from daemon.sandbox.mesh import Mesh
from daemon.sandbox.packages import AlertingBinaries
from daemon.sandbox.processes import (
    ChildProcess,
    Children,
    free_ports,
    stop,
    wait_until_ready,
)
from daemon.sandbox.prometheus import Prometheus, start_prometheus
from daemon.sandbox.shop import CANARY, NAME, NAMESPACE, STABLE, WEIGHT
from daemon.sandbox.translating import translate

CHECKOUT = Path(__file__).parents[2]
RULES = tuple(CHECKOUT / "config/prometheus" / name for name in ("canary-rules.yaml", "watchdog-rules.yaml"))
ROUTE = CHECKOUT / "config/alertmanager/alertmanager.yaml"
CRDS = (CHECKOUT / "daemon/sandbox/crds", CHECKOUT / "helm/pullback/crds")

SECOND = 0.15
"""How long a second of Flagger's lasts here: its interval of 10 s becomes 1.5 s."""
WINDOW_SCRAPES = 4
"""The longest error window of the shipped rules, in scrapes."""
ERRORS = 7
"""Errors wanted within that window: the rules ask for 5, whatever the share."""
USUAL_RATE, HIGHEST_RATE = 150.0, 300.0
LEAST_SHARE = 0.015
"""The rules stay silent up to this error share: it is the noise of a good release."""
LONGEST_LOAD = 7 * 24 * 3600.0

Json = dict[str, Any]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Pace:
    """How much traffic, and how often it is scraped."""

    requests_per_second: float = USUAL_RATE
    scrape_seconds: float = 1.0

    @classmethod
    def to_notice(cls, error_share: float) -> Pace:
        """Few errors need more requests, or longer windows, before anybody may speak of a rate."""
        per_request = WEIGHT / 100 * error_share * WINDOW_SCRAPES
        rate = min(max(ERRORS / per_request, USUAL_RATE), HIGHEST_RATE)
        return cls(rate, round(max(1.0, ERRORS / (rate * per_request)), 1))

    @property
    def window(self) -> float:
        return WINDOW_SCRAPES * self.scrape_seconds


@dataclass(slots=True)
class Stack:
    """Everything that runs, with its addresses."""

    folder: Path
    pace: Pace
    api: KubernetesApi
    kubeconfig: Path
    children: Children
    session: aiohttp.ClientSession
    envoy: Envoy
    mesh: Mesh
    load: Load
    canary_port: int
    token: str
    token_file: Path
    daemon_url: str
    configuration: Path
    prometheus: Prometheus | None = None
    alertmanager: Alertmanager | None = None
    daemon: ChildProcess | None = None
    failed_at: float | None = field(default=None, init=False)
    """When Flagger marked the canary Failed."""

    async def break_canary(self, error_share: float) -> None:
        """From now on this share of the canary's answers is a 500."""
        behaviour = application.Behaviour(error_ratio=error_share)
        await application.set_behaviour(self.session, self.canary_port, behaviour)

    def records(self) -> list[Json]:
        return self.api.list("rollbacks", NAMESPACE)

    def record(self) -> Json:
        """The Rollback record, empty while there is none."""
        records = self.records()
        return max(records, key=lambda one: str(one["metadata"]["creationTimestamp"])) if records else {}

    def status(self) -> Json:
        return self.record().get("status") or {}

    def weight(self) -> int:
        """Percent of the canary, as the VirtualService says."""
        route = self.api.read("virtualservices", NAME, NAMESPACE) or {"spec": {}}
        shares = [share for rule in route["spec"].get("http") or () for share in rule.get("route") or ()]
        return next((int(one.get("weight", 0)) for one in shares if one["destination"]["host"] == CANARY), 0)

    def phase(self) -> str:
        """What Flagger says of the canary."""
        canary = self.api.read("canaries", NAME, NAMESPACE) or {}
        return str((canary.get("status") or {}).get("phase", ""))

    async def post_alert(self) -> tuple[int, str]:
        """Says itself, and as Alertmanager would, that the canary hurts; returns the daemon's answer."""
        body = shop.notification(datetime.now(UTC).isoformat())
        headers = {"Authorization": f"Bearer {self.token}"}
        url = f"{self.daemon_url}/webhooks/alertmanager"
        async with self.session.post(url, json=body, headers=headers, timeout=aiohttp.ClientTimeout(10)) as response:
            return response.status, await response.text()

    async def start_daemon(self) -> None:
        argv = serve_command(self.configuration)
        self.daemon = await self.children.start("pullback", argv, environment=own_environment(), folder=CHECKOUT)
        await wait_until_ready(self.daemon, f"{self.daemon_url}/readyz", self.session)

    async def end_daemon(self, *, kill: bool = False) -> int:
        """By SIGTERM, or by SIGKILL; returns its exit status. It may be started again."""
        ended, self.daemon = self.daemon, None
        if ended is None:
            raise RuntimeError("the daemon is not running")
        self.children.forget(ended)
        if kill:
            ended.process.kill()
        return await stop(ended, grace=15)

    async def until(self, holds: Callable[[], object], what: str, *, within: float = 30.0) -> None:
        """Waits until it holds. Raises TimeoutError saying what was waited for, StartFailedError when a child died."""
        deadline = time.monotonic() + within
        while not holds():
            if (dead := self.children.dead()) is not None:
                raise dead.failed(f"ended by itself with status {dead.exit_status}")
            if time.monotonic() > deadline:
                also = f"; routes: {self.mesh.failure}" if self.mesh.failure else ""
                raise TimeoutError(f"waited {within:g} s for {what}{also}")
            await asyncio.sleep(0.02)

    def heard(self, line: Line) -> None:
        """Called by the Flagger stand-in with everything it does."""
        if self.failed_at is None and line.kind == "CANARY" and line.text.startswith("phase=Failed "):
            self.failed_at = time.time()


@contextlib.asynccontextmanager
async def running(
    folder: Path, binaries: AlertingBinaries | None, say: Say, pace: Pace | None = None
) -> AsyncIterator[Stack]:
    """Starts all of it and brings the canary to 10%. ``binaries`` None: without Prometheus and Alertmanager.

    Raises StartFailedError, naming the log, when a part does not come up, TimeoutError when it does nothing.
    """
    pace = pace or Pace()
    async with contextlib.AsyncExitStack() as exits:
        stack = await _network(exits, folder, pace, say)
        if binaries is not None:
            say(f"Prometheus and Alertmanager ({binaries.source})")
            await _start_alerting(stack, binaries)
        say("Pullback")
        _configure(stack)
        await stack.start_daemon()
        say("Flagger (a stand-in that ticks as the real one was measured to)")
        kubelet = FakeKubelet(stack.api.url, namespaces=[NAMESPACE], second=SECOND)
        (await exits.enter_async_context(kubelet)).start()
        flagger = Flagger(stack.api.url, namespaces=[NAMESPACE], second=SECOND, timeline=Timeline(stack.heard))
        (await exits.enter_async_context(flagger)).start()
        await exits.enter_async_context(stack.load)
        await _release(stack, say)
        yield stack


async def _network(exits: contextlib.AsyncExitStack, folder: Path, pace: Pace, say: Say) -> Stack:
    """The API, two versions of the app, and Envoy in front of them, all of it on the old version yet."""
    say("Kubernetes API (embedded)")
    api = await exits.enter_async_context(KubernetesApi(CRDS, [NAMESPACE]))
    session = await exits.enter_async_context(aiohttp.ClientSession())
    children = await exits.enter_async_context(Children(folder / "logs"))
    say("two versions of an app, Envoy in front of them")
    stable_port, canary_port, daemon_port = free_ports(3)
    apps = [
        (await children.start(f"app-{version}", application.command(version, port), folder=CHECKOUT), port)
        for version, port in ((shop.OLD, stable_port), (shop.NEW, canary_port))
    ]
    clusters = {STABLE: ("127.0.0.1", stable_port), CANARY: ("127.0.0.1", canary_port)}
    envoy = await start_envoy(
        children, session, folder=folder, clusters=clusters, routes=translate([shop.first_route()])
    )
    for child, port in apps:
        await wait_until_ready(child, f"http://127.0.0.1:{port}/", session)
    mesh = await exits.enter_async_context(Mesh(api.url, envoy, session, NAMESPACE))
    token, token_file = secrets.token_hex(16), folder / "token"
    token_file.write_text(token + "\n", "utf-8")
    token_file.chmod(0o600)
    return Stack(
        folder=folder, pace=pace, api=api, kubeconfig=api.kubeconfig(folder / "kubeconfig"), children=children,
        session=session, envoy=envoy, mesh=mesh,
        load=Load(envoy.url, NAME, pace.requests_per_second, longest_seconds=LONGEST_LOAD),
        canary_port=canary_port, token=token, token_file=token_file, daemon_url=f"http://127.0.0.1:{daemon_port}",
        configuration=folder / "pullback.yaml",
    )  # fmt: skip


async def _release(stack: Stack, say: Say) -> None:
    """A first version, then a second one that Flagger brings to 10%, where a person pauses it."""
    api = stack.api
    api.create(shop.deployment(shop.OLD), manager="kubectl")
    api.create(shop.canary(stack.daemon_url, stack.token), manager="kubectl")
    await stack.until(lambda: stack.phase() == "Initialized", "Flagger to initialize the canary")
    say(f"version {shop.NEW} is released; Flagger raises its traffic")
    release = {"spec": {"template": shop.template(shop.NEW)}}
    api.patch("deployments", NAME, NAMESPACE, release, manager="kubectl")
    await stack.until(lambda: stack.weight() >= WEIGHT, f"Flagger to bring the canary to {WEIGHT}%")
    pause = {"metadata": {"annotations": {"pullback.dev/paused": "true"}}}
    api.patch("canaries", NAME, NAMESPACE, pause, manager="kubectl")
    say(f"the canary has {stack.weight()}% of the traffic, and is paused there")


async def _start_alerting(stack: Stack, binaries: AlertingBinaries) -> None:
    stack.alertmanager = await start_alertmanager(
        stack.children, stack.session, binaries, folder=stack.folder, shipped_config=ROUTE,
        webhook_url=f"{stack.daemon_url}/webhooks/alertmanager", credentials_file=stack.token_file,
    )  # fmt: skip
    stack.prometheus = await start_prometheus(
        stack.children, stack.session, binaries, folder=stack.folder,
        envoy_admin=f"127.0.0.1:{stack.envoy.admin_port}", workloads=shop.WORKLOADS, shipped_rules=RULES,
        alertmanager=stack.alertmanager.address, scrape_seconds=stack.pace.scrape_seconds,
    )  # fmt: skip


def _configure(stack: Stack) -> None:
    """Nothing but addresses and credentials, and a proof as quick as the scrapes are here."""
    files = [str(stack.token_file)]
    door = {"bearer_token_files": files, "password_files": files}
    proof: Json = {"window": "3s", "read_back": "500ms"}
    if stack.prometheus is not None:
        # The shipped query looks back one minute, which is four scrapes of 15 s.
        series = 'istio_requests_total{destination_workload="$workload",destination_workload_namespace="$namespace"}'
        query = f"sum(rate({series}[{round(stack.pace.window * 1000)}ms]))"
        proof |= {"prometheus_url": stack.prometheus.url, "prometheus_query": query}
    port = int(stack.daemon_url.rpartition(":")[2])
    doors = dict.fromkeys(("alertmanager", "flagger", "console"), door)
    document = {
        "web": {"host": "127.0.0.1", "port": port, **doors},
        "kubernetes": {"kubeconfig": str(stack.kubeconfig)},
        "proof": proof,
        # The demo is about the way down: no soak holds up the way to it.
        "policy": {"stages": [], "promotion": {"approval": "none"}},
        "log": {"format": "console"},
    }
    stack.configuration.write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")


def serve_command(configuration: Path) -> list[str | Path]:
    """The argv of the daemon as a process of its own."""
    return [sys.executable, "-m", "daemon", "serve", "--config", configuration]


def own_environment() -> dict[str, str | None]:
    """Nothing of the person's own: not another cluster's settings, and no proxy on the way to this machine."""
    own: dict[str, str | None] = {name: None for name in os.environ if name.startswith("PULLBACK_")}
    return {**own, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
