"""Reading the rules of a VirtualService whatever state they are in.

What people and controllers write is not always what the schema says. Nothing here raises: a part that cannot
be read is either no path for traffic, or a weight that is unknown (None), which the planner reports and does
not touch.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

SECTIONS = ("http", "tcp", "tls")
LARGEST_WEIGHT = 2**31 - 1
NOWHERE: Mapping[str, Any] = {}


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """One rule, and where it stands. Its JSON pointers need no escaping: all their tokens are our own."""

    section: str
    index: int
    body: Mapping[str, Any]

    @property
    def path(self) -> str:
        return f"{self.section}[{self.index}]"

    @property
    def pointer(self) -> str:
        return f"/spec/{self.section}/{self.index}"

    @property
    def name(self) -> str:
        name = self.body.get("name")
        return name if isinstance(name, str) else ""


@dataclasses.dataclass(frozen=True, slots=True)
class Mirror:
    """A copy of a rule's requests. ``value`` is what stands at ``pointer``; ``index`` is 0 for ``mirror``."""

    field: str
    index: int
    value: Mapping[str, Any]
    destination: Mapping[str, Any]
    share: float

    @property
    def place(self) -> str:
        """Where in the rule it stands, as the record spells it."""
        return "mirror" if self.field == "mirror" else f"mirrors[{self.index}]"

    @property
    def pointer(self) -> str:
        return "/mirror" if self.field == "mirror" else f"/mirrors/{self.index}"


def rules(spec: Mapping[str, Any]) -> Iterator[Rule]:
    """All rules in the order in which they stand."""
    for section in SECTIONS:
        listed = spec.get(section)
        if isinstance(listed, list):
            for index, body in enumerate(listed):
                if isinstance(body, Mapping):
                    yield Rule(section, index, body)


def routed(rule: Mapping[str, Any]) -> list[Any]:
    """The entries among which a rule splits its traffic. Redirects, delegates and the like have none."""
    listed = rule.get("route")
    return listed if isinstance(listed, list) else []


def destination(entry: object) -> Mapping[str, Any]:
    """Where an entry sends its part; empty if that cannot be read."""
    found = entry.get("destination") if isinstance(entry, Mapping) else None
    return found if isinstance(found, Mapping) else NOWHERE


def weight(entry: object) -> int | None:
    """An entry's weight, absent being 0; None if what stands there is no weight."""
    if not isinstance(entry, Mapping):
        return None
    value = entry.get("weight")
    if value is None:
        return 0
    return value if type(value) is int and 0 <= value <= LARGEST_WEIGHT else None


def mirrors(rule: Rule) -> Iterator[Mirror]:
    """Where a rule copies its requests to. Only HTTP can be copied."""
    if rule.section != "http":
        return
    single = rule.body.get("mirror")
    if isinstance(single, Mapping):
        yield Mirror("mirror", 0, single, single, _share(_percentage(rule.body)))
    listed = rule.body.get("mirrors")
    for index, value in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(value, Mapping) and (target := destination(value)):
            yield Mirror("mirrors", index, value, target, _share(value.get("percentage")))


def _percentage(rule: Mapping[str, Any]) -> Any:
    """The single mirror's percentage in the spelling that wins, the two deprecated ones last."""
    for key in ("mirrorPercentage", "mirrorPercent", "mirror_percent"):
        if rule.get(key) is not None:
            return rule[key]
    return None


def _share(percentage: Any) -> float:
    """The fraction a mirror copies: everything unless a number says less."""
    value = percentage.get("value", 0) if isinstance(percentage, Mapping) else percentage
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        return 1.0
    return value / 100
