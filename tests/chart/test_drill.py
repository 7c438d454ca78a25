"""Drills by the clock: a Job that may do what a drill does and nothing more."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp

from daemon.adapters.clock import SystemClock
from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.drill.objects import NAME
from daemon.drill.running import Drill, Wish
from tests.chart.rendering import EVERYTHING, MINIMAL, Manifest, of, render, the
from tests.cluster import Cluster
from tests.component.alertmanagers import StubAlertmanager
from tests.running import configuration, running
from tests.scene import Scene

URLS = ["http://alertmanager.monitoring:9093"]
ON = {**MINIMAL, "drill": {"enabled": True, "alertmanagerUrls": URLS}}
TOKEN = "/etc/pullback/secrets/am-token"

MAY = {
    ("list", "canaries.flagger.app", ""), ("create", "canaries.flagger.app", ""),
    ("delete", "canaries.flagger.app", NAME), ("patch", "canaries/status.flagger.app", NAME),
    ("list", "deployments.apps", ""), ("create", "deployments.apps", ""), ("delete", "deployments.apps", NAME),
    ("list", "virtualservices.networking.istio.io", ""), ("create", "virtualservices.networking.istio.io", ""),
    ("get", "virtualservices.networking.istio.io", NAME), ("delete", "virtualservices.networking.istio.io", NAME),
    ("get", "rollbacks.pullback.dev", ""), ("list", "rollbacks.pullback.dev", ""),
    ("create", "rollbacks.pullback.dev", ""), ("patch", "rollbacks/status.pullback.dev", ""),
    ("list", "canaryrevisions.pullback.dev", ""), ("list", "events", ""),
}  # fmt: skip


def allowed(role: Manifest) -> set[tuple[str, str, str]]:
    return set(_allowed(role))


def _allowed(role: Manifest) -> Iterator[tuple[str, str, str]]:
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for verb in rule["verbs"]:
                    for name in rule.get("resourceNames", [""]):
                        yield verb, f"{resource}.{group}".rstrip("."), name


def test_off_by_default() -> None:
    assert not of(render(MINIMAL), "CronJob")
    assert "pullback-drill" not in {one["metadata"]["name"] for one in render(MINIMAL)}


def test_its_own_account_with_a_role_where_it_drills_and_nowhere_else() -> None:
    manifests = render(ON)
    role, binding = the(manifests, "Role", "pullback-drill"), the(manifests, "RoleBinding", "pullback-drill")
    assert role["metadata"]["namespace"] == binding["metadata"]["namespace"] == "shop"
    assert allowed(role) == MAY
    assert binding["roleRef"]["name"] == "pullback-drill"
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "pullback-drill", "namespace": "pullback"}]
    assert the(render(EVERYTHING), "Role", "pullback-drill")["metadata"]["namespace"] == "checkout"
    others = render({**ON, "rbac": {"namespaces": ["shop"], "create": False}})
    assert not of(others, "Role")
    assert the(others, "ServiceAccount", "pullback-drill")


def test_the_job() -> None:
    job = the(render(ON), "CronJob")["spec"]
    pod = job["jobTemplate"]["spec"]["template"]["spec"]
    (drill,) = pod["containers"]
    assert (job["schedule"], job["concurrencyPolicy"]) == ("17 9 * * 1-5", "Forbid")
    assert job["jobTemplate"]["spec"]["backoffLimit"] == 0
    assert job["jobTemplate"]["spec"]["activeDeadlineSeconds"] == 300
    assert drill["args"] == ["drill", "--namespace=shop", "--timeout=120s", f"--alertmanager-url={URLS[0]}"]
    assert (pod["serviceAccountName"], pod["restartPolicy"]) == ("pullback-drill", "Never")
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert drill["securityContext"]["readOnlyRootFilesystem"] is True
    assert [one["name"] for one in pod["volumes"]] == ["config"], "no secret that it does not need"


def test_no_service_and_no_budget_takes_it_for_the_daemon() -> None:
    manifests = render(ON)
    labels = the(manifests, "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
    selector = the(manifests, "Service")["spec"]["selector"]
    assert not selector.items() <= labels.items()


def test_it_gets_the_credentials_for_alertmanager_and_no_others() -> None:
    values: Any = {
        **MINIMAL,
        "drill": {"enabled": True},
        "config": {"pull": {"alertmanager_urls": URLS, "bearer_token_file": TOKEN}},
        "secretFiles": [{"name": "am-token", "secretName": "am", "key": "t"},
                        {"name": "slack-token", "secretName": "slack", "key": "token"}],
    }  # fmt: skip
    pod = the(render(values), "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (secrets,) = [one for one in pod["volumes"] if one["name"] == "secrets"]
    assert secrets["projected"]["sources"] == [{"secret": {"name": "am", "items": [{"key": "t", "path": "am-token"}]}}]
    assert pod["containers"][0]["args"] == ["drill", "--namespace=shop", "--timeout=120s"]


# -- against the code


class Watched(KubernetesClient):
    """Keeps what it was asked for: verb, resource and name."""

    calls: set[tuple[str, str, str]]

    async def _call(self, method: str, path: str, **given: Any) -> Any:
        parts = path.strip("/").split("/")
        group = parts[1] if parts[0] == "apis" else ""
        rest = parts[parts.index("namespaces") + 2 :]
        verb = {"POST": "create", "PATCH": "patch", "DELETE": "delete"}.get(method, "get" if len(rest) > 1 else "list")
        name = rest[1] if len(rest) > 1 and rest[1] == NAME else ""
        resource = "/".join([rest[0], *rest[2:]])
        self.calls.add((verb, f"{resource}.{group}".rstrip("."), name))
        return await super()._call(method, path, **given)


async def test_a_drill_asks_for_nothing_else(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    """One that passes, and one of which no webhook came: together all that the Role allows."""
    configured = configuration(cluster.kubeconfig, tmp_path)
    calls: set[tuple[str, str, str]] = set()
    async with StubAlertmanager() as alertmanager, running(cluster, tmp_path) as daemon:
        for routed in (daemon, None):
            alertmanager.daemon = routed
            client = await Watched.connect(kubeconfig=cluster.kubeconfig, context=None, timeout=5)
            assert isinstance(client, Watched)
            client.calls = calls
            wish = Wish(scene.namespace, "", (alertmanager.url,), 4.0, keep=False)
            async with client, aiohttp.ClientSession() as session:
                course = await asyncio.wait_for(Drill(configured, wish, client, session, SystemClock()).run(), 30)
            assert course.passed is (routed is not None), course.broken
    assert calls == MAY
