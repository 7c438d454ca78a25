"""The record as an object of the API server: what is written is read back, and nothing written is ever refused."""

from __future__ import annotations

import dataclasses
import datetime
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.adapters import ledger, times
from daemon.model.follow_up import FollowUp, FollowUpKind, FollowUpState
from daemon.model.rollback import (
    Amendment,
    Condition,
    Milestone,
    NewRollback,
    RecordedSignal,
    Rollback,
    RollbackPhase,
    Timeline,
    Trigger,
)
from daemon.model.route import Original, WeightChange
from tests.unit import facts

ORIGINAL = Original(facts.ROUTE, "http", 1, "beta", "mirrors", 0, {"host": "podinfo-canary"}, None)
WEIGHT = WeightChange(facts.ROUTE, "http[0]", 12.5, 0)


def new(**changes: Any) -> NewRollback:
    plain: dict[str, Any] = {
        "namespace": "shop",
        "name": "podinfo-rev2",
        "canary": facts.REF,
        "revision": "rev2",
        "trigger": Trigger.ALERT,
        "reason": "alert-fires: HighErrorRate",
        "requested_by": "alertmanager",
        "signal": RecordedSignal(
            "a790", facts.after(60), {"alertname": "A"}, {"summary": "ü"}, "http://p", "http://am"
        ),
        "dry_run": False,
        "started_at": facts.after(61.000001),
        "decided_at": facts.after(61.5),
        "weights": (WEIGHT,),
        "originals": (ORIGINAL,),
    }
    return NewRollback(**(plain | changes))


def stored(document: dict[str, Any], status: dict[str, Any] | None = None) -> dict[str, Any]:
    """As the API server hands it back: JSON, with its own metadata, without a status that came with the create."""
    copied: dict[str, Any] = json.loads(json.dumps(document))
    copied.pop("status", None)
    copied["metadata"] |= {"uid": "u-1", "resourceVersion": "7", "creationTimestamp": "2026-11-23T07:01:02Z"}
    if status is not None:
        copied["status"] = json.loads(json.dumps(status))
    return copied


def test_a_new_record_survives_its_creation_whole_though_its_status_is_ignored() -> None:
    asked = new()
    read = ledger.read_rollback(stored(ledger.as_document(asked)))
    assert (read.name, read.canary, read.revision, read.trigger) == ("podinfo-rev2", facts.REF, "rev2", Trigger.ALERT)
    assert (read.reason, read.requested_by, read.dry_run) == (asked.reason, asked.requested_by, False)
    assert (read.signal, read.weights, read.originals) == (asked.signal, asked.weights, asked.originals)
    assert (read.phase, read.started_at, read.timeline.started_at) == (RollbackPhase.PENDING, asked.started_at, None)
    assert read.timeline.decided_at == asked.decided_at


def test_an_amendment_survives_its_writing_whole() -> None:
    amendment = Amendment(
        phase=RollbackPhase.PROVED,
        revision="rev2",
        timeline=Timeline(**{
            field.name: facts.after(62) for field in dataclasses.fields(Timeline) if field.name != "received_at"
        }),
        seconds_to_zero=0.25,
        checksum="58b65dd85",
        holds=3,
        weights=(WEIGHT,),
        originals=(ORIGINAL,),
        proof=("routes read back at 0",),
        conditions=(Condition(Milestone.ZEROED, "alert-fires", "routes at 0", facts.after(62)),),
        message="proved",
    )  # fmt: skip
    status = ledger.as_status(amendment)
    read = ledger.read_rollback(stored(ledger.as_document(new()), status))
    assert (read.phase, read.checksum, read.holds, read.message) == (RollbackPhase.PROVED, "58b65dd85", 3, "proved")
    assert (read.weights, read.originals, read.proof) == ((WEIGHT,), (ORIGINAL,), ("routes read back at 0",))
    assert {moment for name, moment in dataclasses.asdict(read.timeline).items() if name != "received_at"} == {
        facts.after(62)
    }
    assert read.conditions == (Condition(Milestone.ZEROED, "AlertFires", "routes at 0", facts.after(62)),)
    assert status["secondsToZero"] == 0.25


def test_follow_ups_survive_their_writing_whole() -> None:
    helm = FollowUp(FollowUpKind.HELM, "shop/web", FollowUpState.DONE, "revision 8 …", facts.after(70))
    lent = dataclasses.replace(helm, name="shop/other", state=FollowUpState.PENDING, undo={"suspend": "false"})
    status = ledger.as_status(Amendment(follow_ups=(helm, lent)))
    assert "undo" not in status["followUps"][0]
    assert ledger.read_rollback(stored(ledger.as_document(new()), status)).follow_ups == (helm, lent)
    long = ledger.as_status(Amendment(follow_ups=(dataclasses.replace(helm, detail="x" * 5000),)))
    assert len(long["followUps"][0]["detail"]) == 1024


