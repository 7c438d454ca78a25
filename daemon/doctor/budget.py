"""Where the seconds go, in the worst case, from the first bad request to 0%; and the one change that saves most.

    first bad request -> window full above the threshold -> scrape -> evaluation -> `for` -> group -> webhook -> write

Noise, low traffic and counters that are born with their first error make all of it longer.
"""

import dataclasses
import math
import re
from collections.abc import Sequence
from typing import Any

from daemon.doctor import alertmanager, prometheus, promql_reading, routing
from daemon.doctor.alerts import AlertingRule, Rules
from daemon.doctor.documents import Document
from daemon.doctor.durations import said
from daemon.doctor.findings import Finding, fail, fine, warn
from daemon.doctor.known import Known
from daemon.model.rules import Act

SHARES = (0.05, 1.0)
"""Error rates for which it is computed; the promise is made for the first."""
_REQUESTS = re.compile(r"request|http|grpc|istio|_rq_|response|calls")
"""In the names that metrics of requests have."""
_OFTEN = 15.0
_WINDOW = 60.0
_WRITE = 1.0
"""Webhook, record and write; measured in milliseconds."""
_MESH = 2.0
"""Until Envoy has it, in a small mesh."""


@dataclasses.dataclass(frozen=True, slots=True)
class Leg:
    """``saves`` seconds if ``change`` is made; ``assumed`` where nothing was given to read it from."""

    name: str
    seconds: float
    change: str = ""
    saves: float = 0.0
    assumed: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Way:
    """How long one rule needs at one error rate."""

    rule: AlertingRule
    errors: float
    legs: tuple[Leg, ...]

    @property
    def total(self) -> float:
        return round(sum(leg.seconds for leg in self.legs), 3)

    @property
    def helps(self) -> Leg | None:
        best = max(self.legs, key=lambda leg: leg.saves)
        return best if best.saves > 0 else None

    def as_json(self) -> dict[str, Any]:
        helps = self.helps
        return {
            "errors": self.errors, "rule": self.rule.name, "seconds": self.total,
            "legs": [{"name": leg.name, "seconds": round(leg.seconds, 3), "assumed": leg.assumed} for leg in self.legs],
            "change": None if helps is None else {"what": helps.change, "saves": round(helps.saves, 3)},
        }  # fmt: skip


def ways(rules: Rules, documents: Sequence[Document], known: Known) -> list[Way]:
    """The fastest rule for each error rate; none where no rule sees it."""
    found = []
    for errors in SHARES:
        possible = [way for rule in watching(rules, known) if (way := _way(rule, errors, rules, documents, known))]
        if possible:
            found.append(min(possible, key=lambda way: way.total))
    return found


def watching(rules: Rules, known: Known) -> list[AlertingRule]:
    """Rules that roll back on a share of failing requests; on a share of anything else, where there are no such."""
    shares = [
        rule for rule in rules.alerts
        if rule.expression is not None and known.act(rule.fixed) is Act.ROLLBACK
        and promql_reading.error_threshold(rule.expression, rules.recordings) is not None
    ]  # fmt: skip
    return [rule for rule in shares if _of_requests(rule, rules)] or shares


def _of_requests(rule: AlertingRule, rules: Rules) -> bool:
    assert rule.expression is not None  # noqa: S101 - only such are asked about
    return any(_REQUESTS.search(one.metric) for one in promql_reading.selectors(rule.expression, rules.recordings))


