"""A rollback in words for people: what, why, how far, how long, and what to do next. Plain text, nobody's markup."""

import dataclasses
import datetime
import shlex
import string
import urllib.parse
from collections.abc import Iterable, Mapping

from daemon.model.canary import Canary
from daemon.model.decision import HANDS_OFF, Reason
from daemon.model.keeping import evidence_name
from daemon.model.notice import Fact, Link, Mood, Severity, Story
from daemon.model.rollback import Milestone, Rollback, RollbackPhase
from daemon.policy import telling

_VALUES = ("value", "current_value", "current")
_THRESHOLDS = ("threshold", "limit")
_RUNBOOKS = ("runbook_url", "runbook")
_DASHBOARDS = ("dashboard_url", "dashboard")
_URL_MOST = 2000
_PATCHES_MOST = 6
"""Commands by hand: with them, what else to do is still within what a chat shows."""


@dataclasses.dataclass(frozen=True, slots=True)
class Style:
    """What the configuration says about all stories."""

    severity: Severity = Severity.P1
    """Of a rollback whose record does not say."""
    dashboard: str = ""
    """URL with ``$namespace``, ``$canary`` and ``$revision``; empty: only what the alert's annotations link."""


def story(record: Rollback, canary: Canary | None, break_glass: Iterable[str], undo: str, style: Style) -> Story:
    """The rollback as it stands. ``break_glass`` are the commands that would take its routes to 0 by hand now, ``undo``
    the one that takes the workload back to its last good version."""
    mood = mood_of(record)
    return Story(
        dedup_key=telling.dedup_key(record),
        namespace=record.namespace,
        canary=record.canary.name,
        revision=record.revision,
        record=record.name,
        canary_uid=canary.uid if canary else "",
        record_uid=record.uid,
        mood=mood,
        severity=record.severity or style.severity,
        title=_title(record, mood),
        summary=_summary(record),
        facts=tuple(Fact(name, value) for name, value in _facts(record) if value),
        links=_links(record, style),
        commands=tuple(_commands(record, break_glass, undo, mood)),
        began_at=record.started_at,
        dry_run=record.dry_run,
        drill=record.drill,
        canary_kind=canary.object_kind if canary else record.canary_kind,
    )


def mood_of(record: Rollback) -> Mood:
    """What a reader should feel first."""
    if record.phase is RollbackPhase.FAILED:
        return Mood.NEEDED if _ended_by(record, Reason.REVISION_PROMOTED) else Mood.OVER
    if record.finished:
        return Mood.OVER
    if record.phase is RollbackPhase.ESCALATED:
        return Mood.NEEDED
    return Mood.SAFE if record.timeline.zeroed_at else Mood.ACTING


def _ended_by(record: Rollback, *reasons: Reason) -> bool:
    """Conditions carry their reason as the API conventions want it: CamelCase."""
    said = {condition.reason.replace("-", "").lower() for condition in record.conditions
            if condition.type in {Milestone.COMPLETED, Milestone.ESCALATED}}  # fmt: skip
    return any(reason.replace("-", "") in said for reason in reasons)


def _title(record: Rollback, mood: Mood) -> str:
    drill = f"{telling.DRILL}: " if record.drill else ""
    if record.dry_run:
        return f"DRY RUN: {drill}{record.canary} would be rolled back"
    return drill + _state(record, mood)


def _state(record: Rollback, mood: Mood) -> str:
    name = str(record.canary)
    match record.phase, mood:
        case _, Mood.NEEDED:
            return f"Action needed: {name}"
        case RollbackPhase.COMPLETED, _:
            return f"{name} was rolled back"
        case RollbackPhase.FAILED, _:
            return f"Rollback of {name} ended without effect"
        case RollbackPhase.PROVED, _:
            return f"{name} is at 0%, proved"
        case RollbackPhase.ZEROED, _:
            return f"{name} is at 0%"
        case _:
            return f"Rolling back {name}"


def _summary(record: Rollback) -> str:
    signal = record.signal
    why = ""
    if signal is not None:
        why = signal.annotations.get("summary") or signal.annotations.get("description") or ""
    parts = [f"Revision {record.revision or '?'}: {record.reason}.", why, record.message]
    return " ".join(part if part.endswith((".", "!", "?")) else part + "." for part in parts if part)


