"""Objects as the cluster holds them, with the one thing that a test is about given by name."""

from __future__ import annotations

import datetime
from typing import Any

Json = dict[str, Any]

BEGAN = "2026-11-23T07:00:00Z"


def canary(
    namespace: str, name: str = "podinfo", *, provider: str = "istio", annotations: dict[str, str] | None = None
) -> Json:
    return {
        "apiVersion": "flagger.app/v1beta1",
        "kind": "Canary",
        "metadata": {"namespace": namespace, "name": name, "annotations": annotations or {}},
        "spec": {
            "provider": provider,
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "service": {"name": name, "port": 80, "targetPort": 9898},
            "analysis": {"interval": "10s", "threshold": 5, "maxWeight": 50, "stepWeight": 5},
        },
    }


def canary_status(
    phase: str = "Progressing",
    *,
    revision: str = "7b8cb8dc5d",
    promoted: str = "5cdfc66d4d",
    weight: int = 10,
    began: str = BEGAN,
) -> Json:
    condition = {"Failed": "False", "Succeeded": "True", "Initialized": "True"}.get(phase, "Unknown")
    return {
        "phase": phase,
        "canaryWeight": weight,
        "failedChecks": 0,
        "iterations": 0,
        "lastAppliedSpec": revision,
        "lastPromotedSpec": promoted,
        "lastTransitionTime": began,
        "trackedConfigs": {},
        "conditions": [{"type": "Promoted", "status": condition, "reason": phase, "message": "as recorded",
                        "lastTransitionTime": began, "lastUpdateTime": began}],
    }  # fmt: skip


def virtual_service(namespace: str, name: str = "podinfo", *, canary_weight: int = 10) -> Json:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"namespace": namespace, "name": name, "ownerReferences": [made_by_flagger(name)]},
        "spec": {
            "gateways": ["mesh"],
            "hosts": [name],
            "http": [
                {
                    "route": [
                        {"destination": {"host": f"{name}-primary"}, "weight": 100 - canary_weight},
                        {"destination": {"host": f"{name}-canary"}, "weight": canary_weight},
                    ]
                }
            ],
        },
    }


def made_by_flagger(name: str) -> Json:
    """Flagger owns the routes that it makes; whose uid that is, only the garbage collector asks."""
    return {
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary", "name": name, "controller": True,
        "blockOwnerDeletion": True, "uid": "5e3fa0b2-7c58-4a43-b8b6-1f2c6f9ad0c4",
    }  # fmt: skip


def deployment(namespace: str, name: str = "podinfo", *, version: str = "v2", replicas: int = 2) -> Json:
    labels = {"app": name, "version": version}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "app", "image": f"registry.example:5000/{name}:{version}"}]},
            },
        },
    }


def alert(
    namespace: str,
    name: str = "podinfo",
    *,
    status: str = "firing",
    severity: str = "critical",
    starts_at: str | None = None,
    fingerprint: str = "a790beef2dcf050a",
    alertname: str = "CanaryHighErrorRate",
    **labels: str,
) -> Json:
    now = datetime.datetime.now(datetime.UTC)
    ends = "0001-01-01T00:00:00Z" if status == "firing" else now.isoformat()
    return {
        "status": status,
        "labels": {"alertname": alertname, "severity": severity, "namespace": namespace, "canary": name, **labels},
        "annotations": {"summary": f"{name} fails", "value": "5%", "threshold": "0.5%"},
        "startsAt": starts_at or now.isoformat(),
        "endsAt": ends,
        "generatorURL": "http://prometheus.example/graph",
        "fingerprint": fingerprint,
    }


def webhook(*alerts: Any, truncated: int = 0) -> Json:
    firing = any(one.get("status") == "firing" for one in alerts if isinstance(one, dict))
    return {
        "receiver": "pullback",
        "status": "firing" if firing else "resolved",
        "alerts": list(alerts),
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example",
        "version": "4",
        "groupKey": '{}:{alertname="CanaryHighErrorRate"}',
        "truncatedAlerts": truncated,
    }


def hook(namespace: str, name: str = "podinfo", *, checksum: str = "58b65dd85", phase: str = "Progressing") -> Json:
    return {"name": name, "namespace": namespace, "phase": phase, "checksum": checksum}
