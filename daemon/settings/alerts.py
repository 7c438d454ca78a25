"""Whom an alert speaks about, and what it may do."""

from typing import Annotated

import pydantic

from daemon.model.notice import Severity
from daemon.model.rules import Act, Fallback, LabelNames, Matcher
from daemon.settings.gates import Promotion, Stage, ascending
from daemon.settings.groups import Group, Seconds


class Labels(Group):
    """Which alert labels mean what; the first that is present speaks."""

    namespace: tuple[str, ...] = LabelNames().namespace
    canary: tuple[str, ...] = LabelNames().canary
    workload: tuple[str, ...] = LabelNames().workload
    application: tuple[str, ...] = LabelNames().application
    version: tuple[str, ...] = LabelNames().version
    host: tuple[str, ...] = LabelNames().host
    template_version: tuple[str, ...] = LabelNames().template_version
    """Labels of a *pod template* that say its version."""


class Correlation(Group):
    """Whom an alert speaks about."""

    labels: Labels = Labels()
    fallback: Fallback = Fallback.REFUSE
    """For an alert that names nothing: ``refuse``, or ``single-active`` (the one active canary of its namespace)."""
    clock_tolerance: Seconds = 5.0
    """How far the clocks of Prometheus and of the cluster may disagree about what came first."""


class Rule(Group):
    """One line of the alert policy."""

    match: tuple[str, ...]
    """Matchers as in Alertmanager, all of which must match: ``severity="critical"``, ``team=~"a|b"``."""
    act: Act
    """``rollback``, ``pause`` (closes the traffic-increase gate while firing) or ``ignore``."""
    severity: Severity | None = None
    """Of the incident that a rollback by this rule opens, P1 to P5; default: ``policy.severity``."""

    @pydantic.field_validator("match")
    @classmethod
    def _readable(cls, matchers: tuple[str, ...]) -> tuple[str, ...]:
        for matcher in matchers:
            Matcher.parse(matcher)
        return matchers


class Policy(Group):
    """What alerts may do."""

    rules: tuple[Rule, ...] = (
        Rule(match=('severity="critical"',), act=Act.ROLLBACK),
        Rule(match=('severity="warning"',), act=Act.PAUSE),
    )
    """First match wins; an alert that matches none is recorded and does nothing."""
    severity: Severity = Severity.P1
    """Of incidents whose rule says nothing, and of rollbacks made by hand."""
    watchdog_alertname: str = "Watchdog"
    """The always-firing alert whose arrival shows that the road to us is open; empty: none."""
    watchdog_late: Annotated[Seconds, pydantic.Field(gt=0)] = 300.0
    """Silence of the Watchdog that is worth a warning in /readyz; several times its repeat_interval."""
    stages: tuple[Stage, ...] = (
        Stage(weight=0, soak=900.0),
        Stage(weight=5, soak=1800.0),
        Stage(weight=25, soak=1800.0),
        Stage(weight=50, soak=1800.0),
    )
    """How long at which weight before the confirm-traffic-increase hook lets it rise; empty: no soaks."""
    promotion: Promotion = Promotion()

    @pydantic.field_validator("stages")
    @classmethod
    def _rising(cls, given: tuple[Stage, ...]) -> tuple[Stage, ...]:
        return ascending(given)
