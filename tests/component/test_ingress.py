"""A canary behind ingress-nginx, driven by Flagger or by nobody: the same alert, zero in annotations, held there."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from daemon.adapters import traffic
from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.adapters.traffic import ingress
from daemon.model import errors
from daemon.model.route import RoutePatch, Sides
from tests import builders
from tests.builders import Json
from tests.cluster import Cluster
from tests.nginx_routing import Controller
from tests.running import Daemon, eventually, running
from tests.scene import CANARIES, DEPLOYMENTS, Scene

INGRESSES = "/apis/networking.k8s.io/v1/namespaces/{}/ingresses"
PREFIX = "nginx.ingress.kubernetes.io"
FLAGGER = "flagger"


def document(
    namespace: str, name: str, service: str, *, host: str = "app.example.com", prefix: str = PREFIX, **said: str
) -> Json:
    """An Ingress with one path; ``said`` are annotations under the prefix, written with underscores."""
    backend = {"service": {"name": service, "port": {"number": 80}}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {
            "namespace": namespace,
            "name": name,
            "annotations": {f"{prefix}/{key.replace('_', '-')}": value for key, value in said.items()},
        },
        "spec": {
            "ingressClassName": "nginx",
            "rules": [
                {"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}},
            ],
        },
    }


class Lab:
    """Ingresses of one namespace, over plain REST."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    async def add(self, name: str, service: str, **more: Any) -> Json:
        return await self.scene.create(INGRESSES, document(self.scene.namespace, name, service, **more))

    async def get(self, name: str) -> Json:
        return await self.scene.get(INGRESSES, name)

    async def said(self, name: str = "podinfo-canary", prefix: str = PREFIX) -> dict[str, str]:
        found = (await self.get(name))["metadata"].get("annotations") or {}
        return {key.removeprefix(f"{prefix}/"): value for key, value in found.items()}

    async def annotate(self, name: str, *, manager: str = FLAGGER, **said: str | None) -> Json:
        annotations = {f"{PREFIX}/{key.replace('_', '-')}": value for key, value in said.items()}
        return await self.scene.merge(INGRESSES, name, {"metadata": {"annotations": annotations}}, manager=manager)

    async def reached(self, *names: str) -> set[str]:
        """Every service that some request gets to, as ingress-nginx would have it."""
        documents = [await self.get(name) for name in names]
        return {service for _, service in Controller(documents).reached()}

    async def until_reached(self, names: tuple[str, ...], wanted: set[str]) -> None:
        async def so() -> bool:
            return await self.reached(*names) == wanted

        await eventually(so)

    async def add_release(self, **said: str) -> None:
        """Flagger's, in the middle of its analysis."""
        namespace = self.scene.namespace
        await self.scene.create(DEPLOYMENTS, builders.deployment(namespace, "podinfo"))
        await self.add("podinfo", "podinfo")
        await self.add("podinfo-canary", "podinfo-canary", canary="true", **said)
        canary = builders.canary(namespace, provider="nginx")
        canary["spec"]["ingressRef"] = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "podinfo"}
        await self.scene.create(CANARIES, canary)
        await self.scene.set_status("podinfo")


@pytest.fixture
async def lab(scene: Scene, http: aiohttp.ClientSession) -> AsyncIterator[Lab]:
    """Leaves no Ingress behind: a real API server would keep them, and the next daemon find them."""
    yield Lab(scene)
    async with http.delete(INGRESSES.format(scene.namespace)) as response:
        assert response.status == 200, await response.text()


BOTH = ("podinfo", "podinfo-canary")


async def fire(daemon: Daemon, told: Json) -> str:
    status, answer = await daemon.alert(builders.webhook(told))
    assert status == 200, answer
    one = answer["alerts"][0]
    return f"{one['verdict']} {one['reason']}"


# -- with the daemon


async def test_an_alert_takes_flaggers_canary_to_zero_and_it_is_held_there(
    cluster: Cluster, lab: Lab, tmp_path: Path
) -> None:
    await lab.add_release(canary_weight="10", affinity="cookie")
    before = await lab.get("podinfo-canary")
    assert await lab.reached(*BOTH) == {"podinfo", "podinfo-canary"}
    async with running(cluster, tmp_path) as daemon:
        assert await fire(daemon, builders.alert(lab.scene.namespace)) == "ROLL_BACK alert-fires"
        record = await lab.scene.record("Proved")

        after = await lab.get("podinfo-canary")
        assert await lab.said() == {
            "canary": "true", "canary-weight": "0", "affinity": "cookie", "affinity-canary-behavior": "legacy",
        }  # fmt: skip
        assert after["spec"] == before["spec"]
        assert await lab.reached(*BOTH) == {"podinfo"}
        assert [(one["path"], one["before"], one["after"]) for one in record["status"]["weights"]] == [
            ("canary-weight", 10, 0), ("affinity", 100, 0),
        ]  # fmt: skip

        for weight in ("15", "20"):
            await lab.annotate("podinfo-canary", canary="true", canary_weight=weight)
            await lab.until_reached(BOTH, {"podinfo"})
        assert (await lab.scene.record())["status"]["phase"] == "Proved"


