"""The only webhook of a real Alertmanager was lost: the daemon asks it what fires, and everybody is told once."""

from __future__ import annotations

import asyncio
import datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from daemon.adapters.alertmanager import AlertmanagerAlerts
from daemon.sandbox.alertmanager import start_alertmanager
from daemon.sandbox.packages import AlertingBinaries
from daemon.sandbox.processes import Children
from daemon.web import alertmanager as door
from tests import recorders
from tests.builders import Json
from tests.cluster import Cluster
from tests.component.after_zero import people
from tests.component.test_after_zero import flagger_gives_up, settled
from tests.component.test_leader_killed import replica
from tests.neighbours import ALERTMANAGER_CONFIG
from tests.recorders import Recorder, Request
from tests.running import eventually
from tests.scene import Scene

pytestmark = pytest.mark.e2e


class Forgetful(Recorder):
    """Takes webhooks, says 200, and forgets them: what is lost between a proxy and a daemon that is down."""

    async def answer(self, request: Request) -> web.Response:
        return web.json_response({})


async def fire(session: aiohttp.ClientSession, url: str, namespace: str) -> None:
    """As Prometheus does."""
    now = datetime.datetime.now(datetime.UTC).isoformat()
    alert: Json = {
        "labels": {"alertname": "CanaryHighErrorRate", "severity": "critical", "namespace": namespace,
                   "workload": "podinfo", "version": "v2"},
        "annotations": {"summary": "podinfo v2 fails", "value": "21%", "threshold": "5%"},
        "startsAt": now,
        "generatorURL": "http://prometheus.example/graph",
    }  # fmt: skip
    async with session.post(f"{url}/api/v2/alerts", json=[alert]) as response:
        assert response.status == 200, await response.text()


async def test_a_rollback_whose_only_webhook_was_lost_happens_once_and_is_told_once(
    alerting_binaries: AlertingBinaries,
    children: Children,
    session: aiohttp.ClientSession,
    cluster: Cluster,
    scene: Scene,
    tmp_path: Path,
) -> None:
    await scene.add_canary(weight=25)
    token = tmp_path / "am-token"
    token.write_text("t\n", encoding="utf-8")
    async with Forgetful() as forgetful, people(tmp_path) as told:
        alertmanager = await start_alertmanager(
            children, session, alerting_binaries, folder=tmp_path, shipped_config=ALERTMANAGER_CONFIG,
            webhook_url=f"{forgetful.url}/webhooks/alertmanager", credentials_file=token,
        )  # fmt: skip
        await fire(session, alertmanager.url, scene.namespace)

        async def lost() -> bool:
            return bool(forgetful.requests)

        await eventually(lost)
        assert await scene.weights() == [75, 25], "nobody has heard of it"

        told.slack.fail(recorders.throttled("1"), recorders.status(500), recorders.HANG)
        told.pager.fail(recorders.LOST, recorders.throttled("1"))
        pull: Any = {"alertmanager_urls": [alertmanager.url], "every": 1, "receiver": "pullback"}
        async with replica(cluster, tmp_path, told, pull=pull):
            record = await scene.record("Proved")
            assert record["spec"]["signal"]["annotations"]["value"] == "21%"
            assert await scene.weights() == [100, 0]
            await asyncio.sleep(2.5)  # two more questions with the same answer
            await flagger_gives_up(scene)
            await settled(scene, within=30)

            async def carded() -> bool:
                return bool(told.slack.cards) and "was rolled back" in told.slack.cards[0]["text"]

            await eventually(carded, within=20)
        assert len(await scene.records()) == 1
        assert len(told.slack.cards) == 1
        assert len({event["dedup_key"] for event in told.pager.events}) == 1
        assert told.machine.repeated == []


async def test_what_a_person_has_silenced_is_not_found_by_asking_either(
    alerting_binaries: AlertingBinaries, children: Children, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    token = tmp_path / "am-token"
    token.write_text("t\n", encoding="utf-8")
    async with Forgetful() as forgetful:
        alertmanager = await start_alertmanager(
            children, session, alerting_binaries, folder=tmp_path, shipped_config=ALERTMANAGER_CONFIG,
            webhook_url=f"{forgetful.url}/webhooks/alertmanager", credentials_file=token,
        )  # fmt: skip
        await fire(session, alertmanager.url, "shop")
        asking = AlertmanagerAlerts(
            session, urls=[alertmanager.url], receiver="pullback", read=door.parse, wanted=lambda _: True,
            bearer_token_file=None, username="", password_file=None, timeout=5.0,
        )  # fmt: skip

        async def found(count: int) -> bool:
            return len((await asking.firing()).alerts) == count

        await eventually(lambda: found(1))
        now = datetime.datetime.now(datetime.UTC)
        silence: Json = {
            "matchers": [{"name": "namespace", "value": "shop", "isRegex": False, "isEqual": True}],
            "startsAt": now.isoformat(), "endsAt": (now + datetime.timedelta(hours=1)).isoformat(),
            "createdBy": "a person", "comment": "known",
        }  # fmt: skip
        async with session.post(f"{alertmanager.url}/api/v2/silences", json=silence) as response:
            assert response.status == 200, await response.text()
        await eventually(lambda: found(0))
