"""VirtualServices as they are met in the wild, each with the one write that takes its canary to zero."""

import copy
import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest

from daemon.adapters.traffic import virtual_service
from daemon.model.route import (
    Original,
    PatchOperation,
    PathShare,
    RouteObject,
    RouteRef,
    RouteView,
    Sides,
    WeightChange,
)
from tests import routing

Json = dict[str, Any]

FLAGGER = Sides(
    namespace="test",
    canary_services=frozenset({("test", "podinfo-canary")}),
    stable_services=frozenset({("test", "podinfo-primary")}),
    shared_services=frozenset({("test", "podinfo")}),
)
SUBSETS = Sides(
    namespace="test",
    canary_services=frozenset(),
    stable_services=frozenset(),
    shared_services=frozenset({("test", "summit-server")}),
)
NAMED = Sides(
    namespace="test",
    canary_services=frozenset({("test", "web-v2")}),
    stable_services=frozenset({("test", "web-v1")}),
    shared_services=frozenset(),
)
OPT_IN = [{"headers": {"x-canary": {"exact": "true"}}}]


def to(host: str, weight: int | None = None, subset: str | None = None, **more: Any) -> Json:
    """One destination of a rule."""
    destination: Json = {"host": host} if subset is None else {"host": host, "subset": subset}
    if "port" in more:
        destination["port"] = {"number": more.pop("port")}
    entry: Json = {"destination": destination, **more}
    return entry if weight is None else {**entry, "weight": weight}


def rule(*route: Json, **more: Any) -> Json:
    return {**more, "route": list(route)}


def vs(spec: Json, namespace: str = "test", **metadata: Any) -> Json:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {
            "name": "podinfo",
            "namespace": namespace,
            "resourceVersion": "40991",
            "generation": 2,
            **metadata,
        },
        "spec": spec,
    }


def http(*rules: Json) -> Json:
    return {"hosts": ["podinfo"], "http": list(rules)}


def seen(document: Json, sides: Sides = FLAGGER) -> RouteView:
    return virtual_service.view(virtual_service.read(document), sides)


def zeroed(document: Json, sides: Sides = FLAGGER) -> Json:
    patch = seen(document, sides).zero
    return routing.apply(document, patch.operations if patch else ())


def written(operations: Sequence[PatchOperation]) -> list[tuple[str, str, Any]]:
    return [(operation.op, operation.path, operation.value) for operation in operations]


AT_5 = http(rule(to("podinfo-primary", 95), to("podinfo-canary", 5)))


def test_flaggers_split_gets_two_guards_and_two_weights_and_nothing_else() -> None:
    view = seen(vs(AT_5))

    ref = RouteRef("VirtualService", "test", "podinfo")
    assert view.paths == (PathShare("http[0]", 0.05, weighted=True),)
    assert view.weight == 5.0
    assert view.zero is not None
    assert written(view.zero.operations) == [
        ("test", "/spec/http/0/route/0/destination", {"host": "podinfo-primary"}),
        ("test", "/spec/http/0/route/1/destination", {"host": "podinfo-canary"}),
        ("replace", "/spec/http/0/route/0/weight", 100),
        ("replace", "/spec/http/0/route/1/weight", 0),
    ]
    assert view.zero.changes == (WeightChange(ref, "http[0]", 5.0, 0.0),)
    assert view.zero.originals == ()


