"""Answers of services over HTTP: read up to a bound, and what is no success said in our words."""

import datetime
import email.utils
from collections.abc import Collection, Mapping

import aiohttp

from daemon import ports
from daemon.model import errors

PAUSE = 30.0
"""Seconds to wait when a 429 does not say how long."""
_SHORTEST, _LONGEST = 1.0, 3600.0

# RFC 9110 15.5.9 and RFC 8470: the same request may pass later, unlike after the other 4xx.
_AGAIN = frozenset({408, 425})
MENDABLE = frozenset({401, 403, 404, 407})
"""What a person can mend without us: a key that is rotated, a right that is given, an address that comes into being."""


class NotAllowedError(errors.Unreachable):
    """Not allowed now; the same call passes once a person has allowed it."""


def refusal(text: str, status: int, headers: Mapping[str, str], clock: ports.Clock) -> errors.NeighbourError:
    """The error for a status that is no success."""
    if status == 429:
        return errors.Throttled(text, retry_after(headers, clock.now()))
    if 300 <= status <= 499 and status not in _AGAIN:
        return errors.Refused(text)
    return errors.Unreachable(text)


def retry_after(headers: Mapping[str, str], now: datetime.datetime) -> float:
    """Seconds from ``Retry-After`` (RFC 9110 10.2.3: seconds, or a date), between one second and an hour."""
    said = headers.get("Retry-After", "").strip()
    if said.isascii() and said.isdigit():
        return _bounded(float(said[:9]))
    try:
        moment = email.utils.parsedate_to_datetime(said)
    except ValueError:
        return PAUSE
    moment = moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
    return _bounded((moment - now).total_seconds())


def hide(text: str, hidden: Collection[str]) -> str:
    """The text without any of ``hidden``, the longest first, so that no part of one is left."""
    for one in sorted(filter(None, hidden), key=len, reverse=True):
        text = text.replace(one, "***")
    return text


def _bounded(seconds: float) -> float:
    return min(max(seconds, _SHORTEST), _LONGEST)


async def body(response: aiohttp.ClientResponse, most: int) -> tuple[bytes, bool]:
    """The first ``most`` bytes of what comes, and whether there was more."""
    raw = bytearray()
    async for chunk in response.content.iter_any():
        raw += chunk
        if len(raw) > most:
            # The rest is not wanted: closing is cheaper than reading on for the sake of the connection.
            response.close()
            return bytes(raw[:most]), True
    return bytes(raw), False
