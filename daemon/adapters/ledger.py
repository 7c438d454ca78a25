"""The records: ``Rollback`` objects (rollbacks.pullback.dev), the only memory that survives us.

Creating one writes the intent whole: the API server ignores ``status`` in a create, so what must not be lost
before the first status write (when the signal came, what the routes said before) travels in annotations.
"""

import datetime
import json
from collections.abc import Mapping
from typing import Any

from daemon.adapters import times
from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.adapters.kubernetes.resources import CANARIES, ROLLBACKS
from daemon.model import errors
from daemon.model.canary import CanaryRef
from daemon.model.rollback import (
    Amendment,
    Condition,
    Milestone,
    NewRollback,
    RecordedSignal,
    Rollback,
    RollbackPhase,
    Timeline,
    Trigger,
)
from daemon.model.route import Original, RouteRef, WeightChange

RECEIVED_AT = "pullback.dev/received-at"
DECIDED_AT = "pullback.dev/decided-at"
BEFORE = "pullback.dev/before"
"""JSON of ``weights`` and ``originals``: what the routes said when the rollback was decided."""

_BEFORE_MOST = 128 * 1024  # of the 256 KiB that all annotations together may take
_TEXT_MOST = 1024
_SIGNAL_VALUE_MOST = 2048
_SIGNAL_MOST = 64 * 1024  # a record that the API server finds too large would never be durable


class KubernetesLedger:
    """Keeps ``ports.Ledger``."""

    def __init__(self, client: KubernetesClient) -> None:
        self._client = client

    async def open(self, record: NewRollback) -> Rollback:
        try:
            return read_rollback(await self._client.create(ROLLBACKS, record.namespace, as_document(record)))
        except errors.AlreadyThere:
            return read_rollback(await self._client.get(ROLLBACKS, record.namespace, record.name))

    async def amend(self, namespace: str, name: str, amendment: Amendment) -> Rollback:
        body = {"status": as_status(amendment)}
        return read_rollback(await self._client.merge(ROLLBACKS, namespace, name, body, subresource="status"))


def as_document(record: NewRollback) -> dict[str, Any]:
    """The object to create."""
    before = json.dumps({"weights": _weights(record.weights), "originals": _originals(record.originals)})
    annotations = {RECEIVED_AT: times.write(record.started_at), DECIDED_AT: times.write(record.decided_at)}
    if (record.weights or record.originals) and len(before) <= _BEFORE_MOST:
        annotations[BEFORE] = before
    spec: dict[str, Any] = {
        "canaryRef": {"apiVersion": CANARIES.api_version, "kind": CANARIES.kind, "name": record.canary.name},
        "revision": record.revision,
        "trigger": record.trigger.value,
        "reason": record.reason[:_TEXT_MOST],
        "requestedBy": record.requested_by,
        "dryRun": record.dry_run,
    }
    if record.signal is not None:
        spec["signal"] = _signal(record.signal)
    return {
        "apiVersion": ROLLBACKS.api_version,
        "kind": ROLLBACKS.kind,
        "metadata": {
            "namespace": record.namespace,
            "name": record.name,
            "annotations": annotations,
            "labels": {"app.kubernetes.io/managed-by": "pullback"},
        },
        "spec": spec,
    }


def as_status(amendment: Amendment) -> dict[str, Any]:
    """The merge patch of ``status``: only what changes."""
    timeline = amendment.timeline
    moments = {
        "startedAt": timeline.started_at,
        "decidedAt": timeline.decided_at,
        "zeroedAt": timeline.zeroed_at,
        "provedAt": timeline.proved_at,
        "escalatedAt": timeline.escalated_at,
        "completedAt": timeline.completed_at,
        "nextRevisionBeganAt": timeline.next_revision_began_at,
    }
    status: dict[str, Any] = {key: times.write(moment) for key, moment in moments.items() if moment is not None}
    plain = {
        "phase": amendment.phase.value if amendment.phase else None,
        "revision": amendment.revision,
        "secondsToZero": amendment.seconds_to_zero,
        "checksum": amendment.checksum,
        "holds": amendment.holds,
        "message": amendment.message,
        "weights": None if amendment.weights is None else _weights(amendment.weights),
        "originals": None if amendment.originals is None else _originals(amendment.originals),
        "proof": None if amendment.proof is None else list(amendment.proof),
        "conditions": None if amendment.conditions is None else [_condition(one) for one in amendment.conditions],
    }
    return status | {key: value for key, value in plain.items() if value is not None}


def read_rollback(document: Mapping[str, Any]) -> Rollback:
    """A record from its JSON, made by us or by hand."""
    metadata = document["metadata"]
    spec = document.get("spec") or {}
    status = document.get("status") or {}
    annotations = metadata.get("annotations") or {}
    before = _before(annotations)
    namespace = metadata.get("namespace", "")
    created = times.read(metadata.get("creationTimestamp"))
    assert created is not None  # noqa: S101 - the API server always sets it
    return Rollback(
        namespace=namespace,
        name=metadata["name"],
        uid=str(metadata.get("uid", "")),
        resource_version=str(metadata.get("resourceVersion", "")),
        created_at=created,
        canary=CanaryRef(namespace, str((spec.get("canaryRef") or {}).get("name") or "")),
        revision=str(spec.get("revision") or status.get("revision") or ""),
        trigger=_member(Trigger, spec.get("trigger"), Trigger.OPERATOR),
        reason=str(spec.get("reason") or ""),
        requested_by=str(spec.get("requestedBy") or ""),
        signal=_read_signal(spec.get("signal")),
        dry_run=bool(spec.get("dryRun")),
        phase=_member(RollbackPhase, status.get("phase"), RollbackPhase.PENDING),
        timeline=_read_timeline(status, annotations),
        checksum=str(status.get("checksum") or ""),
        holds=int(status.get("holds") or 0),
        weights=tuple(map(_read_weight, status.get("weights") or ())) or before[0],
        originals=tuple(map(_read_original, status.get("originals") or ())) or before[1],
        proof=tuple(map(str, status.get("proof") or ())),
        conditions=tuple(_read_conditions(status.get("conditions") or (), created)),
        message=str(status.get("message") or ""),
    )


