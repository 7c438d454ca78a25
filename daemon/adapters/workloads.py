"""Deployments, cut down to what correlation, proof and cleanup need: a cluster has thousands, and we watch them all."""

import datetime
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from daemon.adapters import times
from daemon.model.canary import Workload

REVISION_NUMBER = "deployment.kubernetes.io/revision"
"""Written by the Deployment controller: what ``kubectl rollout undo --to-revision`` takes."""


def read_workload(document: Mapping[str, Any]) -> Workload:
    """A Deployment from its JSON."""
    metadata = document["metadata"]
    spec = document.get("spec") or {}
    status = document.get("status") or {}
    template = spec.get("template") or {}
    pod = template.get("spec") or {}
    replicas = spec.get("replicas")
    return Workload(
        namespace=metadata.get("namespace", ""),
        name=metadata["name"],
        labels=dict((template.get("metadata") or {}).get("labels") or {}),
        images=_images(pod, "containers"),
        replicas=1 if replicas is None else int(replicas),
        ready_replicas=int(status.get("readyReplicas") or 0),
        generation=int(metadata.get("generation") or 0),
        template=_hash(template),
        resource_version=str(metadata.get("resourceVersion", "")),
        revision_number=str((metadata.get("annotations") or {}).get(REVISION_NUMBER) or ""),
        observed=bool(status.get("observedGeneration")),
        template_since=template_since(metadata),
        init_images=_images(pod, "initContainers"),
    )


def _images(pod: Mapping[str, Any], part: str) -> tuple[str, ...]:
    return tuple(str(container.get("image") or "") for container in pod.get(part) or ())


def template_since(metadata: Mapping[str, Any]) -> datetime.datetime | None:
    """The latest write by anybody who owns a part of the template; the creation where nobody is known to."""
    times_ = [
        times.read(entry.get("time"))
        for entry in metadata.get("managedFields") or ()
        if not entry.get("subresource") and "f:template" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
    ]
    return max((one for one in times_ if one), default=times.read(metadata.get("creationTimestamp")))


def _hash(template: Mapping[str, Any]) -> str:
    written = json.dumps(template, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(written.encode()).hexdigest()[:16]
