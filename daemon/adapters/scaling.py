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
                name = document["metadata"]["name"]
                found.append(PausedScaler(HORIZONTAL_POD_AUTOSCALERS.kind, name, json.dumps(behavior)))
        for document in await self._of(SCALED_OBJECTS, workload):
            annotations = document["metadata"].get("annotations") or {}
            if PAUSED_REPLICAS not in annotations and annotations.get(PAUSED, "").lower() != "true":
                found.append(PausedScaler(SCALED_OBJECTS.kind, document["metadata"]["name"], "null"))
        return tuple(found)

    async def pause(self, namespace: str, scaler: PausedScaler) -> None:
        if scaler.kind == HORIZONTAL_POD_AUTOSCALERS.kind:
            # An autoscaler rests at 0 replicas by itself, except where it may scale from zero (HPAScaleToZero).
            body: dict[str, Any] = {"spec": {"behavior": {"scaleUp": {"selectPolicy": "Disabled"}}}}
            resource = HORIZONTAL_POD_AUTOSCALERS
        else:
            body, resource = {"metadata": {"annotations": {PAUSED_REPLICAS: "0"}}}, SCALED_OBJECTS
        with contextlib.suppress(errors.Missing):
            await self._client.merge(resource, namespace, scaler.name, body)

    async def restore(self, namespace: str, scaler: PausedScaler) -> None:
        with contextlib.suppress(errors.Missing):
            if scaler.kind != HORIZONTAL_POD_AUTOSCALERS.kind:
                body = {"metadata": {"annotations": {PAUSED_REPLICAS: None}}}
                await self._client.merge(SCALED_OBJECTS, namespace, scaler.name, body)
                return
            # Not merged: what the API server has filled in beside our own word must go too.
            original = json.loads(scaler.original)
            path = "/spec/behavior"
            back = [PatchOperation("add", path, original)] if original else [PatchOperation("add", path, {}),
                                                                            PatchOperation("remove", path)]  # fmt: skip
            await self._client.patch(HORIZONTAL_POD_AUTOSCALERS, namespace, scaler.name, back)

    async def _of(self, resource: Resource, workload: Workload) -> list[dict[str, Any]]:
        try:
            items, _ = await self._client.list(resource, workload.namespace)
        except errors.Missing:
            return []  # the kind is not installed
        return [item for item in items if _targets(item, workload)]


def _targets(document: Mapping[str, Any], workload: Workload) -> bool:
    target = (document.get("spec") or {}).get("scaleTargetRef") or {}
    return bool(target.get("name") == workload.name and target.get("kind", "Deployment") == "Deployment")
