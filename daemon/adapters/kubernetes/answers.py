"""What an API server answers, in our words: errors of the connection, refusals, and the events of a watch."""

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any

import aiohttp

from daemon.model import errors

_BODY_SHOWN = 300

# A failed ``test``, or a path that is not there, is no validation error: the object is not the one we planned
# for. The API server says it with this one generic sentence (evanphx/json-patch's own words follow in some
# versions); a rejected *value* says `Kind "name" is invalid: …` instead.
_PATCH_DID_NOT_APPLY = re.compile(
    r"rejected our request due to an error in our request|testing (value|path)|jsonpatch|json patch", re.IGNORECASE
)


class ours:  # noqa: N801 - reads as a statement: ``with ours(what):``
    """Turns what the connection raises into our errors."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, TimeoutError | asyncio.TimeoutError):
            raise errors.Unreachable(f"{self._what}: no answer in time") from error
        if isinstance(error, aiohttp.ClientError | OSError):
            raise errors.Unreachable(f"{self._what}: {type(error).__name__}: {error}") from error
        if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
            raise errors.Unreachable(f"{self._what}: the answer is not JSON: {error}") from error


def read_event(line: bytes, what: str) -> dict[str, Any]:
    event = json.loads(line)
    if not isinstance(event, dict) or "type" not in event or not isinstance(event.get("object"), dict):
        raise errors.Unreachable(f"{what}: not a watch event: {line[:_BODY_SHOWN]!r}")
    if event["type"] == "ERROR":
        status = event["object"]
        raise refusal(int(status.get("code") or 500), {}, line, what)
    return event


def refusal(status: int, headers: Mapping[str, str], raw: bytes, what: str) -> errors.NeighbourError:
    reason, message = _status_object(raw)
    text = f"{what}: HTTP {status} {reason}: {message}"[: 2 * _BODY_SHOWN]
    match status:
        case 404:
            return errors.Missing(text)
        case 409 if reason == "AlreadyExists":
            return errors.AlreadyThere(text)
        case 409:
            return errors.Conflict(text)
        case 410:
            return errors.Gone(text)
        case 422 if _PATCH_DID_NOT_APPLY.search(message):
            return errors.Conflict(text)
        case 429:
            return errors.Throttled(text, _retry_after(headers))
        case 400 | 401 | 403 | 405 | 413 | 415 | 422:
            return errors.Refused(text)
        case _:
            return errors.Unreachable(text)


def _status_object(raw: bytes) -> tuple[str, str]:
    try:
        status = json.loads(raw)
    except ValueError:
        return "", raw[:_BODY_SHOWN].decode(errors="replace").strip()
    if not isinstance(status, dict):
        return "", ""
    if isinstance(status.get("object"), dict):
        status = status["object"]
    return str(status.get("reason") or ""), str(status.get("message") or "")


def _retry_after(headers: Mapping[str, str]) -> float:
    try:
        return max(0.0, float(headers.get("Retry-After", "1")))
    except ValueError:
        return 1.0
