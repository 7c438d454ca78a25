"""The drill's own canary: objects that get nobody's traffic, and that a real Flagger leaves alone. Pure."""

import datetime
from typing import Any

from daemon.adapters import flagger
from daemon.adapters.kubernetes.resources import CANARIES, DEPLOYMENTS, Resource
from daemon.model import drill
from daemon.model.rules import LabelNames

NAME = "pullback-drill"
"""Always the same: two drills in one namespace meet, permissions can name it, and its records are pruned as those of
any other canary."""

LABEL = "pullback.dev/drill"
"""By which leftovers of an earlier drill are found."""

UNTIL = "pullback.dev/drill-until"
"""On the Canary: from when on it is a leftover, whoever made it."""

ID = "pullback.dev/drill-id"
"""Which drill made it."""

WEIGHT = 50
_IMAGE = "registry.k8s.io/pause:3.10"
_NONE_BEFORE = "none-before"

Json = dict[str, Any]


def _metadata(namespace: str, identity: str, **annotations: str) -> Json:
    labels = {LABEL: "true", "app.kubernetes.io/managed-by": "pullback"}
    return {"namespace": namespace, "name": NAME, "labels": labels,
            "annotations": {ID: identity, **annotations}}  # fmt: skip


def deployment(namespace: str, identity: str) -> Json:
    """No pods: there is nobody to serve. The template never changes, so that one CanaryRevision tells of all drills."""
    selector = {"app": NAME}
    security = {
        "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }  # fmt: skip
    return {
        "apiVersion": DEPLOYMENTS.api_version,
        "kind": DEPLOYMENTS.kind,
        "metadata": _metadata(namespace, identity),
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": selector},
            "template": {
                "metadata": {"labels": selector},
                "spec": {"containers": [{"name": "nothing", "image": _IMAGE, "securityContext": security}]},
            },
        },
    }


def virtual_service(namespace: str, identity: str, served: Resource) -> Json:
    """A host that no name server can have (RFC 2606), for this namespace only."""
    shares = [("primary", 100 - WEIGHT), ("canary", WEIGHT)]
    route = [{"destination": {"host": f"{NAME}-{side}"}, "weight": weight} for side, weight in shares]
    return {
        "apiVersion": served.api_version,
        "kind": served.kind,
        "metadata": _metadata(namespace, identity),
        "spec": {"hosts": [f"{NAME}.{namespace}.invalid"], "exportTo": ["."], "http": [{"route": route}]},
    }


def canary(namespace: str, identity: str, until: str) -> Json:
    return {
        "apiVersion": CANARIES.api_version,
        "kind": CANARIES.kind,
        "metadata": _metadata(namespace, identity, **{flagger.DRILL: "true", UNTIL: until}),
        "spec": {
            # Flagger skips it right after reading it, and neither moves a weight nor makes a Service.
            "suspend": True,
            "provider": "istio",
            "targetRef": {"apiVersion": DEPLOYMENTS.api_version, "kind": DEPLOYMENTS.kind, "name": NAME},
            "service": {"port": 80},
            "analysis": {"interval": "1m", "threshold": 1, "maxWeight": WEIGHT, "stepWeight": WEIGHT},
        },
    }


def status(phase: str, revision: str, now: datetime.datetime) -> Json:
    """As Flagger would have written it."""
    at = now.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    condition = {
        "type": "Promoted", "status": "False" if phase == "Failed" else "Unknown", "reason": phase,
        "message": "pullback drill", "lastTransitionTime": at, "lastUpdateTime": at,
    }  # fmt: skip
    return {
        "phase": phase, "canaryWeight": 0 if phase == "Failed" else WEIGHT, "failedChecks": 0, "iterations": 0,
        "lastAppliedSpec": revision, "lastPromotedSpec": _NONE_BEFORE, "lastTransitionTime": at, "trackedConfigs": {},
        "conditions": [condition],
    }  # fmt: skip


def share(route: Json) -> float:
    """Percent that the drill's VirtualService gives its canary."""
    shares = route["spec"]["http"][0]["route"]
    return float(sum(one.get("weight", 100) for one in shares if one["destination"]["host"] == f"{NAME}-canary"))


def identity(now: datetime.datetime) -> str:
    """Of one drill; also the revision of its canary."""
    return f"d{int(now.timestamp() * 1000):x}"


def labels(namespace: str, name: str, identity: str, names: LabelNames, *, shadow: bool) -> dict[str, str]:
    """Of the alert. The names are those of the configuration, and those of the shipped route."""
    found = {
        "alertname": drill.ALERTNAME, "severity": "critical", "namespace": namespace, "canary": name,
        names.namespace[0]: namespace, names.canary[0]: name, drill.ID_LABEL: identity,
    }  # fmt: skip
    if shadow:
        return found | {drill.MODE_LABEL: drill.SHADOW}
    # By these the shipped route groups: no drill waits for the flush of the one before. A real canary's are not named,
    # lest the drill inhibit warnings about it.
    return found | {"workload": name, "version": identity}
