"""Webhook sent -> weight 0 in the API server, against one raw PATCH on the same server in the same run.

The yardstick is what nobody can beat: an HTTP client with a warm connection that knows already what to write. The
two take turns, so noise hits both alike. Both clocks start when the client begins to send and stop when the API
server has applied the write (its own log).
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from tests import builders
from tests.bench.stage import NAMESPACE, Stage, percentile, settle, stage
from tests.scene import ROUTES

ROUNDS = 520
WARM = 20


async def run() -> list[dict[str, Any]]:
    # Long pauses between read-backs: five hundred rollbacks that stand at once are not what is measured here.
    async with stage(proof={"window": 60, "read_back": 60, "read_back_after": 60}) as on:
        for number in range(ROUNDS):
            await on.scene.add_canary(f"c{number}", weight=25)
            await on.scene.create(ROUTES, builders.virtual_service(NAMESPACE, f"raw{number}", canary_weight=25))
        await settle(2)
        sent: dict[str, float] = {}
        answers: list[float] = []
        for number in range(ROUNDS):
            await _raw(on, number, sent)
            await _webhook(on, number, sent, answers)
            await asyncio.sleep(0.004)
        await settle()
        log = await on.requests(verb="patch", resource="virtualservices")
        applied: dict[str, float] = {}
        for call in log:
            if call["status"] == 200:
                applied.setdefault(call["name"], call["started"] + call["seconds"])
        for number in range(WARM, ROUNDS):
            assert await on.scene.weights(f"c{number}") == [100, 0]
    zero = [applied[f"c{number}"] - sent[f"c{number}"] for number in range(WARM, ROUNDS)]
    raw = [applied[f"raw{number}"] - sent[f"raw{number}"] for number in range(WARM, ROUNDS)]
    return [
        _row("webhook -> zero, p50", percentile(zero, 0.5), percentile(raw, 0.5), 2.0),
        _row("webhook -> zero, p99", percentile(zero, 0.99), percentile(raw, 0.99), 4.0),
        _row("webhook -> answered (record durable), p50", percentile(answers[WARM:], 0.5), percentile(raw, 0.5), None),
    ]


async def _raw(on: Stage, number: int, sent: dict[str, float]) -> None:
    name = f"raw{number}"
    tests = [{"op": "test", "path": f"/spec/http/0/route/{index}/destination", "value": {"host": f"{name}-{side}"}}
             for index, side in enumerate(("primary", "canary"))]  # fmt: skip
    writes = [{"op": "replace", "path": f"/spec/http/0/route/{index}/weight", "value": value}
              for index, value in enumerate((100, 0))]  # fmt: skip
    sent[name] = time.monotonic()
    async with on.api.patch(
        f"{ROUTES.format(NAMESPACE)}/{name}", json=tests + writes,
        headers={"Content-Type": "application/json-patch+json"},
    ) as response:  # fmt: skip
        assert response.status == 200
        await response.read()


async def _webhook(on: Stage, number: int, sent: dict[str, float], answers: list[float]) -> None:
    name = f"c{number}"
    body = builders.webhook(builders.alert(NAMESPACE, name, fingerprint=f"{number:016x}"))
    sent[name] = time.monotonic()
    async with on.daemon.post("/webhooks/alertmanager", json=body) as response:
        answer = await response.json()
        assert (response.status, answer["alerts"][0]["reason"]) == (200, "alert-fires")
    answers.append(time.monotonic() - sent[name])


def _row(what: str, ours: float, yardstick: float, target: float | None) -> dict[str, Any]:
    return {
        "what": what,
        "unit": "ms",
        "ours": round(ours * 1000, 3),
        "yardstick": round(yardstick * 1000, 3),
        "ratio": round(ours / yardstick, 2),
        "target": target,
    }
