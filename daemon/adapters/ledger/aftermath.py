"""What came after zero, as it stands in ``status``: evidence, cleanup and notices, both ways."""

import datetime
from collections.abc import Mapping
from typing import Any

from daemon.adapters import times
from daemon.model.cleanup import Cleanup, CleanupState, Nudge, PausedScaler
from daemon.model.keeping import KeptEvidence
from daemon.model.notice import Notice
from daemon.model.rollback import Amendment

_TEXT_MOST = 1024


def as_status(amendment: Amendment) -> dict[str, Any]:
    """The part of the merge patch that is about these three: only what changes."""
    status: dict[str, Any] = {}
    if amendment.evidence is not None:
        status["evidence"] = _evidence(amendment.evidence)
    if amendment.cleanup is not None:
        status["cleanup"] = _cleanup(amendment.cleanup)
    if amendment.notices is not None:
        status["notices"] = [_notice(notice) for notice in amendment.notices]
    return status


def read_evidence(said: Any) -> KeptEvidence | None:
    """None for nothing."""
    at = _moment(said, "keptAt")
    if at is None:
        return None
    return KeptEvidence(
        config_map=_text(said, "configMap"),
        at=at,
        pods=_number(said, "pods"),
        missing=_words(said, "missing"),
    )


def read_cleanup(said: Any) -> Cleanup | None:
    """None for nothing, and for a state that this version does not know."""
    at = _moment(said, "at")
    state = next((one for one in CleanupState if one.value == said.get("state")), None) if at is not None else None
    if at is None or state is None:
        return None
    nudge, lent_at = said.get("nudge") or {}, _moment(said.get("nudge") or {}, "at")
    return Cleanup(
        state=state,
        detail=_text(said, "detail"),
        at=at,
        template=_text(said, "template"),
        nudge=None if lent_at is None else Nudge(
            original=nudge.get("original"), at=lent_at, restored_at=_moment(nudge, "restoredAt")
        ),
        scalers=tuple(_read_scaler(one) for one in said.get("scalers") or ()),
        scaled_down=_number(said, "scaledDown"),
        scaled_from=_number(said, "scaledFrom"),
    )  # fmt: skip


def read_notices(said: Any) -> tuple[Notice, ...]:
    """Entries that name no channel are left out."""
    return tuple(_read_notice(one) for one in said or () if isinstance(one, dict) and one.get("channel"))


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
            "restoredAt": _written(cleanup.nudge.restored_at),
        },
        "scalers": [_scaler(one) for one in cleanup.scalers],
        "scaledDown": cleanup.scaled_down,
        "scaledFrom": cleanup.scaled_from,
    }  # fmt: skip


def _scaler(one: PausedScaler) -> dict[str, Any]:
    return _there(
        {"kind": one.kind, "name": one.name, "original": one.original, "restoredAt": _written(one.restored_at)}
    )


def _read_scaler(one: Mapping[str, Any]) -> PausedScaler:
    return PausedScaler(_text(one, "kind"), _text(one, "name"), _text(one, "original"), _moment(one, "restoredAt"))


def _notice(notice: Notice) -> dict[str, Any]:
    return _there({
        "channel": notice.channel,
        "dedupKey": notice.dedup_key,
        "due": list(notice.due),
        "said": list(notice.said),
        "refused": list(notice.refused),
        "begun": list(notice.begun),
        "reference": notice.reference,
        "attempts": notice.attempts,
        "problem": notice.problem[:_TEXT_MOST],
        "plannedAt": _written(notice.planned_at),
        "deliveredAt": _written(notice.delivered_at),
        "refusedAt": _written(notice.refused_at),
    })  # fmt: skip


def _read_notice(one: Mapping[str, Any]) -> Notice:
    return Notice(
        channel=_text(one, "channel"),
        dedup_key=_text(one, "dedupKey"),
        due=_words(one, "due"),
        said=_words(one, "said"),
        refused=_words(one, "refused"),
        begun=_words(one, "begun"),
        reference=_text(one, "reference"),
        attempts=_number(one, "attempts"),
        problem=_text(one, "problem"),
        planned_at=_moment(one, "plannedAt"),
        delivered_at=_moment(one, "deliveredAt"),
        refused_at=_moment(one, "refusedAt"),
    )


def _there(fields: dict[str, Any]) -> dict[str, Any]:
    # In a list, a merge patch deletes nothing: a null would stand in the object, and be refused by its schema.
    return {key: value for key, value in fields.items() if value is not None}


def _written(moment: datetime.datetime | None) -> str | None:
    return None if moment is None else times.write(moment)


def _moment(said: Any, field: str) -> datetime.datetime | None:
    return times.read(said.get(field)) if isinstance(said, dict) else None


def _text(said: Mapping[str, Any], field: str) -> str:
    return str(said.get(field) or "")


def _number(said: Mapping[str, Any], field: str) -> int:
    return int(said.get(field) or 0)


def _words(said: Mapping[str, Any], field: str) -> tuple[str, ...]:
    return tuple(map(str, said.get(field) or ()))
