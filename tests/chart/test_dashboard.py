"""The dashboard as a document; that its queries find something is a matter of the end-to-end ring."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest

from tests.e2e.dashboard import dashboard, panels, questions

Json = dict[str, Any]


def all_panels() -> list[Json]:
    found: list[Json] = dashboard()["panels"]
    return found


def overlap(one: Json, other: Json) -> bool:
    return all(one[at] < other[at] + other[size] and other[at] < one[at] + one[size] for at, size in ("xw", "yh"))


def test_the_address_of_the_dashboard_stays() -> None:
    """`notices.dashboard_url` and people's bookmarks have it: /d/pullback-canary?var-namespace=...&var-canary=..."""
    assert dashboard()["uid"] == "pullback-canary"
    assert [one["name"] for one in dashboard()["templating"]["list"]] == ["datasource", "namespace", "canary"]
    assert "id" not in dashboard()


@pytest.mark.parametrize(
    ("title", "kind"),
    [
        ("Traffic distribution", "gauge"),
        ("Error rates", "timeseries"),
        ("Latency P50, P95, P99", "timeseries"),
        ("Request volume", "timeseries"),
        ("Canary health", "table"),
        ("Where the seconds went", "bargauge"),
        ("Seconds to zero", "heatmap"),
        ("Rollbacks", "table"),
        ("Gates", "timeseries"),
        ("Holds", "stat"),
        ("Notices", "timeseries"),
        ("Watch ages", "timeseries"),
    ],
)
def test_what_people_look_for_is_there(title: str, kind: str) -> None:
    (panel,) = [one for one in panels() if one["title"] == title]
    assert panel["type"] == kind
    assert panel["description"]


def test_panels_have_names_of_their_own_and_lie_beside_each_other() -> None:
    assert len({one["id"] for one in all_panels()}) == len(all_panels())
    for one in all_panels():
        assert one["gridPos"]["x"] + one["gridPos"]["w"] <= 24
    for one, other in itertools.combinations(all_panels(), 2):
        assert not overlap(one["gridPos"], other["gridPos"]), (one["title"], other["title"])
    for panel in panels():
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references)


def test_everything_is_asked_of_the_prometheus_that_was_chosen() -> None:
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    asking = [*panels(), *(target for panel in panels() for target in panel["targets"]),
              *dashboard()["annotations"]["list"],
              *(one for one in dashboard()["templating"]["list"] if one["type"] == "query")]  # fmt: skip
    assert all(one["datasource"] == chosen for one in asking)


def test_what_is_asked_about_the_canary_is_asked_about_the_one_that_was_chosen() -> None:
    for where, expression in questions():
        for metric, matchers in re.findall(r"\b(istio_\w+|kube_\w+|pullback_canary_\w+|ALERTS)\{(.*?)\}", expression):
            assert "$namespace" in matchers, (where, metric)
            assert "$canary" in matchers, (where, metric)
