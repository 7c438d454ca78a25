"""``pullback drill`` against a daemon and an Alertmanager that sends on, or does not: every broken link is named."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from daemon.drill import objects
from daemon.drill.running import Wish
from daemon.drill.running import drill as run_drill
from tests import builders, recorders
from tests.builders import Json
from tests.cluster import Cluster
from tests.commands import Pullback
from tests.component.alertmanagers import StubAlertmanager
from tests.running import Daemon, configuration, eventually, running
from tests.scene import CANARIES, DEPLOYMENTS, ROLLBACKS, ROUTES, Scene

MADE = (CANARIES, DEPLOYMENTS, ROUTES)


@dataclass(frozen=True, slots=True)
class Lab:
    """One namespace, and the command for it."""

    cluster: Cluster
    scene: Scene
    alertmanager: StubAlertmanager
    pullback: Pullback

    async def drill(self, *more: str, timeout: str = "6s", output: str = "json") -> tuple[int, Any, str]:
        code, out, err = await self.pullback(
            "drill", "-n", self.scene.namespace, "--alertmanager-url", self.alertmanager.url, "--timeout", timeout,
            "-o", output, *more,
        )  # fmt: skip
        return code, json.loads(out) if out and output == "json" else out, err

    async def broken(self, link: str, *more: str, timeout: str = "3s") -> str:
        """Why; nothing is left but a record of the failure."""
        code, said, _ = await self.drill(*more, timeout=timeout)  # the daemon logs beside it
        assert (code, said["outcome"], said["brokenLink"]) == (1, "failed", link), said
        assert await self.left() == []
        record = await self.scene.get(ROLLBACKS, said["record"])
        assert (record["spec"]["drill"], record["status"]["drill"]["outcome"]) == (True, "Failed")
        assert record["status"]["drill"]["message"] == f"{link}: {said['problem']}"
        return str(said["problem"])

    async def left(self) -> list[str]:
        found = []
        for collection in MADE:
            async with self.scene.http.get(collection.format(self.scene.namespace)) as response:
                names = [one["metadata"]["name"] for one in (await response.json())["items"]]
                found += [name for name in names if name == objects.NAME]
        return found

    @property
    def faults(self) -> Any:
        if self.cluster.emulator is None:
            pytest.skip("needs faults")
        return self.cluster.emulator.faults


@pytest.fixture
async def lab(cluster: Cluster, scene: Scene, pullback: Pullback) -> AsyncIterator[Lab]:
    async with StubAlertmanager() as alertmanager:
        yield Lab(cluster, scene, alertmanager, pullback)


@contextlib.asynccontextmanager
async def chain(lab: Lab, tmp_path: Path, **groups: Any) -> AsyncIterator[Daemon]:
    """A daemon that gets what Alertmanager sends."""
    groups.setdefault("kubernetes", {"namespaces": [lab.scene.namespace]})
    async with running(lab.cluster, tmp_path, **groups) as daemon:
        lab.alertmanager.daemon = daemon
        yield daemon
        lab.alertmanager.daemon = None


# -- it works


async def test_a_drill_goes_through_the_whole_chain_and_leaves_a_record_and_nothing_else(
    lab: Lab, tmp_path: Path
) -> None:
    pager = recorders.RecordingPagerDuty()
    async with pager, chain(lab, tmp_path, notices=channels(tmp_path, pager)) as daemon:
        code, said, err = await lab.drill()
        assert (code, err, said["outcome"], said["brokenLink"], said["left"]) == (0, "", "passed", None, []), said
        assert [one["clock"] for one in said["clocks"]] == [
            "posted", "received", "decided", "zeroed", "proved", "completed",
        ]  # fmt: skip
        print({one["clock"]: one["sincePosted"] for one in said["clocks"]})
        assert await lab.left() == []
        record = await lab.scene.record("Completed")
        assert record["metadata"]["name"] == said["record"] == f"{objects.NAME}-{said['drill']}"
        assert (record["spec"]["drill"], record["spec"]["dryRun"], record["spec"]["trigger"]) == (True, False, "Alert")
        assert record["status"]["drill"]["outcome"] == "Passed"
        assert [one["before"] for one in record["status"]["weights"]] == [50]

        async def shown() -> bool:
            _, metrics = await daemon.get("/metrics")
            return 'pullback_last_drill_timestamp_seconds{outcome="passed"}' in metrics

        await eventually(shown)
        assert pager.events == []
        # It is over at Alertmanager too.
        assert len({alert["endsAt"] for alert in lab.alertmanager.told.values()}) == 1
        assert [one.answer["alerts"][0]["reason"] for one in lab.alertmanager.sent] == [
            "alert-fires", "resolved-never-undoes",
        ]  # fmt: skip


def channels(folder: Path, pager: recorders.RecordingPagerDuty) -> Json:
    key = folder / "routing-key"
    key.write_text(recorders.ROUTING_KEY)
    return {"channels": {
        "events": {"kind": "kubernetes-events"},
        "pager": {"kind": "pagerduty", "routing_key_file": str(key), "url": pager.url},
    }}  # fmt: skip


async def test_drill_after_drill(lab: Lab, tmp_path: Path) -> None:
    async with chain(lab, tmp_path):
        for _ in range(3):
            code, said, _ = await lab.drill()
            assert code == 0, said
    assert len(await lab.scene.records()) == 3
    async with lab.scene.http.get(
        f"/apis/pullback.dev/v1alpha1/namespaces/{lab.scene.namespace}/canaryrevisions"
    ) as response:
        revisions = (await response.json())["items"]
    assert len(revisions) <= 1, "every drill would leave one for ever"


async def test_people_read_where_the_time_went(lab: Lab, tmp_path: Path) -> None:
    async with chain(lab, tmp_path):
        code, out, err = await lab.drill(output="table")
    lines = out.splitlines()
    assert (code, err, lines[0]) == (0, "", f"drill with {lab.scene.namespace}/{objects.NAME}: passed")
    assert [line.split("  ")[1] for line in lines[1:7]] == [
        "alert posted", "webhook received", "decided", "weight 0 on the route", "proved", "completed",
    ]  # fmt: skip


async def test_what_is_kept_is_removed_by_the_next_drill(lab: Lab, tmp_path: Path) -> None:
    async with chain(lab, tmp_path):
        code, said, _ = await lab.drill("--keep")
        assert (code, said["left"]) == (0, [f"{kind} {objects.NAME}" for kind in
                                           ("Canary", "Deployment", "VirtualService")])  # fmt: skip
        assert await lab.left() == [objects.NAME] * 3
        code, out, err = await lab.drill()
        assert (code, out, "a drill is under way" in err) == (1, "", True), "it could be somebody else's"
        past = {"metadata": {"annotations": {objects.UNTIL: "2026-01-01T00:00:00Z"}}}
        await lab.scene.merge(CANARIES, objects.NAME, past)
        assert (await lab.drill())[0] == 0
        assert await lab.left() == []


async def test_what_is_nobodys_leftover_is_not_touched(lab: Lab) -> None:
    await lab.scene.add_canary(objects.NAME)
    code, out, err = await lab.drill()
    assert (code, out, "is none that this drill made" in err) == (1, "", True)
    assert await lab.left() == [objects.NAME] * 3
    assert lab.alertmanager.told == {}


# -- shadow


async def test_a_shadow_drill_does_everything_but_the_write(lab: Lab, tmp_path: Path) -> None:
    await lab.scene.add_canary(weight=25)
    before = await lab.scene.get(ROUTES, "podinfo")
    async with chain(lab, tmp_path):
        code, said, err = await lab.drill("--shadow", "podinfo")
        assert (code, err, said["shadow"]) == (0, "", True), said
        record = await lab.scene.record("DryRun")
        assert (record["spec"]["dryRun"], record["spec"]["drill"]) == (True, True)
        assert record["status"]["drill"]["outcome"] == "Passed"
        assert "25% -> 0%" in record["status"]["message"]
        assert await lab.scene.get(ROUTES, "podinfo") == before
        # The real one after it does write.
        assert lab.alertmanager.daemon is not None
        status, _ = await lab.alertmanager.daemon.alert(builders.webhook(builders.alert(lab.scene.namespace)))
        assert (status, await lab.scene.weights()) == (200, [100, 0])


@pytest.mark.parametrize(("phase", "said"), [
    ("Succeeded", "is not under analysis (phase Succeeded)"), (None, "no canary podinfo in namespace"),
])  # fmt: skip
async def test_a_shadow_drill_needs_a_release_that_is_under_way(phase: str | None, said: str, lab: Lab) -> None:
    if phase is not None:
        await lab.scene.add_canary(phase=phase)
    code, out, err = await lab.drill("--shadow", "podinfo")
    assert (code, out, said in err) == (1, "", True), err
    assert lab.alertmanager.told == {}


# -- every broken link


async def test_no_daemon(lab: Lab) -> None:
    assert "no Pullback has taken notice of the canary" in await lab.broken("daemon")
    assert lab.alertmanager.told == {}


async def test_an_alertmanager_that_cannot_be_reached(lab: Lab, tmp_path: Path) -> None:
    async with chain(lab, tmp_path):
        lab.alertmanager.fail(recorders.status(503), recorders.status(503))
        assert "HTTP 503" in await lab.broken("alertmanager")


async def test_no_route_to_pullback(lab: Lab, tmp_path: Path) -> None:
    async with chain(lab, tmp_path) as daemon:
        lab.alertmanager.daemon = None
        problem = await lab.broken("webhook")
        assert "there it goes to the receivers: nobody" in problem
        assert "amtool config routes test alertname=PullbackDrill severity=critical" in problem

        async def shown() -> bool:
            _, metrics = await daemon.get("/metrics")
            return 'pullback_last_drill_timestamp_seconds{outcome="failed"}' in metrics

        await eventually(shown)


async def test_a_policy_that_ignores_it(lab: Lab, tmp_path: Path) -> None:
    rules = [{"match": ['alertname=~"Canary.+"'], "act": "rollback"}]
    async with chain(lab, tmp_path, policy={"rules": rules}):
        problem = await lab.broken("judgement")
    assert "ignored the alert: no-rule-matches: no rule of policy.rules matches" in problem


async def test_no_permission_to_write_the_route(lab: Lab, tmp_path: Path) -> None:
    faults = lab.faults
    faults.fail(403, "pullback may not patch", verb="patch", resource="virtualservices", times=None)
    async with chain(lab, tmp_path):
        problem = await lab.broken("write")
    assert f"`patch virtualservices.networking.istio.io` in namespace {lab.scene.namespace}" in problem
    assert "HTTP 403" in problem
    assert "pullback may not patch" in problem


async def test_no_permission_to_make_the_record(lab: Lab, tmp_path: Path) -> None:
    faults = lab.faults
    async with chain(lab, tmp_path):
        faults.fail(403, verb="create", resource="rollbacks", times=None)
        code, said, _ = await lab.drill(timeout="3s")
    assert (code, said["brokenLink"]) == (1, "record")
    assert "may the daemon create rollbacks.pullback.dev" in said["problem"]
    assert "no record of this drill could be written" in said["left"][0]
    assert await lab.left() == []


async def test_a_daemon_that_only_rehearses(lab: Lab, tmp_path: Path) -> None:
    async with chain(lab, tmp_path, rollback={"dry_run": True}):
        assert "only rehearses (rollback.dry_run)" in await lab.broken("write")


async def test_what_is_not_proved(lab: Lab, tmp_path: Path) -> None:
    proof = {"prometheus_url": "http://127.0.0.1:9", "read_back": 0.05, "window": 0.2}
    async with chain(lab, tmp_path, proof=proof):
        assert "not proved within the time" in await lab.broken("proof")
    record = next(one for one in await lab.scene.records() if one["status"].get("zeroedAt"))
    assert record["spec"]["dryRun"] is False


async def test_whoever_drills_without_the_permissions_for_it(lab: Lab) -> None:
    lab.faults.fail(403, verb="create", resource="virtualservices", times=None)
    assert "the drill's own canary cannot be made" in await lab.broken("setup")


async def test_a_webhook_that_comes_too_late(lab: Lab, tmp_path: Path) -> None:
    lab.alertmanager.delay = 1.0
    async with chain(lab, tmp_path, proof={"window": 1.2, "read_back": 0.05}):
        problem = await lab.broken("proof", timeout="2.1s")
    assert "not proved within the time" in problem


async def test_it_has_to_be_said_where_alertmanager_is(lab: Lab) -> None:
    code, out, err = await lab.pullback("drill", "-n", lab.scene.namespace)
    assert (code, out, "--alertmanager-url" in err) == (2, "", True)


# -- stopped


async def test_a_drill_that_is_stopped_cleans_up_and_says_so(lab: Lab, tmp_path: Path) -> None:
    async with chain(lab, tmp_path, proof={"window": 60}):
        configured = configuration(lab.cluster.kubeconfig, tmp_path)
        wish = Wish(lab.scene.namespace, "", (lab.alertmanager.url,), 30.0, keep=False)
        task = asyncio.create_task(run_drill(configured, wish))
        await lab.scene.record("Zeroed")
        assert await lab.left() == [objects.NAME] * 3
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await lab.left() == []
        record = await lab.scene.record()
        assert record["status"]["drill"]["message"] == "interrupted: the drill was stopped before its end"


@pytest.mark.parametrize("verb", ["create", "list", "get", "patch", "delete"])
@pytest.mark.parametrize("resource", ["canaries", "deployments", "virtualservices", "rollbacks"])
async def test_whatever_answer_is_lost_nothing_is_left(verb: str, resource: str, lab: Lab, tmp_path: Path) -> None:
    """What was asked for is done, and nobody hears of it."""
    async with chain(lab, tmp_path):
        lab.faults.lose_response(verb=verb, resource=resource, namespace=lab.scene.namespace)
        await lab.drill(timeout="4s")
        lab.faults.clear()
        assert await lab.left() == []
