"""Canaries without a controller, and what a controller's canary lacks: found as the daemon would find them."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from daemon.doctor import examining
from daemon.doctor.findings import Finding
from tests.unit.doctor.reading import bad, examined, knows, parsed, the
from tests.unit.doctor.test_hooks import ALL, canary
from tests.unit.doctor.test_routes import gateway, opted_in, service, split, to

NGINX = "nginx.ingress.kubernetes.io/"


def annotated(text: str, **annotations: str) -> str:
    """``pullback.dev/`` goes before each."""
    document = yaml.safe_load(text)
    document["metadata"]["annotations"] = {
        f"pullback.dev/{name.replace('_', '-')}": value for name, value in annotations.items()
    }
    return yaml.safe_dump(document)


def deployment(name: str, namespace: str = "shop", **labels: str) -> str:
    return yaml.safe_dump({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace},
        "spec": {"template": {"metadata": {"labels": labels}, "spec": {"containers": [{"image": name}]}}},
    })  # fmt: skip


def ingress(name: str, backend: str, **annotations: str) -> str:
    path = {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": backend, "port": {"number": 80}}}}
    return yaml.safe_dump({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": name, "namespace": "shop", "annotations": annotations},
        "spec": {"ingressClassName": "nginx", "rules": [{"host": "x.example", "http": {"paths": [path]}}]},
    })  # fmt: skip


def rollout(provider: dict[str, Any] | None, **strategy: Any) -> str:
    routing = {} if provider is None else {"trafficRouting": provider}
    canary_ = {"canaryService": "shop-canary", "stableService": "shop-stable", **routing, **strategy}
    return yaml.safe_dump({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "shop", "namespace": "shop"},
        "spec": {"strategy": {"canary": canary_}},
    })  # fmt: skip


def everything(*texts: str) -> list[Finding]:
    """As of a cluster, of which all is known."""
    return list(examining.examine(parsed(*texts), [], knows(), whole=True).findings)


def about(found: list[Finding]) -> list[str]:
    return [one for one in bad(found) if one.startswith("canary/")]


# -- which there are


def test_a_canary_is_told_with_its_sides_and_its_pods() -> None:
    found = examined(service(split()), deployment("shop-canary"), deployment("shop-primary"))
    assert bad(found) == []
    assert the(found, "canary/found").seen == (
        "canary shop-canary against shop-primary, pods of Deployment shop-canary; nobody drives it but people"
    )


def test_what_a_controller_drives_is_not_told_again() -> None:
    found = examined(service(split()), canary(ALL))
    assert about(found) == []
    assert not [one for one in found if one.id == "canary/found"]


def test_objects_in_other_places_of_the_same_canary_are_no_canaries_of_their_own() -> None:
    own = gateway({"name": "shop-canary"}, name="employees")
    found = everything(service(split()), own, deployment("shop-canary"), deployment("shop-primary"))
    assert about(found) == []
    assert len([one for one in found if one.id == "canary/found"]) == 1


def test_of_two_canaries_of_one_name_the_other_one_is_told() -> None:
    other = gateway({"name": "till-canary", "weight": 5}, {"name": "till-stable", "weight": 95}, name="shop")
    found = everything(service(split()), other, deployment("shop-canary"), deployment("till-canary"))
    assert about(found) == ["canary/name-taken"]
    assert len([one for one in found if one.id == "canary/found"]) == 1
    assert "of the same name" in the(found, "canary/name-taken").seen


# -- no stable side


def test_nobody_says_where_stable_is() -> None:
    lonely = service(opted_in(to("api-canary")))
    # Of files nobody knows whether a Canary somewhere drives it; of a cluster one does.
    assert about(examined(lonely)) == []
    assert about(everything(lonely)) == ["canary/no-stable"]
    assert the(everything(lonely), "canary/no-stable").severity == "warn"
    # Whoever annotates it says that nobody drives it.
    told = annotated(lonely, canary="api-canary")
    assert the(examined(told), "canary/no-stable").severity == "fail"
    assert about(examined(annotated(lonely, canary="api-canary", stable="api"))) == []
    # Another object may say it.
    assert about(everything(lonely, service({"route": [to("api")]}, name="all"), deployment("api-canary"))) == []


# -- no workload


def test_no_workload_is_found() -> None:
    route = service(split())
    assert about(examined(route)) == []
    assert about(everything(route)) == ["canary/no-workload"]
    # Where Deployments of the namespace were given, that one of them is it may be expected.
    assert about(examined(route, deployment("shop-primary"))) == ["canary/no-workload"]
    assert about(examined(route, deployment("shop-canary", "elsewhere"))) == []
    misspelt = annotated(route, canary="shop-canary", stable="shop-primary", workload="shop-canray")
    assert about(examined(misspelt, deployment("shop-canary"))) == ["canary/no-workload"]


def test_a_subset_has_the_pods_that_its_rule_says() -> None:
    rule = {"route": [to("shop", 95, "stable"), to("shop", 5, "canary")]}
    definition = yaml.safe_dump({
        "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
        "metadata": {"name": "shop", "namespace": "shop"},
        "spec": {"host": "shop", "subsets": [{"name": "stable", "labels": {"track": "stable"}},
                                             {"name": "canary", "labels": {"track": "canary"}}]},
    })  # fmt: skip
    pods = deployment("shop-v2", app="shop", track="canary")
    assert "pods of Deployment shop-v2" in the(everything(service(rule), definition, pods), "canary/found").seen
    assert about(everything(service(rule), pods)) == ["canary/no-workload"]


# -- an annotation that means nothing


def test_an_annotation_that_no_rule_sends_to() -> None:
    route = annotated(service(split()), canary="shop-cannary", stable="shop-primary")
    assert about(examined(route)) == ["canary/not-reached"]
    assert about(examined(annotated(service(split()), canary="shop/v2", stable="shop/v1"))) == ["canary/not-reached"]


# -- the stage driver


def driven(*rules: dict[str, Any], **annotations: str) -> str:
    return annotated(service(*rules), canary="shop-canary", stable="shop-primary", stage_driver="true", **annotations)


BOTH = (deployment("shop-canary"), deployment("shop-primary"))


def test_a_driver_with_all_it_needs() -> None:
    found = examined(driven(split()), *BOTH)
    assert about(found) == []
    assert the(found, "canary/found").seen.endswith("; the stage driver drives it")


@pytest.mark.parametrize(
    ("groups", "name"),
    [
        ({"policy": {"stages": []}}, "canary/driver-without-stages"),
        ({"policy": {"promotion": {"approval": "none"}}}, "canary/driver-without-approval"),
        ({"gates": {"profiles": {"default": {"stages": []}}}}, "canary/driver-without-stages"),
    ],
)
def test_a_driver_without_stages_or_approval(groups: dict[str, Any], name: str) -> None:
    assert about(examined(driven(split()), *BOTH, **groups)) == [name]
    # Who walks no stages needs none.
    assert about(examined(service(split()), *BOTH, **groups)) == []


def test_a_driver_asks_the_profile_that_is_named() -> None:
    groups = {"gates": {"profiles": {"default": {}, "quick": {"promotion": {"approval": "none"}}}}}
    assert about(examined(driven(split()), *BOTH, **groups)) == []
    assert about(examined(driven(split(), profile="quick"), *BOTH, **groups)) == ["canary/driver-without-approval"]
    assert about(examined(driven(split(), profile="quikc"), *BOTH, **groups)) == ["canary/unknown-profile"]


def test_a_driver_without_weights_or_without_anything_to_compare_with() -> None:
    assert about(examined(driven(opted_in(to("shop-canary"))), *BOTH)) == ["canary/driver-without-weights"]
    assert about(examined(driven(split()), deployment("shop-canary"))) == ["canary/no-stable-workload"]


# -- ingress-nginx


def test_an_ingress_of_the_canarys_own() -> None:
    main = ingress("shop", "shop-stable")
    own = {f"{NGINX}canary": "true", f"{NGINX}canary-weight": "5"}
    found = everything(main, ingress("shop-canary", "shop-canary", **own), deployment("shop-canary"))
    assert bad(found) == []
    assert "shop-canary against shop-stable" in the(found, "canary/found").seen
    assert about(everything(ingress("api-canary", "api-canary", **own))) == ["canary/no-stable"]


# -- what a controller drives


def test_a_rollout_is_known_by_its_strategy() -> None:
    route = service({"name": "all", "route": [to("shop-stable", 95), to("shop-canary", 5)]})
    found = everything(rollout({"istio": {"virtualService": {"name": "shop"}}}), route)
    assert about(found) == []
    assert the(found, "canary/found").seen == "Argo Rollouts drives it, and its routes (istio) are written"
    dynamic = rollout({"istio": {"virtualService": {"name": "shop"}}}, dynamicStableScale=True)
    assert about(everything(dynamic, route)) == ["canary/dynamic-stable-scale"]


@pytest.mark.parametrize("provider", [None, {"alb": {}}, {"plugins": {"example/router": {}}}])
def test_a_rollout_whose_routes_are_nobodys_to_write(provider: dict[str, Any] | None) -> None:
    found = everything(rollout(provider))
    assert about(found) == ["canary/routes-not-written"]
    assert "Argo Rollouts, once it is told to abort" in the(found, "canary/routes-not-written").seen


@pytest.mark.parametrize(
    ("provider", "expected"), [("appmesh:v1beta2", True), ("contour", True), ("istio", False), ("nginx", False)]
)
def test_a_provider_that_is_not_written_leaves_the_clock_to_flagger(provider: str, expected: bool) -> None:
    document = yaml.safe_load(canary(ALL))
    document["spec"]["provider"] = provider
    found = examined(yaml.safe_dump(document))
    assert ("canary/routes-not-written" in bad(found)) is expected
    if expected:
        assert "a tick after its rollback hook" in the(found, "canary/routes-not-written").seen


# -- what nobody planned


@pytest.mark.parametrize(
    ("kind", "version", "spec"),
    [
        ("Deployment", "apps/v1", "x"),
        ("Deployment", "apps/v1", {"replicas": "many"}),
        ("Canary", "flagger.app/v1beta1", {"targetRef": "podinfo"}),
    ],
)
def test_what_no_api_server_would_take_is_said_and_harms_nothing_else(kind: str, version: str, spec: Any) -> None:
    odd = yaml.safe_dump({"apiVersion": version, "kind": kind, "metadata": {"name": "odd"}, "spec": spec})
    found = examined(odd, service(split()), *BOTH)
    assert "canary/unreadable" in bad(found)
    assert the(found, "canary/found").severity == "ok"


@pytest.mark.parametrize("metadata", [{"name": "x", "annotations": ["a"]}, {"name": "x", "annotations": {"a": True}}])
def test_annotations_in_any_shape(metadata: dict[str, Any]) -> None:
    document = yaml.safe_load(service(split()))
    document["metadata"] = metadata
    assert about(examined(yaml.safe_dump(document))) == []


def test_one_object_given_twice_is_one_canary() -> None:
    found = examined(service(split()), service(split()), *BOTH)
    assert len([one for one in found if one.id == "canary/found"]) == 1
