"""Whether a hook speaks of the revision we know.

``checksum`` names the revision, and the ConfigMaps and Secrets that belong to it, in Flagger's own hash, which nobody
else can compute. It is learned from the
hooks of the running analysis (not from confirm-rollout, which may carry the previous one), and a hook that
carries another is about another revision.
"""

import asyncio
from collections.abc import Callable

from daemon.model.canary import Canary, CanaryPhase
from daemon.model.signal import Hook, HookType
from daemon.workflow.standing import Standing

TEACHES = frozenset({HookType.ROLLBACK, HookType.PRE_ROLLOUT, HookType.ROLLOUT,
                     HookType.CONFIRM_TRAFFIC_INCREASE, HookType.CONFIRM_PROMOTION})  # fmt: skip
"""Hooks whose checksum is the running revision's."""

_ANALYSED = frozenset({CanaryPhase.PROGRESSING, CanaryPhase.WAITING_PROMOTION})
_SETTLED = 5.0
"""Seconds after which a revision that is still the same is no longer what a late watch shows."""


class Recogniser:
    """``fresh`` says whether what we know of canaries is recent enough to learn from."""

    def __init__(self, fresh: Callable[[], bool]) -> None:
        self._fresh = fresh

    def is_of_this_revision(self, hook: Hook, canary: Canary, standing: Standing) -> bool:
        """Also learns the pair, where it can be learned."""
        now = asyncio.get_running_loop().time()
        identity = canary.identity
        since = standing.revision_seen(identity, now)
        known = standing.checksums.get(identity)
        if known is not None:
            return known == hook.checksum
        teaches = hook.type in TEACHES and canary.phase in _ANALYSED and bool(canary.revision and hook.checksum)
        if not teaches or not self._fresh():
            return False
        others = [revision for revision, checksum in standing.checksums.items() if checksum == hook.checksum]
        if others and now - since < _SETTLED:
            # One of the two pairs is wrong: this watch may be late, or the other was learned from a late one.
            return False
        for revision in others:
            del standing.checksums[revision]
        standing.learn_checksum(identity, hook.checksum)
        return True
