"""Every way an alert can reach the door, and the exact answer it gets: status, verdict, reason. Never a 500."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from daemon.sandbox.kubernetes_api import KubernetesApi
from tests import builders
from tests.builders import Json
from tests.cluster import CRDS, Cluster
from tests.running import TOKEN, Daemon, eventually, running
from tests.scene import CANARIES, Scene

SHOP = "shop"
LONG_AGO = "2020-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Shop:
    """A canary at 10% in an embedded cluster that takes faults."""

    cluster: Cluster
    scene: Scene
    api: KubernetesApi


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with KubernetesApi(CRDS, [SHOP]) as api, aiohttp.ClientSession(api.url) as http:
        scene = Scene(http, SHOP)
        await scene.add_canary(weight=10)
        yield Shop(Cluster(api.kubeconfig(tmp_path / "kubeconfig"), api.url, api), scene, api)


def without(alert: Json, *labels: str) -> Json:
    """The alert, less these labels."""
    return {**alert, "labels": {key: value for key, value in alert["labels"].items() if key not in labels}}


def told(answer: Json) -> list[tuple[str, str]]:
    return [(one["verdict"], one["reason"]) for one in answer["alerts"]]


async def answers(daemon: Daemon, *alerts: Any) -> tuple[int, list[tuple[str, str]]]:
    status, answer = await daemon.alert(builders.webhook(*alerts))
    return status, told(answer)


# -- whom it means


async def test_an_alert_that_does_not_ask_for_this_canarys_rollback_is_answered_200_and_says_why(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    shop = scene.namespace
    await scene.add_canary(weight=10)
    await scene.add_canary("cart", weight=10)
    await scene.add_canary("idle", weight=0, phase="Succeeded")
    good = builders.alert(shop)
    nameless = without(good, "canary")
    alerts = {
        "the wrong canary": builders.alert(shop, "nobody"),
        "the right name in the wrong namespace": builders.alert("elsewhere"),
        "the previous revision": builders.alert(shop, starts_at=LONG_AGO),
        "another version": builders.alert(shop, version="v1"),
        "no namespace": without(good, "namespace"),
        "no namespace, and a workload only": {**without(nameless, "namespace"), "labels": {
            "alertname": "A", "severity": "critical", "deployment": "podinfo"}},
        "two canaries that match": {**nameless, "labels": {**nameless["labels"], "version": "v2"}},
        "two canaries by two labels": {**nameless, "labels": {**nameless["labels"], "app": "cart",
                                                              "service": "podinfo"}},
        "the stable side": {**nameless, "labels": {**nameless["labels"], "deployment": "podinfo-primary"}},
        "a workload that is nobody's": {**nameless, "labels": {**nameless["labels"], "deployment": "nobody"}},
        "nothing at all": nameless,
        "a canary that is promoted already": builders.alert(shop, "idle"),
        "a resolved rollback alert that never fired here": builders.alert(shop, status="resolved"),
        "a resolved pause alert that holds nothing": builders.alert(shop, status="resolved", severity="warning"),
        "no rule": builders.alert(shop, severity="info"),
        "a rule that says ignore": builders.alert(shop, severity="critical", team="lab"),
        "the watchdog": builders.alert(shop, alertname="Watchdog"),
    }  # fmt: skip
    expected = {
        "the wrong canary": "unmatched",
        "the right name in the wrong namespace": "unmatched",
        "the previous revision": "signal-older-than-revision",
        "another version": "names-another-version",
        "no namespace": "unmatched",
        "no namespace, and a workload only": "unmatched",
        "two canaries that match": "ambiguous",
        "two canaries by two labels": "ambiguous",
        "the stable side": "names-stable",
        "a workload that is nobody's": "unmatched",
        "nothing at all": "unmatched",
        "a canary that is promoted already": "no-active-canary",
        "a resolved rollback alert that never fired here": "resolved-never-undoes",
        "a resolved pause alert that holds nothing": "nothing-to-resume",
        "no rule": "no-rule-matches",
        "a rule that says ignore": "policy-ignores",
        "the watchdog": "heartbeat",
    }
    rules = [
        {"match": ['team="lab"'], "act": "ignore"},
        {"match": ['severity="critical"'], "act": "rollback"},
        {"match": ['severity="warning"'], "act": "pause"},
    ]
    async with running(cluster, tmp_path, policy={"rules": rules}) as daemon:
        actual = {sentence: await answers(daemon, alert) for sentence, alert in alerts.items()}
        together = await answers(daemon, *alerts.values())

        assert {sentence: (200, [("IGNORE", reason)]) for sentence, reason in expected.items()} == actual
        assert together == (200, [("IGNORE", reason) for reason in expected.values()])
        assert await scene.weights() == [90, 10]
        assert await scene.weights("cart") == [90, 10]
        assert await scene.records() == []


async def test_the_answer_names_candidates_namespaces_and_what_was_expected(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    shop = scene.namespace
    await scene.add_canary(weight=10)
    await scene.add_canary("cart", weight=10)
    nameless = without(builders.alert(shop), "canary")
    async with running(cluster, tmp_path) as daemon:
        both = builders.webhook(
            {**nameless, "labels": {**nameless["labels"], "version": "v2"}},
            without(builders.alert(shop), "namespace"),
        )
        _, answer = await daemon.alert(both)

    ambiguous, lost = answer["alerts"]
    assert (ambiguous["canary"], lost["canary"]) == (None, None)
    assert f"{shop}/cart, {shop}/podinfo" in ambiguous["detail"]
    assert "no namespace: expected one of namespace, destination_workload_namespace" in lost["detail"]


async def test_an_alert_of_another_canary_never_touches_this_one(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await scene.add_canary(weight=10)
    await scene.add_canary("cart", weight=20)
    async with running(cluster, tmp_path) as daemon:
        assert await answers(daemon, builders.alert(scene.namespace, "cart")) == (200, [("ROLL_BACK", "alert-fires")])
        await scene.record("Proved")

        assert await scene.weights("cart") == [100, 0]
        assert await scene.weights() == [90, 10]


@pytest.mark.parametrize(
    "labels",
    [
        {"name": "podinfo"},
        {"deployment": "podinfo"},
        {"destination_workload": "podinfo"},
        {"app": "podinfo", "canary": "true"},
        {"service": "podinfo-canary"},
        {"version": "v2"},
        {"host": "podinfo"},
        {"destination_service": "podinfo-canary.{}.svc.cluster.local"},
    ],
    ids=lambda labels: ",".join(labels),
)
async def test_a_canary_is_found_by_each_label_that_can_mean_it(
    labels: dict[str, str], cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await scene.add_canary(weight=10)
    alert = without(builders.alert(scene.namespace), "canary")
    alert["labels"] |= {key: value.format(scene.namespace) for key, value in labels.items()}
    async with running(cluster, tmp_path) as daemon:
        assert await answers(daemon, alert) == (200, [("ROLL_BACK", "alert-fires")])
        assert await scene.weights() == [100, 0]


# -- in what order, how often


async def test_resolved_before_firing_still_rolls_back_and_resolved_after_undoes_nothing(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await scene.add_canary(weight=10)
    firing = builders.alert(scene.namespace)
    resolved = {**firing, "status": "resolved", "endsAt": "2026-11-23T09:00:00Z"}
    async with running(cluster, tmp_path) as daemon:
        before = await answers(daemon, resolved)
        assert (before, await scene.weights()) == ((200, [("IGNORE", "resolved-never-undoes")]), [90, 10])

        assert await answers(daemon, firing) == (200, [("ROLL_BACK", "alert-fires")])
        assert await answers(daemon, resolved) == (200, [("IGNORE", "resolved-never-undoes")])
        assert await answers(daemon, firing) == (200, [("ROLL_BACK", "already-rolling-back")])
        record = await scene.record("Proved")

        assert await scene.weights() == [100, 0]
        assert record["spec"]["signal"]["fingerprint"] == firing["fingerprint"]


async def test_a_pause_closes_the_gate_until_its_end_and_a_late_copy_does_not_close_it_again(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await scene.add_canary(weight=10)
    firing = builders.alert(scene.namespace, severity="warning")
    resolved = {**firing, "status": "resolved", "endsAt": "2026-11-23T09:00:00Z"}
    hook = builders.hook(scene.namespace)
    async with running(cluster, tmp_path) as daemon:
        assert await answers(daemon, firing) == (200, [("PAUSE", "alert-pauses")])
        closed, line = await daemon.hook("confirm-traffic-increase", hook)
        assert (closed, "waiting for alerts to end: CanaryHighErrorRate" in line) == (403, True)

        assert await answers(daemon, resolved) == (200, [("RESUME", "alert-resolved")])
        assert await answers(daemon, firing) == (200, [("IGNORE", "firing-after-resolved")])
        assert (await daemon.hook("confirm-traffic-increase", hook))[0] == 200
        assert await scene.weights() == [90, 10]


async def test_a_hundred_copies_at_once_are_one_rollback(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    await scene.add_canary(weight=10)
    copies = [builders.alert(scene.namespace, fingerprint=f"f{number:03}") for number in range(100)]
    async with running(cluster, tmp_path) as daemon:
        given = await asyncio.gather(*(answers(daemon, copy) for copy in copies))
        await scene.record("Proved")

        assert {status for status, _ in given} == {200}
        assert sorted(reason for _, ((_, reason),) in given).count("alert-fires") == 1
        assert await scene.weights() == [100, 0]


async def test_phases_in_which_the_primary_changes_escalate_and_move_nothing(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await scene.add_canary(weight=100, phase="Promoting")
    async with running(cluster, tmp_path) as daemon:
        assert await answers(daemon, builders.alert(scene.namespace)) == (200, [("ESCALATE", "promotion-under-way")])
        record = await scene.record("Escalated")

        assert await scene.weights() == [0, 100]
        assert "no traffic is moved" in record["status"]["message"]


# -- what it is made of


async def test_what_can_never_be_read_is_answered_400_and_names_the_field(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await scene.add_canary(weight=10)
    good = builders.webhook(builders.alert(scene.namespace))
    bodies: dict[str, tuple[bytes, str]] = {
        "broken JSON": (b'{"version":"4","alerts":[', "JSON"),
        "broken UTF-8": (b'{"version":"4","alerts":[],"receiver":"\xff\xfe"}', "unicode"),
        "nothing": (b"", "JSON"),
        "null": (b"null", "object"),
        "a list": (b"[]", "object"),
        "a string": (b'"x"', "object"),
        "an abyss": (b"[" * 100_000, "recursion limit"),
        "another version": (json.dumps({**good, "version": "5"}).encode(), "version"),
        "no version": (json.dumps({"alerts": []}).encode(), "version"),
        "alerts as an object": (json.dumps({**good, "alerts": {}}).encode(), "alerts"),
        "a truncated count that is a word": (json.dumps({**good, "truncatedAlerts": "x"}).encode(), "truncatedAlerts"),
    }
    async with running(cluster, tmp_path) as daemon:
        for sentence, (body, named) in bodies.items():
            status, answer = await daemon.alert(body)
            assert (sentence, status) == (sentence, 400)
            assert named in answer["error"], sentence
        assert await scene.weights() == [90, 10]


async def test_an_alert_that_can_never_be_read_is_answered_400_beside_its_neighbours_that_are_acted_on(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    shop = scene.namespace
    await scene.add_canary(weight=10)
    good = builders.alert(shop)
    malformed: dict[str, tuple[Any, str]] = {
        "null labels": ({**good, "labels": None}, "alerts[0].labels: "),
        "a null label": ({**good, "labels": {**good["labels"], "severity": None}}, "alerts[0].labels.severity: "),
        "a number as a label": ({**good, "labels": {**good["labels"], "code": 500}}, "alerts[0].labels.code: "),
        "10 000 labels": ({**good, "labels": {f"l{n}": "v" for n in range(10_000)}}, "10000 of them, at most 256"),
        "no startsAt": ({key: good[key] for key in good if key != "startsAt"}, "alerts[0].startsAt: "),
        "a status of its own": ({**good, "status": "burning"}, "alerts[0].status: "),
        "a number": (4, "alerts[0]: "),
    }
    async with running(cluster, tmp_path) as daemon:
        for sentence, (alert, named) in malformed.items():
            status, answer = await daemon.alert(builders.webhook(alert))
            assert (sentence, status, told(answer)) == (sentence, 400, [("IGNORE", "malformed")])
            assert named in answer["alerts"][0]["detail"], sentence
        assert (await scene.weights(), await scene.records()) == ([90, 10], [])

        status, answer = await daemon.alert(builders.webhook(malformed["null labels"][0], good))
        assert (status, told(answer)) == (400, [("IGNORE", "malformed"), ("ROLL_BACK", "alert-fires")])
        assert await scene.weights() == [100, 0]
        assert len(await scene.records()) == 1


async def test_alerts_cut_off_by_the_sender_are_counted_and_reported_as_unknown(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await scene.add_canary(weight=10)
    async with running(cluster, tmp_path) as daemon:
        status, answer = await daemon.alert(builders.webhook(builders.alert(scene.namespace), truncated=3))
        _, metrics = await daemon.get("/metrics")

    assert (status, answer["truncatedAlerts"], told(answer)) == (200, 3, [("ROLL_BACK", "alert-fires")])
    assert "their state is unknown here" in answer["incomplete"]
    assert "pullback_truncated_alerts_total 3.0" in metrics
    assert 'pullback_signals_total{reason="truncated",source="alertmanager",verdict="IGNORE"} 1.0' in metrics


async def test_an_alert_as_large_as_is_allowed_becomes_durable(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    await scene.add_canary(weight=10)
    alert = builders.alert(scene.namespace)
    alert["labels"] |= {f"label_{number}": "ü" * 600 for number in range(200)}
    alert["annotations"] |= {f"note_{number}": "x" * 3000 for number in range(150)}
    alert["labels"]["alertname"] = "A" * 3000
    async with running(cluster, tmp_path) as daemon:
        assert await answers(daemon, alert) == (200, [("ROLL_BACK", "alert-fires")])
        await scene.record("Proved")


async def test_a_body_of_two_mebibytes_is_answered_413_whether_it_says_its_length_or_not(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(32):
            yield b" " * 65536

    large = b" " * (2 * 1024 * 1024)
    async with running(cluster, tmp_path) as daemon:
        for path in ("/webhooks/alertmanager", "/webhooks/flagger/rollback"):
            for body in (large, chunks()):
                async with daemon.http.post(path, data=body) as response:
                    assert (response.status, await response.text()) == (413, (
                        f'{{"error": "the body has {len(large) if isinstance(body, bytes) else 1024 * 1024 + 1} bytes '
                        'or more, at most 1048576 are accepted"}\n'
                    ))  # fmt: skip
        assert (await daemon.alert(builders.webhook()))[0] == 200


# -- who may speak


def basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


async def test_only_known_callers_come_in_and_a_refusal_says_nothing_of_what_was_tried(
    cluster: Cluster, scene: Scene, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    await scene.add_canary(weight=10)
    (tmp_path / "password").write_text("open sesame\n")
    door = {"bearer_token_files": [str(tmp_path / "token")], "password_files": [str(tmp_path / "password")]}
    body = builders.webhook(builders.alert(scene.namespace, "nobody"))
    tries = {
        "": 401,
        "Bearer wrong-token": 401,
        "Bearer ": 401,
        f"Bearer {TOKEN}x": 401,
        f"Digest {TOKEN}": 401,
        TOKEN: 401,
        "Basic !!!": 401,
        basic("pullback", "wrong-password"): 401,
        basic("somebody", "open sesame"): 401,
        basic("pullback", TOKEN): 401,
        "Bearer open sesame": 401,
        f"Bearer {TOKEN}": 200,
        f"bearer  {TOKEN}": 200,
        basic("pullback", "open sesame"): 200,
    }
    given = {}
    logged = {"level": "debug", "format": "json"}
    async with running(cluster, tmp_path, web={"alertmanager": door, "flagger": door}, log=logged) as daemon:
        async with aiohttp.ClientSession(daemon.base) as stranger:
            for authorization in tries:
                headers = {"Authorization": authorization} if authorization else {}
                async with stranger.post("/webhooks/alertmanager", json=body, headers=headers) as response:
                    given[authorization] = response.status
                    assert response.status != 401 or "WWW-Authenticate" in response.headers
            hook = builders.hook(scene.namespace)
            by_token = {}
            for token in ("", "wrong-token", TOKEN, "open sesame"):
                asked = {**hook, "metadata": {"token": token}}
                async with stranger.post("/webhooks/flagger/rollback", json=asked) as response:
                    by_token[token] = response.status
            async with stranger.post("/webhooks/flagger/rollback", data=b"{") as response:
                broken = response.status
            reading = {}
            for path in ("/healthz", "/readyz", "/metrics", "/api/v1/canaries", "/api/v1/rollbacks"):
                async with stranger.get(path) as response:
                    reading[path] = response.status

    assert tries == given
    assert {"": 401, "wrong-token": 401, TOKEN: 403, "open sesame": 403} == by_token
    assert broken == 401
    assert reading == {"/healthz": 200, "/readyz": 200, "/metrics": 200, "/api/v1/canaries": 401,
                       "/api/v1/rollbacks": 401}  # fmt: skip
    said = "".join(capfd.readouterr())
    assert "request.refused" in said
    for secret in (TOKEN, "open sesame", "wrong-password", "wrong-token", basic("pullback", "open sesame")[6:]):
        assert secret not in said


async def test_a_token_can_be_rotated_while_running(cluster: Cluster, tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).write_text(f"token-{name}\n")
    door = {"bearer_token_files": [str(tmp_path / "old"), str(tmp_path / "new")]}

    async with running(cluster, tmp_path, web={"alertmanager": door}) as daemon:

        async def accepted() -> list[str]:
            tokens = ("token-old", "token-new", "token-newer")
            return [token for token in tokens
                    if (await daemon.alert(builders.webhook(), Authorization=f"Bearer {token}"))[0] == 200]  # fmt: skip

        assert await accepted() == ["token-old", "token-new"]

        (tmp_path / "next").write_text("token-newer\n")
        (tmp_path / "next").replace(tmp_path / "old")  # as the kubelet does: exchanged, not rewritten
        assert await accepted() == ["token-new", "token-newer"]

        (tmp_path / "old").unlink()  # half-way through an exchange: the last good one still counts
        assert await accepted() == ["token-new", "token-newer"]


# -- how it is asked


async def test_other_methods_and_paths_are_answered_405_and_404(cluster: Cluster, tmp_path: Path) -> None:
    asked = {
        ("GET", "/webhooks/alertmanager"): 405,
        ("PUT", "/webhooks/alertmanager"): 405,
        ("GET", "/webhooks/flagger/rollback"): 405,
        ("POST", "/healthz"): 405,
        ("DELETE", "/api/v1/rollbacks"): 405,
        ("POST", "/webhooks"): 404,
        ("POST", "/webhooks/alertmanager/"): 404,
        ("POST", "/webhooks/flagger/unknown"): 404,
        ("GET", "/webhooks/flagger/%2e%2e/healthz"): 404,
        ("BREW", "/webhooks/alertmanager"): 405,
        ("OPTIONS", "/nowhere"): 404,
        ("HEAD", "/healthz"): 200,
    }
    given = {}
    async with running(cluster, tmp_path) as daemon:
        for method, path in asked:
            async with daemon.http.request(method, path) as response:
                given[method, path] = response.status
        _, metrics = await daemon.get("/metrics")
    assert asked == given
    assert 'route="other"' in metrics
    assert "BREW" not in metrics
    assert "unknown" not in metrics


async def test_a_body_that_comes_too_slowly_is_answered_408_within_its_bound(cluster: Cluster, tmp_path: Path) -> None:
    async with running(cluster, tmp_path, web={"body_timeout": 0.2}) as daemon:
        for path in ("/webhooks/alertmanager", "/webhooks/flagger/rollback"):
            async with spoken(daemon) as (reader, writer):
                began = time.monotonic()
                writer.write(
                    f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
                    'Content-Length: 100\r\n\r\n{"version":'.encode()
                )
                line = await asyncio.wait_for(reader.readline(), 5)
                assert (path, line) == (path, b"HTTP/1.1 408 Request Timeout\r\n")
                assert time.monotonic() - began < 1


async def test_a_caller_that_never_ends_its_body_does_not_keep_the_daemon_from_stopping(
    cluster: Cluster, tmp_path: Path
) -> None:
    async with running(cluster, tmp_path) as daemon:
        async with spoken(daemon) as (_, writer):
            writer.write(
                f"POST /webhooks/alertmanager HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
                'Content-Length: 100\r\n\r\n{"version":'.encode()
            )
            await writer.drain()
            await asyncio.sleep(0.05)
            began = time.monotonic()
            daemon.lifecycle.stop()
            await eventually(lambda: hung_up(daemon))
            assert time.monotonic() - began < 4


async def hung_up(daemon: Daemon) -> bool:
    try:
        await daemon.get("/healthz")
    except aiohttp.ClientError:
        return True
    return False


async def test_more_open_connections_than_allowed_break_nobody_elses(cluster: Cluster, tmp_path: Path) -> None:
    async with running(cluster, tmp_path, web={"connections": 10, "keep_alive": 0.5}) as daemon:
        assert (await daemon.get("/healthz"))[0] == 200
        async with aiohttp.ClientSession(daemon.base) as kept:
            async with kept.get("/healthz") as response:
                assert response.status == 200
            silent = [await asyncio.open_connection("127.0.0.1", daemon.port) for _ in range(30)]
            try:
                async with kept.get("/healthz") as response:  # a connection of before goes on
                    assert response.status == 200
                ends = await asyncio.gather(*(asyncio.wait_for(reader.read(), 5) for reader, _ in silent))
                assert {b""} == set(ends), "each is closed: those beyond the bound at once, the silent ones in time"
                assert (await daemon.alert(builders.webhook()))[0] == 200
            finally:
                for _, writer in silent:
                    writer.close()
                    await writer.wait_closed()


async def test_an_answer_to_flagger_closes_its_connection_and_one_to_alertmanager_keeps_it(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await scene.add_canary(weight=10)
    hook = builders.hook(scene.namespace)
    asked: list[tuple[str, Any, str]] = [
        ("/webhooks/flagger/rollback", hook, f"Bearer {TOKEN}"),
        ("/webhooks/flagger/event", hook, f"Bearer {TOKEN}"),
        ("/webhooks/flagger/rollback", hook, "Bearer wrong"),
        ("/webhooks/flagger/rollback", {}, f"Bearer {TOKEN}"),
        ("/webhooks/alertmanager", builders.webhook(), f"Bearer {TOKEN}"),
    ]
    given = []
    async with running(cluster, tmp_path) as daemon:
        for path, body, authorization in asked:
            async with daemon.http.post(path, json=body, headers={"Authorization": authorization}) as response:
                given.append((response.status, response.headers.get("Connection")))
    assert given == [(403, "close"), (200, "close"), (401, "close"), (400, "close"), (200, None)]


class spoken:  # noqa: N801 - reads as a statement
    """A raw connection: ``async with spoken(daemon) as (reader, writer)``."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, self._writer = await asyncio.open_connection("127.0.0.1", self._daemon.port)
        return reader, self._writer

    async def __aexit__(self, *_: object) -> None:
        assert self._writer is not None
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            pass


