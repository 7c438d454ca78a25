"""Wires what answers Flagger's hooks: checks, gates, and the records of revisions."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import aiohttp

from daemon import ports
from daemon.adapters import checks, evidence, ledger
from daemon.adapters.canary_objects import CanaryObjects
from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.bootstrap import backstop
from daemon.bootstrap.seeing import Sight, Surroundings
from daemon.model.canary import CanaryRef
from daemon.settings import Settings
from daemon.workflow import checking
from daemon.workflow.checking import Checking
from daemon.workflow.chronicling import Chronicle
from daemon.workflow.driving import Driving, Pace
from daemon.workflow.gate_sight import GateSight, Terms
from daemon.workflow.gating import Gates
from daemon.workflow.showing import Showing


class Gatehouse(NamedTuple):
    """The gates, what they see, and what shows them."""

    gates: Gates
    sight: GateSight
    showing: Showing


def built_checks(
    settings: Settings,
    surroundings: Surroundings,
    sight: Sight,
    client: KubernetesClient,
    session: aiohttp.ClientSession,
) -> dict[str, ports.Check]:
    """Every check of the configuration. Raises ConfigurationError."""

    def correlate(labels: Mapping[str, str]) -> CanaryRef | None:
        return sight.gatherer.whom(labels).ref

    return checks.build(
        settings.gates.checks,
        checks.Surroundings(
            session=session,
            client=client,
            clock=surroundings.clock,
            prometheus_url=settings.gates.prometheus_url or settings.proof.prometheus_url,
            firing=backstop.firing(settings, session, lambda _: True),
            correlate=correlate,
            redact=evidence.compiled([*evidence.DEFAULT_PATTERNS, *settings.evidence.redact]),
        ),
    )


def chronicle(
    surroundings: Surroundings,
    sight: Sight,
    client: KubernetesClient,
    observer: ports.Observer,
    ready: Callable[[], bool],
) -> Chronicle:
    return Chronicle(
        world=sight.world,
        revisions=ledger.KubernetesRevisions(client),
        canaries=CanaryObjects(client, sight.world.canary),
        weight=sight.gatherer.weight,
        ready=ready,
        observer=observer,
        clock=surroundings.clock,
        chance=surroundings.chance,
    )


def gates(
    settings: Settings,
    surroundings: Surroundings,
    sight: Sight,
    observer: ports.Observer,
    fresh: Callable[[], bool],
    run: Checking | None = None,
    canaries: ports.Canaries | None = None,
) -> Gatehouse:
    """The gates, and what shows them. Without ``run`` and ``canaries`` nothing is run, noted or used."""
    terms = Terms(
        profiles=settings.profiles,
        answer_within=settings.gates.answer_within,
        pre_rollout_within=settings.gates.pre_rollout_within,
        oldest=max(2 * settings.gates.recheck, 10.0),
        clock_tolerance=settings.correlation.clock_tolerance,
    )
    seen = GateSight(
        world=sight.world,
        standings=sight.standings,
        gatherer=sight.gatherer,
        checking=run,
        clock=surroundings.clock,
        fresh=fresh,
        terms=terms,
    )
    made = Gates(
        world=sight.world,
        standings=sight.standings,
        sight=seen,
        checking=run,
        canaries=canaries,
        clock=surroundings.clock,
        observer=observer,
        fresh=fresh,
        terms=terms,
    )
    showing = Showing(
        world=sight.world,
        standings=sight.standings,
        gatherer=sight.gatherer,
        sight=seen,
        gates=made,
        clock=surroundings.clock,
    )
    return Gatehouse(made, seen, showing)


def driving(
    settings: Settings,
    surroundings: Surroundings,
    sight: Sight,
    client: KubernetesClient,
    gatehouse: Gatehouse,
    fresh: Callable[[], bool],
) -> Driving:
    """What walks canaries through their stages where no controller does."""
    return Driving(
        world=sight.world,
        gatherer=sight.gatherer,
        gates=gatehouse.gates,
        sight=gatehouse.sight,
        routes=sight.routes,
        names=sight.names,
        canaries=CanaryObjects(client, sight.world.canary),
        ledger=ledger.KubernetesLedger(client),
        clock=surroundings.clock,
        fresh=fresh,
        rehearsing=settings.rollback.dry_run,
        pace=Pace(settings.gates.drive_every, settings.gates.drive_threshold),
    )


def runner(
    settings: Settings, surroundings: Surroundings, made: Mapping[str, ports.Check], observer: ports.Observer
) -> Checking:
    return Checking(
        checks=made,
        clock=surroundings.clock,
        observer=observer,
        pace=checking.Pace(settings.gates.retry, settings.gates.recheck),
    )
