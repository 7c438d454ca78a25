"""Where the seconds go."""

from __future__ import annotations

import pytest
import yaml

from daemon.doctor import examining
from tests.unit.doctor.reading import CHECKOUT, bad, examined, knows, parsed, the
from tests.unit.doctor.test_rules import GOOD, rule

ROUTE = (CHECKOUT / "config/alertmanager/alertmanager.yaml").read_text()
PROMETHEUS = "global: {scrape_interval: 30s, evaluation_interval: 20s}\nalerting: {alertmanagers: [{}]}"


def seconds(*texts: str, budget: float = 60.0) -> list[float]:
    return [way.total for way in examining.examine(parsed(*texts), [], knows(budget)).ways]


def test_the_legs_add_up() -> None:
    # 60 s x 1% / 5% = 12, scrape 15, evaluation 15, webhook and write 1, mesh 2
    assert seconds(rule()) == [45.0, 33.6]


def test_scrapes_evaluations_and_groups_are_read_where_they_are_given() -> None:
    assert seconds(rule(), PROMETHEUS)[0] == 12 + 30 + 15 + 3
    assert seconds(rule().replace("interval: 15s", "limit: 0"), PROMETHEUS)[0] == 12 + 30 + 20 + 3
    slow = ROUTE.replace("group_wait: 0s", "group_wait: 30s", 1)
    assert seconds(rule(), slow)[0] == 45 + 30
    joined = ROUTE.replace("[namespace, workload, version, alertname]", "[alertname]")
    assert seconds(rule(), joined)[0] == 45 + 5


def test_a_hold_ends_at_an_evaluation() -> None:
    assert seconds(rule(**{"for": "20s"}))[0] == 45 + 30


def test_the_fastest_rule_counts_for_each_rate() -> None:
    fast = GOOD.replace("[1m]", "[30s]").replace("> 0.01", "> 0.2")
    two = yaml.safe_load(rule())
    two["groups"][0]["rules"].append({**two["groups"][0]["rules"][0], "alert": "Fast", "expr": fast})
    report = examining.examine(parsed(yaml.safe_dump(two)), [], knows())
    assert [(way.rule.name, way.total) for way in report.ways] == [
        ("CanaryHighErrorRate", 45.0),
        ("CanaryHighErrorRate", 33.6),
    ]


@pytest.mark.parametrize(
    ("text", "change"),
    [
        (rule(**{"for": "2m"}), "CanaryHighErrorRate without `for:`: saves 2m"),
        (rule(interval="2m"), "interval: 15s for the rule's group: saves 1m45s"),
        (rule(GOOD.replace("[1m]", "[10m]")), "a window of 1m: saves 1m48s"),
    ],
)
def test_the_one_change_that_helps_most(text: str, change: str) -> None:
    assert the(examined(text), "budget/over").mend == change


def test_a_budget_of_ones_own() -> None:
    found = examining.examine(parsed(rule()), [], knows(budget=30.0)).findings
    assert "budget/over" in bad(found)


def test_a_rule_that_never_sees_it() -> None:
    assert "budget/never" in bad(examined(rule(GOOD.replace("0.01", "0.1"))))


def test_a_rule_whose_measure_is_not_known() -> None:
    found = examined(rule("job:errors:ratio5m > 0.01"))
    assert bad(found) == ["budget/not-known"]


def test_what_is_recorded_in_another_group_comes_later() -> None:
    here = {"record": "job:errors:ratio", "expr": GOOD.removesuffix(" > 0.01")}
    alert = yaml.safe_load(rule("job:errors:ratio > 0.01"))["groups"][0]["rules"][0]
    together = {"groups": [{"name": "a", "interval": "15s", "rules": [here, alert]}]}
    apart = {"groups": [{"name": "b", "interval": "30s", "rules": [here]},
                        {"name": "a", "interval": "15s", "rules": [alert]}]}  # fmt: skip
    assert seconds(yaml.safe_dump(together))[0] == 45
    assert seconds(yaml.safe_dump(apart))[0] == 45 + 30
