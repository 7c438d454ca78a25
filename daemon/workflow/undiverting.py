"""Gives a canary's Service its own pods back once the hold is over. The leader's duty.

A Service that still selects the stable pods would let the next revision look healthy: nobody would be served by it.
"""

from daemon import ports
from daemon.model.canary import CanaryRef
from daemon.model.rollback import Milestone, Rollback
from daemon.workflow.leading import Leadership
from daemon.workflow.world import World


class Undiverting:
    """Keeps ``workflow.aftermath.Duty``."""

    name = "undiverting"

    def __init__(self, *, world: World, brakes: ports.Brakes) -> None:
        self._world = world
        self._brakes = brakes
        self._diverted: set[CanaryRef] = set()
        """Whose record said so when it was last seen: a record that is deleted ends the hold too."""
        self._given_back: set[tuple[CanaryRef, str]] = set()

    def concerns(self, ref: CanaryRef) -> bool:
        records = self._world.records(ref)
        if any(_used(record) and not record.finished for record in records):
            self._diverted.add(ref)
            return False
        unsettled = any(_used(record) and (ref, record.uid) not in self._given_back for record in records)
        return unsettled or ref in self._diverted

    async def work(self, ref: CanaryRef, leadership: Leadership) -> float | None:
        canary = self._world.canary(ref)
        if not self.concerns(ref):
            return None
        if canary is None:
            return None  # which Service it is, is known when the canary is there again
        if canary.canary_service:
            leadership.check()
            await self._brakes.undivert(canary.workload_namespace, canary.canary_service)
        self._diverted.discard(ref)
        self._given_back |= {(ref, record.uid) for record in self._world.records(ref) if _used(record)}
        return None


def _used(record: Rollback) -> bool:
    return any(condition.type is Milestone.SECOND_BRAKE for condition in record.conditions)
