"""One leads at a time: each rule by name, on virtual time."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import math

import pytest

from daemon.model import errors
from daemon.model.lease import LeaseSeen, Terms
from daemon.workflow.leading import Leadership, NotLeadingError, WorkDoesNotEndError
from tests.unit.electing import EPOCH, Fate, Replica, Stage, well


def held_by(holder: str, *, seconds: int = 15, transitions: int = 4) -> LeaseSeen:
    return LeaseSeen(holder, seconds, transitions, EPOCH, EPOCH, "")


def cut_off(replica: Replica, fault: str = "hang", *verbs: str) -> None:
    replica.line.fate = lambda verb: Fate(fault if not verbs or verb in verbs else "")


def heal(replica: Replica) -> None:
    replica.line.fate = well


def vacant(stage: Stage, replica: Replica) -> bool:
    seen: list[bool] = []
    replica.loop.call_soon(lambda: seen.append(replica.elector.vacant))
    stage.run(0.001)
    return seen[0]


def lease(stage: Stage) -> LeaseSeen:
    assert stage.server.lease is not None
    return stage.server.lease


@pytest.mark.parametrize(
    "terms",
    [(10, 10, 2), (15, 2, 2), (15, 10, 0), (15, 10, -1), (5, 10, 2), (math.inf, 10, 2), (math.nan, 1, 0.5)],
)
def test_terms_that_cannot_be_kept_are_refused(terms: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="duration > renew_deadline > retry"):
        Terms(*terms)


@pytest.mark.parametrize(("duration", "written"), [(15.0, 15), (14.2, 15), (0.4, 1), (1.0, 1)])
def test_the_promise_written_is_whole_seconds_and_never_less_than_we_take(duration: float, written: int) -> None:
    with Stage(terms=Terms(duration, duration * 0.6, duration * 0.1)) as stage:
        stage.add("a")
        stage.run(1)

        assert lease(stage).duration_seconds == written


def test_an_absent_lease_is_created() -> None:
    with Stage() as stage:
        a = stage.add("a")
        stage.run(1)

        assert (lease(stage).holder, lease(stage).transitions) == ("a", 0)
        assert stage.leaders == ["a"]
        assert a.elector.holder == "a"
        assert a.said("acquired") == ["a"]


def test_of_two_that_create_one_leads_and_the_other_reads() -> None:
    with Stage() as stage:
        a, b = stage.add("a"), stage.add("b")
        stage.run(1)

        assert stage.leaders == ["a"]
        assert [verb for _, verb in b.line.asked] == ["read", "create", "read"]
        assert (a.elector.holder, b.elector.holder) == ("a", "a")
        assert b.said("failing") == []


def test_a_holder_renews_from_its_version_and_keeps_acquired_and_transitions() -> None:
    with Stage() as stage:
        stage.add("a")
        stage.run(1)
        first = lease(stage)
        stage.run(60)

        assert 30 <= len(stage.server.writes) <= 40
        assert (lease(stage).acquired_at, lease(stage).transitions) == (first.acquired_at, 0)
        assert lease(stage).renewed_at != first.renewed_at
        assert [verb for _, verb in stage.replicas[0].line.asked].count("read") == 1
        assert len(stage.replicas[0].began) == 1


def test_renewals_are_jittered_and_never_later_than_retry() -> None:
    with Stage() as stage:
        stage.add("a")
        stage.run(60)
        sent = [when for when, verb in stage.replicas[0].line.asked if verb == "replace"]
        gaps = [later - earlier for earlier, later in itertools.pairwise(sent)]

        assert 1.6 - 1e-6 <= min(gaps) < max(gaps) <= 2.0 + 1e-6
        assert len({round(gap, 3) for gap in gaps}) > len(gaps) / 2


def test_a_lease_that_nobody_holds_is_taken_at_once() -> None:
    with Stage() as stage:
        stage.server.put(held_by("", transitions=7))
        stage.add("a")
        stage.run(0.1)

        assert stage.leaders == ["a"]
        assert lease(stage).transitions == 8


@pytest.mark.parametrize("promised", [3, 15, 40])
def test_takeover_waits_for_what_the_holder_promised_on_our_own_clock(promised: int) -> None:
    with Stage() as stage:
        stage.server.put(held_by("gone", seconds=promised))
        stage.run(500)  # the lease is old already; we have not seen it for that long
        a = stage.add("a")
        began = stage.now
        stage.run(promised - 0.01)
        assert stage.leaders == []
        assert a.elector.holder == "gone"

        stage.run(2.2)
        assert stage.leaders == ["a"]
        assert stage.server.writes[-1][0] - began >= promised


def test_a_lease_without_a_promise_is_waited_out_on_our_terms() -> None:
    with Stage() as stage:
        stage.server.put(held_by("gone", seconds=0))
        stage.add("a")
        stage.run(14.9)
        assert stage.leaders == []
        stage.run(2.2)
        assert stage.leaders == ["a"]


def test_any_change_of_the_lease_starts_the_wait_anew() -> None:
    with Stage() as stage:
        stage.server.put(held_by("other"))
        a = stage.add("a")
        for _ in range(5):
            stage.run(14)
            stage.server.put(lease(stage))  # the same words in a new version: a renewal
        stage.run(14.9)

        assert stage.leaders == []
        assert a.began == []


@pytest.mark.parametrize("off", [-86_400.0, 86_400.0])
def test_wall_clocks_are_never_compared(off: float) -> None:
    with Stage() as stage:
        a, b = stage.add("a"), stage.add("b")
        stage.run(5)
        a.clock.off = off
        stage.run(60)
        b.clock.off = -off
        stage.run(60)

        assert stage.leaders == ["a"]
        assert (len(a.began), b.began) == (1, [])


def test_a_wall_clock_that_stands_still_is_no_matter() -> None:
    with Stage() as stage:
        a, b = stage.add("a"), stage.add("b")
        a.clock.frozen = b.clock.frozen = True
        stage.run(60)

        assert stage.leaders == ["a"]
        assert (len(a.began), b.began) == (1, [])
        assert len(stage.server.writes) > 20  # every renewal is one that others can see


def test_transitions_count_every_change_of_holder_and_nothing_else() -> None:
    with Stage() as stage:
        a, b = stage.add("a"), stage.add("b")
        stage.run(10)
        assert lease(stage).transitions == 0
        cut_off(a)
        stage.run(30)
        assert (stage.leaders, lease(stage).transitions) == (["b"], 1)
        heal(a)
        stage.stop(b)
        stage.run(10)
        assert (stage.leaders, lease(stage).transitions) == (["a"], 2)


@pytest.mark.parametrize("fault", ["hang", "unreachable", "refused", "throttled"])
def test_validity_ends_renew_deadline_after_the_last_renewal_was_sent(fault: str) -> None:
    with Stage() as stage:
        a = stage.add("a")
        stage.run(10)
        cut_off(a, fault)
        renewed = [when for when, verb in a.line.asked if verb == "replace"][-1]
        stage.run(25)

        assert stage.leaders == []
        assert a.leaderships[0].until < stage.now
        assert a.ended == [pytest.approx(renewed + 10, abs=0.001)]
        assert max(a.acts) < renewed + 10
        assert a.said("lost") == ["not renewed within 10 s"]


def test_validity_counts_from_before_the_request_not_from_its_answer() -> None:
    with Stage() as stage:
        a = stage.add("a")
        a.line.fate = lambda _: Fate(there=0.0, back=4.0)
        stage.run(9)
        sent = next(when for when, verb in a.line.asked if verb == "create")

        assert a.leaderships[0].until == sent + 10


def test_an_answer_that_comes_after_the_validity_is_no_acquisition() -> None:
    with Stage() as stage:
        a = stage.add("a")
        stage.run(0.03)  # the create has left
        a.loop.stop()
        stage.run(30)
        a.loop.go_on()
        stage.run(0.001)
        assert a.began == []

        stage.run(3)
        assert stage.leaders == ["a"]


def test_one_request_that_is_lost_leaves_time_for_another() -> None:
    with Stage() as stage:
        a = stage.add("a")
        stage.run(5)
        hung: list[str] = []

        def once(verb: str) -> Fate:
            hung.append(verb)
            return Fate("hang" if len(hung) == 1 else "")

        a.line.fate = once
        stage.run(60)

        assert len(a.began) == 1
        assert len(a.said("failing")) == 1


def test_every_request_is_bounded_even_while_nobody_answers() -> None:
    with Stage() as stage:
        a = stage.add("a")
        cut_off(a)
        stage.run(50)
        gaps = [later[0] - earlier[0] for earlier, later in itertools.pairwise(a.line.asked)]

        assert len(gaps) > 5
        assert max(gaps) <= 7.001
        assert a.said("failing") == ["lease: no answer in time"]


@pytest.mark.parametrize("fault", ["lost", "unanswered"])
def test_a_renewal_that_took_effect_without_an_answer_is_read_again_and_gone_on_from(fault: str) -> None:
    with Stage() as stage:
        a = stage.add("a")
        stage.run(5)
        before = lease(stage).resource_version
        struck: list[str] = []

        def once(verb: str) -> Fate:
            struck.append(verb)
            return Fate(fault if len(struck) == 1 else "")

        a.line.fate = once
        stage.run(9)

        assert struck[:3] == ["replace", "read", "replace"]
        assert lease(stage).resource_version != before
        assert (len(a.began), lease(stage).transitions, stage.leaders) == (1, 0, ["a"])


@pytest.mark.parametrize("fault", ["lost", "unanswered"])
@pytest.mark.parametrize("verb", ["create", "replace"])
def test_an_acquisition_that_took_effect_without_an_answer_is_found_and_confirmed(fault: str, verb: str) -> None:
    with Stage() as stage:
        if verb == "replace":
            stage.server.put(held_by(""))
        a = stage.add("a")
        cut_off(a, fault, "create", "replace")
        stage.run(4)
        assert lease(stage).holder == "a"
        assert a.began == []  # nothing says that it is ours
        transitions = lease(stage).transitions

        heal(a)
        stage.run(8)
        assert stage.leaders == ["a"]
        assert lease(stage).transitions == transitions


def test_a_conflict_is_read_again_at_once() -> None:
    with Stage() as stage:
        a = stage.add("a")
        stage.run(5)
        stage.server.put(lease(stage))  # somebody put a label on it
        stage.run(2.1)

        conflict = [verb for _, verb in a.line.asked][-3:]
        assert conflict == ["replace", "read", "replace"]
        assert a.line.asked[-1][0] - a.line.asked[-3][0] < 0.1
        assert (len(a.began), a.said("failing")) == (1, [])


def test_a_takeover_by_another_ends_the_leadership_before_anything_else() -> None:
    with Stage() as stage:
        a = stage.add("a")
        stage.run(5)
        stage.server.put(dataclasses.replace(held_by("usurper"), transitions=9))
        stage.run(2.1)

        assert stage.leaders == []
        assert not a.holds()
        assert len(a.ended) == 1
        assert a.said("takeover") == ["usurper"]
        assert a.said("lost") == ["usurper holds the lease"]
        assert a.elector.holder == "usurper"


def test_the_work_is_cancelled_and_awaited_before_another_may_lead() -> None:
    async def slow_to_end(leadership: Leadership) -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(4)  # of the 5 s between renew_deadline and duration

    with Stage() as stage:
        a = stage.add("a", slow_to_end)
        b = stage.add("b")
        stage.run(5)
        cut_off(a)
        stage.run(25)

        assert stage.leaders == ["b"]
        assert a.ended[0] < b.began[0]
        assert not a.task.done()


def test_work_that_does_not_end_in_time_ends_the_elector_and_the_lease_is_kept() -> None:
    async def stubborn(leadership: Leadership) -> None:
        for _ in range(3):
            try:
                await asyncio.sleep(20)
            except asyncio.CancelledError:
                continue

    with Stage() as stage:
        a = stage.add("a", stubborn)
        stage.run(5)
        cut_off(a)
        renewed = [when for when, verb in a.line.asked if verb == "replace"][-1]
        stage.run(renewed + 15 - stage.now)

        assert a.task.done()
        assert isinstance(a.task.exception(), WorkDoesNotEndError)
        assert not a.holds()
        assert lease(stage).holder == "a"
        assert a.said("released") == []


def test_work_that_raises_is_told_the_lease_released_and_the_elector_a_candidate_again() -> None:
    calls: list[int] = []

    async def failing_once(leadership: Leadership) -> None:
        calls.append(1)
        await asyncio.sleep(3)
        if len(calls) == 1:
            raise RuntimeError("boom")
        await asyncio.sleep(1000)

    with Stage() as stage:
        a = stage.add("a", failing_once)
        stage.run(3.2)
        assert a.said("work-failed") == ["RuntimeError('boom')"]
        assert a.said("released") == ["a"]
        assert lease(stage).holder == ""
        assert stage.leaders == []
        assert not a.leaderships[0].holds()

        stage.run(10)
        assert stage.leaders == ["a"]
        assert lease(stage).transitions == 1
        assert a.said("lost") == []


def test_work_that_ends_by_itself_is_told_and_another_may_lead_meanwhile() -> None:
    async def short(leadership: Leadership) -> None:
        await asyncio.sleep(3)

    with Stage() as stage:
        a = stage.add("a", short)
        stage.add("b")
        stage.run(8)

        assert a.said("work-failed") == ["ended, though nobody had asked it to"]
        assert stage.leaders == ["b"]


def test_work_that_fails_again_and_again_backs_off_up_to_the_duration() -> None:
    async def failing(leadership: Leadership) -> None:
        raise RuntimeError("always")

    with Stage() as stage:
        a = stage.add("a", failing)
        stage.run(120)
        gaps = [later - earlier for earlier, later in itertools.pairwise(a.began)]

        assert gaps[0] < gaps[1]
        assert 10 < max(gaps) < 16
        assert len(a.began) < 15


def test_a_stop_ends_the_work_awaits_it_and_then_releases() -> None:
    async def tidy(leadership: Leadership) -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(1)
            held_while_tidying.append(leadership.holds())

    held_while_tidying: list[bool] = []
    with Stage() as stage:
        a = stage.add("a", tidy)
        stage.add("b")
        stage.run(5)
        before = lease(stage)
        stage.stop(a)
        stage.run(0.9)
        assert lease(stage).holder == "a"
        stage.run(0.2)

        assert (lease(stage).holder, lease(stage).duration_seconds) == ("", 1)
        assert lease(stage).transitions == before.transitions
        assert held_while_tidying == [True]
        assert a.task.cancelled()
        assert a.said("released") == ["a"]
        assert a.ended[0] <= stage.server.writes[-1][0]
        stage.run(2)
        assert stage.leaders == ["b"]


def test_being_cancelled_twice_does_not_release_before_the_work_has_ended() -> None:
    async def tidy(leadership: Leadership) -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(1)

    with Stage() as stage:
        a = stage.add("a", tidy)
        stage.run(5)
        stage.stop(a)
        stage.run(0.5)
        stage.stop(a)
        stage.run(0.4)
        assert lease(stage).holder == "a"
        stage.run(0.2)
        assert lease(stage).holder == ""
        assert a.task.cancelled()


def test_a_candidate_that_stops_releases_nothing() -> None:
    with Stage() as stage:
        stage.add("a")
        b = stage.add("b")
        stage.run(5)
        stage.stop(b)
        stage.run(0.2)

        assert b.task.done()
        assert {verb for _, verb in b.line.asked} == {"read", "create"}
        assert stage.leaders == ["a"]


@pytest.mark.parametrize("fault", ["hang", "unreachable"])
def test_a_release_that_fails_does_not_hold_up_the_stop(fault: str) -> None:
    with Stage() as stage:
        a = stage.add("a")
        stage.run(5)
        cut_off(a, fault)
        stage.stop(a)
        stage.run(2.01)

        assert a.task.cancelled()
        assert a.said("released") == []
        assert len(a.said("failing")) == 1


def test_a_stop_in_the_middle_of_a_renewal_looks_again_and_releases() -> None:
    with Stage() as stage:
        a = stage.add("a")
        stage.run(5)
        a.line.fate = lambda verb: Fate(there=0.1, back=3.0 if verb == "replace" and not a.task.cancelling() else 0.1)
        stage.run(2.3)
        stage.stop(a)
        stage.run(1)

        assert lease(stage).holder == ""


def test_nobody_elses_lease_is_released() -> None:
    with Stage() as stage:
        a = stage.add("a")
        stage.run(5)
        stage.server.put(held_by("usurper"))
        stage.stop(a)
        stage.run(1)

        assert lease(stage).holder == "usurper"
        assert a.said("released") == []


def test_a_failing_streak_is_told_once_and_again_when_it_comes_back() -> None:
    with Stage() as stage:
        a = stage.add("a")
        stage.run(5)
        for _ in range(2):
            cut_off(a, "unreachable")
            stage.run(40)
            heal(a)
            stage.run(10)

        assert a.said("failing") == ["503", "503"]
        assert stage.leaders == ["a"]


@pytest.mark.parametrize("verbs", [(), ("create", "replace")])
def test_a_missing_permission_is_told_once_retried_and_never_fatal(verbs: tuple[str, ...]) -> None:
    with Stage() as stage:
        a = stage.add("a")
        cut_off(a, "refused", *verbs)
        stage.run(100)
        assert a.said("failing") == ["403"]
        assert 50 <= len(a.line.asked) / (2 if verbs else 1) <= 65
        assert not a.task.done()

        heal(a)
        stage.run(2.1)
        assert stage.leaders == ["a"]


def test_an_error_nobody_knows_ends_the_work_and_the_actor() -> None:
    with Stage() as stage:
        a = stage.add("a")
        stage.run(5)

        def surprise(verb: str) -> Fate:
            if verb == "replace" and len(a.ended) == 0:
                raise KeyError("resourceVersion")
            return Fate()

        a.line.fate = surprise
        stage.run(3)

        assert isinstance(a.task.exception(), KeyError)
        assert len(a.ended) == 1
        assert lease(stage).holder == ""


def test_a_pause_of_the_process_is_noticed_before_any_timer_has_run() -> None:
    seen: list[bool] = []

    async def looking(leadership: Leadership) -> None:
        while True:
            await asyncio.sleep(0.1)
            seen.append(leadership.holds())

    with Stage() as stage:
        a = stage.add("a", looking)
        stage.add("b")
        stage.run(5)
        a.loop.stop()
        stage.run(45)
        assert stage.leaders == ["b"]
        count = len(seen)
        a.loop.go_on()
        stage.run(10)

        assert seen[:count] == [True] * count
        assert seen[count:] in ([], [False])
        assert len(a.ended) == 1
        assert stage.leaders == ["b"]
        assert not a.task.done()


def test_check_raises_once_the_leadership_is_over_and_that_is_no_failure_of_the_work() -> None:
    raised: list[BaseException] = []

    async def acting(leadership: Leadership) -> None:
        while True:
            try:
                leadership.check()
            except NotLeadingError as error:
                raised.append(error)
                raise
            await asyncio.sleep(0)  # as busy as can be: its steps come before every timer's
            await asyncio.sleep(0.01)

    with Stage() as stage:
        a = stage.add("a", acting)
        stage.run(5)
        a.loop.stop()
        stage.run(60)
        a.loop.go_on()
        stage.run(0.02)

        assert len(raised) <= 1
        assert a.said("work-failed") == []
        assert a.said("lost") == ["not renewed within 10 s"]
        with pytest.raises(NotLeadingError):
            a.leaderships[0].check()


def test_a_leadership_compares_the_clock_and_needs_no_loop() -> None:
    now = 100.0
    leadership = Leadership(lambda: now, 110.0)
    assert leadership.holds()
    leadership.check()
    now = 110.0
    assert not leadership.holds()
    with pytest.raises(errors.PullbackError):
        leadership.check()
    leadership.extend(120.0)
    assert leadership.holds()
    leadership.end()
    assert not leadership.holds()


def test_a_lease_deleted_under_its_holder_is_created_again_and_the_work_goes_on() -> None:
    with Stage() as stage:
        a = stage.add("a")
        stage.run(5)
        stage.server.lease = None
        stage.run(2.1)

        assert lease(stage).holder == "a"
        assert (len(a.began), stage.leaders) == (1, ["a"])


def test_who_saw_a_holder_waits_out_its_promise_even_when_the_lease_is_deleted() -> None:
    with Stage() as stage:
        stage.server.put(held_by("other"))
        a = stage.add("a")
        stage.run(10)
        stage.server.lease = None
        gone = stage.now
        stage.run(14.9)
        assert a.began == []
        stage.run(4.2)

        assert stage.leaders == ["a"]
        assert a.began[0] >= gone + 15


def test_a_holder_that_is_throttled_waits_as_told_within_its_deadline() -> None:
    with Stage() as stage:
        a = stage.add("a")
        stage.run(5)
        cut_off(a, "throttled")
        stage.run(2.5)
        heal(a)
        stage.run(10)

        assert len(a.began) == 1


def test_a_takeover_is_told_to_those_who_watch() -> None:
    with Stage() as stage:
        a, _, c = stage.add("a"), stage.add("b"), stage.add("c")
        stage.run(5)
        stage.stop(a)
        stage.run(5)
        winner = stage.leaders[0]
        watching = c if winner == "b" else stage.replicas[1]

        assert watching.said("takeover") == [winner]
        assert watching.elector.holder == winner


def test_a_lease_that_changed_hands_as_often_as_can_be_counted_is_taken_all_the_same() -> None:
    with Stage() as stage:
        stage.server.put(held_by("", transitions=2**31 - 1))
        stage.add("a")
        stage.run(1)

        assert (stage.leaders, lease(stage).transitions) == (["a"], 2**31 - 1)


def test_it_is_known_when_nobody_leads_also_where_the_lease_still_names_somebody() -> None:
    with Stage() as stage:
        stage.server.put(held_by("gone"))
        a = stage.add("a")
        cut_off(a, "refused", "create", "replace")
        stage.run(14.9)
        assert not vacant(stage, a)  # whoever it is may be leading
        stage.run(2)
        assert vacant(stage, a)
        assert a.elector.holder == "gone"

        heal(a)
        stage.run(2.1)
        assert not vacant(stage, a)
        assert stage.leaders == ["a"]


def test_a_leader_that_cannot_renew_knows_that_nobody_leads() -> None:
    with Stage() as stage:
        a = stage.add("a")
        stage.run(5)
        cut_off(a, "refused")
        stage.run(20)

        assert vacant(stage, a)
