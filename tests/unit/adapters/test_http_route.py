"""HTTPRoutes and GRPCRoutes as they are met in the wild, each with the one write that takes its canary to zero."""

import copy
import dataclasses
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml

from daemon.adapters import traffic
from daemon.adapters.traffic import http_route
from daemon.model.route import Original, PatchOperation, PathShare, RouteRef, RouteView, Sides, WeightChange
from tests import gateway_routing, routing

Json = dict[str, Any]

EXAMPLE = Path(__file__).parents[3] / "config/gateway-api/internal.yaml"
FLAGGER = Sides(
    namespace="test",
    canary_services=frozenset({("test", "podinfo-canary")}),
    stable_services=frozenset({("test", "podinfo-primary")}),
    shared_services=frozenset({("test", "podinfo")}),
)
NAMED = Sides(
    namespace="test",
    canary_services=frozenset({("test", "web-v2")}),
    stable_services=frozenset({("test", "web-v1")}),
    shared_services=frozenset(),
)
ALL, NONE = Fraction(1), Fraction(0)
EMPLOYEES = [{"headers": [{"type": "Exact", "name": "X-Summit-Employee", "value": "true"}]}]
HEADERS: Json = {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"add": [{"name": "x", "value": "y"}]}}

every_kind = pytest.mark.parametrize("kind", ["HTTPRoute", "GRPCRoute"])


def to(name: str, weight: int | None = None, **more: Any) -> Json:
    """One backend of a rule."""
    entry: Json = {"name": name, "port": 80, **more}
    return entry if weight is None else {**entry, "weight": weight}


def mirror(name: str, **more: Any) -> Json:
    share = {key: more.pop(key) for key in ("percent", "fraction") if key in more}
    return {"type": "RequestMirror", "requestMirror": {"backendRef": to(name, **more), **share}}


def rule(*backends: Json, **more: Any) -> Json:
    return {**more, "backendRefs": list(backends)}


def route(*rules: Json, kind: str = "HTTPRoute", namespace: str = "test", **metadata: Any) -> Json:
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": kind,
        "metadata": {
            "name": "podinfo",
            "namespace": namespace,
            "resourceVersion": "40991",
            "generation": 2,
            **metadata,
        },
        "spec": {"hostnames": ["app.example.com"], "rules": list(rules)},
    }


def seen(document: Json, sides: Sides = FLAGGER) -> RouteView:
    kind = traffic.discover()[document["kind"]]
    return kind.view(kind.read(document), sides)


def zeroed(document: Json, sides: Sides = FLAGGER) -> Json:
    patch = seen(document, sides).zero
    return routing.apply(document, patch.operations if patch else ())


def written(operations: Sequence[PatchOperation]) -> list[tuple[str, str, Any]]:
    return [(operation.op, operation.path, operation.value) for operation in operations]


def as_flagger_writes(canary: int) -> Json:
    """The rule of an HTTPRoute that Flagger 1.44 has made, as the API server gives it."""
    return {
        "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
        "backendRefs": [
            {"group": "", "kind": "Service", "name": "podinfo-primary", "port": 80, "weight": 100 - canary},
            {"group": "", "kind": "Service", "name": "podinfo-canary", "port": 80, "weight": canary},
        ],
    }


@every_kind
def test_flaggers_split_gets_guards_on_both_backends_and_two_weights_and_nothing_else(kind: str) -> None:
    view = seen(route(as_flagger_writes(15), kind=kind))

    assert view.paths == (PathShare("rules[0]", 0.15, weighted=True),)
    assert view.weight == 15.0
    assert view.zero is not None
    place = "/spec/rules/0/backendRefs"
    assert written(view.zero.operations) == [
        ("test", f"{place}/0/group", ""),
        ("test", f"{place}/0/kind", "Service"),
        ("test", f"{place}/0/namespace", None),
        ("test", f"{place}/0/name", "podinfo-primary"),
        ("test", f"{place}/0/port", 80),
        ("test", f"{place}/1/group", ""),
        ("test", f"{place}/1/kind", "Service"),
        ("test", f"{place}/1/namespace", None),
        ("test", f"{place}/1/name", "podinfo-canary"),
        ("test", f"{place}/1/port", 80),
        ("add", f"{place}/0/weight", 100),
        ("add", f"{place}/1/weight", 0),
    ]
    assert view.zero.changes == (WeightChange(RouteRef(kind, "test", "podinfo"), "rules[0]", 15.0, 0.0),)
    assert view.zero.originals == ()


