"""The examinations that ask: a cluster, its neighbours, a running daemon. Nothing is written and nothing is sent.

What they learn becomes documents, and goes through the same examinations as files do.
"""

import asyncio

import aiohttp

from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.doctor import examining
from daemon.doctor.examining import Report
from daemon.doctor.known import Known
from daemon.doctor.live import channels, cluster, freshness, hooks, neighbours, permissions
from daemon.settings import Settings

_PATIENCE = 5.0
"""Seconds for each answer of a neighbour."""


async def examine(settings: Settings, known: Known, daemon_url: str | None) -> Report:
    """Raises NeighbourError when the cluster itself does not answer."""
    client = await KubernetesClient.connect(
        kubeconfig=settings.kubernetes.kubeconfig,
        context=settings.kubernetes.context,
        timeout=settings.kubernetes.timeout * 5,  # a person waits longer than a rollback
    )
    timeout = aiohttp.ClientTimeout(total=_PATIENCE)
    async with client, aiohttp.ClientSession(trust_env=True, timeout=timeout) as session:
        seen = await cluster.look(settings, client, known)
        allowed = await permissions.examine(settings, client, seen.served, seen.documents)
        told, found, ages, asked = await asyncio.gather(
            neighbours.ask(settings, session, known),
            channels.examine(settings),
            freshness.examine(settings, session, daemon_url),
            hooks.examine(seen.documents, session),
        )
    report = examining.examine([*told.documents, *seen.documents], [], known, whole=True)
    findings = (*allowed, *seen.findings, *ages, *told.findings, *found, *asked, *report.findings)
    return Report(findings, report.ways)
