"""The only room that knows every other: builds the daemon from its settings and runs it."""

from daemon.bootstrap.doors import check_aftermath, door, tls_context
from daemon.bootstrap.gatekeeping import gates
from daemon.bootstrap.seeing import Sight, Surroundings, open_eyes, receivers
from daemon.bootstrap.serving import run, started, version

__all__ = [
    "Sight",
    "Surroundings",
    "check_aftermath",
    "door",
    "gates",
    "open_eyes",
    "receivers",
    "run",
    "started",
    "tls_context",
    "version",
]