def _facts(record: Rollback) -> Iterable[tuple[str, str]]:
    signal, timeline = record.signal, record.timeline
    annotations: Mapping[str, str] = signal.annotations if signal else {}
    yield "Alert", signal.labels.get("alertname", "") if signal else ""
    yield "Value", _first(annotations, _VALUES)
    yield "Threshold", _first(annotations, _THRESHOLDS)
    yield "Asked by", record.requested_by
    yield "Traffic before", ", ".join(f"{one.before:g}% on {one.route} {one.path}" for one in record.weights[:5])
    if signal is not None:
        yield "Firing → received", _took(signal.starts_at, record.started_at)
    yield "Received → 0%", _took(record.started_at, timeline.zeroed_at)
    yield "Received → proved", _took(record.started_at, timeline.proved_at)
    yield "Received → completed", _took(record.started_at, timeline.completed_at)
    yield "Proof", "; ".join(record.proof)
    if record.holds:
        yield "Raised again", f"{record.holds} times while held at 0, and undone each time"
    yield "Evidence", _evidence(record)
    if record.cleanup is not None:
        yield "Cleanup", f"{record.cleanup.state}: {record.cleanup.detail}"
    for one in record.follow_ups:
        yield str(one.kind), f"{one.state}: {one.detail}"


def _evidence(record: Rollback) -> str:
    kept = record.evidence
    if kept is None:
        return f"will be kept in ConfigMap {_evidence_in(record)}" if _evidence_in(record) else ""
    where = f"ConfigMap {kept.config_map}, {kept.pods} pods" if kept.config_map else "none"
    return f"{where} (missing: {'; '.join(kept.missing)})" if kept.missing else where


def _evidence_in(record: Rollback) -> str:
    """The ConfigMap that has it, or will have it: an incident is opened long before, and told nothing more. Empty when
    there is none, and none can be promised."""
    if record.evidence is not None:
        return record.evidence.config_map
    return "" if record.finished or record.dry_run else evidence_name(record.name)


def _first(words: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((words[name] for name in names if words.get(name)), "")


def _took(since: datetime.datetime, until: datetime.datetime | None) -> str:
    if until is None:
        return ""
    seconds = max(0.0, (until - since).total_seconds())
    return f"{seconds:.3f} s" if seconds < 10 else f"{seconds:.0f} s"


def _links(record: Rollback, style: Style) -> tuple[Link, ...]:
    signal = record.signal
    annotations: Mapping[str, str] = signal.annotations if signal else {}
    ours = string.Template(style.dashboard).safe_substitute(
        namespace=urllib.parse.quote(record.namespace, safe=""),
        canary=urllib.parse.quote(record.canary.name, safe=""),
        revision=urllib.parse.quote(record.revision, safe=""),
    )
    candidates = (
        ("Runbook", _first(annotations, _RUNBOOKS)),
        ("Dashboard", _first(annotations, _DASHBOARDS) or ours),
        ("Alert", signal.generator_url if signal else ""),
        ("Alertmanager", signal.external_url if signal else ""),
    )
    return tuple(Link(name, url) for name, url in candidates if is_link(url))


def is_link(url: str) -> bool:
    """Whether it can be shown as a link: http or https, with a host, and nothing in it that ends a line or a tag."""
    if not url or len(url) > _URL_MOST or any(sign.isspace() or ord(sign) < 33 or sign in "<>\"'|`" for sign in url):
        return False
    try:
        parts = urllib.parse.urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        return False


def _commands(record: Rollback, break_glass: Iterable[str], undo: str, mood: Mood) -> Iterable[str]:
    namespace = shlex.quote(record.namespace)
    if mood is Mood.NEEDED and _ended_by(record, *HANDS_OFF, Reason.REVISION_PROMOTED):
        # Where stable is gone the message says how to bring it back; the canary's pods are all there is.
        if undo and not _ended_by(record, Reason.STABLE_IS_GONE):
            yield undo
    elif mood is Mood.NEEDED:
        yield from _by_hand(record, break_glass)
    yield f"kubectl describe rollback {shlex.quote(record.name)} -n {namespace}"
    config_map = _evidence_in(record)
    if config_map:
        yield f"kubectl get configmap {shlex.quote(config_map)} -n {namespace} -o jsonpath='{{.data.summary\\.txt}}'"


def _by_hand(record: Rollback, break_glass: Iterable[str]) -> Iterable[str]:
    """And what prints all of them: a channel leaves out a patch that is longer than it takes."""
    given = tuple(break_glass)
    yield from given[:_PATCHES_MOST]
    if given:
        yield f"pullback plan {shlex.quote(record.canary.name)} -n {shlex.quote(record.namespace)}"
