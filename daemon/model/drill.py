"""A fire drill: the whole chain, from Alertmanager to proved zero, for nobody's traffic (``pullback drill``)."""

import dataclasses
import datetime
import enum
from collections.abc import Mapping

ALERTNAME = "PullbackDrill"
"""Marks an alert as a drill's, and so the record that it leads to. It acts on nothing but a drill's own canary."""

ID_LABEL = "drill"
"""Tells one drill from another: every drill is an alert of its own."""

MODE_LABEL, SHADOW = "drill_mode", "shadow"
"""With these on it a drill's alert may speak of a real canary: everything but the write."""


class DrillOutcome(enum.StrEnum):
    """``status.drill.outcome``."""

    PASSED = "Passed"
    FAILED = "Failed"


@dataclasses.dataclass(frozen=True, slots=True)
class DrillResult:
    """``status.drill``: what whoever ran it found. The daemon cannot know how long its webhook took to come."""

    outcome: DrillOutcome
    at: datetime.datetime
    message: str = ""


def is_drill(labels: Mapping[str, str]) -> bool:
    """Whether an alert is a drill's."""
    return labels.get("alertname") == ALERTNAME
