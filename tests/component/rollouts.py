"""A Rollout as Argo Rollouts keeps it, its routes, and what the controller does when it is told to abort."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.builders import Json
from tests.component.undriven import RULES, rule, to
from tests.scene import ROUTES, Scene

ROLLOUTS = "/apis/argoproj.io/v1alpha1/namespaces/{}/rollouts"
NAME = "summit-server"
NEW, OLD = "7bf84f9696", "789746c88d"
BY_SERVICES = {"istio": {"virtualService": {"name": NAME, "routes": ["primary"]}}}
BY_SUBSETS = {
    "istio": {
        "virtualService": {"name": NAME},
        "destinationRule": {"name": NAME, "canarySubsetName": "canary", "stableSubsetName": "stable"},
    }
}


def rollout(namespace: str, routing: Json | None, *, services: bool = True, **strategy: Any) -> Json:
    """Its spec; ``services``: it has a Service for each side."""
    canary: Json = {"steps": [{"setWeight": 5}, {"pause": {}}, {"setWeight": 50}], **strategy}
    if routing is not None:
        canary["trafficRouting"] = routing
    if services:
        canary |= {"canaryService": f"{NAME}-canary", "stableService": f"{NAME}-stable"}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"namespace": namespace, "name": NAME},
        "spec": {
            "replicas": 4,
            "selector": {"matchLabels": {"app": NAME}},
            "strategy": {"canary": canary},
            "template": {
                "metadata": {"labels": {"app": NAME, "version": "v4"}},
                "spec": {"containers": [{"name": "app", "image": "registry.example/summit:v4"}]},
            },
        },
    }


def status(phase: str = "Paused", *, revision: str = NEW, updated: int = 1, **more: Any) -> Json:
    """As its controller writes it in the middle of a release."""
    return {
        "phase": phase, "currentPodHash": revision, "stableRS": OLD, "observedGeneration": "1",
        "replicas": 5, "readyReplicas": 5, "updatedReplicas": updated, **more,
    }  # fmt: skip


def by_services(namespace: str, weight: int) -> Json:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"namespace": namespace, "name": NAME},
        "spec": {
            "hosts": ["api.summit.internal"],
            "http": [
                {
                    "name": "primary",
                    "route": [
                        {"destination": {"host": f"{NAME}-stable"}, "weight": 100 - weight},
                        {"destination": {"host": f"{NAME}-canary"}, "weight": weight},
                    ],
                }
            ],
        },
    }


async def released(
    scene: Scene, routing: Json | None, *, weight: int = 5, services: bool = True, **strategy: Any
) -> None:
    """In the middle of a release, with so much on the canary."""
    if routing is BY_SUBSETS:
        await scene.create(RULES, rule(scene.namespace))
        document = by_services(scene.namespace, weight)
        document["spec"]["http"][0]["route"] = [to("stable", 100 - weight), to("canary", weight)]
        await scene.create(ROUTES, document)
    elif routing is BY_SERVICES:
        await scene.create(ROUTES, by_services(scene.namespace, weight))
    await scene.create(ROLLOUTS, rollout(scene.namespace, routing, services=services, **strategy))
    await scene.merge(ROLLOUTS, f"{NAME}/status", {"status": status()})


async def weights(scene: Scene) -> list[int]:
    (rule_,) = (await scene.get(ROUTES, NAME))["spec"]["http"]
    return [entry["weight"] for entry in rule_["route"]]


async def controller(scene: Scene, *, seconds: float = 20.0) -> None:
    """Does what Argo Rollouts does with an aborted Rollout; ends when it has done so."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while loop.time() < until:
        document = await scene.get(ROLLOUTS, NAME)
        if document.get("status", {}).get("abort"):
            said = status("Degraded", updated=0, abort=True, message="RolloutAborted: Rollout aborted update")
            await scene.merge(ROLLOUTS, f"{NAME}/status", {"status": said}, manager="rollouts-controller")
            return
        await asyncio.sleep(0.05)
    message = "nobody has aborted the Rollout"
    raise AssertionError(message)