ZEROED: dict[str, tuple[Sides, Json, Json]] = {
    "weights that Flagger left at 80/5 keep their sum of 85": (
        FLAGGER,
        http(rule(to("podinfo-primary", 80), to("podinfo-canary", 5))),
        http(rule(to("podinfo-primary", 85), to("podinfo-canary", 0))),
    ),
    "weights that add up to 0 become stable 100": (
        FLAGGER,
        http(rule(to("podinfo-primary", 0), to("podinfo-canary", 0))),
        http(rule(to("podinfo-primary", 100), to("podinfo-canary", 0))),
    ),
    "weights that nobody wrote become stable 100": (
        FLAGGER,
        http(rule(to("podinfo-primary"), to("podinfo-canary"))),
        http(rule(to("podinfo-primary", 100), to("podinfo-canary", 0))),
    ),
    "an absent stable weight is added": (
        FLAGGER,
        http(rule(to("podinfo-canary", 100), to("podinfo-primary"))),
        http(rule(to("podinfo-canary", 0), to("podinfo-primary", 100))),
    ),
    "a canary at 0 beside stable is left alone": (
        FLAGGER,
        http(rule(to("podinfo-primary", 100), to("podinfo-canary", 0))),
        http(rule(to("podinfo-primary", 100), to("podinfo-canary", 0))),
    ),
    "the stable destination with the largest weight takes the canary's": (
        FLAGGER,
        http(rule(to("podinfo-primary", 20), to("podinfo-primary", 70, port=81), to("podinfo-canary", 10))),
        http(rule(to("podinfo-primary", 20), to("podinfo-primary", 80, port=81), to("podinfo-canary", 0))),
    ),
    "a third party in the split keeps its weight": (
        FLAGGER,
        http(rule(to("podinfo-primary", 50), to("podinfo-canary", 10), to("legacy", 40))),
        http(rule(to("podinfo-primary", 60), to("podinfo-canary", 0), to("legacy", 40))),
    ),
    "two canary destinations both go to exactly 0": (
        FLAGGER,
        http(rule(to("podinfo-canary", 5, "a"), to("podinfo-primary", 90), to("podinfo-canary", 5, "b"))),
        http(rule(to("podinfo-canary", 0, "a"), to("podinfo-primary", 100), to("podinfo-canary", 0, "b"))),
    ),
    "the opt-in rule is re-pointed and the default split zeroed": (
        SUBSETS,
        http(
            rule(to("summit-server", 100, "canary"), match=OPT_IN),
            rule(to("summit-server", 95, "stable"), to("summit-server", 5, "canary")),
        ),
        http(
            rule(to("summit-server", 100, "stable"), match=OPT_IN),
            rule(to("summit-server", 100, "stable"), to("summit-server", 0, "canary")),
        ),
    ),
    "the opt-in object whose sole destination has no weight is re-pointed": (
        SUBSETS,
        http(
            rule(to("summit-server", None, "canary"), match=OPT_IN),
            rule(to("summit-server", None, "stable")),
        ),
        http(
            rule(to("summit-server", None, "stable"), match=OPT_IN),
            rule(to("summit-server", None, "stable")),
        ),
    ),
    "a sole destination with weight 0 gets everything all the same, so it is re-pointed": (
        FLAGGER,
        http(rule(to("podinfo-canary", 0))),
        http(rule(to("podinfo-primary", 0))),
    ),
    "port, headers and unknown keys of a re-pointed destination stay": (
        FLAGGER,
        http(rule(to("podinfo-canary", None, None, port=9898, headers={"x": 1}), timeout="5s", x={"y": 1})),
        http(rule(to("podinfo-primary", None, None, port=9898, headers={"x": 1}), timeout="5s", x={"y": 1})),
    ),
    "a canary beside a third party is re-pointed with its weight": (
        FLAGGER,
        http(rule(to("podinfo-canary", 10), to("legacy", 90))),
        http(rule(to("podinfo-primary", 10), to("legacy", 90))),
    ),
    "a canary beside a third party in a split of 0 gets a sum as well": (
        FLAGGER,
        http(rule(to("podinfo-canary", 0), to("legacy", 0))),
        http(rule(to("podinfo-primary", 100), to("legacy", 0))),
    ),
    "a fully spelled host stays fully spelled": (
        FLAGGER,
        http(rule(to("podinfo-canary.test.svc.cluster.local"))),
        http(rule(to("podinfo-primary.test.svc.cluster.local"))),
    ),
    "a host with its namespace keeps that spelling": (
        FLAGGER,
        http(rule(to("podinfo-canary.test")), rule(to("podinfo-canary.test.svc"))),
        http(rule(to("podinfo-primary.test")), rule(to("podinfo-primary.test.svc"))),
    ),
    "the canary's subset is not carried over to the stable service": (
        FLAGGER,
        http(rule(to("podinfo-canary", None, "v2"))),
        http(rule(to("podinfo-primary"))),
    ),
    "the stable destination used elsewhere in the object is preferred": (
        FLAGGER,
        http(
            rule(to("podinfo-canary"), match=OPT_IN),
            rule(to("podinfo-primary.test.svc.cluster.local", None, "v1")),
        ),
        http(
            rule(to("podinfo-primary.test.svc.cluster.local", None, "v1"), match=OPT_IN),
            rule(to("podinfo-primary.test.svc.cluster.local", None, "v1")),
        ),
    ),
    "the stable subset used elsewhere in the object is preferred": (
        SUBSETS,
        http(
            rule(to("summit-server", None, "canary"), match=OPT_IN),
            rule(to("summit-server", None, "primary")),
        ),
        http(
            rule(to("summit-server", None, "primary"), match=OPT_IN),
            rule(to("summit-server", None, "primary")),
        ),
    ),
    "of several stable subsets the one named like the canary's is taken": (
        SUBSETS,
        http(
            rule(to("summit-server", None, "eu-canary"), match=OPT_IN),
            rule(to("summit-server", 50, "us-stable"), to("summit-server", 50, "eu-stable")),
        ),
        http(
            rule(to("summit-server", None, "eu-stable"), match=OPT_IN),
            rule(to("summit-server", 50, "us-stable"), to("summit-server", 50, "eu-stable")),
        ),
    ),
    "a canary subset gets the stable subset of its name if nothing else is known": (
        SUBSETS,
        http(rule(to("summit-server", None, "canary")), rule(to("summit-server", None, "eu-canary"))),
        http(rule(to("summit-server", None, "stable")), rule(to("summit-server", None, "eu-stable"))),
    ),
    "a canary subset of Flagger's own service goes to the primary service, which is known to exist": (
        FLAGGER,
        http(rule(to("podinfo", None, "canary"))),
        http(rule(to("podinfo-primary"))),
    ),
    "services that share no name are exchanged if there is only one stable one": (
        NAMED,
        http(rule(to("web-v2")), rule(to("web-v1", 60), to("web-v2", 40))),
        http(rule(to("web-v1")), rule(to("web-v1", 100), to("web-v2", 0))),
    ),
    "a mirror to the canary is removed and its percentage left": (
        FLAGGER,
        http(rule(to("podinfo-primary"), mirror={"host": "podinfo-canary"}, mirrorPercentage={"value": 10.0})),
        http(rule(to("podinfo-primary"), mirrorPercentage={"value": 10.0})),
    ),
    "of several mirrors those to the canary are removed": (
        FLAGGER,
        http(
            rule(
                to("podinfo-primary"),
                mirrors=[
                    {"destination": {"host": "podinfo-canary"}, "percentage": {"value": 1}},
                    {"destination": {"host": "audit"}},
                    {"destination": {"host": "podinfo-canary", "subset": "b"}},
                    {"destination": {"host": "podinfo-canary"}, "percentage": {"value": 0}},
                ],
            )
        ),
        http(
            rule(
                to("podinfo-primary"),
                mirrors=[
                    {"destination": {"host": "audit"}},
                    {"destination": {"host": "podinfo-canary"}, "percentage": {"value": 0}},
                ],
            )
        ),
    ),
    "TCP and TLS routes are zeroed like any other": (
        FLAGGER,
        {
            "hosts": ["podinfo"],
            "tcp": [rule(to("podinfo-primary", 70), to("podinfo-canary", 30))],
            "tls": [rule(to("podinfo-canary"), match=[{"sniHosts": ["podinfo"]}])],
        },
        {
            "hosts": ["podinfo"],
            "tcp": [rule(to("podinfo-primary", 100), to("podinfo-canary", 0))],
            "tls": [rule(to("podinfo-primary"), match=[{"sniHosts": ["podinfo"]}])],
        },
    ),
    "redirects, direct responses and delegates have nothing to take away": (
        FLAGGER,
        http({"redirect": {"uri": "/"}}, {"directResponse": {"status": 503}}, {"delegate": {"name": "x"}}),
        http({"redirect": {"uri": "/"}}, {"directResponse": {"status": 503}}, {"delegate": {"name": "x"}}),
    ),
    "a service of the same name in another namespace is not the canary": (
        FLAGGER,
        http(rule(to("podinfo-primary", 50), to("podinfo-canary.other", 50)), rule(to("podinfo-canary.other"))),
        http(rule(to("podinfo-primary", 50), to("podinfo-canary.other", 50)), rule(to("podinfo-canary.other"))),
    ),
    "a service of the same name in another cluster domain is not the canary": (
        FLAGGER,
        http(rule(to("podinfo-canary.test.svc.elsewhere.org"))),
        http(rule(to("podinfo-canary.test.svc.elsewhere.org"))),
    ),
    "a subset that only begins like the canary's is a third party": (
        SUBSETS,
        http(rule(to("summit-server", None, "canary-v7"))),
        http(rule(to("summit-server", None, "canary-v7"))),
    ),
}


