"""Puts the drill's own canary on stage, and takes everything off it again, whatever happened meanwhile."""

import asyncio
import dataclasses
import datetime

from daemon.adapters import times
from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.adapters.kubernetes.resources import (
    CANARIES,
    DEPLOYMENTS,
    VIRTUAL_SERVICES_V1,
    VIRTUAL_SERVICES_V1BETA1,
    Resource,
)
from daemon.drill import objects
from daemon.drill.chain import BrokenLinkError, Link
from daemon.model import errors

_SELECTOR = f"{objects.LABEL}=true"
_TRIES, _PAUSE = 4, 0.5
"""Removing is tried again, so many seconds later: what is left behind is in somebody's way."""


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """One object of a drill."""

    resource: Resource
    name: str
    uid: str
    identity: str
    until: datetime.datetime | None

    def __str__(self) -> str:
        return f"{self.resource.kind} {self.name}"


class Stage:
    """One namespace. ``strike`` may be called at any time, and more than once."""

    def __init__(self, client: KubernetesClient, namespace: str) -> None:
        self._client = client
        self._namespace = namespace
        self._routes = VIRTUAL_SERVICES_V1
        self._identity = ""

    async def sweep(self, now: datetime.datetime) -> None:
        """Removes what an earlier drill has left behind. Raises PullbackError while one is under way."""
        if not await self._serves(VIRTUAL_SERVICES_V1):
            self._routes = VIRTUAL_SERVICES_V1BETA1
        found = await self._there()
        until = max((one.until for one in found if one.until is not None), default=now)
        if until > now:
            raise errors.PullbackError(
                f"a drill is under way in namespace {self._namespace} until {until:%H:%M:%SZ}; if nobody runs it any "
                "more, the next one after that removes what it left"
            )
        left = await self._remove(found)
        if left:
            raise BrokenLinkError(Link.SETUP, "an earlier drill's leftovers cannot be removed: " + "; ".join(left))

    async def set(self, identity: str, now: datetime.datetime, seconds: float) -> None:
        """Makes everything. The Canary first: its name is the lock between two drills."""
        until = times.write(now + datetime.timedelta(seconds=seconds))
        self._identity = identity
        try:
            await self._make(CANARIES, objects.canary(self._namespace, identity, until))
            await self._make(DEPLOYMENTS, objects.deployment(self._namespace, identity))
            await self._make(self._routes, objects.virtual_service(self._namespace, identity, self._routes))
            await self.enter("Progressing", identity, now)
        except errors.NeighbourError as error:
            raise BrokenLinkError(Link.SETUP, f"the drill's own canary cannot be made: {error}") from error

    async def enter(self, phase: str, revision: str, now: datetime.datetime) -> None:
        """What Flagger would say of the canary."""
        status = {"status": objects.status(phase, revision, now)}
        await self._client.merge(CANARIES, self._namespace, objects.NAME, status, subresource="status")

    async def share(self) -> float:
        """Percent that the route gives the canary now."""
        return objects.share(await self._client.get(self._routes, self._namespace, objects.NAME))

    async def strike(self, *, keep: bool) -> list[str]:
        """Removes what was made (unless ``keep``), the Canary first; returns what is there still."""
        if not self._identity:
            return []
        problem = ""
        for _ in range(_TRIES):
            try:
                # Looked up, not remembered: the answer to what made it may have been lost.
                mine = [one for one in await self._there() if one.identity == self._identity]
                left = list(map(str, mine)) if keep else await self._remove(mine)
            except errors.NeighbourError as error:
                problem = f"nobody knows what is left in namespace {self._namespace}: {error}"
            else:
                if keep or not left:
                    return left
                problem = "; ".join(left)
            await asyncio.sleep(_PAUSE)
        return [problem]

    async def _there(self) -> list[Found]:
        found = []
        for resource in (CANARIES, DEPLOYMENTS, self._routes):
            items, _ = await self._client.list(resource, self._namespace, labels=_SELECTOR)
            for item in items:
                metadata = item["metadata"]
                said = metadata.get("annotations") or {}
                found.append(Found(resource, metadata["name"], metadata["uid"], str(said.get(objects.ID) or ""),
                                   times.read(said.get(objects.UNTIL))))  # fmt: skip
        return found

    async def _serves(self, resource: Resource) -> bool:
        try:
            await self._client.list(resource, self._namespace, most=1)
        except errors.Missing:
            return False
        return True

    async def _make(self, resource: Resource, document: objects.Json) -> None:
        try:
            await self._client.create(resource, self._namespace, document)
        except errors.AlreadyThere:
            raise errors.PullbackError(
                f"{resource.kind} {self._namespace}/{objects.NAME} is there already, and is none that this drill made"
            ) from None

    async def _remove(self, found: list[Found]) -> list[str]:
        left = []
        for one in found:
            try:
                await self._client.delete(one.resource, self._namespace, one.name, uid=one.uid)
            except (errors.Missing, errors.Conflict):
                continue  # gone, or another one by now
            except errors.NeighbourError as error:
                left.append(f"{one}: {error}")
        return left
