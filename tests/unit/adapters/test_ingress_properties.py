"""What must hold for every Ingress there can be, judged by an evaluator that knows only ingress-nginx's rules."""

import copy
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.adapters.traffic import ingress
from daemon.model.route import PatchOperation, RoutePatch, RouteView
from tests import routing
from tests.nginx_routing import Controller
from tests.unit.adapters import ingresses
from tests.unit.adapters.ingresses import PREFIX, SIDES

Document = dict[str, Any]

CANARY = ("test", "podinfo-canary")
WRITTEN = {"canary-weight", "canary-by-header", "canary-by-cookie", "affinity-canary-behavior", "mirror-target"}
"""Annotations that a zero may write."""

thorough = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def seen(document: Document) -> RouteView:
    return ingress.view(ingress.read(document), SIDES)


def operations(patch: RoutePatch | None) -> tuple[PatchOperation, ...]:
    return patch.operations if patch else ()


def zeroed(document: Document) -> Document:
    return routing.apply(document, operations(seen(document).zero))


def masked(document: Document) -> Document:
    """The object without what a zero may write."""
    left = copy.deepcopy(document)
    said = left["metadata"].get("annotations") or {}
    ordinary = not any(key == f"{PREFIX}/canary" and value in {"true", "1", "T"} for key, value in said.items())
    left["metadata"]["annotations"] = {
        key: value for key, value in said.items() if key.removeprefix(f"{PREFIX}/") not in WRITTEN
    }
    for one in backends_of(left) if ordinary else ():
        if one["service"]["name"] == "podinfo-canary":
            one["service"]["name"] = "podinfo-primary"
    return left


def backends_of(document: Document) -> Iterable[Document]:
    spec = document["spec"]
    yield from (path["backend"] for rule in spec.get("rules") or () for path in rule["http"]["paths"])
    if "defaultBackend" in spec:
        yield spec["defaultBackend"]


@thorough
@given(ingresses.releases(readable=False))
def test_after_the_writes_no_request_gets_to_the_canary(release: list[Document]) -> None:
    assert CANARY not in Controller([zeroed(document) for document in release]).reached()


@thorough
@given(ingresses.releases(readable=False))
def test_whatever_gets_requests_is_reported(release: list[Document]) -> None:
    if CANARY in Controller(release).reached():
        assert not all(seen(document).at_zero for document in release)


@thorough
@given(ingresses.releases())
def test_the_die_gives_what_the_view_says(release: list[Document]) -> None:
    """Without the opt-in: where that is older, its upstream stands in for the canary's and knows no rules.

    So does a third service that the canary's own Ingress names before it: then the canary gets no more than is said.
    """
    pair = [one for one in release if one["metadata"]["name"] != "opt-in"]
    judge = Controller(pair)
    shares = [path.share for one in pair for path in seen(one).paths if path.path == "canary-weight"]
    for place, primary in judge.locations.items():
        others = [other[1] for other in judge.peers[primary].others]
        if "podinfo-canary" in others:
            share = judge.share(place, "podinfo-canary")
            if others[0] == "podinfo-canary":
                assert [share] == pytest.approx(shares)
            else:
                assert share <= max(shares)


@thorough
@given(ingresses.releases(readable=False))
def test_a_second_look_finds_nothing_left_to_do(release: list[Document]) -> None:
    for document in release:
        again = seen(zeroed(document))
        assert (again.zero, again.at_zero) == (None, True)


@thorough
@given(ingresses.releases(readable=False))
def test_no_other_field_changes_and_the_object_read_is_left_alone(release: list[Document]) -> None:
    for document in release:
        original = copy.deepcopy(document)
        after = zeroed(document)
        assert original == document
        assert masked(document) == masked(after)


@thorough
@given(ingresses.releases(readable=False), ingresses.numbers | ingresses.unreadable)
def test_whatever_weight_was_written_meanwhile_the_write_lands_and_is_zero(release: list[Document], now: str) -> None:
    for document in release:
        patch = seen(document).zero
        moved = copy.deepcopy(document)
        if f"{PREFIX}/canary" in (moved["metadata"].get("annotations") or {}):
            moved["metadata"]["annotations"][f"{PREFIX}/canary-weight"] = now
        after = routing.apply(moved, operations(patch))
        if patch is not None:
            assert seen(after).at_zero


@thorough
@given(ingresses.releases(readable=False), st.data())
def test_an_object_that_leads_elsewhere_by_now_refuses_the_write(release: list[Document], data: st.DataObject) -> None:
    for document in release:
        patch = seen(document).zero
        canaries = [one for one in backends_of(document) if one["service"]["name"] == "podinfo-canary"]
        if patch is None or not canaries:
            continue
        moved = copy.deepcopy(document)
        places = [one for one in backends_of(moved) if one["service"]["name"] == "podinfo-canary"]
        data.draw(st.sampled_from(places))["service"]["name"] = "cart-canary"
        with pytest.raises(routing.Conflict):
            routing.apply(moved, patch.operations)


@thorough
@given(ingresses.releases(readable=False))
def test_restoring_gives_back_all_but_the_weight(release: list[Document]) -> None:
    for document in release:
        patch = seen(document).zero
        after = routing.apply(document, operations(patch))
        originals = patch.originals if patch else ()

        back = routing.apply(after, ingress.restore(ingress.read(after), originals))

        expected = copy.deepcopy(document)
        weight = f"{PREFIX}/canary-weight"
        if weight in (after["metadata"].get("annotations") or {}):
            expected["metadata"]["annotations"][weight] = after["metadata"]["annotations"][weight]
        assert expected == back
        assert ingress.restore(ingress.read(back), originals) == ()


@thorough
@given(ingresses.releases(), st.floats(0, 100))
def test_steering_gives_what_was_asked_for_to_a_step_of_the_die(release: list[Document], percent: float) -> None:
    for document in release:
        patch = ingress.steer(ingress.read(document), SIDES, percent)
        after = seen(routing.apply(document, operations(patch)))
        for path in after.paths:
            if path.path == "canary-weight":
                assert abs(100 * path.share - percent) <= 1
                assert (path.share > 0) == (percent > 0)
                assert (path.share < 1) == (percent < 100)


@settings(parent=thorough, max_examples=200)
@given(ingresses.broken(), ingresses.releases(readable=False))
def test_nothing_that_people_can_write_makes_it_raise(document: Document, release: list[Document]) -> None:
    route = ingress.read(document)
    ingress.services(route, "cluster.local")
    ingress.hosts(route, "cluster.local")
    ingress.claim(route, "cluster.local")
    ingress.steer(route, SIDES, 25)
    view = ingress.view(route, SIDES)
    said = (document.get("metadata") or {}).get("annotations")
    if isinstance(said, dict) and not all(isinstance(value, str) for value in said.values()):
        return  # read without raising; an API server holds only texts, so there is nothing that it could be written to
    after = routing.apply(document, operations(view.zero))
    again = seen(after)

    assert again.zero is None
    assert again.at_zero
    routing.apply(after, ingress.restore(ingress.read(after), view.zero.originals if view.zero else ()))
    for other in release:
        ingress.restore(route, getattr(seen(other).zero, "originals", ()))