STICKY = {"sessionPersistence": {"type": "Cookie"}}
ZEROED: dict[str, tuple[Sides, list[Json], list[Json]]] = {
    "any sum is kept": (
        FLAGGER,
        [rule(to("podinfo-primary", 800), to("podinfo-canary", 51))],
        [rule(to("podinfo-primary", 851), to("podinfo-canary", 0))],
    ),
    "weights that nobody wrote are 1 each": (
        FLAGGER,
        [rule(to("podinfo-primary"), to("podinfo-canary"))],
        [rule(to("podinfo-primary", 2), to("podinfo-canary", 0))],
    ),
    "the largest weight there is, is not exceeded": (
        FLAGGER,
        [rule(to("podinfo-primary", 1_000_000), to("podinfo-canary", 1_000_000))],
        [rule(to("podinfo-primary", 1_000_000), to("podinfo-canary", 0))],
    ),
    "a rule whose weights are all 0 answers with errors and gives the canary nothing": (
        FLAGGER,
        [rule(to("podinfo-primary", 0), to("podinfo-canary", 0)), rule(to("podinfo-canary", 0))],
        [rule(to("podinfo-primary", 0), to("podinfo-canary", 0)), rule(to("podinfo-canary", 0))],
    ),
    "a canary at 0 beside stable, or beside others, is left alone": (
        FLAGGER,
        [rule(to("podinfo-primary", 9), to("podinfo-canary", 0)), rule(to("legacy"), to("podinfo-canary", 0))],
        [rule(to("podinfo-primary", 9), to("podinfo-canary", 0)), rule(to("legacy"), to("podinfo-canary", 0))],
    ),
    "the stable backend with the largest weight takes the canary's": (
        FLAGGER,
        [rule(to("podinfo-primary", 20), to("podinfo-primary", 70, port=81), to("podinfo-canary", 10))],
        [rule(to("podinfo-primary", 20), to("podinfo-primary", 80, port=81), to("podinfo-canary", 0))],
    ),
    "a third party in the split keeps its weight": (
        FLAGGER,
        [rule(to("podinfo-primary", 50), to("podinfo-canary", 10), to("legacy"))],
        [rule(to("podinfo-primary", 60), to("podinfo-canary", 0), to("legacy"))],
    ),
    "the users of a header are re-pointed, weight and filters and the rest of the rule kept": (
        FLAGGER,
        [rule(to("podinfo-canary", 7, filters=[HEADERS]), matches=EMPLOYEES, timeouts={"request": "5s"}, x={"y": 1})],
        [rule(to("podinfo-primary", 7, filters=[HEADERS]), matches=EMPLOYEES, timeouts={"request": "5s"}, x={"y": 1})],
    ),
    "a canary beside a third party is re-pointed with its weight": (
        FLAGGER,
        [rule(to("podinfo-canary", 10), to("legacy", 90))],
        [rule(to("podinfo-primary", 10), to("legacy", 90))],
    ),
    "two canaries alone are both re-pointed, the one at 0 too": (
        FLAGGER,
        [rule(to("podinfo-canary", 0), to("podinfo-canary", 10, port=81))],
        [rule(to("podinfo-primary", 0), to("podinfo-primary", 10, port=81))],
    ),
    "the canary's port stays, for all that is known": (
        FLAGGER,
        [rule(to("podinfo-canary", port=9898))],
        [rule(to("podinfo-primary", port=9898))],
    ),
    "a port by which the object reaches stable elsewhere is taken": (
        FLAGGER,
        [rule(to("podinfo-canary", port=9898), matches=EMPLOYEES), rule(to("podinfo-primary", port=8080))],
        [rule(to("podinfo-primary", port=8080), matches=EMPLOYEES), rule(to("podinfo-primary", port=8080))],
    ),
    "of several ports of stable the canary's own is kept": (
        FLAGGER,
        [
            rule(to("podinfo-canary", port=9898), matches=EMPLOYEES),
            rule(to("podinfo-primary", port=8080), to("podinfo-primary", port=9898)),
        ],
        [
            rule(to("podinfo-primary", port=9898), matches=EMPLOYEES),
            rule(to("podinfo-primary", port=8080), to("podinfo-primary", port=9898)),
        ],
    ),
    "services that share no name are exchanged if there is only one stable one": (
        NAMED,
        [rule(to("web-v2"), matches=EMPLOYEES), rule(to("web-v1", 60), to("web-v2", 40))],
        [rule(to("web-v1"), matches=EMPLOYEES), rule(to("web-v1", 100), to("web-v2", 0))],
    ),
    "sessions stay with a backend of weight 0, so where they persist the canary is re-pointed": (
        FLAGGER,
        [
            rule(to("podinfo-primary", 95), to("podinfo-canary", 5), **STICKY),
            rule(to("podinfo-primary", 100), to("podinfo-canary", 0), **STICKY),
        ],
        [
            rule(to("podinfo-primary", 95), to("podinfo-primary", 5), **STICKY),
            rule(to("podinfo-primary", 100), to("podinfo-primary", 0), **STICKY),
        ],
    ),
    "mirrors to the canary go, those to others stay": (
        FLAGGER,
        [
            rule(
                to("podinfo-primary"),
                filters=[
                    mirror("podinfo-canary"),
                    mirror("audit"),
                    HEADERS,
                    mirror("podinfo-canary", percent=1),
                    mirror("podinfo-canary", fraction={"numerator": 1, "denominator": 1000}),
                    mirror("podinfo-canary", percent=0),
                ],
            )
        ],
        [rule(to("podinfo-primary"), filters=[mirror("audit"), HEADERS, mirror("podinfo-canary", percent=0)])],
    ),
    "mirrors of single backends go as well, whatever those weigh just now": (
        FLAGGER,
        [
            rule(
                to("podinfo-primary", 0, filters=[mirror("podinfo-canary"), HEADERS]),
                to("podinfo-canary", 5, filters=[mirror("podinfo-canary", percent=50)]),
            )
        ],
        [rule(to("podinfo-primary", 5, filters=[HEADERS]), to("podinfo-canary", 0, filters=[]))],
    ),
    "redirects have nothing to take away": (
        FLAGGER,
        [{"filters": [{"type": "RequestRedirect", "requestRedirect": {"scheme": "https"}}]}],
        [{"filters": [{"type": "RequestRedirect", "requestRedirect": {"scheme": "https"}}]}],
    ),
    "what is no Service is not ours to move": (
        FLAGGER,
        [
            rule(to("podinfo-canary", group="multicluster.x-k8s.io", kind="ServiceImport")),
            rule(to("podinfo-canary", kind="Backend"), to("podinfo-canary", group="x.io")),
            rule(to("podinfo-primary", 5, kind="Backend", group="x.io"), to("podinfo-canary", 5)),
        ],
        [
            rule(to("podinfo-canary", group="multicluster.x-k8s.io", kind="ServiceImport")),
            rule(to("podinfo-canary", kind="Backend"), to("podinfo-canary", group="x.io")),
            rule(to("podinfo-primary", 5, kind="Backend", group="x.io"), to("podinfo-primary", 5)),
        ],
    ),
    "a service of the same name in another namespace is not the canary": (
        FLAGGER,
        [rule(to("podinfo-primary", 50), to("podinfo-canary", 50, namespace="other"))],
        [rule(to("podinfo-primary", 50), to("podinfo-canary", 50, namespace="other"))],
    ),
    "a shared service reaches the canary too, and is no counterpart": (
        dataclasses.replace(FLAGGER, stable_services=FLAGGER.stable_services | {("test", "podinfo")}),
        [rule(to("podinfo-canary"))],
        [rule(to("podinfo-primary"))],
    ),
}