@pytest.mark.parametrize("case", ZEROED)
def test_zeroing(case: str) -> None:
    sides, before, after = ZEROED[case]
    document = vs(copy.deepcopy(before))

    assert vs(after) == zeroed(document, sides)
    assert vs(before) == document
    assert seen(vs(after), sides).zero is None


def test_the_canary_is_found_from_an_object_in_another_namespace() -> None:
    document = vs(http(rule(to("podinfo-canary.test.svc.cluster.local")), rule(to("podinfo-canary"))), namespace="mesh")

    expected = http(rule(to("podinfo-primary.test.svc.cluster.local")), rule(to("podinfo-canary")))
    assert vs(expected, namespace="mesh") == zeroed(document)


def test_a_short_host_becomes_a_full_one_when_stable_lives_in_another_namespace() -> None:
    sides = dataclasses.replace(NAMED, stable_services=frozenset({("prod", "web-v1")}))

    after = zeroed(vs(http(rule(to("web-v2")))), sides)

    assert vs(http(rule(to("web-v1.prod.svc.cluster.local")))) == after


def test_a_stable_service_of_the_same_name_in_another_namespace_is_not_the_counterpart() -> None:
    both = FLAGGER.stable_services | {("prod", "podinfo-primary")}
    sides = dataclasses.replace(FLAGGER, stable_services=both)
    named_there = rule(to("podinfo-primary.prod"))

    after = zeroed(vs(http(rule(to("podinfo-canary"), match=OPT_IN), named_there)), sides)

    assert vs(http(rule(to("podinfo-primary"), match=OPT_IN), named_there)) == after


