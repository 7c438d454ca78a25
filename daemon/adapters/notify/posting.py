"""One HTTP call to a service that listens, with its answer or failure in our words."""

import dataclasses
import json
from collections.abc import Collection, Mapping
from typing import Any

import aiohttp
import yarl

from daemon.adapters import answers
from daemon.adapters.notify.surroundings import Surroundings
from daemon.model import errors

_BODY_READ = 64 * 1024
"""Bytes of an answer that are read: nobody answers a notice with more."""
_BODY_SHOWN = 300


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

    def __init__(self, name: str, surroundings: Surroundings, *, timeout: float, wrong_key: str = "") -> None:
        """``name`` stands in errors; ``timeout`` is seconds for a whole call; ``wrong_key`` are words (small letters)
        by which the service says that a credential is no good, whatever the status."""
        self._wrong_key = wrong_key
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
        what = f"{self._name} at {url.origin()}"
        timeout = aiohttp.ClientTimeout(total=self._timeout)
        try:
            async with self._session.post(
                url, data=body, headers={"Content-Type": "application/json", **headers}, timeout=timeout,
                allow_redirects=False,
            ) as response:  # fmt: skip
                raw, _ = await answers.body(response, _BODY_READ)
                status, headers_back = response.status, response.headers
        except TimeoutError as error:
            raise errors.Unreachable(f"{what}: no answer within {self._timeout:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            said = answers.hide(f"{type(error).__name__}: {error}", hidden)
            raise errors.Unreachable(f"{what}: {said}") from error
        if 200 <= status <= 299:
            return Answer(status, raw)
        said = answers.hide(raw.decode(errors="replace"), hidden)
        text = f"{what}: HTTP {status}: {said.strip()[:_BODY_SHOWN]}"
        if status in answers.MENDABLE or (self._wrong_key and self._wrong_key in said.lower()):
            raise answers.NotAllowedError(text)
        raise answers.refusal(text, status, headers_back, self._clock)
