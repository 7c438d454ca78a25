"""Faults on demand and a log of calls: a test makes the API server misbehave, and looks back."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from daemon.sandbox.kubernetes_api.resources import Resource
from daemon.sandbox.kubernetes_api.statuses import REASONS, ApiError, JsonObject

Action = Literal["status", "slow", "hang", "reset", "lose"]
ACTIONS = ("status", "slow", "hang", "reset", "lose")


@dataclass(slots=True)
class Call:
    """One request as it came, and how it was answered (status 0: not at all, or not yet)."""

    method: str
    path: str
    verb: str
    group: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    user_agent: str = ""
    user: str = ""
    started: float = 0.0
    status: int = 0
    seconds: float = 0.0
    query: dict[str, str] = field(default_factory=dict)


@dataclass
class Fault:
    """One rule. None matches anything; `after` calls pass first; `times=None` goes on until removed.

    `status` refuses; `slow` answers late; `hang` never answers; `reset` cuts before anything is done; `lose`
    does the work and then cuts, so that the caller cannot know.
    """

    action: Action
    verb: str | None = None
    resource: str | None = None
    namespace: str | None = None
    name: str | None = None
    subresource: str | None = None
    user_agent: str | None = None
    after: int = 0
    times: int | None = 1
    code: int = 500
    reason: str | None = None
    message: str = "injected by the sandbox"
    retry_after: float | None = None
    seconds: float = 0.0
    seen: int = 0
    hits: int = 0

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise ValueError(f"unknown action {self.action!r}, not one of {', '.join(ACTIONS)}")

    def concerns(self, call: Call) -> bool:
        wanted = (self.verb, self.namespace, self.name, self.subresource)
        given = (call.verb, call.namespace, call.name, call.subresource)
        plain = all(w is None or w == g for w, g in zip(wanted, given, strict=True))
        resources = {call.resource, f"{call.resource}.{call.group}"}
        agent = self.user_agent is None or self.user_agent in call.user_agent
        return plain and agent and (self.resource is None or self.resource in resources)

    def strikes(self, call: Call) -> bool:
        """Counts the call, and says whether its turn has come."""
        if (self.times is not None and self.hits >= self.times) or not self.concerns(call):
            return False
        self.seen += 1
        if self.seen <= self.after:
            return False
        self.hits += 1
        return True

    def error(self) -> ApiError:
        reason = self.reason or REASONS.get(self.code, "Unknown")
        return ApiError(self.code, reason, self.message, retry_after=self.retry_after)


class Faults:
    """The faults in force. The first terminal one wins; slow ones before it add up."""

    def __init__(self) -> None:
        self._rules: list[Fault] = []
        self.released = asyncio.Event()  # replaced at every clear(): ends what hangs now
        self.watches = WatchFaults()

    def __iter__(self) -> Iterator[Fault]:
        return iter(self._rules)

    def add(self, fault: Fault) -> Fault:
        self._rules.append(fault)
        return fault

    def fail(self, code: int, message: str = "injected by the sandbox", **where: Any) -> Fault:
        """Refuse with this code: fail(429, verb="patch", retry_after=2, times=3)."""
        return self.add(Fault("status", code=code, message=message, **where))

    def slow(self, seconds: float, **where: Any) -> Fault:
        return self.add(Fault("slow", seconds=seconds, **where))

    def hang(self, **where: Any) -> Fault:
        return self.add(Fault("hang", **where))

    def reset(self, **where: Any) -> Fault:
        return self.add(Fault("reset", **where))

    def lose_response(self, **where: Any) -> Fault:
        return self.add(Fault("lose", **where))

    def remove(self, fault: Fault) -> None:
        if fault in self._rules:
            self._rules.remove(fault)

    def clear(self) -> None:
        """No more faults: what hangs is cut, frozen watches go on."""
        self._rules.clear()
        self.release()
        self.thaw_watches()

    def release(self) -> None:
        """Cut every request that hangs now."""
        self.released.set()
        self.released = asyncio.Event()

    def striking(self, call: Call) -> list[Fault]:
        struck: list[Fault] = []
        for fault in self._rules:
            if fault.strikes(call):
                struck.append(fault)
                if fault.action != "slow":
                    break
        return struck

    def denies(self, verb: str, resource: str, group: str, namespace: str, name: str, subresource: str) -> bool:
        """Would RBAC say no? Only lasting 403 rules count: that is how a sandbox spells a missing role."""
        call = Call("", "", verb, group, resource, namespace, name, subresource)
        return any(f.action == "status" and f.code == 403 and f.times is None and f.concerns(call) for f in self)

    def cut_watches(self, resource: str | None = None) -> int:
        return self.watches.cut(resource)

    def freeze_watches(self, resource: str | None = None, *, new_too: bool = False) -> int:
        return self.watches.freeze(resource, new_too=new_too)

    def thaw_watches(self) -> None:
        self.watches.thaw()


@dataclass(eq=False)
class OpenWatch:
    resource: Resource
    cut: Callable[[], None]
    frozen: bool = False
    thawed: asyncio.Event = field(default_factory=asyncio.Event)


class WatchFaults:
    """The watches open now, so that they can be cut, or kept open and silent."""

    def __init__(self) -> None:
        self.open: set[OpenWatch] = set()
        self._freeze_new: set[str | None] = set()

    def opened(self, watch: OpenWatch) -> None:
        names = {None, watch.resource.plural, watch.resource.qualified}
        watch.frozen = bool(names & self._freeze_new)
        self.open.add(watch)

    def closed(self, watch: OpenWatch) -> None:
        self.open.discard(watch)

    def of(self, resource: str | None) -> list[OpenWatch]:
        return [w for w in self.open if resource in {None, w.resource.plural, w.resource.qualified}]

    def cut(self, resource: str | None) -> int:
        chosen = self.of(resource)
        for watch in chosen:
            watch.cut()
        return len(chosen)

    def freeze(self, resource: str | None, *, new_too: bool) -> int:
        if new_too:
            self._freeze_new.add(resource)
        chosen = self.of(resource)
        for watch in chosen:
            watch.frozen = True
            watch.thawed.clear()
        return len(chosen)

    def thaw(self) -> None:
        self._freeze_new.clear()
        for watch in self.open:
            watch.frozen = False
            watch.thawed.set()


class RequestLog:
    """The last calls, oldest first."""

    def __init__(self, size: int = 20_000) -> None:
        self._calls: deque[Call] = deque(maxlen=size)

    def __iter__(self) -> Iterator[Call]:
        return iter(self._calls)

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, call: Call) -> None:
        self._calls.append(call)

    def clear(self) -> None:
        self._calls.clear()

    def matching(self, **wanted: Any) -> list[Call]:
        """matching(verb="patch", resource="virtualservices", name="app")"""
        return [c for c in self._calls if all(getattr(c, k) == v for k, v in wanted.items())]

    def encodable(self) -> list[JsonObject]:
        return [asdict(c) for c in self._calls]
