"""Wires the rooms into a daemon and runs it: started in order, stopped in reverse."""

import asyncio
import contextlib
import gc
import importlib.metadata
from collections.abc import AsyncIterator, Callable, Sequence

import aiohttp

from daemon import ports
from daemon.adapters import break_glass, drill_log, ledger, notify, prometheus
from daemon.adapters.canary_objects import CanaryObjects
from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.adapters.kubernetes.resources import CANARIES
from daemon.adapters.kubernetes.watches import Watches
from daemon.adapters.second_brake import KubernetesBrakes
from daemon.bootstrap import backstop, gatekeeping, leading, watching
from daemon.bootstrap.doors import door, tls_context
from daemon.bootstrap.seeing import Sight, Surroundings, open_eyes
from daemon.lifecycle import Lifecycle
from daemon.model import errors
from daemon.model.canary import CanaryRef
from daemon.settings import Settings
from daemon.telemetry import audience
from daemon.telemetry.gauges import CanarySeen, Seen
from daemon.telemetry.logs import Logs, configure
from daemon.telemetry.metrics import Metrics
from daemon.web.promises import Bounds, Rooms
from daemon.web.server import Server
from daemon.workflow import drilling, proving, rollback
from daemon.workflow.executing import Executor
from daemon.workflow.intake import Intake
from daemon.workflow.letters import Judge, Letter
from daemon.workflow.listening import Listener
from daemon.workflow.mailboxes import Mailboxes
from daemon.workflow.noticing import Noticing
from daemon.workflow.proving import Prover
from daemon.workflow.rollback import Passes
from daemon.workflow.showing import Showing
from daemon.workflow.watchdog import Watchdog

_COLLECTED_AFTER = 10_000, 20, 20
"""Objects, rounds of them, and rounds of those, until Python looks for cycles among the next older. By default it goes
through all there is whenever a quarter of it is new: at ten thousand canaries a third of a second, and all
else waits."""

_SPARE = 5.0
"""Seconds beyond its own bound before a cleanup counts as stuck."""


async def run(settings: Settings, surroundings: Surroundings | None = None) -> int:
    """Runs the daemon until SIGTERM or SIGINT. Returns the exit code."""
    gc.set_threshold(*_COLLECTED_AFTER)
    configure(level=settings.log.level, style=settings.log.format)
    logs = Logs()
    lifecycle = Lifecycle(lambda name, what: logs.log.error("lifecycle", name=name, what=what))
    lifecycle.heed_signals()
    try:
        async with started(settings, lifecycle, logs, surroundings or Surroundings()) as server:
            logs.log.info("serving", host=settings.web.host, port=server.port, version=version())
            await lifecycle.run()
    except errors.ConfigurationError as error:
        logs.log.error("configuration", problem=str(error))  # noqa: TRY400 - a person needs the line, not the stack
        return 2
    logs.log.info("stopped", failed=lifecycle.failed)
    return 1 if lifecycle.failed else 0


@contextlib.asynccontextmanager
async def started(
    settings: Settings, lifecycle: Lifecycle, logs: Logs, surroundings: Surroundings
) -> AsyncIterator[Server]:
    """Everything built and its port open; ``lifecycle.run`` keeps it going and stops it.

    Raises ConfigurationError when the settings cannot be used.
    """
    async with contextlib.AsyncExitStack() as stack:
        yield await _start(settings, surroundings, lifecycle, logs, stack)


