"""Scales workloads, and pauses what would scale them up again: HorizontalPodAutoscalers, and KEDA's ScaledObjects."""

import contextlib
import json
from collections.abc import Mapping
from typing import Any

from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.adapters.kubernetes.resources import (
    DEPLOYMENTS,
    HORIZONTAL_POD_AUTOSCALERS,
    SCALED_OBJECTS,
    Resource,
)
from daemon.model import errors
from daemon.model.canary import Workload
from daemon.model.cleanup import PausedScaler
from daemon.model.route import PatchOperation

PAUSED_REPLICAS = "autoscaling.keda.sh/paused-replicas"
"""KEDA keeps the workload at this number and looks at no trigger (KEDA documentation, "Pause autoscaling")."""
PAUSED = "autoscaling.keda.sh/paused"
LENT = "pullback.dev/paused-scaler"
"""Ours, on what we have paused, in the same write: JSON of what to put back. Our record may be deleted."""


def _escaped(key: str) -> str:
    return key.replace("/", "~1")


_NOTE = f"/metadata/annotations/{_escaped(LENT)}"


class KubernetesWorkloads:
    """Keeps ``ports.Workloads``. Raises the NeighbourError family."""

    def __init__(self, client: KubernetesClient) -> None:
        self._client = client

    async def scale(self, workload: Workload, replicas: int) -> None:
        body = {"metadata": {"resourceVersion": workload.resource_version}, "spec": {"replicas": replicas}}
        await self._client.merge(DEPLOYMENTS, workload.namespace, workload.name, body, subresource="scale")

    async def scalers(self, workload: Workload) -> tuple[PausedScaler, ...]:
        found = []
        for document in await self._of(HORIZONTAL_POD_AUTOSCALERS, workload):
            behavior = (document.get("spec") or {}).get("behavior")
            if ((behavior or {}).get("scaleUp") or {}).get("selectPolicy") != "Disabled":
                found.append(_lent(HORIZONTAL_POD_AUTOSCALERS, document, json.dumps(behavior)))
        for document in await self._of(SCALED_OBJECTS, workload):
            annotations = _annotations(document)
            if PAUSED_REPLICAS not in annotations and annotations.get(PAUSED, "").lower() != "true":
                found.append(_lent(SCALED_OBJECTS, document, "null"))
        return tuple(found)

    async def paused(self, workload: Workload) -> tuple[PausedScaler, ...]:
        found = []
        for resource in (HORIZONTAL_POD_AUTOSCALERS, SCALED_OBJECTS):
            for document in await self._of(resource, workload):
                word = _annotations(document).get(LENT)
                if word is not None:
                    found.append(_lent(resource, document, word))
        return tuple(found)

    async def pause(self, scaler: PausedScaler) -> None:
        annotations = {LENT: scaler.original}
        body: dict[str, Any] = {"metadata": {"annotations": annotations}}
        if scaler.kind == HORIZONTAL_POD_AUTOSCALERS.kind:
            # An autoscaler rests at 0 replicas by itself, except where it may scale from zero (HPAScaleToZero).
            body["spec"] = {"behavior": {"scaleUp": {"selectPolicy": "Disabled"}}}
        else:
            annotations[PAUSED_REPLICAS] = "0"
        with contextlib.suppress(errors.Missing):
            await self._client.merge(_resource(scaler), scaler.namespace, scaler.name, body)

    async def restore(self, scaler: PausedScaler) -> None:
        """What stands on the autoscaler itself is put back. Without that note nothing of ours is left there."""
        resource = _resource(scaler)
        with contextlib.suppress(errors.Missing):
            found, _ = await self._client.list(resource, scaler.namespace, fields=f"metadata.name={scaler.name}")
            word = _annotations(found[0]).get(LENT) if found else None
            if word is None:
                return
            back = [PatchOperation("test", _NOTE, word), PatchOperation("remove", _NOTE)]
            if resource is HORIZONTAL_POD_AUTOSCALERS:
                # Not merged: what the API server has filled in beside our own word must go too.
                back += _written("/spec/behavior", _read(word))
            else:
                back += _written(f"/metadata/annotations/{_escaped(PAUSED_REPLICAS)}", None)
            await self._client.patch(resource, scaler.namespace, scaler.name, back)

    async def _of(self, resource: Resource, workload: Workload) -> list[dict[str, Any]]:
        try:
            items, _ = await self._client.list(resource, workload.namespace)
        except errors.Missing:
            return []  # the kind is not installed
        return [item for item in items if _targets(item, workload)]


def _targets(document: Mapping[str, Any], workload: Workload) -> bool:
    target = (document.get("spec") or {}).get("scaleTargetRef") or {}
    return bool(target.get("name") == workload.name and target.get("kind", "Deployment") == "Deployment")


def _lent(resource: Resource, document: Mapping[str, Any], original: str) -> PausedScaler:
    metadata = document["metadata"]
    return PausedScaler(resource.kind, metadata["namespace"], metadata["name"], original)


def _annotations(document: Mapping[str, Any]) -> Mapping[str, str]:
    return document["metadata"].get("annotations") or {}


def _resource(scaler: PausedScaler) -> Resource:
    return HORIZONTAL_POD_AUTOSCALERS if scaler.kind == HORIZONTAL_POD_AUTOSCALERS.kind else SCALED_OBJECTS


def _read(word: str) -> Any:
    """The note stands where anybody may write: unreadable is nothing to put back."""
    try:
        return json.loads(word)
    except ValueError:
        return None


def _written(path: str, value: Any) -> list[PatchOperation]:
    """Whatever is there now; nothing to put back takes it away."""
    if value:
        return [PatchOperation("add", path, value)]
    return [PatchOperation("add", path, ""), PatchOperation("remove", path)]
