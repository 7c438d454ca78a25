"""The /scale subresource of Deployments and ReplicaSets."""

from __future__ import annotations

from typing import Any

from daemon.sandbox.kubernetes_api.statuses import JsonObject, bad_request, cause, invalid
from daemon.sandbox.kubernetes_api.storage import Stored

FIELDS = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def scale_of(stored: Stored) -> JsonObject:
    value = stored.value
    spec, status = value.get("spec", {}), value.get("status", {})
    labels = spec.get("selector", {}).get("matchLabels", {})
    selector = ",".join(f"{k}={v}" for k, v in sorted(labels.items()))
    wanted = spec.get("replicas", 0)
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {f: value["metadata"][f] for f in FIELDS if f in value["metadata"]},
        # Zero is left out on the wire, as Go's omitempty does.
        "spec": {"replicas": wanted} if wanted else {},
        "status": {"replicas": status.get("replicas", 0)} | ({"selector": selector} if selector else {}),
    }


def rescaled(old: Stored, scale: Any) -> JsonObject:
    """The whole object with the replicas the Scale asks for."""
    if not isinstance(scale, dict) or scale.get("kind", "Scale") != "Scale":
        raise bad_request("the object provided is not a Scale")
    replicas = (scale.get("spec") or {}).get("replicas") or 0
    given = scale.get("metadata") or {}
    name = given.get("name", old.value["metadata"]["name"])
    if isinstance(replicas, bool) or not isinstance(replicas, int) or replicas < 0:
        why = f"Invalid value: {replicas}: must be greater than or equal to 0"
        raise invalid("autoscaling", "Scale", name, [cause("spec.replicas", "FieldValueInvalid", why)])
    value = old.copied()
    value.setdefault("spec", {})["replicas"] = replicas
    for field in ("name", "namespace", "uid", "resourceVersion"):
        if given.get(field):
            value["metadata"][field] = given[field]
    return value
