"""What every check is given besides its options."""

import dataclasses
import re
from collections.abc import Callable, Mapping

import aiohttp

from daemon import ports
from daemon.adapters.evidence import DEFAULT_PATTERNS, compiled
from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.model.canary import CanaryRef


@dataclasses.dataclass(frozen=True, slots=True)
class Surroundings:
    """Shared by all checks and closed by whoever made it."""

    session: aiohttp.ClientSession
    client: KubernetesClient
    clock: ports.Clock
    prometheus_url: str
    """Where PromQL is asked unless a check says otherwise; empty: nowhere."""
    firing: ports.FiringAlerts | None
    """None where no Alertmanager is configured."""
    correlate: Callable[[Mapping[str, str]], CanaryRef | None]
    """Which canary an alert with these labels speaks of, if exactly one."""
    redact: tuple[re.Pattern[str], ...] = dataclasses.field(default_factory=lambda: compiled(DEFAULT_PATTERNS))
    """What counts as a secret in the words of a canary, a Job or a server."""
