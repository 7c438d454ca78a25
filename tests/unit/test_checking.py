"""Checks beside the gates, in virtual time: none twice at once, passes kept, pauses kept, nobody held up."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon import ports
from daemon.model import errors
from daemon.model.canary import CanaryRef
from daemon.model.checking import CheckResult, CheckState, Finding, Subject
from daemon.workflow import checking
from daemon.workflow.checking import Checking, Pace
from tests.unit import facts, revisions
from tests.unit.virtual_time import VirtualLoop, VirtualTime

PASSED, FAILED, UNDECIDED = (Finding(state, state.value) for state in CheckState)
HERE = Subject(revisions.staged(), "t2", ("v2",), weight=5.0)


@dataclasses.dataclass
class Probe:
    """A check that takes its time, says what it is told to, and counts who runs it at once."""

    once: bool = True
    timeout: float = 10.0
    takes: float = 0.0
    says: Callable[[], Finding] = lambda: PASSED
    runs: int = 0
    at_once: int = 0
    most_at_once: int = 0

    async def run(self, _subject: Subject) -> Finding:
        self.runs += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.takes)
            return self.says()
        finally:
            self.at_once -= 1


@dataclasses.dataclass
class Deaf:
    """Hears only of what a check itself did wrong."""

    told: list[Exception] = dataclasses.field(default_factory=list)

    def pass_failed(self, _canary: CanaryRef, error: Exception) -> None:
        self.told.append(error)


class Stage:
    """One process with its checks. Its loop's time is the clock's as well."""

    def __init__(self, **probes: Probe) -> None:
        self.world = VirtualTime()
        self.loop: VirtualLoop = self.world.loop()
        self.observer, self.heard = Deaf(), list[tuple[str, CheckResult]]()
        checks: dict[str, ports.Check] = dict(probes)
        observer: Any = self.observer
        self.checking = Checking(checks=checks, clock=self, observer=observer, pace=Pace(retry=30, recheck=5))
        self.checking.heard = lambda gate, _subject, result: self.heard.append((gate, result))

    def now(self) -> datetime.datetime:
        return facts.after(self.world.now - 1000.0)

    def do(self, work: Coroutine[Any, Any, Any], seconds: float = 60.0) -> Any:
        task = self.loop.start(work)
        self.world.run(seconds)
        assert self.loop.unhandled == []
        return task.result()

    async def _timed(self, work: Coroutine[Any, Any, Any]) -> tuple[float, Any]:
        began = self.world.now
        result = await work
        return round(self.world.now - began, 6), result

    def look(
        self, *names: str, within: float = 0.8, passed: dict[str, Finding] | None = None, gate: str = "pre-rollout",
        subject: Subject = HERE, wait: float = 60.0,
    ) -> tuple[float, dict[str, CheckState | None]]:  # fmt: skip
        """How long the answer took, and what it said; then ``wait`` seconds pass."""
        looking = self.checking.look(gate, names, subject, within=within, passed=passed or {})
        took, results = self.do(self._timed(looking), wait)
        return took, {one.name: one.finding.state if one.finding else None for one in results}


def one_after_another(*findings: Finding | Exception) -> Callable[[], Finding]:
    rest: Iterator[Finding | Exception] = iter(findings)

    def say() -> Finding:
        said = next(rest)
        if isinstance(said, Exception):
            raise said
        return said

    return say


# -- acceptance


def test_a_pass_is_kept_and_costs_nothing_more() -> None:
    probe = Probe(takes=0.5)
    stage = Stage(smoke=probe)
    assert stage.look("smoke") == (0.5, {"smoke": CheckState.PASSED})
    assert stage.look("smoke", wait=100_000) == (0.0, {"smoke": CheckState.PASSED})
    assert stage.look("smoke", gate="confirm-rollout") == (0.0, {"smoke": CheckState.PASSED})
    assert probe.runs == 1


def test_another_revision_and_another_canary_are_looked_at_themselves() -> None:
    probe = Probe()
    stage = Stage(smoke=probe)
    other = facts.canary(ref=CanaryRef("shop", "other"))
    for subject in (HERE, dataclasses.replace(HERE, template="t3"), dataclasses.replace(HERE, canary=other)):
        stage.look("smoke", subject=subject)
    assert probe.runs == 3


def test_what_a_record_shows_as_passed_is_not_run_after_a_restart() -> None:
    probe = Probe()
    assert Stage(smoke=probe).look("smoke", passed={"smoke": PASSED}) == (0.0, {"smoke": CheckState.PASSED})
    assert probe.runs == 0


def test_a_criterion_is_seen_again_whatever_a_record_shows() -> None:
    probe = Probe(once=False, says=lambda: FAILED)
    assert Stage(errors=probe).look("errors", passed={"errors": PASSED})[1] == {"errors": CheckState.FAILED}


def test_an_increase_opens_on_no_criterion_that_was_seen_too_long_ago() -> None:
    """Prometheus is slow exactly when it matters: the last pass says nothing of now."""
    probe = Probe(once=False)
    stage = Stage(errors=probe)
    assert stage.look("errors", wait=60)[1] == {"errors": CheckState.PASSED}
    probe.takes = 5.0
    asked = stage.checking.look("pre-rollout", ["errors"], HERE, within=0.8, passed={}, oldest=10.0)
    (known,) = stage.do(asked)
    assert known.finding is None
    assert known.began is not None


def increase(stage: Stage, wait: float) -> CheckResult:
    """What an increase is told of a criterion; then ``wait`` seconds pass."""
    (known,) = stage.do(stage.checking.look("increase", ["errors"], HERE, within=0.8, passed={}, oldest=10.0), wait)
    assert isinstance(known, CheckResult)
    return known


def test_an_answer_that_came_after_its_hook_had_gone_counts_at_the_next_one() -> None:
    """Or a Prometheus that takes a second would hold every gate closed that is asked every half minute, for ever."""
    stage = Stage(errors=Probe(once=False, takes=1.0, says=one_after_another(PASSED, FAILED, PASSED, PASSED)))
    assert increase(stage, wait=30).finding is None
    assert increase(stage, wait=30) == CheckResult("errors", PASSED, facts.after(1), facts.after(30))
    assert increase(stage, wait=900).finding == FAILED
    assert increase(stage, wait=5).finding is None  # nobody asked for a quarter of an hour: that is no answer


def test_an_answer_that_came_late_counts_once() -> None:
    probe = Probe(once=False, takes=1.0)
    stage = Stage(errors=probe)
    increase(stage, wait=30)
    probe.takes, probe.timeout = 100.0, 200.0
    assert increase(stage, wait=30).finding == PASSED
    assert increase(stage, wait=100).finding is None


@pytest.mark.parametrize("finding", [FAILED, UNDECIDED])
def test_what_did_not_pass_is_tried_again_after_the_pause(finding: Finding) -> None:
    probe = Probe(says=one_after_another(finding, PASSED))
    stage = Stage(smoke=probe)
    assert stage.look("smoke", wait=29)[1] == {"smoke": finding.state}
    assert stage.look("smoke", wait=1)[1] == {"smoke": finding.state}
    assert probe.runs == 1
    assert stage.look("smoke")[1] == {"smoke": CheckState.PASSED}


# -- criteria


def test_a_criterion_seen_a_moment_ago_is_not_asked_again() -> None:
    probe = Probe(once=False, says=one_after_another(PASSED, FAILED))
    stage = Stage(errors=probe)
    assert stage.look("errors", wait=4)[1] == {"errors": CheckState.PASSED}
    assert stage.look("errors", wait=1)[1] == {"errors": CheckState.PASSED}
    assert stage.look("errors")[1] == {"errors": CheckState.FAILED}


def test_a_criterion_is_another_one_at_another_gate_and_weight() -> None:
    probe = Probe(once=False)
    stage = Stage(errors=probe)
    for gate, weight in (("rollout", 5.0), ("rollout", 25.0), ("confirm-traffic-increase", 25.0)):
        stage.look("errors", gate=gate, subject=dataclasses.replace(HERE, weight=weight), wait=0)
    assert probe.runs == 3


def test_an_answer_comes_in_time_and_the_check_goes_on() -> None:
    probe = Probe(takes=3.0)
    stage = Stage(slow=probe, quick=Probe())
    told = {"slow": None, "quick": CheckState.PASSED}
    assert stage.look("slow", "quick", within=0.8, wait=2) == (0.8, told)
    (running,) = stage.checking.known("pre-rollout", ("slow",), HERE)
    assert running.began == facts.after(0)
    assert stage.look("slow", within=5.0) == (1.0, {"slow": CheckState.PASSED})
    assert probe.runs == 1


def test_what_never_answers_is_given_up_and_decides_nothing() -> None:
    stage = Stage(stuck=Probe(takes=10_000, timeout=10))
    assert stage.look("stuck", wait=20)[1] == {"stuck": None}
    (given_up,) = stage.checking.known("pre-rollout", ("stuck",), HERE)
    assert given_up.finding == Finding(CheckState.UNDECIDED, "cannot know: no answer within 10 s")


def test_what_could_not_be_found_out_decides_nothing_and_is_nobodys_bug() -> None:
    stage = Stage(asks=Probe(says=one_after_another(errors.Unreachable("prometheus: refused"))))
    assert stage.look("asks")[1] == {"asks": CheckState.UNDECIDED}
    assert stage.observer.told == []


@pytest.mark.parametrize("once", [True, False])
def test_a_neighbour_that_asks_for_a_pause_gets_it(once: bool) -> None:
    """GitHub blocks whoever goes on asking; and a registry's limit does not end sooner for it."""
    probe = Probe(once=once, says=one_after_another(errors.Throttled("registry: HTTP 429", 300.0), PASSED, FAILED))
    stage = Stage(asks=probe)
    stage.look("asks", wait=299)
    assert stage.look("asks", wait=1)[1] == {"asks": CheckState.UNDECIDED}
    assert probe.runs == 1
    (told,) = stage.checking.known("pre-rollout", ("asks",), HERE)
    assert told.finding is not None
    assert told.finding.detail == "cannot know: registry: HTTP 429; asked for a pause of 5 min"
    assert stage.look("asks", wait=30)[1] == {"asks": CheckState.PASSED}
    assert stage.look("asks")[1] == {"asks": CheckState.PASSED if once else CheckState.FAILED}  # that pause is over


