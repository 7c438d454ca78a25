"""Routes: paths that stay, and paths that nobody can close."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.unit.doctor.reading import bad, examined, the
from tests.unit.doctor.test_hooks import ALL, canary


def to(host: str, weight: int | None = None, subset: str = "") -> dict[str, Any]:
    destination = {"host": host, **({"subset": subset} if subset else {})}
    return {"destination": destination, **({} if weight is None else {"weight": weight})}


def service(*rules: Any, name: str = "shop", hosts: tuple[str, ...] = ("shop",), **spec: Any) -> str:
    return yaml.safe_dump({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": name, "namespace": "shop"}, "spec": {"hosts": list(hosts), "http": list(rules), **spec},
    })  # fmt: skip


def split(stable: int = 95, canary: int = 5) -> dict[str, Any]:
    return {"route": [to("shop-primary", stable), to("shop-canary", canary)]}


def opted_in(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"match": [{"headers": {"x-canary": {"exact": "true"}}}], "route": list(entries)}


@pytest.mark.parametrize(
    "rule",
    [
        split(),
        {"route": [to("shop", 95, "stable"), to("shop", 5, "canary")]},
        opted_in(to("shop-canary", 100), to("shop-primary", 0)),
        {"route": [to("elsewhere")]},
        {"redirect": {"uri": "/"}},
    ],
)
def test_routes_that_are_well(rule: dict[str, Any]) -> None:
    assert bad(examined(service(rule))) == []


@pytest.mark.parametrize(
    "entry", [to("shop-canary"), to("shop-canary", 100), to("shop", 100, "canary"), to("shop", 0, "v2-canary")]
)
def test_a_canary_alone(entry: dict[str, Any]) -> None:
    route = service(opted_in(entry), split())
    found = examined(route)
    assert bad(found) == []
    assert "by a match" in the(found, "routes/repointed").seen
    # Where somebody moves the traffic who knows weights only, the same path stays open.
    left = the(examined(route, canary([])), "routes/canary-alone")
    assert "Flagger alone, without Pullback's rollback hook, leaves this path as it is" in left.seen
    assert bad(examined(route, canary(ALL))) == []


def test_weights_that_do_not_add_up() -> None:
    assert bad(examined(service(split(85, 5)))) == ["routes/shares"]
    assert bad(examined(service(split(0, 0)))) == ["routes/shares"]


def test_a_canary_among_strangers() -> None:
    rule = {"route": [to("other", 50, "blue"), to("shop-canary", 50)]}
    assert "routes/no-stable" in bad(examined(service(rule)))


def test_a_path_without_a_stable_counterpart_cannot_be_closed() -> None:
    rule = {"route": [{"destination": {"host": "canary.example.com", "subset": "canary"}}]}
    found = bad(examined(service(rule)))
    assert found == ["routes/canary-alone"]  # no Service of this cluster, so no path that is ours


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        ({}, {}, "fail"),
        ({"gateways": ["g"]}, {"gateways": ["g"]}, "warn"),
        ({"gateways": ["g"]}, {"gateways": ["h"]}, ""),
        ({"gateways": ["g"]}, {"gateways": ["g", "mesh"]}, "warn"),
    ],
)
def test_two_objects_for_one_host(first: Any, second: Any, found: str) -> None:
    seen = examined(service(split(), **first), service(split(), name="other", **second))
    assert [one.severity for one in seen if one.id == "routes/one-host-twice"] == ([found] if found else [])


def test_one_object_written_twice() -> None:
    assert bad(examined(service(split()), service(split()))) == []
    assert bad(examined(service(split()), service(split(50, 50)))) == ["routes/written-twice"]


def gateway(*backends: dict[str, Any], kind: str = "HTTPRoute", version: str = "v1", **metadata: Any) -> str:
    return yaml.safe_dump({
        "apiVersion": f"gateway.networking.k8s.io/{version}", "kind": kind,
        "metadata": {"name": "shop", "namespace": "shop", **metadata},
        "spec": {"rules": [{"matches": [{"path": {"value": "/"}}], "backendRefs": list(backends)}]},
    })  # fmt: skip


def test_a_route_of_a_kind_that_is_not_written_is_told_of_only_where_it_reaches_a_canary() -> None:
    assert bad(examined(gateway({"name": "shop"}, kind="TCPRoute"))) == []
    found = bad(examined(gateway({"name": "shop-canary", "weight": 1}, {"name": "shop", "weight": 0}, kind="TCPRoute")))
    assert found == ["routes/not-written"]


@pytest.mark.parametrize("kind", ["HTTPRoute", "GRPCRoute"])
@pytest.mark.parametrize(
    "backends",
    [
        [{"name": "shop-canary", "weight": 1}, {"name": "shop", "weight": 0}],
        [{"name": "shop-canary"}, {"name": "shop-primary"}],
        [{"name": "shop-canary", "weight": 80}, {"name": "shop-stable", "weight": 5}],
        [{"name": "shop-canary", "namespace": "other"}],
        [{"name": "elsewhere", "port": 80}],
    ],
)
def test_routes_of_the_gateway_api_that_are_well(kind: str, backends: list[dict[str, Any]]) -> None:
    assert bad(examined(gateway(*backends, kind=kind))) == []


@pytest.mark.parametrize("kind", ["HTTPRoute", "GRPCRoute"])
def test_a_canary_alone_at_a_gateway(kind: str) -> None:
    route = gateway({"name": "shop-canary", "port": 80}, kind=kind)
    assert "by a match" in the(examined(route), "routes/repointed").seen
    assert bad(examined(route, canary([]))) != []


def test_a_rule_of_a_gateway_without_any_weight_answers_with_errors() -> None:
    (seen,) = [one for one in examined(gateway({"name": "shop-canary", "weight": 0})) if one.severity == "warn"]
    assert (seen.id, "answered with errors" in seen.seen) == ("routes/no-weight", True)
    assert bad(examined(gateway({"name": "shop", "weight": 0}, {"name": "shop-canary", "weight": 0}))) == [
        "routes/no-weight"
    ]


def test_a_canary_that_is_no_service_cannot_be_closed() -> None:
    imported = {"group": "multicluster.x-k8s.io", "kind": "ServiceImport", "name": "shop-canary"}
    found = examined(gateway(imported, {"name": "shop"}))
    assert bad(found) == ["routes/cannot-be-closed"]
    assert "ServiceImport shop-canary is no Service" in the(found, "routes/cannot-be-closed").seen


def test_an_old_version() -> None:
    found = bad(examined(gateway({"name": "shop-canary"}, version="v1beta1")))
    assert "routes/http-route-v1beta1" in found


@pytest.mark.parametrize(
    "spec", [None, [], {"http": "x"}, {"http": [None, {"route": "x"}]}, {"http": [{"route": [None]}]}]
)
def test_objects_in_any_state_are_read(spec: Any) -> None:
    examined(yaml.safe_dump({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
                             "metadata": {"name": "x"}, "spec": spec}))  # fmt: skip


def test_a_subset_that_no_destination_rule_knows() -> None:
    rule = {"route": [to("shop", 95, "stable"), to("shop", 5, "canary")]}
    definition = {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": {"name": "shop"},
                  "spec": {"host": "shop.shop.svc", "subsets": [{"name": "stable"}]}}  # fmt: skip
    assert bad(examined(service(rule), yaml.safe_dump(definition))) == ["routes/no-subset"]
    definition["spec"]["subsets"].append({"name": "canary"})  # type: ignore[index]
    assert bad(examined(service(rule), yaml.safe_dump(definition))) == []