@every_kind
@pytest.mark.parametrize("case", ZEROED)
def test_zeroing(case: str, kind: str) -> None:
    sides, before, after = ZEROED[case]
    document = route(*copy.deepcopy(before), kind=kind)

    assert route(*after, kind=kind) == zeroed(document, sides)
    assert route(*before, kind=kind) == document
    assert seen(route(*after, kind=kind), sides).zero is None


def test_across_namespaces_the_references_say_where() -> None:
    document = route(
        rule(to("podinfo-canary", namespace="test"), matches=EMPLOYEES), rule(to("podinfo-canary")), namespace="infra"
    )

    expected = route(
        rule(to("podinfo-primary", namespace="test"), matches=EMPLOYEES), rule(to("podinfo-canary")), namespace="infra"
    )
    assert expected == zeroed(document)


def test_a_namespace_is_added_where_stable_lives_in_another() -> None:
    sides = dataclasses.replace(NAMED, stable_services=frozenset({("prod", "web-v1")}))

    assert route(rule(to("web-v1", namespace="prod"))) == zeroed(route(rule(to("web-v2"))), sides)


def test_the_employees_of_the_shipped_route_are_answered_by_stable_and_put_back() -> None:
    document = yaml.safe_load(EXAMPLE.read_text("utf-8"))
    read = http_route.read(document)
    sides = http_route.claim(read, "cluster.local")
    assert sides is not None
    employee = {"host": "internal.summit.internal", "path": "/cart", "headers": {"x-summit-employee": "true"}}
    anybody = {**employee, "headers": {}}
    canary, stable = (("", "Service", "shop", f"summit-server-{side}") for side in ("canary", "primary"))
    assert gateway_routing.answer([document], employee) == {canary: ALL}

    patch = http_route.view(read, sides).zero
    assert patch is not None
    after = routing.apply(document, patch.operations)

    assert gateway_routing.answer([after], employee) == {stable: ALL}
    assert gateway_routing.answer([after], anybody) == gateway_routing.answer([document], anybody) == {stable: ALL}
    assert document == routing.apply(after, http_route.restore(http_route.read(after), patch.originals))


