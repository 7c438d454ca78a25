"""What examinations know of us: the configuration, as far as they need it, and which routes we can write."""

import dataclasses
from collections.abc import Mapping

from daemon.adapters import flagger, traffic
from daemon.adapters.traffic import RouteKind
from daemon.model.rules import Act, AlertRule, Fallback, LabelNames, first_match
from daemon.model.stages import Profile
from daemon.settings import Settings

ALERTMANAGER_PATH = "/webhooks/alertmanager"
FLAGGER_PATH = flagger.HOOKS
ZERO_WITHIN = 120.0
"""Seconds from the webhook to proved zero: the promise."""


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    labels: LabelNames
    fallback: Fallback
    rules: tuple[AlertRule, ...]
    watchdog: str
    watchdog_late: float
    stages: tuple[float, ...]
    """Weights above 0 at which a release stays, ascending, of every profile."""
    profiles: Mapping[str, Profile]
    anonymous_alertmanager: bool
    anonymous_flagger: bool
    answer_within: float
    kinds: Mapping[str, RouteKind]
    """Kinds of routes that are written."""
    cluster_domain: str
    budget: float
    """Seconds that may pass from the first bad request to 0%, at 5% errors."""

    def act(self, labels: Mapping[str, str]) -> Act | None:
        """What an alert with these labels asks for."""
        rule = first_match(self.rules, labels)
        return rule.act if rule is not None else None


def of(settings: Settings, budget: float) -> Known:
    weights = {stage.weight for stage in settings.policy.stages if stage.weight > 0}
    return Known(
        labels=settings.label_names,
        fallback=settings.correlation.fallback,
        rules=settings.rules,
        watchdog=settings.policy.watchdog_alertname,
        watchdog_late=settings.policy.watchdog_late,
        stages=tuple(sorted(weights)),
        profiles=settings.profiles,
        anonymous_alertmanager=settings.web.alertmanager.allow_anonymous,
        anonymous_flagger=settings.web.flagger.allow_anonymous,
        answer_within=settings.web.answer_within,
        kinds=traffic.discover(),
        cluster_domain=settings.kubernetes.cluster_domain,
        budget=budget,
    )
