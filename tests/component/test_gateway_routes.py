"""A canary behind a gateway of the Gateway API: the same alert, zero on every route, held there; and the writes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from daemon.adapters import traffic
from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.model import errors
from daemon.model.route import RouteObject, RoutePatch, RouteRef, Sides
from tests import builders, gateway_routing
from tests.builders import Json
from tests.cluster import Cluster
from tests.component.staged_release import surroundings
from tests.running import eventually, running
from tests.scene import CANARIES, DEPLOYMENTS, Scene

COLLECTIONS = {
    "HTTPRoute": "/apis/gateway.networking.k8s.io/v1/namespaces/{}/httproutes",
    "GRPCRoute": "/apis/gateway.networking.k8s.io/v1/namespaces/{}/grpcroutes",
}
EMPLOYEES = [{"headers": [{"name": "X-Summit-Employee", "value": "true"}]}]

every_kind = pytest.mark.parametrize("kind", ["HTTPRoute", "GRPCRoute"])


def to(name: str, weight: int | None = None, **more: Any) -> Json:
    return {"name": name, "port": 80, **more} | ({} if weight is None else {"weight": weight})


def copies_to(name: str, **share: Any) -> Json:
    return {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": name, "port": 80}, **share}}


def split(canary: int) -> Json:
    return {"backendRefs": [to("podinfo-primary", 100 - canary), to("podinfo-canary", canary)]}


@dataclass(frozen=True, slots=True)
class Lab:
    """Routes of one namespace, over plain REST."""

    scene: Scene

    async def add(self, *rules: Json, kind: str = "HTTPRoute", name: str = "podinfo") -> Json:
        return await self.scene.create(COLLECTIONS[kind], {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": kind,
            "metadata": {"namespace": self.scene.namespace, "name": name},
            "spec": {"parentRefs": [{"name": "public"}], "hostnames": ["app.example.com"], "rules": list(rules)},
        })  # fmt: skip

    async def get(self, kind: str = "HTTPRoute", name: str = "podinfo") -> Json:
        return await self.scene.get(COLLECTIONS[kind], name)

    async def set_rules(self, *rules: Json, kind: str = "HTTPRoute", name: str = "podinfo") -> Json:
        return await self.scene.merge(COLLECTIONS[kind], name, {"spec": {"rules": list(rules)}}, manager="flagger")

    async def take_over(self, kind: str = "HTTPRoute", name: str = "podinfo") -> None:
        """What a gateway's controller writes once it sends by the object as it is."""
        generation = (await self.get(kind, name))["metadata"]["generation"]
        condition = {"type": "Accepted", "status": "True", "reason": "Accepted", "message": "",
                     "observedGeneration": generation, "lastTransitionTime": "2026-11-23T06:54:26Z"}  # fmt: skip
        parent = {"parentRef": {"name": "public"}, "controllerName": "example.net/gateway", "conditions": [condition]}
        await self.scene.merge(COLLECTIONS[kind], f"{name}/status", {"status": {"parents": [parent]}})

    @property
    def sides(self) -> Sides:
        namespace = self.scene.namespace
        canary, stable = (frozenset({(namespace, f"podinfo-{side}")}) for side in ("canary", "primary"))
        return Sides(namespace, canary, stable, frozenset())

    async def shares(self, kind: str = "HTTPRoute", name: str = "podinfo") -> dict[str, float]:
        """What the canary gets, as a gateway would have it."""
        found = gateway_routing.canary_shares(gateway_routing.paths(await self.get(kind, name)), self.sides)
        return {where: float(share) for where, share in found.items()}


@pytest.fixture
async def lab(scene: Scene) -> Lab:
    return Lab(scene)


