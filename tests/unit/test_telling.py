"""What is told to whom, once: planned from the record alone, in each channel's manner."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.model.cleanup import Cleanup, CleanupState
from daemon.model.follow_up import FollowUp, FollowUpKind, FollowUpState
from daemon.model.keeping import KeptEvidence
from daemon.model.notice import Fact, Manner, Message, Mood, Notice, Saying, Severity, Story
from daemon.model.rollback import (
    Condition,
    Milestone,
    RecordedSignal,
    Rollback,
    RollbackPhase,
    Timeline,
    Trigger,
)
from daemon.policy import telling, wording
from tests.unit import facts

CHANNEL = "team"
MILESTONES = {
    Milestone.ZEROED: RollbackPhase.ZEROED,
    Milestone.PROVED: RollbackPhase.PROVED,
    Milestone.ESCALATED: RollbackPhase.ESCALATED,
    Milestone.COMPLETED: RollbackPhase.COMPLETED,
}


def after(record: Rollback, milestone: Milestone, at: float, reason: str = "AlertFires") -> Rollback:
    """The record once it has reached a milestone."""
    field = {Milestone.ZEROED: "zeroed_at", Milestone.PROVED: "proved_at", Milestone.ESCALATED: "escalated_at",
             Milestone.COMPLETED: "completed_at"}[milestone]  # fmt: skip
    moment = facts.after(at)
    return dataclasses.replace(
        record,
        phase=MILESTONES[milestone],
        timeline=dataclasses.replace(record.timeline, **{field: moment}),
        conditions=(*record.conditions, Condition(milestone, reason, f"{milestone} it is", moment)),
        message=f"{milestone} it is",
    )


def due(record: Rollback, manner: Manner, *, closes: bool = False, at: float = 200) -> tuple[Message, ...]:
    return telling.due(
        record, CHANNEL, manner, closes=closes,
        story=lambda: wording.story(record, facts.canary(), (), "", wording.Style()), now=facts.after(at),
    )  # fmt: skip


def said(messages: tuple[Message, ...]) -> list[tuple[Saying, str]]:
    return [(message.saying, message.key) for message in messages]


def having_said(record: Rollback, *messages: Message) -> Rollback:
    notice = record.notice(CHANNEL) or Notice(CHANNEL, telling.dedup_key(record))
    for message in messages:
        notice = telling.taken(notice, message, "C1:1.2", facts.after(100))
    return dataclasses.replace(record, notices=(notice,))


def test_a_chat_has_one_message_that_is_rewritten_with_every_new_word() -> None:
    record = facts.record()
    first = due(record, Manner.MESSAGE)
    assert said(first) == [(Saying.POST, "decided")]
    record = having_said(record, *first)
    assert due(record, Manner.MESSAGE) == ()

    record = after(after(record, Milestone.ZEROED, 61.01), Milestone.PROVED, 66)
    second = due(record, Manner.MESSAGE)
    assert said(second) == [(Saying.POST, "proved")], "two words, one rewriting"
    assert due(having_said(record, *second), Manner.MESSAGE) == ()


def test_a_word_that_comes_late_with_an_early_time_is_told_too() -> None:
    record = after(facts.record(), Milestone.ZEROED, 61.01)
    record = having_said(record, *due(record, Manner.MESSAGE))
    kept = dataclasses.replace(record, evidence=KeptEvidence("podinfo-evidence", facts.after(61.001), 2, ()))
    assert said(due(kept, Manner.MESSAGE)) == [(Saying.POST, "evidence-kept")]


def followed(*states: FollowUpState) -> Rollback:
    entries = tuple(
        FollowUp(FollowUpKind.HELM, f"shop/{place}", state, f"{place} is {state}", facts.after(70 + place))
        for place, state in enumerate(states)
    )
    return dataclasses.replace(after(facts.record(), Milestone.ZEROED, 61.01), follow_ups=entries)


def test_what_was_brought_in_step_is_told_and_what_failed_rings_again() -> None:
    done, failed = FollowUpState.DONE, FollowUpState.FAILED
    (message,) = due(followed(done), Manner.MESSAGE)
    assert (message.key, message.text) == ("followed-up", "Helm: 0 is Done")
    assert Fact("Helm", "Done: 0 is Done") in message.story.facts
    assert said(due(followed(failed), Manner.MESSAGE)) == [
        (Saying.POST, "follow-up-failed"), (Saying.REMARK, "remark-follow-up-failed"),
    ]  # fmt: skip
    assert said(due(followed(failed), Manner.INCIDENT)) == [(Saying.OPEN, "decided")], "traffic is not concerned"


def by_gitops(state: FollowUpState) -> Rollback:
    entry = FollowUp(FollowUpKind.KUSTOMIZATION, "flux-system/apps", state, f"apps {state}", facts.after(75))
    done = followed(FollowUpState.DONE)
    return dataclasses.replace(done, follow_ups=(*done.follow_ups, entry))


def test_who_raises_it_rings_once_however_often_it_comes_again() -> None:
    record = by_gitops(FollowUpState.BY_HAND)
    messages = due(record, Manner.MESSAGE)
    assert said(messages) == [(Saying.POST, "raised-by-gitops"), (Saying.REMARK, "remark-raised-by-gitops")]
    assert (messages[-1].text, Fact("Kustomization", "ByHand: apps ByHand") in messages[0].story.facts) == (
        "apps ByHand", True,
    )  # fmt: skip
    for holds in (1, 2, 64):
        again = dataclasses.replace(having_said(record, *messages), holds=holds)
        assert [one for one in said(due(again, Manner.MESSAGE)) if "gitops" in one[1]] == []
    assert said(due(record, Manner.INCIDENT)) == [(Saying.OPEN, "decided")], "traffic is not concerned"


def test_what_is_lent_is_told_when_it_begins_and_when_it_ends_and_holds_up_no_other_word() -> None:
    lent = due(by_gitops(FollowUpState.LENT), Manner.STREAM)
    assert [one.key for one in lent] == ["decided", "zeroed", "followed-up", "gitops-stopped"]
    done = due(by_gitops(FollowUpState.DONE), Manner.STREAM)
    assert [one.key for one in done] == ["decided", "zeroed", "followed-up", "gitops-goes-on"]


def test_what_is_under_way_or_was_not_needed_is_no_news() -> None:
    pending, done, idle = FollowUpState.PENDING, FollowUpState.DONE, FollowUpState.NOT_NEEDED
    for states in ((pending,), (idle,), (done, pending)):
        assert said(due(followed(*states), Manner.MESSAGE)) == [(Saying.POST, "zeroed")]
    # Said once, when all is done.
    (message,) = due(followed(done, done, idle), Manner.MESSAGE)
    assert message.text == "Helm: 0 is Done; Helm: 1 is Done"


def test_what_must_ring_again_is_a_remark_below_the_message() -> None:
    record = after(dataclasses.replace(facts.record(), holds=3), Milestone.ESCALATED, 181)
    assert said(due(record, Manner.MESSAGE)) == [
        (Saying.POST, "escalated"), (Saying.REMARK, "remark-raised-again"), (Saying.REMARK, "remark-escalated"),
    ]  # fmt: skip


def test_a_pager_rings_once_at_the_beginning_and_once_when_it_gets_worse() -> None:
    record = facts.record()
    opened = due(record, Manner.INCIDENT)
    assert said(opened) == [(Saying.OPEN, "decided")]
    record = after(having_said(record, *opened), Milestone.ZEROED, 62)
    assert due(record, Manner.INCIDENT) == ()
    (worse,) = due(after(record, Milestone.ESCALATED, 181), Manner.INCIDENT)
    assert (worse.saying, worse.key) == (Saying.OPEN, "escalated")
    # Of what is in an incident that somebody has acknowledged, a pager wakes nobody.
    assert worse.story.dedup_key != opened[0].story.dedup_key
    assert worse.story.dedup_key.startswith(opened[0].story.dedup_key)


def test_where_nobody_could_be_paged_before_it_got_worse_one_incident_is_enough() -> None:
    record = after(facts.record(), Milestone.ESCALATED, 181)
    (worse,) = due(record, Manner.INCIDENT)
    assert (worse.saying, worse.key, worse.covers) == (Saying.OPEN, "escalated", ("decided",))
    assert due(having_said(record, worse), Manner.INCIDENT) == ()


def test_both_incidents_are_closed_each_by_its_own_key() -> None:
    record = having_said(facts.record(), *due(facts.record(), Manner.INCIDENT))
    record = after(record, Milestone.ESCALATED, 181)
    worse = due(record, Manner.INCIDENT)
    record = after(having_said(record, *worse), Milestone.COMPLETED, 300)
    first, second = due(record, Manner.INCIDENT, closes=True)
    assert [one.saying for one in (first, second)] == [Saying.CLOSE] * 2
    assert (first.story.dedup_key, second.story.dedup_key) == (telling.dedup_key(record), worse[0].story.dedup_key)
    assert due(having_said(record, first, second), Manner.INCIDENT, closes=True) == ()


@pytest.mark.parametrize(("closes", "expected"), [(True, [(Saying.CLOSE, "completed")]), (False, [])])
def test_an_incident_is_closed_only_where_that_is_configured(closes: bool, expected: list[Any]) -> None:
    record = having_said(facts.record(), *due(facts.record(), Manner.INCIDENT))
    assert said(due(after(record, Milestone.COMPLETED, 90), Manner.INCIDENT, closes=closes)) == expected


def test_a_failed_rollback_closes_no_incident() -> None:
    record = having_said(facts.record(), *due(facts.record(), Manner.INCIDENT))
    failed = dataclasses.replace(after(record, Milestone.COMPLETED, 90), phase=RollbackPhase.FAILED)
    assert due(failed, Manner.INCIDENT, closes=True) == ()


def test_a_rollback_by_hand_pages_nobody_until_it_goes_wrong() -> None:
    record = facts.record(trigger=Trigger.OPERATOR)
    assert due(record, Manner.INCIDENT) == ()
    assert said(due(after(record, Milestone.ESCALATED, 181), Manner.INCIDENT)) == [(Saying.OPEN, "escalated")]
    assert said(due(record, Manner.MESSAGE)) == [(Saying.POST, "decided")]


def test_a_rehearsal_opens_no_incident_and_says_that_it_is_one() -> None:
    record = facts.record(dry_run=True)
    assert due(record, Manner.INCIDENT) == ()
    (message,) = due(record, Manner.MESSAGE)
    assert message.story.dry_run
    assert message.story.title.startswith("DRY RUN")


def test_a_stream_hears_every_word_once_and_in_order() -> None:
    record = after(after(facts.record(), Milestone.ZEROED, 61.01), Milestone.PROVED, 66)
    record = dataclasses.replace(
        record,
        evidence=KeptEvidence("podinfo-evidence", facts.after(63), 2, ()),
        cleanup=Cleanup(CleanupState.DONE, "0 replicas", facts.after(80)),
    )
    messages = due(record, Manner.STREAM)
    assert [message.key for message in messages] == ["decided", "zeroed", "evidence-kept", "proved", "cleaned-up"]
    assert [message.at for message in messages] == sorted(message.at for message in messages)
    assert said(due(having_said(record, *messages[:2]), Manner.STREAM))[0] == (Saying.TELL, "evidence-kept")


@pytest.mark.parametrize("manner", Manner)
def test_what_was_refused_for_good_is_not_sent_again_and_what_comes_later_is(manner: Manner) -> None:
    """A token that is just being exchanged must not silence the page that matters."""
    record = facts.record()
    (first,) = due(record, manner)
    refused = telling.refused(Notice(CHANNEL, "k"), first, "invalid_auth", facts.after(70))
    record = dataclasses.replace(record, notices=(refused,))
    assert due(record, manner) == ()
    assert telling.undelivered(record, facts.after(200)) == (refused,)
    later = due(after(record, Milestone.ESCALATED, 181), manner)
    assert later[0].key == "escalated"
    told = having_said(after(record, Milestone.ESCALATED, 181), *later).notices[0]
    assert not told.refused if manner is Manner.MESSAGE else told.refused == ("decided",)


def test_a_post_that_may_have_been_taken_is_looked_for_under_whatever_word_it_was_sent() -> None:
    record = facts.record()
    (first,) = due(record, Manner.MESSAGE)
    sent = telling.begun(Notice(CHANNEL, "k"), first)
    (second,) = due(dataclasses.replace(after(record, Milestone.ZEROED, 62), notices=(sent,)), Manner.MESSAGE)
    assert second.key == "zeroed"
    assert telling.is_uncertain(sent, second)
    (remark,) = (one for one in due(after(record, Milestone.ESCALATED, 181), Manner.MESSAGE)
                 if one.saying is Saying.REMARK)  # fmt: skip
    assert not telling.is_uncertain(sent, remark)
    assert telling.is_uncertain(telling.begun(sent, remark), remark)
    assert telling.taken(telling.begun(sent, second), second, "C:1", facts.after(63)).begun == ()


def test_a_new_channel_is_not_told_of_what_ended_long_ago() -> None:
    old = after(facts.record(), Milestone.COMPLETED, 90)
    assert due(old, Manner.STREAM, at=90 + 3599)
    assert not due(old, Manner.STREAM, at=90 + 3601)


def test_what_is_undelivered_is_delivered_however_late() -> None:
    record = after(facts.record(), Milestone.COMPLETED, 90)
    planned = telling.planned(Notice(CHANNEL, "k"), due(record, Manner.STREAM), facts.after(91))
    waiting = dataclasses.replace(record, notices=(planned,))
    late = due(waiting, Manner.STREAM, at=90 + 90 * 86400)
    assert said(late) == [(Saying.TELL, "decided"), (Saying.TELL, "completed")]
    assert telling.undelivered(waiting, facts.after(90 + 90 * 86400)) == (planned,)


def test_what_was_refused_for_good_counts_as_undelivered_for_a_day() -> None:
    """Nothing that anybody does can deliver it any more: an alert about it must not last as long as the record."""
    (message, *_) = due(facts.record(), Manner.INCIDENT)
    notice = telling.refused(Notice(CHANNEL, "k"), message, "no", facts.after(100))
    record = dataclasses.replace(facts.record(), notices=(notice,))
    assert telling.undelivered(record, facts.after(100 + 86399)) == (notice,)
    assert telling.undelivered(record, facts.after(100 + 86401)) == ()
    waiting = dataclasses.replace(notice, due=("escalated",))
    assert telling.undelivered(dataclasses.replace(record, notices=(waiting,)), facts.after(10**6)) == (waiting,)


def test_the_dedup_key_is_this_records_alone() -> None:
    assert telling.dedup_key(facts.record()) == "pullback/shop/podinfo-rev2/r-1"
    assert telling.dedup_key(facts.record(uid="r-2")) != telling.dedup_key(facts.record())


@given(
    milestones=st.permutations([Milestone.ZEROED, Milestone.PROVED, Milestone.ESCALATED]),
    upto=st.integers(0, 3),
    completed=st.booleans(),
    manner=st.sampled_from(Manner),
    taken=st.lists(st.booleans(), min_size=10, max_size=10),
)
def test_whatever_is_taken_when_nothing_is_said_twice_and_nothing_is_left_out(
    milestones: list[Milestone], upto: int, completed: bool, manner: Manner, taken: list[bool]
) -> None:
    """The channel takes a message, or it does not and is asked again: in the end it has each one exactly once."""
    record, keys = facts.record(), []
    ending = [Milestone.COMPLETED] if completed else []
    for number, milestone in enumerate([None, *milestones[:upto], *ending]):
        if milestone is not None:
            record = after(record, milestone, 62 + number)
        if taken[number]:
            for message in due(record, manner):
                keys.append(message.key)
                record = having_said(record, message)
    while messages := due(record, manner):
        keys.append(messages[0].key)
        record = having_said(record, messages[0])
    assert len(keys) == len(set(keys))
    notice = record.notice(CHANNEL)
    assert notice is None or notice.due == ()
    if manner is Manner.STREAM:
        assert set(keys) == {chapter.word for chapter in telling.chapters(record)}


# -- the words themselves


def story(record: Rollback, *glass: str) -> Story:
    style = wording.Style(dashboard="https://g/d/$namespace/$canary")
    return wording.story(record, facts.canary(), glass, "kubectl rollout undo deployment/podinfo -n shop", style)


@pytest.mark.parametrize(
    ("milestones", "mood", "title"),
    [
        ([], Mood.ACTING, "Rolling back shop/podinfo"),
        ([Milestone.ZEROED], Mood.SAFE, "shop/podinfo is at 0%"),
        ([Milestone.ZEROED, Milestone.PROVED], Mood.SAFE, "shop/podinfo is at 0%, proved"),
        ([Milestone.ESCALATED], Mood.NEEDED, "Action needed: shop/podinfo"),
        ([Milestone.ZEROED, Milestone.COMPLETED], Mood.OVER, "shop/podinfo was rolled back"),
    ],
)
def test_the_title_says_how_far_it_has_come(milestones: list[Milestone], mood: Mood, title: str) -> None:
    record = facts.record()
    for number, milestone in enumerate(milestones):
        record = after(record, milestone, 62 + number)
    assert (story(record).mood, story(record).title) == (mood, title)


def test_a_story_has_why_how_much_how_long_and_where_to_look() -> None:
    signal = RecordedSignal(
        "a790beef2dcf050a", facts.after(60), {"alertname": "HighErrorRate"},
        {"summary": "5xx above 5%", "value": "0.21", "threshold": "0.05", "runbook_url": "https://r/1",
         "dashboard": "javascript:alert(1)"},
        generator_url="https://prometheus/graph",
        external_url="not a url",
    )  # fmt: skip
    record = after(after(facts.record(signal=signal), Milestone.ZEROED, 61.006), Milestone.PROVED, 66)
    record = dataclasses.replace(record, proof=("routes read back at 0 for 5.0 s",), severity=Severity.P2)
    told = story(record)
    shown = {fact.name: fact.value for fact in told.facts}
    assert shown["Value"] == "0.21"
    assert shown["Threshold"] == "0.05"
    assert shown["Received → 0%"] == "0.006 s"
    assert shown["Received → proved"] == "5.000 s"
    assert shown["Proof"] == "routes read back at 0 for 5.0 s"
    assert "5xx above 5%." in told.summary
    assert told.severity is Severity.P2
    assert {link.name: link.url for link in told.links} == {"Runbook": "https://r/1", "Alert": "https://prometheus/graph"}


def test_our_own_dashboard_is_linked_where_the_alert_names_none() -> None:
    assert {link.name: link.url for link in story(facts.record()).links} == {"Dashboard": "https://g/d/shop/podinfo"}


@pytest.mark.parametrize(
    "url",
    ["", "ftp://x/y", "javascript:alert(1)", "http://", "https://x/ y", "https://x/|y", "https://x/>", "http://[::1",
     "https://" + "x" * 2000],
)  # fmt: skip
def test_only_what_is_a_link_is_linked(url: str) -> None:
    assert not wording.is_link(url)


def test_where_the_evidence_will_be_is_told_from_the_start() -> None:
    """An incident is opened at the decision, and told nothing more."""
    told = story(facts.record())
    assert Fact("Evidence", "will be kept in ConfigMap podinfo-rev2-evidence") in told.facts
    command = "kubectl get configmap podinfo-rev2-evidence -n shop -o jsonpath='{.data.summary\\.txt}'"
    assert told.commands[-1] == command
    kept = story(facts.record(evidence=KeptEvidence("podinfo-rev2-evidence", facts.after(65), 2, ("its events",))))
    assert Fact("Evidence", "ConfigMap podinfo-rev2-evidence, 2 pods (missing: its events)") in kept.facts
    assert kept.commands[-1] == command


@pytest.mark.parametrize(
    "changes",
    [
        {"evidence": KeptEvidence("", facts.after(65), 0, ("could not be kept",))},
        {"phase": RollbackPhase.COMPLETED},
        {"phase": RollbackPhase.FAILED},
        {"phase": RollbackPhase.DRY_RUN, "dry_run": True},
        {"dry_run": True},
    ],
)
def test_evidence_that_is_not_there_and_will_not_come_is_not_promised(changes: dict[str, Any]) -> None:
    told = story(dataclasses.replace(facts.record(), **changes))
    assert not any("configmap" in command for command in told.commands)
    assert not any("ConfigMap" in fact.value for fact in told.facts)


def test_who_is_needed_gets_the_commands_that_do_it_by_hand() -> None:
    escalated = after(facts.record(), Milestone.ESCALATED, 181, reason="DeadlineExceeded")
    assert story(escalated, "kubectl patch it").commands[0] == "kubectl patch it"


@pytest.mark.parametrize("reason", ["PromotionUnderWay", "PromotionBroke"])
def test_where_no_traffic_may_be_moved_the_way_back_is_the_previous_template(reason: str) -> None:
    escalated = after(facts.record(), Milestone.ESCALATED, 181, reason=reason)
    assert story(escalated, "kubectl patch it").commands[0] == "kubectl rollout undo deployment/podinfo -n shop"


@pytest.mark.parametrize("reason", ["PromotionUnderWay", "PromotionBroke", "StableIsGone", "AlertAfterPromotion"])
def test_where_no_traffic_may_be_moved_no_command_moves_it_even_if_there_is_no_way_back(reason: str) -> None:
    escalated = after(facts.record(), Milestone.ESCALATED, 181, reason=reason)
    told = wording.story(escalated, facts.canary(), ("kubectl patch it",), "", wording.Style())
    assert told.commands[0] == "kubectl describe rollback podinfo-rev2 -n shop"
    assert not any("patch" in command or "pullback plan" in command for command in told.commands)


def test_where_stable_is_gone_the_only_pods_that_are_left_are_not_to_be_replaced() -> None:
    escalated = after(facts.record(), Milestone.ESCALATED, 181, reason="StableIsGone")
    assert not any("undo" in command for command in story(escalated).commands)


def test_a_patch_too_long_for_a_channel_can_be_had_by_a_short_command() -> None:
    escalated = after(facts.record(), Milestone.ESCALATED, 181, reason="DeadlineExceeded")
    assert story(escalated, "kubectl patch it").commands[:2] == ("kubectl patch it", "pullback plan podinfo -n shop")
    assert not any("pullback plan" in command for command in story(escalated).commands)


def test_a_promoted_revision_needs_a_person_and_another_ending_does_not() -> None:
    failed = dataclasses.replace(after(facts.record(), Milestone.COMPLETED, 90, "RevisionPromoted"),
                                 phase=RollbackPhase.FAILED)  # fmt: skip
    assert story(failed).mood is Mood.NEEDED
    other = dataclasses.replace(after(facts.record(), Milestone.COMPLETED, 90, "NewRevisionBegan"),
                                phase=RollbackPhase.FAILED)  # fmt: skip
    assert story(other).mood is Mood.OVER


def test_a_record_made_by_hand_has_the_severity_of_the_policy() -> None:
    record = facts.record(signal=None, timeline=Timeline())
    told = wording.story(record, None, (), "", wording.Style(severity=Severity.P3))
    assert told.severity is Severity.P3
    assert told.canary_uid == ""
    assert told.began_at == record.created_at
    assert told.began_at.tzinfo is datetime.UTC
