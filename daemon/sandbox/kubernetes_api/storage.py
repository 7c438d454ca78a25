"""Objects, one resourceVersion for all of them, and the bounded history that watches resume from."""

from __future__ import annotations

import json
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from daemon.sandbox.kubernetes_api.resources import ResourceKey
from daemon.sandbox.kubernetes_api.statuses import JsonObject

Key = tuple[str, str]  # namespace ("" when cluster-scoped), name
Verdict = Literal["ADDED", "MODIFIED", "DELETED"]

# A real server has written hundreds of its own objects before anyone comes: version 1 is long gone.
FIRST_REVISION = 200
CONTINUATIONS = 64


def encode(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


class Stored:
    """One object at one resourceVersion. Never changed once made: watches and list pages share it."""

    __slots__ = ("body", "revision", "value")

    def __init__(self, value: JsonObject, revision: int) -> None:
        """`value` carries neither apiVersion nor kind: those depend on the version asked for."""
        self.value = value
        self.revision = revision
        self.body = encode(value)

    def encoded(self, prefix: bytes) -> bytes:
        return prefix + self.body[1:]

    def copied(self) -> JsonObject:
        loaded: JsonObject = json.loads(self.body)
        return loaded


@dataclass(frozen=True, slots=True)
class Change:
    verdict: Verdict
    key: Key
    stored: Stored
    previous: Stored | None

    @property
    def revision(self) -> int:
        return self.stored.revision


Listener = Callable[[Change], None]


@dataclass
class Shelf:
    """All objects of one resource, in name order, with what happened to them lately."""

    floor: int  # events up to here are forgotten
    history: deque[Change]
    objects: dict[Key, Stored] = field(default_factory=dict)
    listeners: set[Listener] = field(default_factory=set)
    closers: set[Callable[[], None]] = field(default_factory=set)
    _ordered: list[Key] | None = None

    def ordered(self, namespace: str) -> list[tuple[Key, Stored]]:
        if self._ordered is None:
            self._ordered = sorted(self.objects)
        return [(k, self.objects[k]) for k in self._ordered if not namespace or k[0] == namespace]

    def keep(self, key: Key, stored: Stored) -> None:
        if key not in self.objects:
            self._ordered = None
        self.objects[key] = stored

    def drop(self, key: Key) -> Stored:
        self._ordered = None
        return self.objects.pop(key)

    def announce(self, change: Change) -> None:
        if len(self.history) == self.history.maxlen:
            self.floor = self.history[0].revision if self.history else change.revision
        self.history.append(change)
        for listener in tuple(self.listeners):
            listener(change)

    def since(self, revision: int) -> list[Change]:
        return [c for c in self.history if c.revision > revision]


class Storage:
    def __init__(self, history: int = 10_000) -> None:
        self.revision = FIRST_REVISION
        self._window = history
        self._shelves: dict[ResourceKey, Shelf] = {}
        self._owned: dict[str, set[tuple[ResourceKey, Key]]] = {}
        self._uids: set[str] = set()
        self._pages: OrderedDict[str, list[Stored]] = OrderedDict()

    def shelf(self, resource: ResourceKey) -> Shelf:
        if resource not in self._shelves:
            self._shelves[resource] = Shelf(self.revision, deque(maxlen=self._window))
        return self._shelves[resource]

    def get(self, resource: ResourceKey, key: Key) -> Stored | None:
        return self.shelf(resource).objects.get(key)

    def put(self, resource: ResourceKey, key: Key, value: JsonObject) -> Stored:
        shelf = self.shelf(resource)
        previous = shelf.objects.get(key)
        stored = self._stamped(value)
        self._disown(resource, key, previous)
        self._uids.add(value["metadata"]["uid"])
        for owner in value["metadata"].get("ownerReferences") or ():
            self._owned.setdefault(owner["uid"], set()).add((resource, key))
        shelf.keep(key, stored)
        shelf.announce(Change("ADDED" if previous is None else "MODIFIED", key, stored, previous))
        return stored

    def remove(self, resource: ResourceKey, key: Key) -> Stored:
        shelf = self.shelf(resource)
        previous = shelf.drop(key)
        self._disown(resource, key, previous)
        self._uids.discard(previous.value["metadata"]["uid"])
        value = {**previous.value, "metadata": dict(previous.value["metadata"])}
        stored = self._stamped(value)
        shelf.announce(Change("DELETED", key, stored, previous))
        return stored

    def forget(self, resource: ResourceKey) -> None:
        """The resource is served no longer: its watches end."""
        shelf = self._shelves.pop(resource, None)
        for close in tuple(shelf.closers) if shelf else ():
            close()

    def dependents(self, uid: str) -> list[tuple[ResourceKey, Key]]:
        return sorted(self._owned.get(uid, ()))

    def alive(self, uid: str) -> bool:
        return uid in self._uids

    def occupied(self, namespace: str) -> list[tuple[ResourceKey, Key]]:
        return [(r, k) for r, shelf in self._shelves.items() for k in shelf.objects if k[0] == namespace]

    def compact(self) -> None:
        """Forget all history now: resuming watches and half-read lists get 410 Expired."""
        self._pages.clear()
        for shelf in self._shelves.values():
            shelf.history.clear()
            shelf.floor = self.revision

    def save_page(self, token: str, rest: list[Stored]) -> None:
        self._pages[token] = rest
        if len(self._pages) > CONTINUATIONS:
            self._pages.popitem(last=False)

    def page(self, token: str) -> list[Stored] | None:
        return self._pages.get(token)

    def _stamped(self, value: JsonObject) -> Stored:
        self.revision += 1
        value["metadata"]["resourceVersion"] = str(self.revision)
        return Stored(value, self.revision)

    def _disown(self, resource: ResourceKey, key: Key, previous: Stored | None) -> None:
        for owner in (previous.value["metadata"].get("ownerReferences") or ()) if previous else ():
            owned = self._owned.get(owner["uid"], set())
            owned.discard((resource, key))
            if not owned:
                self._owned.pop(owner["uid"], None)