def test_a_shared_service_is_no_counterpart_because_it_reaches_the_canary_too() -> None:
    both = FLAGGER.stable_services | {("test", "podinfo")}
    sides = dataclasses.replace(FLAGGER, stable_services=both)

    after = zeroed(vs(http(rule(to("podinfo-canary")), rule(to("podinfo", None, "canary")))), sides)

    assert vs(http(rule(to("podinfo-primary")), rule(to("podinfo-primary")))) == after


def test_a_cluster_of_another_domain_is_understood() -> None:
    sides = dataclasses.replace(FLAGGER, cluster_domain="corp.internal")

    after = zeroed(vs(http(rule(to("podinfo-canary.test.svc.corp.internal")))), sides)

    assert vs(http(rule(to("podinfo-primary.test.svc.corp.internal")))) == after


def test_a_root_and_its_delegate_are_each_zeroed_on_their_own() -> None:
    root = vs(http({"delegate": {"name": "inner", "namespace": "test"}}))
    inner = vs({"http": [rule(to("podinfo-primary", 90), to("podinfo-canary", 10))]}, name="inner")

    assert seen(root).zero is None
    found = routing.mesh_paths([root, zeroed(inner)])
    assert routing.canary_shares(found, FLAGGER) == {"test/podinfo:http[0]>http[0]": 0}


