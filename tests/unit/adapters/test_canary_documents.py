"""What people and Flagger write on a Canary, read: approvals, advances, pauses, steps and hooks."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.adapters import acts
from daemon.adapters.flagger import read_canary
from daemon.model.canary import Canary
from daemon.model.decision import Reason
from daemon.model.stages import Promotion
from daemon.policy import approving
from tests.unit import facts, revisions

UNTIL = "2026-11-23T11:00:00Z"
WORD = f"rev2 ann {UNTIL}"
BEGAN = "2026-11-23T07:00:00.000000Z"


def canary(analysis: dict[str, Any] | None = None, **annotations: str) -> Canary:
    """``approved_by`` and so on are annotations ``pullback.dev/approved-by``."""
    named = {f"pullback.dev/{name.replace('_', '-')}": value for name, value in annotations.items()}
    return read_canary(
        {
            "metadata": {"name": "podinfo", "namespace": "shop", "annotations": named},
            "spec": {"analysis": analysis or {}},
            "status": {"lastAppliedSpec": "rev2", "phase": "Progressing"},
        }
    )


# -- approvals


def test_an_approval_is_read_with_its_people_its_end_and_its_reason() -> None:
    said = canary(approved="rev2", approved_by="ann", approved_until=UNTIL, approved_reason=" looks\n good ").approval
    assert said is not None
    assert (said.revision, said.by, said.reason, said.word) == ("rev2", ("ann",), "looks good", WORD)
    assert said.until == datetime.datetime(2026, 11, 23, 11, tzinfo=datetime.UTC)
    assert said.used is None


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("", ()),
        (" , ,", ()),
        ("ann", ("ann",)),
        ("ann, ben", ("ann", "ben")),
        ("ann,ann , ann", ("ann",)),
        ("system:serviceaccount:shop:bot", ("system:serviceaccount:shop:bot",)),
    ],
)
def test_who_approved_counts_once_each(by: str, names: tuple[str, ...]) -> None:
    said = canary(approved="rev2", approved_by=by).approval
    assert said is not None
    assert said.by == names


@pytest.mark.parametrize("until", ["tomorrow", "2026-13-01", "0001-01-01T00:00:00Z", "12"])
def test_an_end_that_cannot_be_read_has_passed(until: str) -> None:
    read = canary(approved="rev2", approved_by="ann", approved_until=until)
    judged = approving.judge(read, revisions.record(), Promotion(), facts.after(60), 5.0)
    assert judged.reason is Reason.APPROVAL_EXPIRED


def test_without_a_revision_nothing_is_approved() -> None:
    assert canary(approved_by="ann").approval is None
    assert canary(approved="", approved_by="ann").approval is None


@pytest.mark.parametrize(
    ("used", "at"),
    [
        (f"{WORD} {BEGAN}", facts.BEGAN),
        (f"rev2 ben {UNTIL} {BEGAN}", None),
        (f"rev1 ann {UNTIL} {BEGAN}", None),
        (BEGAN, None),
        ("", None),
    ],
)
def test_only_this_very_approval_is_used_by_its_use(used: str, at: datetime.datetime | None) -> None:
    said = canary(approved="rev2", approved_by="ann", approved_until=UNTIL, approved_used=used).approval
    assert said is not None
    assert said.used == at


# -- advances


def test_an_advance_is_read_with_whom_and_which_revision() -> None:
    said = canary(advance_to="25", advance_by="ann", advance_revision="rev2").advance
    assert said is not None
    assert (said.to, said.by, said.revision, said.word) == (25, "ann", "rev2", "25")


@pytest.mark.parametrize("to", ["", "all", "nan", "inf", "-1", "100.5", "1e9", "25%"])
def test_what_is_no_percentage_advances_nothing(to: str) -> None:
    assert canary(advance_to=to, advance_by="ann").advance is None
    assert canary(advance_by="ann").advance is None


@pytest.mark.parametrize("by", ["", " ", "\n"])
def test_blanks_are_nobodys_name(by: str) -> None:
    said = canary(advance_to="25", advance_by=by).advance
    assert said is not None
    assert said.by == ""


# -- pauses, profiles


@pytest.mark.parametrize(
    ("word", "paused"),
    [("true", True), ("True", True), ("false", False), (" False ", False), ("", False)],
)
def test_true_pauses_and_nothing_does_not(word: str, paused: bool) -> None:
    read = canary(paused=word, paused_by="ann", paused_reason="lunch\nand  sleep")
    told = ("ann", "lunch and sleep") if paused else ("", "")
    assert (read.paused, read.paused_by, read.paused_reason) == (paused, *told)


def test_what_people_write_is_bounded() -> None:
    read = canary(paused="true", paused_by="a" * 5000, paused_reason="b" * 5000)
    assert len(read.paused_by) == len(read.paused_reason) == acts.WORDS_MOST


def test_a_canary_names_its_profile() -> None:
    assert canary(profile="payments").profile == "payments"
    assert canary().profile == ""


@given(st.dictionaries(
    st.sampled_from(["approved", "approved_by", "approved_until", "approved_used", "advance_to", "advance_by",
                     "advance_revision", "paused", "paused_by", "paused_reason", "profile", "deadline_lent"]),
    st.text(max_size=30) | st.sampled_from(["rev2", "ann", UNTIL, "25", "true"]),
))  # fmt: skip
def test_whatever_people_write_reading_it_fails_nobody(annotations: dict[str, str]) -> None:
    read = canary(None, **annotations)
    assert read.approval is None or all(name == name.strip() != "" for name in read.approval.by)
    assert read.advance is None or 0 <= read.advance.to <= 100


# -- what Flagger is told

STEPS: dict[str, tuple[dict[str, Any], tuple[float, ...]]] = {
    "listed": ({"stepWeights": [5, 25, 50]}, (5, 25, 50)),
    "listed, and an end that Flagger does not read then": ({"stepWeights": [5, 25], "maxWeight": 10}, (5, 25)),
    "by a step up to an end": ({"stepWeight": 10, "maxWeight": 30}, (10, 20, 30)),
    "past an end that no step meets": ({"stepWeight": 30, "maxWeight": 50}, (30, 60)),
    "by a step to the very end": ({"stepWeight": 40}, (40, 80, 100)),
    "a step goes before a list": ({"stepWeight": 50, "stepWeights": [5, 25]}, (50, 100)),
    "a step of nothing is none": ({"stepWeight": 0, "stepWeights": [5, 25]}, (5, 25)),
    "a step downwards is none": ({"stepWeight": -5}, ()),
    "not at all (blue/green, A/B)": ({"iterations": 10}, ()),
    "garbage": ({"stepWeights": [5, "x", None], "stepWeight": "5"}, (5,)),
    "more garbage": ({"stepWeights": "5", "maxWeight": "50"}, ()),
}  # fmt: skip


@pytest.mark.parametrize("sentence", STEPS)
def test_the_weights_that_flagger_goes_through(sentence: str) -> None:
    analysis, steps = STEPS[sentence]
    assert canary(analysis).steps == steps


@given(st.integers(1, 100), st.integers(1, 100))
def test_they_are_those_that_its_own_rule_comes_to(step: int, most: int) -> None:
    """``facts/flagger.md``: it rises by its step while it is below its end, and never above all of it."""
    weight, climbed = 0, []
    while weight < most:
        weight = min(weight + step, 100)
        climbed.append(float(weight))
    assert canary({"stepWeight": step, "maxWeight": most}).steps == tuple(climbed)


def test_hooks_are_those_that_ask_us_and_without_a_type_they_are_rollout_hooks_to_flagger() -> None:
    ours, theirs = "http://pullback:x@pullback.pullback/webhooks/flagger", "http://flagger-loadtester.test/gate"
    webhooks = [
        {"name": "a", "url": f"{ours}/rollout"}, {"type": "confirm-promotion", "url": f"{ours}/confirm-promotion"},
        {"type": "confirm-traffic-increase", "url": f"{theirs}/check"}, {"type": "pre-rollout"},
        {"type": "confirm-rollout", "url": f"{ours}/pre-rollout"}, {"type": "event", "url": "http://[::1/"}, "d", None,
    ]  # fmt: skip
    assert canary({"webhooks": webhooks}).hooks == {"rollout", "confirm-promotion"}
    assert canary().hooks == frozenset()
