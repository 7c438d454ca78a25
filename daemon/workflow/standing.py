"""What this process remembers about one canary between two passes. All of it may be lost: the next pass looks again."""

import dataclasses
import datetime
from collections import OrderedDict

from daemon.model.canary import CanaryRef
from daemon.model.decision import Decision, Intent, Proof
from daemon.model.signal import Hook

_RESOLVED_KEPT = 256
_CHECKSUMS_KEPT = 8
_HOOKS_KEPT = 32

AlertKey = tuple[str, datetime.datetime]


@dataclasses.dataclass(frozen=True, slots=True)
class SeenHook:
    """A call of Flagger's, and what we answered."""

    at: datetime.datetime
    hook: Hook
    opened: bool
    decision: Decision


@dataclasses.dataclass(slots=True)
class Standing:
    """One canary's memory.

    ``intent`` is the rollback in force, ``durable`` whether its record is known to exist.
    ``zero_since`` is when all routes were first seen at zero, without a break since.
    ``unproved`` is why the last look at routes that say 0 proved nothing.
    ``released_since`` is when a person's release of it was first seen here.
    ``gone_since`` is when its canary was first missed, and has been since.
    ``pushed_back`` counts the writes that took a raised weight back to zero.
    """

    ref: CanaryRef
    intent: Intent | None = None
    durable: bool = False
    accepted: bool = False
    told: bool = False
    zero_since: datetime.datetime | None = None
    was_zero: bool = False
    proof: Proof | None = None
    unproved: str = ""
    pushed_back: int = 0
    write_refused: str = ""
    divert_refused: bool = False
    second_brake: str = ""
    escalated: bool = False
    released_since: datetime.datetime | None = None
    gone_since: datetime.datetime | None = None
    failures: int = 0
    conflicts: int = 0
    rewrites: int = 0
    resolved: OrderedDict[AlertKey, None] = dataclasses.field(default_factory=OrderedDict)
    checksums: OrderedDict[str, str] = dataclasses.field(default_factory=OrderedDict)
    hooks: list[SeenHook] = dataclasses.field(default_factory=list)
    revision: str = ""
    revision_since: float = 0.0

    def begin(self, intent: Intent, *, durable: bool, accepted: bool) -> None:
        """A rollback begins to stand."""
        self.intent, self.durable, self.accepted = intent, durable, accepted
        self.zero_since, self.proof, self.was_zero, self.told, self.unproved = None, None, False, False, ""
        self.divert_refused, self.second_brake = False, ""
        self.pushed_back, self.write_refused, self.escalated = 0, "", False
        self.released_since = self.gone_since = None
        self.failures = self.conflicts = self.rewrites = 0

    def end(self) -> None:
        """The latch is lifted."""
        self.intent, self.durable, self.accepted, self.proof = None, False, False, None
        self.write_refused, self.escalated = "", False

    def remember_resolved(self, key: AlertKey) -> None:
        self.resolved[key] = None
        while len(self.resolved) > _RESOLVED_KEPT:
            self.resolved.popitem(last=False)

    def learn_checksum(self, revision: str, checksum: str) -> None:
        self.checksums[revision] = checksum
        while len(self.checksums) > _CHECKSUMS_KEPT:
            self.checksums.popitem(last=False)

    def revision_seen(self, revision: str, now: float) -> float:
        """Since when (on the loop's clock) hooks have found the canary at this revision."""
        if revision != self.revision:
            self.revision, self.revision_since = revision, now
        return self.revision_since

    def remember_hook(self, seen: SeenHook) -> None:
        self.hooks.append(seen)
        del self.hooks[:-_HOOKS_KEPT]

    @property
    def idle(self) -> bool:
        """Nothing here is worth keeping."""
        return self.intent is None and not self.resolved and not self.checksums and not self.hooks


class Standings:
    """The memory of all canaries."""

    def __init__(self) -> None:
        self._standings: dict[CanaryRef, Standing] = {}

    def of(self, ref: CanaryRef) -> Standing:
        """The canary's memory, made when first asked for."""
        standing = self._standings.get(ref)
        if standing is None:
            standing = self._standings[ref] = Standing(ref)
        return standing

    def peek(self, ref: CanaryRef) -> Standing | None:
        """The canary's memory, if there is any."""
        return self._standings.get(ref)

    def forget(self, ref: CanaryRef) -> None:
        """The canary is gone, and with it all we remembered of it (unless a rollback still stands)."""
        standing = self._standings.get(ref)
        if standing is not None and standing.intent is None:
            del self._standings[ref]

    def in_force(self) -> list[Standing]:
        return [standing for standing in self._standings.values() if standing.intent is not None]
