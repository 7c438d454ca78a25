"""Runs checks beside the gates: none twice at once, passes kept for the revision, and no gate waits for a slow one.

What is known is kept in memory; a restart runs again what a record does not show as passed.
"""

import asyncio
import contextlib
import dataclasses
import datetime
import itertools
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

from daemon import ports
from daemon.model import errors
from daemon.model.canary import CanaryRef
from daemon.model.checking import CheckResult, CheckState, Finding, Subject
from daemon.policy.answering import duration

_ABREAST = 32
"""Runs at the same time, over all canaries."""
_LONG = 90.0
"""Seconds: what may take longer is waited for, not worked at."""
_LATE = 600.0
"""Seconds for which an answer that came after its asker had gone is kept for the next one."""
_KEPT = 100_000
"""Results kept: the oldest go first."""

Key = tuple[CanaryRef, str, str]
"""Canary, check, and what of it: the template, and for what is seen again and again also the gate and the weight."""


@dataclasses.dataclass(slots=True)
class _Known:
    finding: Finding | None = None
    at: datetime.datetime | None = None
    ended: float = 0.0
    pause: float = 0.0
    """Seconds that whoever was asked wants to be left alone for."""
    began: datetime.datetime | None = None
    task: "asyncio.Task[None] | None" = None
    missed: bool = False
    """Whoever asked has gone without the answer of the run that is under way."""
    late: bool = False
    """The finding is such an answer, and nobody has been told of it yet."""


@dataclasses.dataclass(frozen=True, slots=True)
class Pace:
    """Seconds until a check is run again: ``retry`` one for acceptance that has not passed, ``recheck`` a criterion."""

    retry: float = 20.0
    recheck: float = 5.0


