"""Records and acts as plain JSON values, as the API, the console page and the commands show them."""

import datetime
from typing import Any

from daemon.model.canary import Canary
from daemon.model.canary_revision import CanaryRevision
from daemon.model.notice import Notice
from daemon.model.rollback import Rollback


def rollback(record: Rollback) -> dict[str, Any]:
    """One record, with its clocks."""
    timeline = record.timeline
    onset = record.signal.starts_at if record.signal else None
    return {
        "namespace": record.namespace,
        "name": record.name,
        "canary": record.canary.name,
        "revision": record.revision,
        "phase": record.phase.value,
        "trigger": record.trigger.value,
        "reason": record.reason,
        "requestedBy": record.requested_by,
        "dryRun": record.dry_run,
        "onset": text(onset),
        "received": text(record.started_at),
        "decided": text(timeline.decided_at),
        "zeroed": text(timeline.zeroed_at),
        "proved": text(timeline.proved_at),
        "escalated": text(timeline.escalated_at),
        "completed": text(timeline.completed_at),
        "secondsToZero": _seconds(record.started_at, timeline.zeroed_at),
        "secondsToProof": _seconds(record.started_at, timeline.proved_at),
        "holds": record.holds,
        "weights": [
            {"route": str(one.route), "path": one.path, "before": one.before, "after": one.after}
            for one in record.weights
        ],
        "proof": list(record.proof),
        "severity": record.severity.value if record.severity else None,
        "evidence": _evidence(record),
        "cleanup": None if record.cleanup is None else {
            "state": record.cleanup.state.value, "detail": record.cleanup.detail, "at": text(record.cleanup.at),
        },
        "followUps": [
            {"kind": one.kind.value, "name": one.name, "state": one.state.value, "detail": one.detail,
             "at": text(one.at)} for one in record.follow_ups
        ],
        "notices": [_notice(notice) for notice in record.notices],
        "message": record.message,
    }  # fmt: skip


def revision(record: CanaryRevision) -> dict[str, Any]:
    """What is recorded of one revision."""
    return {
        "namespace": record.namespace,
        "name": record.name,
        "canary": record.canary.name,
        "revision": record.revision or None,
        "phase": record.phase.value,
        "run": record.run,
        "began": text(record.began),
        "promoted": text(record.promoted_at),
        "images": [
            {"image": image, "digest": next((one.digest for one in record.digests if one.image == image), None)}
            for image in record.images
        ],
        "weights": [{"weight": one.weight, "since": text(one.since)} for one in record.weights],
        "checks": [
            {"gate": one.gate, "name": one.name, "state": one.state.value, "detail": one.detail, "at": text(one.at)}
            for one in record.checks
        ],
        "answered": {
            one.hook: {
                "open": one.opened, "reason": one.reason, "detail": one.detail, "at": text(one.at),
                "refusingSince": text(one.refusing_since),
            } for one in record.gates
        },
        "timeline": [
            {"at": text(one.at), "kind": one.kind.value, "text": one.text, "count": one.count, "last": text(one.last)}
            for one in record.entries
        ],
        "dropped": record.dropped,
    }  # fmt: skip


def approval(canary: Canary) -> dict[str, Any] | None:
    given = canary.approval
    if given is None:
        return None
    return {
        "revision": given.revision,
        "by": list(given.by),
        "until": text(given.until),
        "used": text(given.used),
        "reason": given.reason or None,
    }


def _evidence(record: Rollback) -> dict[str, Any] | None:
    kept = record.evidence
    if kept is None:
        return None
    where = kept.config_map or None
    return {"configMap": where, "at": text(kept.at), "pods": kept.pods, "missing": list(kept.missing)}


def _notice(notice: Notice) -> dict[str, Any]:
    return {
        "channel": notice.channel,
        "due": list(notice.due),
        "said": list(notice.said),
        "refused": list(notice.refused),
        "attempts": notice.attempts,
        "deliveredAt": text(notice.delivered_at),
        "refusedAt": text(notice.refused_at),
        "problem": notice.problem or None,
    }


def text(moment: datetime.datetime | None) -> str | None:
    """RFC 3339; None for none."""
    return None if moment is None else moment.isoformat()


def _seconds(since: datetime.datetime, until: datetime.datetime | None) -> float | None:
    return None if until is None else round((until - since).total_seconds(), 4)
