"""The promise, told by everybody who was there: users, Prometheus, Alertmanager, the daemon, Flagger and Envoy."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from daemon.sandbox import stopwatch
from daemon.sandbox.packages import AlertingBinaries
from daemon.sandbox.shop import CANARY, NEW
from daemon.sandbox.stack import Pace, Stack, running
from tests.e2e import dashboard

pytestmark = pytest.mark.e2e

IN_FLIGHT = 0.25
CLOCKS = ("startedAt", "decidedAt", "zeroedAt", "provedAt", "completedAt")


async def begin_to_fail(stack: Stack, error_share: float = 0.2) -> None:
    """After enough good traffic for the rules to know what good is."""
    await asyncio.sleep(stack.pace.window + 0.5)
    assert not stack.records(), "rolled back while nothing was wrong"
    await stack.break_canary(error_share)


async def completed(stack: Stack) -> None:
    await stack.until(lambda: stack.status().get("phase") == "Completed", "the record to be Completed")


def epoch(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


async def test_a_failing_canary_gets_nothing_more_within_seconds(
    alerting_binaries: AlertingBinaries, tmp_path: Path
) -> None:
    folder = tmp_path / "run [1]"  # to Prometheus, which takes rule files for patterns, such a name is one
    folder.mkdir()
    async with running(folder, alerting_binaries, print) as stack, dashboard.opened(stack) as grafana:
        await begin_to_fail(stack)
        await stack.until(lambda: stack.mesh.left_at(CANARY), "weight 0 in force")
        await asyncio.sleep(IN_FLIGHT)
        cut = await stopwatch.count(stack)
        await completed(stack)
        end = await stopwatch.count(stack)
        await asyncio.sleep(2 * stack.pace.scrape_seconds)  # what happened last is scraped by then
        without_data = await grafana.without_data()
        on_the_routes = await grafana.shown("Weight on the routes")
        of_the_traffic = await grafana.shown("Traffic distribution", "B")
        gates, signals = await grafana.legends("Gates"), await grafana.legends("Signals")

    (record,) = stack.records()
    status, signal = record["status"], record["spec"]["signal"]
    for line in stopwatch.lines(stopwatch.moments(stack)):
        print(*line)

    # Envoy's own counters: traffic to the canary before, none after, and the shop stays open.
    assert cut.canary > 30
    assert end.canary == cut.canary
    assert end.stable > cut.stable + 100
    in_force = stack.mesh.left_at(CANARY)
    assert in_force is not None
    assert stack.load.tally.sent_after(in_force.confirmed_at + IN_FLIGHT, NEW) == 0

    # The record's clocks, one after the other, and the alert's onset before all of them.
    assert signal["labels"]["workload"] == "podinfo"
    assert signal["labels"]["version"] == NEW
    clocks = [epoch(signal["startsAt"]), *(epoch(status[clock]) for clock in CLOCKS)]
    assert all(earlier <= later for earlier, later in pairwise(clocks)), clocks
    assert 0 < status["secondsToZero"] < 1
    assert any("Prometheus: the canary's request rate is 0" in line for line in status["proof"])

    first_bad = stack.load.tally.first_bad_at(NEW)
    assert first_bad is not None
    assert epoch(status["zeroedAt"]) - first_bad < 10
    assert stack.phase() == "Failed"
    assert stack.weight() == 0

    assert not without_data, "queries of the shipped dashboard, or of the Flagger example"
    assert (on_the_routes[0], on_the_routes[-1]) == (10, 0)
    assert max(of_the_traffic) == pytest.approx(10, abs=6)
    assert of_the_traffic[-1] == 0
    # Counters that are born with what they count: the first time is not missed.
    assert gates["200", "rollback"] >= 1
    assert gates["403", "rollback"] >= 1
    assert signals["alert-fires", "alertmanager", "ROLL_BACK"] >= 1


@pytest.mark.slow
async def test_killed_and_stopped_at_every_turn_it_converges_with_one_record(
    alerting_binaries: AlertingBinaries, tmp_path: Path
) -> None:
    async with running(tmp_path, alerting_binaries, print) as stack:
        await begin_to_fail(stack, error_share=1.0)
        # The API server sits on the record, so nobody was told 200: what is known of the alert dies with the daemon.
        stack.api.faults.hang(verb="create", resource="rollbacks")
        await stack.until(lambda: stack.mesh.left_at(CANARY), "weight 0 in force")
        assert not stack.records()
        await stack.end_daemon(kill=True)
        stack.api.faults.clear()
        await asyncio.sleep(IN_FLIGHT)
        cut = await stopwatch.count(stack)

        await stack.start_daemon()
        await stack.until(stack.records, "the record: Alertmanager sends again what was not accepted")
        await stack.end_daemon(kill=True)

        await stack.start_daemon()
        began = time.monotonic()
        assert await stack.end_daemon() == 0
        assert time.monotonic() - began < 3, "SIGTERM has to be heeded at once"
        assert stack.status().get("phase") != "Completed"

        await stack.start_daemon()
        await completed(stack)
        assert (await stopwatch.count(stack)).canary == cut.canary
        assert len(stack.records()) == 1
        assert stack.weight() == 0


@pytest.mark.parametrize("share", [1.0, 0.2, 0.05, 0.02, 0.016])
def test_there_are_always_enough_errors_in_a_window_for_the_rules_to_speak(share: float) -> None:
    pace = Pace.to_notice(share)
    assert pace.requests_per_second * 0.1 * share * pace.window >= 6
    assert pace.requests_per_second <= 300
    assert pace.window <= 20
