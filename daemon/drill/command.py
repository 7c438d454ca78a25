"""``pullback drill``: exit 0 when every clock was met, 1 when a link is broken, which it names."""

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable
from typing import TypeAlias

from daemon import settings
from daemon.drill import report
from daemon.drill.chain import Course
from daemon.drill.running import Wish, drill
from daemon.model import errors

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - it has no public name


def add(
    commands: Commands,
    reaching: Callable[[argparse.ArgumentParser], None],
    loaded: Callable[[argparse.Namespace], settings.Settings],
) -> None:
    """``reaching`` adds the arguments by which a cluster is reached, ``loaded`` reads the settings they ask for."""
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
        "--timeout", type=_duration, default=120.0, metavar="DURATION",
        help="from the alert to the proof (default 120s, the promise)",
    )  # fmt: skip
    parser.add_argument("--keep", action="store_true", help="leave the drill's canary; the next drill removes it")
    reaching(parser)
    parser.set_defaults(run=lambda options: run(options, loaded(options)))


def run(options: argparse.Namespace, loaded: settings.Settings) -> int:
    urls = tuple(options.alertmanager_url) or loaded.pull.alertmanager_urls
    if not urls or not all(url.startswith(("http://", "https://")) for url in urls):
        raise errors.ConfigurationError(
            "where is Alertmanager? Expected --alertmanager-url http://HOST:PORT, or pull.alertmanager_urls in the "
            "configuration"
        )
    wish = Wish(options.namespace, options.shadow, urls, options.timeout, options.keep)
    course = asyncio.run(_stoppable(loaded, wish))
    sys.stdout.write(report.text(course, options.output))
    return 0 if course.passed else 1


async def _stoppable(loaded: settings.Settings, wish: Wish) -> Course:
    """SIGTERM, with which a Job is ended, cleans up just as Ctrl-C does."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - we run in one
    stopped = False

    def stop() -> None:
        nonlocal stopped
        stopped = True
        task.cancel()

    # Not every loop can, and only the main thread may.
    with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
    try:
        return await drill(loaded, wish)
    except asyncio.CancelledError:
        if stopped:
            raise errors.PullbackError("the drill was stopped; what it had made is removed") from None
        raise


def _duration(text: str) -> float:
    try:
        given = float(settings.seconds(text))
    except (ValueError, OverflowError):
        given = 0.0
    if not 0 < given <= 3600:
        raise argparse.ArgumentTypeError(f"expected a duration such as 60s or 2m, an hour at most, got {text!r}")
    return given