def _member(kind: Any, value: object, default: Any) -> Any:
    return next((member for member in kind if member.value == value), default)


def _read_timeline(status: Mapping[str, Any], annotations: Mapping[str, str]) -> Timeline:
    return Timeline(
        started_at=times.read(status.get("startedAt")),
        decided_at=times.read(status.get("decidedAt")) or times.read(annotations.get(DECIDED_AT)),
        zeroed_at=times.read(status.get("zeroedAt")),
        proved_at=times.read(status.get("provedAt")),
        escalated_at=times.read(status.get("escalatedAt")),
        completed_at=times.read(status.get("completedAt")),
        next_revision_began_at=times.read(status.get("nextRevisionBeganAt")),
        received_at=times.read(annotations.get(RECEIVED_AT)),
    )


def _before(annotations: Mapping[str, str]) -> tuple[tuple[WeightChange, ...], tuple[Original, ...]]:
    """What the annotation says of the routes. No schema guards it, as one does spec and status: unreadable is none."""
    try:
        before = json.loads(annotations.get(BEFORE, "{}"))
        weights = tuple(map(_read_weight, before.get("weights") or ()))
        originals = tuple(map(_read_original, before.get("originals") or ()))
    except (AttributeError, KeyError, TypeError, ValueError):
        return (), ()
    return weights, originals


def _signal(signal: RecordedSignal) -> dict[str, Any]:
    return {
        "fingerprint": signal.fingerprint,
        "startsAt": times.write(signal.starts_at),
        "labels": _within_bounds(signal.labels),
        "annotations": _within_bounds(signal.annotations),
        "generatorURL": signal.generator_url[:_SIGNAL_VALUE_MOST],
        "externalURL": signal.external_url[:_SIGNAL_VALUE_MOST],
    }


def _within_bounds(words: Mapping[str, str]) -> dict[str, str]:
    kept: dict[str, str] = {}
    left = _SIGNAL_MOST
    for key, value in words.items():
        cut = value[:_SIGNAL_VALUE_MOST]
        left -= len(key.encode()) + len(cut.encode())
        if left < 0:
            break
        kept[key] = cut
    return kept


def _read_signal(signal: Any) -> RecordedSignal | None:
    starts_at = times.read(signal.get("startsAt")) if isinstance(signal, dict) else None
    if starts_at is None:
        return None
    return RecordedSignal(
        fingerprint=str(signal.get("fingerprint") or ""),
        starts_at=starts_at,
        labels=dict(signal.get("labels") or {}),
        annotations=dict(signal.get("annotations") or {}),
        generator_url=str(signal.get("generatorURL") or ""),
        external_url=str(signal.get("externalURL") or ""),
    )


def _weights(weights: tuple[WeightChange, ...]) -> list[dict[str, Any]]:
    return [{"route": str(one.route), "path": one.path, "before": one.before, "after": one.after} for one in weights]


def _read_weight(one: Mapping[str, Any]) -> WeightChange:
    return WeightChange(_route(one), str(one.get("path", "")), float(one.get("before", 0)), float(one.get("after", 0)))


def _originals(originals: tuple[Original, ...]) -> list[dict[str, Any]]:
    return [
        {
            "route": str(one.route),
            "section": one.section,
            "rule": one.rule,
            "ruleName": one.rule_name,
            "field": one.field,
            "index": one.index,
            "value": one.value,
            "replacedWith": one.replaced_with,
        }
        for one in originals
    ]


def _read_original(one: Mapping[str, Any]) -> Original:
    return Original(
        route=_route(one),
        section=str(one.get("section", "")),
        rule=int(one.get("rule", 0)),
        rule_name=str(one.get("ruleName", "")),
        field=str(one.get("field", "")),
        index=int(one.get("index", 0)),
        value=one.get("value"),
        replaced_with=one.get("replacedWith"),
    )


def _route(one: Mapping[str, Any]) -> RouteRef:
    kind, _, name = str(one.get("route", "")).partition(" ")
    namespace, _, name = name.partition("/")
    return RouteRef(kind, namespace, name)


def _condition(one: Condition) -> dict[str, str]:
    return {
        "type": one.type.value,
        "status": "True",
        # API conventions want CamelCase here; it is the same word as everywhere else.
        "reason": "".join(part[:1].upper() + part[1:] for part in one.reason.split("-")) or "Unknown",
        "message": one.message[:_TEXT_MOST],
        "lastTransitionTime": one.at.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _read_conditions(conditions: Any, created: datetime.datetime) -> list[Condition]:
    found = []
    for one in conditions:
        milestone = _member(Milestone, one.get("type"), None)
        if milestone is not None:
            at = times.read(one.get("lastTransitionTime")) or created
            found.append(Condition(milestone, str(one.get("reason", "")), str(one.get("message", "")), at))
    return found
