"""What Envoy has to do when VirtualServices say so: the rules of Istio that decide who gets the traffic."""

from __future__ import annotations

from typing import Any

import pytest

from daemon.sandbox.delegating import TranslationError
from daemon.sandbox.translating import cluster_name, translate

Json = dict[str, Any]


def service(
    *rules: Json,
    hosts: list[str] | None = None,
    name: str = "podinfo",
    namespace: str = "shop",
    age: str = "1",
) -> Json:
    return {
        "metadata": {"name": name, "namespace": namespace, "creationTimestamp": age},
        "spec": {"hosts": ["podinfo"] if hosts is None else hosts, "http": list(rules)},
    }


def to(*shares: tuple[str, int | None], **fields: Any) -> Json:
    route = [
        {"destination": {"host": host}, **({} if weight is None else {"weight": weight})} for host, weight in shares
    ]
    return {"route": route, **fields}


def routes_of(*services: Json) -> list[Json]:
    (host,) = translate(services)["virtual_hosts"]
    routes: list[Json] = host["routes"]
    return routes


def clusters(route: Json) -> dict[str, int]:
    return {share["name"]: share["weight"] for share in route["route"]["weighted_clusters"]["clusters"]}


STABLE = to(("podinfo-primary", 100))


def test_weights_become_shares_as_they_stand() -> None:
    (route,) = routes_of(service(to(("podinfo-primary", 95), ("podinfo-canary", 5))))
    assert route["match"] == {"prefix": "/"}
    assert clusters(route) == {"podinfo-primary": 95, "podinfo-canary": 5}
    assert route["route"]["timeout"] == "0s"  # Istio's default is none, Envoy's is 15 s


def test_zero_is_a_share_too() -> None:
    (route,) = routes_of(service(to(("podinfo-primary", 100), ("podinfo-canary", 0))))
    assert clusters(route) == {"podinfo-primary": 100, "podinfo-canary": 0}


@pytest.mark.parametrize("weight", [None, 0, 5, 100])
def test_a_sole_destination_receives_everything_whatever_its_weight(weight: int | None) -> None:
    (route,) = routes_of(service(to(("podinfo-canary", weight))))
    assert route["route"]["cluster"] == "podinfo-canary"
    assert "weighted_clusters" not in route["route"]


def test_weights_that_add_up_to_nothing_are_refused_by_name() -> None:
    with pytest.raises(TranslationError, match=r"shop/podinfo: .*podinfo-primary, podinfo-canary add up to 0"):
        translate([service(to(("podinfo-primary", 0), ("podinfo-canary", 0)))])


