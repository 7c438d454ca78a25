"""Flagger's Canary objects: read as facts, and written to only where operator acts live (annotations).

Never its VirtualService: there Flagger wipes foreign labels and annotations, and resets the weights.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from daemon.adapters import times
from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.adapters.kubernetes.resources import CANARIES
from daemon.model.canary import AlertPause, Canary, CanaryPhase, CanaryRef
from daemon.model.route import PatchOperation

PAUSED = "pullback.dev/paused"
PAUSED_BY = "paused-by.pullback.dev/"
"""One annotation per alert that holds the gate closed: a merge patch of one key needs no read before it, so
replicas cannot overwrite each other. Value: revision, startsAt and alertname, in that order."""

_ALERTNAME_MOST = 256
_FINGERPRINT = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_PHASES = {phase.value: phase for phase in CanaryPhase}


def read_canary(document: Mapping[str, Any]) -> Canary:
    """A ``Canary`` from its JSON. Fields that Flagger has not written yet are empty, never guessed."""
    metadata = document["metadata"]
    spec = document.get("spec") or {}
    status = document.get("status") or {}
    target = spec.get("targetRef") or {}
    workload = str(target.get("name") or "")
    annotations = metadata.get("annotations") or {}
    conditions = status.get("conditions") or [{}]
    return Canary(
        ref=CanaryRef(metadata.get("namespace", ""), metadata["name"]),
        uid=str(metadata.get("uid", "")),
        phase=_PHASES.get(str(status.get("phase") or ""), CanaryPhase.UNKNOWN),
        revision=str(status.get("lastAppliedSpec") or ""),
        promoted_revision=str(status.get("lastPromotedSpec") or ""),
        analysis_began=times.read(conditions[0].get("lastTransitionTime")),
        status_weight=int(status.get("canaryWeight") or 0),
        workload=workload,
        workload_kind=str(target.get("kind") or ""),
        service=str((spec.get("service") or {}).get("name") or workload),
        provider=str(spec.get("provider") or ""),
        suspended=bool(spec.get("suspend")),
        deleting=bool(metadata.get("deletionTimestamp")),
        paused=str(annotations.get(PAUSED, "")).lower() == "true",
        alert_pauses=tuple(_pauses(annotations)),
        resource_version=str(metadata.get("resourceVersion", "")),
        progress_deadline=_whole(spec.get("progressDeadlineSeconds")),
    )


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def _pauses(annotations: Mapping[str, str]) -> list[AlertPause]:
    found = []
    for key, value in sorted(annotations.items()):
        if not key.startswith(PAUSED_BY):
            continue
        revision, _, rest = str(value).partition(" ")
        since, _, alertname = rest.partition(" ")
        starts_at = times.read(since)
        if starts_at is not None:
            found.append(AlertPause(key.removeprefix(PAUSED_BY), starts_at, revision, alertname))
    return found


class FlaggerCanaries:
    """Keeps ``ports.Canaries``."""

    def __init__(self, client: KubernetesClient) -> None:
        self._client = client

    async def close_gate(self, canary: CanaryRef, pause: AlertPause) -> Canary:
        value = f"{pause.revision} {times.write(pause.starts_at)} {pause.alertname[:_ALERTNAME_MOST]}"
        return await self._annotate(canary, {_key(pause.fingerprint): value})

    async def open_gate(self, canary: CanaryRef, fingerprints: Sequence[str]) -> Canary:
        return await self._annotate(canary, {_key(fingerprint): None for fingerprint in fingerprints})

    async def set_progress_deadline(self, canary: CanaryRef, expected: int | None, seconds: int | None) -> Canary:
        path = "/spec/progressDeadlineSeconds"
        operations = [PatchOperation("test", path, expected)]
        if seconds is None:
            operations.append(PatchOperation("remove", path))
        else:
            operations.append(PatchOperation("add", path, seconds))
        return read_canary(await self._client.patch(CANARIES, canary.namespace, canary.name, operations))

    async def _annotate(self, canary: CanaryRef, annotations: Mapping[str, str | None]) -> Canary:
        body = {"metadata": {"annotations": dict(annotations)}}
        return read_canary(await self._client.merge(CANARIES, canary.namespace, canary.name, body))


def _key(fingerprint: str) -> str:
    # Alertmanager's are 16 hexadecimal digits; the door makes one where a sender has something else.
    if not _FINGERPRINT.fullmatch(fingerprint):
        raise ValueError(f"{fingerprint!r} cannot be part of an annotation's name")
    return PAUSED_BY + fingerprint
