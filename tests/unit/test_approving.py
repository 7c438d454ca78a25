"""What counts as a yes to a promotion: this very revision, by name, not too long ago, once."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.model.canary import Approval
from daemon.model.canary_revision import CanaryRevision
from daemon.model.decision import Reason
from daemon.model.stages import Promotion
from daemon.policy import approving
from tests.unit import facts, revisions
from tests.unit.revisions import approval, approved_at, record

NOW = facts.after(3000)
ONE, TWO = Promotion(approvals=1), Promotion(approvals=2)
HOW = ": pullback approve podinfo -n shop --reason ..."

JUDGED: dict[str, tuple[Approval | None, CanaryRevision | None, Promotion, Reason, str]] = {
    "nobody has said anything": (
        None, record(), ONE, Reason.APPROVAL_MISSING, f"approval of rev2 is not there{HOW}"),
    "nobody says who": (
        approval(by=()), record(), ONE, Reason.APPROVAL_MISSING,
        f"approval of rev2 names nobody (pullback.dev/approved-by){HOW}"),
    "a named person, for this revision": (
        approval(), record(), ONE, Reason.APPROVED, "revision rev2 approved by ann"),
    "for another revision": (
        approval(revision="rev1"), record(), ONE, Reason.APPROVAL_OF_ANOTHER_REVISION,
        f"approved is rev1, to be promoted is rev2{HOW}"),
    "another revision counts before who is missing": (
        approval(revision="rev1"), record(), TWO, Reason.APPROVAL_OF_ANOTHER_REVISION,
        f"approved is rev1, to be promoted is rev2{HOW}"),
    "until this very moment": (
        approval(until=NOW), record(), ONE, Reason.APPROVAL_EXPIRED, f"it counted until 2026-11-23 07:50:00Z{HOW}"),
    "a moment longer": (
        approval(until=NOW + datetime.timedelta(microseconds=1)), record(), ONE, Reason.APPROVED,
        "revision rev2 approved by ann"),
    "without a time, and the record has not seen it yet": (
        approval(until=None), record(), ONE, Reason.CANNOT_KNOW, "until when the approval counts is not known yet"),
    "without a time, and the record has seen another one": (
        approval(until=None, word="rev2 ben"), record(acts=approved_at(2000)), ONE, Reason.CANNOT_KNOW,
        "until when the approval counts is not known yet"),
    "without a time, seen a moment ago": (
        approval(until=None), record(acts=approved_at(2990)), ONE, Reason.APPROVED, "revision rev2 approved by ann"),
    "without a time, seen four hours ago": (
        approval(until=None), record(acts=approved_at(3000 - 4 * 3600)), ONE, Reason.APPROVAL_EXPIRED,
        f"it counted until 2026-11-23 07:50:00Z{HOW}"),
    "for a year, seen four hours ago": (
        approval(until=facts.after(365 * 86400)), record(acts=approved_at(3000 - 4 * 3600)), ONE,
        Reason.APPROVAL_EXPIRED, f"it counted until 2026-11-23 07:50:00Z{HOW}"),
    "one of two": (
        approval(), record(), TWO, Reason.APPROVAL_MISSING, f"1 of 2 people have approved (ann){HOW}"),
    "two of two": (
        approval(by=("ann", "ben")), record(), TWO, Reason.APPROVED, "revision rev2 approved by ann, ben"),
    "used by this very promotion, whose answer was lost": (
        approval(used=facts.after(0.4)), record(), ONE, Reason.APPROVED, "revision rev2 approved by ann"),
    "used by the analysis before": (
        approval(used=facts.after(-600)), record(), ONE, Reason.APPROVAL_USED,
        f"this approval has opened an earlier promotion{HOW}"),
    "used, and nobody knows by which analysis": (
        approval(used=facts.BEGAN), None, ONE, Reason.APPROVAL_USED,
        f"this approval has opened an earlier promotion{HOW}"),
    "its use could not be noted": (
        approval(), None, ONE, Reason.CANNOT_KNOW,
        "the record of this revision is not there yet, so its use could not be noted"),
    "the analysis has no beginning yet": (
        approval(), record(began=None), ONE, Reason.CANNOT_KNOW,
        "the record of this revision is not there yet, so its use could not be noted"),
}  # fmt: skip


@pytest.mark.parametrize("sentence", JUDGED)
def test_a_yes_counts_or_says_what_is_missing(sentence: str) -> None:
    said, held, asked, reason, detail = JUDGED[sentence]
    judged = approving.judge(revisions.staged(approval=said), held, asked, NOW, 5.0)
    assert (judged.reason, judged.detail) == (reason, detail)


def test_nothing_can_be_approved_while_the_revision_has_no_name() -> None:
    canary = revisions.staged(revision="", approval=approval(revision=""))
    judged = approving.judge(canary, record(), ONE, NOW, 5.0)
    assert judged.reason is Reason.APPROVAL_OF_ANOTHER_REVISION
    assert judged.detail == f"approved is nothing, to be promoted is not known{HOW}"


times = st.integers(-50_000, 50_000).map(facts.after)


@given(
    said=st.builds(
        approval,
        revision=st.sampled_from(["rev2", "rev1", ""]),
        by=st.lists(st.sampled_from(["ann", "ben", "cyd"]), unique=True).map(tuple),
        until=st.none() | times,
        used=st.none() | times | st.just(facts.BEGAN),
    ),
    held=st.none() | st.builds(record, began=st.none() | st.just(facts.BEGAN), acts=times.map(
        lambda at: approved_at((at - facts.BEGAN).total_seconds()))),
    people=st.integers(1, 3),
    now=times,
    revision=st.sampled_from(["rev2", ""]),
)  # fmt: skip
def test_only_enough_people_for_this_revision_in_time_and_once_ever_count(
    said: Approval, held: CanaryRevision | None, people: int, now: datetime.datetime, revision: str
) -> None:
    asked = Promotion(approvals=people)
    judged = approving.judge(revisions.staged(revision=revision, approval=said), held, asked, now, 5.0)
    if judged.reason is not Reason.APPROVED:
        return
    assert said.revision == revision == "rev2"
    assert len(set(said.by)) >= people
    assert held is not None
    assert held.began is not None
    assert said.used is None or abs(said.used - held.began) <= datetime.timedelta(seconds=5)
    assert said.until is None or now < said.until
    assert held.acts.approval_at is not None
    assert now - held.acts.approval_at < datetime.timedelta(seconds=asked.expires)


@pytest.mark.parametrize(
    ("until", "seen_at", "counts_until"),
    [(None, 100, 160), (130, 100, 130), (900, 100, 160), (900, None, 900), (None, None, None)],
)
def test_it_counts_no_longer_than_it_says_and_no_longer_than_is_configured(
    until: float | None, seen_at: float | None, counts_until: float | None
) -> None:
    said = approval(until=None if until is None else facts.after(until))
    held = None if seen_at is None else record(acts=approved_at(seen_at))
    assert approving.expiry(said, held, 60.0) == (None if counts_until is None else facts.after(counts_until))
