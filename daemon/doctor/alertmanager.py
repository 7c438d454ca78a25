"""Alertmanager's configuration: whether a rollback alert reaches Pullback, and what waits or is cut off on the way."""

import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any

from daemon.doctor import routing
from daemon.doctor.alerts import AlertingRule, Rules
from daemon.doctor.documents import Document
from daemon.doctor.durations import said, seconds
from daemon.doctor.findings import Finding, fail, fine, warn
from daemon.doctor.known import ALERTMANAGER_PATH, Known
from daemon.doctor.routing import UNKNOWN, Stop
from daemon.model.rules import Act

_PROMPT = 1.0
_INTERVAL_WARN, _INTERVAL_FAIL = 15.0, 60.0
_REPEAT = 300.0
_SECRET = "<secret>"  # noqa: S105 - what Alertmanager shows in place of a URL


def examine(document: Document, rules: Rules, known: Known) -> list[Finding]:
    if not isinstance(document.data, Mapping) or "route" not in document.data:
        return []
    found: list[Finding] = []
    stops: dict[Stop, str] = {}
    for name, labels in subjects(rules, known):
        reached = routing.stops(document.data, labels)
        mine = [one for one in reached if is_ours(document, one.receiver)]
        stops |= {one: name for one in mine if one not in stops}
        if not mine:
            found.append(_lost(document, name, reached))
    for stop, name in stops.items():
        found += _stop(document, stop, name, rules)
    receivers = dict.fromkeys(one.receiver for one in stops)
    for receiver in receivers:
        found += _receiver(document, receiver, known)
    found += _watchdog(document, known)
    return found or [fine("alertmanager/route", document.at("route"), "rollback alerts reach Pullback, and none waits")]


def subjects(rules: Rules, known: Known) -> list[tuple[str, dict[str, str]]]:
    """Names and labels of the alerts that must arrive: those of the rules, else what the policy asks for."""
    found = [(rule.name, labels_of(rule, known)) for rule in rules.alerts
             if known.act(rule.fixed) in {Act.ROLLBACK, Act.PAUSE} and rule.name != known.watchdog]  # fmt: skip
    if found:
        return found
    usual = {"alertname": "CanaryHighErrorRate", "namespace": UNKNOWN, "workload": UNKNOWN, "version": UNKNOWN}
    for rule in known.rules:
        if rule.act is Act.ROLLBACK:
            asked = {one.label: one.value for one in rule.match if one.operator == "="}
            return [(str(rule), {**usual, **asked})]
    return []


def labels_of(rule: AlertingRule, known: Known) -> dict[str, str]:
    """Of the alert it makes; values that come out of the expression are not known yet."""
    names = (*known.labels.namespace, *known.labels.canary, *known.labels.workload, *known.labels.application,
             *known.labels.version, *known.labels.host)  # fmt: skip
    carried = rule.carried.names if rule.carried.exact else frozenset(names)
    possible = {*rule.labels, *carried}
    return {name: UNKNOWN for name in possible if rule.label(name)} | rule.fixed


def is_ours(document: Document, receiver: str) -> bool:
    for _, body in _receivers(document, receiver):
        for _, hook in _webhooks(body):
            url = str(hook.get("url") or _SECRET)
            if url == _SECRET and "pullback" in receiver.lower():
                return True
            if urllib.parse.urlsplit(url).path.rstrip("/").endswith(ALERTMANAGER_PATH):
                return True
    return False


def _lost(document: Document, name: str, reached: list[Stop]) -> Finding:
    last = reached[-1] if reached else None
    where = document.at(*(last.path if last else ("route",)))
    receivers = ", ".join(dict.fromkeys(one.receiver for one in reached)) or "nobody"
    return fail(
        "alertmanager/not-reached", where, f"{name} goes to {receivers}, and not to Pullback",
        f"a receiver with a webhook to {ALERTMANAGER_PATH}",
        "put Pullback's route first, with continue: true, so that others have these alerts too",
    )  # fmt: skip


