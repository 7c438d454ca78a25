"""Flagger's Canary objects: read as facts, and written to only where operator acts live (annotations).

Never its VirtualService: there Flagger wipes foreign labels and annotations, and resets the weights.
"""

import datetime
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from daemon.adapters import text, times
from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.adapters.kubernetes.resources import CANARIES
from daemon.model import errors
from daemon.model.canary import Advance, AlertPause, Approval, Canary, CanaryPhase, CanaryRef, LentDeadline

PAUSED = "pullback.dev/paused"
PAUSING_PERSON = "pullback.dev/paused-by"
PAUSING_REASON = "pullback.dev/paused-reason"
PAUSED_BY = "paused-by.pullback.dev/"
"""One annotation per alert that holds the gate closed: a merge patch of one key needs no read before it, so
replicas cannot overwrite each other. Value: revision, startsAt and alertname, in that order."""

PROFILE = "pullback.dev/profile"
APPROVED = "pullback.dev/approved"
APPROVED_BY = "pullback.dev/approved-by"
"""One name, or several with commas between them."""
APPROVED_UNTIL = "pullback.dev/approved-until"
APPROVED_USED = "pullback.dev/approved-used"
"""Ours: the approval that has opened a promotion, and the beginning of that analysis."""
APPROVAL_REASON = "pullback.dev/approved-reason"
"""Why, for people to read; it opens nothing."""
ADVANCE_TO = "pullback.dev/advance-to"
ADVANCE_BY = "pullback.dev/advance-by"
ADVANCE_REVISION = "pullback.dev/advance-revision"
"""Which revision it was said for; the daemon adds it where a person did not."""
DEADLINE_LENT = "pullback.dev/deadline-lent"
"""Ours: ``spec.progressDeadlineSeconds`` as it was before we shortened it for a moment; ``none``: it was not there."""

DRILL = "pullback.dev/drill"
"""On a Canary that ``pullback drill`` has made, and only counted where ``spec.suspend`` keeps Flagger off it: what
Flagger drives is never a drill's."""

WORDS_MOST = 1000
"""Most characters of what people write into one annotation."""
_ALERTNAME_MOST = 256
_NONE = "none"
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
    # A brake that was put on by hand holds, however it is spelled.
    paused = str(annotations.get(PAUSED, "")).strip().lower() not in {"", "false"}
    conditions = status.get("conditions") or [{}]
    suspended = bool(spec.get("suspend"))
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
        suspended=suspended,
        deleting=bool(metadata.get("deletionTimestamp")),
        paused=paused,
        alert_pauses=tuple(_pauses(annotations)),
        resource_version=str(metadata.get("resourceVersion", "")),
        progress_deadline=_whole(spec.get("progressDeadlineSeconds")),
        deadline_lent=_lent(annotations),
        steps=_steps(spec.get("analysis") or {}),
        steps_listed=_lists_steps(spec.get("analysis") or {}),
        configs=_digest(status.get("trackedConfigs")),
        hooks=frozenset(_hook_types(spec.get("analysis") or {})),
        profile=str(annotations.get(PROFILE) or ""),
        approval=_approval(annotations),
        advance=_advance(annotations),
        paused_by=_words(annotations, PAUSING_PERSON) if paused else "",
        paused_reason=_words(annotations, PAUSING_REASON) if paused else "",
        drill=suspended and annotations.get(DRILL) == "true",
    )


def _steps(analysis: Mapping[str, Any]) -> tuple[float, ...]:
    """Flagger's ``stepWeight`` until ``maxWeight`` (which is 100 where it is not said) is reached or passed; without
    one, its ``stepWeights``."""
    step, most = _whole(analysis.get("stepWeight")), _whole(analysis.get("maxWeight")) or 100
    if step and step > 0:
        return tuple(float(min(weight, 100)) for weight in range(step, min(most, 100) + step, step))
    listed = analysis.get("stepWeights")
    return tuple(sorted(float(one) for one in listed if isinstance(one, int))) if isinstance(listed, list) else ()


def _lists_steps(analysis: Mapping[str, Any]) -> bool:
    """Whether Flagger goes by ``stepWeights``: it does where there is no ``stepWeight``."""
    return bool(analysis.get("stepWeights")) and not _whole(analysis.get("stepWeight"))