def test_of_several_routes_on_one_hostname_each_is_zeroed_on_its_own() -> None:
    opt_in = route(rule(to("podinfo-canary"), matches=EMPLOYEES))
    split = route(rule(to("podinfo-primary", 95), to("podinfo-canary", 5)), name="split")
    narrow = route(
        rule(to("podinfo-canary", filters=[HEADERS]), matches=[{"path": {"type": "PathPrefix", "value": "/v2"}}]),
        name="narrow",
    )
    canary, stable = (("", "Service", "test", f"podinfo-{side}") for side in ("canary", "primary"))
    asked = [
        {"host": "app.example.com", "path": path, "headers": headers}
        for path in ("/", "/v2/x") for headers in ({}, {"x-summit-employee": "true"})
    ]  # fmt: skip
    before = [gateway_routing.answer([opt_in, split, narrow], one) or {} for one in asked]
    assert [float(one.get(canary, 0)) for one in before] == [0.05, 1, 1, 1]

    after = [gateway_routing.answer([zeroed(one) for one in (opt_in, split, narrow)], one) or {} for one in asked]

    assert [(one.get(stable), one.get(canary, NONE)) for one in after] == [(ALL, NONE)] * 4


def test_third_parties_in_the_sum_have_the_weights_used_tested_too() -> None:
    patch = seen(route(rule(to("podinfo-primary"), to("legacy", 40), to("podinfo-canary", 10)))).zero

    assert patch is not None
    weights = [one for one in written(patch.operations) if one[1].endswith("/weight")]
    assert weights == [
        ("test", "/spec/rules/0/backendRefs/0/weight", None),
        ("test", "/spec/rules/0/backendRefs/2/weight", 10),
        ("add", "/spec/rules/0/backendRefs/0/weight", 11),
        ("add", "/spec/rules/0/backendRefs/2/weight", 0),
    ]
    assert not [one for one in written(patch.operations) if "/backendRefs/1/" in one[1]]


@pytest.mark.parametrize("now", [as_flagger_writes(50), as_flagger_writes(100), as_flagger_writes(0)])
def test_a_weight_that_flagger_raised_after_the_read_is_zeroed_by_the_same_write(now: Json) -> None:
    patch = seen(route(as_flagger_writes(5))).zero

    assert patch is not None
    assert route(as_flagger_writes(0)) == routing.apply(route(now), patch.operations)


@pytest.mark.parametrize(
    "now",
    [
        [rule(to("podinfo-canary", 5), to("podinfo-primary", 95))],
        [rule(to("podinfo-primary", 100))],
        [rule(to("podinfo-primary", 95), to("podinfo-canary", 5, port=81))],
        [rule(to("podinfo-primary", 95), to("podinfo-canary", 5, namespace="test"))],
        [rule(to("legacy")), rule(to("podinfo-primary", 95), to("podinfo-canary", 5))],
        [],
    ],
    ids=["swapped", "canary gone", "another port", "a namespace", "a rule before it", "no rules"],
)
def test_a_write_planned_for_backends_that_moved_is_refused(now: list[Json]) -> None:
    patch = seen(route(rule(to("podinfo-primary", 95), to("podinfo-canary", 5)))).zero

    assert patch is not None
    with pytest.raises(routing.Conflict):
        routing.apply(route(*now), patch.operations)


