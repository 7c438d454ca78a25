"""Slack, PagerDuty, Opsgenie and a webhook's receiver on loopback: they check, keep and answer like the real ones.

Each fails on demand (``faults``, one per request in order) and keeps what it accepted. The shapes of requests and
answers are those of docs.slack.dev, developer.pagerduty.com (Events API v2) and docs.opsgenie.com (Alert API).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import json
import re
import socket
import struct
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import unquote

from aiohttp import web

Json = dict[str, Any]

SLACK_TOKEN = "xoxb-0000-a-bot-token"
ROUTING_KEY = "0123456789abcdef0123456789abcdef"
GENIE_KEY = "b8f1c7de-a-genie-key"
WEBHOOK_SECRET = "a-shared-secret"


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one request instead of an answer.

    ``status`` answers so and accepts nothing; ``hang`` never answers; ``reset`` cuts before anything is done;
    ``lost`` accepts and then cuts, so that the sender cannot know. ``path`` is a part of the path it waits for.
    """

    what: Literal["status", "hang", "reset", "lost"]
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = '{"message": "injected"}'
    content_type: str = "application/json"
    path: str = ""


HANG = Fault("hang")
RESET = Fault("reset")
LOST = Fault("lost")


def throttled(retry_after: str = "7", **more: Any) -> Fault:
    return Fault("status", 429, {"Retry-After": retry_after} if retry_after else {}, **more)


def status(code: int, **more: Any) -> Fault:
    return Fault("status", code, **more)


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Recorder:
    """A server on a free port of loopback, for as long as the context lasts."""

    def __init__(self) -> None:
        self.faults: deque[Fault] = deque()
        self.requests: list[Request] = []
        self._released = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """Without a slash at the end."""
        return f"http://127.0.0.1:{self._port}"

    def fail(self, *faults: Fault) -> None:
        self.faults.extend(faults)

    async def answer(self, request: Request) -> web.Response:
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        application = web.Application(client_max_size=8 * 1024 * 1024)
        application.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._released.set()
        assert self._runner is not None
        await self._runner.cleanup()

    async def _serve(self, incoming: web.Request) -> web.StreamResponse:
        request = Request(
            incoming.method, incoming.raw_path.partition("?")[0], incoming.headers, incoming.query,
            await incoming.read(),
        )  # fmt: skip
        self.requests.append(request)
        fault = self._due(request)
        if fault is None:
            return await self.answer(request)
        if fault.what == "status":
            return web.Response(
                status=fault.status, headers=fault.headers, text=fault.body, content_type=fault.content_type
            )
        if fault.what == "hang":
            await self._released.wait()
        elif fault.what == "lost":
            accepted = await self.answer(request)
            assert accepted.status < 300, accepted.text
        _cut(incoming)
        return web.Response(status=500)

    def _due(self, request: Request) -> Fault | None:
        for fault in self.faults:
            if fault.path in request.path:
                self.faults.remove(fault)
                return fault
        return None


def _cut(incoming: web.Request) -> None:
    """Ends the connection with RST, as a dying proxy does."""
    assert incoming.transport is not None
    raw = incoming.transport.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    incoming.transport.abort()


