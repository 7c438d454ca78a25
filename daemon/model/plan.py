"""What is to be done: steps, each safe to repeat, each saying all that its execution needs."""

import dataclasses

from daemon.model.canary import AlertPause, CanaryRef, Workload
from daemon.model.rollback import Amendment, NewRollback, Rollback
from daemon.model.route import RoutePatch


@dataclasses.dataclass(frozen=True, slots=True)
class ZeroRoute:
    """Write one routing object to zero."""

    patch: RoutePatch


@dataclasses.dataclass(frozen=True, slots=True)
class RestoreRoute:
    """Put back what zeroing one routing object has re-pointed or removed: a person has lifted the hold."""

    patch: RoutePatch


@dataclasses.dataclass(frozen=True, slots=True)
class AbortRelease:
    """Tell the canary's controller to give the revision up."""

    canary: CanaryRef


@dataclasses.dataclass(frozen=True, slots=True)
class DivertService:
    """Point the canary's Service at the stable pods: its route cannot be written."""

    canary: CanaryRef
    namespace: str
    service: str
    stable_service: str


@dataclasses.dataclass(frozen=True, slots=True)
class ScaleCanary:
    """Take the canary's pods away: its route cannot be written, and no answer is better than its answers."""

    canary: CanaryRef
    workload: Workload


@dataclasses.dataclass(frozen=True, slots=True)
class OpenRecord:
    """Create the record: the intent becomes durable."""

    record: NewRollback


@dataclasses.dataclass(frozen=True, slots=True)
class AmendRecord:
    """Write progress into the record's status, as long as it has come no further than when this was planned."""

    record: Rollback
    amendment: Amendment


@dataclasses.dataclass(frozen=True, slots=True)
class CloseGate:
    """Remember on the canary object that an alert holds its traffic-increase gate closed."""

    canary: CanaryRef
    pause: AlertPause


@dataclasses.dataclass(frozen=True, slots=True)
class OpenGate:
    """Forget alerts that held the gate closed."""

    canary: CanaryRef
    fingerprints: tuple[str, ...]


Step = (ZeroRoute | RestoreRoute | AbortRelease | DivertService | ScaleCanary | OpenRecord | AmendRecord | CloseGate
        | OpenGate)  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """Steps that may all be carried out at once: none waits for another (law 2).

    An empty plan means that the world is as it should be.
    """

    steps: tuple[Step, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.steps)
