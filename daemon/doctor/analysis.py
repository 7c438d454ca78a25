"""A Canary's own analysis: how long it takes to fail, where its weights stop, what its metrics measure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from daemon.doctor import hooks, promql, promql_reading
from daemon.doctor.canaries import Canary
from daemon.doctor.documents import Document
from daemon.doctor.durations import said
from daemon.doctor.findings import Finding, fail, fine, warn
from daemon.doctor.known import ZERO_WITHIN, Known
from daemon.doctor.promql_nodes import Selector

_TEMPLATE = re.compile(r"\{\{[^}]*\}\}")
_INTERVAL = re.compile(r"\{\{-?\s*interval\s*-?\}\}")
_TARGET = re.compile(r"\{\{-?\s*(target|ingress)\s*-?\}\}|canary")
_PODS = frozenset({"pod", "pod_name", "kubernetes_pod_name", "exported_pod", "destination_app", "workload_name"})


def examine(canary: Canary, known: Known, templates: Mapping[tuple[str, str], str]) -> list[Finding]:
    """``templates`` are the queries of the MetricTemplates there are, by namespace and name."""
    if canary.fragment:
        return []
    found = [*_patience(canary), *_steps(canary, known)]
    for index, metric in enumerate(canary.metrics):
        found += _metric(canary, index, metric, known, templates)
    return found or [fine("canary/analysis", canary.at(), "steps, patience and metrics fit")]


def templates(documents: Sequence[Document]) -> dict[tuple[str, str], str]:
    return {
        (one.namespace, one.name): str((one.data.get("spec") or {}).get("query") or "")
        for one in documents if one.kind == "MetricTemplate"
    }  # fmt: skip


def threshold(canary: Canary) -> int:
    given = canary.analysis.get("threshold")
    return given if isinstance(given, int) else 1


def _patience(canary: Canary) -> Iterator[Finding]:
    if canary.interval is None or not canary.metrics:
        return
    # N failed checks are counted, and the tick after the last of them rolls back.
    most = canary.interval * (threshold(canary) + 1)
    text = (f"{threshold(canary)} failed checks, one every {said(canary.interval)}: Flagger's own metrics need up to "
            f"{said(most)} to roll back")  # fmt: skip
    if most <= ZERO_WITHIN:
        return
    if hooks.asks_us(canary.hooks, "rollback"):
        yield fine("canary/patience", canary.at("threshold"), f"{text}; Pullback does it on the first alert")
        return
    yield fail(
        "canary/patience", canary.at("threshold"), f"{text}, and nothing else does", f"{said(ZERO_WITHIN)} at most",
        "let alerts roll back, through Pullback and its rollback hook; else interval: 15s, threshold: 3",
    )  # fmt: skip


def _steps(canary: Canary, known: Known) -> Iterator[Finding]:
    analysis = canary.analysis
    if not known.stages or not (analysis.get("stepWeights") or analysis.get("stepWeight")):
        return
    steps = climb(analysis)
    if steps == known.stages:
        return
    field = "stepWeights" if analysis.get("stepWeights") else "stepWeight"
    wanted = [int(one) for one in known.stages]
    yield warn(
        "canary/steps", canary.at(field), f"weights {', '.join(f'{one:g}' for one in steps)}",
        f"the stages of the configuration: {', '.join(map(str, wanted))}",
        f"stepWeights: {wanted}, maxWeight: {wanted[-1]}",
    )  # fmt: skip


def climb(analysis: Mapping[str, Any]) -> tuple[float, ...]:
    """The weights that Flagger goes through."""
    listed = analysis.get("stepWeights")
    if isinstance(listed, list) and listed:
        return tuple(float(one) for one in listed if isinstance(one, int))
    step, most = analysis.get("stepWeight"), analysis.get("maxWeight")
    if not isinstance(step, int) or step < 1:
        return ()
    top = most if isinstance(most, int) and 0 < most <= 100 else 100
    return tuple(float(one) for one in range(step, top + 1, step))


def _metric(
    canary: Canary, index: int, metric: Mapping[str, Any], known: Known, templates: Mapping[tuple[str, str], str]
) -> Iterator[Finding]:
    query = str(metric.get("query") or "")
    where = canary.at("metrics", index, "query")
    name = metric.get("name") or f"metrics[{index}]"
    if query:
        yield warn(
            "canary/inline-query", where, f"{name} has its query in the Canary, which Flagger calls deprecated",
            "a MetricTemplate and templateRef", "move the query into a MetricTemplate",
        )  # fmt: skip
    reference = metric.get("templateRef")
    if isinstance(reference, Mapping):
        namespace = str(reference.get("namespace") or canary.namespace)
        query = templates.get((namespace, str(reference.get("name"))), "")
        where = canary.at("metrics", index, "templateRef")
    if not query:
        return
    try:
        wide = whole_service(query, known)
    except promql.NotReadError as error:
        yield warn(
            "canary/query-not-read", where, f"{name}: {error}", "PromQL that can be judged", "try it in Prometheus"
        )
        return
    if wide:
        yield fail(
            "canary/whole-service", where, f"{name} measures {wide[0].metric} of the whole service: at a weight of 5% "
            "canary that fails 5% of its requests shows as 0.25%", "the canary alone: a matcher for its workload, "
            "version or pods", 'add a matcher such as destination_workload="{{ target }}" to every selector',
        )  # fmt: skip


def whole_service(query: str, known: Known) -> list[Selector]:
    """Selectors that tell no version from another. Raises NotReadError."""
    telling = {*known.labels.canary, *known.labels.workload, *known.labels.version, *_PODS}
    text = _TEMPLATE.sub(lambda one: one[0] if _TARGET.search(one[0]) else "template", _INTERVAL.sub("1m", query))
    expression = promql.parse(text)
    return [
        one for one in promql_reading.selectors(expression, {})
        if not any(
            matcher.operator in {"=", "=~"} and (matcher.label in telling or _TARGET.search(matcher.value))
            for matcher in one.matchers
        ) and not _TARGET.search(one.metric)
    ]  # fmt: skip
