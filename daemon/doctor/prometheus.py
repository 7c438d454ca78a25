"""Prometheus' own configuration: how often it looks, and whom it tells."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from daemon.doctor.documents import Document
from daemon.doctor.durations import said, seconds
from daemon.doctor.findings import Finding, fail, fine, warn

DEFAULT = 60.0
"""Seconds; Prometheus' own, for both intervals."""
_OFTEN = 15.0


def is_one(document: Document) -> bool:
    return isinstance(document.data, Mapping) and bool({"scrape_configs", "global"} & set(document.data)) and (
        "route" not in document.data
    )  # fmt: skip


def scrape(documents: Sequence[Document]) -> float | None:
    """Seconds between scrapes: the global interval, or the longest where every job has its own."""
    for document in documents:
        if is_one(document):
            usual = seconds(_global(document).get("scrape_interval"), DEFAULT)
            own = [seconds(job.get("scrape_interval"), usual) for job in _jobs(document)]
            return usual if usual in own or not own else max(own)
    return None


def evaluation(documents: Sequence[Document]) -> float | None:
    for document in documents:
        if is_one(document):
            return seconds(_global(document).get("evaluation_interval"), DEFAULT)
    return None


def examine(document: Document) -> list[Finding]:
    if not is_one(document):
        return []
    found = list(_problems(document))
    return found or [
        fine("prometheus/intervals", document.at("global"), "scrapes often enough, and has somebody to tell")
    ]


def _problems(document: Document) -> Iterator[Finding]:
    every = scrape([document]) or DEFAULT
    if every > _OFTEN:
        yield warn(
            "prometheus/scrape", document.at("global", "scrape_interval"), f"targets are scraped every {said(every)}",
            f"every {said(_OFTEN)} for canaries: windows must hold four scrapes", "scrape_interval: 15s for their job",
        )  # fmt: skip
    alerting = document.data.get("alerting")
    if not (isinstance(alerting, Mapping) and alerting.get("alertmanagers")):
        yield fail(
            "prometheus/tells-nobody", document.at("alerting"), "no Alertmanager is named: alerts go nowhere",
            "alerting.alertmanagers", "name every peer of Alertmanager, with no load balancer between",
        )  # fmt: skip


def _global(document: Document) -> Mapping[str, Any]:
    found = document.data.get("global")
    return found if isinstance(found, Mapping) else {}


def _jobs(document: Document) -> list[Mapping[str, Any]]:
    listed = document.data.get("scrape_configs")
    return [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
