"""What Envoy has to do when HTTPRoutes say so: the rules of the Gateway API that decide who gets the traffic."""

from __future__ import annotations

import copy
import re
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.sandbox.gateway_translating import (
    FAULT_FILTER,
    NOWHERE,
    UnsupportedRouteError,
    translate_http_routes,
    unresolved,
)
from daemon.sandbox.translating import reached
from tests import gateway_routing, gateway_strategies

Json = dict[str, Any]
KNOWN = {"web-stable", "web-canary", "audit", "web.other.svc.cluster.local"}
HOST = "app.example.com"


def to(name: str, weight: int | None = None, **more: Any) -> Json:
    return {"name": name, "port": 80, **({} if weight is None else {"weight": weight}), **more}


def rule(*backends: Json, **fields: Any) -> Json:
    return {"backendRefs": list(backends), **fields}


def route(*rules: Json, name: str = "web", hostnames: tuple[str, ...] = (HOST,), age: str = "1", **spec: Any) -> Json:
    return {
        "metadata": {"name": name, "namespace": "shop", "creationTimestamp": age},
        "spec": {"parentRefs": [{"name": "public"}], "hostnames": list(hostnames), "rules": list(rules), **spec},
    }


def hosts(*routes: Json) -> dict[str, list[Json]]:
    return {one["name"]: one["routes"] for one in translate_http_routes(routes, KNOWN)}


def only(*rules: Json) -> Json:
    (found,) = hosts(route(*rules))[HOST]
    return found


def header(name: str, value: str, **more: Any) -> Json:
    return {"name": name, "value": value, **more}


def mirror(name: str, **share: Any) -> Json:
    return {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": name, "port": 80}, **share}}


STABLE = rule(to("web-stable"))


def test_weights_become_shares_as_they_stand_and_an_absent_one_is_1() -> None:
    found = only(rule(to("web-stable", 95), to("web-canary", 5), to("audit")))["route"]["weighted_clusters"]
    assert {one["name"]: one["weight"] for one in found["clusters"]} == {"web-stable": 95, "web-canary": 5, "audit": 1}


@pytest.mark.parametrize("backends", [[], [to("web-canary", 0)], [to("web-stable", 0), to("web-canary", 0)]])
def test_no_backend_that_weighs_anything_is_an_error_for_everybody(backends: list[Json]) -> None:
    assert only(rule(*backends))["direct_response"] == {"status": 500}


def test_a_backend_that_alone_weighs_something_has_all() -> None:
    assert only(rule(to("web-stable", 3), to("web-canary", 0)))["route"]["cluster"] == "web-stable"


def test_a_share_of_what_is_not_there_is_an_error_in_just_that_share() -> None:
    found = only(rule(to("web-stable", 3), to("gone", 1), to("web-canary", 1, kind="ServiceImport", group="x.io")))
    shares = found["route"]["weighted_clusters"]["clusters"]
    assert [(one["name"], one["weight"]) for one in shares] == [("web-stable", 3), (NOWHERE, 1), (NOWHERE, 1)]
    assert [FAULT_FILTER in one.get("typed_per_filter_config", {}) for one in shares] == [False, True, True]
    assert reached({"virtual_hosts": translate_http_routes([route(rule(to("web-stable"), to("gone")))], KNOWN)}) == {
        "web-stable"
    }


@pytest.mark.parametrize(
    ("backend", "reason"),
    [
        (to("web-stable"), None),
        (to("web", namespace="other"), None),
        (to("gone"), "BackendNotFound"),
        (to("web-stable", namespace="other"), "BackendNotFound"),
        (to("web-stable", group="multicluster.x-k8s.io", kind="ServiceImport"), "InvalidKind"),
    ],
)
def test_what_cannot_be_resolved_has_a_reason(backend: Json, reason: str | None) -> None:
    copied = {"type": "RequestMirror", "requestMirror": {"backendRef": backend}}
    for one in (route(rule(backend)), route({**STABLE, "filters": [copied]})):
        found = unresolved(one, KNOWN)
        assert (found and found[0]) == reason
    assert ("direct_response" in only(rule(backend))) is (reason is not None)


def test_a_backend_of_another_namespace_keeps_its_full_name() -> None:
    assert only(rule(to("web", namespace="other")))["route"]["cluster"] == "web.other.svc.cluster.local"


@pytest.mark.parametrize(
    ("share", "millionths"),
    [({}, 1_000_000), ({"percent": 5}, 50_000), ({"percent": 0}, 0), ({"fraction": {"numerator": 1}}, 10_000),
     ({"fraction": {"numerator": 1, "denominator": 1000}}, 1000)],
)  # fmt: skip
def test_mirrors_copy_the_part_that_they_say(share: Json, millionths: int) -> None:
    action = only({**STABLE, "filters": [mirror("audit", **share), mirror("gone")]})["route"]
    (policy,) = action["request_mirror_policies"]
    assert policy["cluster"] == "audit"
    assert policy["runtime_fraction"]["default_value"] == {"numerator": millionths, "denominator": "MILLION"}


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ({}, {"prefix": "/"}),
        ({"path": {"type": "PathPrefix", "value": "/shop"}}, {"path_separated_prefix": "/shop"}),
        ({"path": {"value": "/shop/"}}, {"path_separated_prefix": "/shop"}),
        ({"path": {"type": "Exact", "value": "/shop/"}}, {"path": "/shop/"}),
        ({"path": {"type": "RegularExpression", "value": "/s.*"}}, {"safe_regex": {"regex": "/s.*"}}),
        (
            {"headers": [header("X-Canary", "true"), header("x-canary", "heeded not"),
                         header("who", "a|b", type="RegularExpression")]},
            {"prefix": "/", "headers": [
                {"name": "x-canary", "string_match": {"exact": "true"}},
                {"name": "who", "string_match": {"safe_regex": {"regex": "a|b"}}}]},
        ),
        ({"method": "POST"}, {"prefix": "/", "headers": [{"name": ":method", "string_match": {"exact": "POST"}}]}),
        (
            {"queryParams": [header("Q", "1"), header("q", "2")]},
            {"prefix": "/", "query_parameters": [
                {"name": "Q", "string_match": {"exact": "1"}}, {"name": "q", "string_match": {"exact": "2"}}]},
        ),
    ],
)  # fmt: skip
def test_matches(match: Json, expected: Json) -> None:
    assert only(rule(to("web-stable"), matches=[match]))["match"] == expected


