"""The shipped rules and routes, in a real Prometheus and a real Alertmanager."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
import yaml

from daemon.sandbox.alertmanager import start_alertmanager
from daemon.sandbox.application import Behaviour, set_behaviour
from daemon.sandbox.envoy import Envoy
from daemon.sandbox.load import Load
from daemon.sandbox.packages import AlertingBinaries
from daemon.sandbox.processes import Children
from daemon.sandbox.prometheus import Workload, start_prometheus, write_rules
from tests.neighbours import ALERTMANAGER_CONFIG, CHECKOUT, RULES, Versions, Webhook, routes
from tests.running import eventually

pytestmark = pytest.mark.e2e

TOKEN = "a-token-of-the-test"
WORKLOADS = [
    Workload("podinfo-primary", "shop", "podinfo-primary", "podinfo-primary", "v1"),
    Workload("podinfo-canary", "shop", "podinfo", "podinfo-canary", "v2"),
]


@pytest_asyncio.fixture
async def alerting(
    envoy: Envoy, children: Children, webhook: Webhook, alerting_binaries: AlertingBinaries, tmp_path: Path
) -> None:
    """Prometheus on Envoy's counters and Alertmanager in front of the webhook, both with the shipped files."""
    token = tmp_path / "token"
    token.write_text(TOKEN + "\n")
    alertmanager = await start_alertmanager(
        children,
        envoy.session,
        alerting_binaries,
        folder=tmp_path,
        shipped_config=ALERTMANAGER_CONFIG,
        webhook_url=webhook.url,
        credentials_file=token,
    )
    await start_prometheus(
        children,
        envoy.session,
        alerting_binaries,
        folder=tmp_path,
        envoy_admin=f"127.0.0.1:{envoy.admin_port}",
        workloads=WORKLOADS,
        shipped_rules=RULES,
        alertmanager=alertmanager.address,
    )


@pytest.mark.usefixtures("alerting")
async def test_a_failing_canary_reaches_the_webhook_by_the_shipped_rules_and_route(
    envoy: Envoy, session: aiohttp.ClientSession, versions: Versions, webhook: Webhook
) -> None:
    await envoy.swap(routes(90, 10), "10")
    async with Load(envoy.url, "podinfo", 150) as load:
        await asyncio.sleep(5)  # a healthy canary: longer than the longest error window
        assert {alert["labels"]["alertname"] for alert in webhook.alerts()} <= {"Watchdog"}
        await set_behaviour(session, versions.canary_port, Behaviour(error_ratio=1.0))
        received_at = await _canary_alert(webhook, seconds=15)
        onset = load.tally.first_bad_at("v2")
        await envoy.swap(routes(100, 0), "zero")
    assert onset is not None
    print(f"first bad answer -> webhook: {received_at - onset:.2f} s")
    assert received_at - onset < 8
    assert {authorization for _, authorization, _ in webhook.received} == {f"Bearer {TOKEN}"}
    alert = next(alert for alert in webhook.alerts() if alert["labels"]["alertname"] != "Watchdog")
    expected = {"namespace": "shop", "workload": "podinfo", "version": "v2", "severity": "critical"}
    assert expected.items() <= alert["labels"].items()
    assert alert["status"] == "firing"
    assert alert["annotations"]["value"].endswith("%")
    assert "above the stable version" in alert["annotations"]["description"]


@pytest.mark.usefixtures("alerting")
async def test_the_watchdog_comes_by_itself(webhook: Webhook) -> None:
    async def heard() -> bool:
        return "Watchdog" in {alert["labels"]["alertname"] for alert in webhook.alerts()}

    await eventually(heard, within=20, every=0.1)


async def _canary_alert(webhook: Webhook, seconds: float) -> float:
    """When the first webhook about the canary arrived."""
    async with asyncio.timeout(seconds):
        while True:
            for received_at, _, payload in webhook.received:
                if payload["groupLabels"]["alertname"] != "Watchdog":
                    return received_at
            webhook.arrived.clear()
            await webhook.arrived.wait()


