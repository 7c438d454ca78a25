"""Which second brake, by the table of ``policy.braking``."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from daemon.model.brake import SecondBrake
from daemon.model.canary import Canary
from daemon.model.plan import DivertService, ScaleCanary
from daemon.model.route import Sides
from daemon.policy import braking
from tests.unit import facts

OWN = ("shop", "podinfo-canary")
BESIDE = ("shop", "podinfo-stable")
SHARED = ("shop", "podinfo")


def with_sides(**sides: Any) -> Canary:
    nothing: frozenset[Any] = frozenset()
    plain = {"canary_services": nothing, "stable_services": nothing, "shared_services": nothing}
    return facts.undriven(sides=Sides(namespace="shop", **(plain | sides)))


CASES: dict[str, tuple[Canary, type | None]] = {
    "a Service for each side": (
        with_sides(canary_services=frozenset({OWN}), stable_services=frozenset({BESIDE})), DivertService),
    "subsets of one Service": (facts.undriven(), ScaleCanary),
    # The selector would change for every subset, and for the canary's there would be no pods.
    "a subset, beside a Service of the stable side": (
        with_sides(shared_services=frozenset({SHARED}), canary_subsets=frozenset({(SHARED, "canary")}),
                   stable_services=frozenset({BESIDE})), ScaleCanary),
    # Requests go by the subsets: the Service's selector is nothing to them.
    "subsets, and a Service as well": (
        with_sides(canary_services=frozenset({OWN}), shared_services=frozenset({SHARED}),
                   stable_services=frozenset({BESIDE}), canary_subsets=frozenset({(SHARED, "canary")})), ScaleCanary),
    "Flagger's": (facts.canary(), DivertService),
}  # fmt: skip


@pytest.mark.parametrize("sentence", CASES)
def test_a_service_is_diverted_only_where_it_is_all_that_the_requests_go_by(sentence: str) -> None:
    canary, expected = CASES[sentence]
    evidence = facts.evidence(canary=canary, intent=facts.intent(), workload=facts.workload(), write_refused="403")
    step = braking.second_brake(evidence, SecondBrake.DIVERT_OR_SCALE)
    assert expected is not None
    assert isinstance(step, expected)
    refused = dataclasses.replace(evidence, write_refused="")
    assert braking.second_brake(refused, SecondBrake.DIVERT_OR_SCALE) is None