def test_third_parties_in_the_sum_have_the_weights_used_tested_too() -> None:
    patch = seen(vs(http(rule(to("podinfo-primary", 50), to("legacy", 40), to("podinfo-canary", 10))))).zero

    assert patch is not None
    assert written(patch.operations) == [
        ("test", "/spec/http/0/route/0/destination", {"host": "podinfo-primary"}),
        ("test", "/spec/http/0/route/0/weight", 50),
        ("test", "/spec/http/0/route/2/destination", {"host": "podinfo-canary"}),
        ("test", "/spec/http/0/route/2/weight", 10),
        ("replace", "/spec/http/0/route/0/weight", 60),
        ("replace", "/spec/http/0/route/2/weight", 0),
    ]


def test_beside_third_parties_a_canary_that_is_at_0_already_is_not_written_again() -> None:
    route = rule(to("podinfo-primary", 50), to("legacy", 40), to("podinfo-canary", 0), to("podinfo-canary", 10))
    patch = seen(vs(http(route))).zero

    assert patch is not None
    assert [operation.path for operation in patch.operations if operation.op == "replace"] == [
        "/spec/http/0/route/0/weight",
        "/spec/http/0/route/3/weight",
    ]


def test_a_weight_that_flagger_raised_after_the_read_is_zeroed_by_the_same_write() -> None:
    patch = seen(vs(AT_5)).zero
    raised = vs(http(rule(to("podinfo-primary", 50), to("podinfo-canary", 50))))

    assert patch is not None
    after = routing.apply(raised, patch.operations)
    assert vs(http(rule(to("podinfo-primary", 100), to("podinfo-canary", 0)))) == after


@pytest.mark.parametrize(
    "now",
    [
        http(rule(to("podinfo-canary", 5), to("podinfo-primary", 95))),
        http(rule(to("podinfo-primary", 100))),
        http(rule(to("podinfo-primary", 95), to("podinfo-canary", 5, port=81))),
        http(rule(to("legacy")), rule(to("podinfo-primary", 95), to("podinfo-canary", 5))),
        {"hosts": ["podinfo"]},
    ],
    ids=["swapped", "canary gone", "another port", "a rule before it", "no rules"],
)
def test_a_write_planned_for_destinations_that_moved_is_refused(now: Json) -> None:
    patch = seen(vs(AT_5)).zero

    assert patch is not None
    with pytest.raises(routing.Conflict):
        routing.apply(vs(now), patch.operations)


def test_mirrors_are_removed_from_the_last_to_the_first_after_all_tests() -> None:
    mirrors = [{"destination": {"host": "podinfo-canary"}, "percentage": {"value": v}} for v in (1, 2)]
    view = seen(vs(http(rule(to("podinfo-primary"), mirrors=mirrors))))

    assert view.paths == (
        PathShare("http[0].mirrors[0]", 0.01, weighted=False),
        PathShare("http[0].mirrors[1]", 0.02, weighted=False),
    )
    assert view.zero is not None
    assert written(view.zero.operations) == [
        ("test", "/spec/http/0/mirrors/0", mirrors[0]),
        ("test", "/spec/http/0/mirrors/1", mirrors[1]),
        ("remove", "/spec/http/0/mirrors/1", None),
        ("remove", "/spec/http/0/mirrors/0", None),
    ]


@pytest.mark.parametrize(
    ("percentage", "share"),
    [
        ({}, 1.0),
        ({"mirrorPercentage": {"value": 25}}, 0.25),
        ({"mirrorPercentage": {}}, 0.0),
        ({"mirrorPercentage": {"value": "25"}}, 1.0),
        ({"mirrorPercentage": {"value": -1}}, 1.0),
        ({"mirrorPercentage": None, "mirrorPercent": 5}, 0.05),
        ({"mirror_percent": 5}, 0.05),
        ({"mirrorPercent": True}, 1.0),
        ({"mirrorPercentage": {"value": 50}, "mirror_percent": 0}, 0.5),
    ],
)
def test_a_mirror_copies_everything_unless_a_number_says_less(percentage: Json, share: float) -> None:
    document = vs(http(rule(to("podinfo-primary"), mirror={"host": "podinfo-canary"}, **percentage)))

    view = seen(document)

    assert view.paths == (PathShare("http[0].mirror", share, weighted=False),)
    assert (view.zero is None) == (share == 0)


