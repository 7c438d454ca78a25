"""``pullback demo``: a canary begins to fail real users, and the screen shows where every second went.

It believes nobody: the exit code is 0 only when Envoy's own counters say that the canary got no request after
the cut, while the stable version went on being served.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import io
import logging
import os
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from rich.console import Console
from rich.markup import escape

from daemon.sandbox import shop, stopwatch
from daemon.sandbox.packages import AlertingBinaries, AlertingUnavailableError, default_cache, find_alerting
from daemon.sandbox.processes import StartFailedError
from daemon.sandbox.shop import CANARY, NAME
from daemon.sandbox.stack import CHECKOUT, CRDS, LEAST_SHARE, Pace, Stack, running

LONGEST = 60.0
"""Seconds for each thing that is waited for, until it is given up."""
QUICKLY = 20.0
"""Seconds for Flagger to accept the failure; the traffic has stopped long before."""
IN_FLIGHT = 0.25
"""Seconds for requests that were on their way when the routes changed."""
WATCHED = 4.0
"""Seconds over which Envoy's counters must not move any more."""
DONE, FAILED, INTERRUPTED = 0, 1, 130
PROBLEMS = (StartFailedError, TimeoutError, aiohttp.ClientError, OSError)


@dataclass(slots=True)
class Verdict:
    """What the story came to. Without problems it is what was promised."""

    ended: bool = False
    problems: list[str] = field(default_factory=list)
    cut: stopwatch.Counted | None = None
    end: stopwatch.Counted | None = None

    @property
    def code(self) -> int:
        return FAILED if self.problems else DONE


def main(*, keep: bool, alerting: bool, error_share: float) -> int:
    """Runs the demo; returns the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # where a bar cannot be drawn, a question mark will do
    console = Console(highlight=False, soft_wrap=True)
    verdict = Verdict()
    if refusal := _refusal(alerting=alerting, error_share=error_share):
        console.print(f"[red]The demo cannot be shown:[/] {escape(refusal)}")
        return FAILED
    try:
        asyncio.run(_demo(console, verdict, keep=keep, alerting=alerting, error_share=error_share))
    except asyncio.CancelledError:
        with contextlib.suppress(OSError):  # the terminal may be what went away
            console.print("\nInterrupted; everything that was started has ended.")
        return verdict.code if verdict.ended else INTERRUPTED
    except (AlertingUnavailableError, *PROBLEMS) as problem:
        console.print(f"[red]The demo could not be shown:[/] {escape(str(problem) or repr(problem))}")
        return FAILED
    return verdict.code


def _refusal(*, alerting: bool, error_share: float) -> str:
    """Why there would be nothing to show; empty if there is."""
    if missing := [folder for folder in CRDS if not folder.is_dir()]:
        return f"{missing[0]} is not there; it runs from a checkout of the project"
    if importlib.util.find_spec("envoy") is None:
        return "Envoy is missing: pip install 'pullback[demo]'"
    if alerting and error_share <= LEAST_SHARE:
        return (
            f"at --errors {error_share:g} nothing would happen: the shipped rules fire at more than "
            f"{LEAST_SHARE:.1%} above the stable version (--no-alerting posts the alert in any case)"
        )
    return ""


async def _demo(console: Console, verdict: Verdict, *, keep: bool, alerting: bool, error_share: float) -> None:
    with _interruptible():
        binaries = await _binaries(console) if alerting else None
        pace = Pace.to_notice(error_share) if alerting else Pace()
        folder = Path(tempfile.mkdtemp(prefix="pullback-demo-"))
        _log_into(folder / "logs")
        console.print(f"Starting; logs are in {folder}/logs", markup=False)
        try:
            async with running(folder, binaries, lambda what: console.print(f"  {what}", markup=False), pace) as stack:
                await _story(console, stack, verdict, error_share)
                if keep:
                    await _keep(console, stack)
        except PROBLEMS:
            verdict.problems.append("not shown to the end")
            raise
        finally:
            if verdict.problems:
                console.print(f"The logs stay in {folder}/logs", markup=False)
            else:
                shutil.rmtree(folder, ignore_errors=True)  # tens of megabytes that nobody looks at any more


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """The first signal ends everything in order; further ones do not disturb that."""
    main_task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert main_task is not None  # noqa: S101 - always within one
    interrupted = False

    def interrupt() -> None:
        nonlocal interrupted
        if not interrupted:
            interrupted = True
            main_task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, interrupt)
    yield


def _log_into(folder: Path) -> None:
    """What the stand-ins have to say goes where the logs of the real ones go, and not across the stopwatch."""
    folder.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(filename=folder / "demo.log", level=logging.WARNING, force=True,
                        format="%(asctime)s %(levelname)s %(name)s: %(message)s")  # fmt: skip


async def _binaries(console: Console) -> AlertingBinaries:
    cache = default_cache(os.environ, CHECKOUT, Path.home())
    console.print(f"Looking for Prometheus and Alertmanager (on PATH, else unpacked into {cache})", markup=False)
    return await find_alerting(cache)


async def _story(console: Console, stack: Stack, verdict: Verdict, error_share: float) -> None:
    warm_up = stack.pace.window + 1
    console.print(f"{warm_up:.0f} s of healthy traffic, {stack.pace.requests_per_second:.0f} requests per second")
    await asyncio.sleep(warm_up)
    if stack.records():
        verdict.problems.append("it was rolled back before anything was wrong")
    console.print(f"[bold]The canary begins to fail: {error_share:.1%} of its answers are 500[/]")
    async with stopwatch.shown(console, stack):
        try:
            await _rollback(stack, verdict, error_share)
        except TimeoutError as late:
            verdict.problems.append(str(late))
    _judge(stack, verdict)
    _summary(console, stack, verdict)
    verdict.ended = True


async def _rollback(stack: Stack, verdict: Verdict, error_share: float) -> None:
    await stack.break_canary(error_share)
    await stack.until(lambda: stack.load.tally.first_bad_at(shop.NEW), "a bad answer", within=LONGEST)
    if stack.prometheus is None:
        status, answer = await stack.post_alert()
        if status != 200:
            verdict.problems.append(f"the daemon answered the alert with {status}: {answer}")
    await stack.until(lambda: stack.mesh.left_at(CANARY), "weight 0 in force in Envoy", within=LONGEST)
    began = time.monotonic()
    await asyncio.sleep(IN_FLIGHT)
    verdict.cut = await stopwatch.count(stack)
    await stack.until(lambda: stack.status().get("provedAt"), "the proof", within=LONGEST)
    with contextlib.suppress(TimeoutError):  # Flagger may take its time; the record then says Proved
        await stack.until(lambda: stack.status().get("completedAt"), "Flagger's consent", within=QUICKLY)
    await asyncio.sleep(max(0.0, began + WATCHED - time.monotonic()))
    verdict.end = await stopwatch.count(stack)


def _judge(stack: Stack, verdict: Verdict) -> None:
    """By Envoy's counters first, and by what the users saw: the two count independently."""
    cut, end, in_force = verdict.cut, verdict.end, stack.mesh.left_at(CANARY)
    if cut is None or end is None or in_force is None:
        return  # what was waited for in vain is among the problems
    if end.canary != cut.canary:
        verdict.problems.append(f"Envoy sent the canary {end.canary - cut.canary} requests after the cut")
    if late := stack.load.tally.sent_after(in_force.confirmed_at + IN_FLIGHT, shop.NEW):
        verdict.problems.append(f"{late} requests sent after the cut were answered by the canary")
    if end.stable <= cut.stable:
        verdict.problems.append("the stable version got no traffic after the cut, so nothing is shown")
    if (phase := stack.status().get("phase")) not in {"Proved", "Completed"}:
        verdict.problems.append(f"the record says {phase}")
    if len(stack.records()) != 1:
        verdict.problems.append(f"there are {len(stack.records())} records of one rollback")


