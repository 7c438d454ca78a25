"""What is watched: kinds that are not there yet, older versions of them, and one namespace only."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from daemon.sandbox.kubernetes_api import KubernetesApi
from tests import builders
from tests.cluster import CRDS, Cluster
from tests.running import Daemon, eventually, running
from tests.scene import CANARIES, DEPLOYMENTS, ROLLBACKS, Scene

NAMESPACE = "shop"
ISTIO = CRDS[0] / "virtualservices.networking.istio.io.yaml"
FLAGGER = CRDS[0] / "canaries.flagger.app.yaml"
V1BETA1 = "/apis/networking.istio.io/v1beta1/namespaces/{}/virtualservices"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def only_v1beta1(folder: Path) -> Path:
    """The definition as clusters with an older Istio have it."""
    definition = copy.deepcopy(yaml.safe_load(ISTIO.read_text("utf-8")))
    versions: list[dict[str, Any]] = definition["spec"]["versions"]
    definition["spec"]["versions"] = [one | {"storage": True} for one in versions if one["name"] == "v1beta1"]
    path = folder / "virtualservices.yaml"
    path.write_text(yaml.safe_dump(definition), "utf-8")
    return path


async def weights(scene: Scene) -> list[int]:
    route = await scene.get(V1BETA1, "podinfo")
    return [one["weight"] for one in route["spec"]["http"][0]["route"]]


async def test_an_istio_that_serves_v1beta1_only_is_rolled_back_too(tmp_path: Path) -> None:
    async with (
        KubernetesApi([only_v1beta1(tmp_path), FLAGGER, CRDS[1]], [NAMESPACE]) as api,
        aiohttp.ClientSession(api.url) as http,
    ):
        scene = Scene(http, NAMESPACE)
        await scene.create(DEPLOYMENTS, builders.deployment(NAMESPACE))
        route = builders.virtual_service(NAMESPACE) | {"apiVersion": "networking.istio.io/v1beta1"}
        await scene.create(V1BETA1, route)
        await scene.create(CANARIES, builders.canary(NAMESPACE))
        await scene.set_status()
        cluster = Cluster(api.kubeconfig(tmp_path / "kubeconfig"), api.url, api)
        async with running(cluster, tmp_path) as daemon:
            status, answer = await daemon.alert(builders.webhook(builders.alert(NAMESPACE)))

            assert (status, answer["alerts"][0]["verdict"]) == (200, "ROLL_BACK")
            assert await weights(scene) == [100, 0]
            await scene.record("Proved")


async def test_a_kind_that_is_missing_is_said_once_and_found_when_it_comes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with KubernetesApi([ISTIO, CRDS[1]], [NAMESPACE]) as api, aiohttp.ClientSession(api.url) as http:
        cluster = Cluster(api.kubeconfig(tmp_path / "kubeconfig"), api.url, api)
        log = {"level": "info", "format": "json"}
        async with running(cluster, tmp_path, log=log) as daemon:  # ready: there are no canaries, and that is known
            alert = builders.webhook(builders.alert(NAMESPACE))
            assert (await daemon.alert(alert))[1]["alerts"][0]["reason"] == "unmatched"
            api.requests.clear()
            definition = yaml.safe_load(FLAGGER.read_text("utf-8"))
            async with http.post(DEFINITIONS, json=definition) as response:
                assert response.status == 201
            await Scene(http, NAMESPACE).add_canary()

            async def found() -> bool:
                return bool((await daemon.alert(alert))[1]["alerts"][0]["verdict"] == "ROLL_BACK")

            await eventually(found)
        absent = [line for line in capfd.readouterr().err.splitlines() if "absent" in line and "canaries" in line]
        assert len(absent) == 1
        assert len(api.requests.matching(verb="list", resource="canaries")) < 40  # looked for, not hammered


async def test_only_the_named_namespaces_are_watched(cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    await scene.add_canary()
    alert = builders.webhook(builders.alert(scene.namespace))
    async with running(cluster, tmp_path, kubernetes={"namespaces": ["test"]}) as daemon:
        assert (await judged(daemon, alert)) == "unmatched"
    async with running(cluster, tmp_path, kubernetes={"namespaces": ["test", scene.namespace]}) as daemon:
        assert (await judged(daemon, alert)) == "alert-fires"
        await scene.record("Proved")


async def judged(daemon: Daemon, alert: builders.Json) -> str:
    status, answer = await daemon.alert(alert)
    assert status == 200
    return str(answer["alerts"][0]["reason"])


@pytest.mark.parametrize("before", ['{"weights":[1]}', '{"weights":[{"before":"x"}]}', '{"originals":5}', "[]", "{"])
async def test_a_garbled_record_ends_nothing(before: str, cluster: Cluster, scene: Scene, tmp_path: Path) -> None:
    await scene.add_canary()
    garbled = {
        "apiVersion": "pullback.dev/v1alpha1",
        "kind": "Rollback",
        "metadata": {
            "namespace": scene.namespace,
            "name": "garbled",
            "annotations": {"pullback.dev/before": before},
        },
        "spec": {"canaryRef": {"name": "podinfo"}, "reason": "by hand, and clumsily"},
    }
    async with running(cluster, tmp_path) as daemon:
        await scene.create(ROLLBACKS, garbled)

        record = await scene.record("Proved")

        assert record["status"]["revision"] == "7b8cb8dc5d"
        assert (await daemon.get("/healthz"))[0] == 200
    async with running(cluster, tmp_path) as daemon:
        assert (await daemon.get("/readyz"))[0] == 200