def test_a_canary_whose_stable_side_nobody_knows_is_reported_and_the_rest_zeroed() -> None:
    sides = dataclasses.replace(FLAGGER, stable_services=frozenset())
    document = vs(
        http(
            rule(to("podinfo-canary"), match=OPT_IN),
            rule(to("legacy", 50), to("podinfo-canary", 50)),
            rule(to("legacy"), mirror={"host": "podinfo-canary"}),
        )
    )

    view = seen(document, sides)

    assert view.paths == (
        PathShare("http[0]", 1.0, weighted=False),
        PathShare("http[1]", 0.5, weighted=True),
        PathShare("http[2].mirror", 1.0, weighted=False),
    )
    assert view.zero is not None
    assert [change.path for change in view.zero.changes] == ["http[2].mirror"]
    assert not seen(zeroed(document, sides), sides).at_zero


def test_a_canary_beside_another_that_can_be_re_pointed_hands_over_its_weight() -> None:
    sides = dataclasses.replace(
        FLAGGER,
        canary_services=FLAGGER.canary_services | {("test", "lonely")},
        stable_services=FLAGGER.stable_services | {("test", "web-primary")},
    )
    document = vs(http(rule(to("lonely", 30), to("podinfo-canary", 30), to("legacy", 40))))

    after = zeroed(document, sides)

    assert vs(http(rule(to("lonely", 0), to("podinfo-primary", 60), to("legacy", 40)))) == after


@pytest.mark.parametrize("weight", ["5", 5.0, -5, True, 2**31, [5], {"value": 5}])
def test_a_split_with_a_weight_that_cannot_be_read_is_reported_as_the_worst_and_left(weight: Any) -> None:
    document = vs(http(rule(to("podinfo-primary", 95), to("podinfo-canary", weight))))

    view = seen(document)

    assert view.paths == (PathShare("http[0]", 1.0, weighted=True),)
    assert view.zero is None


def test_a_sole_canary_is_re_pointed_whatever_its_weight_says() -> None:
    document = vs(http(rule({"destination": {"host": "podinfo-canary"}, "weight": "5"})))

    expected = vs(http(rule({"destination": {"host": "podinfo-primary"}, "weight": "5"})))
    assert expected == zeroed(document)


@pytest.mark.parametrize(
    "spec",
    [
        None,
        [],
        {"http": None},
        {"http": {"route": []}},
        {"http": [None, 5, "x", []]},
        {"http": [{}, {"route": None}, {"route": {}}, {"route": "podinfo-canary"}, {"route": 5}]},
        {"http": [{"route": [None, 5, {}]}, {"route": [{"destination": None}]}]},
        {"http": [{"route": [{"destination": {}}, {"destination": {"host": None}}]}]},
        {"http": [{"mirror": None, "mirrors": None}, {"mirror": [], "mirrors": [None, {}, {"destination": 5}]}]},
        {"tcp": [{"mirror": {"host": "podinfo-canary"}}], "hosts": [None, 5, ""], "x": 1},
    ],
)
def test_what_is_no_route_is_no_path(spec: Any) -> None:
    document = {"metadata": {"name": "podinfo", "namespace": "test"}, "spec": spec}
    route = virtual_service.read(document)

    assert seen(document).paths == ()
    assert virtual_service.services(route, "cluster.local") == frozenset()
    assert virtual_service.hosts(route, "cluster.local") == frozenset()


