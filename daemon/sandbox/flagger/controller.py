"""Flagger's clockwork: notices canaries, runs one job per canary, and can be made to tick by hand.

Free running (``start``) it behaves as the real one started in a cluster. By hand (``notice`` and
``tick``) a test decides when each tick happens, and nothing else moves in between.
"""

from __future__ import annotations

import asyncio
import logging
import ssl as tls
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from daemon.sandbox.flagger.api import Api, ApiError, HaltedError
from daemon.sandbox.flagger.canary import Canary, canaries
from daemon.sandbox.flagger.checks import Checks, Metrics, healthy
from daemon.sandbox.flagger.deployments import Deployments
from daemon.sandbox.flagger.hooks import Hold, Hooks
from daemon.sandbox.flagger.jobs import Job
from daemon.sandbox.flagger.parts import Parts
from daemon.sandbox.flagger.routing import Routes
from daemon.sandbox.flagger.statuses import Statuses
from daemon.sandbox.flagger.tick import Tick
from daemon.sandbox.flagger.timeline import Timeline

log = logging.getLogger(__name__)

CONTROL_LOOP_SECONDS = 10.0
NOTICE_SECONDS = 0.5
_SHORTEST_PAUSE = 0.05


def wall_clock() -> datetime:
    return datetime.now(UTC)


class Flagger:
    """A stand-in for Flagger 1.44 with the Istio provider and Deployment targets.

    ``second`` is how long a second of Flagger's lasts here: with 0.02 an interval of 10s takes 0.2 s.
    Intervals, hook timeouts, retries and progress deadlines are scaled by it; time stamps are those of
    ``now``, unscaled.
    """

    def __init__(
        self,
        api_url: str,
        *,
        namespaces: Iterable[str] | None = None,
        second: float = 1.0,
        now: Callable[[], datetime] = wall_clock,
        metrics: Metrics = healthy,
        timeline: Timeline | None = None,
        headers: Mapping[str, str] | None = None,
        ssl: tls.SSLContext | bool = True,
        leave_connections_idle: bool = False,
        virtual_service_version: str = "v1beta1",
    ) -> None:
        self.timeline = Timeline() if timeline is None else timeline
        self._namespaces: tuple[str | None, ...] = (None,) if namespaces is None else tuple(namespaces)
        self._second = second
        self._api = Api(api_url, agent="flagger", headers=headers, ssl=ssl)
        self._hooks = Hooks(self.timeline, second=second, now=now, leave_idle=leave_connections_idle)
        self._checks = Checks(self._hooks, metrics)
        self._statuses = Statuses(self._api, self.timeline, now)
        self._parts = Parts(
            deployments=Deployments(self._api, self.timeline, second=second, now=now),
            routes=Routes(self._api, self.timeline, virtual_service_version),
            statuses=self._statuses,
            hooks=self._hooks,
            checks=self._checks,
            reread=self._reread,
        )
        self._known: dict[str, Canary] = {}
        self._jobs: dict[str, Job] = {}
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._api.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.stop()
        finally:
            await self._hooks.close()
            await self._api.__aexit__(kind, error, trace)

    @property
    def idle_connections(self) -> int:
        """Hook connections left behind open, with ``leave_connections_idle``."""
        return self._hooks.idle

    def set_metrics(self, metrics: Metrics) -> None:
        """From the next check on, this says the success rates."""
        self._checks.metrics = metrics

    def hold_inside(self, hook_type: str) -> Hold:
        """Holds the next tick after a hook of this type answered; "metrics": in its metric query."""
        return self._hooks.hold_inside(hook_type)

    def start(self) -> None:
        """Runs freely until ``stop`` or the end of the ``async with``."""
        if self._running is not None:
            raise RuntimeError("already running")
        self._running = asyncio.create_task(self._run(), name="flagger")

    async def stop(self) -> None:
        """Stops at once, even in the middle of a tick, as when killed. May be started again."""
        if self._running is None:
            return
        running, self._running = self._running, None
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        self._jobs.clear()
        if not running.cancelled() and (failure := running.exception()) is not None:
            raise failure

    async def notice(self) -> None:
        """Looks for canaries once; a new one gets its Initializing status."""
        known: dict[str, Canary] = {}
        for namespace in self._namespaces:
            found = await self._api.get(canaries(namespace))
            for body in found.get("items") or ():
                canary = Canary(body)
                known[canary.key] = canary
                if not canary.status.get("conditions"):
                    await self._statuses.initializing(canary)
        self._known = known

    async def tick(self, namespace: str, name: str) -> None:
        """One tick of one canary, to its end."""
        try:
            body = await self._api.get(canaries(namespace, name))
        except ApiError as error:
            log.warning("canary %s/%s not read, tick skipped: %s", namespace, name, error)
            return
        await Tick(self._parts, Canary(body)).run()

    async def _reread(self, canary: Canary) -> Canary:
        try:
            return Canary(await self._api.get(canary.path))
        except ApiError as error:
            raise HaltedError(f"failed to get canary {canary.full_name}: {error}") from error

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._notice_always(), name="flagger-notice")
            while True:
                await asyncio.sleep(CONTROL_LOOP_SECONDS * self._second)
                self._schedule(tasks)

    async def _notice_always(self) -> None:
        while True:
            try:
                await self.notice()
            except (ApiError, HaltedError) as error:
                log.warning("canaries not listed: %s", error)
            await asyncio.sleep(max(NOTICE_SECONDS * self._second, _SHORTEST_PAUSE))

    def _schedule(self, tasks: asyncio.TaskGroup) -> None:
        """A job for each canary; a new one in place of the old when the interval was changed."""
        for key, canary in self._known.items():
            job = self._jobs.get(key)
            interval = canary.interval * self._second
            if job is not None and job.interval == interval:
                continue
            if job is not None:
                job.stop()
            self._jobs[key] = Job(canary.namespace, canary.name, interval, self.tick)
            tasks.create_task(self._jobs[key].run(), name=f"flagger-{key}")
        for key in [key for key in self._jobs if key not in self._known]:
            self._jobs.pop(key).stop()