def _run(*argv: str | Path) -> str:
    done = subprocess.run(list(map(str, argv)), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_promtool_accepts_the_shipped_rules_and_the_shortened_ones(
    alerting_binaries: AlertingBinaries, tmp_path: Path
) -> None:
    _run(alerting_binaries.promtool, "check", "rules", *RULES)
    _run(alerting_binaries.promtool, "check", "rules", *write_rules(RULES, tmp_path, 1.0))


def test_the_rules_fire_when_they_should_and_only_then(alerting_binaries: AlertingBinaries) -> None:
    cases = CHECKOUT / "tests" / "data" / "prometheus" / "rules_test.yaml"
    assert "SUCCESS" in _run(alerting_binaries.promtool, "test", "rules", cases)


def test_amtool_accepts_the_shipped_alertmanager_config(alerting_binaries: AlertingBinaries) -> None:
    assert "SUCCESS" in _run(alerting_binaries.amtool, "check-config", ALERTMANAGER_CONFIG)


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (["alertname=CanaryHighErrorRate", "severity=critical"], "pullback"),
        (["alertname=CanaryLatencyDegradation", "severity=warning"], "pullback"),
        (["alertname=Watchdog", "severity=none"], "pullback-watchdog"),
        (["alertname=PullbackDrill", "severity=critical"], "pullback,pullback-drill"),
        (["alertname=DiskFull", "severity=critical"], "nobody"),
    ],
)
def test_alerts_take_the_shipped_routes(alerting_binaries: AlertingBinaries, labels: list[str], receiver: str) -> None:
    config = f"--config.file={ALERTMANAGER_CONFIG}"
    out = _run(alerting_binaries.amtool, "config", "routes", "test", config, *labels)
    assert out.split()[0] == receiver  # amtool warns about its own rough edges after it


@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        (["alertname=CanaryHighErrorRate", "severity=critical"], "pullback,people"),
        (["alertname=Watchdog", "severity=none"], "pullback-watchdog,outside"),
        (["alertname=PullbackAbsent", "severity=page"], "people"),
    ],
)
def test_routes_below_the_shipped_ones_get_their_alerts_too(
    alerting_binaries: AlertingBinaries, tmp_path: Path, labels: list[str], receivers: str
) -> None:
    config = yaml.safe_load(ALERTMANAGER_CONFIG.read_text("utf-8"))
    config["route"]["routes"] += [
        {"receiver": "outside", "matchers": ['alertname="Watchdog"']},
        {"receiver": "people", "matchers": ['severity=~"critical|page"']},
    ]
    config["receivers"] += [{"name": "outside"}, {"name": "people"}]
    merged = tmp_path / "alertmanager.yaml"
    merged.write_text(yaml.safe_dump(config, sort_keys=False), "utf-8")
    _run(alerting_binaries.amtool, "check-config", merged)
    out = _run(alerting_binaries.amtool, "config", "routes", "test", f"--config.file={merged}", *labels)
    assert out.split()[0] == receivers


def test_nothing_on_the_shipped_routes_waits_or_cuts_off() -> None:
    config = yaml.safe_load(ALERTMANAGER_CONFIG.read_text("utf-8"))
    webhooks = {one["name"]: one["webhook_configs"] for one in config["receivers"] if "webhook_configs" in one}
    for route in config["route"]["routes"]:
        if route["receiver"] == "pullback-drill":
            assert (route["matchers"], route.get("continue")) == (['alertname="PullbackDrill"'], None)
            continue
        assert route["group_wait"] == "0s"
        assert route["group_interval"] in {"5s", "15s"}
        assert route["repeat_interval"] == "1m"
        assert route["continue"] is True
        for webhook in webhooks[route["receiver"]]:
            assert webhook["max_alerts"] == 0
            assert webhook["url"].endswith("/webhooks/alertmanager")
            assert webhook["http_config"]["authorization"].keys() == {"type", "credentials_file"}
    # What one group may hold back another for: alerts of two canaries, or of two versions, are never one group.
    assert {"namespace", "workload", "version"} <= set(config["route"]["routes"][0]["group_by"])
