"""Ingresses as they are met in the wild, each with the one write that takes its canary to zero."""

import dataclasses
from typing import Any

import pytest

from daemon.adapters.traffic import conventions, ingress
from daemon.model.route import (
    Original,
    PatchOperation,
    PathShare,
    RoutePatch,
    RouteRef,
    RouteView,
    Sides,
    WeightChange,
)
from tests import routing
from tests.nginx_routing import Controller
from tests.unit.adapters import ingresses
from tests.unit.adapters.ingresses import PREFIX, SIDES, Document, backend, canary, main, nginx, rule

POINTER = "/metadata/annotations/nginx.ingress.kubernetes.io~1"
OWN = RouteRef("Ingress", "test", "podinfo-canary")
SERVICE = "/spec/rules/0/http/paths/0/backend/service/name"


def seen(document: Document, sides: Sides = SIDES) -> RouteView:
    return ingress.view(ingress.read(document), sides)


def zero(document: Document, sides: Sides = SIDES) -> RoutePatch:
    patch = seen(document, sides).zero
    assert patch is not None
    return patch


def zeroed(document: Document, sides: Sides = SIDES) -> Document:
    patch = seen(document, sides).zero
    return routing.apply(document, patch.operations if patch else ())


def written(patch: RoutePatch | None) -> list[tuple[str, str, Any]]:
    return [(one.op, one.path, one.value) for one in (patch.operations if patch else ())]


def paths(document: Document, sides: Sides = SIDES) -> dict[str, float]:
    return {path.path: path.share for path in seen(document, sides).paths}


def restored(document: Document, originals: tuple[Original, ...]) -> Document:
    return routing.apply(document, ingress.restore(ingress.read(document), originals))


def put(document: Document, **annotations: str | None) -> Document:
    """In place: sets annotations, or takes away those given as None."""
    for name, value in annotations.items():
        key = f"{PREFIX}/{name.replace('_', '-')}"
        if value is None:
            del document["metadata"]["annotations"][key]
        else:
            document["metadata"].setdefault("annotations", {})[key] = value
    return document


# -- a canary's own Ingress


def test_flaggers_weight_goes_to_0_guarded_by_what_makes_it_the_canarys() -> None:
    view = seen(canary(canary_weight="5"))

    assert view.paths == (PathShare("canary-weight", 0.05, weighted=True),)
    assert (view.weight, view.at_zero) == (5.0, False)
    assert written(view.zero) == [
        ("test", f"{POINTER}canary", "true"),
        ("test", f"{POINTER}affinity-canary-behavior", None),
        ("test", SERVICE, "podinfo-canary"),
        ("add", f"{POINTER}canary-weight", "0"),
        ("add", f"{POINTER}affinity-canary-behavior", "legacy"),
    ]
    assert zero(canary(canary_weight="5")).changes == (WeightChange(OWN, "canary-weight", 5.0, 0.0),)


def test_header_and_cookie_are_taken_away_and_remembered() -> None:
    document = canary(canary_by_header="x-canary", canary_by_header_value="eu-1", canary_by_cookie="beta")
    view = seen(document)

    assert view.paths == (
        PathShare("canary-weight", 0.0, weighted=True),
        PathShare("canary-by-header", 1.0, weighted=False),
        PathShare("canary-by-cookie", 1.0, weighted=False),
    )
    assert view.weight == 0.0
    said = zeroed(document)["metadata"]["annotations"]
    assert said == nginx(
        canary="true", canary_weight="0", canary_by_header_value="eu-1", affinity_canary_behavior="legacy"
    )
    header, cookie, sticky = zero(document).originals
    key = f"{PREFIX}/canary-by-header"
    assert header == Original(OWN, key, 0, "", "annotation", 0, {key: "x-canary"}, {})
    assert cookie.value == nginx(canary_by_cookie="beta")
    assert (sticky.value, sticky.replaced_with) == ({}, nginx(affinity_canary_behavior="legacy"))


def test_flaggers_canary_at_rest_is_at_zero_and_left_alone() -> None:
    view = seen(canary(canary_weight="0"))
    assert (view.zero, view.at_zero, view.weight) == (None, True, 0.0)


