"""``doctor`` and ``drill``: whether a rollback would happen in time, looked up and tried out."""

import argparse
import pathlib

from daemon.cli import arguments
from daemon.doctor import command as doctor
from daemon.drill import command as drill

_FILES = {
    "rules": "alert rules: Prometheus rule files, PrometheusRule",
    "alertmanager": "Alertmanager's configuration",
    "canary": "Flagger's Canary and MetricTemplate",
    "routes": "VirtualService, DestinationRule, HTTPRoute, GRPCRoute, Ingress, and the Deployments behind them",
    "prometheus": "Prometheus' configuration: scrape_interval, evaluation_interval",
    "runbook": "scripts that people roll back with",
}
_LONGEST = 3600.0
"""Seconds that a drill may take: it has a canary of its own in the cluster for as long."""


def doctor_arguments(commands: arguments.Commands) -> None:
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
        "--budget", type=arguments.duration, default=60.0, metavar="DURATION",
        help="that may pass from the first bad request to 0%%, at 5%% errors (default 60s)",
    )  # fmt: skip
    arguments.reaching(parser)
    parser.set_defaults(
        run=lambda options: doctor.run(
            arguments.loaded(options),
            files=[path for name in _FILES for path in getattr(options, name)],
            budget=options.budget,
            daemon_url=options.daemon_url,
            output=options.output,
        )
    )


def drill_arguments(commands: arguments.Commands) -> None:
    parser = commands.add_parser(
        "drill", help="a fire drill through the real chain, on a canary of its own",
        description="Makes a canary that gets nobody's traffic, posts an alert about it to Alertmanager, and follows "
        "it through webhook, daemon and route to the proof. Exit 1 names the link that is broken.",
    )  # fmt: skip
    parser.add_argument("-n", "--namespace", default="default", help="which Pullback watches (default: default)")
    parser.add_argument(
        "--shadow", default="", metavar="NAME", help="of a real canary under analysis: everything but the write"
    )
    parser.add_argument(
        "--alertmanager-url", action="append", default=[], metavar="URL", help="default: pull.alertmanager_urls"
    )
    parser.add_argument(
        "--timeout", type=_patience, default=120.0, metavar="DURATION",
        help="from the alert to the proof (default 120s, the promise)",
    )  # fmt: skip
    parser.add_argument("--keep", action="store_true", help="leave the drill's canary; the next drill removes it")
    arguments.reaching(parser)
    parser.set_defaults(
        run=lambda options: drill.run(
            arguments.loaded(options),
            namespace=options.namespace,
            shadow=options.shadow,
            alertmanager_urls=tuple(options.alertmanager_url),
            timeout=options.timeout,
            keep=options.keep,
            output=options.output,
        )
    )


def _patience(text: str) -> float:
    seconds = arguments.duration(text)
    if seconds > _LONGEST:
        raise argparse.ArgumentTypeError(f"expected an hour at most, got {text!r}")
    return seconds
