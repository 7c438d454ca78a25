"""The two Deployments behind a canary, the way Flagger makes, judges, scales and promotes them.

The judgement is the trap worth having in a sandbox: a Deployment scaled to 0 counts as ready, and a
canary that is not ready ends the tick before any hook is asked.
"""

from __future__ import annotations

import asyncio
import copy
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta

from daemon.sandbox.flagger.api import Api, ApiError, HaltedError, Json, deployment, namespaced, version_of
from daemon.sandbox.flagger.canary import Canary
from daemon.sandbox.flagger.timeline import DEPLOY, OWN_ANNOTATIONS, Timeline, deployment_text

SELECTOR_LABELS = ("app", "name", "app.kubernetes.io/name")
FLUX = "toolkit.fluxcd.io"

_PROMOTE_ATTEMPTS = 5
_PROMOTE_PAUSE = 0.01


class NotReadyError(Exception):
    """A Deployment is not ready; ``hopeless`` when its deadline has passed."""

    def __init__(self, message: str, *, hopeless: bool) -> None:
        super().__init__(message)
        self.hopeless = hopeless


class Deployments:
    """Reads and writes the target and the primary."""

    def __init__(self, api: Api, timeline: Timeline, *, second: float, now: Callable[[], datetime]) -> None:
        self._api = api
        self._timeline = timeline
        self._second = second
        self._now = now

    async def template(self, canary: Canary) -> Json:
        template: Json = (await self._get(canary, canary.target))["spec"]["template"]
        return template

    async def selector(self, canary: Canary) -> tuple[str, str]:
        """The label that selects the target's pods, and its value."""
        return _selector(await self._get(canary, canary.target))

    async def ensure_primary(self, canary: Canary) -> None:
        """Makes the primary, a copy of the target, when there is none."""
        target = await self._get(canary, canary.target)
        if await self._api.find(deployment(canary.namespace, canary.primary)) is not None:
            return
        label, value = _selector(target)
        spec = copy.deepcopy(target["spec"])
        spec["replicas"] = spec.get("replicas") or 1
        spec["selector"] = {"matchLabels": {label: f"{value}-primary"}}
        spec["template"] = _primary_template(target, label, f"{value}-primary")
        annotations = {
            key: text
            for key, text in (target["metadata"].get("annotations") or {}).items()
            if FLUX not in key
        }
        body = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {
                "name": canary.primary,
                "namespace": canary.namespace,
                "labels": {label: f"{value}-primary"},
                "annotations": annotations,
                "ownerReferences": [canary.owner],
            },
            "spec": spec,
        }
        try:
            created = await self._api.create(deployment(canary.namespace), body)
        except ApiError as error:
            raise HaltedError(
                f"createPrimaryDeployment failed: creating deployment {canary.primary}.{canary.namespace}"
                f" failed: {error}"
            ) from error
        self._timeline.add(canary.key, DEPLOY, deployment_text(created))

    async def ensure_services(self, canary: Canary, names: dict[str, str]) -> None:
        """Makes the Services that do not exist: name to suffix of the pods' label value."""
        label, value = await self.selector(canary)
        port = int(canary.service.get("port", 80))
        for name, suffix in names.items():
            if await self._api.find(namespaced("", "v1", canary.namespace, "services", name)) is not None:
                continue
            body = {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {
                    "name": name,
                    "namespace": canary.namespace,
                    "labels": {label: name},
                    "annotations": dict(OWN_ANNOTATIONS),
                    "ownerReferences": [canary.owner],
                },
                "spec": {
                    "type": "ClusterIP",
                    "selector": {label: value + suffix},
                    "ports": [
                        {
                            "name": canary.service.get("portName") or "http",
                            "protocol": "TCP",
                            "port": port,
                            "targetPort": canary.service.get("targetPort", port),
                        }
                    ],
                },
            }
            try:
                await self._api.create(namespaced("", "v1", canary.namespace, "services"), body)
            except ApiError as error:
                raise HaltedError(f"service {name}.{canary.namespace} create error: {error}") from error

    async def check_primary(self, canary: Canary) -> None:
        """Raises NotReadyError. A primary at 0 passes: Flagger's check for it compares two pointers."""
        found = await self._get(canary, canary.primary)
        reason = self._verdict(found, canary.deadline, canary.ready_threshold("primary"))
        if reason is not None:
            text, hopeless = reason
            raise NotReadyError(f"{canary.primary}.{canary.namespace} not ready: {text}", hopeless=hopeless)

    async def check_canary(self, canary: Canary) -> None:
        found = await self._get(canary, canary.target)
        reason = self._verdict(found, canary.deadline, canary.ready_threshold("canary"))
        if reason is not None:
            text, hopeless = reason
            raise NotReadyError(
                f"canary deployment {canary.target_full_name} not ready: {text}", hopeless=hopeless
            )

    async def scale_to_zero(self, canary: Canary) -> None:
        found = await self._get(canary, canary.target)
        await self._scale(canary, found, 0)

    async def scale_from_zero(self, canary: Canary) -> None:
        """Up to what the target asks for itself, else to as many as the primary has."""
        found = await self._get(canary, canary.target)
        replicas = int(found["spec"].get("replicas", 1))
        if replicas == 0:
            replicas = 1
            if not canary.scaled_by_others:
                primary = await self._get(canary, canary.primary)
                replicas = int(primary["spec"].get("replicas", 1)) or 1
        await self._scale(canary, found, replicas)

    async def promote(self, canary: Canary) -> None:
        """Copies the target's template into the primary, and its replicas with it: 0 replicas included."""
        for attempt in range(_PROMOTE_ATTEMPTS):
            target = await self._get(canary, canary.target)
            primary = await self._get(canary, canary.primary)
            label, value = _selector(target)
            body = copy.deepcopy(primary)
            for option in ("progressDeadlineSeconds", "minReadySeconds", "revisionHistoryLimit", "strategy"):
                if option in target["spec"]:
                    body["spec"][option] = target["spec"][option]
            if not canary.scaled_by_others:
                body["spec"]["replicas"] = target["spec"].get("replicas", 1)
            body["spec"]["template"] = _primary_template(target, label, f"{value}-primary")
            body["metadata"]["annotations"] = {}
            body["metadata"]["labels"] = {label: f"{value}-primary"}
            try:
                stored = await self._api.replace(deployment(canary.namespace, canary.primary), body)
            except ApiError as error:
                if error.conflict and attempt + 1 < _PROMOTE_ATTEMPTS:
                    await asyncio.sleep(_PROMOTE_PAUSE)
                    continue
                raise HaltedError(
                    f"updating deployment {canary.primary}.{canary.namespace} template spec failed: {error}"
                ) from error
            self._timeline.add(canary.key, DEPLOY, deployment_text(stored))
            return

    def _verdict(self, found: Json, deadline: int, threshold: int) -> tuple[str, bool] | None:
        return verdict(found, timedelta(seconds=deadline * self._second), threshold, self._now())

    async def _scale(self, canary: Canary, found: Json, replicas: int) -> None:
        name = str(found["metadata"]["name"])
        try:
            stored = await self._api.merge(
                deployment(canary.namespace, name), {"spec": {"replicas": replicas}}
            )
        except ApiError as error:
            raise HaltedError(f"deployment {name}.{canary.namespace} patch query error: {error}") from error
        if version_of(stored) != version_of(found):
            self._timeline.add(canary.key, DEPLOY, deployment_text(stored))

    async def _get(self, canary: Canary, name: str) -> Json:
        try:
            return await self._api.get(deployment(canary.namespace, name))
        except ApiError as error:
            raise HaltedError(f"deployment {name}.{canary.namespace} get query error: {error}") from error


