"""Alert rules: whom they name, what they say to people, and how much of the time they use up themselves."""

import re
from collections.abc import Iterator

from daemon.doctor import promql_reading
from daemon.doctor.alerts import AlertingRule, Rules
from daemon.doctor.durations import said
from daemon.doctor.findings import Finding, fail, fine, warn
from daemon.doctor.known import Known
from daemon.doctor.promql_nodes import Expression
from daemon.model.rules import Act, Fallback

_PERCENT = re.compile(r"\{\{(?P<value>[^}]*\$value[^}]*)\}\}\s*(?:%|percent\b)")
_LABEL = re.compile(r"\{\{-?\s*\$labels\.([a-zA-Z_]\w*)")
_PLAIN_PATTERN = re.compile(r"[\w.-]+")
_SAYS_NOTHING = frozenset({"", "unknown", "latest"})


def examine(rules: Rules, known: Known, scrape: float | None) -> list[Finding]:
    """``scrape`` is seconds between two scrapes, where that is known."""
    found: list[Finding] = []
    for rule in rules.alerts:
        act = known.act(rule.fixed)
        if act in {None, Act.IGNORE} or rule.name == known.watchdog:
            continue
        if rule.expression is None:
            found.append(warn("rules/not-read", rule.at("expr"), f"{rule.name}: {rule.problem}", "PromQL that can be "
                              "judged", "check it with: promtool check rules"))  # fmt: skip
            continue
        problems = [*_correlation(rule, known), *_version(rule, rule.expression, rules, known),
                    *_text(rule, rule.expression, rules),
                    *_time(rule, rule.expression, rules, known, act, scrape)]  # fmt: skip
        found += problems or [fine("rules/alert", rule.at(), f"{rule.name} names whom it is about; asks for {act}")]
    return found


def _correlation(rule: AlertingRule, known: Known) -> Iterator[Finding]:
    names = known.labels
    namespace = any(map(rule.label, names.namespace))
    subject = any(map(rule.label, (*names.canary, *names.workload, *names.application)))
    if (subject and namespace) or any(map(rule.label, (*names.version, *names.host))):
        return
    if namespace and known.fallback is Fallback.SINGLE_ACTIVE:
        return
    left = sorted({*rule.labels, *rule.carried.names} if rule.carried.exact else rule.labels)
    seen = f"{rule.name} is left with the labels {', '.join(['alertname', *left])}"
    if subject:
        seen += "; no namespace among them"
    yield fail(
        "rules/no-correlation", rule.at("expr"), f"{seen}: it names no canary, so it rolls back none",
        "a canary or workload with its namespace, a version, or a host",
        "aggregate by (namespace, workload, version), in the names your metrics have: "
        "sum by (destination_workload_namespace, destination_workload, destination_version) (…)",
    )  # fmt: skip


def _version(rule: AlertingRule, expression: Expression, rules: Rules, known: Known) -> Iterator[Finding]:
    names = known.labels.version
    written = {
        f'{one.label}="{one.value}"'
        for selector in promql_reading.selectors(expression, rules.recordings)
        for one in selector.matchers
        if one.label in names and one.value not in _SAYS_NOTHING
        and (one.operator == "=" or (one.operator == "=~" and _PLAIN_PATTERN.fullmatch(one.value)))
    }  # fmt: skip
    written |= {f'{name}="{text}"' for name, text in rule.labels.items()
                if name in names and text not in _SAYS_NOTHING and "{{" not in text}  # fmt: skip
    if written:
        yield fail(
            "rules/version-hard-coded", rule.at("expr"), f"{rule.name} speaks of {', '.join(sorted(written))} only",
            "no version in the rule: the next release is not measured, and looks like the same alert to Alertmanager, "
            "which says nothing again before repeat_interval",
            "aggregate by the version instead of selecting one",
        )  # fmt: skip


def _text(rule: AlertingRule, expression: Expression, rules: Rules) -> Iterator[Finding]:
    scale = promql_reading.scale(expression, rules.recordings)
    for name, text in rule.annotations.items():
        where = rule.at("annotations", name)
        percent = next((one for one in _PERCENT.finditer(text) if "humanizePercentage" not in one["value"]
                        and "100" not in one["value"]), None)  # fmt: skip
        if percent is not None and scale == 1.0:
            yield fail(
                "rules/ratio-as-percent", where, f"{rule.name} says {percent[0]}, and its value is a share of 1: "
                "5% of errors read as 0.05%", "the value as people read it", "write {{ $value | humanizePercentage }}",
            )  # fmt: skip
        if "humanizePercentage" in text and "$value" in text and scale is not None and scale > 1.0:
            yield fail(
                "rules/percent-as-ratio", where, f"{rule.name} multiplies by {scale:g} and then says it is a share: "
                "5% of errors read as 500%", "the value as people read it", "leave * 100 out of the expression",
            )  # fmt: skip
        empty = sorted({one for one in _LABEL.findall(text) if not rule.label(one)})
        if empty:
            yield warn(
                "rules/empty-label", where, f"{rule.name} shows {', '.join(f'$labels.{one}' for one in empty)}, which "
                "the alert does not have: people read an empty word", "labels that the expression keeps",
                f"keep {', '.join(empty)} in the aggregation, or leave it out of the text",
            )  # fmt: skip


def _time(
    rule: AlertingRule, expression: Expression, rules: Rules, known: Known, act: Act | None, scrape: float | None
) -> Iterator[Finding]:
    windows = promql_reading.windows(expression, rules.recordings)
    if scrape and windows and min(windows) < 2 * scrape:
        yield fail(
            "rules/window-under-two-scrapes", rule.at("expr"), f"{rule.name}: a window of {said(min(windows))} with a "
            f"scrape every {said(scrape)}", "two samples in every window, better four: rate() sees nothing else",
            f"a window of {said(4 * scrape)}, or a scrape every {said(min(windows) / 4)}",
        )  # fmt: skip
    if act is not Act.ROLLBACK:
        return
    threshold = promql_reading.error_threshold(expression, rules.recordings)
    window = max(windows, default=0.0)
    # At 5% errors, or where it first sees any; a measure that is no share of errors is judged by its `for:` alone.
    filling = 0.0 if threshold is None else window * min(1.0, threshold / 0.05 if threshold < 0.05 else threshold)
    if rule.hold + filling > known.budget:
        yield fail(
            "rules/over-budget", rule.at("for"), f"{rule.name}: for {said(rule.hold)} and {said(round(filling, 1))} of "
            f"its {said(window)} window are {said(round(rule.hold + filling, 1))}, before any scrape, evaluation or "
            "webhook", f"{said(known.budget)} from the first bad request to 0%",
            "no `for:` and a window of 1m; guard against blips by a least number of requests and errors",
        )  # fmt: skip
