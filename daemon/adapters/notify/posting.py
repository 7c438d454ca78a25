"""One HTTP call to a service that listens, with its answer or failure in our words."""

import dataclasses
import datetime
import email.utils
import json
from collections.abc import Collection, Mapping
from typing import Any

import aiohttp
import yarl

from daemon import ports
from daemon.adapters.notify.surroundings import Surroundings
from daemon.model import errors

_BODY_READ = 64 * 1024
"""Bytes of an answer that are read: nobody answers a notice with more."""
_BODY_SHOWN = 300

PAUSE = 30.0
"""Seconds to wait when a 429 does not say how long."""
_SHORTEST, _LONGEST = 1.0, 3600.0

# RFC 9110 15.5.9 and RFC 8470: the same request may pass later, unlike after the other 4xx.
_AGAIN = frozenset({408, 425})


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What came back with a 2xx."""

    status: int
    body: bytes

    def field(self, *names: str) -> Any:
        """A value out of a JSON object; None when the answer has none, which is no error after a 2xx."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return None
        for name in names:
            value = value.get(name) if isinstance(value, dict) else None
        return value


class Wire:
    """HTTP calls to one service. Never retries, follows no redirect: a credential goes where it was configured to."""

    def __init__(self, name: str, surroundings: Surroundings, *, timeout: float) -> None:
        """``name`` stands in errors; ``timeout`` is seconds for a whole call."""
        self._name = name
        self._session = surroundings.session
        self._clock = surroundings.clock
        self._timeout = timeout

    async def post(
        self, url: yarl.URL, body: bytes, headers: Mapping[str, str], *, hidden: Collection[str] = ()
    ) -> Answer:
        """``hidden`` are texts that must not stand in an error: the service might repeat what we sent.

        Raises Unreachable, Throttled or Refused.
        """
        return await self._call("POST", url, body, {"Content-Type": "application/json", **headers}, hidden)

    async def get(self, url: yarl.URL, headers: Mapping[str, str], *, hidden: Collection[str] = ()) -> Answer:
        """Like ``post``, for asking."""
        return await self._call("GET", url, None, headers, hidden)

    async def _call(
        self, method: str, url: yarl.URL, body: bytes | None, headers: Mapping[str, str], hidden: Collection[str]
    ) -> Answer:
        what = f"{self._name} at {url.origin()}"
        timeout = aiohttp.ClientTimeout(total=self._timeout)
        try:
            async with self._session.request(
                method, url, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                raw = await _read(response)
                status, answered = response.status, response.headers
        except TimeoutError as error:
            raise errors.Unreachable(f"{what}: no answer within {self._timeout:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            said = hide(f"{type(error).__name__}: {error}", hidden)
            raise errors.Unreachable(f"{what}: {said}") from error
        if 200 <= status <= 299:
            return Answer(status, raw)
        said = hide(raw.decode(errors="replace"), hidden)
        raise refusal(f"{what}: HTTP {status}: {said.strip()[:_BODY_SHOWN]}", status, answered, self._clock)


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


async def _read(response: aiohttp.ClientResponse) -> bytes:
    raw = bytearray()
    async for chunk in response.content.iter_any():
        raw += chunk
        if len(raw) >= _BODY_READ:
            # The rest is not wanted: closing is cheaper than reading on for the sake of the connection.
            response.close()
            break
    return bytes(raw[:_BODY_READ])