async def test_an_alert_takes_every_route_of_flaggers_canary_to_zero_and_it_is_held_there(
    cluster: Cluster, lab: Lab, tmp_path: Path
) -> None:
    namespace = lab.scene.namespace
    await lab.scene.create(DEPLOYMENTS, builders.deployment(namespace, "podinfo"))
    await lab.add(split(15))
    await lab.add(
        {"matches": EMPLOYEES, "backendRefs": [to("podinfo-canary")]}, {"backendRefs": [to("podinfo-primary")]},
        name="internal",
    )  # fmt: skip
    await lab.add({"backendRefs": [to("podinfo-primary")], "filters": [copies_to("podinfo-canary")]}, kind="GRPCRoute")
    all_of_them = [("HTTPRoute", "podinfo"), ("HTTPRoute", "internal"), ("GRPCRoute", "podinfo")]
    for kind, name in all_of_them:
        await lab.take_over(kind, name)
    await lab.scene.create(CANARIES, builders.canary(namespace, provider="gatewayapi:v1"))
    await lab.scene.set_status("podinfo")
    async with running(cluster, tmp_path) as daemon:
        status, answer = await daemon.alert(builders.webhook(builders.alert(namespace)))
        assert (status, answer["alerts"][0]["verdict"]) == (200, "ROLL_BACK")
        # Zero in the API, and no proof: no gateway has said yet that it sends by that.
        await lab.scene.record("Zeroed")
        for kind, name in all_of_them:
            await lab.take_over(kind, name)
        record = await lab.scene.record("Proved")

        assert await lab.shares() == {"rules[0]": 0}
        assert await lab.shares(name="internal") == await lab.shares("GRPCRoute") == {}
        internal = (await lab.get(name="internal"))["spec"]["rules"]
        assert [one["backendRefs"][0]["name"] for one in internal] == ["podinfo-primary"] * 2
        kept = {(one["route"].partition(" ")[0], one["field"]) for one in record["status"]["originals"]}
        assert kept == {("HTTPRoute", "backendRef"), ("GRPCRoute", "filters")}

        async def held() -> bool:
            return await lab.shares() == {"rules[0]": 0}

        for canary in (20, 25):
            await lab.set_rules(split(canary))
            await eventually(held)


async def test_where_no_gateway_tells_anything_requests_that_have_stopped_are_the_proof(
    cluster: Cluster, lab: Lab, tmp_path: Path
) -> None:
    namespace = lab.scene.namespace
    await lab.scene.create(DEPLOYMENTS, builders.deployment(namespace, "podinfo"))
    await lab.add(split(15))
    await lab.scene.create(CANARIES, builders.canary(namespace, provider="gatewayapi:v1"))
    await lab.scene.set_status("podinfo")
    async with surroundings() as prometheus:
        prometheus.errors = 3.0  # requests per second, to whom it is all the same what the number means
        proof = {"window": 0.2, "read_back": 0.05, "prometheus_url": prometheus.url}
        async with running(cluster, tmp_path, proof=proof) as daemon:
            await daemon.alert(builders.webhook(builders.alert(namespace)))
            await lab.scene.record("Zeroed")
            prometheus.errors = 0.0
            record = await lab.scene.record("Proved")
    told = record["status"]["proof"]
    assert any(one.startswith("not told live: HTTPRoute") for one in told)
    assert "Prometheus: the canary's request rate is 0" in told


# -- the write itself, through the daemon's client


@dataclass(frozen=True, slots=True)
class Writer:
    """Plans and writes as the daemon does, one step at a time."""

    lab: Lab
    routes: traffic.Routes
    kinds: dict[str, traffic.RouteKind]

    async def read(self, kind: str) -> RouteObject:
        found = await self.routes.read(RouteRef(kind, self.lab.scene.namespace, "podinfo"))
        assert found is not None
        return found

    async def plan(self, kind: str) -> RoutePatch | None:
        return self.routes.view(await self.read(kind), self.lab.sides).zero

    async def zero(self, kind: str) -> RoutePatch:
        patch = await self.plan(kind)
        assert patch is not None
        await self.routes.write(patch)
        return patch


@pytest.fixture
async def writer(cluster: Cluster, lab: Lab) -> AsyncIterator[Writer]:
    client = await KubernetesClient.connect(kubeconfig=cluster.kubeconfig, context=None, timeout=10)
    kinds = traffic.discover()
    yield Writer(lab, traffic.Routes(client, kinds), kinds)
    await client.close()


RULES: list[Json] = [
    {"matches": EMPLOYEES, "backendRefs": [to("podinfo-canary")]},
    {"backendRefs": [to("podinfo-primary", filters=[copies_to("podinfo-canary", percent=5)]), to("podinfo-canary")]},
    {"backendRefs": [to("podinfo-primary", 5)], "filters": [copies_to("audit"), copies_to("podinfo-canary")]},
]


