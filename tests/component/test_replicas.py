"""Several replicas: all of them act, one of them follows up, and it does not matter which, or when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tests import builders
from tests.cluster import Cluster
from tests.component.after_zero import People, people
from tests.component.test_after_zero import QUICK, flagger_gives_up, in_order, settled
from tests.proxy import Mode, Proxy
from tests.running import Daemon, eventually, running
from tests.scene import Scene

STORY = ["decided", "zeroed", "proved", "completed"]


async def leads(daemon: Daemon) -> bool:
    _, metrics = await daemon.get("/metrics")
    return "pullback_leader 1.0" in metrics


async def follows(daemon: Daemon) -> bool:
    return not await leads(daemon)


def behind(cluster: Cluster, proxy: Proxy, folder: Path) -> Cluster:
    """The cluster as it is reached through the proxy."""
    folder.mkdir()
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(cluster.kubeconfig.read_text().replace(cluster.url, proxy.url))
    return dataclasses.replace(cluster, kubeconfig=kubeconfig)


@contextlib.asynccontextmanager
async def pair(
    cluster: Cluster, folder: Path, told: People, **more: Any
) -> AsyncIterator[tuple[Daemon, Daemon, Proxy]]:  # fmt: skip
    """Two replicas and the proxy that the leading one has before its API."""
    settings: Any = {**QUICK, "notices": told.notices, "kubernetes": {"timeout": 0.4}, **more}
    async with Proxy(cluster.url) as proxy:
        first = behind(cluster, proxy, folder / "first")
        async with running(first, folder / "first", **settings) as leader:
            await eventually(lambda: leads(leader))
            async with running(cluster, folder, **settings) as follower:
                yield leader, follower, proxy


async def test_an_alert_that_comes_to_a_follower_is_acted_on_there_and_followed_up_by_the_leader(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await scene.add_canary(weight=25)
    async with people(tmp_path) as told, pair(cluster, tmp_path, told) as (leader, follower, _):
        assert not await leads(follower)
        status, answer = await follower.alert(builders.webhook(builders.alert(scene.namespace)))
        assert (status, answer["alerts"][0]["reason"]) == (200, "alert-fires")
        assert await scene.weights() == [100, 0]
        await scene.record("Proved")
        # The same alert from Alertmanager's other peer, to the other replica.
        _, answer = await leader.alert(builders.webhook(builders.alert(scene.namespace)))
        assert answer["alerts"][0]["reason"] == "already-rolling-back"
        for replica in (leader, follower):
            assert (await replica.hook("rollback", builders.hook(scene.namespace)))[0] == 200
            assert (await replica.hook("confirm-traffic-increase", builders.hook(scene.namespace)))[0] == 403
        await flagger_gives_up(scene)
        await settled(scene)
        assert len(told.slack.cards) == 1
        assert [event["event_action"] for event in told.pager.events] == ["trigger", "resolve"]
        assert told.machine.repeated == []
        assert len(await scene.records()) == 1


async def test_both_hold_and_a_raised_weight_is_undone_whoever_sees_it_first(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await scene.add_canary(weight=25)
    async with people(tmp_path) as told, pair(cluster, tmp_path, told) as (leader, _, proxy):
        await leader.alert(builders.webhook(builders.alert(scene.namespace)))
        await scene.record("Proved")
        proxy.become(Mode.BLACK_HOLE)  # the leader sees nothing any more
        await scene.set_weight(40)

        async def at_zero() -> bool:
            return await scene.weights() == [100, 0]

        await eventually(at_zero, within=2)


async def test_while_the_leader_is_cut_off_a_rollback_reaches_zero_and_the_other_takes_over(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await scene.add_canary(weight=25)
    slowly = {"duration": 5, "renew_deadline": 4}
    async with people(tmp_path) as told, pair(cluster, tmp_path, told, lease=slowly) as (leader, follower, proxy):
        proxy.become(Mode.BLACK_HOLE)
        began = asyncio.get_running_loop().time()
        status, _ = await follower.alert(builders.webhook(builders.alert(scene.namespace)))
        assert status == 200
        assert await scene.weights() == [100, 0]
        assert asyncio.get_running_loop().time() - began < 3, "nobody waited for the lease to change hands"
        # The one that is cut off cannot make anything durable, and says so.
        status, _ = await leader.alert(builders.webhook(builders.alert(scene.namespace)))
        assert status == 503
        await eventually(lambda: leads(follower))
        assert not await leads(leader), "it stopped before the other one could begin"
        await scene.record("Proved")
        await flagger_gives_up(scene)
        await settled(scene)
        proxy.become(Mode.PASS)
        await asyncio.sleep(1.0)
        assert await leads(follower)
        assert not await leads(leader)
        assert len(told.slack.cards) == 1
        assert [event["event_action"] for event in told.pager.events] == ["trigger", "resolve"]
        assert in_order(told.told(), STORY)


async def test_a_leader_that_stops_in_order_is_followed_at_once(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    lease: Any = {"duration": 10, "renew_deadline": 8}
    async with running(cluster, tmp_path, lease=lease) as follower_to_be:
        await eventually(lambda: leads(follower_to_be))
    began = asyncio.get_running_loop().time()
    async with running(cluster, tmp_path, lease=lease) as next_one:
        await eventually(lambda: leads(next_one))
        assert asyncio.get_running_loop().time() - began < 8, "less than the lease would have lasted"
    lease = await scene.get("/apis/coordination.k8s.io/v1/namespaces/default/leases", "pullback")
    assert lease["spec"]["leaseTransitions"] >= 1
    assert not lease["spec"].get("holderIdentity")


async def test_without_a_leader_zero_is_written_and_the_daemon_says_what_is_missing(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await scene.add_canary(weight=25)
    lease: Any = {"namespace": "there-is-no-such-namespace"}
    async with running(cluster, tmp_path, lease=lease) as daemon:
        await daemon.alert(builders.webhook(builders.alert(scene.namespace)))
        await scene.record("Zeroed")
        assert await scene.weights() == [100, 0]
        status, text = await daemon.get("/readyz")
        assert status == 200
        assert "warning: nobody leads" in text
