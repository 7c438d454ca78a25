"""Writes into the record which GitOps controller has raised a held canary: once, by whichever replica has undone it."""

import asyncio
from collections.abc import Callable

from daemon import ports
from daemon.model import errors
from daemon.model.canary import CanaryRef
from daemon.model.gitops import Raise
from daemon.model.rollback import Amendment, Rollback
from daemon.model.route import RouteView
from daemon.policy import gitops, stopping
from daemon.workflow.hearing import Hearing
from daemon.workflow.recording import Recorder
from daemon.workflow.world import World

_ABREAST = 64
"""Writes at the same time: a raise that is not noted now is noted when it comes again."""


class Raising(Hearing):
    """``suspends``: whether people want the controller stopped for that canary."""

    def __init__(
        self,
        *,
        world: World,
        recorder: Recorder,
        suspends: Callable[[CanaryRef], bool],
        observer: ports.Observer,
        clock: ports.Clock,
    ) -> None:
        self._world = world
        self._recorder = recorder
        self._suspends = suspends
        self._observer = observer
        self._clock = clock
        self._tasks: dict[tuple[str, Raise], asyncio.Task[None]] = {}

    def raised_again(
        self,
        canary: CanaryRef,
        route: RouteView,  # noqa: ARG002 - the port's
        by: Raise | None = None,
        times: int = 1,  # noqa: ARG002
    ) -> None:
        record = self._in_force(canary)
        if by is None or record is None or self._entry(record, by) is None:
            return
        key = (f"{canary} {record.name}", by)
        if key in self._tasks or len(self._tasks) >= _ABREAST:
            return
        task = asyncio.get_running_loop().create_task(self._write(record, by), name=f"raise {canary}")
        self._tasks[key] = task
        task.add_done_callback(lambda _: self._tasks.pop(key, None))

    async def stop(self) -> None:
        """What is being written is given up: the raise comes again, or is over."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _in_force(self, canary: CanaryRef) -> Rollback | None:
        records = self._world.records(canary)
        return next((one for one in reversed(records) if stopping.stands(one, overtaken=False)), None)

    def _entry(self, record: Rollback, by: Raise) -> Amendment | None:
        found = gitops.entry(record, by, suspends=self._suspends(record.canary), now=self._clock.now())
        if found is None:
            return None
        others = tuple(one for one in record.follow_ups if (one.kind, one.name) != (found.kind, found.name))
        return Amendment(follow_ups=(*others, found))

    async def _write(self, record: Rollback, by: Raise) -> None:
        try:
            await self._recorder.amend(
                record.canary, record.name, lambda now: self._entry(now, by) or Amendment()
            )  # fmt: skip
        except errors.NeighbourError as error:
            self._observer.duty_failed(record.canary, "follow-up gitops", error)
