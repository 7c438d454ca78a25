"""Alert rules: found wanting, and let be."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.unit.doctor.reading import bad, examined, the

GOOD = ("sum by (namespace, workload, version) (rate(http_requests_total{code=~'5..'}[1m])) / "
        "sum by (namespace, workload, version) (rate(http_requests_total[1m])) > 0.01")  # fmt: skip


def rule(expr: str = GOOD, *, severity: str = "critical", interval: str = "15s", **more: Any) -> str:
    labels = {"severity": severity, **more.pop("labels", {})}
    body = {"alert": "CanaryHighErrorRate", "expr": expr, "labels": labels, **more}
    return yaml.safe_dump({"groups": [{"name": "g", "interval": interval, "rules": [body]}]})


def test_a_good_rule_is_well() -> None:
    assert bad(examined(rule())) == []


@pytest.mark.parametrize(
    "by",
    ["namespace, canary", "namespace, deployment", "destination_workload_namespace, destination_workload", "version",
     "namespace, app", "host", "pod_template_hash"],
)  # fmt: skip
def test_whom_it_names(by: str) -> None:
    assert "rules/no-correlation" not in bad(examined(rule(GOOD.replace("namespace, workload, version", by))))


@pytest.mark.parametrize("by", ["le", "canary", "workload", "namespace", "app", "pod"])
def test_whom_it_does_not_name(by: str) -> None:
    found = examined(rule(GOOD.replace("namespace, workload, version", by)))
    assert the(found, "rules/no-correlation").severity == "fail"


def test_labels_that_the_rule_adds_count_where_they_are_filled() -> None:
    bare = GOOD.replace("namespace, workload, version", "ns, w")
    renamed = {"namespace": "{{ $labels.ns }}", "workload": "{{ $labels.w }}"}
    assert bad(examined(rule(bare, labels=renamed))) == []
    assert "rules/no-correlation" in bad(examined(rule(bare, labels={**renamed, "workload": "{{ $labels.gone }}"})))
    assert bad(examined(rule(bare, labels={"namespace": "shop", "canary": "podinfo"}))) == []


def test_the_only_canary_of_a_namespace_where_that_is_configured() -> None:
    text = rule(GOOD.replace("namespace, workload, version", "namespace"))
    assert bad(examined(text, correlation={"fallback": "single-active"})) == []


@pytest.mark.parametrize("matcher", ['version="v4"', 'destination_version=~"v4.0"', 'version=~"v4"'])
def test_a_version_that_is_written_into_the_rule(matcher: str) -> None:
    found = examined(rule(GOOD.replace("[1m]", f"{{{matcher}}}[1m]").replace("{code=~'5..'}{", "{code=~'5..', ")))
    assert "version" in the(found, "rules/version-hard-coded").seen


@pytest.mark.parametrize("matcher", ['version="unknown"', 'version!="v4"', 'version=~"v.+"', 'version=""'])
def test_versions_that_are_no_version(matcher: str) -> None:
    text = GOOD.replace("http_requests_total[1m]", f"http_requests_total{{{matcher}}}[1m]")
    assert bad(examined(rule(text))) == []


def test_a_version_as_a_fixed_label() -> None:
    assert bad(examined(rule(labels={"version": "v4.0.0"}))) == ["rules/version-hard-coded"]


@pytest.mark.parametrize(
    ("expr", "text", "found"),
    [
        (GOOD, "{{ $value }}%", ["rules/ratio-as-percent"]),
        (GOOD, '{{ printf "%.2f" $value }} percent', ["rules/ratio-as-percent"]),
        (GOOD, "{{ $value | humanizePercentage }}", []),
        (GOOD, "{{ $value | humanizePercentage }} of 100%", []),
        (GOOD.replace(" > 0.01", " * 100 > 1"), "{{ $value }}%", []),
        (GOOD.replace(" > 0.01", " * 100 > 1"), "{{ $value | humanizePercentage }}", ["rules/percent-as-ratio"]),
        (GOOD, "{{ $labels.pod }} fails", ["rules/empty-label"]),
        (GOOD, "{{ $labels.workload }} fails", []),
    ],
)
def test_what_people_read(expr: str, text: str, found: list[str]) -> None:
    assert bad(examined(rule(expr, annotations={"summary": text}))) == found


@pytest.mark.parametrize(("hold", "over"), [("0s", False), ("30s", False), ("50s", True), ("2m", True)])
def test_how_long_it_waits_itself(hold: str, over: bool) -> None:
    assert ("rules/over-budget" in bad(examined(rule(**{"for": hold})))) is over


def test_a_warning_may_take_its_time() -> None:
    assert bad(examined(rule(severity="warning", **{"for": "10m"}))) == []


def test_alerts_that_ask_for_nothing_are_not_judged() -> None:
    assert bad(examined(rule("sum(up)", severity="info"))) == []


def test_an_expression_that_cannot_be_read_is_not_judged() -> None:
    found = examined(rule("sum(rate(x[5m]"))
    assert "rules/not-read" in bad(found)
    assert "rules/no-correlation" not in bad(found)


def test_a_window_that_holds_no_two_scrapes() -> None:
    prometheus = "global: {scrape_interval: 40s}\nalerting: {alertmanagers: [{}]}"
    assert "rules/window-under-two-scrapes" in bad(examined(rule(), prometheus))
    assert "rules/window-under-two-scrapes" not in bad(examined(rule(), prometheus.replace("40s", "15s")))


@pytest.mark.parametrize(
    ("limits", "found"),
    [({"max": 1}, []), ({"max": 1.5}, []), ({"max": 0.1}, ["thresholds/errors"]), ({"max": 5}, ["thresholds/errors"])],
)
def test_thresholds_of_rule_and_canary(limits: dict[str, float], found: list[str]) -> None:
    metric = {"name": "e", "thresholdRange": limits,
              "query": 'sum(rate(e{pod=~"canary.*"}[1m])) / sum(rate(r{pod=~"canary.*"}[1m])) * 100'}  # fmt: skip
    canary = {"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "metadata": {"name": "c"},
              "spec": {"analysis": {"metrics": [metric]}}}  # fmt: skip
    seen = [one for one in bad(examined(rule(), yaml.safe_dump(canary))) if one.startswith("thresholds/")]
    assert seen == found
