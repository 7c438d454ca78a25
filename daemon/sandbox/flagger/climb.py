"""The way up: one step per tick, the gates on it, and the promotion at its end.

From Promoting on the primary has the new template, and no hook is asked any more.
"""

from __future__ import annotations

from daemon.sandbox.flagger import canary as phases
from daemon.sandbox.flagger.canary import ALL, Canary
from daemon.sandbox.flagger.hooks import HookRefusedError
from daemon.sandbox.flagger.parts import Parts, after
from daemon.sandbox.flagger.routing import Weights


async def advance(parts: Parts, canary: Canary, weights: Weights) -> None:
    """One step up from ``weights``, which may be old by now, or the promotion when none is left."""
    step = canary.next_step(weights.canary)
    if step <= 0:
        return
    if canary.phase != phases.WAITING_PROMOTION and not await _increase_is_confirmed(parts, canary):
        return
    if weights.canary >= canary.max_weight:
        await _promote(parts, canary)
        return
    raised = Weights(max(weights.primary - step, 0), min(weights.canary + step, ALL))
    await parts.routes.write(canary, raised)
    await parts.statuses.set(canary, canaryWeight=raised.canary)
    await parts.say(canary, f"Advance {canary.full_name} canary weight {raised.canary}")


async def shift_to_primary(parts: Parts, canary: Canary, weights: Weights) -> None:
    """Promoting. With stepWeightPromotion and a canary at 0 already there is no way out of this phase."""
    step = canary.promotion_step
    if step == 0:
        await parts.say(canary, "Routing all traffic to primary")
        await parts.routes.write(canary, Weights(ALL, 0))
        await parts.statuses.phase(canary, phases.FINALISING)
        return
    if weights.canary <= 0:
        return
    shifted = Weights(min(weights.primary + step, ALL), max(weights.canary - step, 0))
    await parts.routes.write(canary, shifted)
    await parts.say(canary, f"Advance {canary.full_name} primary weight {shifted.primary}")
    if shifted.primary == ALL:
        await parts.statuses.phase(canary, phases.FINALISING)
    else:
        await parts.statuses.set(canary, canaryWeight=shifted.canary)


async def finalise(parts: Parts, canary: Canary) -> None:
    """The canary's pods go, the revision is promoted."""
    await parts.deployments.scale_to_zero(canary)
    await parts.statuses.phase(canary, phases.SUCCEEDED)
    succeeded = canary.in_phase(phases.SUCCEEDED)
    await after(parts, succeeded, phases.SUCCEEDED)
    await parts.say(succeeded, f"Promotion completed! Scaling down {canary.target_full_name}")


async def _increase_is_confirmed(parts: Parts, canary: Canary) -> bool:
    for hook in canary.hooks_of("confirm-traffic-increase"):
        name = hook["name"]
        try:
            await parts.hooks.ask(canary, hook, phases.PROGRESSING)
        except HookRefusedError:
            text = f"Halt {canary.full_name} advancement waiting for traffic increase approval {name}"
            await parts.warn(canary, text)
            return False
        await parts.say(canary, f"Confirm-traffic-increase check {name} passed")
    return True


async def _promote(parts: Parts, canary: Canary) -> None:
    if not await _promotion_is_confirmed(parts, canary):
        return
    primary = f"{canary.primary}.{canary.namespace}"
    await parts.say(canary, f"Copying {canary.target_full_name} template spec to {primary}")
    await parts.deployments.promote(canary)
    await parts.statuses.phase(canary, phases.PROMOTING)


async def _promotion_is_confirmed(parts: Parts, canary: Canary) -> bool:
    for hook in canary.hooks_of("confirm-promotion"):
        name = hook["name"]
        try:
            await parts.hooks.ask(canary, hook, phases.PROGRESSING)
        except HookRefusedError:
            if canary.phase == phases.WAITING_PROMOTION:
                await parts.statuses.set(canary, iterations=int(canary.analysis.get("iterations", 0)) - 1)
                return False
            await parts.statuses.phase(canary, phases.WAITING_PROMOTION)
            text = f"Halt {canary.full_name} advancement waiting for promotion approval {name}"
            await parts.warn(canary, text)
            return False
        await parts.say(canary, f"Confirm-promotion check {name} passed")
    return True
