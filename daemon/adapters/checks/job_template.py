"""The Job that is made of a template: whose it is, what it is told, and how long it may run and stay."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Protocol

import yaml

from daemon.adapters.checks.filling import fill_known
from daemon.adapters.kubernetes.resources import JOBS
from daemon.model.checking import Subject

OWNER = "pullback.dev/release"
"""Annotation: ``<canary>/<template hash>``, by which a Job of ours is known."""
CHECK = "pullback.dev/check"
MANAGED_BY = {"app.kubernetes.io/managed-by": "pullback"}

_TEMPLATE_MOST = 64 * 1024
"""Characters: PyYAML reads some hundred KB a second."""
_STAYS = 60
"""Seconds that a Job which has ended is there at least. Whoever waits for it looks every few seconds."""
_NAME_MOST = 63
"""Of a Job: its pods carry the name as a label."""


class Times(Protocol):
    """Seconds."""

    @property
    def timeout(self) -> float: ...

    @property
    def keep(self) -> float: ...


def name_of(check: str, subject: Subject, *, per_weight: bool) -> str:
    """The same for the same check of the same release of the same canary, and for nothing else. What is made at every
    weight is made anew when the release is analysed anew: the load of the first time is no load of the second."""
    again = f" {subject.run}" if subject.run > 1 else ""
    weight = f"{subject.weight:g}{again}" if per_weight else ""
    # The ConfigMaps and Secrets that it runs with belong to a release; which, Flagger says once it is being analysed.
    release = f"{subject.template} {subject.canary.configs}".rstrip()
    whole = "\n".join((subject.canary.uid, str(subject.canary.ref), check, release, weight))
    digest = hashlib.sha256(whole.encode()).hexdigest()[:12]
    head = re.sub(r"[^a-z0-9-]+", "-", f"{subject.canary.ref.name}-{check}".lower())
    return f"{head[: _NAME_MOST - 13].strip('-') or 'check'}-{digest}"


def manifest(
    template: str, name: str, check: str, subject: Subject, limits: Times, known: Mapping[str, str]
) -> dict[str, Any]:
    """The Job to create. Raises ValueError saying what is wrong with the template."""
    document = fill_known(_parsed(template), known)
    metadata = _mapping(document, "metadata")
    spec = _mapping(document, "spec")
    pod = _mapping(_mapping(spec, "template"), "spec")
    # At once, and not as often as the template's author forgot to say.
    pod.setdefault("restartPolicy", "Never")
    spec.setdefault("backoffLimit", 0)
    stays = spec.get("ttlSecondsAfterFinished", round(limits.keep))
    spec["ttlSecondsAfterFinished"] = max(stays, _STAYS) if isinstance(stays, int) else stays
    own = spec.get("activeDeadlineSeconds")
    deadline = max(1, round(limits.timeout))
    spec["activeDeadlineSeconds"] = min(own, deadline) if isinstance(own, int) else deadline
    for part in ("initContainers", "containers"):
        for container in pod.get(part) or ():
            _tell(container, _environment(subject))
    labels = {**(metadata.get("labels") or {}), **MANAGED_BY}
    annotations = {
        **(metadata.get("annotations") or {}),
        OWNER: f"{subject.canary.ref.name}/{subject.template}",
        CHECK: check,
    }
    made = {"namespace": subject.canary.ref.namespace, "name": name, "labels": labels, "annotations": annotations}
    owner = _owner(subject)
    found = {
        "apiVersion": JOBS.api_version,
        "kind": JOBS.kind,
        "metadata": {**made, "ownerReferences": [owner]} if owner else made,
        "spec": spec,
    }
    _check_json(found)
    return found


def _parsed(template: str) -> dict[str, Any]:
    if len(template) > _TEMPLATE_MOST:
        raise ValueError(f"expected at most {_TEMPLATE_MOST} characters, got {len(template)}")
    try:
        # Filled in after parsing: no value can add a line.
        document = yaml.safe_load(template)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"not YAML: {' '.join(str(error).split())[:200]}") from error
    kind = document.get("kind") if isinstance(document, dict) else type(document).__name__
    if not isinstance(document, dict) or document.get("apiVersion") != JOBS.api_version or kind != JOBS.kind:
        raise ValueError(f"expected one {JOBS.kind} of {JOBS.api_version}, got {kind}")
    return document


def _check_json(document: Any) -> None:
    try:
        json.dumps(document, allow_nan=False)
    except TypeError as error:
        # YAML has dates, and sets, and keys that are no texts.
        raise ValueError(f"expected what JSON can say, with dates in quotes: {error}") from error


def _mapping(document: dict[str, Any], key: str) -> dict[str, Any]:
    value = document.setdefault(key, {})
    if not isinstance(value, dict):
        raise ValueError(f"{key}: expected an object")  # noqa: TRY004 - of the file's content
    return value


def _environment(subject: Subject) -> dict[str, str]:
    told = {
        "PULLBACK_NAMESPACE": subject.canary.ref.namespace,
        "PULLBACK_NAME": subject.canary.ref.name,
        "PULLBACK_REVISION": subject.canary.revision,
        "PULLBACK_TEMPLATE": subject.template,
        "PULLBACK_IMAGES": " ".join(subject.images),
        "PULLBACK_WEIGHT": f"{subject.weight:g}",
    }
    # Kubernetes expands $(NAME) in values, and $$ is how it is kept from doing so.
    return {name: value.replace("$", "$$") for name, value in told.items()}


def _tell(container: Any, told: Mapping[str, str]) -> None:
    if not isinstance(container, dict) or not isinstance(container.get("env") or [], list):
        problem = "containers: expected objects whose env is a list"
        raise ValueError(problem)  # noqa: TRY004 - of the file's content
    others = [one for one in container.get("env") or () if not (isinstance(one, dict) and one.get("name") in told)]
    container["env"] = [*others, *({"name": name, "value": value} for name, value in told.items())]


def _owner(subject: Subject) -> dict[str, Any] | None:
    """With the canary goes the Job."""
    canary = subject.canary
    if not canary.uid:
        return None
    return {
        "apiVersion": canary.object_kind.api_version,
        "kind": canary.object_kind.kind,
        "name": canary.ref.name,
        "uid": canary.uid,
    }