@pytest.mark.parametrize(
    ("duration", "seconds"), [("0s", "0.000s"), ("1m30s", "90.000s"), ("250ms", "0.250s"), (None, "0.000s")]
)
def test_timeouts(duration: str | None, seconds: str) -> None:
    fields = {"timeouts": {"request": duration}} if duration else {}
    assert only({**STABLE, **fields})["route"]["timeout"] == seconds


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ({**STABLE, "sessionPersistence": {"type": "Cookie"}}, "sessionPersistence"),
        ({**STABLE, "filters": [{"type": "URLRewrite"}]}, "filter URLRewrite"),
        ({"filters": [{"type": "RequestRedirect"}]}, "filter RequestRedirect"),
        ({**STABLE, "filters": [{"type": "ExtensionRef"}]}, "filter ExtensionRef"),
        (rule(to("web-stable", filters=[mirror("audit")])), "a mirror of web-stable's requests alone"),
        ({**STABLE, "matches": [{"path": {"type": "Glob", "value": "/*"}}]}, "path match of type Glob"),
        ({**STABLE, "matches": [{"path": {"value": "shop"}}]}, "'shop' is no path"),
        ({**STABLE, "matches": [{"path": {"value": "/a//b"}}]}, "'/a//b' is no path"),
        ({**STABLE, "matches": [{"headers": [header("a", "b", type="Prefix")]}]}, "a matched by Prefix"),
        ({**STABLE, "matches": [{"port": 80}]}, "match on port"),
        ({**STABLE, "timeouts": {"request": "soon"}}, "'soon' is no duration"),
    ],
)
def test_what_cannot_be_translated_is_refused_by_name(broken: Json, why: str) -> None:
    with pytest.raises(UnsupportedRouteError, match=f"HTTPRoute shop/web: .*{re.escape(why)}") as refused:
        hosts(route(STABLE, name="a"), route(STABLE, broken))
    assert refused.value.route == "shop/web"


