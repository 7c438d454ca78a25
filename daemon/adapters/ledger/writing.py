"""A record as JSON to be sent: the object to create, and the merge patch of its status."""

import datetime
import json
from collections.abc import Mapping
from typing import Any

from daemon.adapters import times
from daemon.adapters.kubernetes.resources import ROLLBACKS
from daemon.adapters.ledger import aftermath, fields
from daemon.model.drill import DrillResult
from daemon.model.rollback import Amendment, Condition, NewRollback, RecordedSignal
from daemon.model.route import Original, WeightChange

RECEIVED_AT = "pullback.dev/received-at"
DECIDED_AT = "pullback.dev/decided-at"
BEFORE = "pullback.dev/before"
"""JSON of ``weights`` and ``originals``: what the routes said when the rollback was decided."""

RELEASED_BY = "pullback.dev/released-by"
RELEASED_REASON = "pullback.dev/released-reason"
"""A person's: the hold is lifted, and what was re-pointed is put back."""

_BEFORE_MOST = 128 * 1024  # of the 256 KiB that all annotations together may take
_TEXT_MOST = 1024
_SIGNAL_VALUE_MOST = 2048
_SIGNAL_MOST = 64 * 1024  # a record that the API server finds too large would never be durable


def as_document(record: NewRollback) -> dict[str, Any]:
    """The object to create."""
    before = json.dumps({"weights": _weights(record.weights), "originals": _originals(record.originals)})
    annotations = {RECEIVED_AT: times.write(record.started_at), DECIDED_AT: times.write(record.decided_at)}
    if (record.weights or record.originals) and len(before) <= _BEFORE_MOST:
        annotations[BEFORE] = before
    spec: dict[str, Any] = {
        "canaryRef": fields.canary_ref(record.canary_kind, record.canary.name),
        "revision": record.revision,
        "trigger": record.trigger.value,
        "reason": record.reason[:_TEXT_MOST],
        "requestedBy": record.requested_by,
        "dryRun": record.dry_run,
    }
    if record.drill:
        spec["drill"] = True
    if record.severity is not None:
        spec["severity"] = record.severity.value
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
        "drill": None if amendment.drill_result is None else _drill(amendment.drill_result),
    }
    plain = {key: value for key, value in plain.items() if value is not None}
    return status | plain | aftermath.as_status(amendment)


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


def _weights(weights: tuple[WeightChange, ...]) -> list[dict[str, Any]]:
    return [{"route": str(one.route), "path": one.path, "before": one.before, "after": one.after} for one in weights]


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


def _drill(result: DrillResult) -> dict[str, str]:
    return {
        "outcome": result.outcome.value, "at": times.write(result.at), "message": result.message[:_TEXT_MOST],
    }  # fmt: skip


def _condition(one: Condition) -> dict[str, str]:
    return {
        "type": one.type.value,
        "status": "True",
        # API conventions want CamelCase here; it is the same word as everywhere else.
        "reason": "".join(part[:1].upper() + part[1:] for part in one.reason.split("-")) or "Unknown",
        "message": one.message[:_TEXT_MOST],
        "lastTransitionTime": one.at.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