@pytest.mark.parametrize(
    ("said", "share"),
    [
        ({}, 1.0),
        ({"percent": 25}, 0.25),
        ({"percent": 0}, 0.0),
        ({"percent": "25"}, 1.0),
        ({"percent": -1}, 1.0),
        ({"percent": 101}, 1.0),
        ({"percent": True}, 1.0),
        ({"percent": None, "fraction": {"numerator": 5}}, 0.05),
        ({"fraction": {"numerator": 5, "denominator": 1000}}, 0.005),
        ({"fraction": {"numerator": 0, "denominator": 0}}, 1.0),
        ({"fraction": {"numerator": 5, "denominator": "x"}}, 1.0),
        ({"fraction": {}}, 1.0),
        ({"fraction": "half"}, 1.0),
        ({"percent": 5, "fraction": {"numerator": 50}}, 0.5),
    ],
)
def test_a_mirror_copies_everything_unless_a_number_says_less(said: Json, share: float) -> None:
    view = seen(route(rule(to("podinfo-primary"), filters=[mirror("podinfo-canary", **said)])))

    assert view.paths == (PathShare("rules[0].filters[0]", share, weighted=False),)
    assert (view.zero is None) == (share == 0)


@pytest.mark.parametrize(("kind", "paths"), [("RequestMirror", 1), (None, 1), ("RequestHeaderModifier", 0)])
def test_a_filter_is_what_its_type_says(kind: str | None, paths: int) -> None:
    one = {**mirror("podinfo-canary"), "type": kind}

    assert len(seen(route(rule(to("podinfo-primary"), filters=[one]))).paths) == paths


def test_a_canary_whose_stable_side_nobody_knows_is_reported_and_the_rest_zeroed() -> None:
    sides = dataclasses.replace(FLAGGER, stable_services=frozenset())
    document = route(
        rule(to("podinfo-canary"), matches=EMPLOYEES),
        rule(to("legacy", 50), to("podinfo-canary", 50)),
        rule(to("legacy"), filters=[mirror("podinfo-canary")]),
        rule(to("legacy"), to("podinfo-canary", 0), **STICKY),
    )

    view = seen(document, sides)

    assert view.paths == (
        PathShare("rules[0]", 1.0, weighted=False),
        PathShare("rules[1]", 0.5, weighted=True),
        PathShare("rules[2].filters[0]", 1.0, weighted=False),
        PathShare("rules[3]", 0.0, weighted=True),
    )
    assert view.zero is not None
    assert [change.path for change in view.zero.changes] == ["rules[2].filters[0]"]
    assert not seen(zeroed(document, sides), sides).at_zero


def test_where_sessions_persist_a_canary_follows_the_one_that_can_be_re_pointed() -> None:
    sides = dataclasses.replace(
        FLAGGER,
        canary_services=FLAGGER.canary_services | {("test", "lonely")},
        stable_services=FLAGGER.stable_services | {("test", "web-primary")},
    )
    document = route(rule(to("lonely", 30), to("podinfo-canary", 30), **STICKY))

    assert route(rule(to("podinfo-primary", 30), to("podinfo-primary", 30), **STICKY)) == zeroed(document, sides)


def test_a_canary_beside_another_that_can_be_re_pointed_hands_over_its_weight() -> None:
    sides = dataclasses.replace(
        FLAGGER,
        canary_services=FLAGGER.canary_services | {("test", "lonely")},
        stable_services=FLAGGER.stable_services | {("test", "web-primary")},
    )
    document = route(rule(to("lonely", 30), to("podinfo-canary", 30), to("legacy", 40)))

    assert route(rule(to("lonely", 0), to("podinfo-primary", 60), to("legacy", 40))) == zeroed(document, sides)


@pytest.mark.parametrize("weight", ["5", 5.0, -5, True, 1_000_001, [5], {"value": 5}])
def test_a_split_with_a_weight_that_cannot_be_read_is_reported_as_the_worst_and_left(weight: Any) -> None:
    view = seen(route(rule(to("podinfo-primary", 95), to("podinfo-canary", weight))))

    assert view.paths == (PathShare("rules[0]", 1.0, weighted=True),)
    assert view.zero is None


