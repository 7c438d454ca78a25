"""What became of a drill's alert that led to no record, said as a Kubernetes Event beside the canary it names.

Whoever runs the drill sees the API server, not this daemon; and to tell "no webhook came" from "one came, and was
ignored" is half of what a drill is for.
"""

import datetime
import hashlib
from collections.abc import Mapping
from typing import Any

from daemon.adapters import text
from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.adapters.kubernetes.resources import CANARIES, EVENTS
from daemon.model import drill, errors
from daemon.model.decision import Decision
from daemon.model.signal import Alert

REASON = "DrillIgnored"
ID = "pullback.dev/drill-id"
WHY = "pullback.dev/drill-reason"
COMPONENT = "pullback"
_MESSAGE_MOST = 1000
_ID_MOST = 63


class KubernetesDrillLog:
    """Keeps ``workflow.drilling.DrillLog``."""

    def __init__(self, client: KubernetesClient) -> None:
        self._client = client

    async def ignored(self, alert: Alert, decision: Decision, at: datetime.datetime) -> None:
        event = _event(alert, decision, at)
        try:
            await self._client.create(EVENTS, event["metadata"]["namespace"], event)
        except errors.AlreadyThere:
            return


def reason_of(event: Mapping[str, Any], identity: str) -> str:
    """The reason and its detail, if the event speaks of this drill; else nothing."""
    annotations = event["metadata"].get("annotations") or {}
    return str(event.get("message") or "") if annotations.get(ID) == identity else ""


def _event(alert: Alert, decision: Decision, at: datetime.datetime) -> dict[str, Any]:
    namespace, name = alert.labels.get("namespace", ""), alert.labels.get("canary", "")
    digest = hashlib.sha256(f"{alert.key} {decision.reason}".encode()).hexdigest()[:16]
    moment = at.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": EVENTS.api_version,
        "kind": EVENTS.kind,
        "metadata": {
            "name": f"{name[:200]}.{digest}",
            "namespace": namespace,
            "annotations": {ID: alert.labels.get(drill.ID_LABEL, "")[:_ID_MOST], WHY: decision.reason.value},
        },
        "involvedObject": {
            "apiVersion": CANARIES.api_version, "kind": CANARIES.kind, "namespace": namespace, "name": name,
        },
        "reason": REASON,
        "message": text.cut(text.line(f"{decision.reason}: {decision.detail}"), _MESSAGE_MOST),
        "type": "Normal",
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": COMPONENT,
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }  # fmt: skip