# -- when the cluster is not well


async def test_until_the_world_has_been_seen_nothing_is_judged(shop: Shop, tmp_path: Path) -> None:
    hanging = shop.api.faults.hang(verb="list", resource="canaries", times=None)
    async with running(shop.cluster, tmp_path, wait=False) as daemon:
        firing = builders.alert(SHOP)
        given = await daemon.alert(builders.webhook(firing))
        watchdog = await answers(daemon, builders.alert(SHOP, alertname="Watchdog"))
        ready = await daemon.get("/readyz")
        gate = await daemon.hook("confirm-traffic-increase", builders.hook(SHOP))

        assert (given[0], told(given[1])) == (503, [("IGNORE", "cannot-know")])
        assert given[1]["alerts"][0]["retry"] is True
        assert watchdog == (200, [("IGNORE", "heartbeat")])
        assert (ready[0], gate[0]) == (503, 403)
        assert await shop.scene.weights() == [90, 10]

        shop.api.faults.remove(hanging)
        shop.api.faults.release()
        await eventually(lambda: taken(daemon, firing))
        assert (await shop.scene.weights(), len(await shop.scene.records())) == ([100, 0], 1)


async def taken(daemon: Daemon, alert: Json) -> bool:
    """As Alertmanager sends again: 5xx only."""
    status, _ = await daemon.alert(builders.webhook(alert))
    assert status in {200, 503}
    return status == 200


