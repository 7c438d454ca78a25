"""Nothing relevant fires: Alertmanager is asked, rather than waited for."""

from collections.abc import Callable
from typing import Annotated

import pydantic

from daemon import ports
from daemon.adapters import text
from daemon.adapters.checks.filling import checked, fill, fill_sample
from daemon.adapters.checks.findings import failed, passed, within
from daemon.adapters.checks.options import GRACE, CheckOptions, Seconds
from daemon.adapters.checks.surroundings import Surroundings
from daemon.model import errors
from daemon.model.checking import Finding, Subject
from daemon.model.rules import Matcher
from daemon.model.signal import Alert, AlertGroup

KIND = "alerts"

_NAMED = 3


def _matcher(template: str) -> str:
    Matcher.parse(fill_sample(checked(template)))
    return template


class Options(CheckOptions):
    """``kind: alerts``."""

    match: Annotated[tuple[Annotated[str, pydantic.AfterValidator(_matcher)], ...], pydantic.Field(max_length=20)] = ()
    """Matchers as in Alertmanager, all of which an alert must match to matter; fields are filled in (and ``$`` is
    written ``$$``). Without any, those alerts matter that speak of this canary."""
    timeout: Seconds = 10.0
    once: bool = False


def build(name: str, options: Options, surroundings: Surroundings) -> "AlertsCheck":  # noqa: ARG001 - it needs none
    if surroundings.firing is None:
        raise errors.ConfigurationError("kind: alerts needs an Alertmanager to ask, and none is configured")
    return AlertsCheck(options, surroundings, surroundings.firing)


class AlertsCheck:
    """Keeps ``ports.Check``."""

    def __init__(self, options: Options, surroundings: Surroundings, firing: ports.FiringAlerts) -> None:
        self._options = options
        self._correlate = surroundings.correlate
        self._firing = firing
        self.timeout = options.timeout + GRACE
        self.once = options.once

    async def run(self, subject: Subject) -> Finding:
        matters = self._judge(subject)
        async with within(self._options.timeout, "Alertmanager"):
            group = await self._firing.firing()
        found = sorted({_name(alert) for alert in _firing(group) if matters(alert)})
        if found:
            more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
            return failed(f"expected no alert to fire, got {', '.join(found[:_NAMED])}{more}")
        return passed("no alert fires that matters here")

    def _judge(self, subject: Subject) -> Callable[[Alert], bool]:
        if not self._options.match:
            return lambda alert: self._correlate(alert.labels) == subject.canary.ref
        matchers = [Matcher.parse(fill(template, subject)) for template in self._options.match]
        return lambda alert: all(matcher.matches(alert.labels) for matcher in matchers)


def _firing(group: AlertGroup) -> list[Alert]:
    return [alert for alert in group.alerts if isinstance(alert, Alert) and alert.firing]


def _name(alert: Alert) -> str:
    return text.cut(text.line(alert.name) or "an alert without a name", 60)
