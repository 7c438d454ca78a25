"""Whether the gateways have taken over what was written, as the status of a route tells."""

from collections.abc import Iterator, Mapping
from typing import Any

from daemon.adapters.traffic.objects import mapping, text
from daemon.model.route import RouteObject

_REQUIRED = "Accepted"
_WHERE_PRESENT = ("ResolvedRefs", "Programmed")
_PARTLY = "PartiallyInvalid"
_MESSAGE_MOST = 200
"""Letters of a controller's own words: some list every rule."""


def pending(route: RouteObject) -> str:
    """Why the spec, in its generation, cannot be taken for live yet: one line; empty when all parents have taken it.

    Every parent that ever took the route has to have taken this generation: one that lags still sends by the one
    before. A condition that names no generation says nothing of this one.

    A route without any status is pending for ever. Whoever has a gateway that writes none does not want to be called
    at every rollback, but nobody can learn from the API what such a gateway does: only the traffic itself can tell (no
    requests at the canary, or no endpoints). Taken for live, a write that no gateway has seen would be called a proved
    zero.
    """
    listed = route.status.get("parents")
    parents = [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
    if not parents:
        return f"no gateway has accepted it (generation {route.generation})"
    return "; ".join(reason for parent in parents if (reason := _lag(parent, route)))


def _lag(parent: Mapping[str, Any], route: RouteObject) -> str:
    """Why one parent does not send by this generation."""
    wanted = route.generation
    conditions = {text(one.get("type")): one for one in _conditions(parent)}
    who = _name(parent, route.ref.namespace)
    accepted = conditions.get(_REQUIRED)
    if accepted is None:
        return f"{who} does not say whether it has accepted generation {wanted}"
    for kind in (_REQUIRED, *_WHERE_PRESENT):
        condition = conditions.get(kind)
        if condition is None:
            continue
        seen, status = condition.get("observedGeneration"), condition.get("status")
        if type(seen) is not int or seen < wanted:
            which = f"generation {seen}" if type(seen) is int else "no generation that it names"
            return f"{who} has not taken over generation {wanted}: its {kind} is of {which}"
        if status not in ("True", "False"):
            return f"{who} has not made up its mind about generation {wanted}: {kind} is {text(status) or 'unreadable'}"
        if status == "False":
            return f"{who} says of generation {wanted} that it is not {kind}: {_words(condition)}"
    partly = conditions.get(_PARTLY)
    if partly is not None and partly.get("status") == "True":
        return f"{who} has taken over a part of generation {wanted} only: {_words(partly)}"
    return ""


def _conditions(parent: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    listed = parent.get("conditions")
    return (one for one in (listed if isinstance(listed, list) else ()) if isinstance(one, Mapping))


def _name(parent: Mapping[str, Any], namespace: str) -> str:
    """``Gateway infra/public, listener https (example.net/gateway-controller)``"""
    found = mapping(parent.get("parentRef"))
    section = text(found.get("sectionName"))
    where = f"{text(found.get('namespace')) or namespace}/{text(found.get('name')) or '?'}"
    named = f"{text(found.get('kind')) or 'Gateway'} {where}{f', listener {section}' if section else ''}"
    return f"{named} ({text(parent.get('controllerName')) or 'an unnamed controller'})"


def _words(condition: Mapping[str, Any]) -> str:
    said = ": ".join(one for key in ("reason", "message") if (one := text(condition.get(key))))
    return " ".join(said.split())[:_MESSAGE_MOST] or "no reason given"
