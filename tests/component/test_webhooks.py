"""What comes in at the door: each oddity with the answer that the contract gives, and never a 500."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yarl

from daemon.sandbox.kubernetes_api import Fault, KubernetesApi
from tests import builders
from tests.cluster import CRDS, Cluster
from tests.running import TOKEN, Daemon, eventually, running
from tests.scene import Scene

NAMESPACE = "shop"


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[tuple[Cluster, Scene, KubernetesApi]]:
    async with KubernetesApi(CRDS, [NAMESPACE, "empty"]) as api, aiohttp.ClientSession(api.url) as http:
        scene = Scene(http, NAMESPACE)
        await scene.add_canary(weight=25)
        yield Cluster(api.kubeconfig(tmp_path / "kubeconfig"), api.url, api), scene, api


@pytest.fixture
async def daemon(shop: tuple[Cluster, Scene, KubernetesApi], tmp_path: Path) -> AsyncIterator[Daemon]:
    async with running(shop[0], tmp_path) as started:
        yield started


def labels(**given: str) -> builders.Json:
    """An alert with exactly these labels and its name."""
    alert = builders.alert(NAMESPACE)
    alert["labels"] = {"alertname": "CanaryHighErrorRate", "severity": "critical", **given}
    return alert


JUDGED: dict[str, tuple[builders.Json, str, str]] = {
    "a canary that does not exist": (labels(namespace=NAMESPACE, canary="nope"), "IGNORE", "unmatched"),
    "a canary of another namespace": (labels(namespace="empty", canary="podinfo"), "IGNORE", "unmatched"),
    "no namespace": (labels(canary="podinfo"), "IGNORE", "unmatched"),
    "nothing that names anybody": (labels(namespace=NAMESPACE), "IGNORE", "unmatched"),
    "the stable workload": (labels(namespace=NAMESPACE, workload="podinfo-primary"), "IGNORE", "names-stable"),
    "another workload": (labels(namespace=NAMESPACE, deployment="cart", version="v2"), "IGNORE", "unmatched"),
    "another version": (labels(namespace=NAMESPACE, canary="podinfo", version="v1"), "IGNORE", "names-another-version"),
    "the previous revision": (
        builders.alert(NAMESPACE, starts_at="2026-11-23T06:59:00Z"), "IGNORE", "signal-older-than-revision"),
    "no rule": (builders.alert(NAMESPACE, severity="info"), "IGNORE", "no-rule-matches"),
    "the watchdog": (builders.alert(NAMESPACE, alertname="Watchdog"), "IGNORE", "heartbeat"),
    "a resolved one": (builders.alert(NAMESPACE, status="resolved"), "IGNORE", "resolved-never-undoes"),
    "the canary": (labels(namespace=NAMESPACE, canary="podinfo"), "ROLL_BACK", "alert-fires"),
    "the workload": (labels(namespace=NAMESPACE, destination_workload="podinfo"), "ROLL_BACK", "alert-fires"),
    "the app": (labels(namespace=NAMESPACE, app="podinfo"), "ROLL_BACK", "alert-fires"),
    "the version": (labels(version="v2"), "ROLL_BACK", "alert-fires"),
    "the host": (labels(destination_service="podinfo-canary.shop.svc.cluster.local"), "ROLL_BACK", "alert-fires"),
    "a version nobody can compare": (labels(namespace=NAMESPACE, canary="podinfo", version="unknown"),
                                     "ROLL_BACK", "alert-fires"),
    "nanoseconds": (builders.alert(NAMESPACE, starts_at="2126-11-23T06:12:19.705769183Z"), "ROLL_BACK", "alert-fires"),
}  # fmt: skip


@pytest.mark.parametrize("case", JUDGED)
async def test_an_alert_is_judged_by_what_it_names(
    case: str, daemon: Daemon, shop: tuple[Cluster, Scene, KubernetesApi]
) -> None:
    alert, verdict, reason = JUDGED[case]

    status, answer = await daemon.alert(builders.webhook(alert))

    assert (status, answer["alerts"][0]["verdict"], answer["alerts"][0]["reason"]) == (200, verdict, reason)
    assert await shop[1].weights() == ([100, 0] if verdict == "ROLL_BACK" else [75, 25])
    assert len(await shop[1].records()) == (verdict == "ROLL_BACK")


async def test_two_canaries_that_match_are_never_guessed(
    daemon: Daemon, shop: tuple[Cluster, Scene, KubernetesApi]
) -> None:
    await shop[1].add_canary("other", weight=25, version="v2")
    await asyncio.sleep(0.1)

    status, answer = await daemon.alert(builders.webhook(labels(version="v2")))

    assert (status, answer["alerts"][0]["reason"]) == (200, "ambiguous")
    assert "shop/other, shop/podinfo" in answer["alerts"][0]["detail"]
    assert await shop[1].records() == []


async def test_resolved_before_firing_still_ends_at_zero(
    daemon: Daemon, shop: tuple[Cluster, Scene, KubernetesApi]
) -> None:
    firing = builders.alert(NAMESPACE)
    over = {**firing, "status": "resolved", "endsAt": firing["startsAt"]}
    await daemon.alert(builders.webhook(over))

    _, answer = await daemon.alert(builders.webhook(firing))

    assert answer["alerts"][0]["verdict"] == "ROLL_BACK"
    _, answer = await daemon.alert(builders.webhook(over))
    assert answer["alerts"][0]["reason"] == "resolved-never-undoes"
    assert await shop[1].weights() == [100, 0]


async def test_a_group_is_judged_alert_by_alert_and_says_what_was_cut_off(
    daemon: Daemon, shop: tuple[Cluster, Scene, KubernetesApi]
) -> None:
    group = builders.webhook(
        builders.alert(NAMESPACE, "gone", status="resolved", fingerprint="d9f9775480dd491c"),
        builders.alert(NAMESPACE, fingerprint="e6959b7b6cef82c5"),
        truncated=1,
    )

    status, answer = await daemon.alert(group)

    assert status == 200
    assert [one["reason"] for one in answer["alerts"]] == ["unmatched", "alert-fires"]
    assert (answer["truncatedAlerts"], "unknown" in answer["incomplete"]) == (1, True)
    assert await shop[1].weights() == [100, 0]


def many_labels(count: int) -> builders.Json:
    alert = builders.alert(NAMESPACE)
    alert["labels"] |= {f"l{number}": "x" for number in range(count)}
    return alert


UNREADABLE: dict[str, tuple[bytes, int, str]] = {
    "nothing": (b"", 400, ""),
    "broken JSON": (b'{"version": "4", "alerts": [', 400, "Invalid JSON"),
    "broken UTF-8": (b'{"version": "\xff\xfe"}', 400, ""),
    "null": (b"null", 400, ""),
    "a list": (b"[]", 400, ""),
    "no version": (b'{"alerts": []}', 400, "version"),
    "a custom payload": (json.dumps({"version": "mine", "alerts": []}).encode(), 400, 'expected "4"'),
    "alerts that are no list": (b'{"version": "4", "alerts": {}}', 400, "alerts"),
    "deep nesting": (b'{"version": "4", "alerts": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400, ""),
    "two mebibytes": (b" " * (2 * 1024 * 1024), 413, "at most 1048576"),
    "too many alerts": (json.dumps({"version": "4", "alerts": [{}] * 6000}).encode(), 400, "at most 5000"),
    "null labels": (json.dumps(builders.webhook({**builders.alert(NAMESPACE), "labels": None})).encode(), 400,
                    "alerts[0].labels"),
    "a null label": (json.dumps(builders.webhook(labels(namespace=None))).encode(), 400,  # type: ignore[arg-type]
                     "alerts[0].labels.namespace"),
    "10 000 labels": (json.dumps(builders.webhook(many_labels(10_000))).encode(), 400, "10004 of them"),
    "no time": (json.dumps(builders.webhook({**builders.alert(NAMESPACE), "startsAt": "noon"})).encode(), 400,
                "expected an RFC 3339 time"),
    "year 1": (json.dumps(builders.webhook({**builders.alert(NAMESPACE), "startsAt": "0001-01-01T00:00:00Z"})).encode(),
               400, "year 1"),
    "no status": (json.dumps(builders.webhook({**builders.alert(NAMESPACE), "status": "odd"})).encode(), 400, "status"),
    "an alert that is a word": (json.dumps(builders.webhook("alert")).encode(), 400, "alerts[0]"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNREADABLE)
async def test_what_cannot_be_read_is_refused_with_its_place(
    case: str, daemon: Daemon, shop: tuple[Cluster, Scene, KubernetesApi]
) -> None:
    body, expected, said = UNREADABLE[case]

    status, answer = await daemon.alert(body)

    assert status == expected
    assert said in json.dumps(answer).replace('\\"', '"')
    assert await shop[1].weights() == [75, 25]


async def test_one_alert_that_cannot_be_read_does_not_take_its_neighbours_along(
    daemon: Daemon, shop: tuple[Cluster, Scene, KubernetesApi]
) -> None:
    broken = {**builders.alert(NAMESPACE), "labels": None}

    status, answer = await daemon.alert(builders.webhook(broken, builders.alert(NAMESPACE)))

    assert status == 400
    assert [one["reason"] for one in answer["alerts"]] == ["malformed", "alert-fires"]
    assert await shop[1].weights() == [100, 0]


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer wrong", "Basic Zm9vOmJhcg==", "Basic %%%", "Digest x", f"bearer {TOKEN}x"],
)
async def test_without_valid_credentials_nothing_is_read(daemon: Daemon, authorization: str) -> None:
    for path in ("/webhooks/alertmanager", "/webhooks/flagger/rollback", "/api/v1/canaries"):
        method = "GET" if path.startswith("/api") else "POST"
        async with daemon.http.request(
            method, path, headers={"Authorization": authorization}, data=b"" if method == "GET" else b"{"
        ) as response:
            assert response.status == 401
            assert TOKEN not in await response.text()


async def test_two_tokens_are_valid_at_once_and_a_file_is_read_again_when_it_changes(
    shop: tuple[Cluster, Scene, KubernetesApi], tmp_path: Path
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("old-token")
    new.write_text("new-token\n")
    doors: Any = {"alertmanager": {"bearer_token_files": [old, new], "password_files": [new], "username": "am"}}

    async with running(shop[0], tmp_path, web=doors) as started:

        async def status(authorization: str) -> int:
            return (await started.alert(builders.webhook(), Authorization=authorization))[0]

        assert [await status("Bearer old-token"), await status("Bearer new-token")] == [200, 200]
        assert await status(aiohttp.encode_basic_auth("am", "new-token")) == 200
        assert await status(aiohttp.encode_basic_auth("am", "old-token")) == 401
        old.write_text("newest-token")
        assert [await status("Bearer old-token"), await status("Bearer newest-token")] == [401, 200]


async def test_flagger_may_bring_its_token_in_the_body_and_is_answered_on_a_connection_that_closes(
    daemon: Daemon,
) -> None:
    question = builders.hook(NAMESPACE) | {"metadata": {"token": TOKEN}}
    async with daemon.http.post(
        "/webhooks/flagger/confirm-traffic-increase", json=question, headers={"Authorization": ""}
    ) as response:
        assert response.status == 200
        assert response.headers["Connection"] == "close"


async def test_hooks_of_a_canary_nobody_knows_open_nothing(daemon: Daemon) -> None:
    unknown = builders.hook("empty", "nobody")
    answers = {
        kind: (await daemon.hook(kind, unknown))[0] for kind in ("rollback", "confirm-traffic-increase", "event")
    }

    assert answers == {"rollback": 403, "confirm-traffic-increase": 403, "event": 200}


async def test_other_paths_and_methods_are_refused(daemon: Daemon) -> None:
    assert (await daemon.get("/webhooks/alertmanager"))[0] == 405
    assert (await daemon.get("/nothing-here"))[0] == 404


async def test_before_the_world_has_been_seen_everything_is_to_be_sent_again(
    shop: tuple[Cluster, Scene, KubernetesApi], tmp_path: Path
) -> None:
    cluster, scene, api = shop
    api.faults.fail(503, verb="list", resource="canaries", times=None)
    async with running(cluster, tmp_path, wait=False) as daemon:
        assert (await daemon.get("/healthz"))[0] == 200
        status, why = await daemon.get("/readyz")
        assert (status, "Canary" in why or "not seen yet" in why) == (503, True)
        status, answer = await daemon.alert(builders.webhook(builders.alert(NAMESPACE)))
        assert (status, answer["alerts"][0]["retry"]) == (503, True)
        api.faults.clear()

        async def taken() -> bool:
            return (await daemon.alert(builders.webhook(builders.alert(NAMESPACE))))[0] == 200

        await eventually(taken)
        assert await scene.weights() == [100, 0]


async def test_without_the_kind_of_the_records_it_is_not_ready_but_still_goes_to_zero(tmp_path: Path) -> None:
    async with KubernetesApi([CRDS[0]], [NAMESPACE]) as api, aiohttp.ClientSession(api.url) as http:
        scene = Scene(http, NAMESPACE)
        await scene.add_canary(weight=25)
        cluster = Cluster(api.kubeconfig(tmp_path / "kubeconfig"), api.url, api)
        async with running(cluster, tmp_path, wait=False) as daemon:

            async def says() -> bool:
                status, why = await daemon.get("/readyz")
                return status == 503 and "install the chart's crds" in why

            await eventually(says)
            status, _ = await daemon.alert(builders.webhook(builders.alert(NAMESPACE)))

            assert status == 503
            assert await scene.weights() == [100, 0]
            metrics = (await daemon.get("/metrics"))[1]
            assert 'pullback_steps_total{outcome="Missing",step="OpenRecord"}' in metrics


async def test_a_zero_without_its_record_is_503_and_the_retry_makes_exactly_one(
    daemon: Daemon, shop: tuple[Cluster, Scene, KubernetesApi]
) -> None:
    _, scene, api = shop
    api.faults.fail(500, verb="create", resource="rollbacks", times=None)
    alert = builders.webhook(builders.alert(NAMESPACE))

    assert (await daemon.alert(alert))[0] == 503
    assert await scene.weights() == [100, 0]
    assert await scene.records() == []
    api.faults.clear()

    async def taken() -> bool:
        return (await daemon.alert(alert))[0] == 200

    await eventually(taken)
    await scene.record("Proved")


async def test_a_dry_run_writes_only_its_record(shop: tuple[Cluster, Scene, KubernetesApi], tmp_path: Path) -> None:
    cluster, scene, _ = shop
    alert = builders.webhook(builders.alert(NAMESPACE))
    async with running(cluster, tmp_path, rollback={"dry_run": True}) as daemon:
        assert (await daemon.alert(alert))[0] == 200
        record = await scene.record("DryRun")
        assert "25% -> 0%" in record["status"]["message"]
        _, answer = await daemon.alert(alert)
        assert answer["alerts"][0]["reason"] == "already-handled"
        assert (await daemon.hook("rollback", builders.hook(NAMESPACE)))[0] == 403
        assert await scene.weights() == [75, 25]
    async with running(cluster, tmp_path) as daemon:
        assert (await daemon.alert(alert))[0] == 200  # now in earnest
        assert await scene.weights() == [100, 0]


async def test_a_storm_of_the_same_alert_is_one_rollback(
    daemon: Daemon, shop: tuple[Cluster, Scene, KubernetesApi]
) -> None:
    alert = builders.webhook(*[builders.alert(NAMESPACE)] * 5)

    answers = await asyncio.gather(*(daemon.alert(alert) for _ in range(40)))

    assert {status for status, _ in answers} == {200}
    reasons = [one["reason"] for _, answer in answers for one in answer["alerts"]]
    assert reasons.count("alert-fires") == 1
    assert reasons.count("already-rolling-back") == 199
    assert len(shop[2].requests.matching(verb="create", resource="rollbacks")) == 1
    assert len(shop[2].requests.matching(verb="patch", resource="virtualservices")) == 1


async def test_while_stopping_webhooks_are_sent_elsewhere(
    shop: tuple[Cluster, Scene, KubernetesApi], tmp_path: Path
) -> None:
    async with running(shop[0], tmp_path, lifecycle={"linger": 0.5}) as daemon:
        daemon.lifecycle.stop()
        await asyncio.sleep(0.1)

        assert (await daemon.get("/readyz"))[0] == 503
        assert (await daemon.get("/healthz"))[0] == 200
        assert (await daemon.alert(builders.webhook(builders.alert(NAMESPACE))))[0] == 503
        assert await shop[1].weights() == [75, 25]
