"""GET, and nothing else: no redirect is followed, and every failure is words."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import aiohttp

from daemon.adapters import answers

_MOST = 16 * 1024 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """``problem`` says why there is none; ``status`` is 0 then."""

    status: int
    text: str = ""
    location: str = ""
    problem: str = ""

    def json(self) -> dict[str, Any]:
        """Empty for what is no JSON object."""
        try:
            found = json.loads(self.text)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


async def get(session: aiohttp.ClientSession, url: str, headers: Mapping[str, str] | None = None) -> Answer:
    try:
        async with session.get(url, headers=headers, allow_redirects=False) as response:
            raw, _ = await answers.body(response, _MOST)
            return Answer(response.status, raw.decode(errors="replace"), response.headers.get("Location", ""))
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        return Answer(0, problem=f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