async def test_without_the_kind_of_record_it_is_not_ready_says_so_and_still_takes_traffic_away(
    tmp_path: Path,
) -> None:
    definitions = [path for folder in CRDS for path in folder.glob("*.yaml") if "rollbacks" not in path.name]
    async with KubernetesApi(definitions, [SHOP]) as api, aiohttp.ClientSession(api.url) as http:
        scene = Scene(http, SHOP)
        await scene.add_canary(weight=10)
        cluster = Cluster(api.kubeconfig(tmp_path / "kubeconfig"), api.url, api)
        async with running(cluster, tmp_path, wait=False) as daemon:
            missing = await eventually(lambda: ready_line(daemon, "not installed"))
            status, answer = await daemon.alert(builders.webhook(builders.alert(SHOP)))

            assert missing == (
                "Rollback: not installed (rollbacks.pullback.dev/v1alpha1); install the chart's crds/\n"
            )
            assert (status, told(answer)) == (503, [("IGNORE", "cannot-know")])
            assert await scene.weights() == [100, 0]


async def ready_line(daemon: Daemon, words: str) -> str | None:
    status, line = await daemon.get("/readyz")
    assert status == 503
    return line if words in line else None


async def test_while_records_cannot_be_made_routes_go_to_zero_and_the_sender_comes_again(
    shop: Shop, tmp_path: Path
) -> None:
    shop.api.faults.fail(500, verb="create", resource="rollbacks", times=None)
    async with running(shop.cluster, tmp_path, web={"answer_within": 0.5}) as daemon:
        firing = builders.alert(SHOP)
        status, answer = await daemon.alert(builders.webhook(firing))
        assert (status, told(answer)) == (503, [("IGNORE", "cannot-know")])
        assert (await shop.scene.weights(), await shop.scene.records()) == ([100, 0], [])

        shop.api.faults.clear()
        await eventually(lambda: taken(daemon, firing))
        record = await shop.scene.record("Proved")
        assert record["spec"]["signal"]["fingerprint"] == firing["fingerprint"]


