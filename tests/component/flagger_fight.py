"""The daemon against the Flagger stand-in: both real programs to each other, over HTTP, in one laboratory."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from daemon.sandbox.flagger.canary import Canary
from daemon.sandbox.flagger.timeline import ROUTES, routes_text
from tests import builders
from tests.cluster import Cluster
from tests.component.flagger_lab import Lab, laboratory
from tests.component.flagger_stories import HOOKS, NAME, Step
from tests.running import TOKEN, Daemon, eventually, running
from tests.scene import Scene

AT_0 = ("full-life", "applied=B promoted=A")
AT_5 = ("full-life", "Advance podinfo.test canary weight 5")
AT_10 = ("full-life", "Advance podinfo.test canary weight 10")

ZERO = [100, 0]
NORMAL_END = [("Zeroed", "RollbackInForce"), ("Proved", "RollbackInForce"), ("Completed", "FailureAccepted")]
"""The milestones of a rollback that Flagger agreed to only after it was proved."""

BY_PASSWORD = "password in the URL"
BY_TOKEN = "metadata.token"

Open = Callable[[], contextlib.AbstractAsyncContextManager[Daemon]]


@dataclass(slots=True)
class Fight:
    """Flagger, its canary ``podinfo``, and the daemon that its hooks ask.

    The timeline is the stand-in's, with a line for each alert (and what the daemon answered), and a ``VS`` line for
    each of the daemon's writes that ``alert`` and ``pushed_back`` see: their generations leave no room for another.
    """

    lab: Lab
    scene: Scene
    open_daemon: Open
    hooks: Sequence[str]
    credential: str
    at: float = 60.0
    _daemon: Daemon | None = None
    _life: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    @property
    def daemon(self) -> Daemon:
        assert self._daemon is not None, "it is down"
        return self._daemon

    async def start(self) -> None:
        """Starts the daemon, on another port than before, and tells Flagger where it is."""
        self._daemon = await self._life.enter_async_context(self.open_daemon())
        ours = [self._hook(kind) for kind in HOOKS if kind in self.hooks]
        others = [hook for hook in (await self.lab.canary())["spec"]["analysis"]["webhooks"]
                  if hook["url"].startswith(self.lab.stub.url) and hook["type"] not in self.hooks]  # fmt: skip
        await self.lab.edit_canary({"analysis": {"webhooks": [*others, *ours]}})

    async def stop(self) -> None:
        self._daemon = None
        await self._life.aclose()

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    def _hook(self, kind: str) -> builders.Json:
        url = f"{str(self.daemon.http._base_url).rstrip('/')}/webhooks/flagger/{kind}"
        hook: builders.Json = {"name": f"hook-{kind}", "type": kind, "url": url}
        if self.credential == BY_TOKEN:
            return {**hook, "metadata": {"token": TOKEN}}
        return {**hook, "url": url.replace("http://", f"http://pullback:{self.credential_word}@")}

    @property
    def credential_word(self) -> str:
        return TOKEN if self.credential == BY_PASSWORD else self.credential

    # -- what happens

    async def tick(self, times: int = 1) -> list[str]:
        """Flagger's next ticks, and what came of them. Returns when the daemon has seen it too."""
        before = len(self.lab.told())
        for _ in range(times):
            self.at += 10
            await self.lab.play(Step(self.at, "TICK", ()))
            await self.seen()
        return self.lab.told()[before:]

    @contextlib.asynccontextmanager
    async def tick_held_inside(self, hook: str) -> AsyncIterator[None]:
        """What the body does happens while Flagger's tick is inside this hook."""
        hold = self.lab.flagger.hold_inside(hook)
        tick = asyncio.create_task(self.tick())
        try:
            await hold.reached(within=5)
            yield
        finally:
            hold.release()
            await tick

    async def come_to(self, phase: str) -> None:
        for _ in range(20):
            if await self.phase() == phase:
                return
            await self.tick()
        raise AssertionError(f"{phase} never came, last seen: {await self.phase()}")

    async def alert(self, **given: Any) -> str:
        """``VERDICT reason``, as answered; the timeline has it, and what it did to the routes."""
        before = await self.lab.routes()
        body = builders.alert(self.scene.namespace, **given)
        status, answer = await self.daemon.alert(builders.webhook(body))
        assert status == 200, answer
        said = f"{answer['alerts'][0]['verdict']} {answer['alerts'][0]['reason']}"
        self.lab.timeline.add(self.lab.key, "ALERT", f"{body['status']} -> {said}")
        self._note(before, await self.lab.routes())
        return said

    async def pushed_back(self) -> None:
        """Waits until the routes are at zero again."""
        before = await self.lab.routes()
        await eventually(self.at_zero, every=0.005)
        self._note(before, await self.lab.routes())

    def _note(self, before: builders.Json, after: builders.Json) -> None:
        if before["metadata"]["resourceVersion"] != after["metadata"]["resourceVersion"]:
            self.lab.timeline.add(self.lab.key, ROUTES, routes_text(after))

    # -- what is seen

    async def at_zero(self) -> bool:
        return await self.lab.weights() == ZERO

    async def phase(self) -> str:
        return Canary(await self.lab.canary()).phase

    async def revision(self) -> str:
        return Canary(await self.lab.canary()).applied

    async def seen(self) -> None:
        """Until the daemon knows the phase and the revision that Flagger wrote last."""
        if self._daemon is None:
            return
        there = Canary(await self.lab.canary())

        async def known() -> bool:
            found = await shown(self.daemon, self.scene.namespace)
            return bool(found and (found["phase"], found["revision"]) == (there.phase, there.applied))

        await eventually(known, every=0.005)

    async def asks(self, kind: str, checksum: str = "") -> int:
        """What a hook with this checksum, else with that of the revision in the status, is answered."""
        checksum = checksum or Canary(await self.lab.canary()).checksum
        status, _ = await self.daemon.hook(kind, builders.hook(self.scene.namespace, checksum=checksum))
        return status

    async def record(self, name: str, phase: str, *, within: float = 10.0) -> builders.Json:
        """One of several records, once it is in that phase."""

        async def found() -> builders.Json | None:
            records = {one["metadata"]["name"]: one for one in await self.scene.records()}
            record: builders.Json = records.get(name, {})
            return record if record.get("status", {}).get("phase") == phase else None

        there: builders.Json = await eventually(found, within=within)
        return there


