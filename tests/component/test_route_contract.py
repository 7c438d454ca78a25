"""What every kind of routing object keeps, over real HTTP: a new kind is one file, and one sample."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from daemon.adapters import traffic
from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.model import errors
from daemon.model.route import RouteObject, RoutePatch, RouteRef, RouteView, Sides
from tests.cluster import Cluster
from tests.route_samples import NAME, SAMPLES, Json, Sample, sides

KINDS = traffic.discover()


def test_every_kind_has_a_sample() -> None:
    assert set(SAMPLES) == set(KINDS)


@dataclasses.dataclass(frozen=True, slots=True)
class Lab:
    """One object of one kind in one namespace, and the daemon's own words for it."""

    kind: str
    sample: Sample
    namespace: str
    http: aiohttp.ClientSession
    routes: traffic.Routes
    sides: Sides

    @property
    def path(self) -> str:
        return self.sample.collection.format(self.namespace)

    async def create(self, name: str = "") -> RouteObject:
        document = self.sample.document(self.namespace)
        document["metadata"]["name"] = name or document["metadata"]["name"]
        async with self.http.post(self.path, json=document) as response:
            assert response.status == 201, await response.text()
            return KINDS[self.kind].read(await response.json())

    async def document(self, ref: RouteRef) -> Json:
        async with self.http.get(f"{self.path}/{ref.name}") as response:
            assert response.status == 200, await response.text()
            found: Json = await response.json()
            return found

    async def merge(self, ref: RouteRef, body: Json) -> None:
        headers = {"Content-Type": "application/merge-patch+json"}
        async with self.http.patch(f"{self.path}/{ref.name}", json=body, headers=headers) as response:
            assert response.status == 200, await response.text()

    async def look(self, ref: RouteRef) -> tuple[RouteObject, RouteView]:
        route = await self.routes.read(ref)
        assert route is not None
        return route, self.routes.view(route, self.sides)

    async def zero(self, ref: RouteRef) -> RouteObject:
        _, view = await self.look(ref)
        assert view.zero is not None
        return await self.routes.write(view.zero)


@pytest.fixture(params=sorted(SAMPLES))
async def lab(
    request: pytest.FixtureRequest, cluster: Cluster, namespace: str, http: aiohttp.ClientSession
) -> AsyncIterator[Lab]:
    async with await KubernetesClient.connect(kubeconfig=cluster.kubeconfig, context=None, timeout=5.0) as client:
        routes = traffic.Routes(client, KINDS)
        yield Lab(request.param, SAMPLES[request.param], namespace, http, routes, sides(namespace))


def rest(document: Json, patch: RoutePatch, *, written: bool) -> Json:
    """All that a patch has no business with: the object without the places that it writes, and without its version."""
    left = copy.deepcopy(document)
    for field in ("resourceVersion", "generation", "managedFields"):
        left["metadata"].pop(field, None)
    # From the last to the first, so that places in lists stay true.
    for operation in sorted(patch.operations, key=lambda one: one.path, reverse=True):
        if operation.op != "test" and not (written and operation.op == "remove"):
            _take_out(left, operation.path, whole=operation.op == "remove")
    return left


def _take_out(document: Any, pointer: str, *, whole: bool) -> None:
    *parents, last = [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]
    node = document
    for token in parents:
        node = node[int(token)] if isinstance(node, list) else node.get(token, {})
    if isinstance(node, dict):
        node.pop(last, None)
    elif whole:
        del node[int(last)]
    elif int(last) < len(node):
        node[int(last)] = None


async def test_it_reaches_the_canary_until_it_is_zeroed(lab: Lab) -> None:
    ref = (await lab.create()).ref
    _, before = await lab.look(ref)
    assert not before.at_zero
    assert before.weight == 10
    written = await lab.zero(ref)
    read, after = await lab.look(ref)
    assert after.at_zero
    assert after.weight == 0
    assert read.resource_version == written.resource_version
    assert "pullback" in written.writers


async def test_zero_twice_is_zero_once(lab: Lab) -> None:
    ref = (await lab.create()).ref
    written = await lab.zero(ref)
    route, view = await lab.look(ref)
    assert view.zero is None
    assert route.resource_version == written.resource_version


async def test_no_other_field_changes(lab: Lab) -> None:
    ref = (await lab.create()).ref
    before = await lab.document(ref)
    _, view = await lab.look(ref)
    assert view.zero is not None
    await lab.routes.write(view.zero)
    after = rest(await lab.document(ref), view.zero, written=True)
    assert after == rest(before, view.zero, written=False)