def test_a_sole_canary_whose_weight_cannot_be_read_is_re_pointed_all_the_same() -> None:
    expected = route(rule(to("podinfo-primary", weight="5")))  # type: ignore[arg-type]
    assert expected == zeroed(route(rule(to("podinfo-canary", weight="5"))))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "spec",
    [
        None,
        [],
        {"rules": None},
        {"rules": {"backendRefs": []}},
        {"rules": [None, 5, "x", []]},
        {"rules": [{}, {"backendRefs": None}, {"backendRefs": {}}, {"backendRefs": "podinfo-canary"}]},
        {"rules": [{"backendRefs": [None, 5, {}, {"name": None}, {"name": ["podinfo-canary"]}]}]},
        {"rules": [{"backendRefs": [{"name": "podinfo-canary", "kind": []}, {"name": "podinfo-canary", "group": {}}]}]},
        {"rules": [{"backendRefs": [{"name": "podinfo-canary", "namespace": 5}, {"name": "", "kind": "Service"}]}]},
        {"rules": [{"filters": [None, 5, {}, {"type": "RequestMirror"}, {"requestMirror": {"backendRef": None}}]}]},
        {"rules": [{"filters": [{"type": [], "requestMirror": {"backendRef": {"name": "podinfo-canary"}}}]}]},
        {"hostnames": [None, 5, ""], "parentRefs": [None, 5, {}, {"kind": "Service"}, {"kind": [], "name": "x"}]},
        {"hostnames": "x", "parentRefs": {"kind": "Service", "name": "podinfo"}},
    ],
)
def test_what_is_no_route_is_no_path(spec: Any) -> None:
    document = {"kind": "HTTPRoute", "metadata": {"name": "podinfo", "namespace": "test"}, "spec": spec}
    read = http_route.read(document)

    assert seen(document).paths == ()
    assert http_route.services(read, "cluster.local") == frozenset()
    assert http_route.hosts(read, "cluster.local") == frozenset()
    assert http_route.claim(read, "cluster.local") is None
    assert http_route.steer(read, FLAGGER, 50) is None


def test_hosts_are_hostnames_and_the_services_of_a_mesh() -> None:
    document = route()
    document["spec"] = {
        "hostnames": ["app.example.com", "*.example.com", "podinfo"],
        "parentRefs": [
            {"name": "public", "namespace": "infra"},
            {"group": "", "kind": "Service", "name": "podinfo", "port": 80},
            {"group": "", "kind": "Service", "name": "cart", "namespace": "shop"},
        ],
    }

    assert http_route.hosts(http_route.read(document), "corp.internal") == {
        "app.example.com",
        "podinfo", "podinfo.test", "podinfo.test.svc", "podinfo.test.svc.corp.internal",
        "cart", "cart.shop", "cart.shop.svc", "cart.shop.svc.corp.internal",
    }  # fmt: skip


def test_the_versions_that_flagger_knows_of_the_gateway_api() -> None:
    kinds = traffic.discover()
    assert {"gatewayapi:v1", "gatewayapi:v1beta1"} == kinds["HTTPRoute"].PROVIDERS
    assert [str(one) for one in kinds["HTTPRoute"].RESOURCES] == [
        "httproutes.gateway.networking.k8s.io/v1", "httproutes.gateway.networking.k8s.io/v1beta1",
    ]  # fmt: skip
    assert [str(one) for one in kinds["GRPCRoute"].RESOURCES] == ["grpcroutes.gateway.networking.k8s.io/v1"]


# -- whose canary it is


def claimed(document: Json) -> tuple[set[tuple[str, str]], set[tuple[str, str]]] | None:
    sides = http_route.claim(http_route.read(document), "cluster.local")
    return None if sides is None else (set(sides.canary_services), set(sides.stable_services))


@pytest.mark.parametrize(
    ("names", "stable"),
    [
        (("podinfo-canary", "podinfo-primary"), {"podinfo-primary"}),
        (("podinfo-canary", "podinfo-stable", "podinfo"), {"podinfo-stable"}),
        (("podinfo-canary", "podinfo"), {"podinfo"}),
        (("podinfo-canary", "legacy"), set()),
        (("podinfo-canary",), set()),
    ],
)
def test_sides_are_told_by_names(names: tuple[str, ...], stable: set[str]) -> None:
    assert claimed(route(rule(*map(to, names)))) == ({("test", "podinfo-canary")}, {("test", one) for one in stable})


def test_no_name_tells_of_a_canary() -> None:
    assert claimed(route(rule(to("podinfo"), to("legacy")))) is None
    assert claimed(route(rule(to("podinfo-canary", kind="Backend", group="x.io")))) is None


def test_a_mirror_tells_of_a_canary_too() -> None:
    document = route(rule(to("podinfo"), filters=[mirror("podinfo-canary")]))
    assert claimed(document) == ({("test", "podinfo-canary")}, {("test", "podinfo")})


@pytest.mark.parametrize(
    ("canary", "stable", "found"),
    [
        ("web-v2", "web-v1", ({("test", "web-v2")}, {("test", "web-v1")})),
        ("web-v2.test", "web-v1.prod", ({("test", "web-v2")}, {("prod", "web-v1")})),
        ("web-v2.test.svc.cluster.local", "", ({("test", "web-v2")}, {("test", "web-v1")})),
        ("web-v9", "", ({("test", "web-v9")}, set())),
        ("web-v2/canary", "web-v1", None),
        ("web.example.com", "web-v1", None),
    ],
)
def test_annotations_come_before_names(canary: str, stable: str, found: Any) -> None:
    said = {"pullback.dev/canary": canary, **({"pullback.dev/stable": stable} if stable else {})}
    assert claimed(route(rule(to("web-v2"), to("web-v1")), annotations=said)) == found


