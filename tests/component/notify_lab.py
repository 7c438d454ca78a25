"""Channels at work: what is said, and each kind of channel in front of a server that listens."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp

from daemon import ports
from daemon.adapters import notify
from daemon.adapters.clock import SystemClock
from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.model.notice import Fact, Link, Message, Mood, Saying, Severity, Story
from daemon.sandbox.kubernetes_api import KubernetesApi
from tests import recorders

UTC = datetime.UTC
TIMEOUT = 0.4
"""Seconds of every call."""

SECRETS = {
    "slack": recorders.SLACK_TOKEN,
    "pagerduty": recorders.ROUTING_KEY,
    "opsgenie": recorders.GENIE_KEY,
    "webhook": recorders.WEBHOOK_SECRET,
}

OPENING = {
    "slack": Saying.POST,
    "pagerduty": Saying.OPEN,
    "opsgenie": Saying.OPEN,
    "webhook": Saying.TELL,
    "kubernetes-events": Saying.TELL,
}
"""What each kind of channel is asked to do first."""

STORY = Story(
    dedup_key="pullback/test/podinfo-abc/7f0e3a52-0000-4000-8000-000000000001",
    namespace="test",
    canary="podinfo",
    revision="podinfo:6.0.1",
    record="podinfo-abc",
    canary_uid="7f0e3a52-0000-4000-8000-00000000000c",
    record_uid="7f0e3a52-0000-4000-8000-000000000001",
    mood=Mood.ACTING,
    severity=Severity.P1,
    title="Rolling back test/podinfo",
    summary="Revision podinfo:6.0.1: alert fires. Error rate above 1 %.",
    facts=(Fact("Alert", "PodinfoHighErrorRate"), Fact("Value", "0.12"), Fact("Traffic before", "10%")),
    links=(Link("Runbook", "https://runbooks.example/podinfo?a=1&b=2"),),
    commands=("kubectl describe rollback podinfo-abc -n test",),
    began_at=datetime.datetime(2026, 5, 1, 12, 0, tzinfo=UTC),
)


def story(**changes: Any) -> Story:
    return dataclasses.replace(STORY, **changes)


def message(
    saying: Saying, key: str = "decided", told: Story = STORY, *, text: str = "rollback of revision podinfo:6.0.1"
) -> Message:
    return Message(key, saying, told, datetime.datetime(2026, 5, 1, 12, 0, 1, 500_000, tzinfo=UTC), text)


@contextlib.asynccontextmanager
async def surrounded(
    kubeconfig: Path | None = None, clock: ports.Clock | None = None
) -> AsyncIterator[notify.Surroundings]:
    """What channels are given. Without a kubeconfig no channel may ask Kubernetes."""
    async with contextlib.AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        client: Any = None
        if kubeconfig is not None:
            client = await stack.enter_async_context(
                await KubernetesClient.connect(kubeconfig=kubeconfig, context=None, timeout=TIMEOUT)
            )
        yield notify.Surroundings(session, client, clock or SystemClock())


def entry(kind: str, url: str, folder: Path, **options: Any) -> dict[str, Any]:
    """What the configuration says about a channel of this kind, with its secret in a file."""
    secret = folder / f"{kind}-secret"
    if kind in SECRETS:
        secret.write_text(f"  {SECRETS[kind]}\n", encoding="utf-8")
    given: dict[str, dict[str, Any]] = {
        "slack": {"token_file": secret, "channel": "C0DEPLOYS", "api_url": f"{url}/", "timeout": TIMEOUT},
        "pagerduty": {"routing_key_file": secret, "url": url, "timeout": TIMEOUT},
        "opsgenie": {"api_key_file": secret, "url": url, "timeout": TIMEOUT},
        "webhook": {"url": url, "secret_file": secret, "timeout": TIMEOUT},
        "kubernetes-events": {},
    }
    return {"kind": kind, **given[kind], **options}


@dataclasses.dataclass(frozen=True, slots=True)
class Bench:
    """One channel, the server it speaks to, and what that has accepted: one text per thing, all of it in the text."""

    kind: str
    channel: ports.Channel
    fail: Callable[[recorders.Fault], None]
    held: Callable[[], Sequence[str]]

    async def say(self, told: Story = STORY, *, reference: str = "", uncertain: bool = False) -> str:
        said = message(OPENING[self.kind], "decided", told, text=told.title)
        return await self.channel.deliver(said, reference, uncertain=uncertain)


@contextlib.asynccontextmanager
async def bench(kind: str, folder: Path) -> AsyncIterator[Bench]:
    if kind == "kubernetes-events":
        async with events_bench(folder) as made:
            yield made
        return
    recorder, held = _recorder(kind)
    async with recorder, surrounded() as surroundings:
        channel = notify.build({"it": entry(kind, recorder.url, folder)}, surroundings)["it"]
        yield Bench(kind, channel, recorder.fail, lambda: [repr(one) for one in held()])


def _recorder(kind: str) -> tuple[recorders.Recorder, Callable[[], Sequence[Any]]]:
    match kind:
        case "slack":
            slack = recorders.RecordingSlack()
            return slack, lambda: slack.messages
        case "pagerduty":
            pager = recorders.RecordingPagerDuty()
            return pager, lambda: list(pager.incidents.values())
        case "opsgenie":
            opsgenie = recorders.RecordingOpsgenie()
            return opsgenie, lambda: list(opsgenie.alerts.values())
        case _:
            webhook = recorders.RecordingWebhook()
            return webhook, lambda: list(webhook.accepted.values())


@contextlib.asynccontextmanager
async def events_bench(folder: Path) -> AsyncIterator[Bench]:
    """Events against the embedded API server, whose own faults stand in for a recorder's."""
    from tests.cluster import CRDS, TEST_NAMESPACE  # noqa: PLC0415 - a plugin of pytest, imported by it first

    async with contextlib.AsyncExitStack() as stack:
        api = await stack.enter_async_context(KubernetesApi(CRDS, [TEST_NAMESPACE]))
        surroundings = await stack.enter_async_context(surrounded(api.kubeconfig(folder / "kubeconfig")))
        channel = notify.build({"it": {"kind": "kubernetes-events"}}, surroundings)["it"]
        yield Bench("kubernetes-events", channel, lambda fault: _fail(api, fault), lambda: _on_rollbacks(api))
        api.faults.clear()


def _fail(api: KubernetesApi, fault: recorders.Fault) -> None:
    match fault.what:
        case "status":
            after = fault.headers.get("Retry-After")
            api.faults.fail(fault.status, fault.body, verb="create", retry_after=float(after) if after else None)
        case "hang":
            api.faults.hang(verb="create")
        case "reset":
            api.faults.reset(verb="create")
        case "lost":
            api.faults.lose_response(verb="create")


def _on_rollbacks(api: KubernetesApi) -> list[str]:
    events = api.list("events", "test")
    assert {one["involvedObject"]["kind"] for one in events} <= {"Canary", "Rollback"}
    return [repr(one) for one in events if one["involvedObject"]["kind"] == "Rollback"]
