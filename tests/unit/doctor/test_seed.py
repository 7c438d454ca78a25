"""The documents Pullback was made for: every defect in them is found, and none in what we ship."""

from __future__ import annotations

import pytest

from daemon.doctor.findings import Severity
from tests.unit.doctor.reading import CHECKOUT, DATA, bad, files, the

DEFECTS = [
    ("a rollback hook is polled, and 200 kills the release", "hooks/rollback-elsewhere", "canary-hooks.yaml:10"),
    ("labels are aggregated away", "rules/no-correlation", "alerts.yaml:11"),
    ("a share is printed as percent", "rules/ratio-as-percent", "alerts.yaml:21"),
    ("the text shows a label that is gone", "rules/empty-label", "alerts.yaml:21"),
    ("for: 2m uses up the promise", "rules/over-budget", "alerts.yaml:16"),
    ("the version is hard-coded", "rules/version-hard-coded", "alerts.yaml:11"),
    ("interval x threshold", "canary/patience", "canary.yaml:14"),
    ("a load test of 5m in a tick of 1m", "hooks/load-test-blocks", "canary-hooks.yaml:23"),
    ("rollout timeouts over the interval", "hooks/rollout-over-interval", "canary-hooks.yaml:7"),
    ("stepWeight is not the stages", "canary/steps", "canary.yaml:16"),
    ("inline queries", "canary/inline-query", "canary.yaml:23"),
    ("queries over the whole service", "canary/whole-service", "canary.yaml:23"),
    ("helm upgrade --wait as the brake", "runbook/helm-wait", "rollback.sh:6"),
    ("kubectl delete pods", "runbook/delete-pods", "rollback.sh:12"),
    ("header routes stay", "routes/canary-alone", "virtual-service.yaml:9"),
    ("opt-in routes stay", "routes/canary-alone", "opt-in.yaml:9"),
    ("the internal HTTPRoute stays", "routes/canary-alone", "http-route.yaml:11"),
    ("two VirtualServices on one host", "routes/one-host-twice", "virtual-service-weights.yaml:6"),
    ("thresholds disagree", "thresholds/latency", "canary.yaml:29"),
    ("seconds over the budget", "budget/over", "alerts.yaml:10"),
]


@pytest.mark.parametrize(("what", "name", "where"), DEFECTS, ids=[what for what, _, _ in DEFECTS])
def test_every_defect_is_found_where_it_stands(what: str, name: str, where: str) -> None:
    report = files(*sorted(DATA.iterdir()))
    places = [one.where for one in report.findings if one.id == name and one.severity is not Severity.OK]
    assert any(f"{DATA}/{where}" in place.split(" ")[0] for place in places), places


def test_what_is_shipped_has_no_defect() -> None:
    rules = sorted((CHECKOUT / "config/prometheus").glob("*.yaml"))
    report = files(*rules, *sorted((CHECKOUT / "config/alertmanager").glob("*.yaml")), CHECKOUT / "README.md")
    assert bad(report.findings) == []
    assert the(report.findings, "budget/met").seen.startswith("CanaryHighErrorRate: 51s from the first bad request")
    assert {one.id for one in report.findings} >= {"hooks/wired", "rules/alert", "alertmanager/route"}


def test_the_shipped_routes_and_canary_fit() -> None:
    report = files(*(CHECKOUT / "config/flagger").glob("*.yaml"), *(CHECKOUT / "config/istio").glob("*.yaml"))
    assert bad(report.findings) == []
    assert "routes/repointed" in {one.id for one in report.findings}


def test_the_shipped_releases_without_flagger_are_found() -> None:
    folders = ("argo-rollouts", "flagger", "gateway-api", "istio", "nginx")
    report = files(*(path for folder in folders for path in (CHECKOUT / "config" / folder).glob("*.yaml")))
    assert bad(report.findings) == []
    found = {one.where.split(" ", 1)[1]: one.seen for one in report.findings if one.id == "canary/found"}
    assert found.keys() == {
        "VirtualService shop/checkout", "HTTPRoute shop/payments", "GRPCRoute shop/ledger",
        "Ingress shop/search-canary", "Rollout shop/orders",
    }  # fmt: skip
    assert found["VirtualService shop/checkout"].endswith("; the stage driver drives it")


def test_the_shipped_http_route_is_re_pointed_in_a_rollback() -> None:
    report = files(CHECKOUT / "config/gateway-api/internal.yaml")
    assert bad(report.findings) == []
    assert the(report.findings, "routes/repointed").seen.startswith("rules[0] sends to the canary alone, by a match")


def test_the_seconds_of_the_seed_and_the_change_that_helps_most() -> None:
    (slow, fast) = files(DATA / "alerts.yaml").ways
    assert [(way.errors, way.total) for way in (slow, fast)] == [(0.05, 198.0), (1.0, 169.5)]
    assert slow.helps is not None
    assert (slow.helps.change, slow.helps.saves) == ("CanaryHighErrorRate without `for:`", 120.0)
