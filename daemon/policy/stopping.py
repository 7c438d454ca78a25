"""The GitOps controller that raises a held canary, stopped for as long as the rollback stands: what to lend, what to
give back, and what must be left alone.
"""

import datetime
import enum
import json
import shlex
from dataclasses import dataclass, replace

from daemon.model.canary import CanaryRef
from daemon.model.follow_up import GITOPS, FollowUp, FollowUpKind, FollowUpState
from daemon.model.gitops import Loan, Managed, Owner
from daemon.model.rollback import Rollback, RollbackPhase
from daemon.policy.gitops import fitted

_GROUPS = {
    FollowUpKind.APPLICATION: "argoproj.io",
    FollowUpKind.KUSTOMIZATION: "kustomize.toolkit.fluxcd.io",
    FollowUpKind.HELM_RELEASE: "helm.toolkit.fluxcd.io",
}


def holder(record: Rollback) -> str:
    return f"{record.namespace}/{record.canary.name}/{record.name}"


def strangers(loan: Loan, canary: CanaryRef, records: tuple[Rollback, ...]) -> tuple[str, ...]:
    """Holders that are records of this canary which nobody knows any more: whoever deletes one lifts the hold."""
    accounted = {holder(record) for record in records if any(one.undo is not None for one in _of(record))}
    prefix = f"{canary.namespace}/{canary.name}/"
    return tuple(one for one in loan.holders if one.startswith(prefix) and one not in accounted)


def _of(record: Rollback) -> tuple[FollowUp, ...]:
    return tuple(one for one in record.follow_ups if one.kind in GITOPS)


def stands(record: Rollback, *, overtaken: bool) -> bool:
    """Whether a rollback still holds its canary at zero. ``overtaken``: the canary has gone on to another revision."""
    ended = record.finished or overtaken or record.phase is RollbackPhase.FAILED
    return record.begun and not record.dry_run and not ended


@dataclass(frozen=True, slots=True)
class Lend:
    """Stop its controller, noting this in the same write."""

    loan: Loan


