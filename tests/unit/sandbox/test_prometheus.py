"""The demo runs the shipped rules and routes: what the sandbox changes in them, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from daemon.sandbox.alertmanager import pointed_at
from daemon.sandbox.prometheus import Workload, prometheus_config, shortened

CONFIG = Path(__file__).parents[3] / "config"
RULES = [CONFIG / "prometheus" / "canary-rules.yaml", CONFIG / "prometheus" / "watchdog-rules.yaml"]
CANARY = Workload("podinfo-canary", "shop", "podinfo", "podinfo-canary", "v2")


def rules_of(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return loaded


def without_durations(value: Any) -> Any:
    """Blind to every duration there is, wherever it stands; written apart from the code under test."""
    if isinstance(value, dict):
        return {key: without_durations(each) for key, each in value.items()}
    if isinstance(value, list):
        return [without_durations(each) for each in value]
    return re.sub(r"\b\d+(ms|s|m|h)\b", "DURATION", value) if isinstance(value, str) else value


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_shortening_changes_durations_and_nothing_else(path: Path) -> None:
    shipped = rules_of(path)
    assert without_durations(shortened(shipped, 1.0)) == without_durations(shipped)


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_every_duration_is_shortened_by_the_same_factor(path: Path) -> None:
    def durations(rules: dict[str, Any]) -> list[int]:
        text = yaml.safe_dump(rules)
        units = {"ms": 1, "s": 1000, "m": 60_000}
        return [int(number) * units[unit] for number, unit in re.findall(r"\b(\d+)(ms|s|m)\b", text)]

    shipped, demo = durations(rules_of(path)), durations(shortened(rules_of(path), 1.0))
    assert shipped
    assert [round(each / 15) for each in shipped] == demo


def test_shortening_leaves_annotations_alone() -> None:
    rule = {
        "alert": "A",
        "expr": "rate(x[1m] offset 40s) > 5",
        "for": "30s",
        "annotations": {"summary": "in 15s"},
    }
    (group,) = shortened({"groups": [{"name": "g", "interval": "15s", "rules": [rule]}]}, 1.0)["groups"]
    assert group["interval"] == "1000ms"
    assert group["rules"] == [{**rule, "expr": "rate(x[4000ms] offset 2667ms) > 5", "for": "2000ms"}]


def test_at_the_shipped_interval_the_windows_stay_as_long_as_they_are() -> None:
    rule = {"record": "r", "expr": "rate(x[1m30s])"}
    (group,) = shortened({"groups": [{"name": "g", "rules": [rule]}]}, 15)["groups"]
    assert group["rules"][0]["expr"] == "rate(x[90000ms])"


def test_envoys_series_get_the_labels_of_istios() -> None:
    config = prometheus_config(
        envoy_admin="127.0.0.1:1",
        workloads=[CANARY],
        rule_files=[Path("rules.yaml")],
        alertmanager="127.0.0.1:2",
        scrape_seconds=1.0,
    )
    (scrape,) = config["scrape_configs"]
    labels = {
        step["target_label"]: step.get("replacement")
        for step in scrape["metric_relabel_configs"]
        if step.get("source_labels") == ["envoy_cluster_name"]
    }
    assert labels == {
        "destination_workload": "podinfo",
        "destination_workload_namespace": "shop",
        "destination_service_name": "podinfo-canary",
        "destination_version": "v2",
    }
    assert config["global"]["scrape_interval"] == "1000ms"


def test_pointing_alertmanager_elsewhere_changes_url_and_token_file_only() -> None:
    shipped = yaml.safe_load((CONFIG / "alertmanager" / "alertmanager.yaml").read_text("utf-8"))
    before = yaml.safe_dump(shipped)
    demo = pointed_at(shipped, "http://127.0.0.1:9/hook", Path("/tmp/token"))  # noqa: S108
    assert yaml.safe_dump(shipped) == before
    put_back = (
        yaml.safe_dump(demo)
        .replace("http://127.0.0.1:9/hook", "http://pullback.pullback.svc:8080/webhooks/alertmanager")
        .replace("/tmp/token", "/etc/alertmanager/secrets/pullback/token")  # noqa: S108
    )
    assert put_back == before
    assert yaml.safe_dump(demo).count("/tmp/token") == 2  # noqa: S108


def test_the_shipped_route_lets_nothing_wait() -> None:
    shipped = yaml.safe_load((CONFIG / "alertmanager" / "alertmanager.yaml").read_text("utf-8"))
    route, watchdog, _drill = shipped["route"]["routes"]
    assert route["group_wait"] == watchdog["group_wait"] == "0s"
    assert (route["group_interval"], route["repeat_interval"]) == ("5s", "1m")
    assert {"namespace", "workload", "version"} < set(route["group_by"])
