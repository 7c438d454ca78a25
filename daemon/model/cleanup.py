"""What is left of a canary after its traffic is gone, and what we changed on the way to clean it up."""

import dataclasses
import datetime
import enum


class CleanupPolicy(enum.StrEnum):
    """What becomes of the canary's pods."""

    SCALE_TO_ZERO = "scale-to-zero"
    """The controller scales them down where there is one; else we do, once zero is proved."""
    KEEP = "keep"
    """They stay, without traffic, for whoever wants to look at them."""


class CleanupState(enum.StrEnum):
    """``status.cleanup.state``."""

    WAITING = "Waiting"
    """For the controller to accept the failure, or for the proof."""
    NUDGED = "Nudged"
    """The controller's own deadline was shortened so that it accepts the failure now; to be restored."""
    DONE = "Done"
    """No canary pods are wanted any more."""
    KEPT = "Kept"
    """The pods stay: policy says so, or the workload has no replicas to take away."""
    OVERTAKEN = "Overtaken"
    """The workload belongs to another revision now: hands off."""
    TROUBLE = "Trouble"
    """A person is needed; ``detail`` says why. Traffic is not concerned."""


SETTLED = frozenset({CleanupState.DONE, CleanupState.KEPT, CleanupState.OVERTAKEN, CleanupState.TROUBLE})


@dataclasses.dataclass(frozen=True, slots=True)
class Nudge:
    """``spec.progressDeadlineSeconds`` of a Flagger Canary, lent for a moment.

    ``original`` is what to put back, None for a field that was not there. ``at`` is when it was decided on, ``set_at``
    when it was seen to be set: between the two we may have died.
    """

    original: int | None
    at: datetime.datetime
    set_at: datetime.datetime | None = None
    restored_at: datetime.datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class PausedScaler:
    """An autoscaler that would have scaled the workload up again, and the JSON of what to put back (null: nothing).

    ``namespace`` is the workload's, which may be another than that of the canary's object.
    """

    kind: str
    namespace: str
    name: str
    original: str
    restored_at: datetime.datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Cleanup:
    """``template`` is a hash of the pod template that was rolled back: another one is never scaled down.

    ``scaled_down`` counts how often we scaled the workload to 0, ``scaled_from`` how many replicas it had then.
    """

    state: CleanupState
    detail: str
    at: datetime.datetime
    template: str = ""
    nudge: Nudge | None = None
    scalers: tuple[PausedScaler, ...] = ()
    scaled_down: int = 0
    scaled_from: int = 0

    @property
    def owes(self) -> bool:
        """Something that we changed has not been put back."""
        lent = self.nudge is not None and self.nudge.restored_at is None
        return lent or any(scaler.restored_at is None for scaler in self.scalers)
