"""Writing acts on the object that a canary is: Flagger's Canary, or the routing object where no controller drives it.

Never on the VirtualService of a Flagger canary: there Flagger wipes foreign annotations, and resets the weights.
"""

import dataclasses
import datetime
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from daemon.adapters import acts, argo_rollouts, times, traffic
from daemon.adapters.flagger import DEADLINE_LENT, NOT_THERE, read_canary
from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.adapters.kubernetes.resources import CANARIES, ROLLOUTS, Resource
from daemon.model import errors
from daemon.model.canary import AlertPause, Approval, Canary, CanaryRef, Controller
from daemon.model.versions import is_no_news

_ALERTNAME_MOST = 256
_FINGERPRINT = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")


class CanaryObjects:
    """Keeps ``ports.Canaries``."""

    def __init__(self, client: KubernetesClient, held: Callable[[CanaryRef], Canary | None]) -> None:
        """``held``: the canary as it was last seen, which tells what kind of object it is."""
        self._client = client
        self._held = held
        self._kinds = traffic.discover()

    async def close_gate(self, canary: CanaryRef, pause: AlertPause) -> Canary:
        value = f"{pause.revision} {times.write(pause.starts_at)} {pause.alertname[:_ALERTNAME_MOST]}"
        return await self._annotate(canary, {_key(pause.fingerprint): value})

    async def open_gate(self, canary: CanaryRef, fingerprints: Sequence[str]) -> Canary:
        return await self._annotate(canary, {_key(fingerprint): None for fingerprint in fingerprints})

    async def lend_deadline(self, canary: CanaryRef, original: int | None, seconds: int) -> Canary:
        word = NOT_THERE if original is None else str(original)
        return await self._set_deadline(canary, original, seconds, word)

    async def return_deadline(self, canary: CanaryRef, found: int | None, original: int | None) -> Canary:
        return await self._set_deadline(canary, found, original, None)

    async def _set_deadline(
        self, canary: CanaryRef, expected: int | None, seconds: int | None, lent: str | None
    ) -> Canary:
        """The deadline and the note of it in one write: nothing falls between the two."""
        there = read_canary(await self._client.get(CANARIES, canary.namespace, canary.name))
        if there.progress_deadline != expected:
            raise errors.Conflict(f"the progress deadline of Canary {canary} has changed")
        body: dict[str, Any] = {
            "metadata": {"resourceVersion": there.resource_version, "annotations": {DEADLINE_LENT: lent}},
            "spec": {"progressDeadlineSeconds": seconds},
        }
        return read_canary(await self._client.merge(CANARIES, canary.namespace, canary.name, body))

    async def abort(self, canary: CanaryRef) -> Canary:
        held = self._held(canary)
        resource = self._resource(held)
        try:
            written = await self._client.merge(
                resource, canary.namespace, canary.name, argo_rollouts.ABORT, subresource="status"
            )
        except errors.Missing:
            # Installed without the status subresource, as its own plugin allows for.
            written = await self._client.merge(resource, canary.namespace, canary.name, argo_rollouts.ABORT)
        return self._seen(canary, held, written)

    async def use_approval(self, canary: CanaryRef, approval: Approval, began: datetime.datetime) -> Canary:
        there = await self._read(canary)
        if there.approval is None or there.approval.word != approval.word:
            raise errors.Conflict(f"the approval on {there.object_kind.kind} {canary} has changed")
        annotations = {acts.APPROVED_USED: f"{approval.word} {times.write(began)}"}
        return await self._annotate(canary, annotations, resource_version=there.resource_version)

    async def withdraw_advance(self, canary: Canary) -> Canary:
        annotations = dict.fromkeys((acts.ADVANCE_TO, acts.ADVANCE_BY, acts.ADVANCE_REVISION))
        return await self._annotate(canary.ref, annotations, resource_version=canary.resource_version)

    async def bind_advance(self, canary: Canary) -> Canary:
        annotations = {acts.ADVANCE_REVISION: canary.revision}
        return await self._annotate(canary.ref, annotations, resource_version=canary.resource_version)

    async def act(self, canary: Canary, annotations: Mapping[str, str | None]) -> Canary:
        """Writes what a person says. Raises Conflict when the object is not the one that was looked at."""
        return await self._annotate(canary.ref, annotations, resource_version=canary.resource_version)

    def _resource(self, canary: Canary | None) -> Resource:
        """Where the canary's object is read and written; a Flagger Canary where nothing else is known of it."""
        if canary is None or canary.controller is Controller.FLAGGER:
            return CANARIES
        if canary.controller is Controller.ARGO:
            return ROLLOUTS
        versions = self._kinds[canary.object_kind.kind].RESOURCES
        return next((one for one in versions if one.api_version == canary.object_kind.api_version), versions[0])

    async def _read(self, ref: CanaryRef) -> Canary:
        held = self._held(ref)
        return self._seen(ref, held, await self._client.get(self._resource(held), ref.namespace, ref.name))

    def _seen(self, ref: CanaryRef, asked: Canary | None, document: Mapping[str, Any]) -> Canary:
        """The canary as the answer shows it. What its object says beside acts is read where it is watched: as it is
        known now, not as it was when the API server was asked. Raises Missing when it is known no more."""
        if asked is None or asked.controller is Controller.FLAGGER:
            return read_canary(document)
        held, metadata = self._held(ref), document["metadata"]
        version = str(metadata.get("resourceVersion", ""))
        if held is None:
            raise errors.Missing(f"{asked.object_kind.kind} {ref} was a canary when it was written to, and is none now")
        if held.object_kind != asked.object_kind or (version != held.resource_version
                                                     and is_no_news(version, held.resource_version)):  # fmt: skip
            return held
        return dataclasses.replace(
            held,
            resource_version=version,
            aborting=held.aborting or bool((document.get("status") or {}).get("abort")),
            **acts.read(metadata.get("annotations") or {}),
        )

    async def _annotate(
        self, ref: CanaryRef, annotations: Mapping[str, str | None], *, resource_version: str = ""
    ) -> Canary:
        body: dict[str, Any] = {"metadata": {"annotations": dict(annotations)}}
        if resource_version:
            body["metadata"]["resourceVersion"] = resource_version
        held = self._held(ref)
        if held is not None and held.controller is Controller.ARGO:
            body |= _pausing(held, annotations)
        return self._seen(ref, held, await self._client.merge(self._resource(held), ref.namespace, ref.name, body))


def _pausing(rollout: Canary, annotations: Mapping[str, str | None]) -> dict[str, Any]:
    """Argo Rollouts asks no gate: what closes one is its own ``spec.paused``, written with the annotation that says
    who has closed it, and taken back with the last of them. Empty where no pause is written."""
    pauses = {pause.fingerprint for pause in rollout.alert_pauses if pause.revision == rollout.revision}
    paused, touched = rollout.paused, False
    for key, value in annotations.items():
        if key == acts.PAUSED:
            paused, touched = value is not None, True
        elif key.startswith(acts.PAUSED_BY):
            fingerprint, touched = key.removeprefix(acts.PAUSED_BY), True
            pauses = pauses | {fingerprint} if value is not None else pauses - {fingerprint}
    return {"spec": {"paused": paused or bool(pauses)}} if touched else {}


def _key(fingerprint: str) -> str:
    # Alertmanager's are 16 hexadecimal digits; the door makes one where a sender has something else.
    if not _FINGERPRINT.fullmatch(fingerprint):
        raise ValueError(f"{fingerprint!r} cannot be part of an annotation's name")
    return acts.PAUSED_BY + fingerprint
