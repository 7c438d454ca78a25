"""The world as people and scripts read it: plain JSON values, for the API, the CLI and nothing else."""

import dataclasses
import datetime
from collections.abc import Sequence
from typing import Any

from daemon import ports
from daemon.model.canary import Canary, CanaryRef
from daemon.model.canary_revision import CanaryRevision
from daemon.model.history import Filter
from daemon.model.notice import Notice
from daemon.model.rollback import Rollback
from daemon.model.route import percent
from daemon.model.signal import HookType
from daemon.model.stages import Profile
from daemon.policy import announcing, telling
from daemon.workflow.gate_sight import GateSight
from daemon.workflow.gathering import Gatherer
from daemon.workflow.gating import Gates
from daemon.workflow.standing import SeenHook, Standings
from daemon.workflow.world import World

SHOWN_GATES = (HookType.CONFIRM_ROLLOUT, HookType.PRE_ROLLOUT, HookType.ROLLOUT, HookType.CONFIRM_TRAFFIC_INCREASE,
               HookType.CONFIRM_PROMOTION, HookType.ROLLBACK)  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class Release:
    """What a person's act on a canary is judged by.

    ``profile`` is None when the canary names one that is not configured, ``weight`` when nobody knows it, ``rollback``
    (a record's name) when none is in force. ``succeeded``: another version than this revision lies in the workload.
    """

    canary: Canary
    profile: Profile | None
    record: CanaryRevision | None
    weight: float | None
    rollback: str | None
    succeeded: bool


