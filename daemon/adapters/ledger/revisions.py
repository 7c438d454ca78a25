"""The records of revisions: ``CanaryRevision`` objects (canaryrevisions.pullback.dev), both ways.

Each belongs to its Canary and goes with it.
"""

import datetime
from collections.abc import Callable, Mapping
from typing import Any

from daemon.adapters import times
from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.adapters.kubernetes.resources import CANARY_REVISIONS
from daemon.adapters.ledger import aftermath, fields
from daemon.model import errors
from daemon.model.canary import CanaryRef
from daemon.model.canary_revision import (
    CanaryRevision,
    Changes,
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

_TEXT_MOST = 1024


class KubernetesRevisions:
    """Keeps ``ports.Revisions``."""

    def __init__(self, client: KubernetesClient) -> None:
        self._client = client

    async def open(self, record: NewRevision) -> CanaryRevision:
        try:
            return read_revision(await self._client.create(CANARY_REVISIONS, record.namespace, _document(record)))
        except errors.AlreadyThere:
            return read_revision(await self._client.get(CANARY_REVISIONS, record.namespace, record.name))

    async def amend(self, before: CanaryRevision, after: CanaryRevision) -> CanaryRevision:
        body = {
            "metadata": {"resourceVersion": before.resource_version},
            "status": as_status(changes(before, after)),
        }
        return read_revision(
            await self._client.merge(CANARY_REVISIONS, before.namespace, before.name, body, subresource="status")
        )

    async def read(self, namespace: str, name: str) -> CanaryRevision | None:
        try:
            return read_revision(await self._client.get(CANARY_REVISIONS, namespace, name))
        except errors.Missing:
            return None

    async def delete(self, record: CanaryRevision) -> None:
        await self._client.delete(
            CANARY_REVISIONS, record.namespace, record.name, uid=record.uid, resource_version=record.resource_version
        )


# -- written


def _document(record: NewRevision) -> dict[str, Any]:
    return {
        "apiVersion": CANARY_REVISIONS.api_version,
        "kind": CANARY_REVISIONS.kind,
        "metadata": {
            "namespace": record.namespace,
            "name": record.name,
            "labels": {"app.kubernetes.io/managed-by": "pullback"},
            "ownerReferences": [
                {**fields.canary_ref(record.canary_kind, record.canary.name), "uid": record.canary_uid}
            ],
        },
        "spec": {
            "canaryRef": fields.canary_ref(record.canary_kind, record.canary.name),
            "template": record.template,
            "images": list(record.images),
        },
    }


def as_status(changed: Changes) -> dict[str, Any]:
    """The merge patch of ``status``: only what changes. Lists are written whole."""
    writers: dict[str, tuple[str, Callable[[Any], Any]]] = {
        "revision": ("revision", str),
        "phase": ("phase", lambda phase: phase.value),
        "run": ("run", int),
        "began": ("began", fields.written),
        "promoted_at": ("promotedAt", fields.written),
        "configs": ("configs", str),
        "workload_revision": ("workloadRevision", str),
        "weights": ("weights", lambda all_: [_weight(one) for one in all_]),
        "checks": ("checks", lambda all_: [_check(one) for one in all_]),
        "digests": ("images", lambda all_: [{"image": one.image, "digest": one.digest} for one in all_]),
        "gates": ("gates", lambda all_: [_gate(one) for one in all_]),
        "acts": ("acts", _acts),
        "entries": ("timeline", lambda all_: [_entry(one) for one in all_]),
        "dropped": ("dropped", int),
        "notices": ("notices", lambda all_: [aftermath.write_notice(one) for one in all_]),
    }
    status = {writers[name][0]: writers[name][1](value) for name, value in changed.items() if name in writers}
    if "weights" in changed:
        status["weight"] = changed["weights"][-1].weight if changed["weights"] else None
    return status


def _weight(one: SeenWeight) -> dict[str, Any]:
    return {"weight": one.weight, "since": times.write(one.since), "version": one.version}


def _check(one: SeenCheck) -> dict[str, Any]:
    return {"gate": one.gate, "name": one.name, "state": one.state.value, "detail": one.detail[:_TEXT_MOST],
            "at": times.write(one.at)}  # fmt: skip


def _gate(one: SeenGate) -> dict[str, Any]:
    return fields.there(
        {
            "hook": one.hook,
            "opened": one.opened,
            "reason": one.reason,
            "detail": one.detail[:_TEXT_MOST],
            "at": times.write(one.at),
            "refusingSince": fields.written(one.refusing_since),
        }
    )


def _acts(acts: SeenActs) -> dict[str, Any]:
    return {
        "paused": acts.paused,
        "advance": acts.advance,
        "approval": acts.approval,
        "approvalAt": fields.written(acts.approval_at),
        "staleApproval": acts.stale_approval,
        "staleAdvance": acts.stale_advance,
    }


def _entry(one: Entry) -> dict[str, Any]:
    return fields.there(
        {
            "at": times.write(one.at),
            "kind": one.kind.value,
            "key": one.key,
            "text": one.text,
            "count": one.count,
            "last": fields.written(one.last),
        }
    )


# -- read


def read_revision(document: Mapping[str, Any]) -> CanaryRevision:
    """A record from its JSON. What this version does not know, or cannot read, is left out."""
    metadata = document["metadata"]
    spec, status = fields.part(document, "spec"), fields.part(document, "status")
    namespace = metadata.get("namespace", "")
    created = times.read(metadata.get("creationTimestamp"))
    assert created is not None  # noqa: S101 - the API server always sets it
    return CanaryRevision(
        namespace=namespace,
        name=metadata["name"],
        uid=str(metadata.get("uid", "")),
        resource_version=str(metadata.get("resourceVersion", "")),
        created_at=created,
        canary=CanaryRef(namespace, fields.text(fields.part(spec, "canaryRef"), "name")),
        template=fields.text(spec, "template"),
        images=fields.words(spec, "images"),
        revision=fields.text(status, "revision"),
        phase=fields.member(RevisionPhase, status.get("phase"), RevisionPhase.PENDING),
        run=fields.number(status, "run"),
        began=fields.moment(status, "began"),
        promoted_at=fields.moment(status, "promotedAt"),
        configs=fields.text(status, "configs"),
        workload_revision=fields.text(status, "workloadRevision"),
        weights=tuple(
            SeenWeight(float(weight), since, fields.text(one, "version"))
            for one, since in _dated(status, "weights", "since")
            if (weight := fields.real(one, "weight")) is not None
        ),
        checks=tuple(_read_check(one, at) for one, at in _dated(status, "checks")),
        digests=tuple(
            ImageDigest(image, fields.text(one, "digest"))
            for one in fields.several(status, "images")
            if (image := fields.text(one, "image"))
        ),
        gates=tuple(_read_gate(one, at) for one, at in _dated(status, "gates")),
        acts=_read_acts(fields.part(status, "acts")),
        entries=tuple(_read_entry(one, at) for one, at in _dated(status, "timeline")),
        dropped=fields.number(status, "dropped"),
        notices=aftermath.read_notices(fields.several(status, "notices")),
    )


def _dated(
    status: Mapping[str, Any], name: str, field: str = "at"
) -> list[tuple[Mapping[str, Any], datetime.datetime]]:
    dated = [(one, fields.moment(one, field)) for one in fields.several(status, name)]
    return [(one, at) for one, at in dated if at is not None]


def _read_check(one: Mapping[str, Any], at: datetime.datetime) -> SeenCheck:
    state = fields.member(CheckState, one.get("state"), CheckState.UNDECIDED)
    return SeenCheck(fields.text(one, "gate"), fields.text(one, "name"), state, fields.text(one, "detail"), at)


def _read_gate(one: Mapping[str, Any], at: datetime.datetime) -> SeenGate:
    return SeenGate(
        hook=fields.text(one, "hook"),
        opened=bool(one.get("opened")),
        reason=fields.text(one, "reason"),
        detail=fields.text(one, "detail"),
        at=at,
        refusing_since=fields.moment(one, "refusingSince"),
    )


def _read_acts(said: Mapping[str, Any]) -> SeenActs:
    return SeenActs(
        paused=fields.text(said, "paused"),
        advance=fields.text(said, "advance"),
        approval=fields.text(said, "approval"),
        approval_at=fields.moment(said, "approvalAt"),
        stale_approval=fields.text(said, "staleApproval"),
        stale_advance=fields.text(said, "staleAdvance"),
    )


def _read_entry(one: Mapping[str, Any], at: datetime.datetime) -> Entry:
    return Entry(
        at=at,
        kind=fields.member(EntryKind, one.get("kind"), EntryKind.FLAGGER),
        key=fields.text(one, "key"),
        text=fields.text(one, "text"),
        count=max(1, fields.number(one, "count")),
        last=fields.moment(one, "last"),
    )
