"""The two texts a person reads first: what state the canary's pods were in, and what happened around them."""

import datetime
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from daemon.adapters import times
from daemon.adapters.evidence import pods as looking
from daemon.adapters.evidence.gathering import Gathered
from daemon.adapters.evidence.redacting import Redactor
from daemon.model.canary import Canary
from daemon.model.rollback import Rollback

Json = Mapping[str, Any]

_MESSAGE_MOST = 4096  # characters of one message: a container may leave 4 KiB when it ends
_NEVER = datetime.datetime.min.replace(tzinfo=datetime.UTC)


def summary(
    canary: Canary, record: Rollback, gathered: Gathered, missing: Iterable[str], at: datetime.datetime, clean: Redactor
) -> str:
    """``summary.txt``."""
    lines = [
        f"canary      {canary.ref} ({canary.phase or 'no phase'})",
        f"revision    {record.revision or canary.revision}",
        f"rollback    {record.namespace}/{record.name}",
        f"reason      {_short(record.reason, clean)}",
        f"kept at     {times.write(at)}",
        *_images("canary", canary.workload, gathered.canary),
        *(_images("primary", canary.primary_workload, gathered.primary) if canary.primary_workload else ()),
        f"pods        {gathered.pods_there}, of which {len(gathered.pods)} are told of here",
        "",
    ]
    for pod in gathered.pods:
        lines += [*_pod(pod, clean), ""]
    absent = list(missing)
    lines += ["missing:", *(f"  {one}" for one in absent)] if absent else ["nothing is missing"]
    return "\n".join(lines) + "\n"


def events(found: Iterable[Json], most: int, clean: Redactor) -> str:
    """``events.txt``: the last ``most``, oldest first, each on one line."""
    unique = {str((event.get("metadata") or {}).get("uid") or id(event)): event for event in found}
    ordered = sorted(unique.values(), key=_moment)
    kept = ordered[-most:] if most else []
    lines = [f"... cut: {len(ordered) - len(kept)} older events ..."] if len(kept) < len(ordered) else []
    lines += [_event(event, clean) for event in kept]
    return "\n".join(lines or ["there were no events"]) + "\n"


def _images(side: str, name: str, deployment: Json | None) -> Iterator[str]:
    if deployment is None:
        yield f"{side:<11} {name}: was not there to be read"
        return
    spec, status = deployment.get("spec") or {}, deployment.get("status") or {}
    containers = ((spec.get("template") or {}).get("spec") or {}).get("containers") or ()
    yield f"{side:<11} {name}: {int(status.get('readyReplicas') or 0)} of {spec.get('replicas', 1)} pods ready"
    for one in containers:
        yield f"{'':<11} {one.get('name')}: {one.get('image')}"


def _pod(pod: Json, clean: Redactor) -> Iterator[str]:
    status = pod.get("status") or {}
    phase = status.get("phase") or "Unknown"
    ready = "ready" if looking.ready(pod) else "not ready"
    leaving = ", being deleted" if pod["metadata"].get("deletionTimestamp") else ""
    yield f"pod {looking.name_of(pod)}: {phase}, {ready}, restarts {looking.restarts(pod)}{leaving}"
    node = (pod.get("spec") or {}).get("nodeName") or "none"
    yield f"  created {pod['metadata'].get('creationTimestamp')}, node {node}"
    if status.get("reason") or status.get("message"):
        yield f"  {status.get('reason') or ''}: {_short(status.get('message'), clean)}"
    for condition in status.get("conditions") or ():
        if condition.get("status") != "True" and (condition.get("reason") or condition.get("message")):
            said = f"{condition.get('reason') or ''} {_short(condition.get('message'), clean)}".strip()
            yield f"  condition {condition.get('type')} {condition.get('status')}: {said}"
    for part, one in looking.container_statuses(pod):
        kind = "init container" if part == "initContainerStatuses" else "container"
        well = "ready" if one.get("ready") else "not ready"
        yield f"  {kind} {one.get('name')}: {well}, restarts {int(one.get('restartCount') or 0)}, {one.get('image')}"
        yield from _state("now", one.get("state") or {}, clean)
        yield from _state("before", one.get("lastState") or {}, clean)


def _state(when: str, state: Json, clean: Redactor) -> Iterator[str]:
    for kind, told in state.items():
        parts = [f"    {when:<6} {kind}", str((told or {}).get("reason") or "")]
        if kind == "terminated":
            signal = told.get("signal")
            parts.append(f"exit code {told.get('exitCode', 0)}" + (f", signal {signal}" if signal else ""))
            parts.append(f"{told.get('startedAt') or '?'} to {told.get('finishedAt') or '?'}")
        elif told and told.get("startedAt"):
            parts.append(f"since {told['startedAt']}")
        yield " ".join(part for part in parts if part)
        if told and told.get("message"):
            yield from (f"           | {line}" for line in _cleaned(told["message"], clean).splitlines())


def _event(event: Json, clean: Redactor) -> str:
    involved, series = event.get("involvedObject") or {}, event.get("series") or {}
    moment = _moment(event)
    return "  ".join(
        (
            "unknown time" if moment == _NEVER else moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
            str(event.get("type") or "-"),
            f"{involved.get('kind') or '-'}/{involved.get('name') or '-'}",
            str(event.get("reason") or "-"),
            _short(event.get("message"), clean) or "-",
            f"x{series.get('count') or event.get('count') or 1}",
        )
    )


def _moment(event: Json) -> datetime.datetime:
    """When it was last seen: whoever reports events fills in other fields, and hardly ever all."""
    metadata, series = event.get("metadata") or {}, event.get("series") or {}
    told = (
        series.get("lastObservedTime"),
        event.get("lastTimestamp"),
        event.get("eventTime"),
        event.get("firstTimestamp"),
        metadata.get("creationTimestamp"),
    )
    return next((moment for one in told if (moment := times.read(one)) is not None), _NEVER)


def _cleaned(message: object, clean: Redactor) -> str:
    text = clean.text(str(message or ""))
    return text if len(text) <= _MESSAGE_MOST else text[:_MESSAGE_MOST] + " ... cut ..."


def _short(message: object, clean: Redactor) -> str:
    """On one line."""
    return " ".join(_cleaned(message, clean).split())
