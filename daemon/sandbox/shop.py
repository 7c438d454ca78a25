"""The shop of the demo: one Flagger canary, `podinfo` in the namespace `shop`, as its owner would have written it."""

from __future__ import annotations

from typing import Any

from daemon.sandbox.prometheus import Workload

NAMESPACE = "shop"
NAME = "podinfo"
STABLE, CANARY = f"{NAME}-primary", f"{NAME}-canary"
"""Flagger's names for the two services, and so for Envoy's two clusters."""
OLD, NEW = "v1", "v2"
WEIGHT = 10
"""Percent of the traffic that the canary gets before it begins to fail."""
HOOKS = ("confirm-rollout", "pre-rollout", "confirm-traffic-increase", "confirm-promotion", "rollback", "event")
WORKLOADS = (
    Workload(STABLE, NAMESPACE, STABLE, STABLE, OLD),
    Workload(CANARY, NAMESPACE, NAME, CANARY, NEW),
)

Json = dict[str, Any]


def template(version: str) -> Json:
    return {
        "metadata": {"labels": {"app": NAME, "version": version}},
        "spec": {"containers": [{"name": NAME, "image": f"registry.example/{NAME}:{version}"}]},
    }


def deployment(version: str) -> Json:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"namespace": NAMESPACE, "name": NAME},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": NAME}},
            "template": template(version),
        },
    }


def canary(daemon_url: str, password: str) -> Json:
    # As the README tells it: the password in the URL, the only header that Flagger can send.
    hooks = daemon_url.replace("http://", f"http://pullback:{password}@") + "/webhooks/flagger"
    return {
        "apiVersion": "flagger.app/v1beta1",
        "kind": "Canary",
        "metadata": {"namespace": NAMESPACE, "name": NAME},
        "spec": {
            "provider": "istio",
            "progressDeadlineSeconds": 600,
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME},
            "service": {"port": 80, "targetPort": 9898},
            "analysis": {
                "interval": "10s",
                "threshold": 5,
                "maxWeight": 50,
                "stepWeight": WEIGHT,
                "webhooks": [{"name": f"pullback-{kind}", "type": kind, "url": f"{hooks}/{kind}"} for kind in HOOKS],
            },
        },
    }


def first_route() -> Json:
    """Until Flagger makes the VirtualService, everything goes to the first version."""
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"namespace": NAMESPACE, "name": NAME},
        "spec": {"hosts": [NAME], "http": [{"route": [{"destination": {"host": STABLE}, "weight": 100}]}]},
    }


def notification(starts_at: str) -> Json:
    """What Alertmanager would send, where there is none: its shape, and the labels of the shipped rule."""
    labels = {
        "alertname": "CanaryHighErrorRate",
        "severity": "critical",
        "namespace": NAMESPACE,
        "workload": NAME,
        "version": NEW,
    }
    alert = {
        "status": "firing",
        "labels": labels,
        "annotations": {"summary": "posted by the demo itself (--no-alerting)"},
        "startsAt": starts_at,
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "",
        "fingerprint": "00000000000000d0",
    }
    return {
        "receiver": "pullback",
        "status": "firing",
        "alerts": [alert],
        "groupLabels": {},
        "commonLabels": labels,
        "commonAnnotations": {},
        "externalURL": "",
        "version": "4",
        "groupKey": "{}:{}",
        "truncatedAlerts": 0,
    }
