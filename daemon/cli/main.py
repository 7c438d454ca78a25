"""Arguments in, exit code out. Each command imports what it needs: ``serve`` never loads the sandbox."""

import argparse
import asyncio
import os
import pathlib
import sys
from collections.abc import Sequence

from daemon import bootstrap, settings
from daemon.cli import acting, approving, arguments, asking, looking, proving, recounting, releasing, surveying
from daemon.model import errors
from daemon.model.history import Filter
from daemon.model.rollback import RollbackPhase, Trigger

DONE, FAILED, USAGE = 0, 1, 2


def main(words: Sequence[str] | None = None) -> int:
    """Runs one command."""
    parser = _parser()
    options = parser.parse_args(words)
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
    surveying.status_arguments(commands)
    recounting.timeline_arguments(commands)
    acting.pause_arguments(commands)
    acting.resume_arguments(commands)
    acting.promote_arguments(commands)
    approving.approve_arguments(commands)
    _rollback(commands)
    releasing.release_arguments(commands)
    _history(commands)
    _explain(commands)
    _plan(commands)
    _check_config(commands)
    proving.doctor_arguments(commands)
    proving.drill_arguments(commands)
    return parser


def _serve(commands: arguments.Commands) -> None:
    parser = commands.add_parser("serve", help="run the daemon")
    arguments.configured(parser)

    def run(options: argparse.Namespace) -> int:
        return asyncio.run(bootstrap.run(arguments.loaded(options)))

    parser.set_defaults(run=run)


def _demo(commands: arguments.Commands) -> None:
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


def _rollback(commands: arguments.Commands) -> None:
    parser = commands.add_parser("rollback", help="take a canary's traffic to 0%%, now")
    arguments.named(parser)
    parser.add_argument("--reason", required=True, help="why; it goes into the record")
    parser.add_argument("--dry-run", action="store_true", help="only write down what would be done")
    parser.add_argument(
        "--wait", type=float, default=30.0, metavar="SECONDS", help="for 0%%; 0: do not wait (default 30)"
    )
    parser.set_defaults(
        run=lambda options: asking.rollback(
            arguments.loaded(options),
            arguments.canary(options),
            reason=options.reason,
            dry_run=options.dry_run,
            wait=options.wait,
            output=options.output,
        )
    )


def _history(commands: arguments.Commands) -> None:
    parser = commands.add_parser("history", help="past rollbacks, newest first")
    parser.add_argument("name", metavar="NAME", nargs="?", help="name of the canary; default: all")
    parser.add_argument("-n", "--namespace", help="default: all")
    parser.add_argument("--since", type=arguments.ago, metavar="AGO", help="received so long ago at most: 90m, 12h, 7d")
    parser.add_argument("--phase", choices=[one.value for one in RollbackPhase])
    parser.add_argument("--trigger", choices=[one.value for one in Trigger])
    parser.add_argument("--limit", type=arguments.count, default=50, metavar="NUMBER", help="default: 50")
    arguments.reaching(parser)

    def run(options: argparse.Namespace) -> int:
        wanted = Filter(
            namespace=options.namespace,
            canary=options.name,
            phase=RollbackPhase(options.phase) if options.phase else None,
            trigger=Trigger(options.trigger) if options.trigger else None,
            since=options.since,
            limit=options.limit,
        )
        return looking.history(arguments.loaded(options), wanted, options.output)

    parser.set_defaults(run=run)


def _explain(commands: arguments.Commands) -> None:
    parser = commands.add_parser("explain", help="what a webhook would do, and why; changes nothing")
    parser.add_argument(
        "payload", type=pathlib.Path, metavar="PAYLOAD.json", help="the body of an Alertmanager webhook"
    )
    arguments.reaching(parser)
    parser.set_defaults(run=lambda options: looking.explain(arguments.loaded(options), options.payload, options.output))


def _plan(commands: arguments.Commands) -> None:
    parser = commands.add_parser("plan", help="the exact patches that would take a canary to 0%% now")
    arguments.named(parser)
    parser.set_defaults(
        run=lambda options: looking.plan(arguments.loaded(options), arguments.canary(options), options.output)
    )


def _check_config(commands: arguments.Commands) -> None:
    parser = commands.add_parser("check-config", help="whether a configuration can be used; names file and field")
    parser.add_argument("file", type=pathlib.Path, nargs="?", metavar="FILE", help="default: as serve finds it")
    arguments.configured(parser)

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
