"""The one number, end to end: from the first bad answer of a real app to no more canary requests in real Envoy."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.sandbox import stopwatch
from daemon.sandbox.packages import AlertingBinaries
from daemon.sandbox.processes import stop
from daemon.sandbox.stack import CHECKOUT, Stack, running, until

pytestmark = pytest.mark.e2e


def status(stack: Stack) -> dict[str, str]:
    return (stack.record() or {}).get("status") or {}


async def test_a_failing_canary_gets_nothing_more_within_seconds(
    alerting_binaries: AlertingBinaries, tmp_path: Path
) -> None:
    async with running(tmp_path, alerting_binaries, print) as stack:
        await asyncio.sleep(5)
        await stack.break_canary(0.5)
        await until(lambda: status(stack).get("zeroedAt"), "weight 0")
        await asyncio.sleep(0.5)
        cut = await stopwatch.count(stack)
        await until(lambda: status(stack).get("completedAt"), "the end of the rollback")
        end = await stopwatch.count(stack)
        found = {moment.what: moment.at for moment in stopwatch.moments(stack, ended=True)}
        record = stack.record()

    assert record is not None
    assert end.canary == cut.canary
    assert end.stable > cut.stable
    first, written = found["first bad answer"], found["weight 0 written"]
    assert first is not None
    assert written is not None
    assert written - first < 10
    order = ("alert firing", "webhook received", "decided", "weight 0 written", "proved")
    times = [found[what] or 0.0 for what in order]
    assert times == sorted(times)
    assert record["status"]["secondsToZero"] < 1
    assert any("Prometheus: the canary's request rate is 0" in one for one in record["status"]["proof"])
    assert record["spec"]["signal"]["labels"]["alertname"].startswith("Canary")


async def test_killed_right_after_the_alert_the_next_daemon_finishes(
    alerting_binaries: AlertingBinaries, tmp_path: Path
) -> None:
    async with running(tmp_path, alerting_binaries, print) as stack:
        await asyncio.sleep(5)
        await stack.break_canary(1.0)
        await until(stack.record, "the record")
        os.kill(stack.daemon.pid, signal.SIGKILL)
        await stack.daemon.process.wait()
        await stack.start_daemon()
        await until(lambda: status(stack).get("completedAt"), "the end of the rollback")

        assert stack.weight() == 0
        assert len(stack.api.list("rollbacks")) == 1
        assert await stop(stack.daemon) == 0  # SIGTERM: in order, and with exit code 0


def children_of(pid: int) -> list[str]:
    listed = subprocess.run(["ps", "-eo", "ppid=,args="], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if line.split()[0] == str(pid)]


def test_the_demo_without_alerting_exits_zero_and_shows_the_stopwatch() -> None:
    argv = [sys.executable, "-m", "daemon", "demo", "--no-alerting"]
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, timeout=90, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    for said in ("first bad answer", "webhook received", "weight 0 written", "proved", "Where the seconds went"):
        assert said in done.stdout
    assert re.search(r"Envoy sent the canary \d+ requests until the cut and 0 after it", done.stdout)


def test_interrupted_the_demo_ends_everything_it_started() -> None:
    argv = [sys.executable, "-m", "daemon", "demo", "--no-alerting", "--keep"]
    with subprocess.Popen(
        argv, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "healthy traffic" in line:
                break
        started = children_of(demo.pid)
        demo.send_signal(signal.SIGINT)
        rest = demo.stdout.read()
        assert demo.wait(20) == 130, rest

    assert len(started) >= 4  # two apps, Envoy, the daemon
    assert "everything that was started has ended" in rest
    listed = subprocess.run(["ps", "-eo", "args="], capture_output=True, text=True, check=True).stdout
    folders = re.findall(r"\S+/pullback-demo-\w+", " ".join(started))
    assert folders
    assert not [line for line in listed.splitlines() if any(folder in line for folder in folders)]
