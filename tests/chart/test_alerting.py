"""Rules, route and dashboards: the very files of config/, not words of the chart's own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.rendering import CHART, EVERYTHING, MATRIX, MINIMAL, of, render, the
from tests.cluster import ROOT

CONFIG = ROOT / "config"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("folder", ["prometheus", "alertmanager"])
def test_the_chart_carries_the_same_files(folder: str) -> None:
    """Helm reads nothing outside its chart, so there is a copy. After a change: cp config/X/* helm/pullback/files/X/"""
    there, copied = CONFIG / folder, CHART / "files" / folder
    assert names(there) == names(copied)
    for name in names(there):
        assert (there / name).read_bytes() == (copied / name).read_bytes(), name


def test_prometheus_gets_every_rule_as_it_is() -> None:
    rendered = {one["metadata"]["name"]: one for one in of(render(EVERYTHING), "PrometheusRule")}
    assert sorted(rendered) == [f"pullback-{Path(name).stem}" for name in names(CONFIG / "prometheus")]
    for name in names(CONFIG / "prometheus"):
        one = rendered[f"pullback-{Path(name).stem}"]
        assert one["spec"] == yaml.safe_load((CONFIG / "prometheus" / name).read_text())
        assert one["metadata"]["labels"]["release"] == "prometheus"


def test_figures_and_runbook_are_replaced_wherever_they_stand() -> None:
    figures = {
        "errorRate": 0.1, "requests": 7, "fastErrorRate": 0.015, "fastRequests": 8, "latencyRatio": 1.5,
        "drillAgeHours": 36,
    }  # fmt: skip
    files = ["application-rules", "canary-rules"]
    rules = {"enabled": True, "files": files, "runbookUrl": "https://wiki.example/run", "thresholds": figures}
    rendered = of(render({**MINIMAL, "prometheusRule": rules}), "PrometheusRule")
    assert [one["metadata"]["name"] for one in rendered] == [f"pullback-{name}" for name in files]
    for one in rendered:
        every = [rule for group in one["spec"]["groups"] for rule in group["rules"]]
        alerts = {rule["alert"]: rule for rule in every if "alert" in rule}
        slow, fast = alerts["CanaryHighErrorRate"], alerts["CanaryHighErrorRateFastBurn"]
        assert slow["expr"].endswith("> 0.1")
        assert fast["expr"].endswith("> 0.015")
        assert "requests:slow >= 7\n" in slow["expr"]
        assert "requests:fast >= 8\n" in fast["expr"]
        assert slow["annotations"]["threshold"] == "10 percentage points above stable"
        assert "more than 1.5 percentage points above" in fast["annotations"]["description"]
        latency = alerts["CanaryLatencyDegradation"]
        (ceiling,) = [rule["expr"] for rule in every if "latency_ceiling" in rule.get("record", "")]
        assert "* 1.5\n" in ceiling
        assert "1.2" not in ceiling
        assert latency["annotations"]["threshold"] == "50% above stable"
        assert "more than 50% above" in latency["annotations"]["description"]
        for alert in alerts.values():
            url = alert["annotations"]["runbook_url"]
            assert url == f"https://wiki.example/run#{alert['alert'].lower()}"


def drills(rules: dict[str, Any], chart: Path = CHART) -> tuple[str, str | None, str | None]:
    """Expression and both annotations of the alert about drills."""
    values = {**MINIMAL, "prometheusRule": {"enabled": True, "files": ["pullback-rules"], **rules}}
    (rendered,) = of(render(values, chart=chart), "PrometheusRule")
    (found,) = [
        rule
        for group in rendered["spec"]["groups"]
        for rule in group["rules"]
        if rule["alert"] == "PullbackDrillOverdue"
    ]
    return found["expr"], found["annotations"].get("runbook_url"), found["annotations"].get("runbook")


@pytest.mark.parametrize(("hours", "seconds"), [(96, "345600"), (36, "129600"), (0.5, "1800"), (2160, "7776000")])
def test_how_old_a_drill_may_be_is_said_in_hours(hours: float, seconds: str) -> None:
    assert drills({"thresholds": {"drillAgeHours": hours}})[0].endswith(f" > {seconds}")


def test_an_alert_links_only_what_is_published(tmp_path: Path) -> None:
    assert drills({})[1:] == (None, "docs/runbook.md#pullbackdrilloverdue")
    # As the release workflow leaves it.
    released = tmp_path / "pullback"
    shutil.copytree(CHART, released)
    version = yaml.safe_load((released / "Chart.yaml").read_text())["version"]
    with (released / "Chart.yaml").open("a") as file:
        file.write("home: https://git.example/team/pullback\n")
    there = f"https://git.example/team/pullback/blob/v{version}/docs/runbook.md#pullbackdrilloverdue"
    assert drills({}, released)[1:] == (there, None)
    own = {"runbookUrl": "https://wiki.example/run"}
    assert drills(own, released)[1:] == ("https://wiki.example/run#pullbackdrilloverdue", None)


def test_every_rule_file_of_the_chart_can_be_asked_for_and_is_by_default() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))["prometheusRule"]
    schema = json.loads((CHART / "values.schema.json").read_text("utf-8"))["properties"]["prometheusRule"]
    there = [Path(name).stem for name in names(CHART / "files" / "prometheus")]
    assert values["files"] == there
    assert schema["properties"]["files"]["items"]["enum"] == there


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("minimal", "http://pullback.pullback.svc:8080"),
        ("TLS", "https://pullback.pullback.svc:8080"),
        ("other names", "http://brake.pullback.svc:9000"),
    ],
)
def test_the_plain_route_has_this_releases_address(name: str, address: str) -> None:
    manifests = render(MATRIX[name])
    (snippet,) = [one for one in of(manifests, "ConfigMap") if "alertmanager.yaml" in one["data"]]
    shipped = yaml.safe_load((CONFIG / "alertmanager" / "alertmanager.yaml").read_text())
    for receiver in shipped["receivers"]:
        for webhook in receiver.get("webhook_configs", ()):
            webhook["url"] = f"{address}/webhooks/alertmanager"
    assert yaml.safe_load(snippet["data"]["alertmanager.yaml"]) == shipped
    assert "# 0 is no limit" in snippet["data"]["alertmanager.yaml"]


def test_the_operators_route_says_the_same() -> None:
    config = the(render(EVERYTHING), "AlertmanagerConfig")["spec"]
    shipped = yaml.safe_load((CONFIG / "alertmanager" / "alertmanager.yaml").read_text())
    assert [as_shipped(route) for route in config["route"]["routes"]] == [
        {"continue": False, **route} for route in shipped["route"]["routes"]
    ]
    assert config["route"]["receiver"] == shipped["route"]["receiver"]
    assert [one["name"] for one in config["receivers"]] == [one["name"] for one in shipped["receivers"]]
    for ours, theirs in zip(config["receivers"], shipped["receivers"], strict=True):
        for webhook, plain in zip(ours.get("webhookConfigs", []), theirs.get("webhook_configs", []), strict=True):
            assert webhook == {
                "url": "http://pullback.pullback.svc:8080/webhooks/alertmanager",
                "sendResolved": plain["send_resolved"],
                "maxAlerts": 0,
                "httpConfig": {"authorization": {"type": "Bearer", "credentials": {"name": "am", "key": "new"}}},
            }


def as_shipped(route: dict[str, Any]) -> dict[str, Any]:
    return {
        "receiver": route["receiver"],
        "matchers": [f'{one["name"]}{one["matchType"]}"{one["value"]}"' for one in route["matchers"]],
        "group_by": route["groupBy"],
        "group_wait": route["groupWait"],
        "group_interval": route["groupInterval"],
        "repeat_interval": route["repeatInterval"],
        "continue": route["continue"],
    }


def test_the_operators_token_can_be_another() -> None:
    values = {**MINIMAL, "alertmanagerConfig": {"enabled": True, "token": {"secretName": "mine", "key": "t"}}}
    (first, *_) = [one for one in the(render(values), "AlertmanagerConfig")["spec"]["receivers"] if len(one) > 1]
    credentials = first["webhookConfigs"][0]["httpConfig"]["authorization"]["credentials"]
    assert credentials == {"name": "mine", "key": "t"}


def test_without_the_operator_nothing_of_the_operator_is_rendered() -> None:
    kinds = {one["apiVersion"].partition("/")[0] for one in render(MINIMAL)}
    assert "monitoring.coreos.com" not in kinds


def test_every_dashboard_there_is_becomes_one_for_grafanas_sidecar(tmp_path: Path) -> None:
    chart = tmp_path / "pullback"
    shutil.copytree(CHART, chart)
    (chart / "files" / "dashboards").mkdir(exist_ok=True)
    document = {"title": "Example", "panels": [{"legendFormat": "{{canary}}"}]}
    (chart / "files" / "dashboards" / "example.json").write_text(json.dumps(document))
    manifest = the(render(MINIMAL, chart=chart), "ConfigMap", "pullback-dashboard-example")
    assert manifest["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(manifest["data"]["example.json"]) == document
    off = render({**MINIMAL, "grafanaDashboards": {"enabled": False}}, chart=chart)
    assert not of(off, "ConfigMap", "pullback-dashboard-example")


def test_there_is_one_config_map_for_each_dashboard_of_the_chart() -> None:
    shipped = sorted(path.stem for path in (CHART / "files").glob("dashboards/*.json"))
    found = [one["metadata"]["name"] for one in of(render(MINIMAL), "ConfigMap")]
    assert sorted(name for name in found if "-dashboard-" in name) == [f"pullback-dashboard-{name}" for name in shipped]
