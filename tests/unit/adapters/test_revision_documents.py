"""The record of a revision as an object of the API server: what is written is read back, and what cannot be read is
left out."""

from __future__ import annotations

import dataclasses
import datetime
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.adapters.ledger import revisions as documents
from daemon.model.canary_revision import (
    CanaryRevision,
    Entry,
    EntryKind,
    NewRevision,
    RevisionPhase,
    SeenActs,
    SeenCheck,
    SeenGate,
    SeenWeight,
    changes,
)
from daemon.model.checking import CheckState, ImageDigest
from daemon.model.notice import Notice
from tests.unit import facts, revisions

NEW = NewRevision("shop", "podinfo-t2", facts.REF, "c-1", "t2", ("registry.example:5000/podinfo:v2",))
EMPTY = revisions.record(
    revision="", phase=RevisionPhase.PENDING, run=0, began=None, workload_revision="", weights=(), resource_version="7",
    created_at=facts.after(62),
)  # fmt: skip
FULL = dataclasses.replace(
    EMPTY,
    revision="rev2",
    phase=RevisionPhase.PROMOTED,
    run=2,
    began=facts.after(0.000001),
    promoted_at=facts.after(9000),
    configs="c0ffee",
    workload_revision="7",
    weights=(SeenWeight(0, facts.after(1), "100"), SeenWeight(12.5, facts.after(2))),
    checks=(SeenCheck("rollout", "errors", CheckState.UNDECIDED, "not enough traffic: ü", facts.after(3)),),
    digests=(ImageDigest("registry.example:5000/podinfo:v2", "sha256:1"),),
    gates=(
        SeenGate("rollout", True, "open", "passed: errors", facts.after(4)),
        SeenGate("confirm-promotion", False, "paused", "paused by ann", facts.after(4), facts.after(5)),
    ),
    acts=SeenActs("true", "25", "rev2 ann ", facts.after(6), "rev2 bob ", "10"),
    entries=(
        Entry(facts.after(1), EntryKind.STAGE, "5", "0% -> 5% of traffic"),
        Entry(facts.after(7), EntryKind.HOOK, "soaking", "19 min left", 12, facts.after(8)),
    ),
    dropped=3,
    notices=(Notice("team", "k", due=("a",), said=("b",), reference="C1:1", planned_at=facts.after(9)),),
)
WRITABLE = list(changes(EMPTY, FULL))


def stored(status: Any = None, spec: Any = None) -> dict[str, Any]:
    """As the API server hands it back."""
    document: dict[str, Any] = json.loads(json.dumps(documents._document(NEW)))
    document["metadata"] |= {"uid": "v-1", "resourceVersion": "7", "creationTimestamp": "2026-11-23T07:01:02Z"}
    if status is not None:
        document["status"] = json.loads(json.dumps(status))
    if spec is not None:
        document["spec"] = spec
    return document


def without_nulls(patch: dict[str, Any]) -> dict[str, Any]:
    """A merge patch of an object that has nothing yet."""
    return {
        key: without_nulls(value) if isinstance(value, dict) else value
        for key, value in patch.items()
        if value is not None
    }


def through(record: CanaryRevision) -> CanaryRevision:
    return documents.read_revision(stored(without_nulls(documents.as_status(changes(EMPTY, record)))))


def test_a_new_one_is_read_back_and_belongs_to_its_canary() -> None:
    assert documents.read_revision(stored()) == EMPTY
    (owner,) = stored()["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Canary", "podinfo", "c-1")


def test_all_that_can_be_said_is_in_the_example() -> None:
    fixed = {"namespace", "name", "uid", "resource_version", "created_at", "canary", "template", "images"}
    assert {*WRITABLE, *fixed} == {field.name for field in dataclasses.fields(CanaryRevision)}


def test_everything_survives_being_written_and_read() -> None:
    assert through(FULL) == FULL


@pytest.mark.parametrize("name", WRITABLE)
def test_every_field_alone_survives_and_touches_no_other(name: str) -> None:
    record = dataclasses.replace(EMPTY, **{name: getattr(FULL, name)})
    assert through(record) == record


@pytest.mark.parametrize("name", WRITABLE)
def test_every_field_can_be_emptied_again(name: str) -> None:
    record = dataclasses.replace(FULL, **{name: getattr(EMPTY, name)})
    before = without_nulls(documents.as_status(changes(EMPTY, FULL)))
    patched = without_nulls(before | documents.as_status(changes(FULL, record)))
    assert documents.read_revision(stored(patched)) == record


def test_what_does_not_change_is_not_written() -> None:
    assert documents.as_status(changes(FULL, FULL)) == {}
    assert documents.as_status({"name": "x", "dropped": 4}) == {"dropped": 4}


def test_no_list_holds_a_null_which_the_schema_would_refuse() -> None:
    status = documents.as_status(changes(EMPTY, FULL))
    lists = [one for value in status.values() if isinstance(value, list) for one in value]
    assert all(value is not None for one in lists for value in one.values())


