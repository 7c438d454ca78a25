"""A canary that no controller drives, as a value: what its home object says, and what was found around it.

And Istio's DestinationRules, which say by which labels the pods of a subset are known.
"""

from collections.abc import Mapping
from typing import Any

from daemon.adapters import acts
from daemon.adapters.traffic import conventions
from daemon.adapters.traffic.istio_destinations import resolve
from daemon.adapters.traffic.objects import mapping, text
from daemon.model.canary import Canary, CanaryPhase, CanaryRef, Controller, ObjectKind, Workload
from daemon.model.route import RouteObject, Sides, Subsets

DRIVEN = "pullback.dev/stage-driver"
"""``"true"`` on a routing object: walk its canary through the stages of its profile."""


def read_canary(
    home: RouteObject,
    sides: Sides,
    workload: Workload | None,
    stable: Workload | None,
    labels: Mapping[str, str],
    phase: CanaryPhase,
) -> Canary:
    """``labels`` are the subset's, as its DestinationRule gives them. Without a workload there is no revision."""
    service = min((name for _, name in sides.canary_services | sides.shared_services), default=home.ref.name)
    return Canary(
        ref=CanaryRef(home.ref.namespace, home.ref.name),
        uid=home.uid,
        phase=phase,
        revision=workload.template if workload is not None else "",
        promoted_revision="",
        analysis_began=workload.template_since if workload is not None else None,
        status_weight=0,
        workload=workload.name if workload is not None else "",
        workload_kind="Deployment",
        service=service,
        provider="",
        suspended=False,
        deleting=home.deleting,
        resource_version=home.resource_version,
        controller=Controller.NONE,
        object_kind=ObjectKind(home.api_version, home.ref.kind),
        sides=sides,
        stable_workload=stable.name if stable is not None else "",
        versions=frozenset(labels.values()),
        driven=is_driven(home),
        **acts.read(home.annotations),
    )


def is_driven(home: RouteObject) -> bool:
    return home.annotations.get(DRIVEN, "").strip().lower() == "true"


def named_workloads(home: RouteObject) -> tuple[str, str]:
    """The canary's and the stable Deployment, as annotations name them; empty where they do not."""
    said = home.annotations
    return said.get(conventions.WORKLOAD, "").strip(), said.get(conventions.STABLE_WORKLOAD, "").strip()


def read_subsets(document: Mapping[str, Any], cluster_domain: str) -> Subsets | None:
    """A DestinationRule from its JSON; None where it speaks of no service, or of no subset."""
    metadata, spec = mapping(document.get("metadata")), mapping(document.get("spec"))
    namespace = text(metadata.get("namespace"))
    host = text(spec.get("host"))
    service = resolve(host, namespace, cluster_domain) if host else None
    listed = spec.get("subsets")
    subsets = {
        text(one.get("name")): {
            key: value for key, value in mapping(one.get("labels")).items() if isinstance(value, str)
        }
        for one in map(mapping, listed if isinstance(listed, list) else ())
    }
    if service is None or not subsets:
        return None
    return Subsets(namespace, text(metadata.get("name")), service, subsets)