def verdict(found: Json, deadline: timedelta, threshold: int, now: datetime) -> tuple[str, bool] | None:
    """Why a Deployment is not ready and whether that is hopeless, or None when it is ready."""
    status = found.get("status") or {}
    if int(found["metadata"].get("generation", 0)) > int(status.get("observedGeneration", 0)):
        return (
            "waiting for rollout to finish: observed deployment generation less than desired generation",
            False,
        )
    conditions = {condition["type"]: condition for condition in status.get("conditions") or ()}
    if (conditions.get("Progressing") or {}).get("reason") == "ProgressDeadlineExceeded":
        return f'deployment "{found["metadata"]["name"]}" exceeded its progress deadline', True
    hopeless = "Progressing" in conditions and _too_late(conditions.get("Available") or {}, deadline, now)
    wanted = int(found["spec"].get("replicas", 1))
    updated = int(status.get("updatedReplicas", 0))
    pods = int(status.get("replicas", 0))
    available = int(status.get("availableReplicas", 0))
    needed = int(updated * threshold / 100)
    if updated < wanted:
        text = f"{updated} out of {wanted} new replicas have been updated"
    elif pods > updated:
        text = f"{pods - updated} old replicas are pending termination"
    elif available < needed:
        text = f"{available} of {needed} (readyThreshold {threshold}%) updated replicas are available"
    else:
        return None
    return f"waiting for rollout to finish: {text}", hopeless


def _too_late(available: Json, deadline: timedelta, now: datetime) -> bool:
    if available.get("status") != "False" or available.get("reason") != "MinimumReplicasUnavailable":
        return False
    return datetime.fromisoformat(available["lastUpdateTime"]) + deadline < now


def _selector(found: Json) -> tuple[str, str]:
    labels = (found["spec"].get("selector") or {}).get("matchLabels") or {}
    for label in SELECTOR_LABELS:
        if label in labels:
            return label, str(labels[label])
    metadata = found["metadata"]
    raise HaltedError(
        f"deployment {metadata['name']}.{metadata['namespace']} spec.selector.matchLabels must contain one of"
        f" [{' '.join(SELECTOR_LABELS)}]"
    )


def _primary_template(target: Json, label: str, value: str) -> Json:
    template: Json = copy.deepcopy(target["spec"]["template"])
    metadata = template.setdefault("metadata", {})
    metadata["labels"] = {**(metadata.get("labels") or {}), label: value}
    # A new id each time makes sure that the primary rolls, even when the template is the old one.
    metadata["annotations"] = {**(metadata.get("annotations") or {}), "flagger-id": str(uuid.uuid4())}
    return template
