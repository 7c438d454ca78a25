"""The release in step whatever breaks on the way: cut between the two writes, refused, raced, or never answered."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from daemon.sandbox.kubernetes_api import KubernetesApi
from tests import builders
from tests.builders import Json
from tests.cluster import CRDS, TEST_NAMESPACE, Cluster
from tests.component.helm_lab import RELEASE, SECRETS, follow_up, packed, revisions, states, stored, unpacked
from tests.running import Daemon, eventually, running
from tests.scene import ROLLBACKS, Scene

DONE = [("superseded", "superseded", 25), ("deployed", "deployed", 0)]


@dataclass(frozen=True, slots=True)
class Lab:
    """A canary at 25% in a cluster that takes faults."""

    api: KubernetesApi
    cluster: Cluster
    scene: Scene
    folder: Path

    @contextlib.asynccontextmanager
    async def daemon(self, *, lease: str = "pullback", **changes: Any) -> AsyncIterator[Daemon]:
        follow_ups: Json = {"helm": {f"{TEST_NAMESPACE}/podinfo": {"release": RELEASE}}, **changes}
        leads: Json = {"namespace": "default", "name": lease, "duration": 1.5, "renew_deadline": 1.0, "retry": 0.2}
        async with running(self.cluster, self.folder, follow_ups=follow_ups, lease=leads) as daemon:
            yield daemon

    async def fire(self, daemon: Daemon) -> None:
        status, answer = await daemon.alert(builders.webhook(builders.alert(self.scene.namespace)))
        assert (status, answer["alerts"][0]["verdict"]) == (200, "ROLL_BACK"), answer

    def calls(self, verb: str) -> int:
        """How often Secrets were asked for."""
        return len([one for one in self.api.requests if (one.resource, one.verb) == ("secrets", verb)])


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with KubernetesApi(CRDS, [TEST_NAMESPACE]) as api:
        cluster = Cluster(api.kubeconfig(tmp_path / "kubeconfig"), api.url, api)
        async with cluster.session() as http:
            scene = Scene(http, TEST_NAMESPACE)
            await scene.add_canary(weight=25)
            yield Lab(api, cluster, scene, tmp_path)


async def release(lab: Lab, *weights: tuple[str, Any]) -> None:
    """One revision for each status and weight."""
    for number, (status, weight) in enumerate(weights, start=1):
        await lab.scene.create(SECRETS, stored(TEST_NAMESPACE, number, status, weight))


async def test_cut_off_after_the_first_write_the_second_follows_and_nothing_is_written_twice(lab: Lab) -> None:
    await release(lab, ("deployed", 25))
    lab.api.faults.fail(503, verb="patch", resource="secrets", times=1)
    async with lab.daemon() as daemon:
        await lab.fire(daemon)
        await follow_up(lab.scene, "Pending", "HTTP 503")
        # As a crash there would leave it: Helm goes by the newer of the two.
        assert await states(lab.scene) == [("deployed", "deployed", 25), ("deployed", "deployed", 0)]
        await follow_up(lab.scene, "Done")
    assert await states(lab.scene) == DONE


async def test_another_leader_ends_what_the_first_one_began(lab: Lab) -> None:
    await release(lab, ("deployed", 25))
    lab.api.faults.fail(503, verb="patch", resource="secrets", times=None)
    async with lab.daemon() as daemon:
        await lab.fire(daemon)
        await follow_up(lab.scene, "Pending", "HTTP 503")
    lab.api.faults.clear()
    async with lab.daemon():
        await follow_up(lab.scene, "Done")
    assert await states(lab.scene) == DONE


async def test_an_answer_that_was_lost_is_no_reason_to_write_again(lab: Lab) -> None:
    await release(lab, ("deployed", 25))
    lab.api.faults.lose_response(verb="create", resource="secrets")
    lab.api.faults.lose_response(verb="patch", resource="secrets")
    async with lab.daemon() as daemon:
        await lab.fire(daemon)
        await follow_up(lab.scene, "Done")
    assert await states(lab.scene) == DONE
    assert lab.calls("create") == 2  # the test's own, and one


async def test_two_leaders_at_once_write_one_revision(lab: Lab) -> None:
    await release(lab, ("deployed", 25))
    lab.api.faults.slow(0.2, verb="list", resource="secrets", times=2)  # both have looked before either writes
    async with lab.daemon(lease="one") as first, lab.daemon(lease="two"):
        await lab.fire(first)
        await follow_up(lab.scene, "Done")
    assert await states(lab.scene) == DONE
    assert lab.calls("create") >= 2


async def test_somebody_who_upgrades_between_our_look_and_our_write_wins(lab: Lab) -> None:
    await release(lab, ("deployed", 25))
    held = lab.api.faults.slow(0.5, verb="create", resource="secrets", times=1)
    async with lab.daemon() as daemon:
        await lab.fire(daemon)

        async def about_to_write() -> bool:
            return held.hits == 1

        await eventually(about_to_write)
        # Theirs is there first, and is the next revision.
        lab.api.create(stored(TEST_NAMESPACE, 2, "pending-upgrade", 50))
        await follow_up(lab.scene, "Pending", "revision 2 of test/summit is pending-upgrade")
        theirs = (await revisions(lab.scene))[1]
        body = unpacked(theirs)
        body["info"]["status"] = "deployed"
        name = theirs["metadata"]["name"]
        upgraded: Json = {"metadata": {"labels": {"status": "deployed"}}, "data": {"release": packed(body)}}
        await lab.scene.merge(SECRETS, name, upgraded)
        await follow_up(lab.scene, "Done")
    found = await states(lab.scene)
    assert [one[2] for one in found] == [25, 50, 0]
    assert [one[0] for one in found] == ["superseded", "superseded", "deployed"]


async def _released(daemon: Daemon) -> bool:
    """The daemon has had its say about what it was told: nothing of the rollback is left in it."""
    _, told = await daemon.get("/api/v1/rollbacks")
    _, metrics = await daemon.get("/metrics")
    return '"rollbacks": []' in told and "pullback_rollbacks_in_progress 0.0" in metrics


async def test_a_person_who_lifts_the_hold_meanwhile_keeps_the_release_as_it_is(lab: Lab) -> None:
    await release(lab, ("deployed", 25))
    held = lab.api.faults.slow(0.5, verb="list", resource="secrets", times=1)
    async with lab.daemon() as daemon:
        await lab.fire(daemon)

        async def looking() -> bool:
            return held.hits == 1

        await eventually(looking)
        (record,) = await lab.scene.records()
        await lab.scene.delete(ROLLBACKS, record["metadata"]["name"])

        async def answered() -> bool:
            asked = [one for one in lab.api.requests if (one.resource, one.verb) == ("secrets", "list")]
            return bool(asked) and asked[0].status == 200

        await eventually(answered)
        await eventually(lambda: _released(daemon))
    assert lab.calls("create") == 1  # the test's own
    assert await states(lab.scene) == [("deployed", "deployed", 25)]


async def test_two_canaries_of_one_release_each_have_their_own_value_at_zero(lab: Lab) -> None:
    document = stored(TEST_NAMESPACE, 1, "deployed", 25)
    body = unpacked(document)
    body["config"] |= {"other": {"weight": "5"}}
    await lab.scene.create(SECRETS, document | {"data": {"release": packed(body)}})
    await lab.scene.add_canary("other", weight=5)
    lab.api.faults.slow(0.2, verb="list", resource="secrets", times=2)  # both have looked before either writes
    tracked: Json = {
        f"{TEST_NAMESPACE}/podinfo": {"release": RELEASE},
        f"{TEST_NAMESPACE}/other": {"release": RELEASE, "weight_value": "other.weight"},
    }
    async with lab.daemon(helm=tracked) as daemon:
        told = [builders.alert(TEST_NAMESPACE), builders.alert(TEST_NAMESPACE, "other", fingerprint="b")]
        status, _ = await daemon.alert(builders.webhook(*told))
        assert status == 200

        async def done() -> bool:
            found = [one.get("status", {}).get("followUps", []) for one in await lab.scene.records()]
            return [one[0]["state"] for one in found if one] == ["Done", "Done"]

        await eventually(done)
    statuses = [status for status, _, _ in await states(lab.scene)]
    assert statuses == ["superseded", "superseded", "deployed"]
    assert unpacked((await revisions(lab.scene))[-1])["config"] == {"canary": {"weight": 0}, "other": {"weight": "0"}}


async def test_of_several_revisions_in_force_the_newest_counts_and_one_is_left(lab: Lab) -> None:
    await release(lab, ("deployed", 0), ("deployed", 25), ("failed", 50))
    async with lab.daemon() as daemon:
        await lab.fire(daemon)
        await follow_up(lab.scene, "Done")
    assert await states(lab.scene) == [
        ("superseded", "superseded", 0), ("superseded", "superseded", 25), ("failed", "failed", 50),
        ("deployed", "deployed", 0),
    ]  # fmt: skip


async def test_without_permission_it_says_which_role_is_missing_and_is_given_up_in_the_end(lab: Lab) -> None:
    await release(lab, ("deployed", 25))
    lab.api.faults.fail(403, "secrets is forbidden", verb="list", resource="secrets", times=None)
    async with lab.daemon(give_up_after=1.5) as daemon:
        await lab.fire(daemon)
        pending = await follow_up(lab.scene, "Pending", "helm.namespaces")
        assert "may not read and write Secrets in namespace test" in pending["detail"]
        failed = await follow_up(lab.scene, "Failed", "given up: may not read")
        tries = lab.calls("list")
        record = await lab.scene.record("Proved")
    assert failed["detail"].endswith("helm upgrade summit CHART -n test --reuse-values --set canary.weight=0")
    assert record["status"]["secondsToZero"] < 2
    assert tries < 8
    lab.api.faults.clear()
    async with lab.daemon(give_up_after=1.5) as daemon:
        await daemon.get("/readyz")
        assert await states(lab.scene) == [("deployed", "deployed", 25)]


async def test_an_api_server_that_never_answers_for_secrets_holds_up_nothing(lab: Lab) -> None:
    await release(lab, ("deployed", 25))
    lab.api.faults.hang(verb="list", resource="secrets", times=None)
    async with lab.daemon(timeout=0.3, give_up_after=0.1) as daemon:
        await lab.fire(daemon)
        await lab.scene.record("Proved")
        await lab.scene.set_status("podinfo", "Failed", weight=0)
        record = await lab.scene.record("Completed")
        await follow_up(lab.scene, "Failed", "not brought in step within 0.3 s")
    lab.api.faults.clear()
    assert record["status"]["secondsToZero"] < 2
    assert await states(lab.scene) == [("deployed", "deployed", 25)]


async def test_a_secret_that_no_helm_has_written_is_left_as_it_is(lab: Lab) -> None:
    document = stored(TEST_NAMESPACE, 1, "deployed", 25) | {"data": {"release": "bm90aGluZw=="}}
    await lab.scene.create(SECRETS, document)
    async with lab.daemon(give_up_after=0.1) as daemon:
        await lab.fire(daemon)
        await follow_up(lab.scene, "Failed", "no release that Helm could have written")
    assert [one["data"] for one in await revisions(lab.scene)] == [document["data"]]


async def test_a_rollback_that_is_only_rehearsed_leaves_the_release_alone(lab: Lab) -> None:
    await release(lab, ("deployed", 25))
    follow_ups: Json = {"helm": {f"{TEST_NAMESPACE}/podinfo": {"release": RELEASE}}}
    async with running(lab.cluster, lab.folder, follow_ups=follow_ups, rollback={"dry_run": True}) as daemon:
        await lab.fire(daemon)
        record = await lab.scene.record("DryRun")
    assert "followUps" not in record["status"]
    assert lab.calls("list") == 0
    assert await states(lab.scene) == [("deployed", "deployed", 25)]
