"""One tick of Flagger for one canary: the stages, in the order that was measured.

What a stage must not reach (the rollback hooks while pods are not ready, fresh weights after a slow
hook) follows from the order alone, so the order is the thing to keep.
"""

from __future__ import annotations

from daemon.sandbox.flagger import canary as phases
from daemon.sandbox.flagger.api import HaltedError
from daemon.sandbox.flagger.canary import ALL, Canary
from daemon.sandbox.flagger.climb import advance, finalise, shift_to_primary
from daemon.sandbox.flagger.deployments import NotReadyError
from daemon.sandbox.flagger.hooks import HookRefusedError
from daemon.sandbox.flagger.parts import Parts, fail_promotion, roll_back
from daemon.sandbox.flagger.routing import Weights


class Tick:
    """The stages of a tick over a Canary that was read at its start; each says whether the tick goes on."""

    def __init__(self, parts: Parts, canary: Canary) -> None:
        self._parts = parts
        self._canary = canary

    async def run(self) -> None:
        try:
            if self._canary.suspended:
                await self._parts.say(self._canary, "skipping canary run as object is suspended")
            elif await self._bootstrapped() and await self._has_work() and await self._primary_is_ready():
                # Read once: what this tick writes at its end is computed from this, however long hooks take.
                weights = await self._parts.routes.read(self._canary)
                await self._analyse(weights)
        except HaltedError as halted:
            await self._parts.warn(self._canary, str(halted))

    async def _analyse(self, weights: Weights) -> None:
        parts, canary = self._parts, self._canary
        if canary.phase not in phases.IN_FLIGHT or canary.phase == phases.WAITING:
            await self._start()
            return
        if await self._restarted() or not await self._canary_is_ready() or await self._rolled_back_by_hook():
            return
        if canary.phase == phases.PROMOTING:
            await shift_to_primary(parts, canary, weights)
        elif canary.phase == phases.FINALISING:
            await finalise(parts, canary)
        elif canary.failed_checks >= canary.threshold:
            await roll_back(parts, canary)
        elif await parts.checks.passed(canary, weights.canary):
            await advance(parts, canary, weights)
        else:
            await parts.statuses.set(canary, failedChecks=canary.failed_checks + 1)

    async def _bootstrapped(self) -> bool:
        """Makes what is missing, and gives a new canary its first real status."""
        canary, parts = self._canary, self._parts
        services = {canary.canary_host: "", canary.primary_host: "-primary"}
        await parts.deployments.ensure_services(canary, services)
        new = canary.phase in phases.NEW
        if new:
            await parts.say(canary, "all the metrics providers are available!")
        await parts.deployments.ensure_primary(canary)
        if new and not await self._primary_is_ready():
            return False
        await parts.deployments.ensure_services(canary, {canary.apex: "-primary"})
        if new:
            await parts.deployments.scale_to_zero(canary)
        await parts.routes.reconcile(canary)
        if new:
            await self._initialise()
        return True

    async def _initialise(self) -> None:
        before = self._canary.in_phase(phases.INITIALIZED)
        await self._parts.sync(self._canary, phases.INITIALIZED)
        fresh = await self._parts.reread(before)
        # Only these two are taken over, as in Flagger: the rest of this tick still sees the old promoted
        # revision.
        self._canary = before.with_status(
            lastAppliedSpec=fresh.applied, trackedConfigs=fresh.status.get("trackedConfigs")
        )
        await self._parts.say(self._canary, f"Initialization done! {before.full_name}")

    async def _has_work(self) -> bool:
        """In flight, or a template to analyse; in Failed the deployed template becomes the applied one first.

        So a template that arrives in Failed has one tick to be analysed. When that tick ends early (the
        primary is not ready), it is recorded already and nobody looks at it again.
        """
        canary, parts = self._canary, self._parts
        if canary.phase in phases.IN_FLIGHT:
            return True
        template = await parts.deployments.template(canary)
        if canary.phase == phases.FAILED:
            weight = int(canary.status.get("canaryWeight", 0))
            await parts.statuses.sync(
                canary, template, phases.FAILED, weight=weight,
                failed=canary.failed_checks, iterations=canary.iterations,
            )  # fmt: skip
        return canary.differs_from(template)

    async def _primary_is_ready(self) -> bool:
        try:
            await self._parts.deployments.check_primary(self._canary)
        except NotReadyError as not_ready:
            await self._parts.warn(self._canary, str(not_ready))
            if not_ready.hopeless and self._canary.phase in (phases.PROMOTING, phases.FINALISING):
                await fail_promotion(self._parts, self._canary, not_ready)
            elif not_ready.hopeless:
                await roll_back(self._parts, self._canary)
            return False
        return True

    async def _start(self) -> None:
        """A new revision, or one that waits for approval: confirm-rollout, then up."""
        parts = self._parts
        # Read again: so a revision that arrives in Failed shows its own checksum, and from Initialized
        # the old one.
        canary = await parts.reread(self._canary)
        if not await self._rollout_is_confirmed(canary):
            return
        progressing = canary.in_phase(phases.PROGRESSING)
        await parts.say(progressing, f"New revision detected! Scaling up {canary.target_full_name}")
        await parts.deployments.scale_from_zero(canary)
        await parts.sync(canary, phases.PROGRESSING)

    async def _rollout_is_confirmed(self, canary: Canary) -> bool:
        parts = self._parts
        for hook in canary.hooks_of("confirm-rollout"):
            name = hook["name"]
            try:
                await parts.hooks.ask(canary, hook, canary.phase)
            except HookRefusedError:
                if canary.phase != phases.WAITING:
                    await parts.statuses.phase(canary, phases.WAITING)
                    text = f"Halt {canary.full_name} advancement waiting for approval {name}"
                    await parts.warn(canary, text)
                return False
            await parts.say(canary, f"Confirm-rollout check {name} passed")
        return True

    async def _restarted(self) -> bool:
        """A new template during the analysis starts it over. It does not scale up: 0 replicas stay 0."""
        canary, parts = self._canary, self._parts
        if canary.phase not in (phases.PROGRESSING, phases.WAITING_PROMOTION):
            return False
        if not canary.differs_from(await parts.deployments.template(canary)):
            return False
        await parts.say(canary, f"New revision detected! Restarting analysis for {canary.target_full_name}")
        await parts.routes.write(canary, Weights(ALL, 0))
        await parts.sync(canary, phases.PROGRESSING)
        return True

    async def _canary_is_ready(self) -> bool:
        try:
            await self._parts.deployments.check_canary(self._canary)
        except NotReadyError as not_ready:
            await self._parts.warn(self._canary, str(not_ready))
            if not_ready.hopeless:
                await roll_back(self._parts, self._canary)
            return False
        return True

    async def _rolled_back_by_hook(self) -> bool:
        """Asks the rollback hooks in their order; the first yes rolls back, anything else does not."""
        canary, parts = self._canary, self._parts
        if canary.phase not in (phases.PROGRESSING, phases.WAITING_PROMOTION):
            return False
        for hook in canary.hooks_of("rollback"):
            name = hook["name"]
            try:
                await parts.hooks.ask(canary, hook, canary.phase)
            except HookRefusedError:
                await parts.say(canary, f"Rollback hook {name} not signaling a rollback")
                continue
            await parts.warn(canary, f"Rollback check {name} passed")
            await parts.warn(canary, f"Rolling back {canary.full_name} manual webhook invoked")
            await roll_back(parts, canary)
            return True
        return False
