"""A record from its JSON, made by us or by hand."""

import datetime
import json
from collections.abc import Mapping
from typing import Any

from daemon.adapters import times
from daemon.adapters.ledger import aftermath, fields
from daemon.adapters.ledger.writing import BEFORE, DECIDED_AT, RECEIVED_AT, RELEASED_BY, RELEASED_REASON
from daemon.model.canary import CanaryRef
from daemon.model.drill import DrillOutcome, DrillResult
from daemon.model.notice import Severity
from daemon.model.rollback import (
    Condition,
    Milestone,
    RecordedSignal,
    Rollback,
    RollbackPhase,
    Timeline,
    Trigger,
)
from daemon.model.route import Original, RouteRef, WeightChange


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
        trigger=fields.member(Trigger, spec.get("trigger"), Trigger.OPERATOR),
        reason=str(spec.get("reason") or ""),
        requested_by=str(spec.get("requestedBy") or ""),
        signal=_read_signal(spec.get("signal")),
        dry_run=bool(spec.get("dryRun")),
        phase=fields.member(RollbackPhase, status.get("phase"), RollbackPhase.PENDING),
        timeline=_read_timeline(status, annotations),
        checksum=str(status.get("checksum") or ""),
        holds=int(status.get("holds") or 0),
        weights=tuple(map(_read_weight, status.get("weights") or ())) or before[0],
        originals=tuple(map(_read_original, status.get("originals") or ())) or before[1],
        proof=tuple(map(str, status.get("proof") or ())),
        conditions=tuple(_read_conditions(status.get("conditions") or (), created)),
        message=str(status.get("message") or ""),
        severity=fields.member(Severity, spec.get("severity"), None),
        evidence=aftermath.read_evidence(status.get("evidence")),
        cleanup=aftermath.read_cleanup(status.get("cleanup"), metadata["namespace"]),
        notices=aftermath.read_notices(status.get("notices")),
        released_by=fields.text(annotations, RELEASED_BY).strip(),
        released_reason=fields.text(annotations, RELEASED_REASON).strip(),
        canary_kind=fields.canary_kind(spec.get("canaryRef")),
        drill=bool(spec.get("drill")),
        drill_result=_read_drill(status.get("drill")),
        follow_ups=aftermath.read_follow_ups(status.get("followUps")),
    )


def _read_drill(said: Any) -> DrillResult | None:
    at = fields.moment(said, "at")
    outcome = fields.member(DrillOutcome, said.get("outcome"), None) if at is not None else None
    return None if at is None or outcome is None else DrillResult(outcome, at, fields.text(said, "message"))


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


def _read_weight(one: Mapping[str, Any]) -> WeightChange:
    return WeightChange(_route(one), str(one.get("path", "")), float(one.get("before", 0)), float(one.get("after", 0)))


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


def _read_conditions(conditions: Any, created: datetime.datetime) -> list[Condition]:
    found = []
    for one in conditions:
        milestone = fields.member(Milestone, one.get("type"), None)
        if milestone is not None:
            at = times.read(one.get("lastTransitionTime")) or created
            found.append(Condition(milestone, str(one.get("reason", "")), str(one.get("message", "")), at))
    return found