def test_a_canary_that_was_re_pointed_away_is_still_the_annotated_one() -> None:
    said = {"pullback.dev/canary": "web-v2", "pullback.dev/stable": "web-v1"}
    document = route(rule(to("web-v2")), annotations=said)
    assert claimed(zeroed(document, NAMED)) == claimed(document) == ({("test", "web-v2")}, {("test", "web-v1")})


# -- steering


def steered(document: Json, percent: float) -> Json:
    patch = http_route.steer(http_route.read(document), FLAGGER, percent)
    return routing.apply(document, patch.operations if patch else ())


def test_steering_moves_what_stable_and_canary_share_and_nothing_else() -> None:
    document = route(
        rule(to("podinfo-canary"), matches=EMPLOYEES),
        rule(to("podinfo-primary"), to("podinfo-canary", 0), to("legacy", 7)),
        rule(to("podinfo-primary", 500), to("podinfo-canary", 500)),
    )

    expected = route(
        rule(to("podinfo-canary"), matches=EMPLOYEES),
        rule(to("podinfo-primary", 75), to("podinfo-canary", 25), to("legacy", 7)),
        rule(to("podinfo-primary", 750), to("podinfo-canary", 250)),
    )
    assert expected == steered(document, 25)


def test_a_raise_lands_on_exactly_what_was_looked_at_or_not_at_all() -> None:
    document = route(rule(to("podinfo-primary", 95), to("podinfo-canary", 5), to("legacy")))
    patch = http_route.steer(http_route.read(document), FLAGGER, 25)
    assert patch is not None
    for moved in (("podinfo-canary", 0), ("podinfo-primary", 90), ("legacy", 1)):
        now = copy.deepcopy(document)
        next(one for one in now["spec"]["rules"][0]["backendRefs"] if one["name"] == moved[0])["weight"] = moved[1]
        with pytest.raises(routing.Conflict):
            routing.apply(now, patch.operations)


@pytest.mark.parametrize("weights", [("x", 5), (1_000_000, 1_000_000)])
def test_a_split_that_cannot_be_said_in_weights_stays(weights: Any) -> None:
    stable, canary = weights
    document = route(rule(to("podinfo-primary", stable), to("podinfo-canary", canary)))
    assert document == steered(document, 5)


# -- putting back


BEFORE = [
    rule(
        to("podinfo-canary", 100, filters=[HEADERS, mirror("podinfo-canary")]),
        matches=EMPLOYEES, name="opt-in", filters=[mirror("audit"), mirror("podinfo-canary", percent=5)],
    ),
    rule(to("podinfo-primary"), filters=[mirror("podinfo-canary")]),
]  # fmt: skip


def originals_of(*rules: Json) -> tuple[Original, ...]:
    patch = seen(route(*rules)).zero
    assert patch is not None
    return patch.originals


def restored(now: Json, originals: Sequence[Original]) -> Json:
    return routing.apply(now, http_route.restore(http_route.read(now), originals))


def test_restoring_gives_back_the_object() -> None:
    document = route(*BEFORE)
    after = zeroed(document)

    assert document != after
    assert document == restored(after, originals_of(*BEFORE))
    assert http_route.restore(http_route.read(document), originals_of(*BEFORE)) == ()


def test_restoring_is_one_guarded_write() -> None:
    before = rule(to("podinfo-canary", port=9898), matches=EMPLOYEES), rule(to("podinfo-primary", port=8080))

    assert written(http_route.restore(http_route.read(zeroed(route(*before))), originals_of(*before))) == [
        ("test", "/spec/rules/0/matches", EMPLOYEES),
        ("test", "/spec/rules/0/backendRefs/0/group", None),
        ("test", "/spec/rules/0/backendRefs/0/kind", None),
        ("test", "/spec/rules/0/backendRefs/0/namespace", None),
        ("test", "/spec/rules/0/backendRefs/0/name", "podinfo-primary"),
        ("test", "/spec/rules/0/backendRefs/0/port", 8080),
        ("test", "/spec/rules/0/backendRefs/0/weight", None),
        ("add", "/spec/rules/0/backendRefs/0/name", "podinfo-canary"),
        ("add", "/spec/rules/0/backendRefs/0/port", 9898),
    ]