def test_the_index_sees_every_service_in_every_kind_of_route() -> None:
    spec = {
        "http": [
            rule(to("a"), to("b.other"), mirror={"host": "c.other.svc"}),
            rule(to("api.example.com"), mirrors=[{"destination": {"host": "d.other.svc.cluster.local"}}]),
        ],
        "tcp": [rule(to("e", 0))],
        "tls": [rule(to("f"))],
    }

    expected = {("test", "a"), ("other", "b"), ("other", "c"), ("other", "d"), ("test", "e"), ("test", "f")}
    assert expected == virtual_service.services(virtual_service.read(vs(spec)), "cluster.local")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("podinfo", {"podinfo", "podinfo.test", "podinfo.test.svc", "podinfo.test.svc.cluster.local"}),
        ("podinfo.test", {"podinfo", "podinfo.test", "podinfo.test.svc", "podinfo.test.svc.cluster.local"}),
        (
            "podinfo.prod.svc.cluster.local",
            {"podinfo", "podinfo.prod", "podinfo.prod.svc", "podinfo.prod.svc.cluster.local"},
        ),
        ("example.com", {"example.com", "example.com.svc", "example.com.svc.cluster.local"}),
        ("api.summit.internal", {"api.summit.internal"}),
        ("*", set()),
        ("*.summit.internal", set()),
    ],
)
def test_hosts_are_known_by_every_spelling_people_use(host: str, expected: set[str]) -> None:
    route = virtual_service.read(vs({"hosts": [host]}))

    assert expected == virtual_service.hosts(route, "cluster.local")


def test_reading_names_who_wrote_the_spec_latest_first() -> None:
    fields = [
        {"manager": "kubectl", "time": "2026-11-23T07:10:00Z", "fieldsV1": {"f:spec": {}}},
        {"manager": "flagger", "time": "2026-11-23T07:16:16Z", "fieldsV1": {"f:metadata": {}, "f:spec": {}}},
        {"manager": "labeller", "time": "2026-11-23T07:20:00Z", "fieldsV1": {"f:metadata": {}}},
        {"manager": "kubectl", "time": "2026-11-23T07:11:00Z", "fieldsV1": {"f:spec": {}}},
        {"manager": "undated", "fieldsV1": {"f:spec": {}}},
    ]

    route = virtual_service.read(vs(AT_5, managedFields=fields))

    expected = RouteObject(
        ref=RouteRef("VirtualService", "test", "podinfo"),
        api_version="networking.istio.io/v1",
        resource_version="40991",
        generation=2,
        spec=AT_5,
        writers=("flagger", "kubectl", "undated"),
    )
    assert expected == route
    assert seen(vs(AT_5, managedFields=fields)).writers == expected.writers


@pytest.mark.parametrize("fields", [None, {}, "x", [None, 5, {}], [{"manager": 5, "fieldsV1": {"f:spec": {}}}]])
def test_reading_tolerates_any_managed_fields(fields: Any) -> None:
    assert virtual_service.read(vs(AT_5, managedFields=fields)).writers == ()


SEED = http(
    rule(to("summit-server", 100, "canary"), match=OPT_IN, name="opt-in", mirror={"host": "audit"}),
    rule(to("summit-server", None, "stable"), mirror={"host": "summit-server", "subset": "canary"}),
)


def restored(now: Json, originals: Sequence[Original]) -> Json:
    document = vs(now)
    return routing.apply(document, virtual_service.restore(virtual_service.read(document), originals))


def originals_of(spec: Json, sides: Sides = SUBSETS) -> tuple[Original, ...]:
    patch = seen(vs(spec), sides).zero
    assert patch is not None
    return patch.originals


def test_restoring_is_one_guarded_write() -> None:
    originals = originals_of(SEED)
    route = virtual_service.read(zeroed(vs(SEED), SUBSETS))

    assert written(virtual_service.restore(route, originals)) == [
        ("test", "/spec/http/0/match", OPT_IN),
        ("test", "/spec/http/0/route/0/destination", {"host": "summit-server", "subset": "stable"}),
        ("test", "/spec/http/1/match", None),
        ("test", "/spec/http/1/mirror", None),
        (
            "replace",
            "/spec/http/0/route/0/destination",
            {"host": "summit-server", "subset": "canary"},
        ),
        ("add", "/spec/http/1/mirror", {"host": "summit-server", "subset": "canary"}),
    ]


