"""Checks at work: what they look at, and what they are given."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from daemon import ports
from daemon.adapters import checks
from daemon.adapters.clock import SystemClock
from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.model.canary import Canary, CanaryPhase, CanaryRef
from daemon.model.checking import CheckState, Finding, Subject

CANARY = Canary(
    ref=CanaryRef("shop", "podinfo"),
    uid="7f0e3a52-0000-4000-8000-00000000000c",
    phase=CanaryPhase.PROGRESSING,
    revision="7b8cb8dc5d",
    promoted_revision="5cdfc66d4d",
    analysis_began=datetime.datetime(2026, 5, 1, 12, 0, tzinfo=datetime.UTC),
    status_weight=5,
    workload="podinfo-app",
    workload_kind="Deployment",
    service="podinfo-svc",
    provider="istio",
    suspended=False,
    deleting=False,
    paused=False,
    alert_pauses=(),
    resource_version="1",
)
SUBJECT = Subject(CANARY, "0123456789abcdef", ("registry.example/podinfo:v2",), weight=5.0, window=90.0)


def subject(*images: str, **changes: Any) -> Subject:
    """``changes`` of the subject, or of its canary."""
    own = {field.name for field in dataclasses.fields(Subject)}
    canary = dataclasses.replace(CANARY, **{key: value for key, value in changes.items() if key not in own})
    mine = {key: value for key, value in changes.items() if key in own}
    if images:
        mine["images"] = images
    return dataclasses.replace(SUBJECT, canary=canary, **mine)


@contextlib.asynccontextmanager
async def surrounded(
    *,
    kubeconfig: Path | None = None,
    prometheus_url: str = "",
    firing: ports.FiringAlerts | None = None,
    correlate: Callable[[Mapping[str, str]], CanaryRef | None] = lambda _: None,
) -> AsyncIterator[checks.Surroundings]:
    """What checks are given. Without a kubeconfig no check may ask Kubernetes."""
    async with contextlib.AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        client: Any = None
        if kubeconfig is not None:
            client = await stack.enter_async_context(
                await KubernetesClient.connect(kubeconfig=kubeconfig, context=None, timeout=5.0)
            )
        yield checks.Surroundings(session, client, SystemClock(), prometheus_url, firing, correlate)


async def run(entry: Mapping[str, Any], of: Subject = SUBJECT, **given: Any) -> Finding:
    """One run of one check that is configured so; whatever it finds, it says it in one bounded line."""
    async with surrounded(**given) as surroundings:
        check = checks.build({"it": entry}, surroundings)["it"]
        finding = await check.run(of)
    assert finding.detail
    assert len(finding.detail) <= 300
    assert finding.detail.splitlines() == [finding.detail]
    return finding


async def passes(entry: Mapping[str, Any], of: Subject = SUBJECT, **given: Any) -> str:
    return await _found(CheckState.PASSED, entry, of, given)


async def fails(entry: Mapping[str, Any], of: Subject = SUBJECT, **given: Any) -> str:
    return await _found(CheckState.FAILED, entry, of, given)


async def hesitates(entry: Mapping[str, Any], of: Subject = SUBJECT, **given: Any) -> str:
    return await _found(CheckState.UNDECIDED, entry, of, given)


async def _found(state: CheckState, entry: Mapping[str, Any], of: Subject, given: Mapping[str, Any]) -> str:
    finding = await run(entry, of, **given)
    assert finding.state is state, finding
    return finding.detail


@contextlib.asynccontextmanager
async def serving(handler: Callable[[web.Request], Any]) -> AsyncIterator[str]:
    """A server on loopback in which everything is answered by ``handler``; its URL has no slash at the end."""
    application = web.Application(client_max_size=8 * 1024 * 1024)
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
