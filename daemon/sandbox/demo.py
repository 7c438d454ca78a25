"""``pullback demo``: a canary begins to fail real users, and the screen shows where every second went."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from daemon.sandbox import stopwatch
from daemon.sandbox.packages import AlertingBinaries, AlertingUnavailableError, default_cache, find_alerting
from daemon.sandbox.processes import StartFailedError
from daemon.sandbox.stack import CHECKOUT, NAME, NAMESPACE, Stack, running, until

WARM_UP = 5.0
"""Seconds of healthy traffic first: a full window of the (shortened) rules."""
LONGEST = 60.0
"""Seconds from the first bad answer until this is given up."""
IN_FLIGHT = 0.5
"""Seconds for requests that were on their way when the routes changed."""
WATCHED = 3.0
"""Seconds over which Envoy's counters must not move any more."""
DONE, FAILED, INTERRUPTED = 0, 1, 130


def main(*, keep: bool, alerting: bool, error_share: float) -> int:
    """Runs the demo; returns the exit code. 0 only if Envoy's own counters say the canary got nothing more."""
    console = Console(highlight=False, soft_wrap=True)
    try:
        return asyncio.run(_demo(console, keep=keep, alerting=alerting, error_share=error_share))
    except KeyboardInterrupt:
        console.print("interrupted; everything that was started has ended")
        return INTERRUPTED
    except (AlertingUnavailableError, StartFailedError, FileNotFoundError, TimeoutError) as problem:
        console.print(f"[red]the demo could not be shown:[/] {problem}", markup=True)
        return FAILED


async def _demo(console: Console, *, keep: bool, alerting: bool, error_share: float) -> int:
    folder = Path(tempfile.mkdtemp(prefix="pullback-demo-"))
    console.print(f"Starting, logs in {folder}/logs")
    binaries = await _binaries(console) if alerting else None
    async with running(folder, binaries, lambda what: console.print(f"  {what}")) as stack:
        console.print(f"{WARM_UP:.0f} s of healthy traffic …")
        await asyncio.sleep(WARM_UP)
        code = await _story(console, stack, error_share)
        if keep:
            await _keep(console, stack)
    return code


async def _binaries(console: Console) -> AlertingBinaries:
    cache = default_cache(os.environ, CHECKOUT, Path.home())
    console.print(f"Looking for Prometheus and Alertmanager (on PATH, else unpacked into {cache})")
    return await find_alerting(cache)


async def _story(console: Console, stack: Stack, error_share: float) -> int:
    console.print(f"[bold]The canary begins to fail: {error_share:.0%} of its answers are 500[/]")
    await stack.break_canary(error_share)
    tally = stack.load.tally
    watching = asyncio.create_task(_watch(console, stack))
    try:
        await until(lambda: tally.first_bad_at("v2"), "a bad answer", within=LONGEST)
        if stack.prometheus is None:
            await _post_alert(stack)
        await until(lambda: _status(stack).get("zeroedAt"), "weight 0", within=LONGEST)
        await asyncio.sleep(IN_FLIGHT)
        cut = await stopwatch.count(stack)
        await until(lambda: _status(stack).get("provedAt"), "the proof", within=LONGEST)
        await until(lambda: _status(stack).get("completedAt"), "Flagger to accept the failure", within=LONGEST)
        await asyncio.sleep(max(0.0, WATCHED - _seconds_since(_status(stack).get("zeroedAt")) + IN_FLIGHT))
        end = await stopwatch.count(stack)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    return _summary(console, stack, cut, end)


async def _watch(console: Console, stack: Stack) -> None:
    """The stopwatch while it runs: drawn anew in a terminal, line by line elsewhere."""
    if not console.is_terminal:
        told: set[str] = set()
        while True:
            for what, who, clock, _ in stopwatch.lines(stopwatch.moments(stack, ended=False)):
                # The canary's last answer is known to be the last only when all is over.
                if clock != "…" and what not in told and what != "last canary answer":
                    told.add(what)
                    console.print(f"  {clock:>12}  {what} ({who})")
            await asyncio.sleep(0.1)
    with Live(console=console, refresh_per_second=10, transient=True) as live:
        while True:
            title = f"canary at {stack.weight()}%, Flagger says {stack.phase()}, {stack.load.tally.bad} bad answers"
            live.update(stopwatch.screen(stopwatch.moments(stack, ended=False), title))
            await asyncio.sleep(0.1)


