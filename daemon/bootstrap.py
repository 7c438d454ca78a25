"""The only file that knows every room: builds the daemon from its settings and runs it."""

import asyncio
import contextlib
import dataclasses
import importlib.metadata
import json
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import aiohttp

from daemon import ports
from daemon.adapters import break_glass, flagger, ledger, prometheus, traffic, workloads
from daemon.adapters.clock import SystemChance, SystemClock
from daemon.adapters.credentials import Credentials
from daemon.adapters.kubernetes import reflector
from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.adapters.kubernetes.resources import CANARIES, DEPLOYMENTS, ROLLBACKS, Resource
from daemon.adapters.kubernetes.watches import Watches
from daemon.lifecycle import Lifecycle
from daemon.model import errors
from daemon.model.decision import Limits
from daemon.model.route import RouteObject, RouteRef
from daemon.policy.correlating import CanaryIndex
from daemon.settings import Door, Settings, Tls
from daemon.telemetry import audience
from daemon.telemetry.logs import Logs, configure
from daemon.telemetry.metrics import CanarySeen, Metrics, Seen
from daemon.web.promises import Bounds, Rooms
from daemon.web.server import Server
from daemon.workflow import proving, rollback
from daemon.workflow.executing import Executor
from daemon.workflow.gathering import Gatherer
from daemon.workflow.gating import Gates
from daemon.workflow.intake import Intake
from daemon.workflow.letters import Judge
from daemon.workflow.mailboxes import Mailboxes
from daemon.workflow.noticing import Noticing
from daemon.workflow.proving import Prover
from daemon.workflow.rollback import Passes
from daemon.workflow.showing import Showing
from daemon.workflow.standing import Standings
from daemon.workflow.world import RouteNames, World

Names = Callable[[RouteObject], RouteNames]


@dataclasses.dataclass(frozen=True, slots=True)
class Surroundings:
    """What the daemon takes from the machine; a simulated world brings its own."""

    clock: ports.Clock = dataclasses.field(default_factory=SystemClock)
    chance: ports.Chance = dataclasses.field(default_factory=SystemChance)


@dataclasses.dataclass(frozen=True, slots=True)
class Sight:
    """What it takes to see and judge without acting: also what ``explain``, ``plan`` and ``status`` are made of."""

    world: World
    kinds: Mapping[str, traffic.RouteKind]
    routes: traffic.Routes
    names: Names
    standings: Standings
    gatherer: Gatherer


def open_eyes(settings: Settings, client: KubernetesClient, surroundings: Surroundings) -> Sight:
    """An empty world, and what reads and judges it."""
    labels = settings.label_names
    kinds = traffic.discover()
    world = World(
        clock=surroundings.clock,
        index=CanaryIndex(labels, settings.correlation.fallback),
        labels=labels,
        providers=frozenset().union(*(kind.PROVIDERS for kind in kinds.values())),
        cluster_domain=settings.kubernetes.cluster_domain,
    )
    routes = traffic.Routes(client, kinds)
    gatherer = Gatherer(
        world=world,
        routes=routes,
        clock=surroundings.clock,
        limits=Limits(deadline=settings.rollback.deadline, clock_tolerance=settings.correlation.clock_tolerance),
        rehearsing=settings.rollback.dry_run,
    )
    return Sight(world, kinds, routes, _names(kinds, settings.kubernetes.cluster_domain), Standings(), gatherer)


def _names(kinds: Mapping[str, traffic.RouteKind], cluster_domain: str) -> Names:
    def names(route: RouteObject) -> RouteNames:
        kind = kinds[route.ref.kind]
        return RouteNames(kind.services(route, cluster_domain), kind.hosts(route, cluster_domain))

    return names


def receivers(sight: Sight) -> list[tuple[Sequence[Resource], reflector.Receive]]:
    """Every kind that is watched, and how its objects enter the world."""
    world = sight.world

    def receive(
        put: Callable[[Mapping[str, Any]], None], drop: Callable[[str, str], None]
    ) -> Callable[[reflector.Event, dict[str, Any]], None]:
        def take(event: reflector.Event, document: dict[str, Any]) -> None:
            metadata = document["metadata"]
            if event is reflector.Event.GONE:
                drop(metadata.get("namespace", ""), metadata["name"])
            else:
                put(document)

        return take

    def put_route(kind: traffic.RouteKind) -> Callable[[Mapping[str, Any]], None]:
        def put(document: Mapping[str, Any]) -> None:
            route = kind.read(document)
            world.put_route(route, sight.names(route))

        return put

    def drop_route(kind: str) -> Callable[[str, str], None]:
        return lambda namespace, name: world.drop_route(RouteRef(kind, namespace, name))

    return [
        ((ROLLBACKS,), receive(lambda one: world.put_record(ledger.read_rollback(one)), world.drop_record)),
        *(
            (kind.RESOURCES, receive(put_route(kind), drop_route(name)))
            for name, kind in sight.kinds.items()
        ),
        ((DEPLOYMENTS,), receive(lambda one: world.put_workload(workloads.read_workload(one)), world.drop_workload)),
        ((CANARIES,), receive(
            lambda one: world.put_canary(flagger.read_canary(one)),
            lambda namespace, name: world.drop_canary(flagger.CanaryRef(namespace, name)),
        )),
    ]  # fmt: skip


