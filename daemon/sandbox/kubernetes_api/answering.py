"""From a request to its answer: who asks, what is asked, which fault strikes, and what is done."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Mapping
from typing import Any

import yaml
from aiohttp import web

from daemon.sandbox.kubernetes_api import discovery, protobuf, reading, tables, watching
from daemon.sandbox.kubernetes_api.administration import ADMIN_PREFIX, Administration
from daemon.sandbox.kubernetes_api.faults import Call, Fault, Faults, RequestLog
from daemon.sandbox.kubernetes_api.podlogs import PodLogs
from daemon.sandbox.kubernetes_api.resources import Catalog
from daemon.sandbox.kubernetes_api.statuses import (
    PAGE_NOT_FOUND,
    ApiError,
    JsonObject,
    UnknownPathError,
    bad_request,
    unauthorized,
    unsupported_media_type,
)
from daemon.sandbox.kubernetes_api.storage import Storage, Stored, encode
from daemon.sandbox.kubernetes_api.targets import TRUE, Target, located
from daemon.sandbox.kubernetes_api.watching import Watch, WatchLimits
from daemon.sandbox.kubernetes_api.writing import Author, Writing

BODY_LIMIT = 3 * 1024 * 1024
# These answer a delete with the object itself, all others with a Status.
RETURNED_WHEN_DELETED = frozenset({"pods", "services", "namespaces"})


class CutConnectionError(Exception):
    """This request gets no answer: its connection is closed."""

    def __init__(self, *, reset: bool) -> None:
        super().__init__()
        self.reset = reset


class Answering:
    def __init__(
        self, storage: Storage, catalog: Catalog, tokens: Mapping[str, str] | None, limits: WatchLimits
    ) -> None:
        self.faults = Faults()
        self.requests = RequestLog()
        self.pod_logs = PodLogs()
        self.writing = Writing(storage, catalog)
        self.stopping = asyncio.Event()
        self._storage = storage
        self._catalog = catalog
        self._tokens = tokens
        self._limits = limits
        self._administration = Administration(self.faults, self.requests, storage)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path.startswith(ADMIN_PREFIX):
            return await self._administration.answer(request)
        clock = asyncio.get_running_loop().time
        agent = request.headers.get("User-Agent", "")
        call = Call(request.method, request.path, request.method.lower(), user_agent=agent, started=clock())
        call.query = dict(request.query)
        self.requests.add(call)
        try:
            response = await self._answer(request, call)
        except CutConnectionError as cut:
            _close(request, reset=cut.reset)
            response = web.Response()
        finally:
            call.seconds = clock() - call.started
        return response

    async def _answer(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        try:
            target = self._identify(request, call)
            struck = self.faults.striking(call)
            for fault in struck:
                await self._suffer(fault)
            response = await (self._serve(request, target, call) if target else self._describe(request, call))
            if any(f.action == "lose" for f in struck):
                raise CutConnectionError(reset=False)
        except ApiError as error:
            retry = error.retry_after
            headers = {} if retry is None else {"Retry-After": str(max(1, round(retry)))}
            response = web.Response(
                status=error.code, body=error.encoded(), content_type="application/json", headers=headers
            )
        except UnknownPathError:
            response = web.Response(status=404, body=PAGE_NOT_FOUND, content_type="text/plain", charset="utf-8")
        call.status = response.status
        return response

    def _identify(self, request: web.BaseRequest, call: Call) -> Target | None:
        """Who, and what; None for paths that are no resources."""
        if self._tokens is None:
            call.user = "sandbox-admin"
        elif user := self._tokens.get(request.headers.get("Authorization", "").removeprefix("Bearer ")):
            call.user = user
        else:
            raise unauthorized()
        try:
            watch = request.query.get("watch") in TRUE
            target = located(self._catalog, request.method, request.path, watch=watch)
        except UnknownPathError:
            return None
        resource = target.resource
        call.verb, call.group, call.resource = target.verb, resource.group, resource.plural
        call.namespace, call.name, call.subresource = target.namespace, target.name, target.subresource
        return target

    async def _suffer(self, fault: Fault) -> None:
        if fault.action == "status":
            raise fault.error()
        if fault.action == "reset":
            raise CutConnectionError(reset=True)
        if fault.action == "slow":
            await self._wait(self.stopping, fault.seconds)
        if fault.action == "hang":
            await self.faults.released.wait()
            raise CutConnectionError(reset=False)

    async def _wait(self, event: asyncio.Event, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            return

    async def _describe(self, request: web.BaseRequest, call: Call) -> web.Response:
        path = request.path
        if path in discovery.HEALTH:
            return web.Response(text="ok")
        if request.method == "POST":
            answer = discovery.review(path, await _body(request), call.user, self.faults)
            if answer is not None:
                return _json(encode(answer), 201)
        if request.method != "GET":
            raise UnknownPathError
        return _json(encode(discovery.described(self._catalog, path)))

    async def _serve(self, request: web.BaseRequest, target: Target, call: Call) -> web.StreamResponse:
        match target.verb:
            case "get" if target.subresource == "log":
                return self.pod_logs.answer(target, self.writing.find(target).value, request.query)
            case "get":
                return self._shown(request, target, self.writing.find(target))
            case "list":
                accept = request.headers.get("Accept", "")
                return _json(reading.listed(self._storage, target, request.query, accept))
            case "watch":
                return await self._watch(request, target, call)
        return await self._write(request, target)

    async def _write(self, request: web.BaseRequest, target: Target) -> web.Response:
        author = Author(
            _manager(request),
            dry_run="All" in request.query.getall("dryRun", []),
            strict=request.query.get("fieldValidation") == "Strict",
        )
        body = await _body(request)
        if target.verb == "create":
            return self._shown(request, target, self.writing.create(target, _object(body), author), 201)
        if target.verb == "update":
            known = self._storage.get(target.resource.key, target.key)
            stored = self.writing.replace(target, _object(body), author)
            return self._shown(request, target, stored, 200 if known else 201)
        if target.verb == "patch":
            stored = self.writing.patch(target, request.content_type, body, author)
            return self._shown(request, target, stored)
        options = {**(body if isinstance(body, dict) else {}), **_delete_options(request)}
        author = Author(author.manager, dry_run=author.dry_run or bool(options.get("dryRun")))
        if target.verb == "delete":
            return self._delete(target, options, author)
        return self._delete_collection(request, target, options, author)

    def _shown(self, request: web.BaseRequest, target: Target, stored: Stored, status: int = 200) -> web.Response:
        return _json(reading.shown(target, stored, request.headers.get("Accept", ""), request.query), status)

    async def _watch(self, request: web.BaseRequest, target: Target, call: Call) -> web.StreamResponse:
        query = request.query
        matcher = reading.matcher_of(target, query)
        watch = Watch(target, query, matcher, self._limits, _encoder(target, request))
        call.status = 200
        return await watching.watch(request, watch, self._storage, self.faults.watches)

    def _delete(self, target: Target, options: JsonObject, author: Author) -> web.Response:
        stored, gone = self.writing.delete(target, options, author)
        resource = target.resource
        if not gone or (not resource.custom and resource.plural in RETURNED_WHEN_DELETED):
            return _json(stored.encoded(target.prefix))
        details = {"name": target.name, "kind": resource.plural, "uid": stored.value["metadata"]["uid"]}
        if resource.group:
            details["group"] = resource.group
        head = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
        return _json(encode({**head, "details": details}))

    def _delete_collection(
        self, request: web.BaseRequest, target: Target, options: JsonObject, author: Author
    ) -> web.Response:
        matcher = reading.matcher_of(target, request.query)
        shelf = self._storage.shelf(target.resource.key)
        deleted: list[Stored] = []
        for (namespace, name), stored in shelf.ordered(target.namespace):
            if matcher is None or matcher(stored.value):
                at = Target(target.resource, target.version, "delete", namespace, name)
                deleted.append(self.writing.delete(at, options, author)[0])
        metadata = {"resourceVersion": str(self._storage.revision)}
        return _json(reading.collection(target, deleted, metadata))


def _json(body: bytes, status: int = 200) -> web.Response:
    return web.Response(status=status, body=body, content_type="application/json")


def _manager(request: web.BaseRequest) -> str:
    named = request.query.get("fieldManager")
    return named or request.headers.get("User-Agent", "").partition("/")[0] or "unknown"


def _delete_options(request: web.BaseRequest) -> JsonObject:
    return {k: request.query[k] for k in ("propagationPolicy", "dryRun") if k in request.query}


async def _body(request: web.BaseRequest) -> Any:
    if (request.content_length or 0) > BODY_LIMIT:
        raise ApiError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {BODY_LIMIT}")
    content_type = request.content_type
    if content_type.endswith("cbor") or content_type.startswith("text/"):
        raise unsupported_media_type(f"the sandbox does not read {content_type}: send JSON")
    raw = await request.content.read()
    if not raw:
        return None
    if content_type == protobuf.CONTENT_TYPE:
        return protobuf.read(raw)
    try:
        return yaml.safe_load(raw) if content_type.endswith("yaml") else json.loads(raw)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise bad_request(f"error decoding the body: {error}") from error


def _object(body: Any) -> JsonObject:
    if not isinstance(body, dict):
        raise bad_request("the object provided is unrecognized (must be of type object)")
    return body


def _encoder(target: Target, request: web.BaseRequest) -> watching.Encoder:
    """How a watch shows an object: itself, or as a Table of one row."""
    if not tables.wants_table(request.headers.get("Accept", "")):
        return lambda prefix, stored: stored.encoded(prefix)
    include = request.query.get("includeObject", "Metadata")

    def rendered(_: bytes, stored: Stored) -> bytes:
        metadata = {"resourceVersion": str(stored.revision)}
        return encode(tables.table(target.resource, target.version, [stored], metadata, include))

    return rendered


def _close(request: web.BaseRequest, *, reset: bool) -> None:
    transport = request.transport
    if transport is None:
        return
    sock = transport.get_extra_info("socket")
    if reset and sock is not None:
        # No lingering: the peer gets RST instead of an orderly end.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
