"""GET: health for the kubelet, metrics for Prometheus, and what is going on for people and scripts."""

import datetime
import enum
import json
from collections.abc import Callable
from typing import Any, TypeVar

from aiohttp import web

from daemon.model.canary import CanaryRef
from daemon.model.history import Filter
from daemon.model.rollback import RollbackPhase, Trigger
from daemon.web.promises import Rooms

Member = TypeVar("Member", bound=enum.Enum)

_MOST = 10_000


class _BadQueryError(Exception):
    """A query parameter that cannot be used; the message names it and what was expected."""


class _NotThereError(Exception):
    """What was asked for does not exist."""


class Reading:
    """The handlers. Nothing here changes anything."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._closing = False

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/healthz", self.healthz),
            web.get("/readyz", self.readyz),
            web.get("/metrics", self.metrics),
            web.get("/api/v1/canaries", self.canaries),
            web.get("/api/v1/canaries/{namespace}/{name}", self.canary),
            web.get("/api/v1/rollbacks", self.rollbacks),
        ]

    def close(self) -> None:
        """Not ready any more: no new traffic, please."""
        self._closing = True

    async def healthz(self, _: web.Request) -> web.Response:
        return _verdict(self._rooms.alive())

    async def readyz(self, _: web.Request) -> web.Response:
        problem = "shutting down" if self._closing else self._rooms.ready()
        return _verdict(problem, warning=self._rooms.warn())

    async def metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=self._rooms.render_metrics(),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )

    async def canaries(self, request: web.Request) -> web.Response:
        def listed() -> list[dict[str, Any]]:
            namespace = _only(request, "namespace").get("namespace")
            return [one for one in self._rooms.canaries() if namespace in {None, one["namespace"]}]

        return self._list(request, "canaries", listed)

    async def canary(self, request: web.Request) -> web.Response:
        def shown() -> dict[str, Any]:
            _only(request)
            ref = CanaryRef(request.match_info["namespace"], request.match_info["name"])
            found = self._rooms.canary(ref)
            if found is None:
                raise _NotThereError(f"no canary {ref.name[:253]} in namespace {ref.namespace[:253]}")
            return found

        return self._answer(request, shown)

    async def rollbacks(self, request: web.Request) -> web.Response:
        return self._list(request, "rollbacks", lambda: self._rooms.rollbacks(_filter(request)))

    def _list(self, request: web.Request, name: str, listed: Callable[[], list[dict[str, Any]]]) -> web.Response:
        return self._answer(request, lambda: {name: listed()})

    def _answer(self, request: web.Request, shown: Callable[[], dict[str, Any]]) -> web.Response:
        if not self._rooms.console.accept(request.headers.get("Authorization", "")):
            self._rooms.refused(request.path, "no valid credentials")
            return web.json_response(
                {"error": "expected valid credentials; see web.console in the configuration"},
                status=401, headers={"WWW-Authenticate": 'Bearer realm="pullback", Basic realm="pullback"'},
            )  # fmt: skip
        try:
            document = shown()
        except _BadQueryError as problem:
            return web.json_response({"error": str(problem)}, status=400)
        except _NotThereError as problem:
            return web.json_response({"error": str(problem)}, status=404)
        return web.Response(text=json.dumps(document) + "\n", content_type="application/json")


def _filter(request: web.Request) -> Filter:
    given = _only(request, "namespace", "canary", "phase", "trigger", "since", "limit")
    return Filter(
        namespace=given.get("namespace"),
        canary=given.get("canary"),
        phase=_member(RollbackPhase, "phase", given.get("phase")),
        trigger=_member(Trigger, "trigger", given.get("trigger")),
        since=_moment(given.get("since")),
        limit=_limit(given.get("limit")),
    )


def _only(request: web.Request, *names: str) -> dict[str, str]:
    """A typo must not look like an answer to what was meant."""
    unknown = sorted(set(request.query) - set(names))
    if unknown:
        expected = f"expected some of {', '.join(names)}" if names else "none is expected"
        raise _BadQueryError(f"{unknown[0][:64]}: no such parameter; {expected}")
    return dict(request.query)


def _member(kind: type[Member], name: str, value: str | None) -> Member | None:
    if value is None:
        return None
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(str(member.value) for member in kind)
        raise _BadQueryError(f"{name}: expected one of {known}, got {value[:64]!r}") from None


def _moment(value: str | None) -> datetime.datetime | None:
    if value is None:
        return None
    try:
        # A plus sign that was not quoted arrives as a space.
        moment = datetime.datetime.fromisoformat(value.replace(" ", "+"))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise _BadQueryError(f"since: expected an RFC 3339 time such as 2026-11-23T07:00:00Z, got {value[:64]!r}")
    return moment


def _limit(value: str | None) -> int | None:
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and 1 <= int(value[:9]) <= _MOST):
        raise _BadQueryError(f"limit: expected a number from 1 to {_MOST}, got {value[:64]!r}")
    return int(value)


def _verdict(problem: str, *, warning: str = "") -> web.Response:
    lines = [problem or "ok", *([f"warning: {warning}"] if warning else [])]
    return web.Response(status=503 if problem else 200, text="\n".join(lines) + "\n")
