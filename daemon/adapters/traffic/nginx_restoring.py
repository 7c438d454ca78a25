"""Putting back what zeroing took from an Ingress, for the day a person lifts the hold.

Only where it is as we left it: an annotation that somebody has set since, or a path that leads elsewhere now, is
theirs and stays. What belongs to a canary's rules goes back only where the object still is a canary's.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from daemon.adapters.traffic.nginx_annotations import MIRROR, alternatives, pointer
from daemon.adapters.traffic.nginx_backends import Backend, backends
from daemon.adapters.traffic.objects import mapping
from daemon.model.route import Original, PatchOperation, RouteObject


class Restoring:
    """Gathers the write for one Ingress: all tests first, then the changes."""

    def __init__(self, route: RouteObject) -> None:
        self._route = route
        self._places: dict[str, dict[tuple[int, int], Backend]] = {}
        for one in backends(route.spec):
            alike = self._places.setdefault(_spelled(one.section, {**one.condition, "backend": one.body}), {})
            alike[one.rule, one.index] = one
        self._prefixes = {one.prefix for one in alternatives(route.annotations)}
        self._tests: dict[str, Any] = {}
        self._writes: dict[str, PatchOperation] = {}

    def operations(self, originals: Sequence[Original]) -> tuple[PatchOperation, ...]:
        for original in originals:
            if original.route != self._route.ref:
                continue
            if original.field == "annotation":
                self._annotation(original)
            elif original.field == "backend":
                self._backend(original)
        tests = (PatchOperation("test", path, value) for path, value in self._tests.items())
        return (*tests, *self._writes.values())

    def _annotation(self, original: Original) -> None:
        key, current = original.section, self._route.annotations.get(original.section)
        before = mapping(original.value).get(key)
        if current != mapping(original.replaced_with).get(key) or current == before:
            return
        prefix, _, name = key.rpartition("/")
        if name != MIRROR:
            if prefix not in self._prefixes:
                return
            self._tests[pointer(f"{prefix}/canary")] = self._route.annotations[f"{prefix}/canary"]
        if self._route.annotations:
            self._tests[pointer(key)] = current
        else:
            # The API server keeps no empty map, so one has to be made, and must not be made over what came since.
            self._tests["/metadata/resourceVersion"] = self._route.resource_version
            self._writes["/metadata/annotations"] = PatchOperation("add", "/metadata/annotations", {})
        if isinstance(before, str):
            self._writes[key] = PatchOperation("add", pointer(key), before)
        else:
            self._writes[key] = PatchOperation("remove", pointer(key))

    def _backend(self, original: Original) -> None:
        left = mapping(original.replaced_with)
        backend = self._find(original, left)
        if backend is None or not mapping(original.value):
            return
        self._tests[backend.pointer] = backend.body
        if backend.section == "rules":
            self._tests[f"/spec/rules/{backend.rule}/host"] = backend.condition.get("host")
            path = backend.pointer.removesuffix("/backend")
            self._tests[f"{path}/path"] = backend.condition.get("path")
        self._writes[backend.pointer] = PatchOperation("replace", backend.pointer, original.value)

    def _find(self, original: Original, left: Mapping[str, Any]) -> Backend | None:
        """The path with the same host and path that still has the backend we wrote, wherever it stands now; of
        several, the one in its old place. None where one of them has its old backend again."""
        if self._places.get(_spelled(original.section, {**left, "backend": original.value})):
            return None
        alike = self._places.get(_spelled(original.section, left), {})
        return alike.get((original.rule, original.index)) or next(iter(alike.values()), None)


def _spelled(section: str, held: Mapping[str, Any]) -> str:
    """Section, host, path and backend in one word: an Ingress may have thousands of paths to look through."""
    return f"{section} {json.dumps(held, sort_keys=True)}"
