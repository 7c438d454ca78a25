"""Requests that ask for the canary by a header: before the alert they get it, after it all of them get stable, and 200.

On plain Istio (two VirtualServices, subsets) and on the Gateway API (an HTTPRoute), without Flagger, in real Envoy,
told by a real Alertmanager.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from daemon.sandbox.gateway_status import CONTROLLER
from daemon.sandbox.load import Load
from daemon.sandbox.packages import AlertingBinaries
from tests import builders
from tests.builders import Json
from tests.component import undriven
from tests.e2e.undriven_lab import IN_FLIGHT, STABLE, Lab, between, http_route, running

pytestmark = pytest.mark.e2e

NEW = "v4"
ISTIO, GATEWAY = "istio", "gateway"
"""Two namespaces, a release in each."""
SERVER, WEB = undriven.NAME, "summit-web"
HOSTS = {ISTIO: "api.summit.internal", GATEWAY: "web.summit.example"}
CANARY = {ISTIO: f"{SERVER}|canary", GATEWAY: f"{WEB}-canary"}
STABLES = {ISTIO: f"{SERVER}|stable", GATEWAY: f"{WEB}-stable"}
ASKS: dict[str, dict[str, dict[str, str]]] = {
    ISTIO: {"everybody": {}, "x-canary": {"x-canary": "true"}, "opt-in": {"X-Canary-Opt-In": "true"}},
    GATEWAY: {"everybody": {}, "x-canary": {"x-canary": "true"}, "employees": {"X-Summit-Employee": "true"}},
}
"""Who asks with which headers."""
WEIGHT = 25
RATE = 20.0


def configured(_: Mapping[str, int]) -> Json:
    # No soak and no approval: nothing is driven here.
    return {"policy": {"stages": [], "promotion": {"approval": "none"}}}


def internal(header: str) -> Json:
    """A rule for requests that bear a header, all of them to the canary."""
    match = {"headers": [{"name": header, "value": "true"}]}
    return {"matches": [match], "backendRefs": [{"name": CANARY[GATEWAY], "port": 80, "weight": 100}]}


def release(lab: Lab) -> None:
    """Both, as people would write them."""
    lab.api.create(undriven.workload(ISTIO, "stable", STABLE), manager="helm")
    lab.api.create(undriven.workload(ISTIO, "canary", NEW), manager="helm")
    lab.api.create(undriven.rule(ISTIO), manager="helm")
    lab.api.create(undriven.routes(ISTIO, WEIGHT), manager="helm")
    lab.api.create(undriven.opt_in(ISTIO), manager="kubectl")
    lab.api.create(builders.deployment(GATEWAY, f"{WEB}-stable", version=STABLE), manager="helm")
    lab.api.create(builders.deployment(GATEWAY, f"{WEB}-canary", version=NEW), manager="helm")
    everybody = {"backendRefs": between(CANARY[GATEWAY], STABLES[GATEWAY], WEIGHT)}
    rules = [internal("X-Summit-Employee"), internal("x-canary"), everybody]
    lab.api.create(http_route(GATEWAY, WEB, HOSTS[GATEWAY], *rules), manager="helm")


@contextlib.asynccontextmanager
async def audiences(lab: Lab) -> AsyncIterator[dict[tuple[str, str], Load]]:
    """All of them ask, all the while."""
    async with contextlib.AsyncExitStack() as exits:
        loads = {}
        for namespace, asks in ASKS.items():
            for who, headers in asks.items():
                rate = RATE if headers else 2 * RATE
                load = Load(lab.envoy.url, HOSTS[namespace], rate, headers=headers)
                loads[namespace, who] = await exits.enter_async_context(load)
        yield loads


def answers(load: Load, version: str, since: float = 0.0) -> int:
    return sum(1 for one in load.tally.of(version) if one.sent_at > since and one.status == 200)


def accepted(lab: Lab) -> list[tuple[str, str, bool]]:
    """What the gateway says of the route, and whether of the route as it is now."""
    route = lab.route("httproutes", WEB, GATEWAY)
    parents = (route.get("status") or {}).get("parents") or []
    return [
        (one["type"], one["status"], one["observedGeneration"] == route["metadata"]["generation"])
        for parent in parents if parent["controllerName"] == CONTROLLER
        for one in parent["conditions"]
    ]  # fmt: skip


IN_FORCE = [("Accepted", "True", True), ("ResolvedRefs", "True", True)]


async def test_after_the_alert_no_header_leads_to_the_canary(
    alerting_binaries: AlertingBinaries, tmp_path: Path
) -> None:
    versions = {**dict.fromkeys(CANARY.values(), NEW), **dict.fromkeys(STABLES.values(), STABLE)}
    given: Any = {"clusters": versions, "namespaces": [ISTIO, GATEWAY], "configured": configured}
    async with running(tmp_path, alerting_binaries, **given) as lab:
        release(lab)
        for kind, name, namespace in ROUTES:
            await lab.in_force(kind, name, namespace)
        await lab.until(lambda: accepted(lab) == IN_FORCE, "the gateway to say that it has taken the route over")
        async with audiences(lab) as loads:
            await lab.until(lambda: all(answers(load, NEW) > 10 for load in loads.values()), "the canary to be asked")
            for (_, who), load in loads.items():
                assert (answers(load, STABLE) > 10) is (who == "everybody"), who
            await alert_and_proof(lab)
            await cut_off(lab, loads)

    for namespace, name in ((ISTIO, SERVER), (GATEWAY, WEB)):
        status = lab.status(namespace, name)
        assert 0 < status["secondsToZero"] < 2
        print(namespace, status["secondsToZero"], status["proof"])


ROUTES = (
    ("virtualservices", SERVER, ISTIO), ("virtualservices", f"{SERVER}-opt-in", ISTIO), ("httproutes", WEB, GATEWAY),
)  # fmt: skip


async def alert_and_proof(lab: Lab) -> None:
    """Both at zero in Envoy; proved where Istio tells nothing; at the gateway not before the gateway has said so."""
    lab.api.faults.fail(503, verb="patch", resource="httproutes", subresource="status", times=None)
    for namespace in HOSTS:
        await lab.fire(namespace, NEW)
    await lab.until(lambda: all(map(lab.mesh.left_at, CANARY.values())), "no route in force to reach a canary")
    await lab.until(lambda: lab.status(ISTIO, SERVER).get("phase") == "Proved", "the proof on Istio")
    await asyncio.sleep(1.5)  # more than the window in which it is read back
    assert lab.status(GATEWAY, WEB)["phase"] == "Zeroed"
    assert accepted(lab) == [("Accepted", "True", False), ("ResolvedRefs", "True", False)]
    lab.api.faults.clear()
    await lab.until(lambda: lab.status(GATEWAY, WEB).get("phase") == "Proved", "the proof at the gateway")
    assert accepted(lab) == IN_FORCE


async def cut_off(lab: Lab, loads: Mapping[tuple[str, str], Load]) -> None:
    """Since the routes are in force nobody got the canary, by Envoy's counters and by everybody's own account."""
    counted = await lab.sent_to(*CANARY.values())
    seen = {key: answers(load, STABLE) for key, load in loads.items()}
    await lab.until(lambda: all(answers(load, STABLE) > seen[key] + 10 for key, load in loads.items()), "more answers")
    assert await lab.sent_to(*CANARY.values()) == counted
    for (namespace, who), load in loads.items():
        left = lab.mesh.left_at(CANARY[namespace])
        assert left is not None
        since = left.confirmed_at + IN_FLIGHT
        assert load.tally.sent_after(since, NEW) == 0, who
        assert answers(load, STABLE, since) > 20, who
        assert load.tally.bad == 0, (who, load.tally.by_version_and_status)
