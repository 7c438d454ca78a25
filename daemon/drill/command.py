"""``pullback drill``: exit 0 when every clock was met, 1 when a link is broken, which it names."""

import asyncio
import contextlib
import signal
import sys

from daemon import settings
from daemon.drill import report
from daemon.drill.chain import Course
from daemon.drill.running import Wish, drill
from daemon.model import errors


def run(
    loaded: settings.Settings,
    *,
    namespace: str,
    shadow: str,
    alertmanager_urls: tuple[str, ...],
    timeout: float,
    keep: bool,
    output: str,
) -> int:
    """Exit code. ``shadow`` names a real canary, or is empty; ``timeout`` is seconds from the alert to the proof.
    Raises ConfigurationError where no Alertmanager is named, PullbackError when it was stopped."""
    urls = alertmanager_urls or loaded.pull.alertmanager_urls
    if not urls or not all(url.startswith(("http://", "https://")) for url in urls):
        raise errors.ConfigurationError(
            "where is Alertmanager? Expected --alertmanager-url http://HOST:PORT, or pull.alertmanager_urls in the "
            "configuration"
        )
    course = asyncio.run(_stoppable(loaded, Wish(namespace, shadow, urls, timeout, keep)))
    sys.stdout.write(report.text(course, output))
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