async def _start(
    settings: Settings,
    surroundings: Surroundings,
    lifecycle: Lifecycle,
    logs: Logs,
    stack: contextlib.AsyncExitStack,
) -> Server:
    senders = door("alertmanager", settings.web.alertmanager)
    hooks = door("flagger", settings.web.flagger)
    console = door("console", settings.web.console, optional=True)
    tls = tls_context(settings.web.tls)
    client = await KubernetesClient.connect(
        kubeconfig=settings.kubernetes.kubeconfig,
        context=settings.kubernetes.context,
        timeout=settings.kubernetes.timeout,
    )
    await stack.enter_async_context(client)
    session = aiohttp.ClientSession(trust_env=True, cookie_jar=aiohttp.DummyCookieJar())
    await stack.enter_async_context(session)
    sight = open_eyes(settings, client, surroundings)
    made = gatekeeping.built_checks(settings, surroundings, sight, client, session)
    metrics = Metrics(clock=surroundings.clock, version=version())
    chronicle = gatekeeping.chronicle(
        surroundings, sight, client, audience.gather(metrics, logs), lambda: watches.whole
    )  # fmt: skip
    listener = Listener(world=sight.world, clock=surroundings.clock, note=chronicle.note)
    drills = drilling.DrillListener(drill_log.KubernetesDrillLog(client), surroundings.clock)
    raising = leading.raising(settings, surroundings, sight, client, audience.gather(metrics, logs))
    observer = audience.gather(metrics, logs, listener, drills, raising)
    checking = gatekeeping.runner(settings, surroundings, made, observer)
    checking.heard = listener.checked
    channels = notify.build(
        settings.notices.channels, notify.Surroundings(session=session, client=client, clock=surroundings.clock)
    )

    def fresh() -> bool:
        # Without the records nobody knows what is in force; without the routes, at what weight it soaks.
        return watches.whole and not watches.problem()

    gatehouse = gatekeeping.gates(
        settings, surroundings, sight, observer, fresh, checking, CanaryObjects(client, sight.world.canary)
    )
    driving = gatekeeping.driving(settings, surroundings, sight, client, gatehouse, fresh)
    aftermath = leading.after_zero(settings, surroundings, sight, client, channels, observer, driving)
    elector = leading.elector(settings, surroundings, client, aftermath, observer)
    mailboxes, prover = _workflow(settings, surroundings, sight, client, session, observer, lambda: elector.leading)
    noticing = Noticing(
        world=sight.world,
        standings=sight.standings,
        gatherer=sight.gatherer,
        nudge=mailboxes.nudge,
        aftermath=aftermath.touched,
        chronicle=chronicle.touched,
        observer=observer,
    )
    watches = watching.watches(settings, surroundings, sight, client, logs, noticing)
    watchdog = Watchdog(expected=bool(settings.policy.watchdog_alertname), late=settings.policy.watchdog_late)
    intake = Intake(
        gatherer=sight.gatherer,
        mailboxes=mailboxes,
        observer=observer,
        rules=settings.rules,
        watchdog=settings.policy.watchdog_alertname,
        heartbeat=watchdog.heard,
        truncated=lambda: pulling.hurry() if pulling else None,
        answer_within=settings.web.answer_within,
        ready=lambda: "" if watches.whole else f"starting: {watches.problem()}",
        fresh=lambda: watches.fresh(CANARIES.kind),
    )
    pulling = backstop.pulling(settings, surroundings, session, intake, watches, observer)
    metrics.show(_seen(sight, gatehouse.showing, watches, watchdog, tuple(channels)))
    server = Server(
        Rooms(
            take=intake.take,
            answer=gatehouse.gates.answer,
            now=surroundings.clock.now,
            alertmanager=senders,
            flagger=hooks,
            console=console,
            canaries=gatehouse.showing.canaries,
            moving=gatehouse.showing.moving,
            canary=gatehouse.showing.story,
            rollbacks=gatehouse.showing.rollbacks,
            alive=lifecycle.alive,
            ready=watches.problem,
            warn=lambda: leading.warnings(watchdog, elector),
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
    lifecycle.on_stop("chronicle", chronicle.stop)
    lifecycle.on_stop("raising", raising.stop)
    lifecycle.on_stop("checking", checking.stop)
    lifecycle.on_stop("prover", prover.stop)
    drain, linger = settings.lifecycle.drain, settings.lifecycle.linger
    lifecycle.on_stop("mailboxes", lambda: mailboxes.drain(drain), within=drain + _SPARE)
    lifecycle.on_stop("turning away", lambda: _turn_away(server, linger), within=linger + _SPARE)
    lifecycle.actor("watches", watches.run())
    lifecycle.actor("drills", drills.run())
    lifecycle.actor("elector", leading.once_whole(watches, elector.run()))
    if pulling is not None:
        lifecycle.actor("pulling", pulling.run())
    return server


def _workflow(
    settings: Settings,
    surroundings: Surroundings,
    sight: Sight,
    client: KubernetesClient,
    session: aiohttp.ClientSession,
    observer: ports.Observer,
    leads: Callable[[], bool],
) -> tuple[Mailboxes, Prover]:
    judge = Judge(
        gatherer=sight.gatherer,
        observer=observer,
        clock=surroundings.clock,
        labels=settings.label_names,
        dry_run=settings.rollback.dry_run,
    )
    executor = Executor(
        world=sight.world,
        routes=sight.routes,
        names=sight.names,
        canaries=CanaryObjects(client, sight.world.canary),
        ledger=ledger.KubernetesLedger(client),
        brakes=KubernetesBrakes(client),
        clock=surroundings.clock,
    )
    passes = Passes(
        world=sight.world,
        standings=sight.standings,
        gatherer=sight.gatherer,
        judge=judge,
        executor=executor,
        observer=observer,
        chance=surroundings.chance,
        break_glass=break_glass.commands,
        pace=rollback.Pace(settings.rollback.backoff_first, settings.rollback.backoff_most),
        second_brake=settings.rollback.second_brake,
        argocd_namespace=settings.follow_ups.argocd_namespace,
    )

    async def run_pass(ref: CanaryRef, letters: Sequence[Letter]) -> float | None:
        again = await passes.run(ref, letters)
        prover.look(ref)
        return again

    mailboxes = Mailboxes(run=run_pass, observer=observer, capacity=settings.rollback.mailbox)
    prover = Prover(
        world=sight.world,
        standings=sight.standings,
        gatherer=sight.gatherer,
        routes=sight.routes,
        names=sight.names,
        probe=_probe(settings, session),
        clock=surroundings.clock,
        nudge=mailboxes.nudge,
        leading=leads,
        pace=proving.Pace(settings.proof.window, settings.proof.read_back, settings.proof.read_back_after),
    )
    return mailboxes, prover


def _probe(settings: Settings, session: aiohttp.ClientSession) -> ports.TrafficProbe | None:
    if not settings.proof.prometheus_url:
        return None
    return prometheus.PrometheusProbe(
        session,
        url=settings.proof.prometheus_url,
        query=settings.proof.prometheus_query,
        timeout=settings.proof.prometheus_timeout,
    )


def _seen(sight: Sight, showing: Showing, watches: Watches, watchdog: Watchdog, channels: Sequence[str]) -> Seen:
    return Seen(
        canaries=lambda: (
            CanarySeen(canary.ref, canary.phase, weight) async for canary, weight in showing.weights()
        ),
        in_progress=lambda: len(sight.standings.in_force()),
        watch_ages=watches.ages,
        watchdog_age=watchdog.age,
        undelivered=lambda: showing.undelivered(channels),
        refusing=showing.refusing,
        drills=lambda: drilling.last_drills(sight.world.all_records()),
    )


async def _turn_away(server: Server, seconds: float) -> None:
    server.turn_away()
    await asyncio.sleep(seconds)


def version() -> str:
    """The version of the installed distribution."""
    try:
        return importlib.metadata.version("pullback")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