@pytest.mark.parametrize(
    ("weight", "total", "share"),
    [
        ("5", None, 0.05), ("100", None, 1.0), ("250", None, 1.0), ("-3", None, 0.0), ("+7", None, 0.07),
        ("5", "1000", 0.005), ("5", "10", 0.05), ("5", "many", 0.05), (None, None, 0.0), ("", None, 0.0),
        ("abc", None, 1.0), ("5.5", None, 1.0), ("5%", None, 1.0), (" 5", None, 1.0), ("1_0", None, 1.0),
        ("٣", None, 1.0), ("9" * 30, None, 1.0), ("5\n", None, 1.0),
    ],
)  # fmt: skip
def test_a_weight_is_read_as_ingress_nginx_reads_it_and_the_worst_is_told_of_what_it_cannot_read(
    weight: str | None, total: str | None, share: float
) -> None:
    said = {"canary_weight": weight, "canary_weight_total": total}
    document = canary(**{name: value for name, value in said.items() if value is not None})
    assert paths(document) == {"canary-weight": share}
    assert paths(zeroed(document)) == {"canary-weight": 0.0}


@pytest.mark.parametrize("said", ["1", "t", "T", "TRUE", "true", "True"])
def test_what_go_takes_for_true_makes_a_canary_of_it(said: str) -> None:
    assert "canary-weight" in paths(put(canary(canary_weight="5"), canary=said))


@pytest.mark.parametrize("said", ["false", "0", "yes", "tRUE", " true", ""])
def test_with_anything_else_it_is_an_ordinary_one_that_leads_to_the_canary_alone(said: str) -> None:
    document = put(canary(canary_weight="5", canary_by_header="x"), canary=said)
    assert paths(document) == {"rules[0].http.paths[0]": 1.0}
    assert zeroed(document)["spec"]["rules"][0]["http"]["paths"][0]["backend"] == backend("podinfo-primary")
    assert zeroed(document)["metadata"] == document["metadata"]


def test_an_empty_header_asks_for_nothing() -> None:
    assert paths(canary(canary_by_header="", canary_by_cookie=" ")) == {"canary-weight": 0.0}


def test_flagger_with_another_prefix() -> None:
    document = canary("custom.ingress.kubernetes.io", canary_weight="5", canary_by_header="x")
    assert paths(document) == {
        "custom.ingress.kubernetes.io/canary-weight": 0.05, "custom.ingress.kubernetes.io/canary-by-header": 1.0,
    }  # fmt: skip
    assert seen(document).weight == 5.0
    assert zeroed(document)["metadata"]["annotations"] == nginx(
        "custom.ingress.kubernetes.io", canary="true", canary_weight="0", affinity_canary_behavior="legacy"
    )


def test_our_own_annotation_makes_no_canarys_ingress_of_an_ordinary_one() -> None:
    document = ingresses.ingress("beta", rule("beta.example.com", ("/", "podinfo-canary")),
                                 annotations={conventions.CANARY: "true"})  # fmt: skip
    assert paths(document) == {"rules[0].http.paths[0]": 1.0}


def test_a_canary_of_somebody_else_is_not_ours_to_move() -> None:
    others = ingresses.ingress("cart", rule("app.example.com", ("/", "cart-canary")),
                               annotations=nginx(canary="true", canary_weight="50", canary_by_header="x"))  # fmt: skip
    assert (seen(others).paths, seen(others).zero) == ((), None)


def test_neither_is_a_service_of_that_name_in_another_namespace() -> None:
    document = canary(canary_weight="5")
    document["metadata"]["namespace"] = "elsewhere"
    assert (seen(document).paths, seen(document).zero) == ((), None)


# -- sessions


def test_whoever_was_served_by_the_canary_is_let_go() -> None:
    """ingress-nginx would keep them with the canary at any weight."""
    first, own = main(affinity="cookie"), canary(affinity="cookie", canary_weight="0")

    assert ("test", "podinfo-canary") in Controller([first, own]).reached()
    assert paths(own) == {"canary-weight": 0.0, "affinity": 1.0}
    assert seen(own).weight == 0.0
    assert ("test", "podinfo-canary") not in Controller([first, zeroed(own)]).reached()
    assert seen(zeroed(own)).at_zero


