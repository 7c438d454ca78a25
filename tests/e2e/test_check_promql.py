"""Criteria against a real Prometheus that scrapes a canary and a stable version."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp import web

from daemon import settings
from daemon.model import errors
from daemon.sandbox.packages import AlertingBinaries
from daemon.sandbox.processes import Children, free_port, wait_until_ready
from tests.checks import fails, hesitates, passes, run, serving, subject
from tests.neighbours import eventually

pytestmark = pytest.mark.e2e

APPS = {"podinfo-app": 0.10, "podinfo-app-primary": 0.05, "clean": 0.0}
"""Share of errors by workload."""
PER_SECOND = 100
CODE = ',code=~"5..$$"'


class Counters:
    """Counts as if every workload had its requests, in the exposition format."""

    def __init__(self) -> None:
        self._began = asyncio.get_running_loop().time()

    async def answer(self, _: web.Request) -> web.Response:
        total = (asyncio.get_running_loop().time() - self._began) * PER_SECOND
        lines = ["# TYPE requests_total counter"]
        for app, share in APPS.items():
            lines.append(f'requests_total{{workload="{app}",code="200"}} {total * (1 - share)}')
            lines.append(f'requests_total{{workload="{app}",code="500"}} {total * share}')
        for pod in ("podinfo-app-7d4b9c6f5d-x2vkq", "podinfo-app-primary-5f6d8c9b7-abcde"):
            lines.append(f'policy_evaluations_total{{namespace="shop",pod="{pod}",decision="ALLOW"}} {total}')
            lines.append(f'user_sessions_created_total{{namespace="shop",pod="{pod}"}} {total}')
        # Somebody else's, whose name begins as the canary's does.
        pod = "podinfo-app-worker-7d4b9c6f5d-zzzzz"
        lines.append(f'policy_evaluations_total{{namespace="shop",pod="{pod}",decision="ERROR"}} {total}')
        lines.append(f'user_sessions_failed_total{{namespace="shop",pod="{pod}"}} {total}')
        lines.append(f'audit_events_total{{namespace="shop",pod="{pod}"}} {10 * total}')
        return web.Response(text="\n".join([*lines, ""]))


@pytest.fixture
async def prometheus(
    children: Children, session: aiohttp.ClientSession, alerting_binaries: AlertingBinaries, tmp_path: Path
) -> AsyncIterator[str]:
    async with serving(Counters().answer) as target:
        job = {"job_name": "app", "static_configs": [{"targets": [target.removeprefix("http://")]}]}
        path = tmp_path / "prometheus.yaml"
        scrape = {"scrape_interval": "200ms", "scrape_timeout": "200ms"}
        path.write_text(yaml.safe_dump({"global": scrape, "scrape_configs": [job]}), "utf-8")
        address = f"127.0.0.1:{free_port()}"
        child = await children.start("prometheus", [
            alerting_binaries.prometheus, f"--config.file={path}", f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address={address}",
        ])  # fmt: skip
        await wait_until_ready(child, f"http://{address}/-/ready", session)

        async def counted() -> bool:
            query = {"query": "min(count_over_time(requests_total[10s])) > 5"}
            async with session.get(f"http://{address}/api/v1/query", params=query) as response:
                return bool((await response.json())["data"]["result"])

        await eventually(counted, 20)
        yield f"http://{address}"


def share(workload: str) -> str:
    """Of errors, of one workload."""
    errors_of, all_of = (f'sum(rate(requests_total{{workload="{workload}"{more}}}[$window]))' for more in (CODE, ""))
    return f"{errors_of} / {all_of}"


def criterion(**more: Any) -> dict[str, Any]:
    return {"kind": "promql", "query": share("$workload"), **more}


async def test_criteria_against_a_real_prometheus(prometheus: str) -> None:
    given: dict[str, Any] = {"prometheus_url": prometheus}
    of = subject(window=10.0)
    assert (await passes(criterion(max=0.2), of, **given)) == "0.1, expected at most 0.2"
    assert (await fails(criterion(max=0.01), of, **given)) == "expected at most 0.01, got 0.1"

    ratio = criterion(stable=share("$primary"), ratio={"max": 1.5})
    assert (await fails(ratio, of, **given)).startswith("expected at most 1.5 times stable, got 2 (canary 0.1, stable")
    await passes({**ratio, "ratio": {"max": 2.5}}, of, **given)
    stable_without_errors = {**ratio, "stable": share("clean")}
    assert "got canary 0.1, stable 0" in await fails(stable_without_errors, of, **given)
    await passes({**stable_without_errors, "ratio": {"max": 1.5, "floor": 0.2}}, of, **given)

    counted = 'sum(increase(requests_total{workload="$workload"}[$window]))'
    enough = criterion(max=0.2, sample={"query": counted, "min": 1})
    await passes(enough, of, **given)
    said = await hesitates({**enough, "sample": {"query": counted, "min": 1e9}}, of, **given)
    assert said.startswith("not enough traffic yet: ")

    await _what_is_not_there_is_no_data(prometheus)
    await _a_query_that_is_none_is_refused(prometheus)
    await _the_shipped_criteria_are_understood(prometheus)
    await _a_counter_that_never_counted_is_a_zero_to_the_shipped_criteria(prometheus)


# A Prometheus takes six seconds until it has scraped, so one serves all of these.


async def _what_is_not_there_is_no_data(prometheus: str) -> None:
    nobody = subject(workload="nobody")
    assert "got no data" in await hesitates(criterion(max=1), nobody, prometheus_url=prometheus)
    assert "got no data" in await hesitates(
        {"kind": "promql", "query": "vector(0) / vector(0)", "max": 1}, prometheus_url=prometheus
    )
    assert (await passes({"kind": "promql", "query": "scalar(vector(7))", "min": 7}, prometheus_url=prometheus)) == (
        "7, expected at least 7"
    )


async def _a_query_that_is_none_is_refused(prometheus: str) -> None:
    for query, told in (
        ("sum(", "bad_data: .* parse error"),
        ("requests_total", "expected one number, got 6 series"),
        ("requests_total[1m]", "expected an instant vector or a scalar"),
        ("'text'", "expected an instant vector or a scalar"),
    ):
        with pytest.raises(errors.Refused, match=told):
            await run({"kind": "promql", "query": query, "min": 1}, prometheus_url=prometheus)


async def _the_shipped_criteria_are_understood(prometheus: str) -> None:
    """There are no such counters here: what a question finds is nothing, not a mistake."""
    shipped = settings.load(Path("config/gates.yaml"), {}).gates.checks
    criteria = {name: one for name, one in shipped.items() if one["kind"] == "promql"}
    assert len(criteria) == 6
    for name, one in criteria.items():
        detail = await hesitates(one, subject(workload="nobody", window=10.0), prometheus_url=prometheus)
        assert "no data" in detail or "not enough traffic" in detail, (name, detail)


async def _a_counter_that_never_counted_is_a_zero_to_the_shipped_criteria(prometheus: str) -> None:
    """No failed session has been seen, and no series of them either; and not one audit event was written."""
    shipped = settings.load(Path("config/gates.yaml"), {}).gates.checks
    of = subject(window=10.0)
    assert await passes(shipped["policy-evaluation"], of, prometheus_url=prometheus) == "1, expected at least 0.99"
    assert await passes(shipped["session-success"], of, prometheus_url=prometheus) == "1, expected at least 0.95"
    assert await fails(shipped["audit-coverage"], of, prometheus_url=prometheus) == "expected at least 1, got 0"