async def test_a_durable_record_is_answered_200_and_zero_comes_when_the_route_can_be_written(
    shop: Shop, tmp_path: Path
) -> None:
    struck = shop.api.faults.fail(500, verb="patch", resource="virtualservices", times=4)
    async with running(shop.cluster, tmp_path) as daemon:
        assert await answers(daemon, builders.alert(SHOP)) == (200, [("ROLL_BACK", "alert-fires")])
        record = await shop.scene.record("Proved")

    assert struck.hits == 4
    assert await shop.scene.weights() == [100, 0]
    assert record["status"]["weights"][0]["before"] == 10


FAULTS: dict[str, dict[str, Any]] = {
    "409": {"action": "status", "code": 409},
    "422 of a failed test": {"action": "status", "code": 422, "message":
                             "the server rejected our request due to an error in our request"},
    "422 of an admission": {"action": "status", "code": 422, "message": "VirtualService is invalid: for now"},
    "429 with Retry-After": {"action": "status", "code": 429, "retry_after": 0.3},
    "a lost answer": {"action": "lose"},
    "a reset": {"action": "reset"},
    "a slow answer": {"action": "slow", "seconds": 0.7},
    "no answer": {"action": "hang"},
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
async def test_whatever_the_route_write_meets_it_ends_at_zero(fault: str, shop: Shop, tmp_path: Path) -> None:
    from daemon.sandbox.kubernetes_api import Fault  # noqa: PLC0415

    struck = shop.api.faults.add(Fault(verb="patch", resource="virtualservices", times=2, **FAULTS[fault]))
    async with running(shop.cluster, tmp_path, kubernetes={"timeout": 0.4}) as daemon:
        assert await answers(daemon, builders.alert(SHOP)) == (200, [("ROLL_BACK", "alert-fires")])
        await shop.scene.record("Proved")

    assert struck.hits >= 1
    assert await shop.scene.weights() == [100, 0]


async def test_a_route_that_is_refused_for_good_pages_a_person_at_once_with_the_command(
    shop: Shop, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shop.api.faults.fail(403, "denied by policy", verb="patch", resource="virtualservices", times=None)
    async with running(shop.cluster, tmp_path) as daemon:
        assert await answers(daemon, builders.alert(SHOP)) == (200, [("ROLL_BACK", "alert-fires")])
        record = await shop.scene.record("Escalated")
        shop.api.faults.clear()
        await shop.scene.record("Proved")

    assert "denied by policy" in record["status"]["message"]
    assert "kubectl patch virtualservices.networking.istio.io podinfo -n shop" in capfd.readouterr().err


# -- while stopping


async def test_while_stopping_new_webhooks_are_sent_to_a_living_replica_and_reading_goes_on(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await scene.add_canary(weight=10)
    async with running(cluster, tmp_path, lifecycle={"linger": 0.5}) as daemon:
        daemon.lifecycle.stop()
        await eventually(lambda: ready_line_or_none(daemon))
        firing, _ = await daemon.alert(builders.webhook(builders.alert(scene.namespace)))
        hook, line = await daemon.hook("rollback", builders.hook(scene.namespace))
        event, _ = await daemon.hook("event", builders.hook(scene.namespace))
        healthy, _ = await daemon.get("/healthz")

    assert (firing, hook, line, event, healthy) == (503, 503, "shutting down\n", 200, 200)
    assert (await scene.weights(), await scene.records()) == ([90, 10], [])


async def ready_line_or_none(daemon: Daemon) -> bool:
    status, line = await daemon.get("/readyz")
    return (status, line) == (503, "shutting down\n")


async def test_the_write_that_is_running_when_it_stops_is_finished_and_answered(shop: Shop, tmp_path: Path) -> None:
    shop.api.faults.slow(0.4, verb="patch", resource="virtualservices", times=1)
    shop.api.faults.slow(0.4, verb="create", resource="rollbacks", times=1)
    async with running(shop.cluster, tmp_path) as daemon:
        asked = asyncio.create_task(daemon.alert(builders.webhook(builders.alert(SHOP))))
        await eventually(lambda: began_to_write(shop))
        daemon.lifecycle.stop()
        status, answer = await asked
        assert (status, told(answer)) == (200, [("ROLL_BACK", "alert-fires")])
    assert (await shop.scene.weights(), len(await shop.scene.records())) == ([100, 0], 1)


async def began_to_write(shop: Shop) -> bool:
    return bool(shop.api.requests.matching(verb="create", resource="rollbacks"))


async def test_a_vanished_canary_is_unmatched_as_soon_as_it_is_gone(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await scene.add_canary(weight=10)
    async with running(cluster, tmp_path) as daemon:
        await scene.delete(CANARIES, "podinfo")

        async def unmatched() -> bool:
            _, answer = await daemon.alert(builders.webhook(builders.alert(scene.namespace, status="resolved")))
            return told(answer) == [("IGNORE", "unmatched")]

        await eventually(unmatched)
