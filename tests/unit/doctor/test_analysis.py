"""A Canary's own analysis."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.unit.doctor.reading import bad, examined, the
from tests.unit.doctor.test_hooks import ALL, canary

WHOLE = "sum(rate(errors[1m])) / sum(rate(requests[1m]))"


def metric(query: str = "", **fields: Any) -> dict[str, Any]:
    return {"name": "m", "interval": "1m", **({"query": query} if query else {}), **fields}


@pytest.mark.parametrize(
    ("analysis", "found"),
    [
        ({"stepWeights": [5, 25, 50]}, []),
        ({"stepWeight": 5, "maxWeight": 50}, ["canary/steps"]),
        ({"stepWeights": [10, 50]}, ["canary/steps"]),
        ({}, []),
        ({"iterations": 10}, []),
    ],
)
def test_weights_and_stages(analysis: dict[str, Any], found: list[str]) -> None:
    assert bad(examined(canary(ALL, **analysis))) == found


def test_other_stages_ask_for_other_steps() -> None:
    stages = {"stages": [{"weight": 0, "soak": "1m"}, {"weight": 10, "soak": "1m"}, {"weight": 20, "soak": "1m"}]}
    assert bad(examined(canary(ALL, stepWeight=10, maxWeight=20), policy=stages)) == []
    assert the(examined(canary(ALL, stepWeights=[5]), policy=stages), "canary/steps").mend == (
        "stepWeights: [10, 20], maxWeight: 20"
    )


@pytest.mark.parametrize(
    ("interval", "threshold", "long"), [("1m", 5, True), ("15s", 3, False), ("20s", 5, False), ("30s", 4, True)]
)
def test_how_long_flagger_takes_alone(interval: str, threshold: int, long: bool) -> None:
    text = canary([], interval=interval, threshold=threshold, metrics=[metric(name="request-success-rate")])
    assert ("canary/patience" in bad(examined(text))) is long


def test_with_our_hook_it_may_take_its_time() -> None:
    found = examined(canary(ALL, metrics=[metric(name="request-success-rate")]))
    assert the(found, "canary/patience").severity == "ok"


def test_an_interval_below_the_floor_counts_as_the_floor() -> None:
    text = canary([], interval="1s", threshold=12, metrics=[metric(name="request-success-rate")])
    assert "one every 10s" in the(examined(text), "canary/patience").seen


@pytest.mark.parametrize(
    ("query", "wide"),
    [
        (WHOLE, True),
        ('sum(rate(requests{app="shop"}[1m]))', True),
        ('sum(rate(requests{destination_workload="{{ target }}"}[{{ interval }}]))', False),
        ('sum(rate(requests{pod=~"{{ target }}-[0-9a-z]+"}[1m]))', False),
        ('sum(rate(requests{service="shop-canary"}[1m]))', False),
        ('sum(rate(requests{version!="v1"}[1m]))', True),
        ('sum(rate(requests{namespace="{{ namespace }}"}[1m]))', True),
        ('sum(rate(requests{version="v2"}[1m])) / sum(rate(requests[1m]))', True),
    ],
)
def test_what_a_query_measures(query: str, wide: bool) -> None:
    found = bad(examined(canary(ALL, metrics=[metric(query)])))
    assert ("canary/whole-service" in found, "canary/inline-query" in found) == (wide, True)


def test_a_template_is_read_where_it_is_given() -> None:
    text = canary(ALL, metrics=[metric(templateRef={"name": "errors"})])
    template = yaml.safe_dump({
        "apiVersion": "flagger.app/v1beta1", "kind": "MetricTemplate",
        "metadata": {"name": "errors", "namespace": "shop"}, "spec": {"query": WHOLE},
    })  # fmt: skip
    assert bad(examined(text)) == []
    assert bad(examined(text, template)) == ["canary/whole-service"]


def test_a_query_that_cannot_be_read() -> None:
    assert "canary/query-not-read" in bad(examined(canary(ALL, metrics=[metric("sum(")])))
