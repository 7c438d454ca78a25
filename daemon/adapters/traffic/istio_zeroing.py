"""Planning the one write that takes a VirtualService to zero, rule by rule.

Istio's rules that everything here follows from: the only destination of a rule gets all its traffic,
whatever its weight; several destinations share it by weight, an absent weight being 0. So weights do where a
stable destination stands beside the canary, and the destination itself has to change where none does.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from daemon.adapters.traffic.drafting import Draft
from daemon.adapters.traffic.istio_destinations import Counterparts, side_of
from daemon.adapters.traffic.istio_rules import Mirror, Rule, destination, mirrors, routed, rules, weight
from daemon.adapters.traffic.shares import WHOLE
from daemon.adapters.traffic.sides import Side
from daemon.model.route import (
    Original,
    PatchOperation,
    PathShare,
    RouteObject,
    RouteView,
    Sides,
)


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One destination of a split. ``weighed`` tells a written weight from an absent one."""

    index: int
    destination: Mapping[str, Any]
    weight: int
    weighed: bool
    side: Side


class Zeroing(Draft):
    """Works through one VirtualService and gathers its paths and what has to be written.

    ``test`` operations guard exactly the destinations that are written to, so that a write lands whatever
    Flagger did to the weights since we read them, and fails if somebody moved the destinations themselves.
    """

    def __init__(self, route: RouteObject, sides: Sides) -> None:
        super().__init__(route, sides)
        self._counterparts: Counterparts | None = None

    def view(self) -> RouteView:
        """The paths to the canary, and the write that closes them."""
        for rule in rules(self._route.spec):
            self._split(rule)
            self._copies(rule)
        return self._seen()

    def _side(self, found: Mapping[str, Any]) -> Side:
        return side_of(found, self._route.ref.namespace, self._sides)

    def _split(self, rule: Rule) -> None:
        listed = routed(rule.body)
        sides = [self._side(destination(entry)) for entry in listed]
        if Side.CANARY not in sides:
            return
        weighted = any(side is not Side.CANARY for side in sides)
        entries = _entries(listed, sides)
        if entries is None:
            # Nobody can tell what such a rule does, nor what writing to it would do: the worst is reported.
            self._paths.append(PathShare(rule.path, 1.0, weighted))
            return
        share = _share(entries)
        self._paths.append(PathShare(rule.path, share, weighted))
        if share > 0 and self._take_away(rule, entries):
            self._changed(rule.path, share)

    def _take_away(self, rule: Rule, entries: list[Entry]) -> bool:
        """Leaves the canaries of a rule nothing. False if there is nowhere to send their traffic."""
        canaries = [entry for entry in entries if entry.side is Side.CANARY]
        takers = [entry for entry in entries if entry.side is Side.STABLE]
        if not takers:
            takers = [entry for entry in canaries if self._repoint(rule, entry)]
            canaries = [entry for entry in canaries if entry not in takers]
        if not takers:
            return False
        if len(entries) > 1 and (canaries or not _total(entries)):
            self._reweigh(rule, entries, canaries, takers)
        return True

    def _repoint(self, rule: Rule, canary: Entry) -> bool:
        stable = self._known_counterparts().of(canary.destination)
        if stable is None:
            return False
        pointer = f"{rule.pointer}/route/{canary.index}/destination"
        self._tests.append(PatchOperation("test", pointer, canary.destination))
        self._writes.append(PatchOperation("replace", pointer, stable))
        self._remember(rule, "destination", canary.index, canary.destination, {"destination": stable})
        return True

    def _reweigh(self, rule: Rule, entries: list[Entry], canaries: list[Entry], takers: list[Entry]) -> None:
        """Canaries get exactly 0 and the largest stable destination what they had.

        Without third parties every weight of the rule is written, so the sum is right whatever the weights
        have become since. A third party's weight is not ours to write, so there the weights that go into the
        sum are tested instead. A destination that somebody appends meanwhile is not guarded against: JSON
        Patch has no test for a list's length, the canary gets 0 all the same, shares in Istio are relative
        (so the rule stays valid), and whatever else the newcomer brings is seen at the next look.
        """
        largest = max(takers, key=lambda entry: entry.weight)
        freed = sum(entry.weight for entry in canaries)
        alone = all(entry.side is not Side.OTHER for entry in entries)
        targets = {entry.index: entry.weight for entry in takers if alone}
        targets |= {entry.index: 0 for entry in canaries}
        targets[largest.index] = largest.weight + freed if _total(entries) else WHOLE
        for index, target in sorted(targets.items()):
            entry, pointer = entries[index], f"{rule.pointer}/route/{index}"
            if entry in canaries or entry.side is Side.STABLE:  # the others were tested when re-pointed
                self._tests.append(PatchOperation("test", f"{pointer}/destination", entry.destination))
            if not alone:
                tested = entry.weight if entry.weighed else None
                self._tests.append(PatchOperation("test", f"{pointer}/weight", tested))
            if alone or target != entry.weight:
                verb = "replace" if entry.weighed else "add"
                self._writes.append(PatchOperation(verb, f"{pointer}/weight", target))

    def _copies(self, rule: Rule) -> None:
        """Mirrors to the canary go, from the last to the first so that the places of the others stay true."""
        found = [mirror for mirror in mirrors(rule) if self._side(mirror.destination) is Side.CANARY]
        removals = []
        for mirror in found:
            path = f"{rule.path}.{mirror.place}"
            self._paths.append(PathShare(path, mirror.share, weighted=False))
            if mirror.share > 0:
                removals.append(self._removal(rule, mirror))
                self._changed(path, mirror.share)
        self._writes.extend(reversed(removals))

    def _removal(self, rule: Rule, mirror: Mirror) -> PatchOperation:
        pointer = rule.pointer + mirror.pointer
        self._tests.append(PatchOperation("test", pointer, mirror.value))
        self._remember(rule, mirror.field, mirror.index, mirror.value, {})
        return PatchOperation("remove", pointer)

    def _remember(self, rule: Rule, field: str, index: int, value: Any, left: Mapping[str, Any]) -> None:
        """Keeps what a place held, and how it looks now: the rule's conditions tell it from its neighbours
        when people insert or delete rules and every index moves."""
        match = rule.body.get("match")
        replaced_with = dict(left) if match is None else {"match": match, **left}
        self._originals.append(
            Original(self._route.ref, rule.section, rule.index, rule.name, field, index, value, replaced_with)
        )

    def _known_counterparts(self) -> Counterparts:
        """Made when first needed: most objects never re-point anything."""
        if self._counterparts is None:
            used = (destination(entry) for rule in rules(self._route.spec) for entry in routed(rule.body))
            stable = [found for found in used if self._side(found) is Side.STABLE]
            self._counterparts = Counterparts(self._route.ref.namespace, self._sides, stable)
        return self._counterparts


def _entries(listed: list[Any], sides: list[Side]) -> list[Entry] | None:
    """The split, or None if a weight in it cannot be read. The only destination's weight does not matter."""
    entries = []
    for index, (entry, side) in enumerate(zip(listed, sides, strict=True)):
        weighs = 0 if len(listed) == 1 else weight(entry)
        if weighs is None:
            return None
        entries.append(Entry(index, destination(entry), weighs, entry.get("weight") is not None, side))
    return entries


def _total(entries: list[Entry]) -> int:
    return sum(entry.weight for entry in entries)


def _share(entries: list[Entry]) -> float:
    """What the canaries of a rule get. Envoy refuses a split that adds up to 0 and keeps whatever it had
    before, which may be anything: the worst is assumed."""
    total = _total(entries)
    if len(entries) == 1 or not total:
        return 1.0
    return sum(entry.weight for entry in entries if entry.side is Side.CANARY) / total
