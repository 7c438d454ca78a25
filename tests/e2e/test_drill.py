"""A drill beside a live release: a real Alertmanager with the shipped route, the daemon as a process, real Envoy."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from daemon import settings
from daemon.sandbox import stopwatch
from daemon.sandbox.packages import AlertingBinaries
from daemon.sandbox.shop import NAME, NAMESPACE
from daemon.sandbox.stack import CHECKOUT, Stack, running
from tests.builders import Json

pytestmark = pytest.mark.e2e

AROUND = 20.0


async def drill(stack: Stack, *more: str, timeout: str = "30s") -> tuple[int, Json]:
    """The command in a process of its own, as a CronJob runs it."""
    assert stack.alertmanager is not None
    words = ["drill", "-n", NAMESPACE, "--config", str(stack.configuration), "--alertmanager-url",
             stack.alertmanager.url, "--timeout", timeout, "-o", "json", *more]  # fmt: skip
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "daemon", *words, cwd=CHECKOUT, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), timeout=90)
    assert out, err.decode()
    # Whatever is broken: it says so within its period, give or take the start of a process and the tidying up.
    assert time.monotonic() - began < settings.seconds(timeout) + AROUND
    said: Json = json.loads(out)
    print(said["outcome"], said["brokenLink"], {one["clock"]: one["sincePosted"] for one in said["clocks"]})
    for kind in ("canaries", "deployments", "virtualservices"):
        assert "pullback-drill" not in {one["metadata"]["name"] for one in stack.api.list(kind, NAMESPACE)}
    return process.returncode or 0, said


async def metric(stack: Stack, outcome: str) -> float:
    async with stack.session.get(f"{stack.daemon_url}/metrics") as response:
        lines = (await response.text()).splitlines()
    name = f'pullback_last_drill_timestamp_seconds{{outcome="{outcome}"}} '
    return next((float(line.removeprefix(name)) for line in lines if line.startswith(name)), 0.0)


async def rewire(stack: Stack, matcher: str) -> None:
    """Alertmanager with another matcher on Pullback's route."""
    assert stack.alertmanager is not None
    path = stack.folder / "alertmanager.yaml"
    config: Any = yaml.safe_load(path.read_text("utf-8"))
    config["route"]["routes"][0]["matchers"] = [matcher]
    path.write_text(yaml.safe_dump(config), "utf-8")
    async with stack.session.post(f"{stack.alertmanager.url}/-/reload") as response:
        assert response.status == 200, await response.text()


async def test_drills_beside_a_release_touch_nothing_of_it_and_name_what_is_broken(
    alerting_binaries: AlertingBinaries, tmp_path: Path
) -> None:
    async with running(tmp_path, alerting_binaries, print) as stack:
        before = await stopwatch.count(stack)
        weight, route = stack.weight(), stack.api.read("virtualservices", NAME, NAMESPACE)

        code, said = await drill(stack)
        assert (code, said["problem"], said["left"]) == (0, None, [])
        clocks = {one["clock"]: one["sincePosted"] for one in said["clocks"]}
        assert set(clocks) == {"posted", "received", "decided", "zeroed", "proved", "completed"}
        assert clocks["zeroed"] < 2
        code, said = await drill(stack, "--shadow", NAME)
        assert (code, said["problem"], set(clocks) - {one["clock"] for one in said["clocks"]}) == (
            0, None, {"zeroed", "proved"},
        )  # fmt: skip
        assert await metric(stack, "passed") > 0
        assert await metric(stack, "failed") == 0

        # RBAC revoked: its own route alone, which is all the daemon would write here.
        stack.api.faults.fail(403, verb="patch", resource="virtualservices", name="pullback-drill", times=None)
        code, said = await drill(stack)
        assert (code, said["brokenLink"]) == (1, "write")
        assert "`patch virtualservices.networking.istio.io`" in said["problem"]
        stack.api.faults.clear()

        # The route taken out of Alertmanager.
        await rewire(stack, 'alertname=~"Canary.+"')
        code, said = await drill(stack, timeout="8s")
        assert (code, said["brokenLink"]) == (1, "webhook")
        assert "goes to the receivers: pullback-drill" in said["problem"]
        await rewire(stack, 'alertname=~"Canary.+|PullbackDrill"')

        assert (await drill(stack))[0] == 0
        await stack.end_daemon()
        code, said = await drill(stack, timeout="6s")
        assert (code, said["brokenLink"]) == (1, "daemon")
        await stack.start_daemon()
        assert 0 < await metric(stack, "passed") < await metric(stack, "failed")

        # Nothing of the release has moved.
        after = await stopwatch.count(stack)
        assert (stack.weight(), stack.phase()) == (weight, "Progressing")
        assert route is not None
        assert stack.api.read("virtualservices", NAME, NAMESPACE) == route
        assert after.canary > before.canary
        assert not [one for one in stack.records() if not one["spec"].get("drill")]