@every_kind
async def test_after_one_write_every_path_is_closed_and_a_second_look_finds_nothing(
    writer: Writer, lab: Lab, kind: str
) -> None:
    made = await lab.add(*RULES, kind=kind)
    assert made["spec"]["rules"][0]["backendRefs"][0]["weight"] == 1  # as the definition has it
    patch = await writer.zero(kind)

    assert await lab.shares(kind) == {"rules[1]": 0}
    assert [(one.path, one.before) for one in patch.changes] == [
        ("rules[0]", 100), ("rules[1]", 50), ("rules[1].backendRefs[0].filters[0]", 5), ("rules[2].filters[1]", 100),
    ]  # fmt: skip
    weights = [one["weight"] for one in (await lab.get(kind))["spec"]["rules"][1]["backendRefs"]]
    assert weights == [2, 0]
    assert await writer.plan(kind) is None


@every_kind
async def test_it_lands_on_whatever_the_weights_are_meanwhile(writer: Writer, lab: Lab, kind: str) -> None:
    await lab.add(split(5), kind=kind)
    patch = await writer.plan(kind)
    await lab.set_rules(split(60), kind=kind)
    assert patch is not None

    written = await writer.routes.write(patch)

    assert written == await writer.read(kind)
    assert [one["weight"] for one in written.spec["rules"][0]["backendRefs"]] == [100, 0]
    assert "pullback" in written.writers


@every_kind
@pytest.mark.parametrize(
    "rules",
    [
        [{"backendRefs": [to("podinfo-canary", 5), to("podinfo-primary", 95)]}],
        [{"backendRefs": [to("podinfo-primary", 95)]}],
        [{"backendRefs": [to("podinfo-primary", 95), to("podinfo-canary", 5, namespace="other")]}],
    ],
    ids=["swapped", "gone", "of another namespace"],
)
async def test_it_fails_where_the_backends_have_moved(writer: Writer, lab: Lab, kind: str, rules: list[Json]) -> None:
    await lab.add(split(5), kind=kind)
    patch = await writer.plan(kind)
    before = await lab.set_rules(*rules, kind=kind)
    assert patch is not None

    with pytest.raises(errors.Conflict):
        await writer.routes.write(patch)
    assert await lab.get(kind) == before


@every_kind
async def test_what_was_re_pointed_or_removed_is_put_back_and_not_over_what_came_since(
    writer: Writer, lab: Lab, kind: str
) -> None:
    made = await lab.add(*RULES, kind=kind)
    patch = await writer.zero(kind)

    back = writer.kinds[kind].restore(await writer.read(kind), patch.originals)
    restored = await writer.routes.write(RoutePatch(patch.route, back, (), ()))

    wanted = made["spec"]["rules"]
    wanted[1]["backendRefs"][0]["weight"], wanted[1]["backendRefs"][1]["weight"] = 2, 0  # raising is another act
    assert restored.spec["rules"] == wanted

    patch = await writer.zero(kind)
    elsewhere = {**RULES[0], "backendRefs": [to("podinfo-v3")]}
    changed = await lab.set_rules(elsewhere, kind=kind)
    assert writer.kinds[kind].restore(await writer.read(kind), patch.originals) == ()
    assert await lab.get(kind) == changed


@every_kind
async def test_a_persons_weight_is_written_on_what_they_looked_at(writer: Writer, lab: Lab, kind: str) -> None:
    await lab.add(split(5), kind=kind)
    steered = writer.kinds[kind].steer(await writer.read(kind), lab.sides, 25)
    assert steered is not None
    await writer.routes.write(steered)
    assert await lab.shares(kind) == {"rules[0]": 0.25}
    with pytest.raises(errors.Conflict):
        await writer.routes.write(steered)


@every_kind
async def test_a_write_is_pending_until_the_gateway_says_that_it_has_taken_it_over(
    writer: Writer, lab: Lab, kind: str
) -> None:
    await lab.add(split(5), kind=kind)
    pending = writer.kinds[kind].pending
    assert pending(await writer.read(kind)) == "no gateway has accepted it (generation 1)"
    await lab.take_over(kind)
    assert pending(await writer.read(kind)) == ""
    await writer.zero(kind)
    assert pending(await writer.read(kind)) == (
        f"Gateway {lab.scene.namespace}/public (example.net/gateway) has not taken over generation 2: its Accepted is "
        "of generation 1"
    )
    await lab.take_over(kind)
    assert pending(await writer.read(kind)) == ""


async def test_the_deprecated_version_shows_the_same_object(lab: Lab) -> None:
    await lab.add(split(5))
    old = await lab.scene.get(COLLECTIONS["HTTPRoute"].replace("/v1/", "/v1beta1/"), "podinfo")
    assert old["apiVersion"] == "gateway.networking.k8s.io/v1beta1"
    assert old["spec"] == (await lab.get())["spec"]