async def run(settings: Settings, surroundings: Surroundings | None = None) -> int:
    """Runs the daemon until SIGTERM. Returns the exit code."""
    surroundings = surroundings or Surroundings()
    configure(level=settings.log.level, style=settings.log.format)
    logs = Logs()
    lifecycle = Lifecycle(lambda name, what: logs.log.error("lifecycle", name=name, what=what))
    try:
        async with contextlib.AsyncExitStack() as stack:
            server = await _start(settings, surroundings, lifecycle, logs, stack)
            logs.log.info("serving", host=settings.web.host, port=server.port, version=version())
            await lifecycle.run()
    except errors.ConfigurationError as error:
        logs.log.error("configuration", problem=str(error))
        return 2
    logs.log.info("stopped", failed=lifecycle.failed)
    return 1 if lifecycle.failed else 0


async def _start(
    settings: Settings,
    surroundings: Surroundings,
    lifecycle: Lifecycle,
    logs: Logs,
    stack: contextlib.AsyncExitStack,
) -> Server:
    doors = {name: _door(name, getattr(settings.web, name)) for name in ("alertmanager", "flagger", "console")}
    tls = tls_context(settings.web.tls)
    client = await KubernetesClient.connect(
        kubeconfig=settings.kubernetes.kubeconfig,
        context=settings.kubernetes.context,
        timeout=settings.kubernetes.timeout,
    )
    await stack.enter_async_context(client)
    session = await stack.enter_async_context(aiohttp.ClientSession())
    sight = open_eyes(settings, client, surroundings)
    metrics = Metrics(clock=surroundings.clock, version=version())
    observer = audience.gather(metrics, logs)
    mailboxes, prover, run_pass = _workflow(settings, surroundings, sight, client, session, observer)
    noticing = Noticing(world=sight.world, standings=sight.standings, nudge=mailboxes.nudge)
    watches = _watches(settings, surroundings, sight, client, logs, noticing)
    gates = Gates(
        world=sight.world,
        standings=sight.standings,
        clock=surroundings.clock,
        observer=observer,
        fresh=lambda: watches.fresh(CANARIES.kind),
    )
    showing = Showing(world=sight.world, standings=sight.standings, gatherer=sight.gatherer, gates=gates)
    intake = Intake(
        world=sight.world,
        mailboxes=mailboxes,
        observer=observer,
        rules=settings.rules,
        watchdog=settings.policy.watchdog_alertname,
        answer_within=settings.web.answer_within,
        ready=lambda: "" if watches.whole else f"starting: {watches.problem()}",
    )
    metrics.show(_seen(sight, showing, watches))
    server = Server(
        Rooms(
            take=intake.take,
            answer=gates.answer,
            now=surroundings.clock.now,
            alertmanager=doors["alertmanager"],
            flagger=doors["flagger"],
            console=doors["console"],
            canaries=showing.canaries,
            rollbacks=showing.rollbacks,
            alive=lifecycle.alive,
            ready=watches.problem,
            render_metrics=metrics.render,
            observe_request=metrics.observe_request,
            refused=logs.request_refused,
        ),
        Bounds(
            body=settings.web.body_limit,
            body_seconds=settings.web.body_timeout,
            keep_alive=settings.web.keep_alive,
            connections=settings.web.connections,
        ),
        host=settings.web.host,
        port=settings.web.port,
        tls=tls,
    )
    await server.start()
    # Stopped in reverse: first no new work, then the running writes, then the port.
    lifecycle.on_stop("server", server.stop)
    lifecycle.on_stop("prover", prover.stop)
    lifecycle.on_stop("mailboxes", lambda: mailboxes.drain(settings.lifecycle.drain))
    lifecycle.on_stop("turning away", lambda: _turn_away(server, settings.lifecycle.linger))
    lifecycle.actor("watches", watches.run())
    return server


def _workflow(
    settings: Settings,
    surroundings: Surroundings,
    sight: Sight,
    client: KubernetesClient,
    session: aiohttp.ClientSession,
    observer: ports.Observer,
) -> tuple[Mailboxes, Prover, object]:
    raise NotImplementedError
