"""The only room that knows every other: builds the daemon from its settings and runs it."""

from daemon.bootstrap.doors import door, tls_context
from daemon.bootstrap.seeing import Sight, Surroundings, open_eyes, receivers
from daemon.bootstrap.serving import run, started, version

__all__ = [
    "Sight",
    "Surroundings",
    "door",
    "open_eyes",
    "receivers",
    "run",
    "started",
    "tls_context",
    "version",
]