def _summary(console: Console, stack: Stack, cut: stopwatch.Counted, end: stopwatch.Counted) -> int:
    found = stopwatch.moments(stack, ended=True)
    status = _status(stack)
    console.print()
    console.print(stopwatch.screen(found, "[bold]The stopwatch[/], from the first bad answer"))
    console.print("\n[bold]Where the seconds went[/]")
    for line in stopwatch.waterfall(found):
        console.print(line)
    console.print()
    tally = stack.load.tally
    console.print(f"Users saw {tally.bad} bad answers out of {tally.total}.")
    console.print(f"Envoy sent the canary {cut.canary} requests until the cut and {end.canary - cut.canary} after it; "
                  f"the stable version got {end.stable - cut.stable} in that time.")  # fmt: skip
    console.print(f"Pullback pushed the weight back to 0 {status.get('holds', 0)} times. Proof: "
                  + "; ".join(status.get("proof", [])))  # fmt: skip
    problems = []
    if end.canary != cut.canary:
        problems.append(f"the canary got {end.canary - cut.canary} requests after the cut")
    if end.stable <= cut.stable:
        problems.append("the stable version got no traffic after the cut, so nothing is shown")
    if status.get("phase") != "Completed":
        problems.append(f"the record says {status.get('phase')}, expected Completed")
    if problems:
        console.print(f"[red]Not as promised:[/] {'; '.join(problems)}. Logs: {stack.folder}/logs")
        return FAILED
    console.print("[green]The canary got nothing after the cut.[/]")
    return DONE


async def _keep(console: Console, stack: Stack) -> None:
    """Leaves it all running for play."""
    config = f"--config {stack.configuration}"
    console.print("\n[bold]Everything goes on running. Ctrl-C ends it.[/]")
    console.print(f"  shop           {stack.envoy.url} (Host: {NAME}), Envoy's admin page {stack.envoy.admin_url}")
    console.print(f"  Pullback       {stack.daemon_url}/metrics, bearer token for /api/v1: {stack.token}")
    if stack.prometheus is not None and stack.alertmanager is not None:
        console.print(f"  Prometheus     {stack.prometheus.url}/api/v1/alerts")
        console.print(f"  Alertmanager   {stack.alertmanager.url}")
    console.print(f"  kubectl        kubectl --kubeconfig {stack.kubeconfig} get rb,canary,vs -A")
    console.print(f"  pullback       pullback status {config}")
    canary = f"http://127.0.0.1:{stack.canary_port}/sandbox/behaviour"
    console.print(f"  the canary     curl -X PUT {canary} -d '{{\"error_ratio\": 0}}'")
    await asyncio.Event().wait()


async def _post_alert(stack: Stack) -> None:
    """What Alertmanager would send: the same shape, the labels of the shipped rule."""
    alert = {
        "status": "firing",
        "labels": {
            "alertname": "CanaryHighErrorRate",
            "severity": "critical",
            "namespace": NAMESPACE,
            "workload": NAME,
            "version": "v2",
        },
        "annotations": {"summary": "posted by the demo itself (--no-alerting)"},
        "startsAt": datetime.now(UTC).isoformat(),
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "",
        "fingerprint": "00000000000000d0",
    }
    body = {
        "version": "4", "groupKey": "{}:{}", "status": "firing", "receiver": "pullback", "truncatedAlerts": 0,
        "groupLabels": {}, "commonLabels": alert["labels"], "commonAnnotations": {}, "externalURL": "",
        "alerts": [alert],
    }  # fmt: skip
    headers = {"Authorization": f"Bearer {stack.token}"}
    url = f"{stack.daemon_url}/webhooks/alertmanager"
    async with stack.session.post(url, json=body, headers=headers) as response:
        if response.status != 200:
            raise StartFailedError(f"the daemon answered {response.status}: {await response.text()}")


def _status(stack: Stack) -> dict[str, Any]:
    return (stack.record() or {}).get("status") or {}


def _seconds_since(text: str | None) -> float:
    return time.time() - datetime.fromisoformat(text).timestamp() if text else 0.0
