"""Reads all that is to be kept, at the same time and within a time; what could not be read is named."""

import asyncio
import dataclasses
import re
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, TypeVar

from daemon.adapters.argo_rollouts import POD_HASH
from daemon.adapters.evidence import pods as looking
from daemon.adapters.evidence.bounds import Bounds
from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.adapters.kubernetes.resources import DEPLOYMENTS, EVENTS, PODS, ROLLOUTS
from daemon.model import errors
from daemon.model.canary import Canary

Json = Mapping[str, Any]
T = TypeVar("T")

_PODS_MOST = 1000
_EVENTS_MOST = 2000
_AT_ONCE = 8
"""Logs read at the same time: the calls that keep traffic at zero share the connections."""

_LONGEST_PART = 16 * 1024
"""Bytes: container runtimes break longer lines in parts, each of which a kubelet counts as a line."""

_WHY_MOST = 200
# What ReplicaSets and pods are called after their Deployment: Kubernetes generates from these letters only.
_GENERATED = "[bcdfghjklmnpqrstvwxz2456789]"


@dataclasses.dataclass(frozen=True, slots=True)
class Log:
    """The end of what one container wrote. ``cut``: more came before."""

    pod: str
    container: str
    previous: bool
    raw: bytes
    cut: bool


@dataclasses.dataclass(slots=True)
class Gathered:
    """What was read; ``pods`` are those looked at closely, of ``pods_there``."""

    canary: Json | None = None
    primary: Json | None = None
    pods: Sequence[Json] = ()
    pods_there: int = 0
    names: frozenset[str] = frozenset()
    events: list[Json] = dataclasses.field(default_factory=list)
    logs: list[Log] = dataclasses.field(default_factory=list)
    missing: list[str] = dataclasses.field(default_factory=list)


