"""One bounded HTTP call to a neighbour that is asked about a release: Prometheus, a registry, a forge."""

import dataclasses
import json
import ssl
from collections.abc import Collection, Mapping
from typing import Any

import aiohttp
import yarl

from daemon.adapters import answers
from daemon.model import errors

SHOWN = 200
"""Characters of an answer that stand in an error."""


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """Whatever came back; ``whole`` is False when there was more than was read."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool

    def json(self, what: str) -> Any:
        """Raises Unreachable for what is no JSON."""
        try:
            if self.whole:
                return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise errors.Unreachable(f"{what}: the answer is not JSON: {self.shown()}") from error
        raise errors.Unreachable(f"{what}: the answer is larger than {len(self.body)} bytes")

    def shown(self, hidden: Collection[str] = ()) -> str:
        """The beginning of the body, for an error."""
        return answers.hide(self.body.decode(errors="replace"), hidden).strip()[:SHOWN]


async def ask(
    session: aiohttp.ClientSession,
    method: str,
    url: yarl.URL,
    *,
    what: str,
    headers: Mapping[str, str] | None = None,
    data: Mapping[str, str] | None = None,
    most: int,
    redirects: int = 0,
    trusted: ssl.SSLContext | bool = True,
    hidden: Collection[str] = (),
) -> Answer:
    """Reads at most ``most`` bytes of whatever is answered. How long it may take is for the caller to bound.

    Raises Unreachable when nothing usable came back; ``hidden`` are texts that must not stand in an error.
    """
    try:
        async with session.request(
            method, url, headers=headers, data=data, ssl=trusted, timeout=aiohttp.ClientTimeout(total=None),
            allow_redirects=redirects > 0, max_redirects=max(1, redirects),
        ) as response:  # fmt: skip
            raw, more = await answers.body(response, most)
            return Answer(response.status, response.headers, raw, not more)
    except (aiohttp.ClientError, OSError) as error:
        said = answers.hide(f"{type(error).__name__}: {error}", hidden)
        raise errors.Unreachable(f"{what}: {said}") from error
