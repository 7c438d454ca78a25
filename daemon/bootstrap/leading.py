"""Wires what only the leader does: proof, evidence, cleanup, notices, pruning; and the lease that says who leads."""

import datetime
import pathlib
import socket
import uuid
from collections.abc import Coroutine, Mapping
from typing import Any

from daemon import ports
from daemon.adapters import break_glass, evidence, gitops, helm, ledger, scaling
from daemon.adapters.canary_objects import CanaryObjects
from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.adapters.kubernetes.watches import Watches
from daemon.adapters.lease import KubernetesLease
from daemon.adapters.second_brake import KubernetesBrakes
from daemon.bootstrap.seeing import Sight, Surroundings
from daemon.model.lease import Terms
from daemon.model.notice import Manner
from daemon.policy import cleaning, wording
from daemon.policy.pruning import Retention
from daemon.settings import Settings
from daemon.workflow.aftermath import Aftermath, Duty
from daemon.workflow.announcing import Announcing
from daemon.workflow.cleaning import Cleaning
from daemon.workflow.following_up import FollowingUp
from daemon.workflow.keeping import EvidenceRoom, Keeping
from daemon.workflow.leading import Elector, Leadership
from daemon.workflow.outbox import Outbox
from daemon.workflow.pruning import Pruning
from daemon.workflow.raising import Raising
from daemon.workflow.recording import Recorder, RevisionRecorder
from daemon.workflow.suspending import Suspending
from daemon.workflow.telling import Telling
from daemon.workflow.undiverting import Undiverting
from daemon.workflow.watchdog import Watchdog

_OWN_NAMESPACE = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def after_zero(
    settings: Settings,
    surroundings: Surroundings,
    sight: Sight,
    client: KubernetesClient,
    channels: Mapping[str, ports.Channel],
    observer: ports.Observer,
    driving: Duty,
) -> Aftermath:
    """All duties, each on its own."""
    recorder = Recorder(world=sight.world, ledger=ledger.KubernetesLedger(client))
    duties: list[Duty] = [
        driving,
        Keeping(
            world=sight.world,
            recorder=recorder,
            room=_evidence_room(settings, surroundings, client),
            clock=surroundings.clock,
            within=settings.evidence.within,
        ),
        Cleaning(
            world=sight.world,
            gatherer=sight.gatherer,
            recorder=recorder,
            canaries=CanaryObjects(client, sight.world.canary),
            workloads=scaling.KubernetesWorkloads(client),
            clock=surroundings.clock,
            choices=cleaning.Choices(
                policy=settings.cleanup.policy,
                nudge=settings.cleanup.nudge,
                nudge_after=settings.cleanup.nudge_after,
                grace=settings.cleanup.grace,
                evidence_within=settings.evidence.within,
            ),
        ),
    ]
    # Also where no Service is diverted any more: one may have been, before the configuration was changed.
    duties.append(Undiverting(world=sight.world, brakes=KubernetesBrakes(client)))
    if settings.follow_ups.helm:
        duties.append(_helm(settings, surroundings, sight, client, recorder))
    duties.append(_suspending(settings, surroundings, sight, client, recorder))
    duties += _tellers(settings, surroundings, sight, client, channels, recorder, observer)
    pruning = Pruning(
        world=sight.world,
        ledger=ledger.KubernetesLedger(client),
        revisions=ledger.KubernetesRevisions(client),
        clock=surroundings.clock,
        observer=observer,
        retention=Retention(
            datetime.timedelta(seconds=settings.records.keep_for), settings.records.keep, frozenset(channels)
        ),
        every=settings.records.prune_every,
    )
    return Aftermath(
        world=sight.world, duties=duties, pruning=pruning, observer=observer, chance=surroundings.chance
    )  # fmt: skip


def _helm(
    settings: Settings, surroundings: Surroundings, sight: Sight, client: KubernetesClient, recorder: Recorder
) -> Duty:  # fmt: skip
    return FollowingUp(
        world=sight.world,
        recorder=recorder,
        releases=helm.KubernetesReleases(client, sight.kinds),
        tracked=settings.follow_ups.tracked,
        clock=surroundings.clock,
        clock_tolerance=settings.correlation.clock_tolerance,
        timeout=settings.follow_ups.timeout,
        give_up_after=settings.follow_ups.give_up_after,
    )