async def test_the_main_ingress_is_not_touched(cluster: Cluster, lab: Lab, tmp_path: Path) -> None:
    await lab.add_release(canary_weight="10")
    before = await lab.get("podinfo")
    async with running(cluster, tmp_path) as daemon:
        await fire(daemon, builders.alert(lab.scene.namespace))
        await lab.scene.record("Proved")
    assert await lab.get("podinfo") == before


async def test_header_cookie_and_an_opt_in_host_of_its_own_go_too(cluster: Cluster, lab: Lab, tmp_path: Path) -> None:
    await lab.add_release(canary_by_header="x-canary", canary_by_header_value="eu-1", canary_by_cookie="beta")
    await lab.add("beta", "podinfo-canary", host="beta.example.com")
    names = (*BOTH, "beta")
    async with running(cluster, tmp_path) as daemon:
        await fire(daemon, builders.alert(lab.scene.namespace))
        record = await lab.scene.record("Proved")

        assert await lab.reached(*names) == {"podinfo", "podinfo-primary"}
        kept = {one["section"].removeprefix(f"{PREFIX}/"): one["value"] for one in record["status"]["originals"]}
        assert kept["canary-by-header"] == {f"{PREFIX}/canary-by-header": "x-canary"}
        assert kept["canary-by-cookie"] == {f"{PREFIX}/canary-by-cookie": "beta"}
        assert kept["rules"]["service"]["name"] == "podinfo-canary"

        # Flagger's next step of an A/B test.
        await lab.annotate("podinfo-canary", canary="true", canary_by_header="x-canary")
        await lab.until_reached(names, {"podinfo", "podinfo-primary"})


async def test_flagger_with_a_prefix_of_its_own(cluster: Cluster, lab: Lab, tmp_path: Path) -> None:
    prefix = "custom.ingress.kubernetes.io"
    await lab.add_release()
    await lab.scene.delete(INGRESSES, "podinfo-canary")
    await lab.add("podinfo-canary", "podinfo-canary", prefix=prefix, canary="true", canary_weight="10")
    async with running(cluster, tmp_path) as daemon:
        await fire(daemon, builders.alert(lab.scene.namespace))
        await lab.scene.record("Proved")
    assert (await lab.said(prefix=prefix))["canary-weight"] == "0"


async def test_a_release_without_flagger_is_known_by_one_annotation(cluster: Cluster, lab: Lab, tmp_path: Path) -> None:
    namespace = lab.scene.namespace
    for name, version in (("shop", "v1"), ("shop-canary", "v2")):
        await lab.scene.create(DEPLOYMENTS, builders.deployment(namespace, name, version=version))
    await lab.add("shop", "shop", host="shop.example.com")
    own = document(namespace, "shop-canary", "shop-canary", host="shop.example.com", canary="true", canary_weight="5")
    own["metadata"]["annotations"]["pullback.dev/stable"] = "shop"
    await lab.scene.create(INGRESSES, own)
    async with running(cluster, tmp_path) as daemon:
        assert await fire(daemon, builders.alert(namespace, "shop-canary")) == "ROLL_BACK alert-fires"
        record = await lab.scene.record("Proved")

        assert await lab.reached("shop", "shop-canary") == {"shop"}
        assert record["spec"]["canaryRef"] == {
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "shop-canary",
        }  # fmt: skip
        await lab.annotate("shop-canary", canary_weight="25", manager="kubectl-edit")
        await lab.until_reached(("shop", "shop-canary"), {"shop"})


async def test_a_finished_rollback_writes_nothing_more(cluster: Cluster, lab: Lab, tmp_path: Path) -> None:
    await lab.add_release(canary_weight="10")
    async with running(cluster, tmp_path) as daemon:
        await fire(daemon, builders.alert(lab.scene.namespace))
        await lab.scene.record("Proved")
        written = (await lab.get("podinfo-canary"))["metadata"]["resourceVersion"]
        # What Flagger does when it has accepted the failure: weight 0, header and cookie away, nothing else.
        await lab.scene.set_status("podinfo", "Failed", weight=0)
        await lab.scene.record("Completed")
        assert (await lab.get("podinfo-canary"))["metadata"]["resourceVersion"] == written


# -- the write itself, through the daemon's client


@dataclass(frozen=True, slots=True)
class Writer:
    """Plans and writes as the daemon does, one step at a time."""

    lab: Lab
    routes: traffic.Routes

    @property
    def sides(self) -> Sides:
        namespace = self.lab.scene.namespace
        canary, stable = (frozenset({(namespace, f"podinfo-{side}")}) for side in ("canary", "primary"))
        return Sides(namespace, canary, stable, frozenset())

    async def plan(self, name: str = "podinfo-canary") -> RoutePatch:
        patch = self.routes.view(ingress.read(await self.lab.get(name)), self.sides).zero
        assert patch is not None
        return patch