def test_a_route_of_a_mesh_is_refused_and_one_without_parents_is_attached_to_nothing() -> None:
    with pytest.raises(UnsupportedRouteError, match="no Gateway"):
        hosts(route(STABLE, parentRefs=[{"group": "", "kind": "Service", "name": "web"}]))
    assert hosts(route(STABLE, parentRefs=[])) == {}


# -- which match has the request


def test_the_most_specific_match_of_all_rules_stands_first() -> None:
    wanted: list[Json] = [
        {"path": {"type": "Exact", "value": "/"}},
        {"path": {"type": "RegularExpression", "value": "/a.*"}},
        {"path": {"value": "/shop/cart"}},
        {"path": {"value": "/shop"}, "method": "GET"},
        {"path": {"value": "/shop"}, "headers": [header("a", "1"), header("b", "1")], "queryParams": []},
        {"path": {"value": "/shop"}, "headers": [header("a", "1")], "queryParams": [header("q", "1")]},
        {"path": {"value": "/shop"}, "headers": [header("c", "1")]},
        {"path": {"value": "/shop"}, "queryParams": [header("q", "1"), header("r", "1")]},
        {"path": {"value": "/shop"}},
        {},
    ]
    given_order = [wanted[position] for position in (9, 4, 0, 7, 2, 8, 6, 3, 1, 5)]
    found = hosts(route(*(rule(to("web-stable"), matches=[match]) for match in given_order)))[HOST]
    assert [one["match"] for one in found] == [only(rule(to("web-stable"), matches=[one]))["match"] for one in wanted]


def test_of_equals_the_older_object_wins_then_the_name_then_the_first_rule() -> None:
    def whom(*routes: Json) -> list[str]:
        return [one["route"]["cluster"] for one in hosts(*routes)[HOST]]

    canary, audit = rule(to("web-canary")), rule(to("audit"))
    assert whom(route(STABLE, name="b", age="2"), route(canary, audit, name="c"), route(STABLE, name="a", age="2")) == [
        "web-canary", "audit", "web-stable", "web-stable",
    ]  # fmt: skip
    assert whom(route(STABLE, name="b"), route(canary, name="a")) == ["web-canary", "web-stable"]


def test_a_hostname_has_its_own_rules_first_and_then_those_of_all_it_is_one_of() -> None:
    found = hosts(
        route(rule(to("audit"), matches=[{"path": {"type": "Exact", "value": "/"}}]), name="all", hostnames=()),
        route(rule(to("web-canary")), name="wild", hostnames=("*.example.com",)),
        route(STABLE, name="exact", hostnames=("app.example.com", "*.com")),
    )
    who = {name: [one["route"]["cluster"] for one in routes] for name, routes in found.items()}
    assert who == {
        "app.example.com": ["web-stable", "web-canary", "audit"],
        "*.example.com": ["web-canary", "web-stable", "audit"],
        "*.com": ["web-stable", "audit"],
        "*": ["audit"],
    }


# -- the same as the independent evaluator of these rules says, over random routes and requests


def envoy_answers(translated: list[Json], request: gateway_routing.Request) -> dict[str, Fraction] | None:
    """What Envoy would do: one virtual host, its first route that fits; shares by cluster, None for a 404."""
    def precision(host: Json) -> tuple[int, int]:
        return (0, len(host["name"])) if host["name"].startswith("*") else (1, 0)

    fitting = [one for one in translated if _is_of(one["name"], request["host"])]
    if not fitting:
        return None
    for one in max(fitting, key=precision)["routes"]:
        if _fits(one["match"], request):
            return _shares(one)
    return None


def _is_of(domain: str, host: str) -> bool:
    return domain in ("*", host) or (domain.startswith("*.") and host.endswith(domain[1:]) and host != domain[1:])


