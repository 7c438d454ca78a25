"""Brings in step after zero what would raise the canary again: the values of a Helm release.

Beside everything else and in nobody's way (law 2): it begins once the routes are at zero, fails alone, is given up
after its time, and what became of it stands in the record.
"""

import asyncio
import datetime
from collections.abc import Mapping
from typing import Protocol, assert_never

from daemon import ports
from daemon.model import errors
from daemon.model.canary import CanaryRef
from daemon.model.follow_up import FollowUp, FollowUpKind, FollowUpState
from daemon.model.helm_release import NextRevision, Release, Tracked
from daemon.model.rollback import Amendment, Rollback
from daemon.model.route import Sides
from daemon.policy import checks, following_up
from daemon.policy.following_up import Turn
from daemon.workflow.leading import Leadership
from daemon.workflow.recording import Recorder
from daemon.workflow.world import World

_LOOKS = 6
"""At a release in one try: two writes, and others who are faster."""


class Releases(Protocol):
    """Helm's releases, as Helm keeps them. Raises the NeighbourError family."""

    async def read(self, namespace: str, name: str) -> Release:
        """A release that Helm does not know has no revisions."""
        ...

    async def succeed(
        self, release: Release, following: NextRevision, sides: Sides | None, at: datetime.datetime
    ) -> tuple[str, ...]:
        """Writes a revision, its manifest with the canary of these sides at zero. Returns the routes (``Kind name``)
        that were found in the manifest. Raises AlreadyThere when somebody else has taken the number."""
        ...

    async def supersede(self, release: Release, number: int, at: datetime.datetime) -> None:
        """Takes one revision out of force. Idempotent; raises Conflict when it has changed meanwhile."""
        ...


class FollowingUp:
    """A duty, for canaries whose weight is a value of a Helm release."""

    name = "follow-up helm"

    def __init__(
        self,
        *,
        world: World,
        recorder: Recorder,
        releases: Releases,
        tracked: Mapping[CanaryRef, Tracked],
        clock: ports.Clock,
        clock_tolerance: float,
        timeout: float,
        give_up_after: float,
    ) -> None:
        """``timeout``: seconds of one try; ``give_up_after``: seconds from the first one; ``clock_tolerance``: as in
        correlation."""
        self._world = world
        self._recorder = recorder
        self._releases = releases
        self._tracked = dict(tracked)
        self._clock = clock
        self._clock_tolerance = clock_tolerance
        self._timeout = timeout
        self._give_up_after = give_up_after

    def concerns(self, ref: CanaryRef) -> bool:
        tracked = self._tracked.get(ref)
        if tracked is None:
            return False
        return any(self._turn(record, tracked) is not Turn.NOTHING for record in self._world.records(ref))

    async def work(self, ref: CanaryRef, leadership: Leadership) -> float | None:
        tracked = self._tracked.get(ref)
        if tracked is None:
            return None
        for name in [record.name for record in reversed(self._world.records(ref))]:
            record = self._world.record(ref, name)
            turn = self._turn(record, tracked) if record is not None else Turn.NOTHING
            if record is None or turn is Turn.NOTHING:
                continue
            leadership.check()
            begun = following_up.begun(record, FollowUpKind.HELM, str(tracked), self._clock.now())
            if turn is Turn.TRY:
                await self._note(record, begun)
                await self._try(record, tracked, begun, leadership)
            else:
                detail = "left as it is: another revision has begun, or the rollback has ended without effect"
                await self._note(record, self._ended(begun, FollowUpState.NOT_NEEDED, detail))
        return None

    def _turn(self, record: Rollback, tracked: Tracked) -> Turn:
        canary = self._world.canary(record.canary)
        return following_up.turn(
            record, FollowUpKind.HELM, str(tracked),
            overtaken=checks.is_superseded(record.revision, record.started_at, canary, self._clock_tolerance),
            now=self._clock.now(), give_up_after=self._give_up_after,
        )  # fmt: skip

    async def _try(self, record: Rollback, tracked: Tracked, begun: FollowUp, leadership: Leadership) -> None:
        try:
            ended = await self._within_time(record, tracked, begun, leadership)
        except errors.NeighbourError as problem:
            after = following_up.after_failure(
                begun, str(problem), following_up.by_hand(tracked),
                now=self._clock.now(), give_up_after=self._give_up_after,
            )  # fmt: skip
            leadership.check()
            await self._note(record, after)
            if not after.settled:
                raise
            return
        leadership.check()
        await self._note(record, ended)

    async def _within_time(
        self, record: Rollback, tracked: Tracked, begun: FollowUp, leadership: Leadership
    ) -> FollowUp:  # fmt: skip
        try:
            async with asyncio.timeout(self._timeout):
                return await self._bring_in_step(record, tracked, begun, leadership)
        except TimeoutError as error:
            raise errors.Unreachable(f"{tracked} was not brought in step within {self._timeout:g} s") from error

    async def _bring_in_step(
        self, record: Rollback, tracked: Tracked, begun: FollowUp, leadership: Leadership
    ) -> FollowUp:  # fmt: skip
        done = ""
        for _ in range(_LOOKS):
            release = await self._releases.read(tracked.namespace, tracked.release)
            step = following_up.next_step(release, tracked, record)
            if isinstance(step, following_up.InStep):
                # Done also where somebody has written another revision since: for another canary of the release, say.
                state = FollowUpState.DONE if step.ours or done else FollowUpState.NOT_NEEDED
                return self._ended(begun, state, done or step.detail)
            if isinstance(step, following_up.Impossible):
                detail = f"{step.detail}; by hand: {following_up.by_hand(tracked)}"
                return self._ended(begun, FollowUpState.FAILED, detail)
            if isinstance(step, following_up.Busy):
                raise errors.Conflict(step.detail)
            leadership.check()
            stands = self._world.record(record.canary, record.name)
            if stands is None or self._turn(stands, tracked) is not Turn.TRY:
                raise errors.Conflict("the rollback was lifted, or overtaken, in this moment")
            try:
                done = await self._write(record, release, tracked, step) or done
            except (errors.AlreadyThere, errors.Conflict, errors.Missing):
                continue  # somebody else was faster: look again
        raise errors.Conflict(f"{tracked} was written by somebody else {_LOOKS} times in a row")

    async def _write(
        self, record: Rollback, release: Release, tracked: Tracked, step: following_up.Succeed | following_up.Supersede
    ) -> str:  # fmt: skip
        """What was done, in words; empty for what needs none."""
        now = self._clock.now()
        match step:
            case following_up.Supersede(number):
                await self._releases.supersede(release, number, now)
                return ""
            case following_up.Succeed(revision, before):
                canary = self._world.canary(record.canary)
                sides = self._world.sides(canary) if canary is not None else None
                routes = await self._releases.succeed(release, revision, sides, now)
                return following_up.told(tracked, revision.number, before, routes)
        assert_never(step)

    def _ended(self, begun: FollowUp, state: FollowUpState, detail: str) -> FollowUp:
        return following_up.ended(begun, state, detail, self._clock.now())

    async def _note(self, record: Rollback, entry: FollowUp) -> None:
        def change(now: Rollback) -> Amendment:
            others = tuple(one for one in now.follow_ups if (one.kind, one.name) != (entry.kind, entry.name))
            return Amendment() if entry in now.follow_ups else Amendment(follow_ups=(*others, entry))

        await self._recorder.amend(record.canary, record.name, change)