def _suspending(
    settings: Settings, surroundings: Surroundings, sight: Sight, client: KubernetesClient, recorder: Recorder
) -> Duty:  # fmt: skip
    """There also where it is off: what an earlier configuration has lent is given back."""
    return Suspending(
        world=sight.world,
        recorder=recorder,
        owners=gitops.KubernetesGitOps(client),
        suspends=settings.follow_ups.suspends,
        argocd_namespace=settings.follow_ups.argocd_namespace,
        clock=surroundings.clock,
        clock_tolerance=settings.correlation.clock_tolerance,
        timeout=settings.follow_ups.timeout,
        give_up_after=settings.follow_ups.give_up_after,
    )


def raising(
    settings: Settings, surroundings: Surroundings, sight: Sight, client: KubernetesClient, observer: ports.Observer
) -> Raising:
    """Of every replica: whichever has undone a raise writes down whose it was."""
    return Raising(
        world=sight.world,
        recorder=Recorder(world=sight.world, ledger=ledger.KubernetesLedger(client)),
        suspends=settings.follow_ups.suspends,
        observer=observer,
        clock=surroundings.clock,
    )


def _tellers(
    settings: Settings,
    surroundings: Surroundings,
    sight: Sight,
    client: KubernetesClient,
    channels: Mapping[str, ports.Channel],
    recorder: Recorder,
    observer: ports.Observer,
) -> list[Duty]:
    """Two per channel, which share its outbox: what becomes of rollbacks, and gates that stay closed."""
    told: list[Duty] = []
    revisions = RevisionRecorder(world=sight.world, revisions=ledger.KubernetesRevisions(client))
    for name, channel in channels.items():
        outbox = Outbox(name, channel, observer=observer, clock=surroundings.clock)
        told.append(
            Telling(
                outbox=outbox,
                world=sight.world,
                gatherer=sight.gatherer,
                recorder=recorder,
                clock=surroundings.clock,
                break_glass=break_glass.commands,
                style=wording.Style(severity=settings.policy.severity, dashboard=settings.notices.dashboard_url),
                drills=settings.notices.drills,
            )
        )
        if channel.manner is not Manner.INCIDENT:
            told.append(
                Announcing(
                    outbox=outbox,
                    world=sight.world,
                    recorder=revisions,
                    clock=surroundings.clock,
                    severity=settings.policy.severity,
                    after=settings.gates.refusing_late,
                )
            )
    return told


def _evidence_room(settings: Settings, surroundings: Surroundings, client: KubernetesClient) -> EvidenceRoom:
    configured = settings.evidence
    return evidence.KubernetesEvidence(
        client,
        bounds=evidence.Bounds(
            pods=configured.pods, log_lines=configured.log_lines, log_bytes=configured.log_bytes
        ),
        redact=evidence.compiled([*evidence.DEFAULT_PATTERNS, *configured.redact]),
        clock=surroundings.clock,
    )  # fmt: skip


def elector(
    settings: Settings,
    surroundings: Surroundings,
    client: KubernetesClient,
    aftermath: Aftermath,
    observer: ports.Observer,
) -> Elector:
    """Leads the aftermath while the lease is ours."""
    lease = settings.lease

    async def work(leadership: Leadership) -> None:
        await aftermath.lead(leadership)

    def report(what: str, detail: str) -> None:
        observer.leading_changed(what, detail, leading=made.leading)

    made = Elector(
        store=KubernetesLease(client, namespace=lease.namespace or _own_namespace(), name=lease.name),
        # The pod's name, for people; and what makes it this process and not an earlier life of its container.
        identity=f"{socket.gethostname()}_{uuid.uuid4().hex[:8]}",
        terms=Terms(duration=lease.duration, renew_deadline=lease.renew_deadline, retry=lease.retry),
        work=work,
        report=report,
        clock=surroundings.clock,
        chance=surroundings.chance,
    )
    return made


def _own_namespace() -> str:
    try:
        return _OWN_NAMESPACE.read_text(encoding="utf-8").strip()
    except OSError:
        return "default"


async def once_whole(watches: Watches, run: Coroutine[Any, Any, None]) -> None:
    """Half a world is nothing to lead by."""
    try:
        await watches.seen.wait()
    except BaseException:
        run.close()
        raise
    await run


def warnings(watchdog: Watchdog, elector: Elector) -> str:
    """What people should know of a replica that is ready all the same."""
    nobody = "nobody leads: nothing is proved, cleaned up or told; see the lease" if elector.vacant else ""
    return "; ".join(filter(None, (watchdog.warning(), nobody)))
