"""The Canary's status: PUT from what the tick read at its start, on a 409 again from a fresh read."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from datetime import datetime

from daemon.sandbox.flagger import canary as phases
from daemon.sandbox.flagger.api import Api, ApiError, HaltedError, Json, version_of
from daemon.sandbox.flagger.canary import Canary, fingerprint
from daemon.sandbox.flagger.timeline import CANARY, Timeline, status_text

_CONFLICT_PAUSES = (0.01, 0.05, 0.25)

_CONDITIONS = {
    phases.INITIALIZING: ("Unknown", "New Deployment detected, starting initialization."),
    phases.INITIALIZED: ("True", "Deployment initialization completed."),
    phases.WAITING: ("Unknown", "Waiting for approval."),
    phases.WAITING_PROMOTION: ("Unknown", "Waiting for approval."),
    phases.PROGRESSING: ("Unknown", "New revision detected, progressing canary analysis."),
    phases.PROMOTING: ("Unknown", "Canary analysis completed, starting primary rolling update."),
    phases.FINALISING: ("Unknown", "Canary analysis completed, routing all traffic to primary."),
    phases.SUCCEEDED: ("True", "Canary analysis completed successfully, promotion finished."),
    phases.FAILED: ("False", "Canary analysis failed, Deployment scaled to zero."),
}

_KEEP_COUNTERS = (phases.PROGRESSING, phases.WAITING, phases.PROMOTING)

Change = Callable[[Json, Canary], None]


class Statuses:
    """Writes statuses and says so on the timeline."""

    def __init__(self, api: Api, timeline: Timeline, now: Callable[[], datetime]) -> None:
        self._api = api
        self._timeline = timeline
        self._now = now

    async def initializing(self, canary: Canary) -> None:
        """The first status of a new Canary."""

        def change(status: Json, fresh: Canary) -> None:
            status.update(phase=phases.INITIALIZING, canaryWeight=0, failedChecks=0, iterations=0)
            self._condition(status, fresh, phases.INITIALIZING)

        await self._update(canary, change)

    async def sync(
        self,
        canary: Canary,
        template: Json,
        phase: str,
        *,
        weight: int = 0,
        failed: int = 0,
        iterations: int = 0,
    ) -> None:
        """Sets everything, and takes the deployed template for the revision that is applied."""
        revision = fingerprint(template)

        def change(status: Json, fresh: Canary) -> None:
            status.update(
                phase=phase, canaryWeight=weight, failedChecks=failed, iterations=iterations,
                lastAppliedSpec=revision, trackedConfigs={},
            )  # fmt: skip
            if phase == phases.INITIALIZED:
                status["lastPromotedSpec"] = revision
            self._condition(status, fresh, phase)

        await self._update(canary, change)

    async def phase(self, canary: Canary, phase: str) -> None:
        """Moves to a phase; outside of the ones that keep it, the weight is 0 whatever the routes say."""

        def change(status: Json, fresh: Canary) -> None:
            status["phase"] = phase
            if phase not in _KEEP_COUNTERS:
                status.update(canaryWeight=0, iterations=0)
            if phase == phases.WAITING_PROMOTION:
                status["iterations"] = int(fresh.analysis.get("iterations", 0)) - 1
            if phase == phases.SUCCEEDED:
                status["lastPromotedSpec"] = fresh.applied
            self._condition(status, fresh, phase)

        await self._update(canary, change)

    async def set(self, canary: Canary, **counters: int) -> None:
        """Sets canaryWeight, failedChecks or iterations."""

        def change(status: Json, _fresh: Canary) -> None:
            status.update(counters)

        await self._update(canary, change)

    async def _update(self, canary: Canary, change: Change) -> None:
        fresh = canary
        for pause in (*_CONFLICT_PAUSES, None):
            body = copy.deepcopy(fresh.body)
            status = body.setdefault("status", {})
            status["lastTransitionTime"] = self._stamp()
            change(status, fresh)
            try:
                stored = await self._api.replace(f"{canary.path}/status", body)
            except ApiError as error:
                if pause is None or not error.conflict:
                    raise HaltedError(f"updating canary {canary.full_name} status failed: {error}") from error
                await asyncio.sleep(pause)
                fresh = Canary(await self._again(canary))
                continue
            if version_of(stored) != version_of(fresh.body):
                self._timeline.add(canary.key, CANARY, status_text(stored))
            return

    async def _again(self, canary: Canary) -> Json:
        try:
            return await self._api.get(canary.path)
        except ApiError as error:
            raise HaltedError(f"canary {canary.full_name} get query failed: {error}") from error

    def _condition(self, status: Json, fresh: Canary, phase: str) -> None:
        """The one condition; its lastTransitionTime only moves when its status changes."""
        truth, message = _CONDITIONS[phase]
        current = next((c for c in fresh.status.get("conditions") or () if c["type"] == "Promoted"), None)
        if current and (current["status"], current["reason"]) == (truth, phase):
            return
        kept = current["lastTransitionTime"] if current and current["status"] == truth else self._stamp()
        status["conditions"] = [
            {
                "type": "Promoted",
                "status": truth,
                "lastUpdateTime": self._stamp(),
                "lastTransitionTime": kept,
                "reason": phase,
                "message": message,
            }
        ]

    def _stamp(self) -> str:
        return self._now().strftime("%Y-%m-%dT%H:%M:%SZ")