def _stop(document: Document, stop: Stop, name: str, rules: Rules) -> Iterator[Finding]:
    def at(field: str) -> str:
        return document.at(*stop.path, field)

    if stop.group_wait > _PROMPT:
        say = fail if stop.group_wait >= 10 else warn
        yield say(
            "alertmanager/group-wait", at("group_wait"), f"{name} waits {said(stop.group_wait)} in its group before it "
            "is sent", f"{said(_PROMPT)} at most", "group_wait: 0s",
        )  # fmt: skip
    if stop.group_interval > _INTERVAL_WARN:
        say = fail if stop.group_interval > _INTERVAL_FAIL else warn
        yield say(
            "alertmanager/group-interval", at("group_interval"), f"group_interval is {said(stop.group_interval)}: so "
            "long waits an alert that joins a group, and one whose webhook was refused",
            f"{said(_INTERVAL_WARN)} at most",
            "group_interval: 5s",
        )  # fmt: skip
    if stop.repeat_interval > _REPEAT:
        yield warn(
            "alertmanager/repeat-interval", at("repeat_interval"), f"repeat_interval is {said(stop.repeat_interval)}: "
            "what was lost after it was accepted is said again only then",
            f"{said(_REPEAT)} at most", "repeat_interval: 1m",
        )  # fmt: skip
    if stop.muted:
        yield warn(
            "alertmanager/muted", at("receiver"), f"{name} is muted at some hours", "a brake that works at all hours",
            "leave mute_time_intervals and active_time_intervals out of this route",
        )  # fmt: skip
    if not stop.apart and not tells_apart(stop, rules, name):
        yield warn(
            "alertmanager/group-by", at("group_by"), f"alerts are grouped by {', '.join(stop.group_by) or 'nothing'}: "
            f"of one canary waits up to {said(stop.group_interval)} because another fires", "one group for each canary "
            "and alert", "group_by: [namespace, workload, version, alertname]",
        )  # fmt: skip


def tells_apart(stop: Stop, rules: Rules, name: str) -> bool:
    """Whether two canaries' alerts are never in one group."""
    rule = next((one for one in rules.alerts if one.name == name), None)
    named = [one for one in stop.group_by if one not in {"alertname", "severity", "namespace", "cluster"}]
    return any(rule.fills(one) for one in named) if rule is not None else bool(named)


def _receiver(document: Document, receiver: str, known: Known) -> Iterator[Finding]:
    for index, body in _receivers(document, receiver):
        for position, hook in _webhooks(body):
            path = ("receivers", index, "webhook_configs", position)
            if hook.get("max_alerts"):
                yield fail(
                    "alertmanager/max-alerts", document.at(*path, "max_alerts"), f"max_alerts is {hook['max_alerts']}: "
                    "what is cut off may be the alert that fires", "no limit", "max_alerts: 0",
                )  # fmt: skip
            if hook.get("send_resolved") is False:
                yield warn(
                    "alertmanager/send-resolved", document.at(*path, "send_resolved"), "resolved alerts are not sent: "
                    "the gate that a warning has closed stays closed", "send_resolved: true", "send_resolved: true",
                )  # fmt: skip
            yield from _door(document.at(*path), hook, known)


def _door(where: str, hook: Mapping[str, Any], known: Known) -> Iterator[Finding]:
    given = hook.get("http_config")
    config = given if isinstance(given, Mapping) else {}
    brought = {"authorization", "basic_auth", "bearer_token", "bearer_token_file", "oauth2"} & set(config)
    tls = config.get("tls_config")
    in_url = bool(urllib.parse.urlsplit(str(hook.get("url") or "")).password) or hook.get("url") == _SECRET
    if not (brought or in_url or known.anonymous_alertmanager or (isinstance(tls, Mapping) and tls.get("cert_file"))):
        yield fail(
            "alertmanager/no-credentials", where, "the webhook brings no credentials: it is answered 401, which "
            "Alertmanager does not retry", "a bearer token, a password or a certificate",
            "http_config: {authorization: {type: Bearer, credentials_file: …}}",
        )  # fmt: skip
    timeout = seconds(hook.get("timeout"), 0.0)
    if 0 < timeout < known.answer_within:
        yield warn(
            "alertmanager/timeout", where, f"Alertmanager gives up after {said(timeout)}, Pullback answers within "
            f"{said(known.answer_within)}", "more than web.answer_within", "timeout: 10s",
        )  # fmt: skip


def _watchdog(document: Document, known: Known) -> Iterator[Finding]:
    if not known.watchdog:
        return
    reached = routing.stops(document.data, {"alertname": known.watchdog, "severity": "none"})
    mine = [one for one in reached if is_ours(document, one.receiver)]
    if not mine:
        yield warn(
            "alertmanager/no-watchdog", document.at("route"), f"{known.watchdog} does not reach Pullback: when this "
            "road breaks, nobody hears of it", "the always-firing alert routed to Pullback",
            f"a route with matchers ['alertname=\"{known.watchdog}\"'] and repeat_interval: 1m",
        )  # fmt: skip
        return
    slowest = min(one.repeat_interval + one.group_interval for one in mine)
    if slowest > known.watchdog_late:
        yield warn(
            "alertmanager/watchdog-late", document.at(*mine[0].path, "repeat_interval"), f"{known.watchdog} comes "
            f"every {said(slowest)}, and is late after {said(known.watchdog_late)}", "several times within that",
            "repeat_interval: 1m",
        )  # fmt: skip


def _receivers(document: Document, name: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    listed = document.data.get("receivers")
    for index, one in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(one, Mapping) and one.get("name") == name:
            yield index, one


def _webhooks(receiver: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    listed = receiver.get("webhook_configs")
    for index, one in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(one, Mapping):
            yield index, one
