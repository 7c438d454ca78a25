"""The world as people and scripts read it: plain JSON values, for the API, the CLI and nothing else."""

import dataclasses
import datetime
from typing import Any

from daemon.model.canary import Canary
from daemon.model.rollback import Rollback
from daemon.workflow.gathering import Gatherer
from daemon.workflow.gating import Gates
from daemon.workflow.standing import SeenHook, Standings
from daemon.workflow.world import World


class Showing:
    """Read only."""

    def __init__(self, *, world: World, standings: Standings, gatherer: Gatherer, gates: Gates) -> None:
        self._world = world
        self._standings = standings
        self._gatherer = gatherer
        self._gates = gates

    def canaries(self) -> list[dict[str, Any]]:
        return [self.canary(canary) for canary in sorted(self._world.canaries(), key=lambda one: one.ref)]

    def canary(self, canary: Canary) -> dict[str, Any]:
        """Phase, weight on the routes, what stands, and what the traffic-increase gate would say now."""
        views = self._gatherer.views(canary)
        standing = self._standings.peek(canary.ref)
        gate = self._gates.traffic_increase(canary)
        return {
            "namespace": canary.ref.namespace,
            "name": canary.ref.name,
            "phase": canary.phase.value,
            "revision": canary.revision,
            "weight": self.weight(canary),
            "routes": [
                {"route": str(view.ref), "paths": [dataclasses.asdict(path) for path in view.paths]} for view in views
            ],
            "rollback": standing.intent.record_name if standing and standing.intent else None,
            "trafficIncrease": {
                "open": gate.opened, "reason": gate.decision.reason.value, "detail": gate.decision.detail,
            },
            "paused": canary.paused,
            "pausedBy": [pause.alertname for pause in canary.alert_pauses if pause.revision == canary.revision],
            "hooks": [_hook(seen) for seen in standing.hooks] if standing else [],
        }  # fmt: skip

    def weight(self, canary: Canary) -> float:
        """Percent, as the routes say (Flagger's status is not always true)."""
        return max((view.weight for view in self._gatherer.views(canary)), default=0.0)

    def rollbacks(self) -> list[dict[str, Any]]:
        """Newest first."""
        records = sorted(self._world.all_records(), key=lambda one: (one.created_at, one.name), reverse=True)
        return [rollback(record) for record in records]


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
        "message": record.message,
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
