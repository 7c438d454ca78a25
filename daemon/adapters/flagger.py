"""Flagger's Canary objects, read as facts."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from daemon.adapters import acts, times
from daemon.model.canary import Canary, CanaryPhase, CanaryRef, LentDeadline

DEADLINE_LENT = "pullback.dev/deadline-lent"
"""Ours: ``spec.progressDeadlineSeconds`` as it was before we shortened it for a moment; ``none``: it was not there."""

DRILL = "pullback.dev/drill"
"""On a Canary that ``pullback drill`` has made, and only counted where ``spec.suspend`` keeps Flagger off it: what
Flagger drives is never a drill's."""

HOOKS = "/webhooks/flagger/"
"""By its path a hook of ours is told, followed by its type: that is our contract, and no name of a host is."""

NOT_THERE = "none"
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
        resource_version=str(metadata.get("resourceVersion", "")),
        progress_deadline=_whole(spec.get("progressDeadlineSeconds")),
        deadline_lent=_lent(annotations),
        interval=str((spec.get("analysis") or {}).get("interval") or ""),
        steps=_steps(spec.get("analysis") or {}),
        steps_listed=_lists_steps(spec.get("analysis") or {}),
        configs=_digest(status.get("trackedConfigs")),
        hooks=frozenset(_hook_types(spec.get("analysis") or {})),
        drill=suspended and annotations.get(DRILL) == "true",
        **acts.read(annotations),
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
    webhooks = [one for one in analysis.get("webhooks") or () if isinstance(one, dict)]
    # Flagger's own default for a webhook without a type.
    asked = [(str(one.get("type") or "rollout"), str(one.get("url") or "")) for one in webhooks]
    return [kind for kind, url in asked if url.partition("?")[0].endswith(HOOKS + kind)]


def _lent(annotations: Mapping[str, str]) -> LentDeadline | None:
    word = str(annotations.get(DEADLINE_LENT) or "")
    if word == NOT_THERE:
        return LentDeadline(None)
    return LentDeadline(int(word)) if word.isascii() and word.isdigit() else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) else None
