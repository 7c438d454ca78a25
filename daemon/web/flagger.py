"""Flagger's webhooks: bytes in, a ``Hook`` or a ``BadRequestError`` out. Pure.

Flagger cannot send headers of its own, so a credential may come in ``metadata.token``; it is taken out here
and goes no further.
"""

import dataclasses

import pydantic

from daemon.model.canary import CanaryRef
from daemon.model.signal import Hook, HookType
from daemon.web.alertmanager import BadRequestError, explain

TOKEN = "token"  # noqa: S105 - the name of a field


class _Payload(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="ignore", strict=True)

    name: str = pydantic.Field(min_length=1, max_length=253)
    namespace: str = pydantic.Field(min_length=1, max_length=253)
    phase: str = pydantic.Field(default="", max_length=64)
    checksum: str = pydantic.Field(default="", max_length=128)
    metadata: dict[str, str] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """A hook, and the credential that came in its body."""

    hook: Hook
    token: str


def parse(kind: HookType, body: bytes) -> Call:
    """Reads one call. Raises BadRequestError."""
    try:
        payload = _Payload.model_validate_json(body)
    except pydantic.ValidationError as error:
        raise BadRequestError(explain(error)) from error
    metadata = dict(payload.metadata or {})
    token = metadata.pop(TOKEN, "")
    ref = CanaryRef(payload.namespace, payload.name)
    return Call(Hook(kind, ref, payload.phase, payload.checksum, metadata), token)
