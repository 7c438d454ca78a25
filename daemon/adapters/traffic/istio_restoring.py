"""Putting back what zeroing re-pointed or removed, for the day a person lifts the hold.

People go on working on their routes meanwhile. A field is put back only where the rule is still the one we
changed and still holds what we wrote; whatever anybody changed since is theirs and stays.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from daemon.adapters.traffic.istio_rules import Rule, destination, routed, rules
from daemon.model.route import Original, PatchOperation, RouteObject


class Restoring:
    """Gathers the write for one VirtualService: all tests first, then the changes."""

    def __init__(self, route: RouteObject) -> None:
        self._route = route
        self._rules = list(rules(route.spec))
        self._tests: dict[str, Any] = {}
        self._writes: dict[str, PatchOperation] = {}
        self._returning: dict[str, set[int]] = {}

    def operations(self, originals: Sequence[Original]) -> tuple[PatchOperation, ...]:
        for original in sorted(originals, key=lambda original: original.index):
            rule = self._find(original) if original.route == self._route.ref else None
            if rule is None:
                continue
            if original.field == "destination":
                self._destination(rule, original)
            elif original.field == "mirror":
                self._mirror(rule, original)
            elif original.field == "mirrors":
                self._listed_mirror(rule, original)
        tests = (PatchOperation("test", path, value) for path, value in self._tests.items())
        return (*tests, *self._writes.values())

    def _find(self, original: Original) -> Rule | None:
        """The rule by its name, else by its place, and only if its conditions are what they were: an index
        alone could point at the rule that serves everybody."""
        match = _left(original).get("match")
        section = [rule for rule in self._rules if rule.section == original.section]
        named = [rule for rule in section if original.rule_name and rule.name == original.rule_name]
        placed = [rule for rule in section if rule.index == original.rule]
        # Names need not be unique, so the place decides between namesakes.
        candidates = [rule for rule in placed if rule in named] or named or placed
        for rule in candidates:
            if rule.body.get("match") == match:
                return rule
        return None

    def _destination(self, rule: Rule, original: Original) -> None:
        listed = routed(rule.body)
        if original.index >= len(listed):
            return
        current = destination(listed[original.index])
        if current and current == _left(original).get("destination"):
            pointer = f"{rule.pointer}/route/{original.index}/destination"
            self._guard(rule, pointer, current)
            self._writes[pointer] = PatchOperation("replace", pointer, original.value)

    def _mirror(self, rule: Rule, original: Original) -> None:
        if rule.body.get("mirror") is None and not rule.body.get("mirrors"):
            pointer = f"{rule.pointer}/mirror"
            self._guard(rule, pointer, None)
            self._writes[pointer] = PatchOperation("add", pointer, original.value)

    def _listed_mirror(self, rule: Rule, original: Original) -> None:
        """An entry goes back to its place among those that are there now, the first ones first."""
        current = rule.body.get("mirrors")
        if not isinstance(current, list) or original.value in current:
            return
        pointer = f"{rule.pointer}/mirrors"
        returning = self._returning.setdefault(pointer, set())
        if original.index not in returning:
            place = min(original.index, len(current) + len(returning))
            returning.add(original.index)
            self._guard(rule, pointer, current)
            key = f"{pointer}/{original.index}"
            self._writes[key] = PatchOperation("add", f"{pointer}/{place}", original.value)

    def _guard(self, rule: Rule, pointer: str, value: Any) -> None:
        self._tests[f"{rule.pointer}/match"] = rule.body.get("match")
        self._tests[pointer] = value


def _left(original: Original) -> Mapping[str, Any]:
    """How zeroing left the place: the rule's conditions and, unless a mirror went, the new destination."""
    return original.replaced_with if isinstance(original.replaced_with, Mapping) else {}
