"""The world as people and scripts read it: plain JSON values, for the API, the CLI and nothing else."""

import dataclasses
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from daemon import ports
from daemon.model.canary import PRIMARY_CHANGING, UNDER_ANALYSIS, Canary, CanaryRef
from daemon.model.canary_revision import CanaryRevision
from daemon.model.history import Filter
from daemon.model.route import percent
from daemon.model.signal import HookType
from daemon.model.stages import Profile
from daemon.policy import announcing, telling
from daemon.workflow import documents, pacing
from daemon.workflow.gate_sight import GateSight
from daemon.workflow.gathering import Gatherer
from daemon.workflow.gating import Gates
from daemon.workflow.standing import SeenHook, Standings
from daemon.workflow.world import World

SHOWN_GATES = (HookType.CONFIRM_ROLLOUT, HookType.PRE_ROLLOUT, HookType.ROLLOUT, HookType.CONFIRM_TRAFFIC_INCREASE,
               HookType.CONFIRM_PROMOTION, HookType.ROLLBACK)  # fmt: skip
MOVING = UNDER_ANALYSIS | PRIMARY_CHANGING

Wanted = Callable[[Canary], bool]


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

    async def canaries(self, wanted: Wanted = lambda _: True) -> AsyncIterator[dict[str, Any]]:
        """By namespace and name."""
        found = sorted(filter(wanted, self._world.canaries()), key=lambda one: one.ref)
        async for canary in pacing.in_turns(found):
            yield self.canary(canary)

    def moving(self, canary: Canary) -> bool:
        """On its way, or held: what somebody who is on call looks for."""
        standing = self._standings.peek(canary.ref)
        return canary.phase in MOVING or canary.paused or bool(standing and standing.intent)

    async def weights(self) -> AsyncIterator[tuple[Canary, float]]:
        """Every canary with its percent, as the routes say."""
        async for canary in pacing.in_turns(self._world.canaries()):
            yield canary, self.weight(canary)

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
                {"alertname": pause.alertname, "since": documents.text(pause.starts_at)}
                for pause in canary.alert_pauses if pause.revision == canary.revision
            ],
            "pausedBy": [pause.alertname for pause in canary.alert_pauses if pause.revision == canary.revision],
            "approval": documents.approval(canary),
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
        return self.canary(canary) | {"revisions": [documents.revision(record) for record in records]}

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
                "open": last.opened, "reason": last.reason, "detail": last.detail, "at": documents.text(last.at),
            },
        }  # fmt: skip

    def weight(self, canary: Canary) -> float:
        """Percent, as the routes say (Flagger's status is not always true)."""
        return percent(self._gatherer.views(canary))

    async def rollbacks(self, wanted: Filter) -> AsyncIterator[dict[str, Any]]:
        """Newest first."""
        async for record in pacing.in_turns(wanted.select(self._world.all_records())):
            yield documents.rollback(record)

    async def undelivered(self, channels: Sequence[str]) -> dict[str, int]:
        """How many rollbacks each of these channels has not been told all about, for a day refused ones included."""
        now = self._clock.now()
        counts = dict.fromkeys(channels, 0)
        async for record in pacing.in_turns(self._world.all_records()):
            for notice in telling.undelivered(record, now):
                if notice.channel in counts:  # not one that has left the configuration
                    counts[notice.channel] += 1
        return counts

    async def refusing(self) -> list[tuple[CanaryRef, str, float]]:
        """Gates at which a revision waits, a soak aside: canary, hook, and for how many seconds."""
        now = self._clock.now()
        found = []
        async for record in pacing.in_turns(self._world.all_revisions()):
            for gate in announcing.refusing(record, self._world.canary(record.canary)):
                since = gate.refusing_since or gate.at
                found.append((record.canary, gate.hook, max(0.0, (now - since).total_seconds())))
        return found


def _hook(seen: SeenHook) -> dict[str, Any]:
    return {
        "at": documents.text(seen.at),
        "type": seen.hook.type.value,
        "phase": seen.hook.phase,
        "checksum": seen.hook.checksum,
        "answer": 200 if seen.opened else 403,
        "reason": seen.decision.reason.value,
    }
