"""Arguments in, exit code out. Each command imports what it needs: ``serve`` never loads the sandbox."""

import argparse
import asyncio
import datetime
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import TypeAlias

from daemon import bootstrap, settings
from daemon.cli import asking, looking
from daemon.model import errors
from daemon.model.canary import CanaryRef
from daemon.model.history import Filter
from daemon.model.rollback import RollbackPhase, Trigger

DONE, FAILED, USAGE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if not hasattr(options, "run"):
        parser.print_help(sys.stderr)
        return USAGE
    try:
        code: int = options.run(options)
    except errors.ConfigurationError as error:
        print(f"pullback: {error}", file=sys.stderr)
        return USAGE
    except errors.PullbackError as error:
        print(f"pullback: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read us (head, less) has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pullback", description="Pulls a canary's traffic back to 0% when an alert says it hurts users."
    )
    parser.add_argument("--version", action="version", version=f"pullback {bootstrap.version()}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _serve(commands)
    _demo(commands)
    _status(commands)
    _rollback(commands)
    _history(commands)
    _explain(commands)
    _plan(commands)
    _check_config(commands)
    return parser


Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # the type has no public name


def _configured(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=pathlib.Path, metavar="FILE", default=os.environ.get("PULLBACK_CONFIG") or None,
        help="configuration (YAML); default: $PULLBACK_CONFIG, else the built-in defaults",
    )  # fmt: skip


def _reaching(parser: argparse.ArgumentParser) -> None:
    _configured(parser)
    parser.add_argument("--kubeconfig", type=pathlib.Path, metavar="FILE", help="default: as kubectl finds it")
    parser.add_argument("--context", metavar="NAME", help="context of the kubeconfig")
    parser.add_argument("-o", "--output", choices=("table", "json", "yaml"), default="table", help="default: table")


def _loaded(options: argparse.Namespace) -> settings.Settings:
    loaded = settings.load(options.config)
    overrides = {name: getattr(options, name, None) for name in ("kubeconfig", "context")}
    given = {name: value for name, value in overrides.items() if value is not None}
    if not given:
        return loaded
    return loaded.model_copy(update={"kubernetes": loaded.kubernetes.model_copy(update=given)})


def _serve(commands: Commands) -> None:
    parser = commands.add_parser("serve", help="run the daemon")
    _configured(parser)

    def run(options: argparse.Namespace) -> int:
        return asyncio.run(bootstrap.run(_loaded(options)))

    parser.set_defaults(run=run)


def _demo(commands: Commands) -> None:
    parser = commands.add_parser("demo", help="the whole chain on this machine: Envoy, Prometheus, Alertmanager")
    parser.add_argument("--keep", action="store_true", help="leave everything running at the end, print the URLs")
    parser.add_argument(
        "--no-alerting", action="store_true", help="without Prometheus and Alertmanager: post the alert itself"
    )
    parser.add_argument(
        "--errors", type=float, default=0.2, metavar="SHARE", help="share of canary requests that fail (default 0.2)"
    )

    def run(options: argparse.Namespace) -> int:
        try:
            from daemon.sandbox import demo  # noqa: PLC0415 - an extra: the image has no sandbox
        except ModuleNotFoundError as error:
            print(f"pullback: the demo is an extra ({error}): pip install 'pullback[demo]'", file=sys.stderr)
            return FAILED
        if not 0 < options.errors <= 1:
            print("pullback: --errors: expected a share above 0, at most 1", file=sys.stderr)
            return USAGE
        code: int = demo.main(keep=options.keep, alerting=not options.no_alerting, error_share=options.errors)
        return code

    parser.set_defaults(run=run)


def _status(commands: Commands) -> None:
    parser = commands.add_parser("status", help="canaries with their weights, and rollbacks")
    _reaching(parser)
    parser.set_defaults(run=lambda options: looking.status(_loaded(options), options.output))


def _named(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="name of the canary")
    parser.add_argument("-n", "--namespace", default="default", help="default: default")
    _reaching(parser)


def _rollback(commands: Commands) -> None:
    parser = commands.add_parser("rollback", help="take a canary's traffic to 0%%, now")
    _named(parser)
    parser.add_argument("--reason", required=True, help="why; it goes into the record")
    parser.add_argument("--dry-run", action="store_true", help="only write down what would be done")
    parser.add_argument(
        "--wait", type=float, default=30.0, metavar="SECONDS", help="for 0%%; 0: do not wait (default 30)"
    )
    parser.set_defaults(
        run=lambda options: asking.rollback(
            _loaded(options),
            CanaryRef(options.namespace, options.name),
            reason=options.reason,
            dry_run=options.dry_run,
            wait=options.wait,
            output=options.output,
        )
    )


def _history(commands: Commands) -> None:
    parser = commands.add_parser("history", help="past rollbacks, newest first")
    parser.add_argument("name", metavar="NAME", nargs="?", help="name of the canary; default: all")
    parser.add_argument("-n", "--namespace", help="default: all")
    parser.add_argument("--since", type=_ago, metavar="AGO", help="received so long ago at most: 90m, 12h, 7d")
    parser.add_argument("--phase", choices=[one.value for one in RollbackPhase])
    parser.add_argument("--trigger", choices=[one.value for one in Trigger])
    parser.add_argument("--limit", type=_count, default=50, metavar="NUMBER", help="default: 50")
    _reaching(parser)

    def run(options: argparse.Namespace) -> int:
        wanted = Filter(
            namespace=options.namespace,
            canary=options.name,
            phase=RollbackPhase(options.phase) if options.phase else None,
            trigger=Trigger(options.trigger) if options.trigger else None,
            since=options.since,
            limit=options.limit,
        )
        return looking.history(_loaded(options), wanted, options.output)

    parser.set_defaults(run=run)


def _ago(text: str) -> datetime.datetime:
    try:
        seconds = settings.seconds(text)
        return bootstrap.Surroundings().clock.now() - datetime.timedelta(seconds=seconds)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"expected a duration such as 90m, 12h or 7d, got {text!r}") from None


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"expected a number from 1, got {text!r}")
    return int(text)


def _explain(commands: Commands) -> None:
    parser = commands.add_parser("explain", help="what a webhook would do, and why; changes nothing")
    parser.add_argument(
        "payload", type=pathlib.Path, metavar="PAYLOAD.json", help="the body of an Alertmanager webhook"
    )
    _reaching(parser)
    parser.set_defaults(run=lambda options: looking.explain(_loaded(options), options.payload, options.output))


def _plan(commands: Commands) -> None:
    parser = commands.add_parser("plan", help="the exact patches that would take a canary to 0%% now")
    _named(parser)
    parser.set_defaults(
        run=lambda options: looking.plan(_loaded(options), CanaryRef(options.namespace, options.name), options.output)
    )


def _check_config(commands: Commands) -> None:
    parser = commands.add_parser("check-config", help="whether a configuration can be used; names file and field")
    parser.add_argument("file", type=pathlib.Path, nargs="?", metavar="FILE", help="default: as serve finds it")
    _configured(parser)

    def run(options: argparse.Namespace) -> int:
        path = options.file or options.config
        loaded = settings.load(path)
        bootstrap.door("alertmanager", loaded.web.alertmanager)
        bootstrap.door("flagger", loaded.web.flagger)
        bootstrap.door("console", loaded.web.console, optional=True)
        bootstrap.tls_context(loaded.web.tls)
        bootstrap.check_aftermath(loaded)
        print(f"{path or 'built-in defaults'}: ok, {len(loaded.policy.rules)} alert rules")
        return DONE

    parser.set_defaults(run=run)
