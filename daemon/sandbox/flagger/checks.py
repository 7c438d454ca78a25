"""What stands between a canary and more traffic: pre-rollout at 0, rollout and the success rate above.

At weight 0 nothing is measured: a canary that somebody else put to 0 is started again by its pre-rollout
hooks alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from daemon.sandbox.flagger import canary as phases
from daemon.sandbox.flagger.api import Json
from daemon.sandbox.flagger.canary import Canary
from daemon.sandbox.flagger.hooks import METRICS, WARNING, HookRefusedError, Hooks

Metrics = Callable[[Mapping[str, Any]], float | None]
"""The success rate of a Canary in percent; None when Prometheus has no values for it."""


def healthy(_canary: Mapping[str, Any]) -> float:
    """A success rate as of a version without faults."""
    return 100.0


class Checks:
    """Runs the checks of a tick."""

    def __init__(self, hooks: Hooks, metrics: Metrics) -> None:
        self._hooks = hooks
        self.metrics = metrics

    async def passed(self, canary: Canary, weight: int) -> bool:
        """False counts as one failed check. WaitingPromotion (iterations -1) is measured even at weight 0."""
        if weight == 0 and canary.iterations == 0:
            await self._hooks.say(canary, f"Starting canary analysis for {canary.target_full_name}")
            return await self._may_start(canary)
        return await self._rollout_goes_on(canary) and await self._succeeds(canary)

    async def _may_start(self, canary: Canary) -> bool:
        for hook in canary.hooks_of("pre-rollout"):
            try:
                await self._hooks.ask(canary, hook, phases.PROGRESSING)
            except HookRefusedError as refused:
                text = (
                    f"Halt {canary.full_name} advancement pre-rollout check {hook['name']} failed {refused}"
                )
                await self._hooks.say(canary, text, WARNING)
                return False
            await self._hooks.say(canary, f"Pre-rollout check {hook['name']} passed")
        return True

    async def _rollout_goes_on(self, canary: Canary) -> bool:
        for hook in canary.hooks_of("rollout"):
            try:
                await self._hooks.ask(canary, hook, phases.PROGRESSING)
            except HookRefusedError as refused:
                text = f"Halt {canary.full_name} advancement external check {hook['name']} failed {refused}"
                await self._hooks.say(canary, text, WARNING)
                return False
        return True

    async def _succeeds(self, canary: Canary) -> bool:
        for metric in canary.analysis.get("metrics") or ():
            if metric.get("name") == "request-success-rate":
                rate = self.metrics(canary.body)
                await self._hooks.pass_hold(METRICS)
                complaint = _complaint(canary, metric, rate)
                if complaint is not None:
                    await self._hooks.say(canary, complaint, WARNING)
                    return False
        return True


def _complaint(canary: Canary, metric: Json, rate: float | None) -> str | None:
    if rate is None:
        return (
            f"Halt advancement no values found for istio metric {metric['name']} probably"
            f" {canary.target_full_name} is not receiving traffic: running query failed: no values found"
        )
    halt = f"Halt {canary.full_name} advancement success rate {rate:.2f}%"
    allowed = metric.get("thresholdRange")
    if allowed is None:
        least = float(metric.get("threshold", 0))
        return f"{halt} < {least:g}%" if least > rate else None
    if "min" in allowed and rate < allowed["min"]:
        return f"{halt} < {allowed['min']:g}%"
    if "max" in allowed and rate > allowed["max"]:
        return f"{halt} > {allowed['max']:g}%"
    return None