@pytest.fixture
async def writer(cluster: Cluster, lab: Lab) -> AsyncIterator[Writer]:
    client = await KubernetesClient.connect(kubeconfig=cluster.kubeconfig, context=None, timeout=10)
    yield Writer(lab, traffic.Routes(client, traffic.discover()))
    await client.close()


async def test_the_write_lands_on_whatever_weight_came_meanwhile(writer: Writer, lab: Lab) -> None:
    await lab.add("podinfo-canary", "podinfo-canary", canary="true", canary_weight="5", canary_by_header="x")
    patch = await writer.plan()
    await lab.annotate("podinfo-canary", canary_weight="30")

    written = await writer.routes.write(patch)
    assert written == await writer.routes.read(written.ref)
    assert writer.routes.view(written, writer.sides).at_zero
    assert "pullback" in written.writers


async def test_it_fails_on_an_object_that_leads_elsewhere_or_is_no_canarys_any_more(writer: Writer, lab: Lab) -> None:
    made = await lab.add("podinfo-canary", "podinfo-canary", canary="true", canary_weight="5")
    patch = await writer.plan()

    await lab.annotate("podinfo-canary", canary="false")
    with pytest.raises(errors.Conflict):
        await writer.routes.write(patch)
    await lab.annotate("podinfo-canary", canary="true")
    elsewhere = copy.deepcopy(made["spec"])
    elsewhere["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"] = "cart-canary"
    await lab.scene.merge(INGRESSES, "podinfo-canary", {"spec": elsewhere})
    with pytest.raises(errors.Conflict):
        await writer.routes.write(patch)
    assert (await lab.said())["canary-weight"] == "5"


async def test_what_was_taken_is_put_back_and_not_over_what_came_since(writer: Writer, lab: Lab) -> None:
    await lab.add("podinfo-canary", "podinfo-canary", canary="true", canary_by_header="x", canary_by_cookie="beta")
    patch = await writer.plan()
    await writer.routes.write(patch)
    await lab.annotate("podinfo-canary", canary_by_cookie="other", manager="somebody")

    found = await writer.routes.read(patch.route)
    assert found is not None
    await writer.routes.write(RoutePatch(patch.route, ingress.restore(found, patch.originals), (), ()))
    assert await lab.said() == {
        "canary": "true", "canary-weight": "0", "canary-by-header": "x", "canary-by-cookie": "other",
    }  # fmt: skip


async def test_the_only_annotation_of_an_ordinary_one_goes_and_comes_back(writer: Writer, lab: Lab) -> None:
    copies = f"http://podinfo-canary.{lab.scene.namespace}.svc$request_uri"
    await lab.add("podinfo", "podinfo", mirror_target=copies)
    patch = await writer.plan("podinfo")
    assert (await writer.routes.write(patch)).annotations == {}

    found = await writer.routes.read(patch.route)
    assert found is not None
    await writer.routes.write(RoutePatch(patch.route, ingress.restore(found, patch.originals), (), ()))
    assert await lab.said("podinfo") == {"mirror-target": copies}


async def test_a_persons_weight_is_written(writer: Writer, lab: Lab) -> None:
    await lab.add("podinfo-canary", "podinfo-canary", canary="true", canary_weight="5", canary_weight_total="1000")
    steered = ingress.steer(ingress.read(await lab.get("podinfo-canary")), writer.sides, 2.5)
    assert steered is not None
    await writer.routes.write(steered)
    assert (await lab.said())["canary-weight"] == "25"
    with pytest.raises(errors.Conflict):
        await writer.routes.write(steered)


# -- what the API server does with an Ingress


async def test_annotations_are_no_new_generation_and_the_spec_is(lab: Lab) -> None:
    made = await lab.add("podinfo", "podinfo")
    assert made["metadata"]["generation"] == 1
    assert (await lab.annotate("podinfo", canary="true"))["metadata"]["generation"] == 1
    spec = {"rules": document("", "", "other")["spec"]["rules"]}
    changed = await lab.scene.merge(INGRESSES, "podinfo", {"spec": spec})
    assert changed["metadata"]["generation"] == 2


async def test_the_status_is_written_apart(lab: Lab) -> None:
    await lab.add("podinfo", "podinfo")
    status = {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}}, "spec": {"rules": None}}
    await lab.scene.merge(INGRESSES, "podinfo/status", status)
    found = await lab.get("podinfo")
    assert found["status"]["loadBalancer"]["ingress"] == [{"ip": "192.0.2.7"}]
    assert found["spec"]["rules"][0]["host"] == "app.example.com"


async def test_it_is_found_where_kubectl_looks_for_it(http: aiohttp.ClientSession) -> None:
    async with http.get("/apis/networking.k8s.io/v1") as response:
        served = {one["name"]: one for one in (await response.json())["resources"]}
    assert served["ingresses"]["shortNames"] == ["ing"]
    assert (served["ingresses"]["kind"], served["ingresses"]["namespaced"]) == ("Ingress", True)
    assert "ingresses/status" in served
