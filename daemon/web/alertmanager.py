"""Alertmanager's webhook, payload version 4: bytes in, an ``AlertGroup`` or a ``BadRequestError`` out. Pure.

Unknown fields are ignored (newer senders add some). An envelope that cannot be read is refused whole; one
alert that cannot be read is told apart, so that its neighbours are not lost with it.
"""

import datetime
import hashlib
import re
from typing import Any, Literal

import pydantic

from daemon.model.signal import Alert, AlertGroup, MalformedAlert

MOST_ALERTS = 5_000
MOST_LABELS = 256
MOST_NAME = 256
MOST_VALUE = 16 * 1024

_FINGERPRINT = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
"""What can be (part of) the name of an annotation."""


class BadRequestError(Exception):
    """The body can never become valid; the message names the field and what was expected."""


class _Envelope(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="ignore", strict=True)

    version: str
    alerts: list[Any]
    truncatedAlerts: int = pydantic.Field(default=0, le=2**63)  # noqa: N815 - Alertmanager's spelling, and its bound
    groupKey: str = ""  # noqa: N815
    receiver: str = ""
    externalURL: str = ""  # noqa: N815


class _Alert(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="ignore")

    status: Literal["firing", "resolved"]
    labels: dict[pydantic.StrictStr, pydantic.StrictStr]
    annotations: dict[pydantic.StrictStr, pydantic.StrictStr] = {}
    startsAt: pydantic.StrictStr  # noqa: N815
    endsAt: pydantic.StrictStr = ""  # noqa: N815
    generatorURL: pydantic.StrictStr = ""  # noqa: N815
    fingerprint: pydantic.StrictStr = ""


def parse(body: bytes) -> AlertGroup:
    """Reads one webhook. Raises BadRequestError."""
    try:
        envelope = _Envelope.model_validate_json(body)
    except pydantic.ValidationError as error:
        raise BadRequestError(explain(error)) from error
    if envelope.version != "4":
        raise BadRequestError(
            f'version: expected "4" (Alertmanager\'s own webhook payload), got {envelope.version[:32]!r}; '
            "a custom payload template cannot be used here"
        )
    if len(envelope.alerts) > MOST_ALERTS:
        raise BadRequestError(f"alerts: {len(envelope.alerts)} of them, at most {MOST_ALERTS} are accepted")
    alerts = tuple(_read(one, position, envelope.externalURL) for position, one in enumerate(envelope.alerts))
    return AlertGroup(
        alerts=alerts,
        truncated=max(0, envelope.truncatedAlerts),
        group_key=envelope.groupKey,
        receiver=envelope.receiver,
    )


def _read(document: Any, position: int, external_url: str) -> Alert | MalformedAlert:
    if not isinstance(document, dict):
        return MalformedAlert(position, "", f"alerts[{position}]: expected an object, got {type(document).__name__}")
    given = document.get("fingerprint")
    shown = given[:64] if isinstance(given, str) else ""
    try:
        alert = _Alert.model_validate(document)
        _check_size(alert)
        starts_at = _moment(alert.startsAt, "startsAt")
        ends_at = _moment(alert.endsAt, "endsAt") if alert.endsAt else None
    except pydantic.ValidationError as error:
        return MalformedAlert(position, shown, f"alerts[{position}].{explain(error)}")
    except BadRequestError as error:
        return MalformedAlert(position, shown, f"alerts[{position}].{error}")
    if starts_at is None:
        return MalformedAlert(position, shown, f"alerts[{position}].startsAt: year 1 is no time to begin at")
    return Alert(
        fingerprint=_fingerprint(alert),
        firing=alert.status == "firing",
        starts_at=starts_at,
        ends_at=ends_at,
        labels=alert.labels,
        annotations=alert.annotations,
        generator_url=alert.generatorURL,
        external_url=external_url,
    )


def _check_size(alert: _Alert) -> None:
    for name, words in (("labels", alert.labels), ("annotations", alert.annotations)):
        if len(words) > MOST_LABELS:
            raise BadRequestError(f"{name}: {len(words)} of them, at most {MOST_LABELS} are accepted")
        for key, value in words.items():
            if len(key) > MOST_NAME or len(value) > MOST_VALUE:
                raise BadRequestError(
                    f"{name}.{key[:32]}: name of {len(key)} or value of {len(value)} characters, "
                    f"at most {MOST_NAME} and {MOST_VALUE} are accepted"
                )


def _moment(text: str, field: str) -> datetime.datetime | None:
    """UTC; None for Go's zero time, which Alertmanager writes for *not yet*."""
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError as error:
        raise BadRequestError(f"{field}: expected an RFC 3339 time, got {text[:64]!r}") from error
    if moment.tzinfo is None:
        raise BadRequestError(f"{field}: expected a time with its offset, got {text[:64]!r}")
    if moment.year <= 1:
        return None
    try:
        return moment.astimezone(datetime.UTC)
    except OverflowError as error:
        raise BadRequestError(f"{field}: {text[:64]!r} is beyond the years there are") from error


def _fingerprint(alert: _Alert) -> str:
    """Alertmanager's own, or one of ours (a hash of the labels, as theirs is) where a sender has none to use."""
    if _FINGERPRINT.fullmatch(alert.fingerprint):
        return alert.fingerprint
    words = "\0".join(f"{key}\0{value}" for key, value in sorted(alert.labels.items()))
    return hashlib.sha256(words.encode(errors="surrogatepass")).hexdigest()[:16]


def explain(error: pydantic.ValidationError) -> str:
    """The first problem, with its place: ``labels.severity: Input should be a valid string``."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part)[:64] for part in first["loc"])
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{place}: {first['msg']}{more}" if place else f"{first['msg']}{more}"