class RecordingSlack(Recorder):
    """One workspace. ``channels`` are names by id; ``messages`` is everything that stands there, oldest first."""

    def __init__(self, token: str = SLACK_TOKEN) -> None:
        super().__init__()
        self.token = token
        self.channels = {"C0DEPLOYS": "deploys"}
        self.scopes = {"chat:write", "channels:history"}
        self.messages: list[Json] = []
        self.edits: list[Json] = []
        self._numbers = itertools.count(1)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/api"

    @property
    def cards(self) -> list[Json]:
        """Messages that are no answers in a thread."""
        return [one for one in self.messages if one.get("thread_ts", one["ts"]) == one["ts"]]

    def thread(self, ts: str) -> list[Json]:
        return [one for one in self.messages if one.get("thread_ts") == ts and one["ts"] != ts]

    def delete(self, ts: str) -> None:
        """A person deletes a message."""
        self.messages = [one for one in self.messages if one["ts"] != ts]

    async def answer(self, request: Request) -> web.Response:
        called = request.path.removeprefix("/api/")
        methods: dict[str, tuple[str, Callable[[Json], Json]]] = {
            "chat.postMessage": ("chat:write", self._post),
            "chat.update": ("chat:write", self._update),
            "conversations.history": ("channels:history", self._history),
            "conversations.replies": ("channels:history", self._replies),
        }
        if called not in methods:
            return web.json_response({"ok": False, "error": "unknown_method"})
        scope, method = methods[called]
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.json_response({"ok": False, "error": "invalid_auth"})
        if scope not in self.scopes:
            return web.json_response({"ok": False, "error": "missing_scope", "needed": scope, "provided": "identify"})
        given: Json = {**request.query}
        if request.body:
            assert request.headers["Content-Type"].startswith("application/json"), request.headers["Content-Type"]
            given |= request.json
        return web.json_response(method(given))

    def _post(self, given: Json) -> Json:
        channel = self._channel(given["channel"], by_name=True)
        thread = given.get("thread_ts")
        problem = _slack_problem(given)
        if channel is None or problem:
            return {"ok": False, "error": problem or "channel_not_found"}
        if thread and not any(one["ts"] == thread for one in self.messages):
            return {"ok": False, "error": "thread_not_found"}
        # Slack's own clock: after everything that a test calls the past.
        ts = f"{4_000_000_000 + next(self._numbers)}.000100"
        self.messages.append({"type": "message", "subtype": "bot_message", **given, "channel": channel, "ts": ts})
        return {"ok": True, "channel": channel, "ts": ts, "message": {"text": given["text"], "ts": ts}}

    def _update(self, given: Json) -> Json:
        problem = _slack_problem(given)
        if problem or given["channel"] not in self.channels:
            return {"ok": False, "error": problem or "channel_not_found"}
        for one in self.messages:
            if (one["channel"], one["ts"]) == (given["channel"], given["ts"]):
                one.update(given)
                self.edits.append(given)
                return {"ok": True, "channel": one["channel"], "ts": one["ts"], "text": given["text"]}
        return {"ok": False, "error": "message_not_found"}

    def _history(self, given: Json) -> Json:
        channel = self._channel(given["channel"], by_name=False)
        if channel is None:
            return {"ok": False, "error": "channel_not_found"}
        found = [one for one in self.cards + self._broadcast() if one["channel"] == channel]
        return _slack_page(sorted(found, key=lambda one: str(one["ts"]), reverse=True), given)

    def _replies(self, given: Json) -> Json:
        if self._channel(given["channel"], by_name=False) is None:
            return {"ok": False, "error": "channel_not_found"}
        parents = [one for one in self.messages if one["ts"] == given["ts"]]
        if not parents:
            return {"ok": False, "error": "thread_not_found"}
        return _slack_page(parents + self.thread(given["ts"]), given)

    def _broadcast(self) -> list[Json]:
        return [one for one in self.messages if one.get("reply_broadcast") and one not in self.cards]

    def _channel(self, given: str, *, by_name: bool) -> str | None:
        """Only posting takes a name."""
        if given in self.channels:
            return given
        named = {name: channel for channel, name in self.channels.items()}
        return named.get(given.removeprefix("#")) if by_name else None


def _slack_page(found: list[Json], given: Json) -> Json:
    oldest = float(given.get("oldest", 0))
    inside = [one for one in found if float(one["ts"]) >= oldest]
    start, limit = int(given.get("cursor") or 0), int(given.get("limit", 100))
    shown = [dict(one) for one in inside[start : start + limit]]
    if str(given.get("include_all_metadata", "")) not in {"1", "true"}:
        for one in shown:
            one.pop("metadata", None)
    more = start + limit < len(inside)
    cursor = {"response_metadata": {"next_cursor": str(start + limit)}} if more else {}
    return {"ok": True, "messages": shown, "has_more": more, **cursor}


def _slack_problem(given: Json) -> str:
    if not given.get("text") and not given.get("blocks"):
        return "no_text"
    if len(given.get("text", "")) > 40_000:
        return "msg_too_long"
    blocks = given.get("blocks", [])
    if len(blocks) > 50 or not all(map(_slack_block, blocks)):
        return "invalid_blocks"
    metadata = given.get("metadata", {})
    known = not metadata or ({"event_type", "event_payload"} == set(metadata) and _flat(metadata["event_payload"]))
    return "" if known else "invalid_metadata_format"


def _flat(payload: Any) -> bool:
    return isinstance(payload, dict) and all(isinstance(one, str | int | bool) for one in payload.values())


def _slack_block(block: Json) -> bool:
    match block["type"]:
        case "header":
            return _slack_text(block["text"], 150) and block["text"]["type"] == "plain_text"
        case "section":
            fields = block.get("fields", [])
            said = "text" not in block or _slack_text(block["text"], 3000)
            return bool(fields or "text" in block) and said and len(fields) <= 10 and all(
                _slack_text(one, 2000) for one in fields
            )  # fmt: skip
        case "context":
            return 1 <= len(block["elements"]) <= 10 and all(_slack_text(one, 2000) for one in block["elements"])
    return False


def _slack_text(text: Json, limit: int) -> bool:
    allowed = {"plain_text": {"type", "text", "emoji"}, "mrkdwn": {"type", "text", "verbatim"}}
    return set(text) <= allowed.get(text["type"], set()) and 1 <= len(text["text"]) <= limit


