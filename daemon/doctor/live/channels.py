"""Those whom Pullback tells: their options, their secrets, and whether their hosts can be reached. Nothing is sent."""

import asyncio
import contextlib
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from daemon.adapters import kinds, notify
from daemon.doctor.findings import Finding, fail, fine
from daemon.model import errors
from daemon.settings import Settings

_PATIENCE = 5.0


async def examine(settings: Settings) -> list[Finding]:
    found = await asyncio.gather(*(_channel(name, given) for name, given in settings.notices.channels.items()))
    return list(found)


async def _channel(name: str, given: Mapping[str, Any]) -> Finding:
    where = f"{notify.WHERE}.{name}"
    try:
        ((_, options),) = kinds.read({name: given}, notify.discover(), notify.WHERE).values()
    except errors.ConfigurationError as error:
        return fail("channels/unusable", where, str(error), "options that can be used, and secrets that can be read "
                    "here", "mend the field that is named; secrets are files of the daemon's pod")  # fmt: skip
    url = str(getattr(options, "url", "") or getattr(options, "api_url", ""))
    if not url:
        return fine("channels/not-asked", where, f"{given.get('kind')}: tells through the cluster itself")
    return await _reach(where, url)


async def _reach(where: str, url: str) -> Finding:
    parts = urllib.parse.urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    proxies = urllib.request.getproxies()
    if parts.scheme in proxies and not urllib.request.proxy_bypass(host):
        return fine(
            "channels/not-asked", where, f"{host} is reached through a proxy; not asked: it would send something"
        )
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), _PATIENCE)
    except (OSError, TimeoutError) as error:
        said = str(error) or "no answer in time"
        return fail("channels/unreachable", where, f"{host}:{port} cannot be reached from here: {said}",
                    "a connection", "look at the NetworkPolicy, the firewall and the name")  # fmt: skip
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):  # it was there, which is all that was asked
        await asyncio.wait_for(writer.wait_closed(), 1)
    return fine(
        "channels/reached", where, f"{host}:{port} takes connections; not asked further: it would send something"
    )
