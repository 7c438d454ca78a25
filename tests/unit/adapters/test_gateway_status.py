"""Whether gateways send by what was written, as they say it in the status of a route."""

from typing import Any

import pytest

from daemon.adapters.traffic import grpc_route, http_route

Json = dict[str, Any]

GATEWAY = "Gateway infra/public (example.net/gateway)"


def condition(kind: str = "Accepted", status: str = "True", generation: int | None = 4, **more: str) -> Json:
    seen = {} if generation is None else {"observedGeneration": generation}
    return {
        "type": kind,
        "status": status,
        "reason": more.pop("reason", kind),
        "message": more.pop("message", ""),
        **seen,
    }


def parent(*conditions: Json, name: str = "public", controller: str = "example.net/gateway", **reference: str) -> Json:
    said = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": "infra", "name": name, **reference}
    return {"parentRef": said, "controllerName": controller, "conditions": list(conditions)}


def pending(status: Any, kind: Any = http_route) -> str:
    metadata = {"name": "podinfo", "namespace": "test", "generation": 4}
    return str(kind.pending(kind.read({"metadata": metadata, "spec": {}, "status": status})))


@pytest.mark.parametrize("kind", [http_route, grpc_route])
def test_what_all_parents_have_taken_over_is_live(kind: Any) -> None:
    both = [parent(condition(), condition("ResolvedRefs")), parent(condition(generation=5), name="internal")]
    assert pending({"parents": both}, kind) == ""


@pytest.mark.parametrize("status", [None, {}, {"parents": None}, {"parents": []}, {"parents": [None, 5]}, "x"])
def test_without_a_word_of_any_gateway_nothing_is_live(status: Any) -> None:
    assert pending(status) == "no gateway has accepted it (generation 4)"


@pytest.mark.parametrize(
    ("conditions", "line"),
    [
        ([], f"{GATEWAY} does not say whether it has accepted generation 4"),
        ([condition("ResolvedRefs")], f"{GATEWAY} does not say whether it has accepted generation 4"),
        ([condition(generation=3)], f"{GATEWAY} has not taken over generation 4: its Accepted is of generation 3"),
        (
            [condition(), condition("ResolvedRefs", generation=3)],
            f"{GATEWAY} has not taken over generation 4: its ResolvedRefs is of generation 3",
        ),
        (
            [condition(generation=None)],
            f"{GATEWAY} has not taken over generation 4: its Accepted is of no generation that it names",
        ),
        (
            [condition(status="Unknown", reason="Pending")],
            f"{GATEWAY} has not made up its mind about generation 4: Accepted is Unknown",
        ),
        (
            [condition(status="False", reason="NotAllowedByListeners", message="no\nlistener  allows it")],
            f"{GATEWAY} says of generation 4 that it is not Accepted: NotAllowedByListeners: no listener allows it",
        ),
        (
            [condition(), condition("ResolvedRefs", "False", reason="BackendNotFound", message="podinfo-primary")],
            f"{GATEWAY} says of generation 4 that it is not ResolvedRefs: BackendNotFound: podinfo-primary",
        ),
        (
            [condition(), condition("ResolvedRefs"), condition("Programmed", "False", reason="Invalid")],
            f"{GATEWAY} says of generation 4 that it is not Programmed: Invalid",
        ),
        (
            [condition(), condition("PartiallyInvalid", reason="UnsupportedValue", message="Dropped Rule 1")],
            f"{GATEWAY} has taken over a part of generation 4 only: UnsupportedValue: Dropped Rule 1",
        ),
    ],
)
def test_one_line_says_who_has_not_followed_and_why(conditions: list[Json], line: str) -> None:
    assert pending({"parents": [parent(*conditions)]}) == line


def test_a_rule_that_is_no_longer_partly_invalid_is_live() -> None:
    assert pending({"parents": [parent(condition(), condition("PartiallyInvalid", "False"))]}) == ""


def test_of_several_parents_those_that_lag_are_named() -> None:
    told = pending({
        "parents": [
            parent(condition()),
            parent(condition(generation=3), name="internal", sectionName="https"),
            parent(condition(generation=3), name="podinfo", namespace="", kind="Service", controller="istio.io/mesh"),
        ]
    })  # fmt: skip
    assert told == (
        "Gateway infra/internal, listener https (example.net/gateway) has not taken over generation 4: its Accepted "
        "is of generation 3; Service test/podinfo (istio.io/mesh) has not taken over generation 4: its Accepted is of "
        "generation 3"
    )


def test_a_controller_of_many_words_is_cut_short() -> None:
    told = pending({"parents": [parent(condition(status="False", message="x" * 5000))]})
    assert len(told) < 400
    assert "\n" not in told