class RecordingPagerDuty(Recorder):
    """One integration. ``incidents`` by dedup_key: events in the order of their acceptance."""

    def __init__(self, routing_key: str = ROUTING_KEY) -> None:
        super().__init__()
        self.routing_key = routing_key
        self.events: list[Json] = []
        self.incidents: dict[str, list[Json]] = {}
        self.resolved: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v2/enqueue"

    async def answer(self, request: Request) -> web.Response:
        event = request.json
        problems = _pagerduty_problems(event, len(request.body))
        if event.get("routing_key") != self.routing_key:
            problems.append("Invalid routing key")
        if request.method != "POST" or request.path != "/v2/enqueue" or problems:
            said = {"status": "invalid event", "message": "Event object is invalid", "errors": problems}
            return web.json_response(said, status=400)
        key = event["dedup_key"]
        self.events.append(event)
        if event["event_action"] == "resolve":
            if self.incidents.pop(key, None):
                self.resolved.append(key)
        else:
            self.incidents.setdefault(key, []).append(event)
        return web.json_response({"status": "success", "message": "Event processed", "dedup_key": key}, status=202)


def _pagerduty_problems(event: Json, size: int) -> list[str]:
    problems = []
    if size > 512 * 1024:
        problems.append("event is too large")
    if event.get("event_action") not in {"trigger", "acknowledge", "resolve"}:
        problems.append("event_action is invalid")
    if not 0 < len(event.get("dedup_key", "")) <= 255:
        problems.append("dedup_key must be between 1 and 255 characters")
    if event.get("event_action") == "trigger":
        payload = event.get("payload", {})
        problems += [
            f"{name} is missing or blank" for name in ("summary", "source", "severity") if not payload.get(name)
        ]
        if len(payload.get("summary", "")) > 1024:
            problems.append("summary is too long")
        if payload.get("severity") not in {"critical", "error", "warning", "info"}:
            problems.append("severity is invalid")
        if not all(link.get("href", "").startswith("http") for link in event.get("links", [])):
            problems.append("links are invalid")
    return problems


class RecordingOpsgenie(Recorder):
    """One integration. ``alerts`` by alias, with ``count``."""

    def __init__(self, api_key: str = GENIE_KEY) -> None:
        super().__init__()
        self.api_key = api_key
        self.alerts: dict[str, Json] = {}
        self.closed: list[Json] = []

    async def answer(self, request: Request) -> web.Response:
        if request.headers.get("Authorization") != f"GenieKey {self.api_key}":
            return _opsgenie(422, "Key format is not valid!")
        if request.path == "/v2/alerts":
            return self._create(request.json)
        found = re.fullmatch(r"/v2/alerts/([^/]+)/close", request.path)
        if found is None or request.query.get("identifierType") != "alias":
            return _opsgenie(404, "No such resource")
        alias = unquote(found[1])
        if alias in self.alerts:
            self.closed.append(self.alerts.pop(alias) | request.json)
        return _accepted()

    def _create(self, alert: Json) -> web.Response:
        limits = {"message": 130, "alias": 512, "description": 15_000, "entity": 512, "source": 100}
        long = [name for name, limit in limits.items() if len(alert.get(name, "")) > limit]
        details = alert.get("details", {})
        if not alert.get("message") or long or alert.get("priority") not in {"P1", "P2", "P3", "P4", "P5"}:
            return _opsgenie(422, f"Request body is not processable: {long or 'message, priority'}")
        if (
            not all(isinstance(one, str) for one in details.values())
            or sum(map(len, (*details, *details.values()))) > 8000
        ):
            return _opsgenie(422, "Request body is not processable: details")
        known = self.alerts.setdefault(alert["alias"], {**alert, "count": 0})
        known["count"] += 1
        return _accepted()

def _accepted() -> web.Response:
    said = {"result": "Request will be processed", "took": 0.1, "requestId": "43a29c5c-3dbf-4fa4-9c26-f4f71023e120"}
    return web.json_response(said, status=202)


def _opsgenie(code: int, message: str) -> web.Response:
    return web.json_response({"message": message, "took": 0.0, "requestId": "0"}, status=code)


class RecordingWebhook(Recorder):
    """A receiver that checks the signature and knows a repetition by its key."""

    def __init__(self, secret: str = WEBHOOK_SECRET) -> None:
        super().__init__()
        self.secret = secret
        self.accepted: dict[str, Json] = {}
        self.repeated: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/hooks/T0SECRETPATH?token=q-secret-value"

    async def answer(self, request: Request) -> web.Response:
        signed = request.headers.get("X-Pullback-Timestamp", "").encode() + b"." + request.body
        expected = "sha256=" + hmac.new(self.secret.encode(), signed, hashlib.sha256).hexdigest()
        given = request.headers.get("X-Pullback-Signature", "")
        if self.secret and not hmac.compare_digest(given.encode(), expected.encode()):
            return web.json_response({"error": "bad signature"}, status=401)
        key = request.headers["Idempotency-Key"]
        if key in self.accepted:
            self.repeated.append(key)
        self.accepted.setdefault(key, request.json)
        return web.Response(status=204)
