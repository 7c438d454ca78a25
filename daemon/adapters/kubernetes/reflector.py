"""Keeps a local copy of one kind: list, watch, and look again, for ever.

Why our own: kubernetes_asyncio's ``Watch`` answers a missing CRD with a busy loop, retries a 410 with the same
stale version, never relists, and can hang silently (upstream has no informer). Rules here:

* every watch is short (the server ends it after ``watch_seconds``), so a silent connection is found out by
  the missing end; it is resumed from the last version seen, bookmarks included, without a new list;
* 410 relists; a relist tells what vanished in between as deletions;
* an absent kind (404) is said once and looked for again every ``absent_retry`` seconds;
* failures back off with full jitter and never end the loop;
* ``contact`` is when the API server last spoke to us: the age that readiness and metrics show.
"""

import asyncio
import dataclasses
import enum
from collections.abc import Callable, Sequence
from typing import Any

from daemon import ports
from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.adapters.kubernetes.resources import Resource
from daemon.model import errors


class Event(enum.Enum):
    """What happened to an object."""

    PRESENT = enum.auto()
    """Added or changed, or seen in a list."""
    GONE = enum.auto()


class Health(enum.Enum):
    """How a reflector stands with its API server."""

    STARTING = enum.auto()
    SYNCED = enum.auto()
    ABSENT = enum.auto()
    """The kind is not installed: known to be empty, and looked for again."""
    FAILING = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True)
class Pace:
    """How often and how long; seconds."""

    watch_seconds: float = 20.0
    """A watch is ended by the server after this and resumed at once: bounds how long a dead connection lies."""
    grace: float = 5.0
    """Silence allowed beyond the end of a watch before the connection counts as dead."""
    backoff_first: float = 0.1
    backoff_most: float = 5.0
    absent_retry: float = 15.0
    """How often a kind that is not installed is looked for."""
    forget_after: float = 60.0
    """How long a kind that was there must be absent before its objects count as gone: an API server that is
    starting answers 404 for custom kinds until it has read their definitions."""


Receive = Callable[[Event, dict[str, Any]], None]
Report = Callable[[Resource, str | None, str], None]


