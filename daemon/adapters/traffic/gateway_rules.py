"""Reading the rules of an HTTPRoute or a GRPCRoute whatever state they are in.

Both kinds say where requests go in the same words. An API server refuses most of what would be wrong, but not every
API server has the same definitions: nothing here raises. A part that cannot be read is either no path for traffic, or
a weight that is unknown (None), which the planner reports and does not touch.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

SECTION = "rules"
LARGEST_WEIGHT = 1_000_000
"""What the Gateway API allows for one backend."""
UNSAID_WEIGHT = 1
"""What a backend weighs whose weight is not said."""
_MIRROR = "RequestMirror"


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """One rule, and where it stands. Its JSON pointers need no escaping: all their tokens are our own."""

    index: int
    body: Mapping[str, Any]

    @property
    def path(self) -> str:
        return f"{SECTION}[{self.index}]"

    @property
    def pointer(self) -> str:
        return f"/spec/{SECTION}/{self.index}"

    @property
    def name(self) -> str:
        name = self.body.get("name")
        return name if isinstance(name, str) else ""

    @property
    def sticky(self) -> bool:
        """Whether sessions stay with the backend that they began on, even once that one weighs 0."""
        return self.body.get("sessionPersistence") is not None


@dataclasses.dataclass(frozen=True, slots=True)
class Mirror:
    """A filter that copies requests: ``value``, the one at ``index`` of the list at ``pointer``.

    ``field`` is that list as the record spells it; ``backend`` the place of the backend whose requests alone are
    copied, None where it is the rule's. ``share`` is the fraction 0…1 of those requests.
    """

    field: str
    pointer: str
    index: int
    backend: int | None
    value: Mapping[str, Any]
    target: Mapping[str, Any]
    share: float


def rules(spec: Mapping[str, Any]) -> Iterator[Rule]:
    """All rules in the order in which they stand."""
    for index, body in enumerate(_listed(spec, SECTION)):
        if isinstance(body, Mapping):
            yield Rule(index, body)


def backends(rule: Mapping[str, Any]) -> list[Any]:
    """The entries among which a rule splits its traffic. Redirects have none."""
    return _listed(rule, "backendRefs")


def weight(entry: object) -> int | None:
    """An entry's weight; None if what stands there is no weight."""
    if not isinstance(entry, Mapping):
        return None
    value = entry.get("weight")
    if value is None:
        return UNSAID_WEIGHT
    return value if type(value) is int and 0 <= value <= LARGEST_WEIGHT else None


def mirrors(rule: Rule) -> Iterator[Mirror]:
    """Where a rule, or one of its backends, copies requests to.

    A backend's weight does not count: requests that it gets after the next change of weights are copied as well.
    """
    yield from _copies(rule.body, "filters", f"{rule.pointer}/filters", None)
    for index, entry in enumerate(backends(rule.body)):
        if isinstance(entry, Mapping):
            pointer = f"{rule.pointer}/backendRefs/{index}/filters"
            yield from _copies(entry, f"backendRefs[{index}].filters", pointer, index)


def _copies(holder: Mapping[str, Any], field: str, pointer: str, backend: int | None) -> Iterator[Mirror]:
    for index, value in enumerate(_listed(holder, "filters")):
        mirror = value.get("requestMirror") if isinstance(value, Mapping) else None
        # A word that stands there makes it a filter of that kind; without one it is what it looks like.
        if not isinstance(mirror, Mapping) or value.get("type") not in (_MIRROR, None):
            continue
        target = mirror.get("backendRef")
        if isinstance(target, Mapping):
            yield Mirror(field, pointer, index, backend, value, target, _share(mirror))


def _share(mirror: Mapping[str, Any]) -> float:
    """The fraction a mirror copies: everything unless a number says less; where two do, the larger."""
    said = []
    if mirror.get("percent") is not None:
        said.append(_part(mirror["percent"], 100))
    if mirror.get("fraction") is not None:
        fraction = mirror["fraction"] if isinstance(mirror["fraction"], Mapping) else {}
        whole = fraction.get("denominator")
        said.append(_part(fraction.get("numerator"), 100 if whole is None else whole))
    return max(said, default=1.0)


def _part(value: Any, whole: Any) -> float:
    if type(value) is not int or type(whole) is not int or not 0 <= value <= whole or not whole:
        return 1.0
    return value / whole


def _listed(holder: Mapping[str, Any], field: str) -> list[Any]:
    listed = holder.get(field)
    return listed if isinstance(listed, list) else []
