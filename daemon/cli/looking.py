"""Commands that look and change nothing: history, explain, plan. They judge with the daemon's own rooms."""

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator
from typing import Any

from daemon import bootstrap
from daemon.adapters import break_glass
from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.adapters.kubernetes.reflector import Event
from daemon.cli import printing
from daemon.model import errors
from daemon.model.canary import CanaryRef
from daemon.model.decision import Decision, Reason, Verdict
from daemon.model.history import Filter
from daemon.model.rules import AlertRule, first_match
from daemon.model.signal import Alert, AlertGroup, MalformedAlert
from daemon.policy import deciding
from daemon.settings import Settings
from daemon.web import alertmanager
from daemon.workflow.hearing import Hearing
from daemon.workflow.showing import Showing


@contextlib.asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[KubernetesClient]:
    """A client as the caller's kubeconfig makes it."""
    client = await KubernetesClient.connect(
        kubeconfig=settings.kubernetes.kubeconfig,
        context=settings.kubernetes.context,
        timeout=settings.kubernetes.timeout * 5,  # a person waits longer than a rollback
    )
    async with client:
        yield client


async def look(settings: Settings, client: KubernetesClient) -> bootstrap.Sight:
    """The world, listed once. A kind that is not installed is empty."""
    sight = bootstrap.open_eyes(settings, client, bootstrap.Surroundings())
    for versions, receive in bootstrap.receivers(sight):
        for namespace in settings.kubernetes.namespaces or (None,):
            for resource in versions:
                try:
                    items, _ = await client.list(resource, namespace)
                except errors.Missing:
                    continue
                for item in items:
                    receive(Event.PRESENT, item)
                break
    return sight


def history(settings: Settings, wanted: Filter, output: str) -> int:
    """Rollbacks, newest first."""

    async def run() -> list[dict[str, Any]]:
        async with connected(settings) as client:
            sight = await look(settings, client)
        return [one async for one in shown(sight, settings).rollbacks(wanted)]

    document = asyncio.run(run())
    rows = [
        one | {
            "canary": f"{one['namespace']}/{one['canary']}",
            "received": one["received"][:19].replace("T", " "),
            "cleaned": one["cleanup"]["state"] if one["cleanup"] else None,
            "kept": one["evidence"]["configMap"] if one["evidence"] else None,
            "followed": ", ".join(f"{each['kind']} {each['state']}" for each in one["followUps"]) or None,
        }
        for one in document
    ]  # fmt: skip
    text = printing.table(
        rows,
        {"RECEIVED (UTC)": "received", "CANARY": "canary", "REVISION": "revision", "REASON": "reason",
         "ASKED BY": "requestedBy", "PHASE": "phase", "TO-ZERO": "secondsToZero", "TO-PROOF": "secondsToProof",
         "HOLDS": "holds", "CLEANUP": "cleaned", "FOLLOW-UPS": "followed", "EVIDENCE": "kept"},
        empty="no rollbacks",
    )  # fmt: skip
    printing.show({"rollbacks": document}, output, table=text)
    return 0


def explain(settings: Settings, payload: pathlib.Path, output: str) -> int:
    """What a webhook would do, and why. Exit 1 when it could not be read."""
    try:
        group = alertmanager.parse(payload.read_bytes())
    except OSError as error:
        raise errors.ConfigurationError(f"{payload}: {error.strerror}") from error
    except alertmanager.BadRequestError as problem:
        raise errors.PullbackError(f"{payload}: {problem}") from problem

    async def run() -> list[dict[str, Any]]:
        async with connected(settings) as client:
            sight = await look(settings, client)
        return [_explained(settings, sight, alert) for alert in group.alerts]

    answers = asyncio.run(run())
    document = {"alerts": answers, "truncatedAlerts": group.truncated}
    printing.show(document, output, table=_prose(group, answers))
    return 1 if any(isinstance(alert, MalformedAlert) for alert in group.alerts) else 0


