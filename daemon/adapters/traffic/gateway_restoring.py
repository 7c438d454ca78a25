"""Putting back what zeroing re-pointed or removed in an HTTPRoute or a GRPCRoute, once a person lifts the hold.

People go on working on their routes meanwhile. A field is put back only where the rule is still the one we changed and
still holds what we wrote; whatever anybody changed since is theirs and stays.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from daemon.adapters.traffic.gateway_backends import changes, guards, reference
from daemon.adapters.traffic.gateway_rules import SECTION, Rule, backends, rules, weight
from daemon.model.route import Original, PatchOperation, RouteObject

_BACKEND_FILTERS = re.compile(r"backendRefs\[(\d{1,3})\]\.filters")


class Restoring:
    """Gathers the write for one object: all tests first, then the changes."""

    def __init__(self, route: RouteObject) -> None:
        self._route = route
        self._rules = list(rules(route.spec))
        self._tests: dict[str, PatchOperation] = {}
        self._writes: dict[str, PatchOperation] = {}
        self._filters: dict[str, list[Any]] = {}
        """Lists of filters as they are to be, by their place."""
        self._returned: set[tuple[str, int]] = set()

    def operations(self, originals: Sequence[Original]) -> tuple[PatchOperation, ...]:
        for original in sorted(originals, key=lambda original: original.index):
            rule = self._find(original) if original.route == self._route.ref else None
            if rule is None:
                continue
            inner = _BACKEND_FILTERS.fullmatch(original.field)
            if original.field == "backendRef":
                self._backend(rule, original)
            elif original.field == "filters":
                self._filter(rule, rule.body, rule.pointer, original)
            elif inner is not None:
                self._backend_filter(rule, int(inner[1]), original)
        # A whole list at once: an empty one that somebody's client has left out is put back as well.
        lists = (PatchOperation("add", pointer, listed) for pointer, listed in self._filters.items())
        return (*self._tests.values(), *self._writes.values(), *lists)

    def _find(self, original: Original) -> Rule | None:
        """The rule by its name, else by its place, and only if its conditions are what they were: an index
        alone could point at the rule that serves everybody."""
        matches = _left(original).get("matches")
        section = self._rules if original.section == SECTION else []
        named = [rule for rule in section if original.rule_name and rule.name == original.rule_name]
        placed = [rule for rule in section if rule.index == original.rule]
        # Two versions of the API may disagree on whether names are unique, so the place decides between namesakes.
        candidates = [rule for rule in placed if rule in named] or named or placed
        return next((rule for rule in candidates if rule.body.get("matches") == matches), None)

    def _backend(self, rule: Rule, original: Original) -> None:
        found = self._as_left(rule, original.index, original)
        if found is None or not isinstance(original.value, Mapping) or self._weighs_more(rule, original):
            return
        pointer = f"{rule.pointer}/backendRefs/{original.index}"
        weighs = backends(rule.body)[original.index].get("weight")
        self._guard(rule, (*guards(pointer, found), PatchOperation("test", f"{pointer}/weight", weighs)))
        self._writes |= {one.path: one for one in changes(pointer, found, original.value)}

    @staticmethod
    def _weighs_more(rule: Rule, original: Original) -> bool:
        """Whether the canary would get a larger part than it had: in a rule with stable on several places, people may
        have exchanged those, or have moved weights."""
        listed, before = backends(rule.body), _left(original).get("weight")
        now = weight(listed[original.index])
        return len(listed) > 1 and (now is None or type(before) is not int or now > before)

    def _backend_filter(self, rule: Rule, place: int, original: Original) -> None:
        found = self._as_left(rule, place, original)
        if found is not None:
            pointer = f"{rule.pointer}/backendRefs/{place}"
            if self._filter(rule, backends(rule.body)[place], pointer, original):
                self._guard(rule, guards(pointer, found))

    def _as_left(self, rule: Rule, place: int, original: Original) -> Mapping[str, Any] | None:
        """The backend at a place of the rule, if it is the one that zeroing left there."""
        listed = backends(rule.body)
        found = reference(listed[place]) if 0 <= place < len(listed) else {}
        return found if found and found == _left(original).get("backendRef") else None

    def _filter(self, rule: Rule, holder: Mapping[str, Any], pointer: str, original: Original) -> bool:
        """A filter goes back to its place among those that are there now, the first ones first."""
        current, where = holder.get("filters"), f"{pointer}/filters"
        present = [] if current is None else current
        if not isinstance(present, list) or original.value in present or (where, original.index) in self._returned:
            return False
        self._returned.add((where, original.index))
        self._filters.setdefault(where, list(present)).insert(original.index, original.value)
        self._guard(rule, [PatchOperation("test", where, current)])
        return True

    def _guard(self, rule: Rule, tests: Iterable[PatchOperation]) -> None:
        matches = PatchOperation("test", f"{rule.pointer}/matches", rule.body.get("matches"))
        self._tests |= {one.path: one for one in (matches, *tests)}


def _left(original: Original) -> Mapping[str, Any]:
    """How zeroing left the place: the rule's conditions, and the backend that it left there."""
    return original.replaced_with if isinstance(original.replaced_with, Mapping) else {}
