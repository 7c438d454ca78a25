"""``pullback doctor``: given files it examines those alone; given none, the cluster and its neighbours."""

import asyncio
import pathlib
import sys
from collections.abc import Sequence

from daemon import settings
from daemon.doctor import examining, findings, known, live, report


def run(
    loaded: settings.Settings, *, files: Sequence[pathlib.Path], budget: float, daemon_url: str | None, output: str
) -> int:
    """Exit code: 1 when anything failed. ``budget`` is seconds from the first bad request to 0%. Raises
    ConfigurationError for a file that cannot be read, NeighbourError when the cluster does not answer."""
    knows = known.of(loaded, budget)
    given = list(dict.fromkeys(files))
    result = examining.offline(given, knows) if given else asyncio.run(live.examine(loaded, knows, daemon_url))
    sys.stdout.write(report.text(result, output))
    return 1 if findings.failed(result.findings) else 0
