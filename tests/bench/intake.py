"""Alerts per second that need no act, against a bare aiohttp handler that only decodes the JSON.

Both servers are processes of their own and get the same bodies (ten alerts each) from the same client.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from typing import Any

import aiohttp
from aiohttp import web

from daemon.sandbox.processes import free_port
from tests import builders
from tests.bench.stage import NAMESPACE, settle, stage

BODIES = 400
ALERTS = 10
AT_ONCE = 4


def bare(port: int) -> None:
    async def decode(request: web.Request) -> web.Response:
        return web.json_response({"alerts": len((await request.json())["alerts"])})

    app = web.Application()
    app.router.add_post("/", decode)
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


async def run() -> list[dict[str, Any]]:
    port = free_port()
    process = multiprocessing.get_context("spawn").Process(target=bare, args=(port,), daemon=True)
    process.start()
    try:
        async with stage() as on, aiohttp.ClientSession() as plain:
            await on.scene.add_canary(weight=25)
            await settle()
            duplicates = builders.webhook(*[builders.alert(NAMESPACE)] * ALERTS)
            unmatched = builders.webhook(*[builders.alert(NAMESPACE, "nobody")] * ALERTS)
            await _one(on.daemon, "/webhooks/alertmanager", duplicates)
            yardstick = await _rate(plain, f"http://127.0.0.1:{port}/", duplicates)
            rows = []
            for what, body in (("duplicates", duplicates), ("unmatched alerts", unmatched)):
                rate = await _rate(on.daemon, "/webhooks/alertmanager", body)
                rows.append({"what": f"{what}, alerts per second", "unit": "1/s", "ours": round(rate),
                             "yardstick": round(yardstick), "ratio": round(yardstick / rate, 2), "target": None})  # fmt: skip
            return rows
    finally:
        process.terminate()
        process.join(5)


async def _rate(session: aiohttp.ClientSession, url: str, body: builders.Json) -> float:
    for _ in range(20):
        await _one(session, url, body)
    began = time.monotonic()

    async def client() -> None:
        for _ in range(BODIES // AT_ONCE):
            await _one(session, url, body)

    await asyncio.gather(*(client() for _ in range(AT_ONCE)))
    return BODIES * ALERTS / (time.monotonic() - began)


async def _one(session: aiohttp.ClientSession, url: str, body: builders.Json) -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            async with session.post(url, json=body) as response:
                assert response.status == 200, await response.text()
                await response.read()
                return
        except aiohttp.ClientConnectorError:
            await asyncio.sleep(0.05)  # the bare server is still starting
    raise TimeoutError(url)
