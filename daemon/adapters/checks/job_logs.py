"""The last words of a Job's pod, fit for an answer."""

import asyncio
from collections.abc import Mapping
from typing import Any

from daemon.adapters.checks.findings import ending
from daemon.adapters.evidence.redacting import Redactor, TooSlow
from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.adapters.kubernetes.resources import PODS
from daemon.model import errors

SHOWN = 200
"""Characters."""
_MOST = 8 * 1024
_LINES = 20
_PODS = 50
_REDACTING = 1.0
"""Seconds after which a text is rather not shown."""


async def tail(client: KubernetesClient, namespace: str, job: str, redactor: Redactor) -> str:
    """On one line; empty when there is none, and why not when it cannot be read: that changes no finding."""
    try:
        pods, _ = await client.list(PODS, namespace, labels=f"batch.kubernetes.io/job-name={job}", most=_PODS)
        if not pods:
            return ""
        pod = max(pods, key=lambda one: str(one["metadata"].get("creationTimestamp") or ""))
        # A kubelet counts limitBytes from the first of these lines on, so it must only stop what never ends.
        query = {"container": _container(pod), "tailLines": str(_LINES), "limitBytes": str(16 * _MOST)}
        raw, cut = await client.tail((namespace, pod["metadata"]["name"]), query, most=_MOST)
        # Where it begins in the middle of a line, half a secret could not be recognised.
        text = (raw.partition(b"\n")[2] if cut else raw).decode(errors="replace")
        until = asyncio.get_running_loop().time() + _REDACTING
        return ending(await redactor.long_text(text, until=until, headless=True), SHOWN)
    except (errors.NeighbourError, TooSlow) as error:
        return ending(f"not readable ({error})", SHOWN)


def _container(pod: Mapping[str, Any]) -> str:
    """The one that failed; else the first."""
    status = pod.get("status") or {}
    for one in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        if ((one.get("state") or {}).get("terminated") or {}).get("exitCode"):
            return str(one["name"])
    return str(pod["spec"]["containers"][0]["name"])
