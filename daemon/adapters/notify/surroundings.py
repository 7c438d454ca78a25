"""What every channel is given besides its options."""

import dataclasses

import aiohttp

from daemon import ports
from daemon.adapters.kubernetes.client import KubernetesClient


@dataclasses.dataclass(frozen=True, slots=True)
class Surroundings:
    """Shared by all channels and closed by whoever made it.

    ``session`` decides about proxies (``trust_env``) for every channel that speaks HTTP, Slack's too.
    """

    session: aiohttp.ClientSession
    client: KubernetesClient
    clock: ports.Clock