class Showing:
    """Read only."""

    def __init__(
        self,
        *,
        world: World,
        standings: Standings,
        gatherer: Gatherer,
        sight: GateSight,
        gates: Gates,
        clock: ports.Clock,
    ) -> None:
        self._world = world
        self._standings = standings
        self._gatherer = gatherer
        self._sight = sight
        self._gates = gates
        self._clock = clock

    def canaries(self) -> list[dict[str, Any]]:
        return [self.canary(canary) for canary in sorted(self._world.canaries(), key=lambda one: one.ref)]

    def canary(self, canary: Canary) -> dict[str, Any]:
        """Phase, weight on the routes, stage, what stands, and what each gate would say now."""
        views = self._gatherer.views(canary)
        standing = self._standings.peek(canary.ref)
        record = self._sight.record(canary)
        return {
            "namespace": canary.ref.namespace,
            "name": canary.ref.name,
            "kind": canary.object_kind.kind,
            "controller": "stage driver" if canary.driven else canary.controller.value,
            "phase": canary.phase.value,
            "revision": canary.revision,
            "weight": self.weight(canary),
            "routes": [
                {"route": str(view.ref), "paths": [dataclasses.asdict(path) for path in view.paths]} for view in views
            ],
            "rollback": standing.intent.record_name if standing and standing.intent else None,
            "profile": canary.profile or "default",
            "stage": self._sight.stage(canary),
            "gates": {kind.value: self._gate(kind, canary) for kind in SHOWN_GATES},
            "paused": canary.paused,
            "pause": {"by": canary.paused_by or None, "reason": canary.paused_reason or None}
            if canary.paused else None,
            "alerts": [
                {"alertname": pause.alertname, "since": _text(pause.starts_at)}
                for pause in canary.alert_pauses if pause.revision == canary.revision
            ],
            "pausedBy": [pause.alertname for pause in canary.alert_pauses if pause.revision == canary.revision],
            "approval": _approval(canary),
            "advance": None if canary.advance is None else {
                "to": canary.advance.to, "by": canary.advance.by, "revision": canary.advance.revision,
            },
            "record": record.name if record is not None else None,
            "hooks": [_hook(seen) for seen in standing.hooks] if standing else [],
        }  # fmt: skip

    def story(self, ref: CanaryRef) -> dict[str, Any] | None:
        """One canary with the timelines of its revisions, newest first; None when there is no such canary."""
        canary = self._world.canary(ref)
        if canary is None:
            return None
        records = sorted(self._world.revisions(ref), key=lambda one: (one.began or one.created_at), reverse=True)
        return self.canary(canary) | {"revisions": [revision(record) for record in records]}

    def release(self, ref: CanaryRef) -> Release | None:
        """None when there is no such canary."""
        canary = self._world.canary(ref)
        if canary is None:
            return None
        record, workload = self._sight.record(canary), self._world.workload(canary)
        lies_there = workload.template if workload is not None else ""
        return Release(
            canary=canary,
            profile=self._sight.profile(canary),
            record=record,
            weight=self._gatherer.weight(canary),
            rollback=self._sight.standing_rollback(canary),
            succeeded=bool(lies_there) and record is not None and lies_there != record.template,
        )

    def _gate(self, kind: HookType, canary: Canary) -> dict[str, Any]:
        """What it would be answered now, and what it was answered last, by whichever replica."""
        answer = self._gates.would_answer(kind, canary)
        record = self._sight.record(canary, kind)
        last = record.gate(kind.value) if record is not None else None
        return {
            "open": answer.opened,
            "reason": answer.decision.reason.value,
            "detail": answer.decision.detail,
            "answered": None if last is None else {
                "open": last.opened, "reason": last.reason, "detail": last.detail, "at": _text(last.at),
            },
        }  # fmt: skip

    def weight(self, canary: Canary) -> float:
        """Percent, as the routes say (Flagger's status is not always true)."""
        return percent(self._gatherer.views(canary))

    def rollbacks(self, wanted: Filter) -> list[dict[str, Any]]:
        """Newest first."""
        return [rollback(record) for record in wanted.select(self._world.all_records())]

    def undelivered(self, channels: Sequence[str]) -> dict[str, int]:
        """How many rollbacks each of these channels has not been told all about, refused ones included."""
        counts = dict.fromkeys(channels, 0)
        for record in self._world.all_records():
            for notice in telling.undelivered(record):
                if notice.channel in counts:  # not one that has left the configuration
                    counts[notice.channel] += 1
        return counts


    def refusing(self) -> list[tuple[CanaryRef, str, float]]:
        """Gates at which a revision waits, a soak aside: canary, hook, and for how many seconds."""
        now = self._clock.now()
        found = []
        for record in self._world.all_revisions():
            for gate in announcing.refusing(record, self._world.canary(record.canary)):
                since = gate.refusing_since or gate.at
                found.append((record.canary, gate.hook, max(0.0, (now - since).total_seconds())))
        return found


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
        "onset": _text(onset),
        "received": _text(record.started_at),
        "decided": _text(timeline.decided_at),
        "zeroed": _text(timeline.zeroed_at),
        "proved": _text(timeline.proved_at),
        "escalated": _text(timeline.escalated_at),
        "completed": _text(timeline.completed_at),
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
            "state": record.cleanup.state.value, "detail": record.cleanup.detail, "at": _text(record.cleanup.at),
        },
        "followUps": [
            {"kind": one.kind.value, "name": one.name, "state": one.state.value, "detail": one.detail,
             "at": _text(one.at)} for one in record.follow_ups
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
        "began": _text(record.began),
        "promoted": _text(record.promoted_at),
        "images": [
            {"image": image, "digest": next((one.digest for one in record.digests if one.image == image), None)}
            for image in record.images
        ],
        "weights": [{"weight": one.weight, "since": _text(one.since)} for one in record.weights],
        "checks": [
            {"gate": one.gate, "name": one.name, "state": one.state.value, "detail": one.detail, "at": _text(one.at)}
            for one in record.checks
        ],
        "answered": {
            one.hook: {
                "open": one.opened, "reason": one.reason, "detail": one.detail, "at": _text(one.at),
                "refusingSince": _text(one.refusing_since),
            } for one in record.gates
        },
        "timeline": [
            {"at": _text(one.at), "kind": one.kind.value, "text": one.text, "count": one.count, "last": _text(one.last)}
            for one in record.entries
        ],
        "dropped": record.dropped,
    }  # fmt: skip


def _approval(canary: Canary) -> dict[str, Any] | None:
    approval = canary.approval
    if approval is None:
        return None
    return {
        "revision": approval.revision,
        "by": list(approval.by),
        "until": _text(approval.until),
        "used": _text(approval.used),
        "reason": approval.reason or None,
    }


def _evidence(record: Rollback) -> dict[str, Any] | None:
    kept = record.evidence
    if kept is None:
        return None
    where = kept.config_map or None
    return {"configMap": where, "at": _text(kept.at), "pods": kept.pods, "missing": list(kept.missing)}


def _notice(notice: Notice) -> dict[str, Any]:
    return {
        "channel": notice.channel,
        "due": list(notice.due),
        "said": list(notice.said),
        "refused": list(notice.refused),
        "attempts": notice.attempts,
        "deliveredAt": _text(notice.delivered_at),
        "refusedAt": _text(notice.refused_at),
        "problem": notice.problem or None,
    }


def _hook(seen: SeenHook) -> dict[str, Any]:
    return {
        "at": _text(seen.at),
        "type": seen.hook.type.value,
        "phase": seen.hook.phase,
        "checksum": seen.hook.checksum,
        "answer": 200 if seen.opened else 403,
        "reason": seen.decision.reason.value,
    }


def _text(moment: datetime.datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _seconds(since: datetime.datetime, until: datetime.datetime | None) -> float | None:
    return None if until is None else round((until - since).total_seconds(), 4)