def _fits(match: Json, request: gateway_routing.Request) -> bool:
    path = request["path"]
    if "path" in match and path != match["path"]:
        return False
    below = match.get("path_separated_prefix")
    if below is not None and path != below and not path.startswith(f"{below}/"):
        return False
    wanted = match.get("headers", [])
    return all(request["headers"].get(one["name"]) == one["string_match"]["exact"] for one in wanted)


def _shares(found: Json) -> dict[str, Fraction]:
    if "direct_response" in found:
        return {}
    action = found["route"]
    if "cluster" in action:
        return {action["cluster"]: Fraction(1)}
    listed = action["weighted_clusters"]["clusters"]
    whole = sum(one["weight"] for one in listed)
    shares: dict[str, Fraction] = {}
    for one in listed:
        if one["name"] != NOWHERE and one["weight"]:
            shares[one["name"]] = shares.get(one["name"], Fraction(0)) + Fraction(one["weight"], whole)
    return shares


def evaluated(documents: list[Json], request: gateway_routing.Request, home: str) -> dict[str, Fraction] | None:
    """The same from the evaluator: backends by the name of their cluster, those that are none left out."""
    shares = gateway_routing.answer(documents, request)
    if shares is None:
        return None
    found: dict[str, Fraction] = {}
    for (group, kind, namespace, name), part in shares.items():
        if (group, kind) == ("", "Service") and part:
            cluster = name if namespace == home else f"{name}.{namespace}.svc.cluster.local"
            found[cluster] = found.get(cluster, Fraction(0)) + part
    return found


HOSTNAMES = ["app.example.com", "*.example.com", "api.example.com", "*.com"]
PATHS = ["/", "/shop", "/shop/cart", "/shopping"]
path_matches = st.fixed_dictionaries(
    {"type": st.sampled_from(["Exact", "PathPrefix"]), "value": st.sampled_from(PATHS)}
)
header_matches = st.lists(
    st.builds(header, st.sampled_from(["X-Summit-Employee", "x-canary"]), st.sampled_from(["true", "true", "no"])),
    max_size=2, unique_by=lambda one: one["name"],
)  # fmt: skip
matches = st.lists(st.fixed_dictionaries({}, optional={"path": path_matches, "headers": header_matches}), max_size=3)


@st.composite
def gateways(draw: st.DrawFn) -> list[Json]:
    """The routes that people, Flagger and accidents write, all in one namespace, on several hostnames."""
    found = copy.deepcopy(draw(gateway_strategies.gateways("HTTPRoute")))
    for document in found:
        document["metadata"] |= {"namespace": "test", "creationTimestamp": draw(st.sampled_from(["1", "2"]))}
        document["spec"]["hostnames"] = draw(st.lists(st.sampled_from(HOSTNAMES), max_size=2))
        for one in document["spec"].get("rules", []):
            one["matches"] = draw(matches)
            # These have no translation: refused, as the tests above say.
            one.pop("sessionPersistence", None)
            one["filters"] = [each for each in one.get("filters", []) if each["type"] != "RequestRedirect"]
            for entry in one.get("backendRefs", []):
                entry.pop("filters", None)
    return found


requests = st.fixed_dictionaries({
    "host": st.sampled_from(["app.example.com", "api.example.com", "www.example.com", "example.com", "example.org"]),
    "path": st.sampled_from([*PATHS, "/shop/", "/other"]),
    "headers": st.dictionaries(
        st.sampled_from(["x-summit-employee", "x-canary"]), st.sampled_from(["true", "true", "no"])
    ),
})  # fmt: skip


@given(documents=gateways(), asked=st.lists(requests, min_size=1, max_size=6))
def test_envoy_is_told_what_the_independent_evaluator_says(documents: list[Json], asked: list[Json]) -> None:
    services = {service for document in documents for service in gateway_routing.services(document)}
    known = {name if home == "test" else f"{name}.{home}.svc.cluster.local" for home, name in services}
    translated = translate_http_routes(documents, known)
    for request in asked:
        assert envoy_answers(translated, request) == evaluated(documents, request, "test"), request
