"""POST /webhooks/*: authenticate, read within bounds, parse, hand on, answer."""

import asyncio
import json
from typing import Any

from aiohttp import web

from daemon.model.signal import HookType
from daemon.web import alertmanager, challenging, flagger
from daemon.web.promises import AlertAnswer, Bounds, GroupAnswer, Rooms

LINE = 1024
"""Most bytes of an answer to Flagger, which puts it into an event."""


class Webhooks:
    """The handlers. ``close`` turns new webhooks away with 503: the sender comes again, to a living replica."""

    def __init__(self, rooms: Rooms, bounds: Bounds) -> None:
        self._rooms = rooms
        self._bounds = bounds
        self._closing = False

    def routes(self) -> list[web.RouteDef]:
        hooks = [web.post(f"/webhooks/flagger/{kind.value}", self._hook(kind)) for kind in HookType]
        return [web.post("/webhooks/alertmanager", self.alerts), *hooks]

    def close(self) -> None:
        self._closing = True

    async def alerts(self, request: web.Request) -> web.Response:
        """Alertmanager. It retries 5xx within the flush, and nothing else: see facts of its ``notify`` package."""
        received_at = self._rooms.now()
        if self._closing:
            return _problem(503, "shutting down")
        if not self._rooms.alertmanager.accept(request.headers.get("Authorization", "")):
            self._rooms.refused("/webhooks/alertmanager", "no valid credentials")
            return _unauthorized()
        body = await self._read(request)
        try:
            group = alertmanager.parse(body)
        except alertmanager.BadRequestError as problem:
            self._rooms.refused("/webhooks/alertmanager", str(problem))
            return _problem(400, str(problem))
        answer = await self._rooms.take(group, received_at)
        status = 503 if answer.retry else 400 if answer.malformed else 200
        return _json(status, _as_json(answer))

    def _hook(self, kind: HookType) -> Any:
        async def handle(request: web.Request) -> web.Response:
            route = f"/webhooks/flagger/{kind.value}"
            # Flagger judges any answer above 202 as no, so nothing here ever redirects or says 204, and each
            # call comes on a connection of its own that it then leaves open: it is closed with the answer.
            if self._closing and kind is not HookType.EVENT:
                return _line(503, "shutting down")
            body = await self._read(request)
            try:
                call = flagger.parse(kind, body)
            except alertmanager.BadRequestError as problem:
                known = self._rooms.flagger.accept(request.headers.get("Authorization", ""))
                self._rooms.refused(route, str(problem))
                return _line(400, str(problem)) if known else _unauthorized(close=True)
            if not self._rooms.flagger.accept(request.headers.get("Authorization", ""), call.token):
                self._rooms.refused(route, "no valid credentials")
                return _unauthorized(close=True)
            answer = await self._rooms.answer(call.hook)
            return _line(200 if answer.opened else 403, f"{answer.decision.reason}: {answer.decision.detail}")

        return handle

    async def _read(self, request: web.Request) -> bytes:
        """Raises 413 or 408 as an answer."""
        if request.content_length is not None and request.content_length > self._bounds.body:
            raise _too_large(request, self._bounds.body)
        try:
            async with asyncio.timeout(self._bounds.body_seconds):
                return await request.read()
        except web.HTTPRequestEntityTooLarge as error:
            raise _too_large(request, self._bounds.body) from error
        except TimeoutError as error:
            raise web.HTTPRequestTimeout(text="the body did not arrive in time\n") from error


def _as_json(answer: GroupAnswer) -> dict[str, Any]:
    document: dict[str, Any] = {"alerts": [_alert(one) for one in answer.alerts]}
    if answer.truncated:
        document["truncatedAlerts"] = answer.truncated
        document["incomplete"] = "alerts were cut off by Alertmanager (max_alerts); their state is unknown here"
    if answer.retry:
        document["error"] = "not everything is durable yet: send it again"
    return document


def _alert(one: AlertAnswer) -> dict[str, Any]:
    return {
        "fingerprint": one.fingerprint,
        "verdict": one.decision.verdict.value,
        "reason": one.decision.reason.value,
        "detail": one.decision.detail,
        "canary": None if one.canary is None else str(one.canary),
        **({"retry": True} if one.retry else {}),
    }


def _json(status: int, document: Any) -> web.Response:
    return web.Response(status=status, body=json.dumps(document).encode() + b"\n", content_type="application/json")


def _problem(status: int, problem: str) -> web.Response:
    return _json(status, {"error": problem})


def _line(status: int, text: str) -> web.Response:
    line = " ".join(text.split()).encode(errors="replace")[: LINE - 1].decode(errors="ignore")
    response = web.Response(status=status, text=line + "\n")
    response.force_close()
    return response


def _unauthorized(*, close: bool = False) -> web.Response:
    response = challenging.unauthorized("expected valid credentials: a bearer token, or basic auth")
    if close:
        response.force_close()
    return response


def _too_large(request: web.Request, most: int) -> web.HTTPRequestEntityTooLarge:
    size = request.content_length or most + 1
    error = web.HTTPRequestEntityTooLarge(max_size=most, actual_size=size)
    error.text = json.dumps({"error": f"the body has {size} bytes or more, at most {most} are accepted"}) + "\n"
    error.content_type = "application/json"
    return error
