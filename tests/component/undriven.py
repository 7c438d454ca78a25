"""A release that no controller drives: Deployments, a Service in two subsets, and routes that people write."""

from __future__ import annotations

from typing import Any

from tests.builders import Json, deployment
from tests.scene import DEPLOYMENTS, ROUTES, Scene

RULES = "/apis/networking.istio.io/v1/namespaces/{}/destinationrules"
NAME = "summit-server"


def workload(namespace: str, track: str, version: str, *, replicas: int = 2, ready: int | None = None) -> Json:
    """One side's Deployment, its pods labelled by role and by version."""
    document = deployment(namespace, f"{NAME}-{track}", version=version, replicas=replicas)
    document["spec"]["selector"] = {"matchLabels": {"app": NAME, "track": track}}
    document["spec"]["template"]["metadata"]["labels"] = {"app": NAME, "track": track, "version": version}
    if ready is not None:
        document["status"] = {"readyReplicas": ready}
    return document


def rule(namespace: str) -> Json:
    """The DestinationRule with the two subsets."""
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"namespace": namespace, "name": NAME},
        "spec": {
            "host": NAME,
            "subsets": [{"name": one, "labels": {"track": one}} for one in ("stable", "canary")],
        },
    }


def to(subset: str, weight: int | None = None) -> Json:
    """A destination of a route."""
    entry: Json = {"destination": {"host": NAME, "subset": subset}}
    return entry if weight is None else {**entry, "weight": weight}


def routes(namespace: str, weight: int, *, annotations: dict[str, str] | None = None) -> Json:
    """The weighted VirtualService, with a rule for requests that ask for the canary before it."""
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"namespace": namespace, "name": NAME, "annotations": annotations or {}},
        "spec": {
            "hosts": ["api.summit.internal"],
            "http": [
                {"match": [{"headers": {"x-canary": {"exact": "true"}}}], "route": [to("canary", 100)]},
                {"route": [to("stable", 100 - weight), to("canary", weight)]},
            ],
        },
    }


def opt_in(namespace: str) -> Json:
    """A second VirtualService, in which people opt in by a header."""
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"namespace": namespace, "name": f"{NAME}-opt-in"},
        "spec": {
            "hosts": ["api.summit.internal"],
            "http": [
                {"match": [{"headers": {"x-canary-opt-in": {"exact": "true"}}}], "route": [to("canary")]},
                {"route": [to("stable")]},
            ],
        },
    }


async def release(scene: Scene, *, weight: int = 5, version: str = "v4", **annotations: str) -> None:
    """All of it, with so much on the canary."""
    said = {f"pullback.dev/{key.replace('_', '-')}": value for key, value in annotations.items()}
    await scene.create(DEPLOYMENTS, workload(scene.namespace, "stable", "v3"))
    await scene.create(DEPLOYMENTS, workload(scene.namespace, "canary", version))
    await scene.create(RULES, rule(scene.namespace))
    await scene.create(ROUTES, routes(scene.namespace, weight, annotations=said))
    await scene.create(ROUTES, opt_in(scene.namespace))


async def shares(scene: Scene, name: str = NAME) -> dict[str, Any]:
    """By rule: what each subset gets, a sole destination everything."""
    document = await scene.get(ROUTES, name)
    return {
        f"{'/'.join(one['match'][0]['headers']) if 'match' in one else 'everybody'}": {
            entry["destination"]["subset"]: entry.get("weight", 100) for entry in one["route"]
        }
        for one in document["spec"]["http"]
    }
