"""``pullback doctor``: given files it examines those alone; given none, the cluster and its neighbours."""

import argparse
import asyncio
import pathlib
import sys
from collections.abc import Callable
from typing import TypeAlias

from daemon import settings
from daemon.doctor import examining, findings, known, live, report

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - it has no public name
_FILES = {
    "rules": "alert rules: Prometheus rule files, PrometheusRule",
    "alertmanager": "Alertmanager's configuration",
    "canary": "Flagger's Canary and MetricTemplate",
    "routes": "VirtualService, HTTPRoute",
    "prometheus": "Prometheus' configuration: scrape_interval, evaluation_interval",
    "runbook": "scripts that people roll back with",
}


def add(
    commands: Commands,
    reaching: Callable[[argparse.ArgumentParser], None],
    loaded: Callable[[argparse.Namespace], settings.Settings],
) -> None:
    """``reaching`` adds the arguments by which a cluster is reached, ``loaded`` reads the settings they ask for."""
    parser = commands.add_parser(
        "doctor", help="whether permissions, hooks, rules and routes let a rollback happen in time",
        description="Examines the files that are given (YAML with several documents, or Markdown with fences); without "
        "any, the cluster and the neighbours in the configuration. Exit 1 when anything failed.",
    )  # fmt: skip
    for name, what in _FILES.items():
        parser.add_argument(
            f"--{name}", type=pathlib.Path, nargs="+", action="extend", default=[], metavar="FILE", help=what
        )
    parser.add_argument("--daemon-url", metavar="URL", help="of a running Pullback: how old its watches are")
    parser.add_argument(
        "--budget", type=_duration, default=60.0, metavar="DURATION",
        help="that may pass from the first bad request to 0%%, at 5%% errors (default 60s)",
    )  # fmt: skip
    reaching(parser)
    parser.set_defaults(run=lambda options: run(options, loaded(options)))


def run(options: argparse.Namespace, loaded: settings.Settings) -> int:
    knows = known.of(loaded, options.budget)
    files = list(dict.fromkeys(path for name in _FILES for path in getattr(options, name)))
    result = examining.offline(files, knows) if files else asyncio.run(live.examine(loaded, knows, options.daemon_url))
    sys.stdout.write(report.text(result, options.output))
    return 1 if findings.failed(result.findings) else 0


def _duration(text: str) -> float:
    try:
        given = float(settings.seconds(text))
    except (ValueError, OverflowError):
        given = 0.0
    if not given > 0:
        raise argparse.ArgumentTypeError(f"expected a duration such as 60s or 2m, got {text!r}")
    return given
