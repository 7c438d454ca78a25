"""What the cluster serves, and the objects in it that examinations read."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.adapters.kubernetes.resources import (
    CANARIES,
    CANARY_REVISIONS,
    DEPLOYMENTS,
    DESTINATION_RULES_V1,
    DESTINATION_RULES_V1BETA1,
    ROLLBACKS,
    ROLLOUTS,
    SCALED_OBJECTS,
    Resource,
)
from daemon.doctor.documents import Document
from daemon.doctor.findings import Finding, fail, fine, warn
from daemon.doctor.known import Known
from daemon.model import errors
from daemon.settings import Settings

SOURCE = "cluster"
METRIC_TEMPLATES = Resource("flagger.app", "v1beta1", "metrictemplates", "MetricTemplate")
_NEEDED: Mapping[Resource, str] = {
    ROLLBACKS: "kubectl apply -f helm/pullback/crds/",
    CANARY_REVISIONS: "kubectl apply -f helm/pullback/crds/",
    DEPLOYMENTS: "this is no Kubernetes API that runs anything",
}
_WHERE_USED: Mapping[Resource, str] = {
    CANARIES: "canaries of Flagger's (1.38 or newer)",
    ROLLOUTS: "canaries of Argo Rollouts",
}
"""What may drive canaries. None of it has to: a route may be all there is."""
_READ = frozenset({
    "Canary", "MetricTemplate", "Rollout", "VirtualService", "DestinationRule", "HTTPRoute", "GRPCRoute", "TCPRoute",
    "TLSRoute", "Ingress", "Deployment",
})  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    documents: tuple[Document, ...]
    findings: tuple[Finding, ...]
    served: frozenset[str]
    """Of what was looked for, the kinds that are served, as ``canaries.flagger.app``."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Listed:
    """``items`` is None where the kind is not served; ``refused`` says that it may not be listed."""

    items: Sequence[Mapping[str, Any]] | None
    refused: str = ""


async def look(settings: Settings, client: KubernetesClient, known: Known) -> Seen:
    kinds = {kind: tuple(module.RESOURCES) for kind, module in known.kinds.items()}
    alone = (*_NEEDED, *_WHERE_USED, METRIC_TEMPLATES, SCALED_OBJECTS)
    rules = (DESTINATION_RULES_V1, DESTINATION_RULES_V1BETA1)
    wanted = {**{one.kind: (one,) for one in alone}, rules[0].kind: rules, **kinds}
    documents: list[Document] = []
    findings: list[Finding] = []
    served: set[str] = set()
    for kind, versions in wanted.items():
        version, listed = await _first(settings, client, versions)
        if listed.items is not None:
            served.add(f"{versions[0].plural}.{versions[0].group}")
        if version is not None and kind in _READ:
            documents += [Document(SOURCE, {"apiVersion": version.api_version, "kind": kind, **item})
                          for item in listed.items or ()]  # fmt: skip
        findings += _served(kind, versions, version, listed)
    return Seen(tuple(documents), tuple(findings), frozenset(served))


async def _first(
    settings: Settings, client: KubernetesClient, versions: Sequence[Resource]
) -> tuple[Resource | None, _Listed]:
    """The first version that is served, with all its objects."""
    for version in versions:
        listed = await _list(settings, client, version)
        if listed.items is not None:
            return version, listed
    return None, _Listed(None)


async def _list(settings: Settings, client: KubernetesClient, resource: Resource) -> _Listed:
    wanted = resource.kind in _READ
    items: list[Mapping[str, Any]] = []
    for namespace in settings.kubernetes.namespaces or (None,):
        try:
            found, _ = await client.list(resource, namespace, most=None if wanted else 1)
        except errors.Missing:
            return _Listed(None)
        except errors.Refused as error:
            return _Listed((), str(error))
        items += found
    return _Listed(items)


def _served(kind: str, versions: Sequence[Resource], version: Resource | None, listed: _Listed) -> list[Finding]:
    where = f"{SOURCE} {versions[0].plural}.{versions[0].group}"
    if listed.refused:
        # An API server refuses before it says whether there is such a kind.
        return [
            warn("cluster/not-seen", where, listed.refused, "to be allowed to list them", "see permissions/missing")
        ]
    if version is not None:
        return [fine("cluster/served", where, f"{kind} is served in {version.version}")]
    mend = next((what for one, what in _NEEDED.items() if one.kind == kind), "")
    if mend:
        return [fail("cluster/not-served", where, f"{kind} is not served in {versions[0].version}",
                     f"{versions[0].api_version}", mend)]  # fmt: skip
    without = next((what for one, what in _WHERE_USED.items() if one.kind == kind), "")
    said = f"{kind} is not served: there are no {without}" if without else f"{kind} is not served, and not needed"
    return [fine("cluster/not-served", where, said)]