def test_sessions_that_only_the_main_ingress_knows_of_end_with_the_write() -> None:
    first, own = main(affinity="cookie"), canary(canary_weight="5")
    only_the_weight = put(canary(canary_weight="5"), canary_weight="0")

    assert ("test", "podinfo-canary") in Controller([first, only_the_weight]).reached()
    assert ("test", "podinfo-canary") not in Controller([first, zeroed(own)]).reached()


def test_a_canary_that_lets_go_already_keeps_its_annotation() -> None:
    document = canary(affinity="cookie", affinity_canary_behavior="legacy", canary_weight="5")
    assert paths(document) == {"canary-weight": 0.05}
    assert zero(document).originals == ()


def test_canary_false_would_have_given_everybody_to_an_older_canary() -> None:
    """Why zero is not written that way."""
    own = put(canary(canary_weight="5"), canary="false")
    assert Controller([own, main()]).reached() == {("test", "podinfo-canary")}
    assert Controller([zeroed(canary(canary_weight="5")), main()]).reached() == {("test", "podinfo")}


# -- what changes meanwhile


def test_the_write_lands_on_any_weight_but_not_on_another_object() -> None:
    patch = zero(canary(canary_weight="5", canary_by_header="x"))

    landed = routing.apply(canary(canary_weight="30", canary_by_header="x"), patch.operations)
    assert seen(landed).at_zero
    refusing = [
        put(canary(canary_weight="5", canary_by_header="x"), canary="false"),
        canary(canary_weight="5", canary_by_header="y"),
        canary(canary_weight="5"),
        ingresses.ingress("podinfo-canary", rule("app.example.com", ("/", "cart-canary")),
                          annotations=nginx(canary="true", canary_weight="5", canary_by_header="x")),
    ]  # fmt: skip
    for document in refusing:
        with pytest.raises(routing.Conflict):
            routing.apply(document, patch.operations)


# -- any other Ingress

OPT_IN = ingresses.ingress("beta", rule("beta.example.com", ("/", "podinfo-canary"), ("/auth", "auth")))


def test_an_ordinary_one_is_re_pointed_port_and_all() -> None:
    path = "/spec/rules/0/http/paths/0/backend"
    after = backend("podinfo-primary")
    patch = zero(OPT_IN)
    ref = RouteRef("Ingress", "test", "beta")

    assert seen(OPT_IN).paths == (PathShare("rules[0].http.paths[0]", 1.0, weighted=False),)
    assert written(patch) == [("test", path, backend("podinfo-canary")), ("replace", path, after)]
    assert patch.changes == (WeightChange(ref, "rules[0].http.paths[0]", 100.0, 0.0),)
    left = {"host": "beta.example.com", "path": "/", "pathType": "Prefix", "backend": after}
    assert patch.originals == (
        Original(ref, "rules", 0, "beta.example.com", "backend", 0, backend("podinfo-canary"), left),
    )


def test_the_default_backend_too() -> None:
    document = ingresses.ingress("all", defaultBackend=backend("podinfo-canary", "http"))
    assert paths(document) == {"defaultBackend": 1.0}
    assert zeroed(document)["spec"]["defaultBackend"] == backend("podinfo-primary", "http")
    assert restored(zeroed(document), zero(document).originals) == document


def test_without_a_stable_service_that_somebody_has_named_it_is_reported_and_left() -> None:
    lonely = dataclasses.replace(SIDES, stable_services=frozenset())
    assert (paths(OPT_IN, lonely), seen(OPT_IN, lonely).zero) == ({"rules[0].http.paths[0]": 1.0}, None)


@pytest.mark.parametrize(
    ("stable", "used", "found"),
    [
        ({"podinfo-stable", "podinfo-primary"}, "podinfo-stable", "podinfo-stable"),
        ({"podinfo-stable", "podinfo-primary"}, "auth", "podinfo-primary"),
        ({"web-v1"}, "auth", "web-v1"),
        ({"web-v1", "web-v2"}, "web-v1", "podinfo-canary"),
    ],
    ids=["what the object uses", "of several relatives the first", "the only one", "of several strangers none"],
)
def test_where_a_canarys_requests_belong(stable: set[str], used: str, found: str) -> None:
    sides = dataclasses.replace(SIDES, stable_services=frozenset(("test", name) for name in stable))
    document = ingresses.ingress("beta", rule("beta.example.com", ("/", "podinfo-canary"), ("/x", used)))
    assert zeroed(document, sides)["spec"]["rules"][0]["http"]["paths"][0]["backend"] == backend(found)


