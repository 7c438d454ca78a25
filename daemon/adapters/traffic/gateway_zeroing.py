"""Planning the one write that takes an HTTPRoute or a GRPCRoute to zero, rule by rule.

The Gateway API's rules that everything here follows from: backends share a rule by weight, an absent weight being 1; a
backend of weight 0 gets nothing, and where all weigh 0 the rule answers with errors. So weights do where a stable
backend stands beside the canary, and the canary has to be re-pointed where none does: with weight 0 its users would
get errors. A rule that gives the canary nothing is left as it is, even one that answers with errors.

Sessions that persist stay with their backend even when it weighs 0 (GEP-1619), so in such a rule the canary is
re-pointed as well, whatever it weighs.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from daemon.adapters.traffic.drafting import Draft
from daemon.adapters.traffic.gateway_backends import Counterparts, changes, guards, reference, service_of, side_of
from daemon.adapters.traffic.gateway_rules import (
    LARGEST_WEIGHT,
    SECTION,
    UNSAID_WEIGHT,
    Mirror,
    Rule,
    backends,
    mirrors,
    rules,
    weight,
)
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
    """One backend of a split. ``said`` tells a written weight from an absent one."""

    index: int
    reference: Mapping[str, Any]
    weight: int
    said: bool
    side: Side


class Zeroing(Draft):
    """Works through one object and gathers its paths and what has to be written.

    ``test`` operations guard exactly the backends that are written to, so that a write lands whatever Flagger did to
    the weights since we read them, and fails if somebody moved the backends themselves.
    """

    def __init__(self, route: RouteObject, sides: Sides) -> None:
        super().__init__(route, sides)
        self._counterparts: Counterparts | None = None
        self._repointed: dict[tuple[int, int], Mapping[str, Any]] = {}
        """What takes the place of a canary, by rule and place."""

    def view(self) -> RouteView:
        """The paths to the canary, and the write that closes them."""
        for rule in rules(self._route.spec):
            self._split(rule)
            self._copies(rule)
        return self._seen()

    def _side(self, found: Mapping[str, Any]) -> Side:
        return side_of(found, self._route.ref.namespace, self._sides)

    def _split(self, rule: Rule) -> None:
        listed = backends(rule.body)
        sides = [self._side(reference(entry)) for entry in listed]
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
        if (share > 0 or rule.sticky) and self._take_away(rule, entries) and share > 0:
            self._changed(rule.path, share)

    def _take_away(self, rule: Rule, entries: list[Entry]) -> bool:
        """Leaves the canaries of a rule nothing. False if there is nowhere to send their traffic."""
        canaries = [entry for entry in entries if entry.side is Side.CANARY]
        stable = [entry for entry in entries if entry.side is Side.STABLE]
        takers = stable
        if rule.sticky or not stable:
            moved = self._repointed_of(rule, canaries, _largest(stable).reference if stable else None)
            canaries = [entry for entry in canaries if entry not in moved]
            takers = stable or moved
        if not takers:
            return False
        if canaries:
            self._reweigh(rule, entries, canaries, takers)
        return True

    def _repointed_of(self, rule: Rule, canaries: list[Entry], beside: Mapping[str, Any] | None) -> list[Entry]:
        """The canaries that are re-pointed now. ``beside``: the stable backend of the same rule, if it has one."""
        moved = [entry for entry in canaries if self._repoint(rule, entry, beside)]
        if rule.sticky and moved and len(moved) < len(canaries):
            # Weight 0 would not do for the others; what the first have become stands beside them now.
            beside = self._repointed[rule.index, moved[0].index]
            moved += [entry for entry in canaries if entry not in moved and self._repoint(rule, entry, beside)]
        return moved

    def _repoint(self, rule: Rule, canary: Entry, beside: Mapping[str, Any] | None) -> bool:
        nearest = service_of(beside, self._route.ref.namespace) if beside is not None else None
        stable = self._known_counterparts().of(canary.reference, nearest)
        if stable is None:
            return False
        pointer = f"{rule.pointer}/backendRefs/{canary.index}"
        self._tests.extend(guards(pointer, canary.reference))
        self._writes.extend(changes(pointer, canary.reference, stable))
        self._repointed[rule.index, canary.index] = stable
        left = {"backendRef": stable, "weight": canary.weight}
        self._remember(rule, "backendRef", canary.index, canary.reference, left)
        return True

    def _reweigh(self, rule: Rule, entries: list[Entry], canaries: list[Entry], takers: list[Entry]) -> None:
        """Canaries get exactly 0 and the largest stable backend what they had.

        Without third parties every weight of the rule is written, so the sum is right whatever the weights have become
        since. A third party's weight is not ours to write, so there the weights that go into the sum are tested
        instead. A backend that somebody appends meanwhile is not guarded against: JSON Patch has no test for a list's
        length, the canary gets 0 all the same, and whatever else the newcomer brings is seen at the next look.
        """
        largest = _largest(takers)
        freed = sum(entry.weight for entry in canaries)
        alone = all(entry.side is not Side.OTHER for entry in entries)
        targets = {entry.index: entry.weight for entry in takers if alone}
        targets |= {entry.index: 0 for entry in canaries}
        targets[largest.index] = min(largest.weight + freed, LARGEST_WEIGHT)
        for index, target in sorted(targets.items()):
            entry, pointer = entries[index], f"{rule.pointer}/backendRefs/{index}"
            if entry in canaries or entry.side is Side.STABLE:  # the others were tested when re-pointed
                self._tests.extend(guards(pointer, entry.reference))
            if not alone:
                self._tests.append(PatchOperation("test", f"{pointer}/weight", entry.weight if entry.said else None))
            if alone or target != entry.weight:
                # ``add`` replaces a weight that is there, and lands where one has gone, or come, since.
                self._writes.append(PatchOperation("add", f"{pointer}/weight", target))

    def _copies(self, rule: Rule) -> None:
        """Mirrors to the canary go, from the last to the first so that the places of the others stay true."""
        removals = []
        for mirror in mirrors(rule):
            if self._side(mirror.target) is not Side.CANARY:
                continue
            path = f"{rule.path}.{mirror.field}[{mirror.index}]"
            self._paths.append(PathShare(path, mirror.share, weighted=False))
            if mirror.share > 0:
                removals.append(self._removal(rule, mirror))
                self._changed(path, mirror.share)
        self._writes.extend(reversed(removals))

    def _removal(self, rule: Rule, mirror: Mirror) -> PatchOperation:
        pointer = f"{mirror.pointer}/{mirror.index}"
        self._tests.append(PatchOperation("test", pointer, mirror.value))
        left = {}
        if mirror.backend is not None:
            left = {"backendRef": self._left(rule, mirror.backend)}
        self._remember(rule, mirror.field, mirror.index, mirror.value, left)
        return PatchOperation("remove", pointer)

    def _left(self, rule: Rule, backend: int) -> Mapping[str, Any]:
        """The backend that this write leaves at a place of the rule."""
        return self._repointed.get((rule.index, backend)) or reference(backends(rule.body)[backend])

    def _remember(self, rule: Rule, field: str, index: int, value: Any, left: Mapping[str, Any]) -> None:
        """Keeps what a place held, and how it looks now: the rule's conditions tell it from its neighbours
        when people insert or delete rules and every index moves."""
        matches = rule.body.get("matches")
        replaced_with = dict(left) if matches is None else {"matches": matches, **left}
        self._originals.append(
            Original(self._route.ref, SECTION, rule.index, rule.name, field, index, value, replaced_with)
        )

    def _known_counterparts(self) -> Counterparts:
        """Made when first needed: most objects never re-point anything."""
        if self._counterparts is None:
            used = (reference(entry) for rule in rules(self._route.spec) for entry in backends(rule.body))
            stable = [found for found in used if self._side(found) is Side.STABLE]
            self._counterparts = Counterparts(self._route.ref.namespace, self._sides, stable)
        return self._counterparts


def _entries(listed: list[Any], sides: list[Side]) -> list[Entry] | None:
    """The split, or None if a weight in it cannot be read. An only backend is re-pointed, so there anything will do."""
    entries = []
    for index, (entry, side) in enumerate(zip(listed, sides, strict=True)):
        weighs = weight(entry)
        if weighs is None and len(listed) == 1:
            weighs = UNSAID_WEIGHT
        if weighs is None:
            return None
        entries.append(Entry(index, reference(entry), weighs, entry.get("weight") is not None, side))
    return entries


def _largest(entries: list[Entry]) -> Entry:
    return max(entries, key=lambda entry: entry.weight)


def _share(entries: list[Entry]) -> float:
    """What the canaries of a rule get."""
    total = sum(entry.weight for entry in entries)
    return sum(entry.weight for entry in entries if entry.side is Side.CANARY) / total if total else 0.0
