"""What came after zero, as it stands in ``status``: evidence, cleanup, notices and follow-ups, both ways."""

from collections.abc import Mapping
from typing import Any

from daemon.adapters import times
from daemon.adapters.ledger import fields
from daemon.model.cleanup import Cleanup, CleanupState, Nudge, PausedScaler
from daemon.model.follow_up import FollowUp, FollowUpKind, FollowUpState
from daemon.model.keeping import KeptEvidence
from daemon.model.notice import Notice
from daemon.model.rollback import Amendment

_TEXT_MOST = 1024


def as_status(amendment: Amendment) -> dict[str, Any]:
    """The part of the merge patch that is about these: only what changes."""
    status: dict[str, Any] = {}
    if amendment.evidence is not None:
        status["evidence"] = _evidence(amendment.evidence)
    if amendment.cleanup is not None:
        status["cleanup"] = _cleanup(amendment.cleanup)
    if amendment.notices is not None:
        status["notices"] = [write_notice(notice) for notice in amendment.notices]
    if amendment.follow_ups is not None:
        status["followUps"] = [_follow_up(one) for one in amendment.follow_ups]
    return status


def read_evidence(said: Any) -> KeptEvidence | None:
    """None for nothing."""
    at = fields.moment(said, "keptAt")
    if at is None:
        return None
    return KeptEvidence(
        config_map=fields.text(said, "configMap"),
        at=at,
        pods=fields.number(said, "pods"),
        missing=fields.words(said, "missing"),
    )


def read_cleanup(said: Any, namespace: str) -> Cleanup | None:
    """``namespace`` is the record's. None for nothing, and for a state that this version does not know."""
    at = fields.moment(said, "at")
    state = next((one for one in CleanupState if one.value == said.get("state")), None) if at is not None else None
    if at is None or state is None:
        return None
    nudge, lent_at = said.get("nudge") or {}, fields.moment(said.get("nudge") or {}, "at")
    return Cleanup(
        state=state,
        detail=fields.text(said, "detail"),
        at=at,
        template=fields.text(said, "template"),
        nudge=None if lent_at is None else Nudge(
            original=nudge.get("original"),
            at=lent_at,
            set_at=fields.moment(nudge, "setAt"),
            restored_at=fields.moment(nudge, "restoredAt"),
        ),
        scalers=tuple(_read_scaler(one, namespace) for one in said.get("scalers") or ()),
        scaled_down=fields.number(said, "scaledDown"),
        scaled_from=fields.number(said, "scaledFrom"),
    )  # fmt: skip


def read_notices(said: Any) -> tuple[Notice, ...]:
    """Entries that name no channel are left out."""
    return tuple(_read_notice(one) for one in said or () if isinstance(one, dict) and one.get("channel"))


def read_follow_ups(said: Any) -> tuple[FollowUp, ...]:
    """Those of a kind and in a state that this version knows."""
    entries = said if isinstance(said, list) else ()
    found = (_read_follow_up(one) for one in entries if isinstance(one, dict))
    return tuple(one for one in found if one is not None)


def _evidence(kept: KeptEvidence) -> dict[str, Any]:
    return {
        "configMap": kept.config_map,
        "keptAt": times.write(kept.at),
        "pods": kept.pods,
        "missing": [text[:_TEXT_MOST] for text in kept.missing[:64]],
    }


def _cleanup(cleanup: Cleanup) -> dict[str, Any]:
    return {
        "state": cleanup.state.value,
        "detail": cleanup.detail[:_TEXT_MOST],
        "at": times.write(cleanup.at),
        "template": cleanup.template,
        "nudge": None if cleanup.nudge is None else {
            "original": cleanup.nudge.original,
            "at": times.write(cleanup.nudge.at),
            "setAt": fields.written(cleanup.nudge.set_at),
            "restoredAt": fields.written(cleanup.nudge.restored_at),
        },
        "scalers": [_scaler(one) for one in cleanup.scalers],
        "scaledDown": cleanup.scaled_down,
        "scaledFrom": cleanup.scaled_from,
    }  # fmt: skip


def _scaler(one: PausedScaler) -> dict[str, Any]:
    return fields.there({
        "kind": one.kind, "namespace": one.namespace, "name": one.name, "original": one.original,
        "restoredAt": fields.written(one.restored_at),
    })  # fmt: skip


def _read_scaler(one: Mapping[str, Any], namespace: str) -> PausedScaler:
    return PausedScaler(
        kind=fields.text(one, "kind"),
        namespace=fields.text(one, "namespace") or namespace,
        name=fields.text(one, "name"),
        original=fields.text(one, "original"),
        restored_at=fields.moment(one, "restoredAt"),
    )


def write_notice(notice: Notice) -> dict[str, Any]:
    """What one channel has been told, as JSON."""
    return fields.there({
        "channel": notice.channel,
        "dedupKey": notice.dedup_key,
        "due": list(notice.due),
        "said": list(notice.said),
        "refused": list(notice.refused),
        "begun": list(notice.begun),
        "reference": notice.reference,
        "attempts": notice.attempts,
        "problem": notice.problem[:_TEXT_MOST],
        "plannedAt": fields.written(notice.planned_at),
        "deliveredAt": fields.written(notice.delivered_at),
        "refusedAt": fields.written(notice.refused_at),
    })  # fmt: skip


def _read_notice(one: Mapping[str, Any]) -> Notice:
    return Notice(
        channel=fields.text(one, "channel"),
        dedup_key=fields.text(one, "dedupKey"),
        due=fields.words(one, "due"),
        said=fields.words(one, "said"),
        refused=fields.words(one, "refused"),
        begun=fields.words(one, "begun"),
        reference=fields.text(one, "reference"),
        attempts=fields.number(one, "attempts"),
        problem=fields.text(one, "problem"),
        planned_at=fields.moment(one, "plannedAt"),
        delivered_at=fields.moment(one, "deliveredAt"),
        refused_at=fields.moment(one, "refusedAt"),
    )


def _follow_up(one: FollowUp) -> dict[str, Any]:
    return fields.there({
        "kind": one.kind.value,
        "name": one.name,
        "state": one.state.value,
        "detail": one.detail[:_TEXT_MOST],
        "at": times.write(one.at),
        "undo": None if one.undo is None else dict(one.undo),
    })  # fmt: skip


def _read_follow_up(one: Mapping[str, Any]) -> FollowUp | None:
    kind = fields.member(FollowUpKind, one.get("kind"), None)
    state, at = fields.member(FollowUpState, one.get("state"), None), fields.moment(one, "at")
    if kind is None or state is None or at is None:
        return None
    undo = one.get("undo")
    return FollowUp(
        kind=kind,
        name=fields.text(one, "name"),
        state=state,
        detail=fields.text(one, "detail"),
        at=at,
        undo={str(key): str(value) for key, value in undo.items()} if isinstance(undo, dict) else None,
    )
