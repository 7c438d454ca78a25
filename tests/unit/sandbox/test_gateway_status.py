"""What the sandbox's gateway writes of HTTPRoutes: what is so now, and nothing twice."""

from __future__ import annotations

from typing import Any

from hypothesis import given

from daemon.adapters.traffic import http_route
from daemon.sandbox.gateway_status import CONTROLLER, refused, taken_over
from daemon.sandbox.gateway_translating import UnsupportedRouteError, translate_http_routes
from tests import gateway_strategies

Json = dict[str, Any]
KNOWN = {"web-stable", "web-canary"}
EARLIER, NOW = "2026-11-23T06:54:26Z", "2026-11-23T07:00:00Z"


def route(*backends: str, generation: int = 1, parents: tuple[str, ...] = ("public",)) -> Json:
    return {
        "metadata": {"name": "web", "namespace": "shop", "generation": generation, "resourceVersion": "7"},
        "spec": {
            "parentRefs": [{"name": name} for name in parents],
            "rules": [{"backendRefs": [{"name": name, "port": 80} for name in backends]}],
        },
    }


def conditions(parents: list[Json] | None) -> list[tuple[Any, ...]]:
    assert parents is not None
    fields = ("type", "status", "observedGeneration", "lastTransitionTime")
    return [tuple(one[field] for field in fields) for parent in parents for one in parent["conditions"]]


def test_nothing_is_written_that_stands_there_and_a_new_generation_keeps_the_time_of_what_has_not_changed() -> None:
    written = taken_over(route("web-stable"), KNOWN, now=EARLIER)
    assert conditions(written) == [("Accepted", "True", 1, EARLIER), ("ResolvedRefs", "True", 1, EARLIER)]
    status = {"status": {"parents": written}}
    assert taken_over({**route("web-stable"), **status}, KNOWN, now=NOW) is None

    second = {**route("web-stable", "gone", generation=2), **status}
    assert conditions(taken_over(second, KNOWN, now=NOW)) == [
        ("Accepted", "True", 2, EARLIER), ("ResolvedRefs", "False", 2, NOW),
    ]  # fmt: skip
    assert conditions(refused(second, "why", KNOWN, now=NOW)) == [
        ("Accepted", "False", 2, NOW), ("ResolvedRefs", "False", 2, NOW),
    ]  # fmt: skip


def test_each_gateway_is_told_of_and_one_that_left_no_more_but_others_keep_their_word() -> None:
    foreign = {"parentRef": {"name": "public"}, "controllerName": "example.net/other", "conditions": []}
    written = taken_over({**route("web-stable", parents=("public", "private")), "status": {"parents": [foreign]}},
                         KNOWN, now=NOW)  # fmt: skip
    assert written is not None
    told = [(one["controllerName"], one["parentRef"]["name"]) for one in written]
    assert told == [("example.net/other", "public"), (CONTROLLER, "public"), (CONTROLLER, "private")]
    detached = {**route("web-stable", parents=()), "status": {"parents": written}}
    assert taken_over(detached, KNOWN, now=NOW) == [foreign]
    assert taken_over(route("web-stable", parents=()), KNOWN, now=NOW) is None


@given(document=gateway_strategies.routes("HTTPRoute"))
def test_the_daemon_takes_for_live_what_the_gateway_has_taken_over_and_resolved(document: Json) -> None:
    before = http_route.read(document)
    assert http_route.pending(before) == "no gateway has accepted it (generation 3)"
    names = {whom for rule in document["spec"].get("rules", []) for whom in _names(rule)}
    known = {f"{name}.{home}.svc.cluster.local" if home else name for home, name in names}
    known |= {name for _, name in names}
    accepted = taken_over(document, known, now=NOW)
    assert accepted is not None
    pending = http_route.pending(http_route.read({**document, "status": {"parents": accepted}}))
    resolved = accepted[0]["conditions"][1]["status"] == "True"
    assert (pending == "") is resolved
    newer = {**document, "metadata": {**document["metadata"], "generation": 4}, "status": {"parents": accepted}}
    assert "has not taken over generation 4" in http_route.pending(http_route.read(newer))


def _names(node: Any) -> list[tuple[str, str]]:
    if isinstance(node, list):
        return [found for one in node for found in _names(one)]
    if not isinstance(node, dict):
        return []
    own = [(node.get("namespace", ""), node["name"])] if "name" in node and "port" in node else []
    return own + [found for one in node.values() for found in _names(one)]


@given(document=gateway_strategies.broken("HTTPRoute"))
def test_rules_that_no_api_server_would_take_are_refused_by_name_and_break_nothing(document: Json) -> None:
    spec = document.get("spec")
    broken = route("web-stable")
    broken["spec"]["rules"] = spec.get("rules") if isinstance(spec, dict) else spec
    try:
        translate_http_routes([broken], KNOWN)
    except UnsupportedRouteError as error:
        assert error.why
        assert error.route == "shop/web"
    assert conditions(refused(broken, "why", KNOWN, now=NOW))[0] == ("Accepted", "False", 1, NOW)