@pytest.mark.parametrize(
    "url",
    [
        "http://podinfo-canary.test.svc.cluster.local$request_uri",
        "https://podinfo-canary.test.svc:8080$request_uri",
        "http://PODINFO-CANARY.test/copy",
    ],
)
def test_copies_of_requests_end(url: str) -> None:
    document = main(mirror_target=url, rewrite_target="/")
    assert ("test", "podinfo-canary") in ingress.services(ingress.read(document), "cluster.local")
    assert paths(document) == {"mirror-target": 1.0}
    assert zeroed(document)["metadata"]["annotations"] == nginx(rewrite_target="/")
    assert restored(zeroed(document), zero(document).originals) == document


def test_the_only_annotation_comes_back_though_the_api_server_keeps_no_empty_map() -> None:
    document = main(mirror_target="http://podinfo-canary.test$request_uri")
    kept = zeroed(document)
    del kept["metadata"]["annotations"]
    assert restored(kept, zero(document).originals) == document


def test_copies_to_anybody_else_go_on() -> None:
    for url in ("http://podinfo-canary.elsewhere$request_uri", "http://audit.example.com", "not a url"):
        assert paths(main(mirror_target=url)) == {}


# -- restoring


def test_what_somebody_has_set_since_stays() -> None:
    document = canary(canary_by_header="x-canary", canary_by_cookie="beta")
    originals = zero(document).originals
    since = put(zeroed(document), canary_by_header="x-other", affinity_canary_behavior="sticky")

    back = restored(since, originals)
    assert back["metadata"]["annotations"] == nginx(
        canary="true", canary_weight="0", canary_by_header="x-other", canary_by_cookie="beta",
        affinity_canary_behavior="sticky",
    )  # fmt: skip


def test_what_is_no_canarys_any_more_gets_no_header_back() -> None:
    document = canary(canary_by_header="x-canary")
    since = put(zeroed(document), canary=None)
    assert ingress.restore(ingress.read(since), zero(document).originals) == ()


def test_a_path_that_leads_elsewhere_since_stays_and_one_that_has_moved_is_found() -> None:
    originals = zero(OPT_IN).originals
    elsewhere = ingresses.ingress("beta", rule("beta.example.com", ("/", "auth")))
    assert ingress.restore(ingress.read(elsewhere), originals) == ()
    moved = zeroed(OPT_IN)
    moved["spec"]["rules"].insert(0, rule("other.example.com", ("/", "podinfo-primary")))
    back = restored(moved, originals)
    assert [one["http"]["paths"][0]["backend"] for one in back["spec"]["rules"]] == [
        backend("podinfo-primary"), backend("podinfo-canary"),
    ]  # fmt: skip


def test_what_belongs_to_another_object_is_not_put_back_here() -> None:
    document = canary(canary_by_header="x-canary")
    others = tuple(
        dataclasses.replace(one, route=RouteRef("Ingress", "test", "another")) for one in zero(document).originals
    )
    assert ingress.restore(ingress.read(zeroed(document)), others) == ()


# -- steering


@pytest.mark.parametrize(
    ("weight", "total", "percent", "wanted"),
    [("0", None, 25, "25"), ("0", "1000", 0.5, "5"), ("10", None, 100, "100"), ("10", None, 0.2, "1"),
     ("abc", None, 5, "5"), ("250", None, 99.9, "99")],
)  # fmt: skip
def test_a_persons_weight_is_written_in_sides_of_the_die(
    weight: str, total: str | None, percent: float, wanted: str
) -> None:
    document = canary(canary_weight=weight, **({"canary_weight_total": total} if total else {}))
    patch = ingress.steer(ingress.read(document), SIDES, percent)
    assert written(patch) == [
        ("test", f"{POINTER}canary", "true"),
        ("test", f"{POINTER}canary-weight", weight),
        ("test", f"{POINTER}canary-weight-total", total),
        ("test", SERVICE, "podinfo-canary"),
        ("add", f"{POINTER}canary-weight", wanted),
    ]
    assert patch is not None
    assert [(one.path, one.after) for one in patch.changes] == [("canary-weight", percent)]


