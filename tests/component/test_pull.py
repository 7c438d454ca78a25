"""Webhooks that never came: Alertmanager is asked, and what fires is acted on once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import test_utils, web

from daemon.web.alertmanager import MOST_ALERTS
from tests import builders
from tests.builders import Json
from tests.cluster import Cluster
from tests.running import eventually, running
from tests.scene import Scene


@dataclass
class Alertmanager:
    """Answers /api/v2/alerts with what a test puts into ``firing``, in the shape of version 0.25."""

    firing: list[Json] = field(default_factory=list)
    queries: list[dict[str, str]] = field(default_factory=list)
    authorization: list[str] = field(default_factory=list)
    status: int = 200
    body: Any = None
    raw: str = ""
    url: str = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.queries.append(dict(request.query))
        self.authorization.append(request.headers.get("Authorization", ""))
        if self.raw:
            return web.Response(text=self.raw, content_type="application/json")
        return web.json_response(self.firing if self.body is None else self.body, status=self.status)


@pytest.fixture
async def alertmanager() -> AsyncIterator[Alertmanager]:
    async with serving() as made:
        yield made


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[Alertmanager]:
    made = Alertmanager()
    application = web.Application()
    application.router.add_get("/am/api/v2/alerts", made.answer)
    async with test_utils.TestServer(application, host="127.0.0.1") as server:
        made.url = str(server.make_url("/am/"))
        yield made


def listed(alert: Json) -> Json:
    """An alert of a webhook as the API lists it."""
    plain = {key: alert[key] for key in ("labels", "annotations", "startsAt", "generatorURL", "fingerprint")}
    return plain | {
        "endsAt": "2026-11-23T23:00:00.000Z",
        "updatedAt": alert["startsAt"],
        "receivers": [{"name": "pullback"}],
        "status": {"inhibitedBy": [], "silencedBy": [], "state": "active"},
    }


async def test_an_alert_whose_webhook_was_lost_is_found_and_acted_on_once(
    cluster: Cluster, scene: Scene, alertmanager: Alertmanager, tmp_path: Path
) -> None:
    await scene.add_canary(weight=25)
    alertmanager.firing = [listed(builders.alert(scene.namespace))]
    async with running(cluster, tmp_path, pull={"alertmanager_urls": [alertmanager.url], "every": 1}) as daemon:
        record = await scene.record("Proved")
        assert await scene.weights() == [100, 0]
        assert record["spec"]["signal"]["fingerprint"] == alertmanager.firing[0]["fingerprint"]
        asked = len(alertmanager.queries)
        await eventually(lambda: _more(alertmanager, asked + 1))
        # And the webhook that comes after all.
        status, answer = await daemon.alert(builders.webhook(builders.alert(scene.namespace)))
        assert status == 200
        assert answer["alerts"][0]["reason"] == "already-rolling-back"
        _, metrics = await daemon.get("/metrics")
        assert 'pullback_signals_total{reason="alert-fires",source="pull",verdict="ROLL_BACK"} 1.0' in metrics
    assert len(await scene.records()) == 1
    assert alertmanager.queries[0] == {
        "active": "true", "silenced": "false", "inhibited": "false", "unprocessed": "false",
    }  # fmt: skip


async def _more(alertmanager: Alertmanager, than: int) -> bool:
    return len(alertmanager.queries) > than


async def test_a_webhook_with_alerts_cut_off_is_asked_about_at_once(
    cluster: Cluster, scene: Scene, alertmanager: Alertmanager, tmp_path: Path
) -> None:
    await scene.add_canary(weight=25)
    async with running(cluster, tmp_path, pull={"alertmanager_urls": [alertmanager.url], "every": 600}) as daemon:
        await eventually(lambda: _more(alertmanager, 0))
        alertmanager.firing = [listed(builders.alert(scene.namespace))]
        body = builders.webhook(builders.alert(scene.namespace, canary="no-such-canary"))
        await daemon.alert(body | {"truncatedAlerts": 1})
        await scene.record("Proved")


async def test_one_peer_that_answers_is_enough_and_peers_tell_of_the_same_alert_once(
    cluster: Cluster, scene: Scene, alertmanager: Alertmanager, tmp_path: Path
) -> None:
    await scene.add_canary(weight=25)
    async with serving() as second, serving() as broken:
        alertmanager.firing = second.firing = [listed(builders.alert(scene.namespace))]
        broken.status = 500
        secret = tmp_path / "password"
        secret.write_text("hush\n", encoding="utf-8")
        pull = {"alertmanager_urls": [broken.url, alertmanager.url, second.url, "http://127.0.0.1:1"], "every": 600,
                "receiver": "pullback", "password_file": str(secret), "username": "bot"}  # fmt: skip
        async with running(cluster, tmp_path, pull=pull) as daemon:
            await scene.record("Proved")
            _, metrics = await daemon.get("/metrics")
    assert 'pullback_signals_total{reason="alert-fires",source="pull",verdict="ROLL_BACK"} 1.0' in metrics
    assert second.queries[0]["receiver"] == "pullback"
    assert second.authorization[0] == "Basic Ym90Omh1c2g="


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, None), (401, {"error": "no"}), (200, {"not": "a list"}), (200, "text")],
)
async def test_an_answer_that_cannot_be_used_changes_nothing_and_is_counted(
    cluster: Cluster, scene: Scene, alertmanager: Alertmanager, tmp_path: Path, status: int, body: Any
) -> None:
    await scene.add_canary(weight=25)
    alertmanager.status, alertmanager.body = status, body
    async with running(cluster, tmp_path, pull={"alertmanager_urls": [alertmanager.url], "every": 600}) as daemon:

        async def failed() -> bool:
            _, metrics = await daemon.get("/metrics")
            return 'pullback_pulls_total{outcome="failed"} 1.0' in metrics

        await eventually(failed)
        assert await scene.weights() == [75, 25]
        assert (await daemon.get("/readyz"))[0] == 200


SURROGATE = '[{"labels": {"alertname": "\\ud800", "severity": "critical"}, "startsAt": "2026-11-23T07:00:00Z"}]'


@pytest.mark.parametrize("raw", ["[" * 100_000, SURROGATE], ids=["deep", "surrogate"])
async def test_an_answer_nobody_foresaw_ends_nothing(
    raw: str, cluster: Cluster, scene: Scene, alertmanager: Alertmanager, tmp_path: Path
) -> None:
    await scene.add_canary(weight=25)
    alertmanager.raw = raw
    async with running(cluster, tmp_path, pull={"alertmanager_urls": [alertmanager.url], "every": 1}) as daemon:
        await eventually(lambda: _more(alertmanager, than=1))
        assert daemon.lifecycle.alive() == ""
        alertmanager.raw = ""
        alertmanager.firing = [listed(builders.alert(scene.namespace))]
        await scene.record("Proved")


async def test_in_a_storm_the_last_alert_counts_as_much_as_the_first(
    cluster: Cluster, scene: Scene, alertmanager: Alertmanager, tmp_path: Path
) -> None:
    """More than a webhook may hold, all of which the policy cares about."""
    await scene.add_canary(weight=25)
    storm = [listed(builders.alert("elsewhere", fingerprint=f"{number:016x}")) for number in range(MOST_ALERTS)]
    alertmanager.firing = [*storm, listed(builders.alert(scene.namespace))]
    async with running(cluster, tmp_path, pull={"alertmanager_urls": [alertmanager.url], "every": 600}):
        await scene.record("Proved")


async def test_entries_that_are_no_alerts_do_not_take_their_neighbours_with_them(
    cluster: Cluster, scene: Scene, alertmanager: Alertmanager, tmp_path: Path
) -> None:
    await scene.add_canary(weight=25)
    good = listed(builders.alert(scene.namespace))
    alertmanager.body = [None, 7, {}, {"labels": {"a": 1}, "startsAt": "yesterday"}, good]
    async with running(cluster, tmp_path, pull={"alertmanager_urls": [alertmanager.url], "every": 600}):
        await scene.record("Proved")


async def test_a_silent_watchdog_is_a_warning_and_its_arrival_ends_it(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    async with running(cluster, tmp_path, policy={"watchdog_late": 2}) as daemon:

        async def warned() -> bool:
            status, text = await daemon.get("/readyz")
            assert status == 200
            return "warning: Watchdog alert has never come to this replica" in text

        await eventually(warned)
        before = asyncio.get_running_loop().time()
        beat = builders.alert(scene.namespace, alertname="Watchdog", severity="none")
        await daemon.alert(builders.webhook(beat))
        assert "Watchdog" not in (await daemon.get("/readyz"))[1]
        _, metrics = await daemon.get("/metrics")
        age = next(line for line in metrics.splitlines() if line.startswith("pullback_watchdog_age_seconds "))
        assert float(age.split()[1]) <= asyncio.get_running_loop().time() - before