def _summary(console: Console, stack: Stack, verdict: Verdict) -> None:
    found = stopwatch.moments(stack)
    console.print()
    console.print(stopwatch.screen(found, "[bold]The stopwatch[/], from the first bad answer"))
    console.print("\n[bold]Where the seconds went[/]")
    bar = "█" if console.encoding.startswith("utf") else "#"
    for line in stopwatch.waterfall(found, bar):
        console.print(line, markup=False)
    tally = stack.load.tally
    console.print(f"\nUsers saw {tally.bad} bad answers out of {tally.total}.")
    cut, end = verdict.cut, verdict.end
    if cut is not None and end is not None:
        console.print(
            f"Envoy's counters: the canary got {cut.canary} requests until the cut and {end.canary - cut.canary} after "
            f"it, the stable version {cut.stable} and {end.stable - cut.stable}."
        )
    proof = "; ".join(stack.status().get("proof") or ["none"])
    console.print(f"Record: {stack.status().get('phase', 'none')}. Proof: {proof}.", markup=False)
    for problem in verdict.problems:
        console.print(f"[red]Not as promised:[/] {escape(problem)}")
    if not verdict.problems:
        console.print("[green]The canary got nothing after the cut.[/]")


async def _keep(console: Console, stack: Stack) -> None:
    """Leaves it all running for play; what dies meanwhile is told, and the rest stays."""
    pullback = f"{shlex.quote(sys.executable)} -m daemon"
    config = shlex.quote(str(stack.configuration))
    hand = f"-X PUT http://127.0.0.1:{stack.canary_port}/sandbox/behaviour -d '{{\"error_ratio\": 0}}'"
    lines = {
        "the shop": f"curl -H 'Host: {NAME}' {stack.envoy.url}",
        "Envoy": f"{stack.envoy.admin_url}/stats",
        "Pullback": f"{stack.daemon_url}/metrics",
        "the console": f"http://pullback:{stack.token}@{stack.daemon_url.removeprefix('http://')}/",
        "the API": f"curl -H 'Authorization: Bearer {stack.token}' {stack.daemon_url}/api/v1/rollbacks",
        "Prometheus": f"{stack.prometheus.url}/alerts" if stack.prometheus else "not started (--no-alerting)",
        "Alertmanager": f"{stack.alertmanager.url}/api/v2/alerts" if stack.alertmanager else "not started",
        "the canary": f"curl {hand}",
        "kubectl": f"kubectl --kubeconfig {shlex.quote(str(stack.kubeconfig))} get rb,canary,vs -A",
        "pullback": f"{pullback} status --config {config}",
        "logs": f"{stack.folder}/logs",
    }
    console.print("\n[bold]Everything goes on running. Ctrl-C ends it.[/]")
    for name, text in lines.items():
        console.print(f"  {name:<13} {text}", markup=False)
    told: set[int] = set()
    while True:
        await asyncio.sleep(1)
        for child in stack.children.running:
            if child.exit_status is not None and child.pid not in told:
                told.add(child.pid)
                console.print(f"  {child.failed(f'ended with status {child.exit_status}')}", markup=False)