def test_nothing_is_steered_where_nothing_has_to_change_or_no_die_is_thrown() -> None:
    for document in (canary(canary_weight="25"), main(), OPT_IN):
        assert ingress.steer(ingress.read(document), SIDES, 25) is None
    assert ingress.steer(ingress.read(canary(canary_weight="5")), dataclasses.replace(
        SIDES, canary_services=frozenset({("test", "cart-canary")})), 25) is None  # fmt: skip


# -- what it says about itself


def test_services_and_hosts() -> None:
    document = ingresses.ingress(
        "all", rule("app.example.com", ("/", "podinfo"), ("/x", "auth")), rule("*.example.com", ("/", "wild")),
        rule("", ("/", "any")), defaultBackend=backend("rest"),
    )  # fmt: skip
    document["spec"]["rules"][0]["http"]["paths"].append({"path": "/s", "backend": {"resource": {"name": "bucket"}}})
    route = ingress.read(document)
    assert ingress.services(route, "cluster.local") == {
        ("test", name) for name in ("podinfo", "auth", "wild", "any", "rest")
    }
    assert ingress.hosts(route, "cluster.local") == {"app.example.com"}


def test_the_writers_that_count_are_those_of_what_splits_traffic() -> None:
    managed = [
        {"manager": "flagger", "fieldsV1": {"f:metadata": {"f:annotations": {f"f:{PREFIX}/canary-weight": {}}}}},
        {"manager": "helm", "fieldsV1": {"f:spec": {"f:rules": {}}}},
    ]
    for document, writers in ((canary(canary_weight="5"), ("flagger",)), (main(), ("helm",))):
        document["metadata"]["managedFields"] = managed
        assert ingress.read(document).writers == writers


def test_an_object_from_a_list_does_not_say_its_version() -> None:
    listed = main()
    del listed["apiVersion"], listed["kind"]
    assert ingress.read(listed) == ingress.read(main())


def told(document: Document, **annotations: str) -> tuple[set[str], set[str]] | None:
    said = document["metadata"].setdefault("annotations", {})
    said |= {f"pullback.dev/{name}": value for name, value in annotations.items()}
    sides = ingress.claim(ingress.read(document), "cluster.local")
    if sides is None:
        return None
    return {name for _, name in sides.canary_services}, {name for _, name in sides.stable_services}


def test_each_alone_tells_a_part() -> None:
    assert told(canary(canary_weight="5")) == ({"podinfo-canary"}, set())
    assert told(main()) is None


def test_one_annotation_on_either_brings_them_together() -> None:
    both = {"podinfo-canary"}, {"podinfo"}
    assert told(canary(canary_weight="5"), stable="podinfo") == both
    assert told(main(), canary="podinfo-canary") == both
    assert told(main(), canary="podinfo-canary.test.svc.cluster.local", stable="podinfo.test") == both


def test_an_object_that_names_both_sides_tells_all() -> None:
    document = ingresses.ingress(
        "shop", rule("shop.example.com", ("/", "shop-stable"), ("/old", "shop"), ("/auth", "auth-stable")),
        rule("beta.example.com", ("/", "shop-canary")),
    )  # fmt: skip
    assert told(document) == ({"shop-canary"}, {"shop-stable"})


def test_an_annotated_canary_beside_the_only_other_service() -> None:
    document = ingresses.ingress("web", rule("a.example.com", ("/", "web-v1")), rule("b.example.com", ("/", "web-v2")))
    assert told(document, canary="web-v2") == ({"web-v2"}, {"web-v1"})
    third = rule("c.example.com", ("/", "web-v3"))
    document["spec"]["rules"].append(third)
    assert told(document, canary="web-v2") == ({"web-v2"}, set())


def test_the_status_of_an_ingress_tells_addresses_only() -> None:
    assert ingress.pending(ingress.read(canary(canary_weight="0"))) == ""


def test_the_write_is_json() -> None:
    operations = [one.as_json() for one in zero(canary(canary_by_header="x")).operations]
    assert {"op": "remove", "path": f"{POINTER}canary-by-header"} in operations
    assert all(isinstance(one, dict) for one in operations)
    assert PatchOperation("test", f"{POINTER}affinity-canary-behavior", None).as_json() in operations
