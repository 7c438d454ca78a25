"""The commands, as a person or a script runs them: what they print, and how they exit."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import builders
from tests.cluster import Cluster
from tests.commands import Pullback, read
from tests.running import TOKEN, running
from tests.scene import ROUTES, Scene


@pytest.fixture
def payload(scene: Scene, tmp_path: Path) -> Path:
    path = tmp_path / "payload.json"
    path.write_text(json.dumps(builders.webhook(builders.alert(scene.namespace))))
    return path


# -- status


async def test_status_shows_canaries_and_rollbacks_for_people(scene: Scene, pullback: Pullback) -> None:
    await scene.add_canary(weight=10)
    code, out, err = await pullback("status")
    lines = [line.split() for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert lines[0] == ["NAMESPACE", "CANARY", "DRIVER", "PHASE", "REVISION", "WEIGHT%", "STAGE", "SOAK-LEFT",
                        "TRAFFIC-INCREASE", "ROLLBACK"]  # fmt: skip
    # Nobody runs that would have recorded since when it is at 10%.
    assert [
        scene.namespace, "podinfo", "Flagger", "Progressing", "7b8cb8dc5d", "10", "-", "-", "cannot-know", "-",
    ] in lines  # fmt: skip


@pytest.mark.parametrize("output", ["json", "yaml"])
async def test_status_is_read_by_scripts(output: str, scene: Scene, pullback: Pullback) -> None:
    await scene.add_canary(weight=10)
    code, out, _ = await pullback("status", "-o", output)
    shown = read(output, out)
    mine = [one for one in shown["canaries"] if one["namespace"] == scene.namespace]
    assert (code, mine[0]["weight"], sorted(shown)) == (0, 10, ["canaries", "rollbacks"])


async def test_status_of_an_empty_cluster_says_so(scene: Scene, cluster: Cluster, pullback: Pullback) -> None:
    if cluster.emulator is None:
        pytest.skip("a real cluster is shared")
    code, out, _ = await pullback("status")
    assert (code, "no canaries" in out) == (0, True)


async def test_a_cluster_that_cannot_be_reached_is_exit_1_and_no_stack(tmp_path: Path, pullback: Pullback) -> None:
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "x", "users": [{"name": "x", "user": {}}],
        "clusters": [{"name": "x", "cluster": {"server": "http://127.0.0.1:1"}}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    }  # fmt: skip
    (tmp_path / "nowhere").write_text(yaml.safe_dump(config))
    code, out, err = await pullback("status", "--kubeconfig", str(tmp_path / "nowhere"), reaching=False)
    assert (code, out) == (1, "")
    assert err.startswith("pullback: GET /apis/")
    assert "Traceback" not in err


async def test_a_kubeconfig_that_is_not_there_is_exit_2(pullback: Pullback) -> None:
    code, _, err = await pullback("status", "--kubeconfig", "/nonexistent", reaching=False)
    assert (code, err.startswith("pullback: no way to reach a Kubernetes API: ")) == (2, True)


# -- explain


async def test_explain_says_rule_canary_verdict_and_writes_and_changes_nothing(
    scene: Scene, payload: Path, pullback: Pullback
) -> None:
    await scene.add_canary(weight=10)
    code, out, _ = await pullback("explain", str(payload))
    assert (code, [line.strip() for line in out.splitlines()]) == (0, [
        "alerts[0] CanaryHighErrorRate a790beef2dcf050a",
        'rule     {severity="critical"} -> rollback',
        f'canary   {scene.namespace}/podinfo  (canary="podinfo" in namespace {scene.namespace})',
        "verdict  ROLL_BACK / alert-fires: CanaryHighErrorRate fires",
        f"would write  VirtualService {scene.namespace}/podinfo http[0]: 10% -> 0%",
    ])  # fmt: skip
    assert (await scene.weights(), await scene.records()) == ([90, 10], [])


@pytest.mark.parametrize("output", ["json", "yaml"])
async def test_explain_is_read_by_scripts(output: str, scene: Scene, tmp_path: Path, pullback: Pullback) -> None:
    await scene.add_canary(weight=10)
    shop = scene.namespace
    alerts = [
        builders.alert(shop), builders.alert(shop, "nobody"), builders.alert(shop, severity="info"),
        builders.alert(shop, alertname="Watchdog"), builders.alert(shop, status="resolved"),
        builders.alert(shop, severity="warning"), builders.alert(shop, starts_at="2020-01-01T00:00:00Z"),
    ]  # fmt: skip
    path = tmp_path / "several.json"
    path.write_text(json.dumps(builders.webhook(*alerts, truncated=2)))
    code, out, _ = await pullback("explain", str(path), "-o", output)
    shown = read(output, out)
    assert (code, shown["truncatedAlerts"]) == (0, 2)
    assert [(one["verdict"], one["reason"]) for one in shown["alerts"]] == [
        ("ROLL_BACK", "alert-fires"), ("IGNORE", "unmatched"), ("IGNORE", "no-rule-matches"), ("IGNORE", "heartbeat"),
        ("IGNORE", "resolved-never-undoes"), ("PAUSE", "alert-pauses"), ("IGNORE", "signal-older-than-revision"),
    ]  # fmt: skip
    assert [len(one["wouldWrite"]) for one in shown["alerts"]] == [1, 0, 0, 0, 0, 0, 0]


async def test_explain_and_the_daemon_say_the_same(
    cluster: Cluster, scene: Scene, tmp_path: Path, pullback: Pullback
) -> None:
    await scene.add_canary(weight=10)
    shop = scene.namespace
    body = builders.webhook(
        builders.alert(shop, "nobody"), builders.alert(shop, severity="info"),
        builders.alert(shop, starts_at="2020-01-01T00:00:00Z"), builders.alert(shop, version="v1"),
        builders.alert(shop),
    )  # fmt: skip
    path = tmp_path / "body.json"
    path.write_text(json.dumps(body))
    _, out, _ = await pullback("explain", str(path), "-o", "json")
    async with running(cluster, tmp_path) as daemon:
        _, answer = await daemon.alert(body)
    said = [[(one["verdict"], one["reason"], one["detail"]) for one in each["alerts"]]
            for each in (json.loads(out), answer)]  # fmt: skip
    assert said[0] == said[1]


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        ("{", 1, "Invalid JSON"),
        ('{"version":"5","alerts":[]}', 1, 'version: expected "4"'),
        (None, 2, "No such file or directory"),
    ],
)
async def test_explain_of_what_cannot_be_read_says_why(
    content: str | None, code: int, said: str, tmp_path: Path, pullback: Pullback
) -> None:
    path = tmp_path / "payload.json"
    if content is not None:
        path.write_text(content)
    exited, out, err = await pullback("explain", str(path))
    assert (exited, out) == (code, "")
    assert err.startswith(f"pullback: {path}: ")
    assert said in err


async def test_explain_of_a_malformed_alert_is_exit_1_and_explains_the_others(
    scene: Scene, tmp_path: Path, pullback: Pullback
) -> None:
    await scene.add_canary(weight=10)
    good = builders.alert(scene.namespace)
    path = tmp_path / "payload.json"
    path.write_text(json.dumps(builders.webhook({**good, "labels": None}, good)))
    code, out, _ = await pullback("explain", str(path), "-o", "json")
    assert (code, [one["reason"] for one in json.loads(out)["alerts"]]) == (1, ["malformed", "alert-fires"])


# -- plan


@pytest.mark.parametrize("output", ["json", "yaml"])
async def test_plan_shows_the_exact_patches_and_changes_nothing(output: str, scene: Scene, pullback: Pullback) -> None:
    await scene.add_canary(weight=10)
    code, out, _ = await pullback("plan", "podinfo", "-n", scene.namespace, "-o", output)
    (planned,) = read(output, out)
    async with scene.http.patch(
        f"{ROUTES.format(scene.namespace)}/podinfo", data=json.dumps(planned["patch"]), params={"dryRun": "All"},
        headers={"Content-Type": "application/json-patch+json"},
    ) as response:  # fmt: skip
        assert response.status == 200, await response.text()
    assert (code, planned["changes"]) == (0, [{"path": "http[0]", "before": 10, "after": 0}])
    assert {one["op"] for one in planned["patch"]} >= {"test", "replace"}
    assert await scene.weights() == [90, 10]


async def test_the_command_that_plan_prints_works_as_printed_and_is_refused_where_the_route_is_another(
    cluster: Cluster, scene: Scene, pullback: Pullback
) -> None:
    await scene.add_canary(weight=10)
    _, out, _ = await pullback("plan", "podinfo", "-n", scene.namespace)
    comment, command = out.splitlines()
    assert comment == f"# VirtualService {scene.namespace}/podinfo: http[0] 10% -> 0%"
    words = shlex.split(command)
    assert words[:6] == ["kubectl", "patch", "virtualservices.networking.istio.io", "podinfo", "-n", scene.namespace]
    assert await by_hand(cluster, scene, command) == (True, [100, 0])
    assert await by_hand(cluster, scene, command) == (True, [100, 0])

    code, out, _ = await pullback("plan", "podinfo", "-n", scene.namespace)
    assert (code, "is at 0% on every route" in out) == (0, True)

    route = (await scene.get(ROUTES, "podinfo"))["spec"]["http"][0]["route"]
    swapped = [{**route[1], "weight": 10}, {**route[0], "weight": 90}]
    await scene.merge(ROUTES, "podinfo", {"spec": {"http": [{"route": swapped}]}})
    assert await by_hand(cluster, scene, command) == (False, [10, 90])


async def by_hand(cluster: Cluster, scene: Scene, command: str) -> tuple[bool, list[int]]:
    """Runs the printed line in a shell with the real kubectl, or sends its patch where there is none."""
    if shutil.which("kubectl"):
        shell = await asyncio.create_subprocess_shell(
            command, env={**os.environ, "KUBECONFIG": str(cluster.kubeconfig), "HOME": str(cluster.kubeconfig.parent)},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        await shell.communicate()
        return shell.returncode == 0, await scene.weights()
    patch = shlex.split(command)[-1]
    async with scene.http.patch(
        f"{ROUTES.format(scene.namespace)}/podinfo", data=patch,
        headers={"Content-Type": "application/json-patch+json"},
    ) as response:  # fmt: skip
        return response.status == 200, await scene.weights()


async def test_plan_for_a_canary_that_is_not_there_is_exit_1(scene: Scene, pullback: Pullback) -> None:
    expected = f"pullback: no canary nobody in namespace {scene.namespace}\n"
    assert await pullback("plan", "nobody", "-n", scene.namespace) == (1, "", expected)


# -- rollback


@pytest.mark.parametrize("output", ["table", "json", "yaml"])
async def test_rollback_with_a_running_daemon_reaches_zero_and_exits_0(
    output: str, cluster: Cluster, scene: Scene, tmp_path: Path, pullback: Pullback
) -> None:
    await scene.add_canary(weight=10)
    async with running(cluster, tmp_path):
        code, out, _ = await pullback(
            "rollback", "podinfo", "-n", scene.namespace, "--reason", "it is slow", "--wait", "10", "-o", output
        )
        record = await scene.record("Proved")
        assert await scene.weights() == [100, 0]

    assert code == 0
    assert (record["spec"]["trigger"], record["spec"]["reason"]) == ("Operator", "it is slow")
    assert record["spec"]["requestedBy"]
    if output == "table":
        assert out.startswith(f"Rollback {scene.namespace}/podinfo-7b8cb8dc5d created: ")
        assert "at 0% after " in out
    else:
        assert (read(output, out)["canary"], read(output, out)["trigger"]) == ("podinfo", "Operator")


async def test_rollback_without_a_daemon_exits_1_and_says_so(scene: Scene, pullback: Pullback) -> None:
    await scene.add_canary(weight=10)
    asked = ("rollback", "podinfo", "-n", scene.namespace, "--reason", "x", "--wait")
    code, out, _ = await pullback(*asked, "0.3")
    assert code == 1
    assert "is `pullback serve` running? By hand: pullback plan podinfo" in out
    again, out, _ = await pullback(*asked, "0")
    assert (again, "in force already: Pending" in out) == (0, True)
    assert (await scene.weights(), len(await scene.records())) == ([90, 10], 1)


async def test_rollback_of_what_cannot_be_rolled_back_exits_1_with_the_reason(
    cluster: Cluster, scene: Scene, tmp_path: Path, pullback: Pullback
) -> None:
    await scene.add_canary(weight=0, phase="Succeeded")
    async with running(cluster, tmp_path):
        code, out, _ = await pullback(
            "rollback", "podinfo", "-n", scene.namespace, "--reason", "x", "--wait", "10", "-o", "json"
        )
    assert (code, json.loads(out)["phase"]) == (1, "Failed")
    assert json.loads(out)["message"].startswith("no-active-canary: ")


async def test_a_dry_run_says_what_it_would_write(
    cluster: Cluster, scene: Scene, tmp_path: Path, pullback: Pullback
) -> None:
    await scene.add_canary(weight=10)
    async with running(cluster, tmp_path):
        code, out, _ = await pullback("rollback", "podinfo", "-n", scene.namespace, "--reason", "x", "--dry-run")
        assert await scene.weights() == [90, 10]
    assert (code, "dry run; would write" in out) == (0, True)


async def test_rollback_of_a_canary_that_is_not_there_makes_no_record(scene: Scene, pullback: Pullback) -> None:
    code, out, err = await pullback("rollback", "nobody", "-n", scene.namespace, "--reason", "x")
    assert (code, out, err) == (1, "", f"pullback: no canary nobody in namespace {scene.namespace}\n")
    assert await scene.records() == []


# -- check-config and usage


@pytest.mark.parametrize(
    ("document", "code", "said"),
    [
        ({}, 2, "web.alertmanager: expected bearer_token_files or password_files, or allow_anonymous: true"),
        ({"web": {"prot": 1}}, 2, "web.prot: "),
        ({"web": {"alertmanager": {"bearer_token_files": ["/nonexistent"]}}}, 2, "/nonexistent: expected a readable"),
        ({"web": {"tls": {"certificate_file": "/nonexistent"}}}, 2, "web.tls: "),
        ({}, 0, ": ok, 2 alert rules"),
        ({"policy": {"rules": []}}, 0, ": ok, 0 alert rules"),
    ],
)
async def test_check_config_says_whether_serve_would_start(
    document: dict[str, Any], code: int, said: str, tmp_path: Path, pullback: Pullback
) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    if code == 0 or "tls" in document.get("web", {}):
        doors = {door: {"bearer_token_files": [str(token)]} for door in ("alertmanager", "flagger")}
        document = {**document, "web": {**doors, **document.get("web", {})}}
    path = tmp_path / "pullback.yaml"
    path.write_text(yaml.safe_dump(document))
    exited, out, err = await pullback("check-config", str(path), reaching=False)
    assert (exited, said in (err if code else out)) == (code, True), (out, err)
    assert TOKEN not in out + err


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("frobnicate",),
        ("status", "-o", "xml"),
        ("pause",),
        ("resume",),
        ("promote", "podinfo"),
        ("promote", "podinfo", "--weight", "101"),
        ("promote", "podinfo", "--weight", "nan"),
        ("promote", "podinfo", "--weight", "-1"),
        ("approve", "podinfo", "--yes"),
        ("approve", "podinfo", "--yes", "--reason", " "),
        ("approve", "podinfo", "--yes", "--reason", "x", "--expires", "0"),
        ("approve", "podinfo", "--yes", "--reason", "x", "--expires", "soon"),
        ("timeline",),
        ("rollback", "podinfo"),
        ("rollback", "--reason", "x"),
        ("rollback", "podinfo", "--reason", "x", "--wait", "long"),
        ("explain",),
        ("plan",),
        ("demo", "--errors", "0"),
        ("status", "--config", "/nonexistent.yaml"),
    ],
    ids=" ".join,
)
async def test_wrong_usage_is_exit_2(arguments: tuple[str, ...], pullback: Pullback) -> None:
    code, out, err = await pullback(*arguments, reaching=False)
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    assert err


@pytest.mark.parametrize("flag", ["--help", "--version"])
async def test_help_and_version_are_exit_0(flag: str, pullback: Pullback) -> None:
    code, out, _ = await pullback(flag, reaching=False)
    assert (code, "pullback" in out) == (0, True)
