"""Kubernetes `Status` objects: every refusal a client sees, worded as the real server words it."""

from __future__ import annotations

import json
from typing import Any

JsonObject = dict[str, Any]

PAGE_NOT_FOUND = b"404 page not found\n"
BAD_PATCH = "the server rejected our request due to an error in our request"


class UnknownPathError(Exception):
    """Nothing is served here: the real server answers plain text, not a Status."""


class ApiError(Exception):
    """A refusal that travels as a `Status` object."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: JsonObject | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.retry_after = retry_after

    def status(self) -> JsonObject:
        body: JsonObject = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
        }
        details = dict(self.details or {})
        if self.retry_after is not None:
            details["retryAfterSeconds"] = max(1, round(self.retry_after))
        if details:
            body["details"] = details
        return {**body, "code": self.code}

    def encoded(self) -> bytes:
        return json.dumps(self.status(), separators=(",", ":")).encode()


REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    410: "Expired",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


def qualified(group: str, plural: str) -> str:
    return f"{plural}.{group}" if group else plural


def named(group: str, plural: str, name: str) -> JsonObject:
    details: JsonObject = {"name": name}
    if group:
        details["group"] = group
    return {**details, "kind": plural}


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def unauthorized() -> ApiError:
    return ApiError(401, "Unauthorized", "Unauthorized")


def not_found(group: str, plural: str, name: str) -> ApiError:
    message = f'{qualified(group, plural)} "{name}" not found'
    return ApiError(404, "NotFound", message, named(group, plural, name))


def already_exists(group: str, plural: str, name: str) -> ApiError:
    message = f'{qualified(group, plural)} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, named(group, plural, name))


def conflict(group: str, plural: str, name: str, why: str | None = None) -> ApiError:
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    message = f'Operation cannot be fulfilled on {qualified(group, plural)} "{name}": {why}'
    return ApiError(409, "Conflict", message, named(group, plural, name))


def forbidden(group: str, plural: str, name: str, why: str) -> ApiError:
    message = f'{qualified(group, plural)} "{name}" is forbidden: {why}'
    return ApiError(403, "Forbidden", message, named(group, plural, name))


def expired(asked: int, oldest: int) -> ApiError:
    return ApiError(410, "Expired", f"too old resource version: {asked} ({oldest})")


def unsupported_media_type(message: str) -> ApiError:
    return ApiError(415, "UnsupportedMediaType", message)


def method_not_allowed() -> ApiError:
    return ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")


def unprocessable_patch(why: str) -> ApiError:
    """A patch that is well formed but cannot be applied to this object."""
    causes = [{"reason": "UnexpectedServerResponse", "message": why}]
    return ApiError(422, "Invalid", BAD_PATCH, {"causes": causes})


def cause(field: str, reason: str, message: str) -> JsonObject:
    return {"reason": reason, "message": message, "field": field}


def invalid(group: str, kind: str, name: str, causes: list[JsonObject]) -> ApiError:
    reasons = [f"{c['field']}: {c['message']}" for c in causes]
    listed = reasons[0] if len(reasons) == 1 else f"[{', '.join(reasons)}]"
    message = f'{qualified(group, kind)} "{name}" is invalid: {listed}'
    return ApiError(422, "Invalid", message, {**named(group, kind, name), "causes": causes})