def test_restoring_finds_a_named_rule_wherever_it_went() -> None:
    zero = zeroed(vs(SEED), SUBSETS)["spec"]["http"]
    moved = http({"redirect": {"uri": "/"}, "match": [{"uri": {"exact": "/old"}}]}, zero[0])

    after = restored(moved, originals_of(SEED)[:1])

    assert vs(http(moved["http"][0], SEED["http"][0])) == after


def test_restoring_never_takes_the_rule_for_everybody_for_the_opt_in_rule_that_was_deleted() -> None:
    opt_in = rule(to("summit-server", None, "canary"), match=OPT_IN)
    everybody = rule(to("summit-server", None, "stable"))
    originals = originals_of(http(opt_in, everybody))

    assert vs(http(everybody)) == restored(http(everybody), originals)


@pytest.mark.parametrize(
    "now",
    [
        http(rule(to("summit-server", 100, "v9"), match=OPT_IN, name="opt-in")),
        http(rule(match=OPT_IN, name="opt-in")),
        http(rule(to("summit-server", 100, "stable"), match=[{"uri": {"prefix": "/"}}], name="opt-in")),
        http(),
        {"tcp": [rule(to("summit-server", 100, "stable"), match=OPT_IN, name="opt-in")]},
    ],
    ids=["re-pointed since", "emptied", "serves others now", "deleted", "another section"],
)
def test_restoring_skips_what_people_changed_since(now: Json) -> None:
    assert vs(now) == restored(now, originals_of(SEED)[:1])


def test_restoring_skips_what_belongs_to_another_object() -> None:
    other = RouteRef("VirtualService", "test", "another")
    originals = [dataclasses.replace(original, route=other) for original in originals_of(SEED)]
    zero = zeroed(vs(SEED), SUBSETS)

    assert zero == restored(zero["spec"], originals)


def test_restoring_leaves_a_mirror_that_people_set_since() -> None:
    originals = originals_of(SEED)[1:]
    mirrored = rule(to("summit-server", None, "stable"), mirror={"host": "audit"})
    now = http(SEED["http"][0], mirrored)

    assert vs(now) == restored(now, originals)


def test_restoring_the_same_field_recorded_twice_writes_it_once() -> None:
    document = vs(SEED)
    originals = originals_of(SEED)

    assert document == restored(zeroed(document, SUBSETS)["spec"], (*originals, *originals))


def test_restoring_a_mirror_needs_nothing_from_a_record_that_dropped_what_was_empty() -> None:
    unconditional = originals_of(SEED)[1]
    zero = zeroed(vs(SEED), SUBSETS)["spec"]

    after = restored(zero, [dataclasses.replace(unconditional, replaced_with=None)])

    assert vs(http(zero["http"][0], SEED["http"][1])) == after


def test_restoring_tells_namesakes_apart_by_their_place() -> None:
    namesakes = http(
        rule(to("summit-server", None, "stable"), name="web"),
        rule(to("summit-server", None, "canary"), name="web"),
    )
    zero = zeroed(vs(namesakes), SUBSETS)

    assert vs(namesakes) == restored(zero["spec"], originals_of(namesakes))


def test_restoring_leaves_a_rule_that_people_gave_a_list_of_mirrors() -> None:
    mirrored = rule(to("summit-server", None, "stable"), mirrors=[{"destination": {"host": "audit"}}])
    now = http(SEED["http"][0], mirrored)

    assert vs(now) == restored(now, originals_of(SEED)[1:])


def test_restoring_mirrors_recorded_twice_into_a_list_that_shrank_puts_each_back_once() -> None:
    audit = {"destination": {"host": "audit"}}
    canary = {"destination": {"host": "podinfo-canary"}}
    originals = originals_of(http(rule(to("podinfo-primary"), mirrors=[audit, canary])), FLAGGER)

    after = restored(http(rule(to("podinfo-primary"), mirrors=[])), (*originals, *originals))

    assert vs(http(rule(to("podinfo-primary"), mirrors=[canary]))) == after