@pytest.mark.parametrize(
    "said", [None, 5, [5], [{}], [{"kind": "Moon", "state": "Done"}], [{"kind": "Helm", "state": "Done", "at": "noon"}]]
)
def test_follow_ups_of_another_version_are_left_out(said: Any) -> None:
    assert ledger.read_rollback(stored(ledger.as_document(new()), {"followUps": said})).follow_ups == ()


def test_only_what_changes_is_written() -> None:
    assert ledger.as_status(Amendment()) == {}
    assert ledger.as_status(Amendment(holds=0, weights=(), message="")) == {"holds": 0, "weights": [], "message": ""}


def test_a_record_made_by_hand_is_read_with_what_it_has() -> None:
    document = {
        "metadata": {"namespace": "shop", "name": "mine", "creationTimestamp": "2026-11-23T07:01:02Z"},
        "spec": {"canaryRef": {"name": "podinfo"}},
    }
    read = ledger.read_rollback(document)
    assert (read.canary, read.trigger, read.revision, read.signal) == (facts.REF, Trigger.OPERATOR, "", None)
    assert (read.phase, read.started_at) == (RollbackPhase.PENDING, facts.after(62))


@pytest.mark.parametrize(
    "changes",
    [
        {"status": None},
        {"status": {"phase": "Odd", "startedAt": "noon", "conditions": [{"type": "Odd"}], "holds": None}},
        {"spec": {"canaryRef": None, "trigger": "Moon", "signal": {"startsAt": None}}},
        {"metadata": {"annotations": {ledger.BEFORE: "{", ledger.RECEIVED_AT: "?", ledger.DECIDED_AT: ""}}},
        {"metadata": {"annotations": {ledger.BEFORE: "[]"}}},
        {"metadata": {"annotations": {ledger.BEFORE: '{"weights":[1]}'}}},
        {"metadata": {"annotations": {ledger.BEFORE: '{"weights":[{"before":"x"}]}'}}},
        {"metadata": {"annotations": {ledger.BEFORE: '{"originals":5}'}}},
        {"metadata": {"annotations": {ledger.BEFORE: '{"originals":[{"rule":"x"}]}'}}},
        {"metadata": {"annotations": None}},
    ],
    ids=str,
)
def test_what_somebody_else_wrote_into_it_never_raises(changes: dict[str, Any]) -> None:
    document = stored(ledger.as_document(new()))
    document["metadata"] |= changes.pop("metadata", {})
    read = ledger.read_rollback(document | changes)
    assert (read.name, read.phase) == ("podinfo-rev2", RollbackPhase.PENDING)


words = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
                        st.text(st.characters(exclude_categories=["Cs"]), max_size=5000), max_size=60)  # fmt: skip


@given(words, words, st.text(st.characters(exclude_categories=["Cs"]), max_size=4000))
def test_no_alert_is_too_large_for_its_record(labels: dict[str, str], notes: dict[str, str], reason: str) -> None:
    signal = RecordedSignal("f", facts.after(60), labels, notes, "g" * 9000, "e" * 9000)
    document = ledger.as_document(new(signal=signal, reason=reason))
    assert len(json.dumps(document["spec"]["signal"], ensure_ascii=False).encode()) < 300 * 1024
    assert len(document["spec"]["reason"]) <= 1024
    assert ledger.read_rollback(stored(document)).reason == reason[:1024]


def test_what_routes_said_before_stays_within_what_annotations_may_take() -> None:
    many = tuple(dataclasses.replace(ORIGINAL, index=index, value={"host": "x" * 200}) for index in range(1000))
    annotations = ledger.as_document(new(originals=many))["metadata"]["annotations"]
    assert sum(len(key) + len(value) for key, value in annotations.items()) < 256 * 1024


# -- times


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-23T07:00:00Z", "2026-11-23T07:00:00.000000Z"),
        ("2026-11-23T08:00:00+01:00", "2026-11-23T07:00:00.000000Z"),
        ("2026-11-23T07:00:00.123456789Z", "2026-11-23T07:00:00.123456Z"),
        ("2026-11-23T07:00:00", "2026-11-23T07:00:00.000000Z"),
        ("0001-01-01T00:00:00Z", None),
        ("9999-12-31T23:59:59-05:00", None),
        ("noon", None),
        ("", None),
        (None, None),
        (5, None),
    ],
)
def test_times_of_the_neighbours_are_read_or_nothing(text: object, expected: str | None) -> None:
    moment = times.read(text)
    assert (None if moment is None else times.write(moment)) == expected


@given(st.datetimes(datetime.datetime(3, 1, 1), datetime.datetime(9998, 1, 1), timezones=st.timezones()))  # noqa: DTZ001
def test_a_time_that_was_written_is_read_back(moment: datetime.datetime) -> None:
    # Compared in UTC: Python finds a time in a fold of its own zone equal to none of another.
    assert times.read(times.write(moment)) == moment.astimezone(datetime.UTC)


def test_a_record_says_whether_it_is_finished() -> None:
    finished = {phase for phase in RollbackPhase if facts.record(phase).finished}
    assert finished == {RollbackPhase.COMPLETED, RollbackPhase.FAILED, RollbackPhase.DRY_RUN}
    assert isinstance(facts.record(), Rollback)
