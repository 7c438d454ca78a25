"""Query strings: what is asked for, or a sentence that names the parameter and says what was expected."""

import datetime
import enum
from typing import TypeVar

from aiohttp import web

from daemon.model.history import Filter
from daemon.model.rollback import RollbackPhase, Trigger

Member = TypeVar("Member", bound=enum.Enum)

_MOST = 10_000


class BadQueryError(Exception):
    """A query parameter that cannot be used; the message names it and what was expected."""


def rollbacks(request: web.Request) -> Filter:
    """Which rollbacks are asked for."""
    given = only(request, "namespace", "canary", "phase", "trigger", "since", "limit")
    return Filter(
        namespace=given.get("namespace"),
        canary=given.get("canary"),
        phase=_member(RollbackPhase, "phase", given.get("phase")),
        trigger=_member(Trigger, "trigger", given.get("trigger")),
        since=_moment(given.get("since")),
        limit=_limit(given.get("limit")),
    )


def only(request: web.Request, *names: str) -> dict[str, str]:
    """A typo must not look like an answer to what was meant."""
    unknown = sorted(set(request.query) - set(names))
    if unknown:
        expected = f"expected some of {', '.join(names)}" if names else "none is expected"
        raise BadQueryError(f"{unknown[0][:64]}: no such parameter; {expected}")
    twice = next((name for name in names if len(request.query.getall(name, ())) > 1), None)
    if twice is not None:
        raise BadQueryError(f"{twice}: given twice")
    return dict(request.query)


def _member(kind: type[Member], name: str, value: str | None) -> Member | None:
    if value is None:
        return None
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(str(member.value) for member in kind)
        raise BadQueryError(f"{name}: expected one of {known}, got {value[:64]!r}") from None


def _moment(value: str | None) -> datetime.datetime | None:
    if value is None:
        return None
    try:
        # A plus sign that was not quoted arrives as a space.
        moment = datetime.datetime.fromisoformat(value.replace(" ", "+"))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise BadQueryError(f"since: expected an RFC 3339 time such as 2026-11-23T07:00:00Z, got {value[:64]!r}")
    return moment


def _limit(value: str | None) -> int | None:
    if value is None:
        return None
    if not (len(value) < 10 and value.isascii() and value.isdigit() and 1 <= int(value) <= _MOST):
        raise BadQueryError(f"limit: expected a number from 1 to {_MOST}, got {value[:64]!r}")
    return int(value)