def test_a_bug_in_a_check_decides_nothing_and_is_told() -> None:
    bug = KeyError("x")
    stage = Stage(buggy=Probe(says=one_after_another(bug, PASSED)), fine=Probe())
    assert stage.look("buggy", "fine")[1] == {"buggy": CheckState.UNDECIDED, "fine": CheckState.PASSED}
    assert stage.observer.told == [bug]
    (told,) = stage.checking.known("pre-rollout", ("buggy",), HERE)
    assert told.finding is not None
    assert told.finding.detail == "cannot know: KeyError in the check itself"
    assert stage.look("buggy")[1] == {"buggy": CheckState.PASSED}


def test_every_run_that_ended_is_heard_of_once_and_what_is_running_is_not() -> None:
    stage = Stage(slow=Probe(takes=3.0))
    stage.look("slow", wait=2)
    assert stage.heard == []
    stage.look("slow", wait=2)
    stage.look("slow")
    assert [(gate, one.name, one.finding, one.began) for gate, one in stage.heard] == [
        ("pre-rollout", "slow", PASSED, None)
    ]


def test_looking_at_what_is_known_runs_nothing() -> None:
    probe = Probe()
    stage = Stage(smoke=probe)
    assert stage.checking.known("pre-rollout", ("smoke",), HERE) == (CheckResult("smoke", None, None),)
    assert probe.runs == 0