def examine(rules: Rules, found: Sequence[Way], known: Known) -> list[Finding]:
    if not any(known.act(rule.fixed) is Act.ROLLBACK for rule in rules.alerts):
        return []
    promised = next((way for way in found if way.errors == SHARES[0]), None)
    if promised is None:
        rule = next(rule for rule in rules.alerts if known.act(rule.fixed) is Act.ROLLBACK)
        if not watching(rules, known):
            return [warn(
                "budget/not-known", rule.at("expr"), "no rule that rolls back compares a share of failing requests "
                "with a number, as far as can be read here: the time to 0% cannot be told", "failing over all "
                "requests, and the recording rules that it uses among the files",
                "add CanaryHighErrorRate of config/prometheus",
            )]  # fmt: skip
        return [fail(
            "budget/never", rule.at("expr"),
            f"no rule that rolls back sees {SHARES[0]:.0%} of a canary's requests fail",
            f"0% within {said(known.budget)} at {SHARES[0]:.0%} errors", "add CanaryHighErrorRate of config/prometheus",
        )]  # fmt: skip
    longest = max(promised.legs, key=lambda leg: leg.seconds)
    seen = (f"{promised.rule.name}: {said(round(promised.total, 1))} from the first bad request to 0% at "
            f"{SHARES[0]:.0%} errors, worst case; {said(round(longest.seconds, 1))} of it {longest.name}")  # fmt: skip
    if promised.total <= known.budget:
        return [fine("budget/met", promised.rule.at(), seen)]
    helps = promised.helps
    mend = (
        f"{helps.change}: saves {said(round(helps.saves, 1))}" if helps else "raise --budget: nothing is left to save"
    )
    return [fail("budget/over", promised.rule.at(), seen, f"{said(known.budget)} at most", mend)]


def _way(rule: AlertingRule, errors: float, rules: Rules, documents: Sequence[Document], known: Known) -> Way | None:
    if rule.expression is None:
        return None
    threshold = promql_reading.error_threshold(rule.expression, rules.recordings)
    if threshold is None or threshold >= errors:
        return None
    scraped = prometheus.scrape(documents)
    every = scraped if scraped is not None else _OFTEN
    configured = prometheus.evaluation(documents)
    evaluated = rule.interval or configured or prometheus.DEFAULT
    guess = rule.interval is None and configured is None
    window = max(promql_reading.windows(rule.expression, rules.recordings), default=0.0)
    tight = min(window, max(_WINDOW, 4 * min(every, _OFTEN)))
    filling = window * threshold / errors
    held = math.ceil(rule.hold / evaluated) * evaluated
    legs = [
        Leg(f"until {threshold:.4g} of the {said(window)} window fails", filling, f"a window of {said(tight)}",
            filling - tight * threshold / errors),
        Leg(f"next scrape, every {said(every)}", every, "scrape_interval: 15s", max(0.0, every - _OFTEN),
            scraped is None),
        Leg(f"next evaluation, every {said(evaluated)}", evaluated, "interval: 15s for the rule's group",
            max(0.0, evaluated - _OFTEN), guess),
        Leg(f"for: {said(rule.hold)}", held, f"{rule.name} without `for:`", held),
    ]  # fmt: skip
    legs += _recorded(rule, rules, configured or prometheus.DEFAULT)
    return Way(rule, errors, (*legs, *_notified(rule, rules, documents, known),
                              Leg("webhook and write", _WRITE), Leg("mesh takes it", _MESH, assumed=True)))  # fmt: skip


def _recorded(rule: AlertingRule, rules: Rules, usual: float) -> list[Leg]:
    """Within one group what is recorded is seen at once; from another group only at its next evaluation."""
    assert rule.expression is not None  # noqa: S101 - only such have a way
    used = {one.metric for one in promql_reading.selectors(rule.expression, rules.recordings)}
    others = {group: interval or usual for name, (group, interval) in rules.homes.items()
              if name in used and group != rule.group}  # fmt: skip
    if not others:
        return []
    longest = max(others.values())
    change = "recording rules in the alert's own group"
    return [Leg(f"recorded in another group, every {said(longest)}", longest, change, longest)]


def _notified(rule: AlertingRule, rules: Rules, documents: Sequence[Document], known: Known) -> list[Leg]:
    labels = alertmanager.labels_of(rule, known)
    legs: list[Leg] = []
    for document in documents:
        if document.kind or not isinstance(document.data, dict) or "route" not in document.data:
            continue
        mine = [one for one in routing.stops(document.data, labels) if alertmanager.is_ours(document, one.receiver)]
        if not mine:
            continue  # said by the examination of the route
        stop = min(mine, key=lambda one: one.group_wait)
        legs.append(Leg(f"group_wait: {said(stop.group_wait)}", stop.group_wait, "group_wait: 0s", stop.group_wait))
        if not stop.apart and not alertmanager.tells_apart(stop, rules, rule.name):
            joining = max(0.0, stop.group_interval - stop.group_wait)
            legs.append(Leg("joins a group that was told already", joining,
                            "group_by: [namespace, workload, version, alertname]", joining))  # fmt: skip
    return legs
