"""The lease by which one of several replicas leads: what it says, and on which terms it is held."""

import dataclasses
import datetime
import math


@dataclasses.dataclass(frozen=True, slots=True)
class LeaseSeen:
    """What a lease says, as read or as it shall be written.

    ``holder`` is empty when nobody holds it. ``duration_seconds`` is the holder's promise to have stopped by then if
    it does not renew; 0 when the lease does not say. The times are the writer's wall clock: for people to read, never
    compared. ``resource_version`` is the version read, which a write is made from; empty for one to be created.
    """

    holder: str
    duration_seconds: int
    transitions: int
    acquired_at: datetime.datetime | None
    renewed_at: datetime.datetime | None
    resource_version: str


@dataclasses.dataclass(frozen=True, slots=True)
class Terms:
    """Seconds, all of them.

    ``duration``: what a holder promises, and what others wait out. ``renew_deadline``: how long a renewal is good for,
    counted from before it was sent; what is left until ``duration`` is the leading work's time to end. ``retry``:
    between two tries. Raises ValueError unless duration > renew_deadline > retry > 0.
    """

    duration: float = 15.0
    renew_deadline: float = 10.0
    retry: float = 2.0

    def __post_init__(self) -> None:
        if not math.inf > self.duration > self.renew_deadline > self.retry > 0:
            raise ValueError(
                "a lease needs duration > renew_deadline > retry > 0 seconds, "
                f"not {self.duration:g}, {self.renew_deadline:g}, {self.retry:g}"
            )

    @property
    def written_seconds(self) -> int:
        """``leaseDurationSeconds``: whole seconds, never less than we take ourselves."""
        return max(1, math.ceil(self.duration))
