"""One signal, one threshold: what the alert rules and the Canary call bad."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from daemon.doctor import promql, promql_reading
from daemon.doctor.alerts import Rules
from daemon.doctor.canaries import Canary
from daemon.doctor.findings import Finding, warn
from daemon.doctor.known import Known
from daemon.model.rules import Act

_APART = 2.0
"""Two thresholds for one signal that are further apart than this factor."""


def examine(rules: Rules, canaries: Sequence[Canary], known: Known) -> list[Finding]:
    shares = {
        share: rule for rule in rules.alerts
        if rule.expression is not None and known.act(rule.fixed) is Act.ROLLBACK
        and (share := promql_reading.error_threshold(rule.expression, rules.recordings)) is not None
    }  # fmt: skip
    relative = next(
        (rule for rule in rules.alerts if rule.expression is not None
         and promql_reading.is_quantile(rule.expression, rules.recordings)
         and promql_reading.is_relative(rule.expression)),
        None,
    )  # fmt: skip
    found: list[Finding] = []
    for canary in canaries:
        for index, metric in enumerate(canary.metrics):
            where = canary.at("metrics", index, "thresholdRange")
            name = str(metric.get("name") or f"metrics[{index}]")
            if shares:
                found += _errors(where, name, metric, shares)
            if relative is not None and _is_latency(metric):
                found.append(warn(
                    "thresholds/latency", where, f"{name} allows an absolute latency, {relative.name} compares with "
                    "the stable version: they call different things bad", "one meaning of slow",
                    "compare with the stable version in both: what is slow depends on the hour",
                ))  # fmt: skip
    return found


def _errors(where: str, name: str, metric: Mapping[str, Any], shares: Mapping[float, Any]) -> Iterator[Finding]:
    allowed = _allowed(metric)
    if allowed is None:
        return
    strictest = min(shares)
    low, high = sorted((allowed, strictest))
    if high > 0 and (low == 0 or high / low > _APART):
        yield warn(
            "thresholds/errors", where, f"{name} allows {allowed:.4g} of all requests to fail, "
            f"{shares[strictest].name} rolls back at {strictest:.4g}", "one threshold for one signal",
            "take the alert's; gates and analysis may be stricter, by less than a factor of two",
        )  # fmt: skip


def _allowed(metric: Mapping[str, Any]) -> float | None:
    """The share of requests that a Canary's metric lets fail; None for what is no share."""
    limits = metric.get("thresholdRange")
    if not isinstance(limits, Mapping):
        return None
    least, most = limits.get("min"), limits.get("max")
    whole: float | None = 100.0 if metric.get("name") == "request-success-rate" else None
    if query := metric.get("query"):
        try:
            whole = promql_reading.scale(promql.parse(str(query)), {})
        except promql.NotReadError:
            whole = None
    if whole is None:
        return None
    if isinstance(least, int | float):
        return round(1 - least / whole, 12)
    return most / whole if isinstance(most, int | float) else None


def _is_latency(metric: Mapping[str, Any]) -> bool:
    if metric.get("name") == "request-duration":
        return True
    try:
        return promql_reading.is_quantile(promql.parse(str(metric.get("query") or "0")), {})
    except promql.NotReadError:
        return False
