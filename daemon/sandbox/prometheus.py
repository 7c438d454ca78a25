"""A real Prometheus for the demo, with the shipped rules, on what Envoy itself counts.

Envoy's counters are renamed on the way in to Istio's standard metrics, so that the rules a user installs
are the rules the demo runs, from the same file. One thing is changed, in one place: a demo cannot wait for
15 s scrapes, so every duration in the rules (ranges, offsets, `for`, group intervals) is shortened by the
same factor as the scrape interval.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from daemon.sandbox.packages import AlertingBinaries
from daemon.sandbox.processes import ChildProcess, Children, free_port, wait_until_ready

SHIPPED_SCRAPE_SECONDS = 15
MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
DURATION = re.compile(r"(\d+)(ms|s|m|h|d)")
# A duration stands in an expression only within [...] and after `offset`.
IN_EXPRESSION = re.compile(r"(?<=\[)(?:\d+(?:ms|[smhd]))+(?=\])|(?<=\boffset )(?:\d+(?:ms|[smhd]))+")
PATTERN_CHARACTERS = re.compile(r"[*?\[\\]")
STATISTICS = r"^cluster\..*\.upstream_rq_(time|\d+)$"
RENAMED = {
    "envoy_cluster_upstream_rq": "istio_requests_total",
    "envoy_cluster_upstream_rq_time_bucket": "istio_request_duration_milliseconds_bucket",
}


@dataclass(frozen=True, slots=True)
class Workload:
    """Who is behind one of Envoy's clusters, in the words of Istio's metrics."""

    cluster: str
    namespace: str
    workload: str
    service: str
    version: str


def shortened(rules: Mapping[str, Any], scrape_seconds: float) -> dict[str, Any]:
    """The rules for targets scraped every `scrape_seconds` instead of 15 s; nothing but durations differs."""
    factor = Fraction(scrape_seconds) / SHIPPED_SCRAPE_SECONDS
    return {**rules, "groups": [_shortened_group(group, factor) for group in rules["groups"]]}


def _shortened_group(group: Mapping[str, Any], factor: Fraction) -> dict[str, Any]:
    rules = []
    for rule in group["rules"]:
        changed = dict(rule)
        changed["expr"] = IN_EXPRESSION.sub(lambda found: _shorter(found[0], factor), rule["expr"])
        if "for" in rule:
            changed["for"] = _shorter(rule["for"], factor)
        rules.append(changed)
    interval = {"interval": _shorter(group["interval"], factor)} if "interval" in group else {}
    return {**group, **interval, "rules": rules}


def _shorter(duration: str, factor: Fraction) -> str:
    whole = sum(int(number) * MILLISECONDS[unit] for number, unit in DURATION.findall(duration))
    return f"{round(whole * factor)}ms"


def _relabelling(workloads: Iterable[Workload]) -> list[dict[str, Any]]:
    """Envoy's names into Istio's; a cluster that is nobody's workload keeps its numbers but gets no name."""
    steps: list[dict[str, Any]] = [
        {"source_labels": ["__name__"], "regex": "|".join(RENAMED), "action": "keep"},
        *(
            {"source_labels": ["__name__"], "regex": old, "target_label": "__name__", "replacement": new}
            for old, new in RENAMED.items()
        ),
        {"target_label": "reporter", "replacement": "destination"},
        {"source_labels": ["envoy_response_code"], "target_label": "response_code"},
    ]
    for each in workloads:
        labels = {
            "destination_workload": each.workload,
            "destination_workload_namespace": each.namespace,
            "destination_service_name": each.service,
            "destination_version": each.version,
        }
        steps += [
            {
                "source_labels": ["envoy_cluster_name"],
                "regex": re.escape(each.cluster.replace(".", "_")).replace("\\-", "-"),
                "target_label": label,
                "replacement": value,
            }
            for label, value in labels.items()
        ]
    return [*steps, {"regex": "envoy_.*", "action": "labeldrop"}]


def prometheus_config(
    *,
    envoy_admin: str,
    workloads: Iterable[Workload],
    rule_files: Iterable[Path],
    alertmanager: str,
    scrape_seconds: float,
) -> dict[str, Any]:
    """`envoy_admin` and `alertmanager` are HOST:PORT."""
    interval = f"{round(scrape_seconds * 1000)}ms"
    scrape = {
        "job_name": "envoy",
        "metrics_path": "/stats/prometheus",
        "params": {"usedonly": [""], "filter": [STATISTICS]},
        "static_configs": [{"targets": [envoy_admin]}],
        "metric_relabel_configs": _relabelling(workloads),
    }
    return {
        "global": {
            "scrape_interval": interval,
            "scrape_timeout": interval,
            "evaluation_interval": interval,
        },
        # Prometheus takes them for patterns, and a pattern that matches no file for no problem.
        "rule_files": [PATTERN_CHARACTERS.sub(r"\\\g<0>", str(path)) for path in rule_files],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
        "scrape_configs": [scrape],
    }


def write_rules(shipped: Sequence[Path], folder: Path, scrape_seconds: float) -> list[Path]:
    """The shipped rule files, shortened, under the same names in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for path in shipped:
        rules = shortened(yaml.safe_load(path.read_text("utf-8")), scrape_seconds)
        written.append(folder / path.name)
        written[-1].write_text(yaml.safe_dump(rules, sort_keys=False), "utf-8")
    return written


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running Prometheus."""

    child: ChildProcess
    url: str


async def start_prometheus(
    children: Children,
    session: aiohttp.ClientSession,
    binaries: AlertingBinaries,
    *,
    folder: Path,
    envoy_admin: str,
    workloads: Iterable[Workload],
    shipped_rules: Sequence[Path],
    alertmanager: str,
    scrape_seconds: float = 1.0,
) -> Prometheus:
    """Start Prometheus on a free port and wait until it answers."""
    address = f"127.0.0.1:{free_port()}"
    config = prometheus_config(
        envoy_admin=envoy_admin,
        workloads=workloads,
        rule_files=write_rules(shipped_rules, folder / "rules", scrape_seconds),
        alertmanager=alertmanager,
        scrape_seconds=scrape_seconds,
    )
    path = folder / "prometheus.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False), "utf-8")
    argv: list[str | Path] = [
        binaries.prometheus,
        f"--config.file={path}",
        f"--storage.tsdb.path={folder / 'prometheus-data'}",
        "--storage.tsdb.retention.time=1h",
        f"--web.listen-address={address}",
        # What fires before Alertmanager has been discovered is lost until sent again; the default is a minute.
        "--rules.alert.resend-delay=2s",
    ]
    child = await children.start("prometheus", argv)
    await wait_until_ready(child, f"http://{address}/-/ready", session)
    return Prometheus(child, f"http://{address}")
