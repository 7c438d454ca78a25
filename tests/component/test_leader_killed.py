"""SIGKILL of the leading replica after each step of a rollback: the other one finishes it, and nobody is told twice.

And SIGSTOP: who goes on when it is long over finds that it leads no more.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from daemon import bootstrap, settings
from daemon.sandbox.processes import free_port
from tests import builders, recorders
from tests.builders import Json
from tests.cluster import Cluster
from tests.component.after_zero import People, people
from tests.component.test_after_zero import QUICK, flagger_gives_up, in_order, settled
from tests.running import TOKEN, configuration, eventually
from tests.scene import Scene

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["daemon.bootstrap"])

STEPS: dict[str, Callable[[Json], Any]] = {
    "decided": lambda status: status.get("startedAt"),
    "zeroed": lambda status: status.get("zeroedAt"),
    "a notice begun": lambda status: any(one.get("begun") for one in status.get("notices", [])),
    "a notice delivered": lambda status: any(one.get("said") for one in status.get("notices", [])),
    "evidence kept": lambda status: status.get("evidence"),
    "cleanup begun": lambda status: status.get("cleanup"),
    "proved": lambda status: status.get("provedAt"),
    "completed": lambda status: status.get("completedAt"),
}


def live(configured: settings.Settings) -> None:
    asyncio.run(bootstrap.run(configured))


@dataclass(slots=True)
class Replica:
    """A daemon of its own process."""

    process: ForkServerProcess
    http: aiohttp.ClientSession

    async def ready(self) -> bool:
        return await self._says("/readyz", "ok")

    async def leads(self) -> bool:
        return await self._says("/metrics", "pullback_leader 1.0")

    async def _says(self, path: str, word: str) -> bool:
        try:
            async with self.http.get(path) as response:
                return response.status == 200 and word in await response.text()
        except aiohttp.ClientError:
            return False

    def send(self, number: signal.Signals) -> None:
        """To this one's own pid."""
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    async def kill(self) -> None:
        """SIGKILL, to this one's own pid."""
        self.process.kill()
        await asyncio.to_thread(self.process.join, 10)


@contextlib.asynccontextmanager
async def replica(cluster: Cluster, folder: Path, told: People, **more: Json) -> AsyncIterator[Replica]:
    port = free_port()
    groups: Any = {"web": {"port": port}, "notices": told.notices, **QUICK, **more}
    configured = configuration(cluster.kubeconfig, folder, **groups)
    process = CONTEXT.Process(target=live, args=(configured,), daemon=True)
    process.start()
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=headers) as http:
        made = Replica(process, http)
        try:
            await eventually(made.ready, within=20)
            yield made
        finally:
            await made.kill()
            process.close()


@pytest.mark.parametrize("step", STEPS)
async def test_killed_after_each_step_the_other_finishes_and_tells_nobody_twice(
    step: str, cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await scene.add_canary(weight=25)
    async with people(tmp_path) as told, replica(cluster, tmp_path, told) as leader:
        await eventually(leader.leads)
        async with replica(cluster, tmp_path, told) as heir:
            await heir.http.post("/webhooks/alertmanager", json=builders.webhook(builders.alert(scene.namespace)))

            async def at_zero() -> bool:
                return await scene.weights() == [100, 0]

            async def come_so_far() -> bool:
                records = await scene.records()
                return bool(records and STEPS[step](records[0].get("status", {})))

            if step == "completed":
                await scene.record("Proved")
                await flagger_gives_up(scene)
            await eventually(come_so_far, every=0.002)
            await leader.kill()
            assert await scene.weights() == [100, 0]
            if step != "completed":
                await scene.set_weight(30)  # nobody leads now, and still it is held
                await eventually(at_zero, within=2)
                await scene.record("Proved", within=15)
                await flagger_gives_up(scene)
            record = await settled(scene, within=20)
            assert await heir.leads()
        assert record["status"]["evidence"]["configMap"]
        assert len(told.slack.cards) == 1
        assert len({event["dedup_key"] for event in told.pager.events}) == 1
        actions = [event["event_action"] for event in told.pager.events]
        assert actions.count("trigger") <= 2, "a repetition has the same key"
        assert actions.count("resolve") in {1, 2}
        assert in_order(told.told(), ["decided", "zeroed", "proved", "completed"])
        assert len(told.machine.repeated) <= 1, "what was on its way when it was killed, and nothing else"




@pytest.mark.parametrize("step", ["zeroed", "a notice begun", "evidence kept", "proved"])
async def test_stopped_in_the_middle_and_gone_on_after_all_is_over_it_does_nothing_more(
    step: str, cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await scene.add_canary(weight=25)
    async with people(tmp_path) as told, replica(cluster, tmp_path, told) as leader:
        await eventually(leader.leads)
        if step == "a notice begun":
            told.slack.fail(recorders.HANG)  # so that it is stopped in the middle of saying something
        async with replica(cluster, tmp_path, told) as heir:
            await heir.http.post("/webhooks/alertmanager", json=builders.webhook(builders.alert(scene.namespace)))

            async def come_so_far() -> bool:
                records = await scene.records()
                return bool(records and STEPS[step](records[0].get("status", {})))

            await eventually(come_so_far, every=0.002)
            leader.send(signal.SIGSTOP)
            assert await scene.weights() == [100, 0]
            await scene.record("Proved", within=15)
            await flagger_gives_up(scene)
            before = await settled(scene, within=20)
            heard = [len(one.requests) for one in (told.slack, told.pager, told.machine)]
            leader.send(signal.SIGCONT)
            await eventually(leader.ready)
            await asyncio.sleep(2.0)
            assert await heir.leads()
            assert not await leader.leads()
            assert [len(one.requests) for one in (told.slack, told.pager, told.machine)] == heard
            (after,) = await scene.records()
            assert after["status"] == before["status"]
