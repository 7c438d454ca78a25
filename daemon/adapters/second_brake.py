"""Pointing a canary's Service at the stable pods, and back; or taking the canary's pods away."""

import json
from collections.abc import Mapping
from typing import Any

from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.adapters.kubernetes.resources import SERVICES
from daemon.adapters.scaling import KubernetesWorkloads
from daemon.model import errors
from daemon.model.canary import Workload

DIVERTED = "pullback.dev/diverted-from"
"""Ours, on the canary's Service, in the same write: JSON of the selector that it had. Our record may be deleted."""


class KubernetesBrakes:
    """Keeps ``ports.Brakes``."""

    def __init__(self, client: KubernetesClient) -> None:
        self._client = client
        self._workloads = KubernetesWorkloads(client)

    async def divert(self, namespace: str, canary: str, stable: str) -> None:
        ours = await self._client.get(SERVICES, namespace, canary)
        theirs = await self._client.get(SERVICES, namespace, stable)
        before, wanted = _selector(ours), _selector(theirs)
        if before == wanted:
            return
        unlike = _unlike(ours, theirs)
        if unlike:
            raise errors.Refused(f"Service {namespace}/{canary} is not of the shape of {stable}: {unlike}")
        # What it had before us is told once: a selector that Flagger, or anybody, has put back in between is the same.
        kept = _annotation(ours) or json.dumps(before, sort_keys=True)
        await self._write(ours, wanted, kept)

    async def undivert(self, namespace: str, canary: str) -> None:
        try:
            ours = await self._client.get(SERVICES, namespace, canary)
        except errors.Missing:
            return
        kept = _annotation(ours)
        if not kept:
            return
        try:
            before = json.loads(kept)
        except ValueError:
            before = None
        if isinstance(before, dict) and before:
            await self._write(ours, before, None)

    async def scale_down(self, workload: Workload) -> None:
        await self._workloads.scale(workload, 0)

    async def _write(self, service: Mapping[str, Any], selector: Mapping[str, Any], kept: str | None) -> None:
        metadata = service["metadata"]
        # A merge patch adds to a map: what is not wanted any more has to be said.
        changed = {**dict.fromkeys(_selector(service)), **selector}
        body = {
            "metadata": {"resourceVersion": metadata.get("resourceVersion"), "annotations": {DIVERTED: kept}},
            "spec": {"selector": changed},
        }
        await self._client.merge(SERVICES, metadata.get("namespace", ""), metadata["name"], body)


def _selector(service: Mapping[str, Any]) -> dict[str, Any]:
    found = (service.get("spec") or {}).get("selector")
    return dict(found) if isinstance(found, Mapping) else {}


def _annotation(service: Mapping[str, Any]) -> str:
    return str((service["metadata"].get("annotations") or {}).get(DIVERTED) or "")


def _unlike(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """In what two Services differ that would send requests nowhere; empty where they can stand for each other."""
    mine, other = ours.get("spec") or {}, theirs.get("spec") or {}
    for spec, whose in ((mine, "the canary's"), (other, "the stable one")):
        if spec.get("type") == "ExternalName" or not spec.get("selector"):
            return f"{whose} selects no pods"
    if _ports(mine) != _ports(other):
        return f"ports {_ports(mine)}, expected {_ports(other)}"
    return ""


def _ports(spec: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    listed = (one for one in spec.get("ports") or () if isinstance(one, Mapping))
    return sorted(
        (one.get("port"), str(one.get("targetPort") or one.get("port")), one.get("protocol") or "TCP", one.get("name"))
        for one in listed
    )
