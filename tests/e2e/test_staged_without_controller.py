"""Two staged releases at once that Pullback drives itself, on one Envoy, judged by one real Prometheus.

A sound one goes from 0% (internal users only, by a header) over 5 and 25 to 50%, waits for the captain, and goes to all
of it; one that breaks at 25% goes to 0 by its criteria, for internal users as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from daemon.sandbox import application
from daemon.sandbox.load import Load
from daemon.sandbox.packages import AlertingBinaries
from daemon.sandbox.prometheus import Workload
from tests import builders
from tests.builders import Json
from tests.e2e.undriven_lab import CAPTAIN, IN_FLIGHT, STABLE, Lab, between, http_route, running

pytestmark = pytest.mark.e2e

SHOP = "summit"
SOUND, FRAIL = "sound", "frail"
"""On Istio, and at a gateway."""
NEW = {SOUND: "v4", FRAIL: "v5"}
STAGES = [(0, "500ms"), (5, "2s"), (25, "2s"), (50, "2s")]
BREAKS_AT = 25
ENDLESS = [(weight, "1h" if weight == BREAKS_AT else soak) for weight, soak in STAGES]
"""So that it is the criteria which end that stage."""
RATE, INTERNAL_RATE = 60.0, 10.0
INTERNAL = "X-Summit-Employee"
SERIES = 'istio_requests_total{destination_workload="$workload",destination_workload_namespace="$namespace"'
ERROR_RATE = f'(sum(rate({SERIES},response_code=~"5.."}}[3s])) or vector(0)) / sum(rate({SERIES}}}[3s]))'
ERRORS = 0.3
"""Of the broken version's answers; the criterion allows a twentieth."""


def staged(stages: list[tuple[int, str]], **more: Any) -> Json:
    listed = [{"weight": weight, "soak": soak} for weight, soak in stages]
    return {"pre_rollout": ["smoke"], "rollout": ["error-rate"], "stages": listed, **more}


def configured(ports: Mapping[str, int]) -> Json:
    """The seed's table of stages in seconds; everything else is looked at as often as the scrapes come here."""
    return {
        # The shipped rules know these releases too, and an alert may come first: here the criteria are what brakes.
        "policy": {
            "promotion": {"approval": "required"},
            "rules": [{"match": ['alertname=~".+"'], "act": "ignore"}],
        },
        "proof": {"prometheus_query": f"sum(rate({SERIES}}}[3s]))"},
        "gates": {
            "retry": "200ms", "recheck": "300ms", "drive_every": "300ms", "drive_threshold": 3,
            "checks": {
                "smoke": {"kind": "http", "url": f"http://127.0.0.1:{ports[NEW[SOUND]]}/"},
                "error-rate": {"kind": "promql", "query": ERROR_RATE, "max": 0.05},
            },
            "profiles": {"default": staged(STAGES), FRAIL: staged(ENDLESS)},
        },
    }  # fmt: skip


def virtual_service(name: str, host: str) -> Json:
    stable, canary = ({"destination": {"host": f"{name}-{side}"}} for side in ("stable", "canary"))
    rules = [
        {"match": [{"headers": {INTERNAL.lower(): {"exact": "true"}}}], "route": [canary]},
        {"route": [{**stable, "weight": 100}, {**canary, "weight": 0}]},
    ]
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"namespace": SHOP, "name": name, "annotations": {"pullback.dev/stage-driver": "true"}},
        "spec": {"hosts": [host], "http": rules},
    }


def host(name: str) -> str:
    return f"{name}.summit.example"


def release(lab: Lab) -> None:
    for name, version in NEW.items():
        lab.api.create(builders.deployment(SHOP, f"{name}-stable", version=STABLE), manager="helm")
        lab.api.create(builders.deployment(SHOP, f"{name}-canary", version=version), manager="helm")
    lab.api.create(virtual_service(SOUND, host(SOUND)), manager="helm")
    rules: list[Json] = [
        {"matches": [{"headers": [{"name": INTERNAL, "value": "true"}]}],
         "backendRefs": [{"name": f"{FRAIL}-canary", "port": 80}]},
        {"backendRefs": between(f"{FRAIL}-canary", f"{FRAIL}-stable", 0)},
    ]  # fmt: skip
    route = http_route(SHOP, FRAIL, host(FRAIL), *rules, stage_driver="true", profile=FRAIL)
    lab.api.create(route, manager="helm")


def weight(lab: Lab, name: str) -> int:
    """Percent of ordinary traffic that the canary gets, as the routes say."""
    if name == SOUND:
        _, rule = lab.route("virtualservices", SOUND, SHOP)["spec"]["http"]
        return int(rule["route"][1]["weight"])
    _, rule = lab.route("httproutes", FRAIL, SHOP)["spec"]["rules"]
    return int(rule["backendRefs"][1]["weight"])


def climbed(lab: Lab, name: str) -> list[int]:
    """The weights that its revision has had, as its record tells."""
    records = [one for one in lab.api.list("canaryrevisions", SHOP) if one["spec"]["canaryRef"]["name"] == name]
    return [int(one["weight"]) for record in records for one in record["status"].get("weights", [])]


