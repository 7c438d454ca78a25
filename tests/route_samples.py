"""One routing object of every kind, in the middle of a release: what the contract of route kinds is run on.

Each reaches the canary by every way its kind has: a share of ordinary traffic, requests that ask for it, copies. A kind
that is not here fails ``tests/component/test_route_contract.py``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from daemon.model.route import Sides

Json = dict[str, Any]
NAME = "podinfo"
HOST = "app.example.com"


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """``document`` builds the object for a namespace; ``collection`` is where it lives, with a place for that;
    ``move`` is the merge patch by which somebody moves its destinations; ``raised`` gives the canary 40 percent."""

    collection: str
    document: Callable[[str], Json]
    moved: Json
    raised: Json


def sides(namespace: str) -> Sides:
    """As Flagger names them."""
    return Sides(
        namespace=namespace,
        canary_services=frozenset({(namespace, f"{NAME}-canary")}),
        stable_services=frozenset({(namespace, f"{NAME}-primary")}),
        shared_services=frozenset({(namespace, NAME)}),
    )


def _object(api_version: str, kind: str, namespace: str, name: str, spec: Json, **annotations: str) -> Json:
    metadata = {"namespace": namespace, "name": name, "labels": {"team": "shop"}, "annotations": {"note": "x"}}
    metadata["annotations"] |= dict(annotations.items())  # type: ignore[operator]
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}


def _istio(weight: int) -> list[Json]:
    return [
        {
            "name": "asked-for",
            "match": [{"headers": {"x-canary": {"exact": "true"}}}],
            "route": [{"destination": {"host": f"{NAME}-canary", "port": {"number": 9898}}}],
            "timeout": "3s",
        },
        {
            "name": "everybody",
            "mirror": {"host": f"{NAME}-canary"},
            "mirrorPercentage": {"value": 10.0},
            "retries": {"attempts": 2},
            "route": [
                {"destination": {"host": f"{NAME}-primary"}, "weight": 100 - weight},
                {"destination": {"host": f"{NAME}-canary"}, "weight": weight},
            ],
        },
    ]


def _virtual_service(namespace: str) -> Json:
    spec = {"hosts": [HOST], "gateways": ["mesh"], "http": _istio(10)}
    return _object("networking.istio.io/v1", "VirtualService", namespace, NAME, spec)


def _ref(side: str, weight: int | None = None) -> Json:
    ref: Json = {"name": f"{NAME}-{side}", "port": 9898}
    return ref if weight is None else {**ref, "weight": weight}


def _gateway(match: Json, weight: int) -> list[Json]:
    copy: Json = {"type": "RequestMirror", "requestMirror": {"backendRef": _ref("canary")}}
    return [
        {"matches": [match], "backendRefs": [_ref("canary")]},
        {"filters": [copy], "backendRefs": [_ref("primary", 100 - weight), _ref("canary", weight)]},
    ]


def _header(value: str) -> Json:
    return {"headers": [{"name": "X-Summit-Employee", "value": value}]}


def _gateway_route(kind: str) -> Callable[[str], Json]:
    def build(namespace: str) -> Json:
        spec = {"parentRefs": [{"name": "public"}], "hostnames": [HOST], "rules": _gateway(_header("true"), 10)}
        return _object("gateway.networking.k8s.io/v1", kind, namespace, NAME, spec)

    return build


def _ingress(namespace: str) -> Json:
    backend = {"service": {"name": f"{NAME}-canary", "port": {"number": 80}}}
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    spec = {"ingressClassName": "nginx", "rules": [{"host": HOST, "http": {"paths": [path]}}]}
    said = {
        f"nginx.ingress.kubernetes.io/{key}": value
        for key, value in {"canary": "true", "canary-weight": "10", "canary-by-header": "x-canary"}.items()
    }
    return _object("networking.k8s.io/v1", "Ingress", namespace, f"{NAME}-canary", spec, **said)


def _elsewhere(rules: list[Json]) -> list[Json]:
    """The second rule's canary goes to somebody else's service."""
    another = {"name": "another", "port": 1, "weight": 10}
    return [*rules[:1], {**rules[1], "backendRefs": [_ref("primary", 90), another]}]


SAMPLES: dict[str, Sample] = {
    "VirtualService": Sample(
        "/apis/networking.istio.io/v1/namespaces/{}/virtualservices",
        _virtual_service,
        {"spec": {"http": [_istio(10)[0], {"route": [{"destination": {"host": "another"}}]}]}},
        {"spec": {"http": _istio(40)}},
    ),
    **{
        kind: Sample(
            f"/apis/gateway.networking.k8s.io/v1/namespaces/{{}}/{kind.lower()}s",
            _gateway_route(kind),
            {"spec": {"rules": _elsewhere(_gateway(_header("true"), 10))}},
            {"spec": {"rules": _gateway(_header("true"), 40)}},
        )
        for kind in ("HTTPRoute", "GRPCRoute")
    },
    "Ingress": Sample(
        "/apis/networking.k8s.io/v1/namespaces/{}/ingresses",
        _ingress,
        {"metadata": {"annotations": {"nginx.ingress.kubernetes.io/canary": "false"}}},
        {"metadata": {"annotations": {"nginx.ingress.kubernetes.io/canary-weight": "40"}}},
    ),
}