class Reflector:
    """One kind in one namespace (None: the cluster). ``versions`` are tried in order until one is served.

    ``receive`` is called in order, in the loop, for every object and every change; it must not block.
    ``report`` is told each change of health with one line for the log.
    """

    def __init__(
        self,
        client: KubernetesClient,
        versions: Sequence[Resource],
        namespace: str | None,
        *,
        receive: Receive,
        report: Report,
        chance: ports.Chance,
        pace: Pace,
    ) -> None:
        self._client = client
        self._versions = tuple(versions)
        self.namespace = namespace
        self._receive = receive
        self._report = report
        self._chance = chance
        self._pace = pace
        self._known: dict[tuple[str, str], str] = {}
        self._failures = 0
        self.problem = ""
        self.seen = False
        """It has been listed once, or found to be absent."""
        self._absent_since: float | None = None
        self.resource = self._versions[0]
        self.health = Health.STARTING
        self._contact: float | None = None

    @property
    def kind(self) -> str:
        return self.resource.kind

    def age(self) -> float:
        """Seconds since the API server last spoke to this watch; infinite before the first time."""
        if self._contact is None:
            return float("inf")
        return asyncio.get_running_loop().time() - self._contact

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            try:
                version = await self._list()
                await self._follow(version)
            except errors.Gone:
                # Asked for again at once, but never in a busy loop.
                await asyncio.sleep(self._chance.between(0, self._pace.backoff_first))
            except errors.Missing as problem:
                self._absent(problem)
                # What was there a moment ago is probably coming back.
                retry = min(self._pace.absent_retry, 2.0) if self._known else self._pace.absent_retry
                await asyncio.sleep(retry * self._chance.between(0.8, 1.2))
            except errors.NeighbourError as problem:
                self._failing(problem)
                await asyncio.sleep(self._backoff(problem))

    async def _list(self) -> str:
        items, version = await self._first_served()
        self._touch()
        seen: dict[tuple[str, str], str] = {}
        for item in items:
            key = _key(item)
            seen[key] = item["metadata"].get("resourceVersion", "")
            self._tell(Event.PRESENT, item)
        for namespace, name in self._known.keys() - seen.keys():
            self._tell(Event.GONE, {"metadata": {"namespace": namespace, "name": name}})
        self._known = seen
        self._healthy()
        return version

    async def _first_served(self) -> tuple[list[dict[str, Any]], str]:
        missing: errors.Missing | None = None
        for resource in self._versions:
            try:
                found = await self._client.list(resource, self.namespace)
            except errors.Missing as problem:
                missing = missing or problem
                continue
            self.resource = resource
            return found
        assert missing is not None  # noqa: S101 - there is at least one version
        raise missing

    async def _follow(self, version: str) -> None:
        while True:
            began = asyncio.get_running_loop().time()
            try:
                version = await self._watch_once(version)
                if asyncio.get_running_loop().time() - began < self._pace.backoff_first:
                    # A server or proxy that ends every watch at once must not be asked in a busy loop.
                    await asyncio.sleep(self._chance.between(0, 5 * self._pace.backoff_first))
            except errors.Unreachable as problem:
                # The copy is good up to ``version``: resume there instead of asking for everything again.
                self._failing(problem)
                await asyncio.sleep(self._backoff(problem))

    async def _watch_once(self, version: str) -> str:
        seconds = self._pace.watch_seconds * self._chance.between(0.8, 1.2)
        stream = self._client.watch(
            self.resource, self.namespace, version, seconds=seconds, silence=seconds + self._pace.grace
        )
        async for event in stream:
            self._touch()
            if event["type"] != "BOOKMARK":
                self._take(event)
            version = event["object"]["metadata"].get("resourceVersion", version)
            self._healthy()
        self._touch()
        self._healthy()
        return version

    def _take(self, event: dict[str, Any]) -> None:
        item = event["object"]
        key = _key(item)
        if event["type"] == "DELETED":
            self._known.pop(key, None)
            self._tell(Event.GONE, item)
            return
        self._known[key] = item["metadata"].get("resourceVersion", "")
        self._tell(Event.PRESENT, item)

    def _tell(self, event: Event, item: dict[str, Any]) -> None:
        try:
            self._receive(event, item)
        except Exception as error:  # noqa: BLE001 - told with its name; one odd object must not end the watch of all
            namespace, name = _key(item)
            self._report(self.resource, self.namespace, f"cannot read {namespace}/{name}: {error!r}")

    def _touch(self) -> None:
        self._contact = asyncio.get_running_loop().time()

    def _healthy(self) -> None:
        self._failures = 0
        self._absent_since = None
        self.seen = True
        self._change(Health.SYNCED, "")

    def _absent(self, problem: errors.Missing) -> None:
        self._touch()
        now = asyncio.get_running_loop().time()
        if self._absent_since is None:
            self._absent_since = now
        if now - self._absent_since >= self._pace.forget_after:
            for namespace, name in list(self._known):
                self._tell(Event.GONE, {"metadata": {"namespace": namespace, "name": name}})
            self._known = {}
        self.seen = True
        self._change(Health.ABSENT, str(problem))

    def _failing(self, problem: errors.NeighbourError) -> None:
        self._failures += 1
        self._change(Health.FAILING, str(problem))

    def _change(self, health: Health, problem: str) -> None:
        if self.health is health and (health is not Health.FAILING or problem == self.problem):
            return
        self.health = health
        self.problem = problem
        self._report(
            self.resource, self.namespace, f"{health.name.lower()}: {problem}" if problem else health.name.lower()
        )

    def _backoff(self, problem: errors.NeighbourError) -> float:
        if isinstance(problem, errors.Throttled):
            return min(problem.retry_after, 2 * self._pace.backoff_most) * self._chance.between(1.0, 1.2)
        most = min(self._pace.backoff_most, self._pace.backoff_first * 2 ** min(self._failures, 16))
        return self._chance.between(0, most)


def _key(item: dict[str, Any]) -> tuple[str, str]:
    metadata = item["metadata"]
    return metadata.get("namespace", ""), metadata["name"]
