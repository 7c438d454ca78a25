"""What fires now, asked of Alertmanager's API v2: the way back to alerts whose webhook never came.

Silenced and inhibited alerts are left out, as they are from webhooks. The answer is turned into bodies of webhooks and
read by the same door, so that an alert is the same however it came.
"""

import asyncio
import base64
import json
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import aiohttp

from daemon.adapters import answers as http
from daemon.model import errors
from daemon.model.signal import AlertGroup

_AT_ONCE = 1_000
"""Alerts of one body, far fewer than the door takes. All are read: in the storm in which a webhook is lost, the alert
that matters may be the last of them."""

_PATH = "/api/v2/alerts"
_BODY_MOST = 16 * 1024 * 1024
"""Bytes of one peer's answer, 20 000 alerts and more: as Python values they take five times as much memory, for each
peer, and a pod that is killed for its memory is no brake."""


class AlertmanagerAlerts:
    """Keeps ``ports.FiringAlerts``. With several peers, what any of them knows counts."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        urls: Sequence[str],
        receiver: str,
        read: Callable[[bytes], AlertGroup],
        wanted: Callable[[Mapping[str, str]], bool],
        bearer_token_file: pathlib.Path | None,
        username: str,
        password_file: pathlib.Path | None,
        timeout: float,
    ) -> None:
        """``receiver`` is a regular expression, empty for all; ``wanted`` says of an alert's labels whether anybody
        cares; ``timeout`` is seconds per peer. ``read`` raises the NeighbourError family for what it cannot read."""
        self._session = session
        self._urls = [url.rstrip("/") + _PATH for url in urls]
        self._receiver = receiver
        self._read = read
        self._wanted = wanted
        self._bearer_token_file = bearer_token_file
        self._username = username
        self._password_file = password_file
        self._timeout = aiohttp.ClientTimeout(total=timeout)

    async def firing(self) -> AlertGroup:
        """Raises the NeighbourError of the last peer when none of them answered."""
        answers = await asyncio.gather(*(self._ask(url) for url in self._urls), return_exceptions=True)
        unexpected = [one for one in answers if isinstance(one, BaseException) and not _is_ours(one)]
        if unexpected:
            raise unexpected[0]
        told = {url: one for url, one in zip(self._urls, answers, strict=True) if not isinstance(one, BaseException)}
        if not told:
            raise next(one for one in answers if isinstance(one, errors.NeighbourError))
        # Beside the loop: megabytes of JSON take longer than a hook may wait.
        return await asyncio.to_thread(self._all_of, told)

    def _all_of(self, told: Mapping[str, list[Any]]) -> AlertGroup:
        groups = [self._read(json.dumps(body).encode()) for body in _as_webhooks(told, self._wanted)]
        alerts = tuple(alert for group in groups for alert in group.alerts)
        return AlertGroup(alerts=alerts, truncated=0, group_key="", receiver="")

    async def _ask(self, url: str) -> list[Any]:
        query = {"active": "true", "silenced": "false", "inhibited": "false", "unprocessed": "false"}
        if self._receiver:
            query["receiver"] = self._receiver
        headers = await asyncio.to_thread(self._credentials)
        try:
            async with self._session.get(url, params=query, headers=headers, timeout=self._timeout) as response:
                raw, cut_off = await http.body(response, _BODY_MOST)
                status = response.status
            if cut_off:
                raise errors.Refused(f"Alertmanager at {url}: more than {_BODY_MOST >> 20} MiB of alerts: narrow "
                                     "pull.receiver to the receivers that lead here")  # fmt: skip
            answer = await asyncio.to_thread(json.loads, raw) if status == 200 else None
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, RecursionError) as error:
            raise errors.Unreachable(f"Alertmanager at {url}: {type(error).__name__}: {error}") from error
        if status != 200:
            raise errors.Refused(f"Alertmanager at {url}: HTTP {status}: {raw[:200]!r}")
        if not isinstance(answer, list):
            raise errors.Refused(f"Alertmanager at {url}: expected a list of alerts, got {type(answer).__name__}")
        return answer

    def _credentials(self) -> dict[str, str]:
        return credentials(self._bearer_token_file, self._username, self._password_file)


def credentials(
    bearer_token_file: pathlib.Path | None, username: str, password_file: pathlib.Path | None
) -> dict[str, str]:
    """The headers that let us in. Read each time: secrets are rotated under our feet, and asking is rare."""
    try:
        if bearer_token_file is not None:
            return {"Authorization": f"Bearer {bearer_token_file.read_text(encoding='utf-8').strip()}"}
        if password_file is not None:
            password = password_file.read_text(encoding="utf-8").strip()
            pair = base64.b64encode(f"{username}:{password}".encode()).decode()
            return {"Authorization": f"Basic {pair}"}
    except (OSError, UnicodeDecodeError) as error:
        raise errors.Unreachable(f"credentials for Alertmanager: {error}") from error
    return {}


def _is_ours(error: BaseException) -> bool:
    return isinstance(error, errors.NeighbourError)


def _began(alert: Any) -> str:
    """As Alertmanager writes it, in UTC, so that it sorts as a text; last what is no alert."""
    return str(alert.get("startsAt")) if isinstance(alert, dict) else ""


def _as_webhooks(
    answers: Mapping[str, list[Any]], wanted: Callable[[Mapping[str, str]], bool]
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Payloads of version 4; peers tell of the same alerts, which count once, and nobody's count not at all."""
    alerts: dict[object, Any] = {}
    for position, alert in enumerate(alert for answer in answers.values() for alert in answer):
        if not isinstance(alert, dict) or not isinstance(alert.get("labels"), dict):
            alerts[position] = alert
        elif wanted({str(name): str(value) for name, value in alert["labels"].items()}):
            alerts[str(alert.get("fingerprint") or position), str(alert.get("startsAt"))] = {
                "status": "firing",
                "labels": alert["labels"],
                "annotations": alert.get("annotations") or {},
                "startsAt": alert.get("startsAt"),
                "generatorURL": alert.get("generatorURL") or "",
                "fingerprint": alert.get("fingerprint") or "",
            }
    head = {"version": "4", "externalURL": next(iter(answers)).removesuffix(_PATH)}
    # The youngest first: what began before a release says nothing about it.
    found = sorted(alerts.values(), key=_began, reverse=True)
    for first in range(0, len(found), _AT_ONCE):
        yield {**head, "alerts": found[first : first + _AT_ONCE]}
