"""Which gates have been closed for so long that people are told, and in which words."""

from __future__ import annotations

from typing import Any

import pytest

from daemon.model.canary import Canary, CanaryPhase
from daemon.model.canary_revision import CanaryRevision, RevisionPhase, SeenGate
from daemon.model.notice import Manner, Message, Mood, Saying, Severity
from daemon.policy import announcing
from tests.unit import facts, revisions

INCREASE, PROMOTION, ROLLOUT = "confirm-traffic-increase", "confirm-promotion", "confirm-rollout"
PENDING: dict[str, Any] = {"phase": RevisionPhase.PENDING, "revision": "", "run": 0, "began": None}


def closed(hook: str, since: float | None = 100, reason: str = "paused") -> SeenGate:
    refusing = None if since is None else facts.after(since)
    return SeenGate(hook, False, reason, "paused by ann", facts.after(90), refusing)


def record(*gates: SeenGate, **changes: Any) -> CanaryRevision:
    return revisions.record(gates=gates, **changes)


REFUSING: dict[str, tuple[CanaryRevision, Canary | None, list[str]]] = {
    "an increase that waits": (record(closed(INCREASE)), facts.canary(), [INCREASE]),
    "a soak, or an open gate": (record(closed(INCREASE, None)), facts.canary(), []),
    "the longest first": (record(closed(INCREASE, 200), closed(PROMOTION, 100)), facts.canary(), [PROMOTION, INCREASE]),
    "what counts against the canary ends by itself": (
        record(closed("rollout"), closed("pre-rollout")), facts.canary(), []),
    "a new revision that waits to be scaled up": (
        record(closed(ROLLOUT), **PENDING), facts.canary(CanaryPhase.WAITING), [ROLLOUT]),
    "what waited before the analysis began": (record(closed(ROLLOUT)), facts.canary(), []),
    "it waits at the end": (record(closed(PROMOTION)), facts.canary(CanaryPhase.WAITING_PROMOTION), [PROMOTION]),
    "the canary is past it": (record(closed(PROMOTION)), facts.canary(CanaryPhase.PROMOTING), []),
    "the canary has given it up": (record(closed(PROMOTION)), facts.canary(CanaryPhase.FAILED), []),
    "it has ended": (record(closed(PROMOTION), phase=RevisionPhase.FAILED), facts.canary(), []),
    "another revision is under analysis": (record(closed(INCREASE)), facts.canary(revision="rev3"), []),
    "the canary is suspended": (record(closed(INCREASE)), facts.canary(suspended=True), []),
    "there is no canary": (record(closed(INCREASE)), None, []),
}  # fmt: skip


@pytest.mark.parametrize("sentence", REFUSING)
def test_where_a_revision_waits(sentence: str) -> None:
    held, canary, hooks = REFUSING[sentence]
    assert [gate.hook for gate in announcing.refusing(held, canary)] == hooks


def told(manner: Manner, gate: SeenGate, **changes: Any) -> Message | None:
    return announcing.message(
        record(gate, **changes), facts.canary(), gate, manner, Severity.P3, facts.after(100 + 5 * 3600)
    )


def test_it_is_said_once_for_each_gate_and_run() -> None:
    keys = {announcing.key(record(run=run), closed(hook)) for run in (1, 2) for hook in (INCREASE, PROMOTION)}
    assert len(keys) == 4


def test_nobody_is_woken_up_by_a_closed_gate() -> None:
    assert told(Manner.INCIDENT, closed(PROMOTION)) is None


@pytest.mark.parametrize(("manner", "saying"), [(Manner.MESSAGE, Saying.POST), (Manner.STREAM, Saying.TELL)])
def test_it_says_which_gate_since_when_why_and_what_can_be_done(manner: Manner, saying: Saying) -> None:
    message = told(manner, closed(PROMOTION, reason="approval-missing"))
    assert message is not None
    story = message.story
    assert (message.saying, message.key, message.text) == (saying, "gate-confirm-promotion-1", story.title)
    assert story.title == "shop/podinfo has waited at confirm-promotion for 5 h"
    assert story.summary == "rev2 goes no further: approval-missing: paused by ann"
    assert ("Closed since", "2026-11-23 07:01:40Z") in [(fact.name, fact.value) for fact in story.facts]
    assert story.commands == (
        "pullback approve podinfo -n shop --reason ...",
        "pullback status podinfo -n shop",
        "pullback timeline podinfo -n shop",
    )
    assert (story.mood, story.severity, story.began_at) == (Mood.SAFE, Severity.P3, facts.after(100))


def test_only_a_promotion_waits_for_an_approval() -> None:
    message = told(Manner.MESSAGE, closed(INCREASE))
    assert message is not None
    assert not [command for command in message.story.commands if "approve" in command]


def test_a_revision_without_a_name_is_the_next() -> None:
    message = told(Manner.MESSAGE, closed(ROLLOUT), **PENDING)
    assert message is not None
    assert message.story.summary.startswith("the next revision goes no further")


def test_two_revisions_of_one_canary_are_two_stories() -> None:
    one, other = (told(Manner.MESSAGE, closed(PROMOTION), uid=uid) for uid in ("v-1", "v-2"))
    assert one is not None
    assert other is not None
    assert one.story.dedup_key != other.story.dedup_key


def test_it_is_late_so_long_after_it_was_closed() -> None:
    assert announcing.late_at(closed(PROMOTION, 100), 60.0) == facts.after(160)
    assert announcing.late_at(closed(PROMOTION, None), 60.0) == facts.after(150)
