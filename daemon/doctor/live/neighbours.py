"""Prometheus and Alertmanager, as the configuration names them: reached, let in, new enough, and what they run with."""

import base64
import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any

import aiohttp

from daemon.doctor import alertmanager, alerts, documents, routing
from daemon.doctor.documents import Document
from daemon.doctor.findings import Finding, fail, fine, warn
from daemon.doctor.hooks import shown
from daemon.doctor.known import Known
from daemon.doctor.live import asking
from daemon.model import errors
from daemon.settings import Settings

_OLDEST = {"Prometheus": (2, 42), "Alertmanager": (0, 25)}
_VERSION = re.compile(r"(\d+)\.(\d+)")


@dataclasses.dataclass(frozen=True, slots=True)
class Told:
    documents: tuple[Document, ...]
    findings: tuple[Finding, ...]


async def ask(settings: Settings, session: aiohttp.ClientSession, known: Known) -> Told:
    found: list[Finding] = []
    routes: list[Document] = []
    for url in settings.pull.alertmanager_urls:
        read, said = await _alertmanager(url.rstrip("/"), settings, session)
        found += said
        routes = routes or read  # peers have one configuration
    if not settings.pull.alertmanager_urls:
        found.append(
            fine("neighbours/not-asked", "pull.alertmanager_urls", "no Alertmanager is named: its route was not read")
        )
    rules: list[Document] = []
    urls = dict.fromkeys(filter(None, (settings.gates.prometheus_url, settings.proof.prometheus_url)))
    for url in urls:
        read, said = await _prometheus(url.rstrip("/"), session)
        found += said
        rules += read
    if not urls:
        found.append(
            fine("neighbours/not-asked", "proof.prometheus_url", "no Prometheus is named: its rules were not read")
        )
    return Told((*_about_canaries(rules, routes, known), *routes), tuple(found))


async def _alertmanager(
    url: str, settings: Settings, session: aiohttp.ClientSession
) -> tuple[list[Document], list[Finding]]:
    try:
        headers = credentials(settings)
    except (OSError, UnicodeDecodeError) as error:
        return [], [fail("neighbours/credentials", "pull", str(error), "a file that can be read here",
                         "secrets are files of the daemon's pod: run this there")]  # fmt: skip
    answer = await asking.get(session, f"{url}/api/v2/status", headers)
    said = answer.json()
    problems = _problems("Alertmanager", url, answer, _text(said, "versionInfo", "version"))
    return _parsed(f"{shown(url)}/api/v2/status", _text(said, "config", "original")), problems


async def _prometheus(url: str, session: aiohttp.ClientSession) -> tuple[list[Document], list[Finding]]:
    answer = await asking.get(session, f"{url}/api/v1/status/buildinfo")
    problems = _problems("Prometheus", url, answer, _text(answer.json(), "data", "version"))
    if answer.status != 200:
        return [], problems
    configured = await asking.get(session, f"{url}/api/v1/status/config")
    read = _parsed(f"{shown(url)}/api/v1/status/config", _text(configured.json(), "data", "yaml"))
    listed = await asking.get(session, f"{url}/api/v1/rules")
    if listed.status != 200:
        problems.append(warn("neighbours/no-rules", f"{shown(url)}/api/v1/rules",
                             listed.problem or f"HTTP {listed.status}",
                             "the rules that are loaded", "let this address answer /api/v1/rules"))  # fmt: skip
        return read, problems
    return [*read, Document(f"{shown(url)}/api/v1/rules", as_rule_file(listed.json()))], problems


def _problems(name: str, url: str, answer: asking.Answer, version: str) -> list[Finding]:
    where = shown(url)
    if answer.problem:
        return [fail("neighbours/unreachable", where, f"{name} cannot be reached from here: {answer.problem}",
                     "an answer",
                     "look at the name, the NetworkPolicy, and whether this runs in the cluster")]  # fmt: skip
    if answer.status in {401, 403}:
        return [fail("neighbours/credentials", where, f"{name} answers {answer.status}: it does not let us in",
                     "credentials that it takes", "pull.bearer_token_file or pull.password_file for Alertmanager; "
                     "Prometheus is asked without any")]  # fmt: skip
    if answer.status != 200:
        return [fail("neighbours/refused", where, f"{name} answers {answer.status}", "200",
                     "is this its address, with the path prefix if it has one?")]  # fmt: skip
    found = _VERSION.search(version)
    if found and (int(found[1]), int(found[2])) < _OLDEST[name]:
        least = ".".join(map(str, _OLDEST[name]))
        return [warn("neighbours/old", where, f"{name} {version}", f"{least} or newer", "upgrade it")]
    return [fine("neighbours/reached", where, f"{name} {version or 'of a version that it does not say'}")]


def as_rule_file(answer: Mapping[str, Any]) -> dict[str, Any]:
    """What Prometheus has loaded, in the form of a rule file."""
    data = answer.get("data")
    groups = data.get("groups") if isinstance(data, Mapping) else None
    return {"groups": [
        {"name": group.get("name"), "interval": group.get("interval"), "rules": list(_rules(group.get("rules") or ()))}
        for group in (groups if isinstance(groups, list) else ()) if isinstance(group, Mapping)
    ]}  # fmt: skip


def _rules(listed: Any) -> Iterator[dict[str, Any]]:
    for rule in listed:
        body = {"expr": rule.get("query"), "labels": rule.get("labels") or {}}
        if rule.get("type") == "recording":
            yield {"record": rule.get("name"), **body}
        else:
            yield {"alert": rule.get("name"), "for": rule.get("duration"),
                   "annotations": rule.get("annotations") or {}, **body}  # fmt: skip


def _about_canaries(read: list[Document], routes: list[Document], known: Known) -> Iterator[Document]:
    """A Prometheus watches more than canaries: of its alerts those that come to us, or speak of canaries."""
    for document in read:
        if "groups" not in document.data:
            yield document
            continue
        kept = {rule.path for rule in alerts.gather([document]).alerts if _concerns(rule, routes, known)}
        groups = [
            {**group, "rules": [rule for place, rule in enumerate(group["rules"])
                                if "record" in rule or ("groups", index, "rules", place) in kept]}
            for index, group in enumerate(document.data["groups"])
        ]  # fmt: skip
        yield Document(document.source, {"groups": groups})


def _concerns(rule: alerts.AlertingRule, routes: list[Document], known: Known) -> bool:
    if "canary" in rule.name.lower():
        return True
    labels = alertmanager.labels_of(rule, known)
    return any(alertmanager.is_ours(document, stop.receiver)
               for document in routes for stop in routing.stops(document.data, labels) if stop.certain)  # fmt: skip


def credentials(settings: Settings) -> dict[str, str]:
    """As the daemon brings them when it pulls."""
    pull = settings.pull
    if pull.bearer_token_file is not None:
        return {"Authorization": f"Bearer {pull.bearer_token_file.read_text(encoding='utf-8').strip()}"}
    if pull.password_file is not None:
        pair = f"{pull.username}:{pull.password_file.read_text(encoding='utf-8').strip()}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    return {}


def _parsed(source: str, text: str) -> list[Document]:
    try:
        return [one for one in documents.parse(source, text) if isinstance(one.data, Mapping)] if text else []
    except errors.ConfigurationError:
        return []


def _text(answer: Mapping[str, Any], *path: str) -> str:
    found: Any = answer
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, str) else ""
