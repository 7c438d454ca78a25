"""What people said on the canary object, told from what they had said before."""

import dataclasses
import datetime
from collections.abc import Iterable

from daemon.model.canary import Advance, Canary
from daemon.model.canary_revision import CanaryRevision, Entry, EntryKind, RevisionPhase, SeenActs
from daemon.policy import entries


def acted(record: CanaryRevision, canary: Canary, now: datetime.datetime) -> CanaryRevision:
    """The record with what the annotations say otherwise than when they were last looked at."""
    before = record.acts
    if record.ended or record.phase is RevisionPhase.PENDING or record.revision != canary.revision:
        return record
    approval = canary.approval.word if canary.approval is not None else ""
    since = before.approval_at if approval == before.approval else now
    advance = word(canary.advance)
    acts = SeenActs(
        paused="true" if canary.paused else "",
        advance=advance,
        approval=approval,
        approval_at=since if approval else None,
        stale_approval=before.stale_approval if approval == before.stale_approval else "",
        stale_advance=before.stale_advance if advance == before.stale_advance else "",
    )
    if acts == before:
        return record
    after = dataclasses.replace(record, acts=acts)
    for key, text in _news(before, acts, canary):
        after = entries.added(after, Entry(now, EntryKind.ACT, key, text))
    return after


def _news(before: SeenActs, acts: SeenActs, canary: Canary) -> Iterable[tuple[str, str]]:
    if acts.paused != before.paused:
        why = f": {canary.paused_reason}" if canary.paused_reason else ""
        paused = f"paused by {canary.paused_by or 'a person'}{why}"
        yield ("paused", paused) if acts.paused else ("resumed", "resumed by a person")
    advance = canary.advance
    ours = advance is not None and advance.revision in {"", canary.revision}
    if acts.advance != before.advance and advance is not None and ours and acts.advance != acts.stale_advance:
        yield f"advance {acts.advance}", f"soaks up to {advance.to:g}% skipped by {advance.by or 'nobody named'}"
    if acts.approval != before.approval and acts.approval:
        approval = canary.approval
        assert approval is not None  # noqa: S101 - the word is its own
        until = f" until {approval.until:%Y-%m-%d %H:%M:%SZ}" if approval.until is not None else ""
        who = ", ".join(approval.by) or "nobody named"
        yield f"approval {acts.approval}", f"revision {approval.revision} approved by {who}{until}"
    if before.approval and not acts.approval:
        yield "approval withdrawn", "approval withdrawn"


def word(advance: Advance | None) -> str:
    return advance.word if advance is not None else ""


def to_withdraw(record: CanaryRevision | None, canary: Canary) -> bool:
    """Whether an ``advance-to`` from before lies there still: taken away, the same can be said again and be meant."""
    if record is None or record.ended or record.revision != canary.revision or not record.acts.stale_advance:
        return False
    return word(canary.advance) == record.acts.stale_advance


def unbound_advance(canary: Canary) -> str:
    """One that does not say which revision it is for."""
    advance = canary.advance
    return advance.word if advance is not None and not advance.revision else ""


def to_bind(record: CanaryRevision | None, canary: Canary) -> bool:
    """Whether an ``advance-to`` without a revision was meant for this one, which began before it was said."""
    word = unbound_advance(canary)
    if not word or record is None or record.ended or record.revision != canary.revision:
        return False
    return record.acts.advance == word and record.acts.stale_advance != word