@pytest.mark.parametrize(
    ("destination", "name"),
    [
        ({"host": "podinfo-canary"}, "podinfo-canary"),
        ({"host": "podinfo", "subset": "canary"}, "podinfo|canary"),
        ({"host": "podinfo.shop"}, "podinfo"),
        ({"host": "podinfo.shop.svc"}, "podinfo"),
        ({"host": "podinfo.shop.svc.cluster.local", "subset": "v2"}, "podinfo|v2"),
        ({"host": "podinfo.other.svc.cluster.local"}, "podinfo.other.svc.cluster.local"),
        ({"host": "example.com"}, "example.com"),
    ],
)
def test_cluster_names(destination: Json, name: str) -> None:
    assert cluster_name(destination, "shop") == name


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ({"uri": {"exact": "/a"}}, {"path": "/a"}),
        ({"uri": {"prefix": "/a"}}, {"prefix": "/a"}),
        ({"uri": {"prefix": "/a"}, "ignoreUriCase": True}, {"prefix": "/a", "case_sensitive": False}),
        ({"uri": {"regex": "/a.*"}}, {"safe_regex": {"regex": "/a.*"}}),
        (
            {"headers": {"X-Canary": {"exact": "true"}}},
            {"prefix": "/", "headers": [{"name": "x-canary", "string_match": {"exact": "true"}}]},
        ),
        (
            {"headers": {"agent": {"prefix": "in"}, "who": {"regex": "a|b"}}},
            {
                "prefix": "/",
                "headers": [
                    {"name": "agent", "string_match": {"prefix": "in"}},
                    {"name": "who", "string_match": {"safe_regex": {"regex": "a|b"}}},
                ],
            },
        ),
        (
            {"headers": {"x-canary": {}}},
            {"prefix": "/", "headers": [{"name": "x-canary", "present_match": True}]},
        ),
        (
            {"withoutHeaders": {"x-canary": {}}},
            {"prefix": "/", "headers": [{"name": "x-canary", "present_match": True, "invert_match": True}]},
        ),
        (
            {"withoutHeaders": {"x-canary": {"exact": "no"}}},
            {
                "prefix": "/",
                "headers": [
                    {
                        "name": "x-canary",
                        "string_match": {"exact": "no"},
                        "invert_match": True,
                        "treat_missing_header_as_empty": True,
                    }
                ],
            },
        ),
        (
            {"method": {"exact": "GET"}, "authority": {"prefix": "a"}},
            {
                "prefix": "/",
                "headers": [
                    {"name": ":method", "string_match": {"exact": "GET"}},
                    {"name": ":authority", "string_match": {"prefix": "a"}},
                ],
            },
        ),
        (
            {"queryParams": {"v": {"exact": "2"}, "any": {}}},
            {
                "prefix": "/",
                "query_parameters": [
                    {"name": "v", "string_match": {"exact": "2"}},
                    {"name": "any", "present_match": True},
                ],
            },
        ),
        ({"name": "opt-in", "gateways": ["mesh"]}, {"prefix": "/"}),
    ],
)
def test_matches(match: Json, expected: Json) -> None:
    (route,) = routes_of(service({**STABLE, "match": [match]}))
    assert route["match"] == expected


def test_every_match_of_a_rule_is_a_route_and_rules_keep_their_order() -> None:
    opt_in = {
        **to(("podinfo-canary", 100)),
        "match": [{"headers": {"x": {"exact": "1"}}}, {"uri": {"prefix": "/n"}}],
    }
    routes = routes_of(service(opt_in, STABLE))
    assert [route["route"]["cluster"] for route in routes] == [
        "podinfo-canary",
        "podinfo-canary",
        "podinfo-primary",
    ]
    assert [route["match"].get("prefix") for route in routes] == ["/", "/n", "/"]


def test_mirrors_in_both_spellings() -> None:
    older = {**STABLE, "mirror": {"host": "podinfo-canary"}, "mirrorPercentage": {"value": 12.5}}
    newer = {
        **STABLE,
        "mirrors": [{"destination": {"host": "podinfo-canary"}, "percentage": {"value": 12.5}}],
    }
    expected = {
        "cluster": "podinfo-canary",
        "runtime_fraction": {"default_value": {"numerator": 125_000, "denominator": "MILLION"}},
    }
    for rule in (older, newer):
        (route,) = routes_of(service(rule))
        assert route["route"]["request_mirror_policies"] == [expected]


def test_a_mirror_without_percentage_takes_everything() -> None:
    (route,) = routes_of(service({**STABLE, "mirror": {"host": "podinfo-canary"}}))
    (mirror,) = route["route"]["request_mirror_policies"]
    assert mirror["runtime_fraction"]["default_value"]["numerator"] == 1_000_000


def test_timeout() -> None:
    (route,) = routes_of(service({**STABLE, "timeout": "2.5s"}))
    assert route["route"]["timeout"] == "2.5s"


