"""Nothing relevant fires: against Alertmanager's API v2 as it answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from daemon.adapters.alertmanager import AlertmanagerAlerts
from daemon.model import errors
from daemon.model.canary import CanaryRef
from daemon.sandbox.processes import free_port
from daemon.web import alertmanager
from tests.checks import CANARY, fails, passes, run, serving


def fires(name: str, **labels: str) -> dict[str, Any]:
    return {
        "annotations": {}, "startsAt": "2026-05-01T12:00:00Z", "endsAt": "2026-05-01T13:00:00Z",
        "updatedAt": "2026-05-01T12:00:00Z", "fingerprint": f"{abs(hash((name, *labels.items()))):016x}"[:16],
        "generatorURL": "", "receivers": [{"name": "pullback"}],
        "status": {"state": "active", "silencedBy": [], "inhibitedBy": []}, "labels": {"alertname": name, **labels},
    }  # fmt: skip


def correlate(labels: Mapping[str, str]) -> CanaryRef | None:
    return CanaryRef(labels.get("namespace", ""), labels["canary"]) if "canary" in labels else None


async def judged(judge: Any, entry: dict[str, Any], *alerts: Any) -> Any:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response(list(alerts))

    async with serving(answer) as url:
        return await asked(judge, entry, url)


async def asked(judge: Any, entry: dict[str, Any], url: str) -> Any:
    async with aiohttp.ClientSession() as session:
        firing = AlertmanagerAlerts(
            session, urls=[url], receiver="", read=alertmanager.parse, wanted=lambda _: True,
            bearer_token_file=None, username="", password_file=None, timeout=5.0,
        )  # fmt: skip
        return await judge({"kind": "alerts", **entry}, firing=firing, correlate=correlate)


OURS = {"namespace": "shop", "canary": "podinfo"}


async def test_without_matchers_those_of_this_canary_matter() -> None:
    others = fires("Other", namespace="shop", canary="other"), fires("Disk", instance="node-1")
    assert await judged(passes, {}, *others) == "no alert fires that matters here"
    assert await judged(fails, {}, *others, fires("HighErrorRate", **OURS)) == (
        "expected no alert to fire, got HighErrorRate"
    )
    assert CANARY.ref == CanaryRef("shop", "podinfo")


async def test_with_matchers_those_that_match_matter() -> None:
    entry = {"match": ['namespace="$namespace"', 'severity=~"crit.*"']}
    await judged(passes, entry, fires("A", **OURS, severity="warning"), fires("B", namespace="x", severity="critical"))
    assert "got Frozen" in await judged(fails, entry, fires("Frozen", namespace="shop", severity="critical"))
    await judged(passes, {"match": ['alertname=~"a$$"']}, fires("ab"))


async def test_a_few_are_named() -> None:
    many = [fires(name, **OURS, pod=str(pod)) for name in "EDCBA" for pod in range(2)]
    assert await judged(fails, {}, *many) == "expected no alert to fire, got A, B, C and 2 more"
    rough = fires("x" * 500 + "\nline", **OURS)
    assert "\n" not in await judged(fails, {}, rough)


async def test_of_a_crowd_all_are_looked_at() -> None:
    crowd = [fires("Other", n=str(number)) for number in range(5_003)]
    assert await judged(passes, {}, *crowd) == "no alert fires that matters here"
    assert "HighErrorRate" in await judged(fails, {}, *crowd, fires("HighErrorRate", **OURS))


async def test_an_alertmanager_that_is_down_is_no_finding() -> None:
    with pytest.raises(errors.Unreachable):
        await asked(run, {}, f"http://127.0.0.1:{free_port()}")
