"""Alertmanager's route: where alerts go, and what waits on the way."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from daemon.doctor import routing
from daemon.doctor.routing import UNKNOWN
from tests.unit.doctor.reading import CHECKOUT, bad, examined, the
from tests.unit.doctor.test_rules import rule

SHIPPED = yaml.safe_load((CHECKOUT / "config/alertmanager/alertmanager.yaml").read_text())


def changed(route: dict[str, Any] | None = None, hook: dict[str, Any] | None = None) -> str:
    """The shipped configuration, with Pullback's route and webhook changed; None takes a field away."""
    document = yaml.safe_load(yaml.safe_dump(SHIPPED))
    for target, fields in (
        (document["route"]["routes"][0], route),
        (document["receivers"][1]["webhook_configs"][0], hook),
    ):
        target.update(fields or {})
        for name in [name for name, value in target.items() if value is None]:
            del target[name]
    return yaml.safe_dump(document)


def test_the_shipped_route_is_well() -> None:
    assert bad(examined(yaml.safe_dump(SHIPPED))) == []
    assert bad(examined(yaml.safe_dump(SHIPPED), rule())) == []


@pytest.mark.parametrize(
    ("route", "found"),
    [
        ({"group_wait": "5s"}, ("alertmanager/group-wait", "warn")),
        ({"group_wait": None}, ("alertmanager/group-wait", "fail")),
        ({"group_interval": "30s"}, ("alertmanager/group-interval", "warn")),
        ({"group_interval": None}, ("alertmanager/group-interval", "fail")),
        ({"repeat_interval": "4h"}, ("alertmanager/repeat-interval", "warn")),
        ({"group_by": ["alertname"]}, ("alertmanager/group-by", "warn")),
        ({"mute_time_intervals": ["nights"]}, ("alertmanager/muted", "warn")),
        ({"matchers": ['alertname="Other"']}, ("alertmanager/not-reached", "fail")),
    ],
)
def test_what_waits_or_is_lost(route: dict[str, Any], found: tuple[str, str]) -> None:
    seen = examined(changed(route))
    assert bad(seen) == [found[0]]
    assert the(seen, found[0]).severity == found[1]


def test_every_alert_its_own_group() -> None:
    assert bad(examined(changed({"group_by": ["..."]}))) == []


@pytest.mark.parametrize(
    ("hook", "found"),
    [
        ({"max_alerts": 10}, "alertmanager/max-alerts"),
        ({"send_resolved": False}, "alertmanager/send-resolved"),
        ({"http_config": None}, "alertmanager/no-credentials"),
        ({"timeout": "2s"}, "alertmanager/timeout"),
    ],
)
def test_the_webhook(hook: dict[str, Any], found: str) -> None:
    assert bad(examined(changed(hook=hook))) == [found]


@pytest.mark.parametrize(
    "hook",
    [
        {"http_config": {"basic_auth": {"username": "a", "password_file": "/x"}}},
        {"http_config": {"tls_config": {"cert_file": "/x"}}},
        {"http_config": None, "url": "http://a:b@pullback/webhooks/alertmanager"},
        {"http_config": None, "url": "<secret>"},
    ],
)
def test_credentials_of_any_kind(hook: dict[str, Any]) -> None:
    assert bad(examined(changed(hook=hook))) == []


def test_a_route_before_ours_that_does_not_go_on() -> None:
    document = yaml.safe_load(yaml.safe_dump(SHIPPED))
    document["route"]["routes"].insert(0, {"receiver": "nobody", "matchers": ['severity="critical"']})
    found = examined(yaml.safe_dump(document))
    assert "goes to nobody" in the(found, "alertmanager/not-reached").seen
    document["route"]["routes"][0]["continue"] = True
    assert bad(examined(yaml.safe_dump(document))) == []


def test_the_watchdog() -> None:
    document = yaml.safe_load(yaml.safe_dump(SHIPPED))
    document["route"]["routes"][1]["repeat_interval"] = "1h"
    assert bad(examined(yaml.safe_dump(document))) == ["alertmanager/watchdog-late"]
    del document["route"]["routes"][1]
    assert bad(examined(yaml.safe_dump(document))) == ["alertmanager/no-watchdog"]
    assert bad(examined(yaml.safe_dump(document), policy={"watchdog_alertname": ""})) == []


TREE = yaml.safe_load("""
route:
  receiver: root
  group_wait: 10s
  routes:
    - {receiver: a, match: {team: x}, routes: [{receiver: a1, match_re: {severity: crit.*}}]}
    - {receiver: b, matchers: ['{team=~"y|z", severity!="info"}'], continue: true}
    - {receiver: c, matchers: ['namespace="shop"']}
    - {receiver: d, matchers: [namespace!=""], group_wait: 1s}
""")


@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        ({}, ["root"]),
        ({"team": "x"}, ["a"]),
        ({"team": "x", "severity": "critical"}, ["a1"]),
        ({"team": "y"}, ["b"]),
        ({"team": "y", "severity": "info"}, ["root"]),
        ({"team": "z", "namespace": "shop"}, ["b", "c"]),
        ({"namespace": "shop"}, ["c"]),
        ({"namespace": UNKNOWN}, ["c", "d"]),
        ({"namespace": UNKNOWN, "team": "x"}, ["a"]),
    ],
)
def test_the_tree_is_walked_as_alertmanager_does(labels: dict[str, str], receivers: list[str]) -> None:
    stops = routing.stops(TREE, labels)
    assert [one.receiver for one in stops] == receivers
    assert {one.group_wait for one in stops} == ({10.0, 1.0} if "d" in receivers else {10.0})