class Checking:
    """``heard`` is told of every run that ended: for which gate, what, and what came of it."""

    def __init__(
        self,
        *,
        checks: Mapping[str, ports.Check],
        clock: ports.Clock,
        observer: ports.Observer,
        pace: Pace,
    ) -> None:
        self._checks = checks
        self._clock = clock
        self._observer = observer
        self._pace = pace
        self._known: OrderedDict[Key, _Known] = OrderedDict()
        self._lanes = asyncio.Semaphore(_ABREAST)
        self.heard: Callable[[str, Subject, CheckResult], None] = lambda _gate, _subject, _result: None

    async def look(
        self,
        gate: str,
        names: Sequence[str],
        subject: Subject,
        *,
        within: float,
        passed: Mapping[str, Finding],
        oldest: float | None = None,
    ) -> tuple[CheckResult, ...]:
        """What is known of each after at most ``within`` seconds. ``passed`` has what a record says has passed for
        this very revision. ``oldest``: of a criterion, what was seen longer ago (seconds) counts as not known. What
        came too late for the last look counts at this one all the same: what takes longer than every look would
        otherwise never be known."""
        running = []
        for name in names:
            known = self._of(gate, name, subject)
            self._recall(known, name, passed)
            if known.task is None and self._is_due(known, self._checks[name]):
                self._begin(gate, name, subject, known)
            if known.task is not None:
                running.append(known.task)
        if running:
            await asyncio.wait(running, timeout=within)
        return tuple(self._told(name, self._of(gate, name, subject), oldest) for name in names)

    def _told(self, name: str, known: _Known, oldest: float | None) -> CheckResult:
        result = self._result(name, known)
        if oldest is not None and known.late:
            oldest = max(oldest, _LATE)
        known.late, known.missed = False, known.task is not None
        if oldest is None or result.at is None or self._checks[name].once:
            return result
        too_old = (self._clock.now() - result.at).total_seconds() > oldest
        return dataclasses.replace(result, finding=None) if too_old else result

    def begin(self, gate: str, name: str, subject: Subject) -> CheckResult:
        """Starts a load, once for each weight, and returns what is known of it now."""
        known = self._at((subject.canary.ref, name, f"{subject.template} {subject.run} load {subject.weight:g}"))
        undecided = known.finding is not None and known.finding.state is CheckState.UNDECIDED
        rested = asyncio.get_running_loop().time() - known.ended >= max(self._pace.retry, known.pause)
        if known.task is None and (known.finding is None or (undecided and rested)):
            self._begin(gate, name, subject, known)
        return self._result(name, known)

    def known(self, gate: str, names: Sequence[str], subject: Subject) -> tuple[CheckResult, ...]:
        """What is known now; nothing is run."""
        return tuple(self._result(name, self._of(gate, name, subject)) for name in names)

    async def stop(self) -> None:
        tasks = [known.task for known in self._known.values() if known.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- one check

    def _of(self, gate: str, name: str, subject: Subject) -> _Known:
        return self._at((subject.canary.ref, name, self._scope(gate, name, subject)))

    def _at(self, key: Key) -> _Known:
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = _Known()
            self._forget_oldest()
        else:
            self._known.move_to_end(key)
        return known

    def _scope(self, gate: str, name: str, subject: Subject) -> str:
        if self._checks[name].once:
            return f"{subject.template} {subject.run}"
        return f"{subject.template} {subject.run} {gate} {subject.weight:g}"

    def _forget_oldest(self) -> None:
        while len(self._known) > _KEPT:
            key = next((one for one in itertools.islice(self._known, _ABREAST) if self._known[one].task is None), None)
            if key is None:
                return
            del self._known[key]

    def _recall(self, known: _Known, name: str, passed: Mapping[str, Finding]) -> None:
        if known.finding is None and known.task is None and self._checks[name].once and name in passed:
            known.finding, known.at = passed[name], self._clock.now()

    def _is_due(self, known: _Known, check: ports.Check) -> bool:
        if known.finding is None:
            return True
        if check.once and known.finding.state is CheckState.PASSED:
            return False
        pause = self._pace.retry if check.once else self._pace.recheck
        return asyncio.get_running_loop().time() - known.ended >= max(pause, known.pause)

    def _begin(self, gate: str, name: str, subject: Subject, known: _Known) -> None:
        known.began = self._clock.now()
        run = self._run(gate, name, subject, known)
        known.task = asyncio.get_running_loop().create_task(run, name=f"check {name} {subject.canary.ref}")

    async def _run(self, gate: str, name: str, subject: Subject, known: _Known) -> None:
        try:
            async with self._lane(name):
                finding, known.pause = await self._find(name, subject)
            known.finding, known.at, known.late = finding, self._clock.now(), known.missed
        finally:
            known.ended = asyncio.get_running_loop().time()
            known.task, known.began, known.missed = None, None, False
        self.heard(gate, subject, self._result(name, known))

    def _lane(self, name: str) -> contextlib.AbstractAsyncContextManager[object]:
        """A Job that is waited for costs nothing, and must keep no criterion of another canary from being asked."""
        return contextlib.nullcontext() if self._checks[name].timeout > _LONG else self._lanes

    async def _find(self, name: str, subject: Subject) -> tuple[Finding, float]:
        """Also for how long (seconds) not to ask again."""
        check = self._checks[name]
        try:
            async with asyncio.timeout(check.timeout):
                return await check.run(subject), 0.0
        except errors.Throttled as error:
            asked = f"asked for a pause of {duration(error.retry_after)}"
            return Finding(CheckState.UNDECIDED, f"cannot know: {error}; {asked}"), error.retry_after
        except errors.NeighbourError as error:
            problem = str(error)
        except TimeoutError:
            problem = f"no answer within {check.timeout:g} s"
        except Exception as error:  # noqa: BLE001 - told, and no gate opens on it: a bug in one check ends no gate
            self._observer.pass_failed(subject.canary.ref, error)
            problem = f"{type(error).__name__} in the check itself"
        return Finding(CheckState.UNDECIDED, f"cannot know: {problem}"), 0.0

    @staticmethod
    def _result(name: str, known: _Known) -> CheckResult:
        # A criterion that is asked anew still has its last answer; acceptance that did not pass is being seen to.
        return CheckResult(name, known.finding, known.at, known.began)
