"""The promise in seconds, by exactly the shipped rules and route: from the first bad request to 0%, at 5% errors."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from daemon.sandbox import stopwatch
from daemon.sandbox.alertmanager import pointed_at
from daemon.sandbox.packages import AlertingBinaries
from daemon.sandbox.prometheus import DURATION, MILLISECONDS, SHIPPED_SCRAPE_SECONDS
from daemon.sandbox.shop import CANARY, NEW
from daemon.sandbox.stack import ROUTE, RULES, Pace, Stack, running
from tests.running import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SHARE = 0.05
AS_INSTALLED = Pace(150.0, float(SHIPPED_SCRAPE_SECONDS))
IN_FLIGHT = 0.25


def spelled(value: Any) -> Any:
    """Durations as milliseconds, because 1m and 60000ms are the same words to Prometheus."""
    if isinstance(value, dict):
        return {key: spelled(each) for key, each in value.items()}
    if isinstance(value, list):
        return [spelled(each) for each in value]
    if not isinstance(value, str):
        return value
    return DURATION.sub(lambda found: f"{int(found[1]) * MILLISECONDS[found[2]]}ms", value)


async def after_a_scrape(stack: Stack) -> None:
    """The worst moment to begin: what fails from now on is not seen before the next one."""
    assert stack.prometheus is not None
    targets = f"{stack.prometheus.url}/api/v1/targets?state=active"

    async def last() -> str:
        async with stack.session.get(targets) as response:
            (target,) = (await response.json())["data"]["activeTargets"]
        return str(target["lastScrape"])

    before = await last()

    async def scraped() -> bool:
        return await last() != before

    await eventually(scraped, within=2 * stack.pace.scrape_seconds + 5, every=0.05)


@pytest.mark.parametrize(
    ("pace", "promised"),
    [pytest.param(AS_INSTALLED, 60.0, id="as-installed"), pytest.param(Pace.to_notice(SHARE), 10.0, id="demo")],
)
async def test_from_the_first_bad_request_to_zero(
    pace: Pace, promised: float, alerting_binaries: AlertingBinaries, tmp_path: Path
) -> None:
    async with running(tmp_path, alerting_binaries, print, pace) as stack:
        await asyncio.sleep(pace.window + pace.scrape_seconds)  # until the rules know what good is
        assert not stack.records(), "rolled back while nothing was wrong"
        await after_a_scrape(stack)
        await stack.break_canary(SHARE)
        await stack.until(lambda: stack.mesh.left_at(CANARY), "weight 0 in force", within=2 * promised)
        await stack.until(lambda: stack.status().get("zeroedAt"), "the record to say so")
        await asyncio.sleep(IN_FLIGHT)
        cut = await stopwatch.count(stack)
        await asyncio.sleep(2)
        assert (await stopwatch.count(stack)).canary == cut.canary
        for line in stopwatch.lines(stopwatch.moments(stack)):
            print(*line)
        in_force, zeroed = stack.mesh.left_at(CANARY), datetime.fromisoformat(stack.status()["zeroedAt"]).timestamp()
        loaded = [yaml.safe_load((tmp_path / "rules" / path.name).read_text("utf-8")) for path in RULES]
        routed = yaml.safe_load((tmp_path / "alertmanager.yaml").read_text("utf-8"))

    onset = stack.load.tally.first_bad_at(NEW)
    assert onset is not None
    assert in_force is not None
    assert zeroed - onset < promised
    assert in_force.confirmed_at - onset < promised
    # Nothing was made quicker for this: the very files, but for an address and a token.
    shipped = yaml.safe_load(ROUTE.read_text("utf-8"))
    assert routed == pointed_at(shipped, f"{stack.daemon_url}/webhooks/alertmanager", stack.token_file)
    if pace is AS_INSTALLED:
        assert spelled(loaded) == spelled([yaml.safe_load(path.read_text("utf-8")) for path in RULES])
