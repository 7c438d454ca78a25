"""`pullback doctor` against a cluster, stub neighbours and a running daemon: what it asks, says, and never does."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from daemon.sandbox.kubernetes_api import KubernetesApi
from tests import builders
from tests.checks import serving
from tests.cluster import ROOT, Cluster
from tests.commands import Pullback, read
from tests.running import running
from tests.scene import CANARIES, Scene

ALERTMANAGER = (ROOT / "config/alertmanager/alertmanager.yaml").read_text()
RULES = yaml.safe_load((ROOT / "config/prometheus/canary-rules.yaml").read_text())
PROMETHEUS = """
global: {scrape_interval: 15s, evaluation_interval: 15s}
alerting: {alertmanagers: [{static_configs: [{targets: ["alertmanager:9093"]}]}]}
scrape_configs: [{job_name: istio}]
"""


class Neighbours:
    """Prometheus and Alertmanager in one, and whatever a hook leads to."""

    def __init__(self) -> None:
        self.alertmanager = ALERTMANAGER
        self.rules: dict[str, Any] = loaded(RULES)
        self.version = "2.53.0"
        self.redirect = False
        self.token = ""
        self.asked: list[tuple[str, str]] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append((request.method, request.path))
        match request.path:
            case "/api/v2/status" if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
                return web.Response(status=401)
            case "/api/v2/status":
                return web.json_response(
                    {"versionInfo": {"version": "0.27.0"}, "config": {"original": self.alertmanager}}
                )
            case "/api/v1/status/buildinfo":
                return web.json_response({"status": "success", "data": {"version": self.version}})
            case "/api/v1/status/config":
                return web.json_response({"status": "success", "data": {"yaml": PROMETHEUS}})
            case "/api/v1/rules":
                return web.json_response({"status": "success", "data": self.rules})
            case path if path.startswith("/webhooks/flagger/") and self.redirect:
                return web.Response(status=302, headers={"Location": "/login"})
            case path if path.startswith("/webhooks/flagger/"):
                return web.Response(status=405)
        return web.Response(status=404)


def loaded(rules: dict[str, Any]) -> dict[str, Any]:
    """A rule file, as /api/v1/rules shows it."""
    kinds = {"alert": "alerting", "record": "recording"}
    shown = [
        {
            "name": group["name"], "interval": 15, "rules": [
                {"type": kinds[kind], "name": rule[kind], "query": rule["expr"], "labels": rule.get("labels", {}),
                 "annotations": rule.get("annotations", {}), "duration": 30 if "for" in rule else 0}
                for rule in group["rules"] for kind in kinds if kind in rule
            ],
        }
        for group in rules["groups"]
    ]  # fmt: skip
    return {"groups": shown}


@pytest.fixture
async def neighbours() -> AsyncIterator[Neighbours]:
    stub = Neighbours()
    async with serving(stub.handle) as stub.url:
        yield stub


@pytest.fixture
def configured(tmp_path: Path, neighbours: Neighbours, namespace: str) -> Path:
    path = tmp_path / "pullback.yaml"
    path.write_text(yaml.safe_dump({
        "kubernetes": {"namespaces": [namespace], "timeout": 5},
        "proof": {"prometheus_url": neighbours.url},
        "pull": {"alertmanager_urls": [neighbours.url]},
    }))  # fmt: skip
    return path


async def add_canary(scene: Scene, url: str) -> None:
    document = builders.canary(scene.namespace)
    host = url.removeprefix("http://")
    document["spec"]["analysis"] = {
        "interval": "1m", "threshold": 5, "stepWeights": [5, 25, 50], "maxWeight": 50,
        "webhooks": [
            {"name": kind, "type": kind, "timeout": "5s", "url": f"http://pullback:secret@{host}/webhooks/flagger/{kind}"}
            for kind in ("rollback", "pre-rollout", "rollout", "confirm-traffic-increase", "confirm-promotion")
        ],
    }  # fmt: skip
    await scene.create(CANARIES, document)


@contextlib.contextmanager
def nothing_was_sent(neighbours: Neighbours) -> Any:
    yield
    assert {method for method, _ in neighbours.asked} <= {"GET"}


def change(path: Path, **groups: dict[str, Any]) -> None:
    """Settings that this test is about."""
    document = yaml.safe_load(path.read_text())
    for group, fields in groups.items():
        document[group] = {**document.get(group, {}), **fields}
    path.write_text(yaml.safe_dump(document))


def bad(shown: Any) -> list[str]:
    return [one["id"] for one in shown["findings"] if one["severity"] != "ok"]


async def asked(pullback: Pullback, configured: Path, *more: str) -> tuple[int, Any]:
    code, out, err = await pullback("doctor", "--config", str(configured), "-o", "json", *more)
    assert err == ""
    return code, json.loads(out)


async def test_a_cluster_in_which_all_is_well(
    scene: Scene, pullback: Pullback, configured: Path, neighbours: Neighbours
) -> None:
    await add_canary(scene, neighbours.url)
    with nothing_was_sent(neighbours):
        code, shown = await asked(pullback, configured)
    assert (code, bad(shown)) == (0, [])
    ids = {one["id"] for one in shown["findings"]}
    assert ids >= {"permissions/all", "cluster/served", "neighbours/reached", "hooks/wired", "rules/alert",
                   "alertmanager/route", "prometheus/intervals", "budget/met", "channels/not-asked"}  # fmt: skip
    assert shown["budget"][0]["seconds"] == 51.0
    assert not [leg for leg in shown["budget"][0]["legs"] if leg["assumed"] and "mesh" not in leg["name"]]
    who = next(one for one in shown["findings"] if one["id"] == "permissions/who")
    assert "whoever runs this was checked" in who["seen"]


@pytest.mark.parametrize("output", ["table", "yaml"])
async def test_what_people_and_scripts_read(
    output: str, scene: Scene, pullback: Pullback, configured: Path, neighbours: Neighbours
) -> None:
    await add_canary(scene, neighbours.url)
    code, out, _ = await pullback("doctor", "--config", str(configured), "-o", output)
    assert code == 0
    assert "secret@" not in out
    if output == "yaml":
        assert sorted(read(output, out)) == ["budget", "findings", "summary"]
    else:
        assert "0 failed, 0 warnings, " in out
        assert "first bad request to 0% at 5% errors" in out


async def test_a_missing_permission_is_named(emulator: KubernetesApi, tmp_path: Path, pullback: Pullback) -> None:
    emulator.faults.fail(403, verb="patch", resource="virtualservices", times=None)
    emulator.faults.fail(403, verb="patch", resource="deployments", subresource="scale", times=None)
    kubeconfig = emulator.kubeconfig(tmp_path / "kubeconfig")
    code, out, _ = await pullback("doctor", "-o", "json", "--kubeconfig", str(kubeconfig), reaching=False)
    missing = [one["seen"] for one in json.loads(out)["findings"] if one["id"] == "permissions/missing"]
    assert (code, missing) == (1, [
        "may not patch virtualservices.networking.istio.io in the whole cluster: the brake: weights are written here",
        "may not patch deployments/scale.apps in the whole cluster: cleanup",
    ])  # fmt: skip


async def test_a_kind_that_is_not_installed_is_named(tmp_path: Path, pullback: Pullback) -> None:
    async with KubernetesApi([], ["test"]) as bare:
        kubeconfig = bare.kubeconfig(tmp_path / "kubeconfig")
        code, out, _ = await pullback("doctor", "-o", "json", "--kubeconfig", str(kubeconfig), reaching=False)
    absent = [one["where"] for one in json.loads(out)["findings"]
              if one["id"] == "cluster/not-served" and one["severity"] == "fail"]  # fmt: skip
    assert code == 1
    assert set(absent) == {"cluster rollbacks.pullback.dev", "cluster canaryrevisions.pullback.dev"}


async def test_flagger_is_not_needed_and_neither_is_istio(tmp_path: Path, pullback: Pullback) -> None:
    """An Ingress may be all that there is: nothing else has to be served, and no permission for it be there."""
    async with KubernetesApi([ROOT / "helm/pullback/crds"], ["test"]) as plain:
        plain.faults.fail(403, verb="patch", resource="canaries", times=None)
        plain.faults.fail(403, verb="patch", resource="rollouts", times=None)
        kubeconfig = plain.kubeconfig(tmp_path / "kubeconfig")
        code, out, _ = await pullback("doctor", "-o", "json", "--kubeconfig", str(kubeconfig), reaching=False)
    shown = json.loads(out)
    assert (code, bad(shown)) == (0, [])
    said = {one["seen"] for one in shown["findings"] if one["id"] == "cluster/not-served"}
    assert "Canary is not served: there are no canaries of Flagger's (1.38 or newer)" in said


@pytest.mark.parametrize(
    ("fault", "settings", "said"),
    [
        (("patch", "ingresses"), {}, "ingresses.networking.k8s.io"),
        (("watch", "destinationrules"), {}, "destinationrules.networking.istio.io"),
        (("patch", "rollouts", "status"), {}, "rollouts/status.argoproj.io"),
        (("patch", "services"), {"rollback": {"second_brake": "divert"}}, "rollback.second_brake"),
        (("create", "jobs"), {"gates": {"checks": {"j": {"kind": "job", "config_map": "x", "key": "y"}}}},
         "may not create jobs.batch"),
        (("create", "secrets"), {"follow_ups": {"helm": {"shop/web": {"release": "web", "namespace": "releases"}}}},
         "may not create secrets in namespace releases: follow_ups.helm"),
    ],
)  # fmt: skip
async def test_what_other_kinds_and_settings_need_is_asked_about_too(
    fault: tuple[str, ...], settings: dict[str, Any], said: str,
    emulator: KubernetesApi, tmp_path: Path, pullback: Pullback,
) -> None:  # fmt: skip
    verb, resource, *inner = fault
    emulator.faults.fail(403, verb=verb, resource=resource, subresource=inner[0] if inner else None, times=None)
    config = tmp_path / "pullback.yaml"
    config.write_text(yaml.safe_dump(settings))
    words = ["doctor", "-o", "json", "--kubeconfig", str(emulator.kubeconfig(tmp_path / "kubeconfig"))]
    code, out, _ = await pullback(*words, "--config", str(config), reaching=False)
    (missing,) = [one["seen"] for one in json.loads(out)["findings"] if one["id"] == "permissions/missing"]
    assert (code, said in missing) == (1, True)
    if settings:
        code, out, _ = await pullback(*words, reaching=False)
        assert (code, bad(json.loads(out))) == (0, [])


async def test_a_hook_behind_a_login_is_found_without_a_post(
    scene: Scene, pullback: Pullback, configured: Path, neighbours: Neighbours
) -> None:
    neighbours.redirect = True
    await add_canary(scene, neighbours.url)
    with nothing_was_sent(neighbours):
        code, shown = await asked(pullback, configured)
    assert (code, set(bad(shown))) == (1, {"hooks/redirected"})
    assert "secret" not in json.dumps(shown)


async def test_a_hook_of_somebody_else_is_never_asked(
    scene: Scene, pullback: Pullback, configured: Path, neighbours: Neighbours
) -> None:
    document = builders.canary(scene.namespace)
    document["spec"]["analysis"]["webhooks"] = [{"name": "tell", "type": "rollback", "url": f"{neighbours.url}/notify"}]
    await scene.create(CANARIES, document)
    code, shown = await asked(pullback, configured)
    assert (code, {"hooks/rollback-elsewhere", "hooks/no-rollback-hook"} <= set(bad(shown))) == (1, True)
    assert "/notify" not in {path for _, path in neighbours.asked}


async def test_an_alertmanager_that_sends_alerts_elsewhere(
    pullback: Pullback, configured: Path, neighbours: Neighbours
) -> None:
    neighbours.alertmanager = "route: {receiver: people}\nreceivers: [{name: people}]\n"
    code, shown = await asked(pullback, configured)
    assert code == 1
    assert {"alertmanager/not-reached", "alertmanager/no-watchdog"} <= set(bad(shown))


async def test_other_peoples_critical_alerts_are_not_judged(
    pullback: Pullback, configured: Path, neighbours: Neighbours
) -> None:
    neighbours.rules["groups"].append({"name": "etcd", "interval": 30, "rules": [
        {"type": "alerting", "name": "etcdMembersDown", "query": "sum(up) < 3", "labels": {"severity": "critical"},
         "annotations": {}, "duration": 600},
    ]})  # fmt: skip
    code, shown = await asked(pullback, configured)
    assert (code, bad(shown)) == (0, [])


@pytest.mark.parametrize(("token", "code"), [("right", 0), ("wrong", 1), (None, 1)])
async def test_credentials_of_alertmanager_are_tried(
    token: str | None, code: int, pullback: Pullback, configured: Path, neighbours: Neighbours, tmp_path: Path
) -> None:
    neighbours.token = "right"
    change(configured, pull={"bearer_token_file": str(tmp_path / "token")})
    if token:
        (tmp_path / "token").write_text(token)
    exited, shown = await asked(pullback, configured)
    assert (exited, "neighbours/credentials" in bad(shown)) == (code, bool(code))


async def test_neighbours_that_are_away_or_old(pullback: Pullback, configured: Path, neighbours: Neighbours) -> None:
    neighbours.version = "2.30.1"
    away = "http://127.0.0.1:1"
    change(
        configured,
        pull={"alertmanager_urls": [away]},
        notices={"channels": {"hook": {"kind": "webhook", "url": away}}},
    )
    code, shown = await asked(pullback, configured)
    assert code == 1
    assert {"neighbours/unreachable", "neighbours/old", "channels/unreachable"} <= set(bad(shown))


async def test_a_channel_is_reached_and_told_nothing(
    pullback: Pullback, configured: Path, neighbours: Neighbours
) -> None:
    change(configured, notices={"channels": {"hook": {"kind": "webhook", "url": f"{neighbours.url}/notices"}}})
    _, shown = await asked(pullback, configured)
    (said,) = [one["seen"] for one in shown["findings"] if one["where"] == "notices.channels.hook"]
    assert "not asked further: it would send something" in said
    assert "/notices" not in {path for _, path in neighbours.asked}


async def test_the_watches_of_a_running_daemon(
    cluster: Cluster, scene: Scene, tmp_path: Path, pullback: Pullback, configured: Path
) -> None:
    async with running(cluster, tmp_path) as daemon:
        base = str(daemon.http._base_url)
        code, shown = await asked(pullback, configured, "--daemon-url", base)
    (watches,) = [one for one in shown["findings"] if one["id"] == "daemon/watches"]
    assert (code, watches["severity"]) == (0, "ok")


@pytest.mark.parametrize(
    ("ready", "metrics", "found"),
    [
        ((503, "starting: canaries not seen"), 'pullback_watch_age_seconds{kind="Canary"} 1.5', {"daemon/not-ready"}),
        ((200, "ok\nwarning: no Watchdog"), 'pullback_watch_age_seconds{kind="Canary"} 1.5', {"daemon/warns"}),
        ((200, "ok"), 'pullback_watch_age_seconds{kind="Canary"} 90.0', {"daemon/watch-stale"}),
        ((200, "ok"), 'pullback_watch_age_seconds{kind="Canary"} NaN', {"daemon/watch-stale"}),
        ((200, "ok"), 'pullback_watch_age_seconds{kind="Canary"} 1\npullback_watchdog_age_seconds 900.0',
         {"daemon/watchdog-late"}),
        ((200, "ok"), "up 1", {"daemon/no-metrics"}),
        ((200, "ok"), None, {"daemon/no-metrics"}),
    ],
)  # fmt: skip
async def test_what_a_daemon_says_of_itself(
    ready: tuple[int, str], metrics: str | None, found: set[str], pullback: Pullback, configured: Path
) -> None:
    async def handle(request: web.Request) -> web.Response:
        if request.path == "/readyz":
            return web.Response(status=ready[0], text=ready[1])
        return web.Response(status=404) if metrics is None else web.Response(text=f"# HELP\n{metrics}\n")

    async with serving(handle) as url:
        _, shown = await asked(pullback, configured, "--daemon-url", url)
    assert set(bad(shown)) == found


async def test_a_daemon_that_is_away(pullback: Pullback, configured: Path) -> None:
    code, shown = await asked(pullback, configured, "--daemon-url", "http://127.0.0.1:1")
    assert (code, bad(shown)) == (1, ["daemon/unreachable"])


async def test_by_files_no_cluster_is_asked(pullback: Pullback) -> None:
    given = sorted(map(str, (ROOT / "tests/data/doctor").iterdir()))
    code, out, err = await pullback(
        "doctor", "--kubeconfig", "/nonexistent", "--canary", *given, "-o", "json", reaching=False
    )
    assert (code, err) == (1, "")
    assert json.loads(out)["summary"]["fail"] >= 18


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--rules", "/nonexistent"), "/nonexistent: No such file"),
        (("--budget", "soon"), "expected a duration such as 90s, 30m or 4h"),
        (("--output", "xml"), "invalid choice"),
    ],
)
async def test_usage(arguments: tuple[str, ...], said: str, pullback: Pullback) -> None:
    code, out, err = await pullback("doctor", *arguments, reaching=False)
    assert (code, out, said in err) == (2, "", True)