def test_stopping_ends_what_runs() -> None:
    probe = Probe(takes=1000, timeout=2000)
    stage = Stage(slow=probe)
    stage.look("slow", wait=2)
    stage.do(stage.checking.stop(), 1)
    assert probe.at_once == 0


def begin(stage: Stage, weight: float = 5.0, wait: float = 60.0) -> CheckResult:
    async def started() -> CheckResult:
        return stage.checking.begin("rollout", "load", dataclasses.replace(HERE, weight=weight))

    result: CheckResult = stage.do(started(), wait)
    return result


def test_a_load_is_begun_once_for_each_weight_and_read_later() -> None:
    probe = Probe(once=False, takes=20, timeout=60, says=one_after_another(FAILED, PASSED))
    stage = Stage(load=probe)
    assert begin(stage, wait=10).finding is None
    assert begin(stage, wait=100).finding is None
    assert [begin(stage, wait=1000).finding for _ in range(3)] == [FAILED] * 3
    assert probe.runs == 1
    assert begin(stage, 25.0).finding is None
    assert begin(stage, 25.0).finding == PASSED
    assert (probe.runs, probe.most_at_once) == (2, 1)


def test_a_load_that_says_nothing_is_begun_again_after_the_pause() -> None:
    probe = Probe(once=False, says=one_after_another(UNDECIDED, PASSED))
    stage = Stage(load=probe)
    begin(stage, wait=20)
    assert begin(stage, wait=20).finding == UNDECIDED
    assert probe.runs == 1
    begin(stage, wait=1)
    assert begin(stage).finding == PASSED


def test_what_is_known_stays_bounded_and_the_newest_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "_KEPT", 50)
    probe = Probe()
    stage = Stage(smoke=probe)
    subjects = [dataclasses.replace(HERE, template=f"t{number}") for number in range(200)]
    for subject in subjects:
        stage.look("smoke", subject=subject, wait=0)
    assert len(stage.checking._known) <= 50
    stage.look("smoke", subject=subjects[-1])
    assert probe.runs == 200


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.floats(0, 12), st.sampled_from(["a", "b", "ab"]), st.sampled_from([5.0, 25.0])), max_size=25),
    st.floats(0, 15),
    st.sampled_from([PASSED, FAILED, UNDECIDED]),
)
def test_however_often_flagger_calls_no_check_runs_twice_at_once_and_every_answer_is_in_time(
    calls: list[tuple[float, str, float]], takes: float, finding: Finding
) -> None:
    # No run outlives its time here: one that does is undecided, and comes again.
    a, b = Probe(takes=takes, timeout=20, says=lambda: finding), Probe(takes=takes / 2, timeout=20)
    stage = Stage(a=a, b=b)
    at, tasks = stage.world.now, []
    for pause, names, weight in calls:
        at += pause
        subject = dataclasses.replace(HERE, weight=weight)
        looking = stage.checking.look("pre-rollout", tuple(names), subject, within=0.8, passed={})
        stage.world.at(at, lambda work=looking: tasks.append(stage.loop.start(stage._timed(work))))  # type: ignore[misc]
    stage.world.run(1000)
    assert [took for took, _ in (task.result() for task in tasks) if took > 0.8] == []
    assert len(tasks) == len(calls)
    assert max(a.most_at_once, b.most_at_once) <= 1
    assert b.runs <= 1
    assert a.runs <= 1 + (sum(pause for pause, _, _ in calls) / 30 if finding is not PASSED else 0)
