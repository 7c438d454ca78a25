"""An Alertmanager for a test: takes alerts over its API v2, and sends them on as a webhook, or to nobody."""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import json
from dataclasses import dataclass
from types import TracebackType

from aiohttp import web

from tests import builders
from tests.builders import Json
from tests.recorders import Recorder, Request
from tests.running import Daemon


@dataclass(slots=True)
class Sent:
    """What a webhook was answered."""

    alert: Json
    status: int
    answer: Json


class StubAlertmanager(Recorder):
    """Routes what it gets to ``daemon``; to nobody while that is None. A 5xx is sent again, as the real one does."""

    def __init__(self) -> None:
        super().__init__()
        self.daemon: Daemon | None = None
        self.delay = 0.0
        self.sent: list[Sent] = []
        self.told: dict[str, Json] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await super().__aexit__(kind, error, trace)

    async def answer(self, request: Request) -> web.Response:
        assert request.path == "/api/v2/alerts"
        if request.method == "GET":
            wanted = request.query["filter"].partition("=")[2].strip('"')
            return web.json_response([self._shown(one) for one in self.told.values()
                                      if one["labels"].get("drill") == wanted])  # fmt: skip
        for alert in json.loads(request.body):
            self.told[_fingerprint(alert)] = alert
            if self.daemon is not None:
                task = asyncio.create_task(self._send(self.daemon, alert))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        return web.json_response({})

    async def _send(self, daemon: Daemon, alert: Json) -> None:
        await asyncio.sleep(self.delay)
        firing = datetime.datetime.fromisoformat(alert["endsAt"]) > datetime.datetime.now(datetime.UTC)
        body = builders.webhook({
            **alert, "status": "firing" if firing else "resolved", "fingerprint": _fingerprint(alert),
            "endsAt": "0001-01-01T00:00:00Z" if firing else alert["endsAt"],
        })  # fmt: skip
        for _ in range(20):
            status, answer = await daemon.alert(body)
            self.sent.append(Sent(alert, status, answer))
            if status < 500:
                return
            await asyncio.sleep(0.2)

    def _shown(self, alert: Json) -> Json:
        receivers = [{"name": "nobody" if self.daemon is None else "pullback"}]
        return {**alert, "receivers": receivers, "status": {"state": "active", "silencedBy": [], "inhibitedBy": []}}


def _fingerprint(alert: Json) -> str:
    return hashlib.sha256(json.dumps(alert["labels"], sort_keys=True).encode()).hexdigest()[:16]