def test_the_newest_weight_stands_beside_for_kubectl() -> None:
    assert documents.as_status(changes(EMPTY, FULL))["weight"] == 12.5
    assert documents.as_status(changes(FULL, EMPTY))["weight"] is None


def test_what_is_too_long_is_cut() -> None:
    long = "x" * 5000
    record = dataclasses.replace(
        EMPTY,
        checks=(SeenCheck("rollout", "errors", CheckState.FAILED, long, facts.after(3)),),
        gates=(SeenGate("rollout", False, "check-failed", long, facts.after(4)),),
    )
    read = through(record)
    assert (len(read.checks[0].detail), len(read.gates[0].detail)) == (1024, 1024)


GARBAGE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a phase of a later version": ({"phase": "Baking"}, {"phase": RevisionPhase.PENDING}),
    "numbers that are none": ({"run": "twice", "dropped": {}, "workloadRevision": 7}, {"workload_revision": "7"}),
    "times that are none": ({"began": "soon", "promotedAt": 12}, {}),
    "weights without a time, or a weight": (
        {"weights": [{"weight": 5}, {"weight": "x", "since": "2026-11-23T07:00:01Z"}, 7, None,
                     {"weight": 5, "since": "2026-11-23T07:00:02Z"}]},
        {"weights": (SeenWeight(5, facts.after(2)),)}),
    "a check of a later version": (
        {"checks": [{"gate": "rollout", "name": "a", "state": "skipped", "at": "2026-11-23T07:00:01Z"}, "b"]},
        {"checks": (SeenCheck("rollout", "a", CheckState.UNDECIDED, "", facts.after(1)),)}),
    "images that are none": (
        {"images": ["v2", None, {"image": "v2", "digest": "sha256:1"}]}, {"digests": (ImageDigest("v2", "sha256:1"),)}),
    "gates without a time": ({"gates": [{"hook": "rollout", "opened": True}, 1]}, {}),
    "acts that are none": ({"acts": ["paused"]}, {}),
    "lines without a time, and of a later version": (
        {"timeline": [{"text": "x"}, {"at": "2026-11-23T07:00:01Z", "kind": "weather", "text": "rain", "count": "x"}]},
        {"entries": (Entry(facts.after(1), EntryKind.FLAGGER, "", "rain"),)}),
    "lists that are none": (
        {"weights": 5, "checks": "x", "images": 7, "gates": {}, "timeline": True, "notices": 3}, {}),
    "a status that is none": ([], {}),  # type: ignore[dict-item]
}  # fmt: skip


@pytest.mark.parametrize("sentence", GARBAGE)
def test_what_cannot_be_read_is_left_out(sentence: str) -> None:
    status, understood = GARBAGE[sentence]
    assert documents.read_revision(stored(status)) == dataclasses.replace(EMPTY, **understood)


def test_a_spec_that_is_none_names_nothing() -> None:
    read = documents.read_revision(stored(spec={"canaryRef": "podinfo", "images": 7}))
    assert (read.canary.name, read.template, read.images) == ("", "", ())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("2026-11-23T07:00:01Z"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["at", "since", "weight", "kind", "state", "count", "opened", "due", "channel"]), inner,
        max_size=4),
    max_leaves=8,
)  # fmt: skip
STATUS = [*documents.as_status(changes(EMPTY, FULL))]


@settings(max_examples=200)
@given(json_values | st.dictionaries(st.sampled_from(STATUS), json_values), json_values)
def test_whatever_stands_there_reading_it_fails_nobody(status: Any, spec: Any) -> None:
    document = stored()
    read = documents.read_revision(document | {"status": status, "spec": spec})
    assert (read.name, read.created_at) == ("podinfo-t2", facts.after(62))


moments = st.datetimes(
    datetime.datetime(2000, 1, 1), datetime.datetime(2100, 1, 1), timezones=st.just(datetime.UTC)  # noqa: DTZ001
)  # fmt: skip
words = st.text(max_size=20)


@given(
    st.builds(
        dataclasses.replace,
        st.just(EMPTY),
        revision=words,
        phase=st.sampled_from(RevisionPhase),
        began=st.none() | moments,
        weights=st.lists(st.builds(SeenWeight, st.floats(0, 100), moments, words), max_size=3).map(tuple),
        gates=st.lists(st.builds(SeenGate, words, st.booleans(), words, words, moments, st.none() | moments)).map(
            tuple
        ),
        acts=st.builds(SeenActs, words, words, words, st.none() | moments, words),
        entries=st.lists(
            st.builds(Entry, moments, st.sampled_from(EntryKind), words, words, st.integers(1, 99), st.none() | moments)
        ).map(tuple),
    )
)
def test_whatever_was_seen_survives(record: CanaryRevision) -> None:
    assert through(record) == record