async def test_cut_anywhere_and_looked_at_again_the_rest_is_what_remained(lab: Lab) -> None:
    refs = [(await lab.create(f"{NAME}-{number}")).ref for number in range(3)]
    views = [(await lab.look(ref))[1] for ref in refs]
    planned = [view.zero for view in views]
    for cut in range(len(refs)):
        again = [(await lab.look(ref))[1].zero for ref in refs]
        assert again == [None] * cut + planned[cut:]
        await lab.zero(refs[cut])
    assert [(await lab.look(ref))[1].at_zero for ref in refs] == [True] * 3


async def test_it_lands_whatever_became_of_the_weights_meanwhile(lab: Lab) -> None:
    ref = (await lab.create()).ref
    _, view = await lab.look(ref)
    assert view.zero is not None
    await lab.merge(ref, lab.sample.raised)
    await lab.routes.write(view.zero)
    assert (await lab.look(ref))[1].weight == 0


async def test_it_refuses_where_the_destinations_themselves_were_moved(lab: Lab) -> None:
    """422 of the API server: the object is not the one that the write was planned for."""
    ref = (await lab.create()).ref
    _, view = await lab.look(ref)
    assert view.zero is not None
    await lab.merge(ref, lab.sample.moved)
    with pytest.raises(errors.Conflict):
        await lab.routes.write(view.zero)


async def test_raised_again_it_is_zeroed_again(lab: Lab) -> None:
    ref = (await lab.create()).ref
    await lab.zero(ref)
    await lab.merge(ref, lab.sample.raised)
    _, view = await lab.look(ref)
    assert view.weight == 40
    await lab.zero(ref)
    assert (await lab.look(ref))[1].at_zero


async def test_one_that_is_gone_is_missing_and_reads_as_nothing(lab: Lab) -> None:
    ref = (await lab.create()).ref
    _, view = await lab.look(ref)
    assert view.zero is not None
    async with lab.http.delete(f"{lab.path}/{ref.name}") as response:
        assert response.status in {200, 202}
    assert await lab.routes.read(ref) is None
    with pytest.raises(errors.Missing):
        await lab.routes.write(view.zero)


async def test_a_write_that_is_refused_is_told_as_refused(lab: Lab, cluster: Cluster) -> None:
    if cluster.emulator is None:
        pytest.skip("a real API server refuses nothing to the one who runs it")
    ref = (await lab.create()).ref
    _, view = await lab.look(ref)
    assert view.zero is not None
    plural = KINDS[lab.kind].RESOURCES[0].plural
    cluster.emulator.faults.fail(403, "denied", verb="patch", resource=plural, times=None)
    with pytest.raises(errors.Refused):
        await lab.routes.write(view.zero)
    cluster.emulator.faults.clear()
    assert not (await lab.look(ref))[1].at_zero


async def test_released_it_is_as_before_but_for_the_weights(lab: Lab) -> None:
    ref = (await lab.create()).ref
    _, view = await lab.look(ref)
    assert view.zero is not None
    zeroed = await lab.routes.write(view.zero)
    patch = lab.routes.restore(zeroed, view.zero.originals)
    assert patch is not None
    await lab.routes.write(patch)
    route, after = await lab.look(ref)
    # Whoever asks for the canary gets it again; ordinary traffic is for a person, or a stage, to raise.
    assert {path.path for path in after.paths if path.share and not path.weighted} == {
        path.path for path in view.paths if path.share and not path.weighted
    }
    assert after.weight == 0
    assert lab.routes.restore(route, view.zero.originals) is None


async def test_a_persons_weight_lands_on_what_was_looked_at_or_not_at_all(lab: Lab) -> None:
    ref = (await lab.create()).ref
    route, _ = await lab.look(ref)
    patch = lab.routes.steer(route, _steerable(lab), 25)
    assert patch is not None
    await lab.merge(ref, lab.sample.raised)
    with pytest.raises(errors.Conflict):
        await lab.routes.write(patch)
    route, _ = await lab.look(ref)
    patch = lab.routes.steer(route, _steerable(lab), 25)
    assert patch is not None
    await lab.routes.write(patch)
    assert (await lab.look(ref))[1].weight == 25
    route, _ = await lab.look(ref)
    assert lab.routes.steer(route, _steerable(lab), 25) is None


def _steerable(lab: Lab) -> Sides:
    return lab.sides