def test_a_short_host_answers_to_all_its_names_and_the_full_name_is_the_same_host() -> None:
    full = service(STABLE, hosts=["podinfo.shop.svc.cluster.local"], name="newer", age="2")
    (host,) = translate([full, service({**STABLE, "timeout": "1s"})])["virtual_hosts"]
    assert set(host["domains"]) == {
        "podinfo",
        "podinfo.shop",
        "podinfo.shop.svc",
        "podinfo.shop.svc.cluster.local",
    }
    assert [route["route"]["timeout"] for route in host["routes"]] == ["1s", "0s"]  # the older one first


def test_outside_hosts_stay_as_they_are() -> None:
    hosts = translate([service(STABLE, hosts=["shop.example.com", "*.example.org", "*"])])["virtual_hosts"]
    assert [host["domains"] for host in hosts] == [["shop.example.com"], ["*.example.org"], ["*"]]


ROOT = {"delegate": {"name": "details", "namespace": "other"}}


def delegate(*rules: Json) -> Json:
    return service(*rules, hosts=[], name="details", namespace="other")


def test_a_delegate_fills_the_place_of_the_rule_that_names_it() -> None:
    canary = to(("podinfo-canary", 1), ("podinfo-primary", 99))
    routes = routes_of(service({**ROOT, "match": [{"uri": {"prefix": "/a"}}]}, STABLE), delegate(canary))
    assert clusters(routes[0]) == {"podinfo-canary": 1, "podinfo-primary": 99}
    assert [route["match"] for route in routes] == [{"prefix": "/a"}, {"prefix": "/"}]


def test_both_matches_of_a_delegate_have_to_hold() -> None:
    root = {**ROOT, "match": [{"uri": {"prefix": "/a"}, "headers": {"x": {"exact": "1"}}}]}
    narrower = {**STABLE, "match": [{"uri": {"exact": "/a/b"}, "headers": {"y": {"exact": "2"}}}]}
    (route,) = routes_of(service(root), delegate(narrower))
    assert route["match"]["path"] == "/a/b"
    assert [header["name"] for header in route["match"]["headers"]] == ["x", "y"]


@pytest.mark.parametrize(
    "conflict",
    [
        {"uri": {"prefix": "/b"}},
        {"uri": {"regex": "/a.*"}},
        {"headers": {"x": {"exact": "2"}}},
        {"method": {"exact": "PUT"}},
    ],
)
def test_matches_that_cannot_both_hold_make_no_route(conflict: Json) -> None:
    match = {"uri": {"prefix": "/a"}, "headers": {"x": {"exact": "1"}}, "method": {"exact": "GET"}}
    routes = routes_of(service({**ROOT, "match": [match]}, STABLE), delegate({**STABLE, "match": [conflict]}))
    assert [route["match"] for route in routes] == [{"prefix": "/"}]


def test_a_delegate_inherits_timeout_and_mirror_unless_it_has_its_own() -> None:
    root = {**ROOT, "timeout": "3s", "mirror": {"host": "podinfo-canary"}}
    inheriting, own = routes_of(service(root), delegate(STABLE, {**STABLE, "timeout": "1s"}))
    assert (inheriting["route"]["timeout"], own["route"]["timeout"]) == ("3s", "1s")
    assert len(inheriting["route"]["request_mirror_policies"]) == 1


@pytest.mark.parametrize(
    ("services", "reason"),
    [
        ([service(ROOT)], "delegates to other/details, which does not exist"),
        ([service(ROOT), service(STABLE, name="details", namespace="other")], "which has hosts of its own"),
        ([service(ROOT), delegate(ROOT)], "delegates again"),
        ([service({"route": []})], "neither a route nor a delegate"),
        ([service({**STABLE, "redirect": {}})], "redirect is not translated"),
        ([service({**STABLE, "match": [{"sourceLabels": {"a": "b"}}]})], "match on sourceLabels"),
    ],
)
def test_what_cannot_be_translated_truthfully_is_refused(services: list[Json], reason: str) -> None:
    with pytest.raises(TranslationError, match=reason) as refused:
        translate(services)
    assert "VirtualService shop/podinfo" in str(refused.value)
