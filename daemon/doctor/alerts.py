"""Alert rules out of rule files and PrometheusRule objects, with what their expressions say."""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from daemon.doctor import durations, promql, promql_labels
from daemon.doctor.documents import Document, Path
from daemon.doctor.promql_labels import Labels
from daemon.doctor.promql_nodes import Expression

_REFERENCE = re.compile(r"\$labels\.([a-zA-Z_][a-zA-Z0-9_]*)")


@dataclasses.dataclass(frozen=True, slots=True)
class AlertingRule:
    """``expression`` is None where it could not be read; ``problem`` says why."""

    document: Document
    path: Path
    name: str
    expression: Expression | None
    problem: str
    interval: float | None
    """Of its group; None where Prometheus's own counts."""
    hold: float
    """``for``, in seconds."""
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    carried: Labels
    """Labels of the expression's result."""

    def at(self, *field: str | int) -> str:
        return self.document.at(*self.path, *field)

    @property
    def group(self) -> str:
        return _group(self.document, self.path)

    @property
    def fixed(self) -> dict[str, str]:
        """Labels whose values stand in the rule itself, the name included."""
        plain = {name: text for name, text in self.labels.items() if "{{" not in text}
        return {**plain, "alertname": self.name}

    def label(self, name: str) -> bool:
        """Whether the alert has this label with a value in it."""
        text = self.labels.get(name)
        if text is None:
            return self.carried.has(name)
        references = _REFERENCE.findall(text)
        return any(map(self.carried.has, references)) if references else bool(text)

    def fills(self, name: str) -> bool:
        """Whether its value can tell one canary from another: it comes out of the expression."""
        text = self.labels.get(name)
        return self.label(name) and (text is None or "{{" in text)


@dataclasses.dataclass(frozen=True, slots=True)
class Rules:
    alerts: tuple[AlertingRule, ...]
    recordings: Mapping[str, Expression]
    homes: Mapping[str, tuple[str, float | None]] = dataclasses.field(default_factory=dict)
    """Of recorded series: their group, and its interval where it has its own."""


def gather(documents: Sequence[Document]) -> Rules:
    """Every alerting rule, after all recording rules are known."""
    raw = [one for document in documents for one in _raw(document)]
    recordings: dict[str, Expression] = {}
    recorded: dict[str, Labels] = {}
    homes: dict[str, tuple[str, float | None]] = {}
    for document, path, interval, body in raw:
        if "record" not in body:
            continue
        expression, _ = _read(body.get("expr"))
        if expression is not None:
            name = str(body["record"])
            carried = promql_labels.of(expression, recorded).add(_texts(body.get("labels")))
            known = recorded.get(name)
            # One name may be recorded by several rules, as a union.
            recorded[name] = carried if known is None else known.both(carried)
            recordings.setdefault(name, expression)
            homes.setdefault(name, (_group(document, path), interval))
    found = [_alert(*one, recorded) for one in raw if "alert" in one[3]]
    return Rules(tuple(found), recordings, homes)


def _group(document: Document, path: Path) -> str:
    return document.at(*path[:-2])


def _raw(document: Document) -> Iterator[tuple[Document, Path, float | None, Mapping[str, Any]]]:
    if not isinstance(document.data, Mapping):
        return
    spec = document.data.get("spec")
    prefix: Path = ("spec",) if document.kind == "PrometheusRule" else ()
    holder = spec if prefix else document.data
    groups = holder.get("groups") if isinstance(holder, Mapping) else None
    for index, group in enumerate(groups if isinstance(groups, list) else ()):
        if not isinstance(group, Mapping):
            continue
        interval = durations.seconds(group["interval"], 60.0) if group.get("interval") else None
        listed = group.get("rules")
        for position, rule in enumerate(listed if isinstance(listed, list) else ()):
            if isinstance(rule, Mapping):
                yield document, (*prefix, "groups", index, "rules", position), interval, rule


def _alert(
    document: Document,
    path: Path,
    interval: float | None,
    body: Mapping[str, Any],
    recorded: Mapping[str, Labels],
) -> AlertingRule:
    expression, problem = _read(body.get("expr"))
    return AlertingRule(
        document=document,
        path=path,
        name=str(body["alert"]),
        expression=expression,
        problem=problem,
        interval=interval,
        hold=durations.seconds(body.get("for"), 0.0),
        labels=_texts(body.get("labels")),
        annotations=_texts(body.get("annotations")),
        carried=promql_labels.ALL if expression is None else promql_labels.of(expression, recorded),
    )


def _read(text: Any) -> tuple[Expression | None, str]:
    try:
        return promql.parse(str(text)), ""
    except promql.NotReadError as error:
        return None, str(error)


def _texts(given: Any) -> dict[str, str]:
    return {str(name): str(value) for name, value in given.items()} if isinstance(given, Mapping) else {}