class Gathering:
    """One look at one canary."""

    def __init__(self, client: KubernetesClient, bounds: Bounds, canary: Canary) -> None:
        self._client = client
        self._bounds = bounds
        self._canary = canary
        self._namespace = canary.workload_namespace
        self._workloads = ROLLOUTS if canary.workload_kind == ROLLOUTS.kind else DEPLOYMENTS
        self._found = Gathered()
        self._waiting: dict[str, None] = {}
        self._slots = asyncio.Semaphore(_AT_ONCE)
        kind = self._workloads.kind.lower()
        # A Rollout may borrow the template of a Deployment, which then runs no pods.
        self._name = canary.ref.name if self._workloads is ROLLOUTS else canary.workload
        self._primary_named = f"{kind} {canary.primary_workload}" if canary.primary_workload else ""
        self._canary_named = f"{kind} {self._name} and its pods"

    async def gather(self, within: float) -> Gathered:
        """Takes at most ``within`` seconds; no failed read fails it."""
        found = self._found
        selectors = self._event_selectors()
        # Named before anything begins: time may be over before a task had its first turn.
        self._waiting = dict.fromkeys(filter(None, (self._primary_named, self._canary_named, *selectors)))
        try:
            async with asyncio.timeout(within), asyncio.TaskGroup() as group:
                if self._primary_named:
                    group.create_task(self._read_primary())
                for what, selector in selectors.items():
                    group.create_task(self._read_events(what, selector))
                group.create_task(self._read_pods(group))
        except TimeoutError:
            found.missing += [f"{what}: not read within {within:g} s" for what in self._waiting]
        own = re.compile(rf"{re.escape(self._name)}-{_GENERATED}{{1,10}}(-{_GENERATED}{{5}})?")
        found.events = [event for event in found.events if self._concerns(event, own)]
        return found

    async def _attempt(self, what: str, read: Awaitable[T]) -> T | None:
        """None, and its name among the missing, when it could not be read."""
        self._waiting[what] = None
        try:
            answer = await read
        except errors.NeighbourError as problem:
            self._found.missing.append(f"{what}: {type(problem).__name__}: {str(problem)[:_WHY_MOST]}")
            answer = None
        # Not when it is cancelled: that is how it is known what was still waited for.
        del self._waiting[what]
        return answer

    async def _read_primary(self) -> None:
        read = self._client.get(DEPLOYMENTS, self._namespace, self._canary.primary_workload)
        self._found.primary = await self._attempt(self._primary_named, read)

    async def _read_lent_template(self, rollout: Json) -> None:
        name = self._canary.workload
        lender = await self._attempt(f"deployment {name}", self._client.get(DEPLOYMENTS, self._namespace, name))
        template = ((lender or {}).get("spec") or {}).get("template")
        self._found.canary = {**rollout, "spec": {**rollout["spec"], "template": template}}

    async def _read_pods(self, group: asyncio.TaskGroup) -> None:
        canary, found, name = self._canary, self._found, self._name
        if not name:
            found.missing.append("pods of the canary: nobody knows what runs them (annotation pullback.dev/workload)")
            return
        read_one = self._client.get(self._workloads, self._namespace, name)
        found.canary = await self._attempt(self._canary_named, read_one)
        if found.canary is None:
            return
        if self._workloads is ROLLOUTS and "template" not in (found.canary.get("spec") or {}):
            group.create_task(self._read_lent_template(found.canary))
        selector = looking.selector((found.canary.get("spec") or {}).get("selector") or {})
        if self._workloads is ROLLOUTS and selector and canary.revision:
            selector += f",{POD_HASH}={canary.revision}"  # the stable pods are the same Rollout's
        if not selector:
            found.missing.append(f"pods of {name}: the deployment selects none")
            return
        read = self._client.list(PODS, self._namespace, labels=selector, most=_PODS_MOST)
        listed = await self._attempt(f"pods of {name}", read)
        if listed is None:
            return
        found.pods_there = len(listed[0])
        found.names = frozenset(looking.name_of(pod) for pod in listed[0])
        found.pods = looking.chosen(listed[0], self._bounds.pods)
        for pod in found.pods:
            for container, previous in looking.logs_of(pod):
                what = f"log of {looking.name_of(pod)}/{container}" + (" before its restart" if previous else "")
                self._waiting[what] = None
                group.create_task(self._read_log(what, looking.name_of(pod), container, previous=previous))

    async def _read_log(self, what: str, pod: str, container: str, *, previous: bool) -> None:
        lines, most = self._bounds.log_lines, 2 * self._bounds.log_bytes
        # A kubelet counts limitBytes from the oldest line on, so it must only stop what never ends.
        query = {"container": container, "tailLines": str(lines), "limitBytes": str(most + lines * _LONGEST_PART)}
        query |= {"previous": "true"} if previous else {}
        read = await self._attempt(what, self._in_turn(pod, query, most))
        if read is not None:
            raw, cut = read
            cut = cut or raw.count(b"\n") >= lines
            self._found.logs.append(Log(pod, container, previous, raw, cut))

    async def _in_turn(self, pod: str, query: Mapping[str, str], most: int) -> tuple[bytes, bool]:
        # Twice what is kept is read: secrets go before the rest is cut.
        async with self._slots:
            return await self._client.tail((self._namespace, pod), query, most=most)

    def _event_selectors(self) -> dict[str, str]:
        canary = self._canary
        selectors = {
            f"events of {canary.workload}": f"involvedObject.name={canary.workload}",
            "events of replica sets": "involvedObject.kind=ReplicaSet",
            "events of pods": "involvedObject.kind=Pod",
        }
        if canary.ref.name != canary.workload:
            about = f"involvedObject.kind={canary.object_kind.kind},involvedObject.name={canary.ref.name}"
            selectors[f"events of the canary {canary.ref.name}"] = about
        return selectors

    async def _read_events(self, what: str, selector: str) -> None:
        read = self._client.list(EVENTS, self._namespace, fields=selector, most=_EVENTS_MOST)
        listed = await self._attempt(what, read)
        if listed is not None:
            self._found.events += listed[0]
            if len(listed[0]) >= _EVENTS_MOST:
                self._found.missing.append(f"{what}: only {len(listed[0])} of them were looked at")

    def _concerns(self, event: Json, own: re.Pattern[str]) -> bool:
        involved = event.get("involvedObject") or {}
        kind, name = str(involved.get("kind") or ""), str(involved.get("name") or "")
        if kind in {"Pod", "ReplicaSet"}:
            return name in self._found.names or own.fullmatch(name) is not None
        return name in {self._canary.workload, self._canary.ref.name}
