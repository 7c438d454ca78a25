"""What comes in at the door: each oddity with the answer that the contract gives, and never a 500."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import time
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
from tests.scene import CANARIES, DEPLOYMENTS, Scene

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


# -- the whole table of answers that ask for no act, and those around it

LONG_AGO = "2020-01-01T00:00:00Z"


def base(daemon: Daemon) -> yarl.URL:
    """Where it listens, for callers who have none of its credentials."""
    url = daemon.http._base_url
    assert url is not None
    return url


def told(answer: builders.Json) -> list[tuple[str, str]]:
    return [(one["verdict"], one["reason"]) for one in answer["alerts"]]


def without(alert: builders.Json, *labels: str) -> builders.Json:
    """The alert, less these labels."""
    return {**alert, "labels": {key: value for key, value in alert["labels"].items() if key not in labels}}


async def answers(daemon: Daemon, *alerts: Any) -> tuple[int, list[tuple[str, str]]]:
    status, answer = await daemon.alert(builders.webhook(*alerts))
    return status, told(answer)


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


async def test_phases_in_which_the_primary_changes_escalate_and_move_nothing(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await scene.add_canary(weight=100, phase="Promoting")
    async with running(cluster, tmp_path) as daemon:
        assert await answers(daemon, builders.alert(scene.namespace)) == (200, [("ESCALATE", "promotion-under-way")])
        record = await scene.record("Escalated")

        assert await scene.weights() == [0, 100]
        assert "no traffic is moved" in record["status"]["message"]


async def test_an_alert_as_large_as_is_allowed_becomes_durable(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    await scene.add_canary(weight=10)
    alert = builders.alert(scene.namespace)
    alert["labels"] |= {f"label_{number}": "ü" * 500 for number in range(200)}
    alert["annotations"] |= {f"note_{number}": "x" * 3000 for number in range(100)}
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

    def response_size(body: Any) -> int:
        return 2 * 1024 * 1024 if isinstance(body, io.BytesIO) else 1024 * 1024 + 1

    large = b" " * (2 * 1024 * 1024)
    async with running(cluster, tmp_path) as daemon:
        for path in ("/webhooks/alertmanager", "/webhooks/flagger/rollback"):
            for body in (io.BytesIO(large), chunks()):
                async with daemon.http.post(path, data=body) as response:
                    assert (response.status, await response.json()) == (413, {
                        "error": f"the body has {response_size(body)} bytes or more, at most 1048576 are accepted"
                    })  # fmt: skip
        assert (await daemon.alert(builders.webhook()))[0] == 200


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
    web = {"alertmanager": door, "flagger": door}
    async with (
        running(cluster, tmp_path, web=web, log=logged) as daemon,
        aiohttp.ClientSession(base(daemon)) as stranger,
    ):
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
    assert by_token == {"": 401, "wrong-token": 401, TOKEN: 403, "open sesame": 403}
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
        ("PROPFIND", "/webhooks/alertmanager"): 405,
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
    assert "PROPFIND" not in metrics
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
    told_of_stopping: list[str] = []
    async with running(cluster, tmp_path) as daemon:
        connection = spoken(daemon)
        _, writer = await connection.__aenter__()
        writer.write(
            f"POST /webhooks/alertmanager HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
            'Content-Length: 100\r\n\r\n{"version":'.encode()
        )
        await writer.drain()
        await daemon.get("/healthz")  # by now the other one is being read
        daemon.lifecycle._tell = lambda name, what: told_of_stopping.append(f"{name}: {what}")
        began = time.monotonic()
    took = time.monotonic() - began
    await connection.__aexit__()

    assert told_of_stopping == []
    assert took < 4


async def test_more_open_connections_than_allowed_break_nobody_elses(cluster: Cluster, tmp_path: Path) -> None:
    async with running(cluster, tmp_path, web={"connections": 10, "keep_alive": 0.5}) as daemon:
        assert (await daemon.get("/healthz"))[0] == 200
        async with aiohttp.ClientSession(base(daemon)) as kept:
            async with kept.get("/healthz") as response:
                assert response.status == 200
            silent = [await asyncio.open_connection("127.0.0.1", base(daemon).port) for _ in range(30)]
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
        reader, self._writer = await asyncio.open_connection("127.0.0.1", base(self._daemon).port)
        return reader, self._writer

    async def __aexit__(self, *_: object) -> None:
        assert self._writer is not None
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


async def test_until_the_world_has_been_seen_nothing_is_judged(
    shop: tuple[Cluster, Scene, KubernetesApi], tmp_path: Path
) -> None:
    hanging = shop[2].faults.hang(verb="list", resource="canaries", times=None)
    async with running(shop[0], tmp_path, wait=False) as daemon:
        firing = builders.alert(NAMESPACE)
        given = await daemon.alert(builders.webhook(firing))
        watchdog = await answers(daemon, builders.alert(NAMESPACE, alertname="Watchdog"))
        ready = await daemon.get("/readyz")
        gate = await daemon.hook("confirm-traffic-increase", builders.hook(NAMESPACE))

        assert (given[0], told(given[1])) == (503, [("IGNORE", "cannot-know")])
        assert given[1]["alerts"][0]["retry"] is True
        assert watchdog == (200, [("IGNORE", "heartbeat")])
        assert (ready[0], gate[0]) == (503, 403)
        assert await shop[1].weights() == [75, 25]

        shop[2].faults.remove(hanging)
        shop[2].faults.release()
        await eventually(lambda: taken(daemon, firing))
        assert (await shop[1].weights(), len(await shop[1].records())) == ([100, 0], 1)


async def taken(daemon: Daemon, alert: builders.Json) -> bool:
    """As Alertmanager sends again: 5xx only."""
    status, _ = await daemon.alert(builders.webhook(alert))
    assert status in {200, 503}
    return status == 200


async def test_a_durable_record_is_answered_200_and_zero_comes_when_the_route_can_be_written(
    shop: tuple[Cluster, Scene, KubernetesApi], tmp_path: Path
) -> None:
    struck = shop[2].faults.fail(500, verb="patch", resource="virtualservices", times=4)
    async with running(shop[0], tmp_path) as daemon:
        assert await answers(daemon, builders.alert(NAMESPACE)) == (200, [("ROLL_BACK", "alert-fires")])
        record = await shop[1].record("Proved")

    assert struck.hits == 4
    assert await shop[1].weights() == [100, 0]
    assert record["status"]["weights"][0]["before"] == 25


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
async def test_whatever_the_route_write_meets_it_ends_at_zero(
    fault: str, shop: tuple[Cluster, Scene, KubernetesApi], tmp_path: Path
) -> None:
    struck = shop[2].faults.add(Fault(verb="patch", resource="virtualservices", times=2, **FAULTS[fault]))
    async with running(shop[0], tmp_path, kubernetes={"timeout": 0.4}) as daemon:
        assert await answers(daemon, builders.alert(NAMESPACE)) == (200, [("ROLL_BACK", "alert-fires")])
        await shop[1].record("Proved")

    assert struck.hits >= 1
    assert await shop[1].weights() == [100, 0]


async def test_a_route_that_is_refused_for_good_pages_a_person_at_once_with_the_command(
    shop: tuple[Cluster, Scene, KubernetesApi], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shop[2].faults.fail(403, "denied by policy", verb="patch", resource="virtualservices", times=None)
    async with running(shop[0], tmp_path) as daemon:
        assert await answers(daemon, builders.alert(NAMESPACE)) == (200, [("ROLL_BACK", "alert-fires")])
        record = await shop[1].record("Escalated")
        shop[2].faults.clear()
        await shop[1].record("Proved")

    assert "denied by policy" in record["status"]["message"]
    assert "kubectl patch virtualservices.networking.istio.io podinfo -n shop" in capfd.readouterr().err


async def test_the_write_that_is_running_when_it_stops_is_finished_and_answered(
    shop: tuple[Cluster, Scene, KubernetesApi], tmp_path: Path
) -> None:
    shop[2].faults.slow(0.4, verb="patch", resource="virtualservices", times=1)
    shop[2].faults.slow(0.4, verb="create", resource="rollbacks", times=1)
    async with running(shop[0], tmp_path) as daemon:
        asked = asyncio.create_task(daemon.alert(builders.webhook(builders.alert(NAMESPACE))))
        await eventually(lambda: began_to_write(shop))
        daemon.lifecycle.stop()
        status, answer = await asked
        assert (status, told(answer)) == (200, [("ROLL_BACK", "alert-fires")])
    assert (await shop[1].weights(), len(await shop[1].records())) == ([100, 0], 1)


async def began_to_write(shop: tuple[Cluster, Scene, KubernetesApi]) -> bool:
    return bool(shop[2].requests.matching(verb="create", resource="rollbacks"))


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


async def test_where_the_routes_cannot_be_written_the_answer_says_whose_clock_counts(
    cluster: Cluster, scene: Scene, tmp_path: Path
) -> None:
    await scene.create(DEPLOYMENTS, builders.deployment(scene.namespace))
    await scene.create(CANARIES, builders.canary(scene.namespace, provider="appmesh:v1beta2"))
    await scene.set_status()
    said = "routes of appmesh:v1beta2 cannot be written here, so Flagger rolls it back at its next look (every 10s)"
    async with running(cluster, tmp_path) as daemon:
        _, answer = await daemon.alert(builders.webhook(builders.alert(scene.namespace)))
        assert answer["alerts"][0]["detail"] == f"CanaryHighErrorRate fires; {said}"
        assert (await scene.record())["spec"]["reason"] == f"alert-fires: CanaryHighErrorRate; {said}"
        status, body = await daemon.hook("rollback", builders.hook(scene.namespace))
        assert status == 200
        assert said in body
        # Flagger gives it up, and its pods go: that is all the proof there can be.
        gone = {"observedGeneration": 1, "replicas": 0, "readyReplicas": 0}
        await scene.merge(DEPLOYMENTS, "podinfo", {"spec": {"replicas": 0}})
        await scene.merge(DEPLOYMENTS, "podinfo/status", {"status": gone})
        await scene.set_status(phase="Failed", weight=0)
        record = await scene.record("Completed")
        assert any("has had no pods" in one for one in record["status"]["proof"])