def _explained(settings: Settings, sight: bootstrap.Sight, alert: Alert | MalformedAlert) -> dict[str, Any]:
    if isinstance(alert, MalformedAlert):
        return _answer(alert.fingerprint, "", Decision(Verdict.IGNORE, Reason.MALFORMED, alert.problem))
    if settings.policy.watchdog_alertname and alert.name == settings.policy.watchdog_alertname:
        heartbeat = Decision(Verdict.IGNORE, Reason.HEARTBEAT, "the road to us is open")
        return _answer(alert.fingerprint, alert.name, heartbeat)
    rule = first_match(settings.rules, alert.labels)
    if rule is None:
        no_rule = Decision(Verdict.IGNORE, Reason.NO_RULE_MATCHES, "no rule of policy.rules matches")
        return _answer(alert.fingerprint, alert.name, no_rule)
    match = sight.gatherer.whom(alert.labels)
    if match.ref is None:
        unmatched = Decision(Verdict.IGNORE, match.reason or Reason.UNMATCHED, match.detail)
        return _answer(alert.fingerprint, alert.name, unmatched, rule=rule)
    evidence = sight.gatherer.gather(match.ref, sight.standings.of(match.ref))
    decision = deciding.judge(evidence, alert, rule, settings.label_names)
    patches = [view.zero for view in evidence.routes if view.zero is not None]
    acts = decision.verdict is Verdict.ROLL_BACK and decision.reason is Reason.ALERT_FIRES
    writes = [f"{change.route} {change.path}: {change.before:g}% -> {change.after:g}%"
              for patch in patches for change in patch.changes] if acts else []  # fmt: skip
    return _answer(alert.fingerprint, alert.name, decision, rule=rule, ref=match.ref, how=match.detail, writes=writes)


def _answer(
    fingerprint: str,
    alertname: str,
    decision: Decision,
    *,
    rule: AlertRule | None = None,
    ref: CanaryRef | None = None,
    how: str = "",
    writes: list[str] | None = None,
) -> dict[str, Any]:
    return {
        "fingerprint": fingerprint,
        "alertname": alertname,
        "rule": None if rule is None else str(rule),
        "canary": None if ref is None else str(ref),
        "matchedBy": how or None,
        "verdict": decision.verdict.value,
        "reason": decision.reason.value,
        "detail": decision.detail,
        "wouldWrite": writes or [],
    }


def _prose(group: AlertGroup, answers: list[dict[str, Any]]) -> str:
    lines = []
    for position, answer in enumerate(answers):
        lines.append(f"alerts[{position}] {answer['alertname'] or '(unreadable)'} {answer['fingerprint']}")
        lines.append(f"  rule     {answer['rule'] or 'none'}")
        how = f"  ({answer['matchedBy']})" if answer["matchedBy"] else ""
        lines.append(f"  canary   {answer['canary'] or 'none'}{how}")
        lines.append(f"  verdict  {answer['verdict']} / {answer['reason']}: {answer['detail']}")
        lines += [f"  would write  {write}" for write in answer["wouldWrite"]]
    if group.truncated:
        lines.append(f"{group.truncated} more alerts were cut off by Alertmanager: what they say is unknown")
    return "\n".join(lines) or "the webhook holds no alerts"


def plan(settings: Settings, ref: CanaryRef, output: str) -> int:
    """The exact patches that would take a canary to zero now. Exit 1 when there is no such canary."""

    async def run() -> tuple[bootstrap.Sight, bool]:
        async with connected(settings) as client:
            sight = await look(settings, client)
            return sight, sight.world.canary(ref) is not None

    sight, known = asyncio.run(run())
    if not known:
        raise errors.PullbackError(f"no canary {ref.name} in namespace {ref.namespace}")
    views = sight.gatherer.views(sight.world.canary(ref))
    patches = [view.zero for view in views if view.zero is not None]
    document: list[dict[str, Any]] = [
        {
            "route": str(patch.route),
            "changes": [{"path": one.path, "before": one.before, "after": one.after} for one in patch.changes],
            "patch": [operation.as_json() for operation in patch.operations],
            "command": break_glass.patch_command(patch),
        }
        for patch in patches
    ]
    if not views:
        text = f"no route reaches {ref}"
    elif not patches:
        text = f"{ref} is at 0% on every route: " + ", ".join(str(view.ref) for view in views)
    else:
        text = "\n".join(
            "\n".join([f"# {one['route']}: " + ", ".join(
                f"{change['path']} {change['before']:g}% -> {change['after']:g}%" for change in one["changes"]),
                one["command"]])
            for one in document
        )  # fmt: skip
    printing.show(document, output, table=text)
    return 0


def shown(sight: bootstrap.Sight, settings: Settings) -> Showing:
    """What the daemon would show, by what the objects say: nothing is run, noted or used."""
    return bootstrap.gates(settings, bootstrap.Surroundings(), sight, Hearing(), lambda: True).showing
