"""Argo Rollouts: its Rollout objects, read as facts (argoproj.io/v1alpha1, canary strategy only).

The field names and what they mean are those of its API; ``status.phase`` is written since v1.0. A Rollout whose traffic
is split by pods alone, or by a router that is not read here, has no routes of ours: aborting it is all there is.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from daemon.adapters import acts, workloads
from daemon.adapters.traffic.objects import mapping, text
from daemon.model.canary import Canary, CanaryPhase, CanaryRef, Controller, ObjectKind, Workload
from daemon.model.route import Sides, Subsets

KIND = "Rollout"
ABORT: Mapping[str, Any] = {"status": {"abort": True}}
"""What its own plugin writes (``kubectl argo rollouts abort``), into the status subresource."""
POD_HASH = "rollouts-pod-template-hash"
"""Label of its pods: ``status.currentPodHash`` of those that are tried out."""

_GATEWAY_API = "argoproj-labs/gatewayAPI"
_ROUTERS = {"istio": "istio", "nginx": "nginx"}
"""Its name of a router, and the name of the provider whose routes it writes."""
_REPLICAS_ONLY = "Argo Rollouts by replicas"

Rule = Callable[[str, str], Subsets | None]


def read_rollout(document: Mapping[str, Any], rule: Rule, cluster_domain: str) -> Canary | None:
    """A canary from a Rollout's JSON; None where its strategy is another one. ``rule`` finds a DestinationRule."""
    metadata, spec, status = document["metadata"], mapping(document.get("spec")), mapping(document.get("status"))
    strategy = mapping(mapping(spec.get("strategy")).get("canary"))
    if not strategy:
        return None
    namespace, name = metadata.get("namespace", ""), metadata["name"]
    revision, stable = text(status.get("currentPodHash")), text(status.get("stableRS"))
    lent = text(mapping(spec.get("workloadRef")).get("name"))
    return Canary(
        ref=CanaryRef(namespace, name),
        uid=str(metadata.get("uid", "")),
        phase=_phase(status, revision, stable),
        revision=revision,
        promoted_revision=stable,
        analysis_began=workloads.template_since(metadata),
        status_weight=0,
        workload=lent or name,
        workload_kind=KIND,
        service=text(strategy.get("stableService")) or name,
        provider=_provider(strategy),
        suspended=False,
        deleting=bool(metadata.get("deletionTimestamp")),
        resource_version=str(metadata.get("resourceVersion", "")),
        controller=Controller.ARGO,
        object_kind=ObjectKind("argoproj.io/v1alpha1", KIND),
        sides=_sides(namespace, strategy, rule, cluster_domain),
        versions=frozenset({revision} - {""}),
        steps=_steps(strategy.get("steps")),
        aborting=bool(status.get("abort")),
        pods=_updated(status) if lent else None,
        shares_capacity=bool(strategy.get("dynamicStableScale")),
        **acts.read(mapping(metadata.get("annotations"))),
    )


def read_workload(document: Mapping[str, Any]) -> Workload | None:
    """What runs its canary's pods (the stable ones are the same Rollout's, and not counted), where the template is its
    own; None where it borrows a Deployment's (``workloadRef``)."""
    if not mapping(document.get("spec")).get("template"):
        return None
    read, status = workloads.read_workload(document), mapping(document.get("status"))
    pods = _updated(status)
    return dataclasses.replace(read, replicas=pods, ready_replicas=min(pods, read.ready_replicas))


def _updated(status: Mapping[str, Any]) -> int:
    """Pods of the revision that is tried out; none are not written."""
    found = status.get("updatedReplicas")
    return found if isinstance(found, int) else 0


def rule_named(document: Mapping[str, Any]) -> tuple[str, str] | None:
    """The DestinationRule by whose subsets it splits, as (namespace, name)."""
    strategy = mapping(mapping(mapping(document.get("spec")).get("strategy")).get("canary"))
    name = text(_istio_rule(strategy).get("name"))
    return (document["metadata"].get("namespace", ""), name) if name else None


def _phase(status: Mapping[str, Any], revision: str, stable: str) -> CanaryPhase:
    """Aborted, or out of time, is what it calls Degraded: it has given the revision up, or will when it is aborted."""
    if status.get("phase") == "Degraded":
        return CanaryPhase.FAILED
    if not revision:
        return CanaryPhase.INITIALIZING
    if revision == stable:
        return CanaryPhase.SUCCEEDED
    return CanaryPhase.PROGRESSING if stable else CanaryPhase.INITIALIZING


def _provider(strategy: Mapping[str, Any]) -> str:
    routing = mapping(strategy.get("trafficRouting"))
    for router, provider in _ROUTERS.items():
        if routing.get(router) is not None:
            return provider
    plugins = mapping(routing.get("plugins"))
    if _GATEWAY_API in plugins:
        return "gatewayapi:v1"
    named = sorted({*routing, *plugins} - {"plugins", "managedRoutes", "maxTrafficWeight"})
    return f"Argo Rollouts with {', '.join(named)}" if named else _REPLICAS_ONLY


def _istio_rule(strategy: Mapping[str, Any]) -> Mapping[str, Any]:
    return mapping(mapping(mapping(strategy.get("trafficRouting")).get("istio")).get("destinationRule"))


def _sides(namespace: str, strategy: Mapping[str, Any], rule: Rule, cluster_domain: str) -> Sides:
    canary, stable = text(strategy.get("canaryService")), text(strategy.get("stableService"))
    named = _istio_rule(strategy)
    found = rule(namespace, text(named.get("name"))) if named else None
    subsets = [(found.service, text(named.get(f"{side}SubsetName"))) if found is not None else None
               for side in ("canary", "stable")]  # fmt: skip
    return Sides(
        namespace=namespace,
        canary_services=frozenset({(namespace, canary)} if canary else ()),
        stable_services=frozenset({(namespace, stable)} if stable else ()),
        shared_services=frozenset({found.service} if found is not None else ()),
        cluster_domain=cluster_domain,
        canary_subsets=frozenset({subsets[0]} if subsets[0] and subsets[0][1] else ()),
        stable_subsets=frozenset({subsets[1]} if subsets[1] and subsets[1][1] else ()),
    )


def _steps(steps: object) -> tuple[float, ...]:
    weights = [mapping(step).get("setWeight") for step in steps] if isinstance(steps, list) else []
    return tuple(sorted({float(one) for one in weights if isinstance(one, int) and not isinstance(one, bool)}))
