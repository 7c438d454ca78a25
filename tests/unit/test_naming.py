"""The record's name is a lock: the same for every replica, never an old one, always a name Kubernetes takes."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from daemon.model.canary import CanaryRef
from daemon.model.keeping import evidence_name
from daemon.model.rollback import RollbackPhase
from daemon.policy.naming import LONGEST, next_record_name, record_name
from tests.unit import facts

NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
object_names = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,240}[a-z0-9])?", fullmatch=True)
hashes = st.from_regex(r"[0-9a-zA-Z]{0,16}", fullmatch=True)


def test_a_record_is_called_canary_and_revision() -> None:
    ref = CanaryRef("shop", "podinfo")
    assert record_name(ref, "7b8cb8dc5d") == "podinfo-7b8cb8dc5d"
    assert record_name(ref, "") == "podinfo"
    assert record_name(ref, "7B8C", 3) == "podinfo-7b8c-3"


@given(object_names, hashes, st.integers(1, 99))
def test_every_name_is_one_that_kubernetes_takes(name: str, revision: str, ordinal: int) -> None:
    made = record_name(CanaryRef("shop", name), revision, ordinal)
    assert len(made) <= LONGEST
    assert NAME.fullmatch(made)


def test_two_long_names_that_begin_alike_stay_two() -> None:
    first, second = (record_name(CanaryRef("shop", "c" * 250 + last), "7b8cb8dc5d") for last in "ab")
    assert first != second
    assert (len(first), len(second)) == (LONGEST, LONGEST)


@given(object_names)
def test_the_evidence_has_a_name_before_it_is_there(record: str) -> None:
    made = evidence_name(record)
    assert made == evidence_name(record)
    assert len(made) <= LONGEST
    assert NAME.fullmatch(made)
    assert made.endswith("-evidence")
    assert made == f"{record}-evidence" or len(record) > LONGEST - len("-evidence")


def test_a_finished_record_is_never_reopened_and_a_standing_one_is_found_again() -> None:
    completed = facts.record(RollbackPhase.COMPLETED)
    second = facts.record(RollbackPhase.DRY_RUN, name="podinfo-rev2-2")
    standing = facts.record(RollbackPhase.PROVED)
    canary = facts.canary()
    assert next_record_name(canary, []) == "podinfo-rev2"
    assert next_record_name(canary, [standing]) == "podinfo-rev2"
    assert next_record_name(canary, [completed]) == "podinfo-rev2-2"
    assert next_record_name(canary, [second, completed]) == "podinfo-rev2-3"
    assert next_record_name(canary, [second]) == "podinfo-rev2"


@given(st.permutations([facts.record(RollbackPhase.FAILED, name=f"podinfo-rev2{tail}") for tail in ("", "-2", "-3")]))
def test_every_replica_computes_the_same_name(records: list[object]) -> None:
    assert next_record_name(facts.canary(), records) == "podinfo-rev2-4"  # type: ignore[arg-type]
