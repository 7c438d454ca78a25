"""The outbox under channels that do not do as they should: patient, never silent, and nothing twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiohttp import web

from tests import builders, recorders
from tests.cluster import Cluster
from tests.component.after_zero import people
from tests.component.test_after_zero import QUICK, flagger_gives_up, roll_back
from tests.running import eventually, running
from tests.scene import Scene


async def test_a_channel_that_is_down_is_asked_ever_more_seldom(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await scene.add_canary(weight=25)
    async with people(tmp_path) as told, running(cluster, tmp_path, notices=told.notices, **QUICK) as daemon:
        told.pager.fail(*[recorders.status(503)] * 100)
        await roll_back(daemon, scene)
        await asyncio.sleep(6)
        # Tries after 0, 1, 2 to 4 s and so on: what a failed try writes down itself is no reason for another.
        assert 2 <= len(told.pager.requests) <= 6, len(told.pager.requests)


async def test_a_bot_that_is_invited_later_tells_what_it_could_not(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await scene.add_canary(weight=25)
    async with people(tmp_path) as told, running(cluster, tmp_path, notices=told.notices, **QUICK) as daemon:
        told.slack.channels.clear()
        await roll_back(daemon, scene)

        async def shown() -> bool:
            _, metrics = await daemon.get("/metrics")
            return 'pullback_notices_undelivered{channel="team"} 1.0' in metrics

        await eventually(shown)
        told.slack.channels["C0DEPLOYS"] = "deploys"

        async def carded() -> bool:
            return len(told.slack.cards) == 1

        await eventually(carded, within=20)


class Squeamish(recorders.RecordingWebhook):
    """A receiver that breaks at one record, and at none else."""

    cannot = ""

    async def answer(self, request: recorders.Request) -> web.Response:
        if self.cannot and self.cannot.encode() in request.body:
            return web.Response(status=500)
        return await super().answer(request)


async def test_what_a_channel_cannot_stomach_keeps_nothing_newer_from_it(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await scene.add_canary(weight=25)
    async with Squeamish() as machine:
        secret = tmp_path / "secret"
        secret.write_text(recorders.WEBHOOK_SECRET, encoding="utf-8")
        channel = {"kind": "webhook", "url": machine.url, "secret_file": str(secret), "timeout": 1}
        async with running(cluster, tmp_path, notices={"channels": {"machine": channel}}, **QUICK) as daemon:
            first = await roll_back(daemon, scene)
            await flagger_gives_up(scene)
            await scene.record("Completed")
            machine.cannot = first["metadata"]["name"] + '"'
            # The same revision once more: a record of its own.
            await scene.set_status(weight=25, began="2026-11-25T07:00:00Z")
            await scene.set_weight(25)
            again = builders.alert(scene.namespace, fingerprint="b" * 16)
            assert (await daemon.alert(builders.webhook(again)))[0] == 200

            async def told() -> bool:
                newer = [body for body in machine.accepted.values() if first["metadata"]["name"] + "-2" in str(body)]
                return len(newer) >= 2

            await eventually(told, within=20)
