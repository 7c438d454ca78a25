"""Whose turn a follow-up is, what is done to a Helm release, and when it is given up."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.model.follow_up import FollowUp, FollowUpKind, FollowUpState
from daemon.model.helm_release import Deployed, Release, Revision, Tracked
from daemon.model.rollback import Rollback, RollbackPhase, Timeline
from daemon.policy import following_up
from daemon.policy.following_up import Busy, Impossible, InStep, Succeed, Supersede, Turn
from tests.unit import facts

TRACKED = Tracked("shop", "web", "canary.weight")
NAME = "shop/web"
GIVE_UP = 900.0

ZEROED = Timeline(started_at=facts.after(61), zeroed_at=facts.after(62))
COMPLETED = dataclasses.replace(ZEROED, completed_at=facts.after(70))


def entry(state: FollowUpState = FollowUpState.PENDING, at: float = 62) -> FollowUp:
    return FollowUp(FollowUpKind.HELM, NAME, state, "begun", facts.after(at))


def record(phase: RollbackPhase = RollbackPhase.ZEROED, **changes: Any) -> Rollback:
    return facts.record(phase, **{"timeline": ZEROED, **changes})


def turn(record: Rollback, *, overtaken: bool = False, at: float = 63) -> Turn:
    return following_up.turn(
        record, FollowUpKind.HELM, NAME, overtaken=overtaken, now=facts.after(at), give_up_after=GIVE_UP
    )  # fmt: skip


# -- whose turn


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (record(), Turn.TRY),
        (record(RollbackPhase.PROVED), Turn.TRY),
        (record(RollbackPhase.ESCALATED), Turn.TRY),
        (record(RollbackPhase.COMPLETED, timeline=COMPLETED), Turn.TRY),
        (record(follow_ups=(entry(),)), Turn.TRY),
        (record(RollbackPhase.PENDING, timeline=Timeline(started_at=facts.after(61))), Turn.NOTHING),
        (record(RollbackPhase.ESCALATED, timeline=Timeline(started_at=facts.after(61))), Turn.NOTHING),
        (record(timeline=Timeline(zeroed_at=facts.after(62))), Turn.NOTHING),
        (record(dry_run=True), Turn.NOTHING),
        (record(drill=True), Turn.NOTHING),
        (record(RollbackPhase.FAILED, timeline=COMPLETED), Turn.NOTHING),
        (record(RollbackPhase.FAILED, timeline=COMPLETED, follow_ups=(entry(),)), Turn.LEAVE),
        *((record(follow_ups=(entry(state),)), Turn.NOTHING)
          for state in (FollowUpState.DONE, FollowUpState.FAILED, FollowUpState.NOT_NEEDED)),
    ],
    ids=range(15),
)  # fmt: skip
def test_it_is_due_once_the_routes_are_at_zero_and_until_it_is_settled(given: Rollback, expected: Turn) -> None:
    assert turn(given) is expected


def test_a_release_of_another_revision_is_left_as_people_want_it() -> None:
    assert turn(record(), overtaken=True) is Turn.NOTHING
    assert turn(record(follow_ups=(entry(),)), overtaken=True) is Turn.LEAVE
    went_on = dataclasses.replace(COMPLETED, next_revision_began_at=facts.after(70))
    assert turn(record(RollbackPhase.COMPLETED, timeline=went_on)) is Turn.NOTHING


def test_what_ended_before_it_was_configured_is_history() -> None:
    old = record(RollbackPhase.COMPLETED, timeline=COMPLETED)
    assert turn(old, at=70 + GIVE_UP - 1) is Turn.TRY
    assert turn(old, at=70 + GIVE_UP + 1) is Turn.NOTHING
    # What was begun is ended, however long nobody led.
    assert turn(dataclasses.replace(old, follow_ups=(entry(),)), at=86_400) is Turn.TRY


def test_another_follow_up_of_the_record_is_another() -> None:
    others = (dataclasses.replace(entry(FollowUpState.DONE), name="shop/other"),)
    assert turn(record(follow_ups=others)) is Turn.TRY


def test_it_is_given_up_after_its_time_and_says_what_to_do_by_hand() -> None:
    def failed(at: float) -> FollowUp:
        return following_up.after_failure(
            entry(at=100), "no answer", "helm upgrade …", now=facts.after(at), give_up_after=GIVE_UP
        )  # fmt: skip

    assert failed(999) == dataclasses.replace(entry(at=100), detail="no answer")
    assert failed(1000).state is FollowUpState.FAILED
    assert failed(1000).detail == "given up: no answer; by hand: helm upgrade …"
    assert failed(1000).at == facts.after(1000)


def test_the_command_for_people_is_safe_to_paste() -> None:
    assert following_up.by_hand(TRACKED) == "helm upgrade web CHART -n shop --reuse-values --set canary.weight=0"
    odd = dataclasses.replace(TRACKED, weight_value="a;b.$(c)")
    assert following_up.by_hand(odd).endswith("--set 'a;b.$(c)=0'")


# -- a release


def deployed(number: int = 7, *, config: Any = None, defaults: Any = None, said: str = "Upgrade complete") -> Deployed:
    body = {"config": config, "chart": {"values": defaults}, "info": {"description": said}}
    return Deployed(number, "deployed", body, {}, "1")


def release(newest: Deployed | None, *others: Revision) -> Release:
    revisions = sorted([*others, *([newest] if newest else [])], key=lambda one: one.number)
    return Release("shop", "web", tuple(revisions), newest)


def step(found: Release, path: str = "canary.weight") -> following_up.Step:
    return following_up.next_step(found, dataclasses.replace(TRACKED, weight_value=path), record())


def test_the_next_revision_has_the_value_at_zero_and_every_other_as_it_was() -> None:
    config: dict[str, Any] = {"canary": {"weight": 25, "image": "v4"}, "replicas": 3}
    found = step(release(deployed(config=config)))
    assert isinstance(found, Succeed)
    assert (found.revision.number, found.revision.base.number, found.before) == (8, 7, 25)
    assert found.revision.values == {"canary": {"weight": 0, "image": "v4"}, "replicas": 3}
    assert found.revision.description == "Pullback set canary.weight to 0 (Rollback shop/podinfo-rev2)"
    assert config["canary"]["weight"] == 25  # what was read stays as it was read


@pytest.mark.parametrize("value", [0, 0.0, "0", "0.0", " 0 ", "0%", "-0"])
def test_what_is_at_zero_is_in_step(value: Any) -> None:
    found = step(release(deployed(config={"canary": {"weight": value}})))
    assert found == InStep("revision 7 of shop/web has canary.weight at 0", ours=False)


@pytest.mark.parametrize(("value", "zero"), [(5, 0), (0.5, 0), ("5", "0"), ("5 %", "0%"), (None, 0), ("1.5%", "0%")])
def test_zero_is_written_as_the_weight_was_written(value: Any, zero: Any) -> None:
    found = step(release(deployed(config={"canary": {"weight": value}})))
    assert isinstance(found, Succeed)
    written = following_up.effective(deployed(config=found.revision.values), "canary.weight")
    assert (written, type(written)) == (zero, type(zero))


def test_where_nobody_set_it_the_charts_default_counts() -> None:
    assert isinstance(step(release(deployed(defaults={"canary": {"weight": 0}}))), InStep)
    found = step(release(deployed(config={"canary": {"image": "v4"}}, defaults={"canary": {"weight": 10}})))
    assert isinstance(found, Succeed)
    assert found.revision.values == {"canary": {"image": "v4", "weight": 0}}
    # What the user says wins.
    assert isinstance(
        step(release(deployed(config={"canary": {"weight": 0}}, defaults={"canary": {"weight": 10}}))), InStep
    )


def test_a_value_of_one_part_and_one_of_four() -> None:
    for path in ("weight", "a.b.c.d"):
        config: Any = 25
        for part in reversed(path.split(".")):
            config = {part: config}
        found = step(release(deployed(config=config)), path)
        assert isinstance(found, Succeed)
        assert isinstance(step(release(deployed(config=found.revision.values)), path), InStep)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"canary": 25}, "canary is no group of values"),
        ({"canary": None}, "canary is no group of values"),
        ({"canary": [{"weight": 25}]}, "canary is no group of values"),
        ({"canary": {"wieght": 25}}, "no value canary.weight, neither set nor among the chart's defaults"),
        ({}, "no value canary.weight"),
        (None, "no value canary.weight"),
        ("x", "no value canary.weight"),
        ({"canary": {"weight": True}}, "expected a number where the weight is, got bool"),
        ({"canary": {"weight": "most"}}, "expected a number where the weight is, got str"),
        ({"canary": {"weight": {"of": 100}}}, "expected a number where the weight is, got dict"),
    ],
    ids=range(10),
)
def test_what_is_no_weight_is_for_a_person(config: Any, said: str) -> None:
    found = step(release(deployed(config=config)))
    assert isinstance(found, Impossible)
    assert said in found.detail
    assert "revision 7 of shop/web" in found.detail


def test_a_path_that_leads_to_a_secret_tells_nobody_what_it_is() -> None:
    found = step(release(deployed(config={"db": {"password": "hunter2"}})), "db.password")
    assert isinstance(found, Impossible)
    assert "hunter2" not in found.detail


def test_a_release_that_is_not_there_is_for_a_person() -> None:
    assert step(release(None)) == Impossible("Helm keeps no release shop/web in Secrets")
    found = step(release(None, Revision(1, "failed")))
    assert found == Impossible("shop/web has no revision that is deployed; its newest is failed")


BUSY = ["pending-install", "pending-upgrade", "pending-rollback", "uninstalling", "unknown"]


@pytest.mark.parametrize("status", BUSY)
def test_nobody_is_disturbed_in_the_middle_of_an_operation(status: str) -> None:
    found = step(release(deployed(config={"canary": {"weight": 25}}), Revision(8, status)))
    assert isinstance(found, Busy)
    assert f"revision 8 of shop/web is {status}" in found.detail


def test_an_older_operation_that_died_does_not_count_as_it_does_not_for_helm() -> None:
    found = step(release(deployed(config={"canary": {"weight": 25}}), Revision(6, "pending-upgrade")))
    assert isinstance(found, Succeed)


def test_after_an_upgrade_that_failed_the_number_is_the_next_and_the_values_are_those_in_force() -> None:
    found = step(release(deployed(config={"canary": {"weight": 25}}), Revision(8, "failed"), Revision(9, "failed")))
    assert isinstance(found, Succeed)
    assert (found.revision.base.number, found.revision.number) == (7, 10)


def test_what_is_uninstalled_raises_nothing() -> None:
    assert step(release(None, Revision(8, "uninstalled"))) == InStep("shop/web is uninstalled", ours=False)


def test_our_own_revision_is_recognised_and_what_it_left_in_force_is_ended() -> None:
    said = following_up.description(TRACKED, record())
    ours = deployed(config={"canary": {"weight": 0}}, said=said)
    assert step(release(ours, Revision(6, "superseded"))) == InStep(
        "revision 7 of shop/web has canary.weight at 0", ours=True
    )
    both = release(ours, Revision(5, "deployed"), Revision(6, "deployed"))
    assert step(both) == Supersede(5)
    assert step(release(ours, Revision(6, "deployed"))) == Supersede(6)


def test_several_in_force_that_others_left_are_theirs() -> None:
    found = step(release(deployed(config={"canary": {"weight": 0}}), Revision(6, "deployed")))
    assert found == InStep("revision 7 of shop/web has canary.weight at 0", ours=False)


weights = st.integers() | st.floats(allow_nan=False) | st.sampled_from(["0", "5", "25%", "most", None, True])
trees = st.recursive(weights, lambda inner: st.dictionaries(st.sampled_from(["canary", "weight", "x"]), inner))


@given(trees, trees)
def test_any_release_ends_in_step_or_with_a_person_and_no_other_value_changes(config: Any, defaults: Any) -> None:
    found = step(release(deployed(config=config, defaults=defaults)))
    if not isinstance(found, Succeed):
        assert isinstance(found, InStep | Impossible)
        return
    after = deployed(config=found.revision.values, defaults=defaults)
    assert isinstance(step(release(after)), InStep)
    assert _without(found.revision.values) == _without(config if isinstance(config, dict) else {})


def _without(values: Any) -> Any:
    """All but the weight, and the group it is in where that holds nothing else."""
    inner = {key: value for key, value in (values.get("canary") or {}).items() if key != "weight"}
    rest = {key: value for key, value in values.items() if key != "canary"}
    return rest | ({"canary": inner} if inner else {})


def test_what_was_done_is_told_in_one_line() -> None:
    assert following_up.told(TRACKED, 8, 25, ("VirtualService web",)) == (
        "revision 8 of shop/web has canary.weight at 0, was 25; in its manifest at 0: VirtualService web"
    )
    assert "its manifest is as it was" in following_up.told(TRACKED, 8, "x" * 99, ())
