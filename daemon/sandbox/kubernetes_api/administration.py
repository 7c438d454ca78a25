"""The same faults and the same log over HTTP, for tests that run this server as its own process.

POST /sandbox/faults {"action": "status", "code": 429, "verb": "patch", ...}   GET lists, DELETE clears
GET /sandbox/requests?verb=patch                                               DELETE forgets
POST /sandbox/watches {"action": "cut|freeze|thaw", "resource": ..., "new_too": false}
POST /sandbox/compact
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from aiohttp import web

from daemon.sandbox.kubernetes_api.faults import Fault, Faults, RequestLog
from daemon.sandbox.kubernetes_api.storage import Storage, encode

ADMIN_PREFIX = "/sandbox/"


class Administration:
    def __init__(self, faults: Faults, requests: RequestLog, storage: Storage) -> None:
        self._faults = faults
        self._requests = requests
        self._storage = storage

    async def answer(self, request: web.BaseRequest) -> web.Response:
        raw = await request.content.read()
        try:
            body = json.loads(raw or b"{}")
            status, answer = self._act(request, body)
        except (TypeError, ValueError, AttributeError) as error:
            status, answer = 400, {"error": str(error)}
        return web.Response(status=status, body=encode(answer), content_type="application/json")

    def _act(self, request: web.BaseRequest, body: dict[str, Any]) -> tuple[int, Any]:
        faults, log, storage = self._faults, self._requests, self._storage
        match request.method, request.path.removeprefix(ADMIN_PREFIX).rstrip("/"):
            case "POST", "faults":
                return 201, asdict(faults.add(Fault(**body)))
            case "DELETE", "faults":
                faults.clear()
            case "GET", "requests":
                return 200, self._found(dict(request.query))
            case "DELETE", "requests":
                log.clear()
            case "POST", "watches":
                return 200, {"watches": self._disturb(**body)}
            case "POST", "compact":
                storage.compact()
            case "GET", "faults":
                pass
            case _:
                return 404, {"error": "no such sandbox path"}
        return 200, [asdict(f) for f in faults]

    def _found(self, wanted: dict[str, str]) -> list[dict[str, Any]]:
        return [c for c in self._requests.encodable() if all(str(c.get(k)) == v for k, v in wanted.items())]

    def _disturb(self, action: str, resource: str | None = None, new_too: bool = False) -> int:
        if action == "cut":
            return self._faults.cut_watches(resource)
        if action == "freeze":
            return self._faults.freeze_watches(resource, new_too=new_too)
        if action == "thaw":
            self._faults.thaw_watches()
            return len(self._faults.watches.open)
        raise ValueError(f"unknown action {action!r}: cut, freeze or thaw")