def test_a_namespace_that_zeroing_added_goes_again() -> None:
    sides = dataclasses.replace(NAMED, stable_services=frozenset({("prod", "web-v1")}))
    document = route(rule(to("web-v2")))
    patch = seen(document, sides).zero
    assert patch is not None

    assert document == restored(routing.apply(document, patch.operations), patch.originals)


def test_restoring_finds_a_named_rule_wherever_it_went() -> None:
    zero = zeroed(route(*BEFORE))["spec"]["rules"]
    redirect = {"filters": [{"type": "RequestRedirect", "requestRedirect": {"scheme": "https"}}]}

    after = restored(route(redirect, zero[0]), originals_of(*BEFORE))

    assert route(redirect, BEFORE[0]) == after


def test_restoring_never_takes_the_rule_for_everybody_for_the_one_that_was_deleted() -> None:
    everybody = rule(to("podinfo-primary"))
    originals = originals_of(rule(to("podinfo-canary"), matches=EMPLOYEES), everybody)

    assert route(everybody) == restored(route(everybody), originals)


@pytest.mark.parametrize(
    "now",
    [
        [rule(to("legacy", filters=[]), matches=EMPLOYEES, name="opt-in")],
        [rule(matches=EMPLOYEES, name="opt-in")],
        [rule(to("podinfo-primary", port=81, filters=[]), matches=EMPLOYEES, name="opt-in")],
        [rule(to("podinfo-primary", filters=[]), matches=[{"path": {"value": "/"}}], name="opt-in")],
        [],
    ],
    ids=["re-pointed since", "emptied", "another port", "serves others now", "deleted"],
)
def test_restoring_skips_backends_that_people_changed_since(now: list[Json]) -> None:
    originals = [one for one in originals_of(*BEFORE) if one.field != "filters"]
    assert {one.field for one in originals} == {"backendRef", "backendRefs[0].filters"}
    assert route(*now) == restored(route(*now), originals)


@pytest.mark.parametrize(
    "now",
    [
        [to("podinfo-primary", 5), to("podinfo-primary", 95)],
        [to("podinfo-primary", 5), to("podinfo-primary", 6)],
        [to("podinfo-primary", 95), to("podinfo-primary", "x")],  # type: ignore[arg-type]
    ],
    ids=["exchanged", "more", "unreadable"],
)
def test_restoring_never_gives_the_canary_more_than_it_had(now: list[Json]) -> None:
    before = rule(to("podinfo-primary", 95), to("podinfo-canary", 5), **STICKY)
    after = zeroed(route(before))

    assert route(before) == restored(after, originals_of(before))
    assert route(rule(*now, **STICKY)) == restored(route(rule(*now, **STICKY)), originals_of(before))


def test_nulls_are_no_fields() -> None:
    document = route(rule(to("podinfo-canary", namespace=None, group=None), to("podinfo-primary", weight=None)))
    patch = seen(document).zero
    assert patch is not None
    after = routing.apply(document, patch.operations)
    assert [one.get("weight") for one in after["spec"]["rules"][0]["backendRefs"]] == [0, 2]


def test_restoring_skips_what_belongs_to_another_object() -> None:
    other = RouteRef("HTTPRoute", "test", "another")
    originals = [dataclasses.replace(original, route=other) for original in originals_of(*BEFORE)]
    zero = zeroed(route(*BEFORE))

    assert zero == restored(zero, originals)


def test_a_list_of_filters_that_a_client_left_out_because_it_was_empty_is_written_anew() -> None:
    document = route(rule(to("podinfo-primary"), filters=[mirror("podinfo-canary"), mirror("podinfo-canary")]))
    patch = seen(document).zero
    assert patch is not None

    assert document == restored(route(rule(to("podinfo-primary"))), patch.originals)
    assert document == restored(route(rule(to("podinfo-primary"), filters=[])), (*patch.originals, *patch.originals))


def test_restoring_leaves_a_mirror_that_people_have_set_again() -> None:
    document = route(rule(to("podinfo-primary"), filters=[mirror("podinfo-canary")]))

    assert document == restored(document, originals_of(*document["spec"]["rules"]))


def test_restoring_tells_namesakes_apart_by_their_place() -> None:
    namesakes = [rule(to("podinfo-primary"), name="web"), rule(to("podinfo-canary"), name="web")]

    assert route(*namesakes) == restored(zeroed(route(*namesakes)), originals_of(*namesakes))