async def shown(daemon: Daemon, namespace: str, name: str = NAME) -> builders.Json | None:
    """A canary as the daemon shows it."""
    async with daemon.http.get("/api/v1/canaries", params={"namespace": namespace}) as response:
        assert response.status == 200, await response.text()
        listed = (await response.json())["canaries"]
    return next((one for one in listed if one["name"] == name), None)


@contextlib.asynccontextmanager
async def fight(
    cluster: Cluster,
    scene: Scene,
    folder: Path,
    *,
    until: tuple[str, str] | None = AT_10,
    settings: builders.Json | None = None,
    hooks: Sequence[str] = HOOKS,
    credential: str = BY_PASSWORD,
    log: builders.Json | None = None,
    groups: dict[str, builders.Json] | None = None,
    **options: Any,
) -> AsyncIterator[Fight]:
    """A canary in mid-analysis (``until``: a story and where in it).

    ``hooks`` are those that ask the daemon; the others ask the laboratory's stub, which says 200. ``groups`` are
    settings of the daemon.
    """
    secret = str(folder / "token")
    door = {"bearer_token_files": [secret], "password_files": [secret]}

    def open_daemon() -> contextlib.AbstractAsyncContextManager[Daemon]:
        return running(cluster, folder, wait=True, **{**(groups or {}), "web": {"flagger": door}, "log": log or {}})

    async with laboratory(cluster, scene.namespace, settings, **options) as lab:
        found = Fight(lab, scene, open_daemon, hooks, credential)
        try:
            await found.start()
            if until is not None:
                await lab.play_until(*until)
                await found.seen()
            yield found
        finally:
            await found.stop()


def hooks_in(lines: Sequence[str]) -> list[str]:
    """``rollback 200`` for every call but the events."""
    calls = [line.split() for line in lines if line.startswith("HOOK ")]
    return [f"{call[1]} {call[4]}" for call in calls if call[1] != "event"]


def raises_in(lines: Sequence[str]) -> list[str]:
    """Writes that give the canary something."""
    written = [line.split()[1] for line in lines if line.startswith("VS ")]
    return [weights for weights in written if not weights.endswith("/0")]


def history(record: builders.Json) -> builders.Json:
    """What was asked for and how it ended. Evidence, cleanup and notices are still written after that."""
    metadata, status = record["metadata"], record["status"]
    after_zero = {"evidence", "cleanup", "notices"}
    return {
        "uid": metadata["uid"],
        "annotations": metadata["annotations"],
        "spec": record["spec"],
        "status": {name: value for name, value in status.items() if name not in after_zero},
    }


def milestones(record: builders.Json) -> list[tuple[str, str]]:
    """Conditions, with their reasons, in their order."""
    return [(one["type"], one["reason"]) for one in record["status"]["conditions"]]


async def never(condition: Callable[[], Awaitable[Any]], *, within: float) -> None:
    """Holds its breath: the condition must stay false for that long."""
    with pytest.raises(AssertionError, match="not within"):
        await eventually(condition, within=within)


def ago(**time: float) -> str:
    """A moment before now, as an alert's ``startsAt``."""
    return (datetime.datetime.now(datetime.UTC) - datetime.timedelta(**time)).isoformat()