@dataclass(frozen=True, slots=True)
class IsLent:
    """Stopped, and noted as ours."""

    loan: Loan


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing has to be stopped."""

    detail: str


@dataclass(frozen=True, slots=True)
class Impossible:
    """It must not, or cannot, be stopped here: a person must look."""

    detail: str


def lending(managed: Managed | None, owner: Owner, who: str, *, was_lent: bool) -> Lend | IsLent | Idle | Impossible:
    """What to do with an owner that raises; ``who`` is the record that wants it stopped. What others take back is not
    lent a second time: that would be one more fight."""
    if managed is None:
        return Impossible(f"there is no {owner}")
    loan = managed.loan
    ours = loan is not None and who in loan.holders
    if loan is not None and ours and not managed.acting:
        return IsLent(loan)
    if ours or was_lent:
        return Impossible(_taken_back(managed))
    if not managed.lists:
        # Labels can be written by whoever may write the route: what it names must say the same.
        return Impossible(f"{owner} does not count that route among its own: left alone")
    if managed.made_by:
        return Impossible(f"{owner} is made by {managed.made_by}, which would set it back: left alone")
    others = loan.holders if loan is not None else ()
    if managed.acting:
        return Lend(Loan(managed.field, (*others, who)))
    return Lend(replace(loan, holders=(*others, who))) if loan is not None else Idle(f"{owner} {managed.idle}")


def _taken_back(managed: Managed) -> str:
    if not managed.acting:
        return _note_gone(managed.owner)
    by = f" by {managed.writer}" if managed.writer and managed.writer != "pullback" else ""
    return f"{managed.owner} was taken back{by}: left as it is, and not stopped a second time"


def _note_gone(owner: Owner) -> str:
    """Whoever takes the note away takes over; but they may not know what they have taken."""
    kind = f"{owner.kind.lower()}.{_GROUPS[owner.kind]}"
    heals = owner.kind is FollowUpKind.APPLICATION
    spec = {"syncPolicy": {"automated": {"selfHeal": True}}} if heals else {"suspend": False}
    command = (
        f"kubectl patch {kind} {shlex.quote(owner.name)} -n {shlex.quote(owner.namespace)} --type merge "
        f"-p {shlex.quote(json.dumps({'spec': spec}))}"
    )
    return (
        f"somebody has taken our note from {owner}, which is still stopped: left as it is; to set it going: {command}"
    )


@dataclass(frozen=True, slots=True)
class PutBack:
    """Take the note away, and write ``original`` (JSON) unless that is None: what others have set meanwhile stays."""

    original: str | None


@dataclass(frozen=True, slots=True)
class Keep:
    """Others still want it stopped."""

    loan: Loan


def returning(managed: Managed | None, leaving: tuple[str, ...]) -> PutBack | Keep | None:
    """What these holders leave behind; None when nothing of theirs is there."""
    if managed is None or managed.loan is None or not set(leaving) & set(managed.loan.holders):
        return None
    left = tuple(one for one in managed.loan.holders if one not in leaving)
    if managed.acting:
        return PutBack(None)
    return Keep(replace(managed.loan, holders=left)) if left else PutBack(managed.loan.original)


class Turn(enum.Enum):
    """What one such follow-up is due for."""

    NOTHING = enum.auto()
    STOP = enum.auto()
    WATCH = enum.auto()
    """It is stopped: whether it still is."""
    RETURN = enum.auto()


def turn(record: Rollback, one: FollowUp, *, overtaken: bool, suspends: bool) -> Turn:
    """``suspends``: people want its controller stopped for this canary. What was lent is returned in any case."""
    wanted = suspends and stands(record, overtaken=overtaken)
    if one.state is FollowUpState.PENDING and wanted:
        return Turn.STOP
    if not wanted and (one.undo is not None or not one.settled):
        return Turn.RETURN
    return Turn.WATCH if one.state is FollowUpState.LENT else Turn.NOTHING


def undo(loan: Loan, owner: Owner) -> dict[str, str]:
    """What must be put back, for the record."""
    application = owner.kind is FollowUpKind.APPLICATION
    return {"spec.syncPolicy.automated.selfHeal" if application else "spec.suspend": loan.original}


def lent(before: FollowUp, owner: Owner, now: datetime.datetime) -> FollowUp:
    """The entry once its controller is stopped."""
    what = f"{owner} no longer heals itself for as long as this rollback stands"
    if owner.kind is not FollowUpKind.APPLICATION:
        # It may be the very thing that would bring the fix.
        what = (
            f"{owner} is suspended for as long as this rollback stands: nothing that it delivers arrives before, a fix "
            "neither (pullback release lifts the hold)"
        )
    detail = f"{what}; {_raise_in(before)}"
    return replace(before, state=FollowUpState.LENT, detail=fitted(detail), at=now)


def tried(before: FollowUp, what: str, problem: str) -> FollowUp:
    """The entry after a try that failed: ``what`` is still to be done, since when does not move."""
    if before.settled:
        return before
    return replace(before, detail=fitted(f"{what}: {problem}; {_raise_in(before)}"))


def given_up(
    before: FollowUp, state: FollowUpState, why: str, now: datetime.datetime, *, owes: bool
) -> FollowUp:  # fmt: skip
    """``owes``: a note of ours stands there all the same, and will be taken away."""
    detail = fitted(f"{why}; {_raise_in(before)}")
    return replace(before, state=state, detail=detail, at=now, undo=before.undo if owes else None)


def _raise_in(one: FollowUp) -> str:
    """The part of a detail that says who raised what, and what to write where."""
    return one.detail[max(0, one.detail.find(f"{one.kind} {one.name} (")) :]


def returned(
    before: FollowUp, owner: Owner, found: Managed | None, step: PutBack | Keep | None, now: datetime.datetime
) -> FollowUp:  # fmt: skip
    """The entry after the rollback no longer stands. ``found``: as it was before that step."""
    if before.settled:
        return replace(before, undo=None)
    match step:
        case None if before.state is FollowUpState.LENT and found is not None and not found.acting:
            state, detail = FollowUpState.FAILED, _note_gone(owner)
        case PutBack(str()):
            state, detail = FollowUpState.DONE, f"{owner} goes on as before"
        case PutBack():
            state, detail = FollowUpState.DONE, f"{owner} had been set going again by somebody"
        case Keep(loan):
            state, detail = FollowUpState.DONE, f"{owner} is left stopped for {', '.join(loan.holders)}"
        case _:
            state, detail = FollowUpState.NOT_NEEDED, f"nothing of ours is left on {owner}"
    return replace(before, state=state, detail=fitted(detail), at=now, undo=None)