async def until_weight(lab: Lab, name: str, wanted: int, within: float = 25.0) -> None:
    await lab.until(lambda: weight(lab, name) == wanted, f"{name} at {wanted}%", within=within)
    print(f"{name} at {wanted}%")


async def test_a_sound_release_is_driven_to_all_of_it_and_one_that_breaks_at_25_percent_to_zero(
    alerting_binaries: AlertingBinaries, tmp_path: Path
) -> None:
    clusters = {f"{name}-canary": version for name, version in NEW.items()}
    clusters |= {f"{name}-stable": STABLE for name in NEW}
    workloads = tuple(Workload(one, SHOP, one, one, version) for one, version in clusters.items())
    given: Any = {"clusters": clusters, "namespaces": [SHOP], "configured": configured, "workloads": workloads}
    async with running(tmp_path, alerting_binaries, **given) as lab:
        release(lab)
        await lab.in_force("virtualservices", SOUND, SHOP)
        await lab.in_force("httproutes", FRAIL, SHOP)
        async with (
            audience(lab, SOUND) as (sound, sound_internal),
            audience(lab, FRAIL) as (frail, frail_internal),
            asyncio.TaskGroup() as both,
        ):
            both.create_task(goes_to_all_of_it(lab, sound))
            both.create_task(goes_to_zero(lab, frail, frail_internal))
    for load in (sound, sound_internal):
        assert load.tally.bad == 0, load.tally.by_version_and_status
    assert sound_internal.tally.share(NEW[SOUND]) == 1, "internal users have it from the beginning"


@contextlib.asynccontextmanager
async def audience(lab: Lab, name: str) -> AsyncIterator[tuple[Load, Load]]:
    """Everybody, and internal users."""
    async with (
        Load(lab.envoy.url, host(name), RATE) as everybody,
        Load(lab.envoy.url, host(name), INTERNAL_RATE, headers={INTERNAL: "true"}) as internal,
    ):
        yield everybody, internal


async def goes_to_all_of_it(lab: Lab, load: Load) -> None:
    await until_weight(lab, SOUND, 50)
    reached = time.time()
    # More than the soak at 50: only the approval is missing.
    await asyncio.sleep(4)
    assert weight(lab, SOUND) == 50
    assert 0.3 < load.tally.share(NEW[SOUND], since=reached + IN_FLIGHT) < 0.7
    said = await lab.as_captain("approve", SOUND, "-n", SHOP, "--reason", "soaked well", "--yes")
    assert CAPTAIN in str(said)
    await until_weight(lab, SOUND, 100)
    await lab.in_force("virtualservices", SOUND, SHOP)
    since = time.time() + IN_FLIGHT
    await lab.until(lambda: sum(one.sent_at > since for one in load.tally.of(NEW[SOUND])) > 60, "answers at 100%")
    assert load.tally.sent_after(since, STABLE) == 0
    await lab.until(lambda: climbed(lab, SOUND) == [0, 5, 25, 50, 100], "the record to tell all weights")
    assert lab.status(SHOP, SOUND) == {}, "nobody took it back"


async def goes_to_zero(lab: Lab, load: Load, internal: Load) -> None:
    canary = f"{FRAIL}-canary"
    await until_weight(lab, FRAIL, BREAKS_AT)
    assert load.tally.bad == 0
    broken = application.Behaviour(error_ratio=ERRORS)
    await application.set_behaviour(lab.session, lab.ports[NEW[FRAIL]], broken)
    await lab.until(lambda: lab.status(SHOP, FRAIL).get("phase") == "Proved", "its rollback to be proved")
    first_bad, left = internal.tally.first_bad_at(NEW[FRAIL]), lab.mesh.left_at(canary)
    assert first_bad is not None
    assert left is not None
    print(f"{FRAIL}: from the first bad answer to zero in force {left.confirmed_at - first_bad:.1f} s")
    counted = await lab.sent_to(canary)
    seen = load.tally.total
    await lab.until(lambda: load.tally.total > seen + 100, "more answers")
    assert await lab.sent_to(canary) == counted
    for users in (load, internal):
        assert users.tally.sent_after(left.confirmed_at + IN_FLIGHT, NEW[FRAIL]) == 0
    assert weight(lab, FRAIL) == 0
    (record,) = [one for one in lab.api.list("rollbacks", SHOP) if one["spec"]["canaryRef"]["name"] == FRAIL]
    assert record["spec"]["trigger"] == "Criteria"
    assert f"3 times in a row at {BREAKS_AT}%" in record["spec"]["reason"]
    assert any("Prometheus: the canary's request rate is 0" in line for line in record["status"]["proof"])
    assert climbed(lab, FRAIL)[:3] == [0, 5, 25]
    await lab.until(
        lambda: lab.route("deployments", canary, SHOP)["spec"]["replicas"] == 0, "its pods to be taken down"
    )
