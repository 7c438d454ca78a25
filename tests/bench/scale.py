"""What one alert costs, and what one canary weighs, at 100 and at 10 000 canaries.

In this process and without HTTP: intake, correlation, judgement and mailbox, on a world that is filled as the
watches fill it. The two sizes are measured alternately, so that noise hits both alike.
"""

from __future__ import annotations

import asyncio
import datetime
import gc
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

from daemon import bootstrap, settings
from daemon.adapters.kubernetes.reflector import Event
from daemon.model.signal import AlertGroup
from daemon.policy.correlating import CanaryIndex
from daemon.telemetry import audience
from daemon.web import alertmanager
from daemon.workflow.intake import Intake
from daemon.workflow.letters import Judge
from daemon.workflow.mailboxes import Mailboxes
from tests import builders
from tests.builders import Json

SMALL, LARGE = 100, 10_000
ALERTS = 200
ROUNDS = 15
NAMESPACE = "shop"


class Filled:
    """Intake over a world with so many canaries. Records and writes are never reached by these alerts."""

    def __init__(self, count: int) -> None:
        configured = settings.Settings()
        surroundings = bootstrap.Surroundings()
        self.sight = bootstrap.open_eyes(configured, client=None, surroundings=surroundings)  # type: ignore[arg-type]
        tracemalloc.start()
        self._fill(count)
        gc.collect()
        self.bytes_each = tracemalloc.get_traced_memory()[0] / count
        tracemalloc.stop()
        judge = Judge(
            gatherer=self.sight.gatherer, observer=audience.gather(), clock=surroundings.clock,
            labels=configured.label_names, dry_run=False,
        )  # fmt: skip

        async def run(ref: Any, letters: Any) -> None:
            standing = self.sight.standings.of(ref)
            judge.read(letters, standing, self.sight.gatherer.gather(ref, standing))

        mailboxes = Mailboxes(run=run, observer=audience.gather(), capacity=1000)
        self.intake = Intake(
            world=self.sight.world, mailboxes=mailboxes, observer=audience.gather(), rules=configured.rules,
            watchdog="", answer_within=5, ready=lambda: "", fresh=lambda: True,
        )  # fmt: skip

    def _fill(self, count: int) -> None:
        receive = {versions[0].kind: take for versions, take in bootstrap.receivers(self.sight)}
        for number in range(count):
            name = f"app-{number}"
            version = {"resourceVersion": str(number + 1), "uid": str(number)}
            for kind, document in (
                ("VirtualService", builders.virtual_service(NAMESPACE, name)),
                ("Deployment", builders.deployment(NAMESPACE, name, version=f"v{number}")),
                ("Canary", {**builders.canary(NAMESPACE, name), "status": builders.canary_status()}),
            ):
                document["metadata"] |= version
                receive[kind](Event.PRESENT, document)
        assert isinstance(self.sight.world._index, CanaryIndex)

    async def seconds_per_alert(self, group: AlertGroup, reason: str) -> float:
        began = time.perf_counter()
        answer = await self.intake.take(group, datetime.datetime.now(datetime.UTC))
        took = time.perf_counter() - began
        assert {one.decision.reason.value for one in answer.alerts} == {reason}
        return took / len(group.alerts)


async def run() -> list[dict[str, Any]]:
    small, large = Filled(SMALL), Filled(LARGE)
    rows = []
    old = "2026-11-23T06:00:00Z"
    cases: tuple[tuple[str, str, Callable[[], Json]], ...] = (
        ("unmatched", "unmatched", lambda: builders.alert(NAMESPACE, "nobody")),
        ("matched by name, too old", "signal-older-than-revision",
         lambda: builders.alert(NAMESPACE, "app-50", starts_at=old)),
        ("matched by version, too old", "signal-older-than-revision",
         lambda: _by_version("v50", old)),
    )  # fmt: skip
    for what, reason, alert in cases:
        group = alertmanager.parse(_body([alert() for _ in range(ALERTS)]))
        took: dict[int, list[float]] = {SMALL: [], LARGE: []}
        for _ in range(ROUNDS):
            for count, filled in ((SMALL, small), (LARGE, large)):
                took[count].append(await filled.seconds_per_alert(group, reason))
        ours, yardstick = min(took[LARGE]), min(took[SMALL])
        rows.append({"what": f"one alert at 10 000 canaries: {what}", "unit": "µs", "ours": round(ours * 1e6, 2),
                     "yardstick": round(yardstick * 1e6, 2), "ratio": round(ours / yardstick, 2), "target": 1.3})  # fmt: skip
    rows.append({"what": "memory per canary at 10 000", "unit": "KiB", "ours": round(large.bytes_each / 1024, 2),
                 "yardstick": round(small.bytes_each / 1024, 2),
                 "ratio": round(large.bytes_each / small.bytes_each, 2), "target": None})  # fmt: skip
    await asyncio.sleep(0)
    return rows


def _by_version(version: str, starts_at: str) -> Json:
    alert = builders.alert(NAMESPACE, starts_at=starts_at)
    alert["labels"] = {"alertname": "CanaryHighErrorRate", "severity": "critical", "version": version}
    return alert


def _body(alerts: list[Json]) -> bytes:
    import json  # noqa: PLC0415

    return json.dumps(builders.webhook(*alerts)).encode()
