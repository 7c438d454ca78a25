"""What a tick works with, and the two ways an analysis ends badly."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from daemon.sandbox.flagger import canary as phases
from daemon.sandbox.flagger.canary import ALL, Canary
from daemon.sandbox.flagger.checks import Checks
from daemon.sandbox.flagger.deployments import Deployments, NotReadyError
from daemon.sandbox.flagger.hooks import WARNING, HookRefusedError, Hooks
from daemon.sandbox.flagger.routing import Routes, Weights
from daemon.sandbox.flagger.statuses import Statuses


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything a tick touches."""

    deployments: Deployments
    routes: Routes
    statuses: Statuses
    hooks: Hooks
    checks: Checks
    reread: Callable[[Canary], Awaitable[Canary]]

    async def say(self, canary: Canary, message: str) -> None:
        await self.hooks.say(canary, message)

    async def warn(self, canary: Canary, message: str) -> None:
        await self.hooks.say(canary, message, WARNING)

    async def sync(self, canary: Canary, phase: str, *, weight: int = 0) -> None:
        """Takes over whatever template is deployed at this moment."""
        template = await self.deployments.template(canary)
        await self.statuses.sync(canary, template, phase, weight=weight)


async def roll_back(parts: Parts, canary: Canary) -> None:
    """Routes first, then the pods, then the status."""
    if canary.failed_checks >= canary.threshold:
        text = f"Rolling back {canary.full_name} failed checks threshold reached {canary.failed_checks}"
        await parts.warn(canary, text)
    await parts.routes.write(canary, Weights(ALL, 0))
    await parts.warn(canary.in_phase(phases.FAILED), f"Canary failed! Scaling down {canary.full_name}")
    await parts.deployments.scale_to_zero(canary)
    await parts.sync(canary, phases.FAILED)
    await after(parts, canary, phases.FAILED)


async def fail_promotion(parts: Parts, canary: Canary, why: NotReadyError) -> None:
    """The primary does not come up with the new template: all to the canary, the copy that runs."""
    await parts.warn(canary, f"Promotion of {canary.target_full_name} failed, primary not ready: {why}")
    await parts.routes.write(canary, Weights(0, ALL))
    await parts.sync(canary, phases.FAILED, weight=ALL)
    await after(parts, canary, phases.FAILED)


async def after(parts: Parts, canary: Canary, phase: str) -> None:
    """The post-rollout hooks: asked once, and their answer changes nothing. The event says the old phase."""
    for hook in canary.hooks_of("post-rollout"):
        try:
            await parts.hooks.ask(canary, hook, phase)
        except HookRefusedError as refused:
            await parts.warn(canary, f"Post-rollout hook {hook['name']} failed {refused}")
            return
        await parts.say(canary, f"Post-rollout check {hook['name']} passed")