def _digest(configs: Any) -> str:
    if not isinstance(configs, dict) or not configs:
        return ""
    return hashlib.sha256(json.dumps(configs, sort_keys=True).encode()).hexdigest()[:10]


def _hook_types(analysis: Mapping[str, Any]) -> list[str]:
    webhooks = analysis.get("webhooks") or ()
    # Flagger's own default for a webhook without a type.
    return [str(one.get("type") or "rollout") for one in webhooks if isinstance(one, dict)]


def _approval(annotations: Mapping[str, str]) -> Approval | None:
    revision = annotations.get(APPROVED)
    if not revision:
        return None
    by, until = annotations.get(APPROVED_BY, ""), annotations.get(APPROVED_UNTIL, "")
    word = f"{revision} {by} {until}"
    used, _, began = annotations.get(APPROVED_USED, "").rpartition(" ")
    names = dict.fromkeys(name.strip() for name in by.split(",") if name.strip())
    # An expiry that cannot be read has passed: what was meant cannot be told.
    read = times.read(until) or datetime.datetime.fromtimestamp(0, datetime.UTC) if until else None
    return Approval(
        revision=revision,
        by=tuple(names),
        until=read,
        word=word,
        used=times.read(began) if used == word else None,
        reason=_words(annotations, APPROVAL_REASON),
    )


def _advance(annotations: Mapping[str, str]) -> Advance | None:
    word = annotations.get(ADVANCE_TO)
    try:
        to = float(word or "")
    except ValueError:
        return None
    if word is None or not 0 <= to <= 100:
        return None
    return Advance(to, annotations.get(ADVANCE_REVISION, ""), _words(annotations, ADVANCE_BY), word)


def _lent(annotations: Mapping[str, str]) -> LentDeadline | None:
    word = str(annotations.get(DEADLINE_LENT) or "")
    if word == _NONE:
        return LentDeadline(None)
    return LentDeadline(int(word)) if word.isascii() and word.isdigit() else None


def _words(annotations: Mapping[str, str], key: str) -> str:
    """What people wrote, on one line and bounded: it goes into answers and timelines."""
    return text.cut(text.line(str(annotations.get(key) or "")), WORDS_MOST)


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

    async def lend_deadline(self, canary: CanaryRef, original: int | None, seconds: int) -> Canary:
        word = _NONE if original is None else str(original)
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

    async def use_approval(self, canary: CanaryRef, approval: Approval, began: datetime.datetime) -> Canary:
        document = await self._client.get(CANARIES, canary.namespace, canary.name)
        there = read_canary(document)
        if there.approval is None or there.approval.word != approval.word:
            raise errors.Conflict(f"the approval on Canary {canary} has changed")
        annotations = {APPROVED_USED: f"{approval.word} {times.write(began)}"}
        return await self._annotate(canary, annotations, resource_version=there.resource_version)

    async def withdraw_advance(self, canary: Canary) -> Canary:
        annotations = dict.fromkeys((ADVANCE_TO, ADVANCE_BY, ADVANCE_REVISION))
        return await self._annotate(canary.ref, annotations, resource_version=canary.resource_version)

    async def bind_advance(self, canary: Canary) -> Canary:
        annotations = {ADVANCE_REVISION: canary.revision}
        return await self._annotate(canary.ref, annotations, resource_version=canary.resource_version)

    async def act(self, canary: Canary, annotations: Mapping[str, str | None]) -> Canary:
        return await self._annotate(canary.ref, annotations, resource_version=canary.resource_version)

    async def _annotate(
        self, canary: CanaryRef, annotations: Mapping[str, str | None], *, resource_version: str = ""
    ) -> Canary:
        body: dict[str, Any] = {"metadata": {"annotations": dict(annotations)}}
        if resource_version:
            body["metadata"]["resourceVersion"] = resource_version
        return read_canary(await self._client.merge(CANARIES, canary.namespace, canary.name, body))


def _key(fingerprint: str) -> str:
    # Alertmanager's are 16 hexadecimal digits; the door makes one where a sender has something else.
    if not _FINGERPRINT.fullmatch(fingerprint):
        raise ValueError(f"{fingerprint!r} cannot be part of an annotation's name")
    return PAUSED_BY + fingerprint
