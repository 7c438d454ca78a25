"""What reaches us: an alert, a Flagger hook. An operator's act reaches us as a ``Rollback`` record."""

import dataclasses
import datetime
import enum
from collections.abc import Mapping

from daemon.model import drill
from daemon.model.canary import CanaryRef


class Source(enum.StrEnum):
    """Where a signal came from; a metric label."""

    ALERTMANAGER = "alertmanager"
    PULL = "pull"
    """Asked of Alertmanager, because a webhook may have been lost."""
    OPERATOR = "operator"


@dataclasses.dataclass(frozen=True, slots=True)
class Alert:
    """One alert of an Alertmanager webhook (payload version 4).

    ``starts_at`` is when the alert began *firing* (after ``for``), not when the trouble began.
    ``ends_at`` is None while it fires: Alertmanager then sends Go's zero time, year 1.
    """

    fingerprint: str
    firing: bool
    starts_at: datetime.datetime
    ends_at: datetime.datetime | None
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    generator_url: str = ""
    external_url: str = ""

    @property
    def key(self) -> tuple[str, datetime.datetime]:
        """The idempotency key: the fingerprint alone returns with every later episode of the same alert."""
        return (self.fingerprint, self.starts_at)

    @property
    def name(self) -> str:
        return self.labels.get("alertname", "")

    @property
    def is_drill(self) -> bool:
        return drill.is_drill(self.labels)

    @property
    def is_shadow(self) -> bool:
        """A drill that may speak of a real canary, and writes nothing."""
        return self.is_drill and self.labels.get(drill.MODE_LABEL) == drill.SHADOW


@dataclasses.dataclass(frozen=True, slots=True)
class MalformedAlert:
    """An alert of an otherwise readable webhook that can never become valid, and why."""

    position: int
    fingerprint: str
    problem: str


@dataclasses.dataclass(frozen=True, slots=True)
class AlertGroup:
    """One Alertmanager webhook, read."""

    alerts: tuple[Alert | MalformedAlert, ...]
    truncated: int
    group_key: str
    receiver: str


class HookType(enum.StrEnum):
    """Flagger's webhook types, as they stand in our paths."""

    CONFIRM_ROLLOUT = "confirm-rollout"
    PRE_ROLLOUT = "pre-rollout"
    ROLLOUT = "rollout"
    CONFIRM_TRAFFIC_INCREASE = "confirm-traffic-increase"
    CONFIRM_PROMOTION = "confirm-promotion"
    POST_ROLLOUT = "post-rollout"
    ROLLBACK = "rollback"
    EVENT = "event"


@dataclasses.dataclass(frozen=True, slots=True)
class Hook:
    """One call of a Flagger webhook.

    ``phase`` is what Flagger writes there, which is not always the canary's phase (it says Progressing in
    WaitingPromotion). ``checksum`` names the revision in a hash of Flagger's own.
    """

    type: HookType
    canary: CanaryRef
    phase: str
    checksum: str
    metadata: Mapping[str, str]
