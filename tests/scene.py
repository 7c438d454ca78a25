"""A canary in a cluster, as the tests set it up and look at it: plain REST, no code of the daemon's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from tests import builders
from tests.builders import Json
from tests.running import eventually

CANARIES = "/apis/flagger.app/v1beta1/namespaces/{}/canaries"
ROUTES = "/apis/networking.istio.io/v1/namespaces/{}/virtualservices"
DEPLOYMENTS = "/apis/apps/v1/namespaces/{}/deployments"
AUTOSCALERS = "/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers"
ROLLBACKS = "/apis/pullback.dev/v1alpha1/namespaces/{}/rollbacks"


@dataclass(frozen=True, slots=True)
class Scene:
    """One namespace of a cluster."""

    http: aiohttp.ClientSession
    namespace: str

    async def add_canary(self, name: str = "podinfo", *, weight: int = 10, version: str = "v2", **status: Any) -> None:
        """A Flagger canary in mid-analysis: Canary, VirtualService and Deployment."""
        await self.create(DEPLOYMENTS, builders.deployment(self.namespace, name, version=version))
        await self.create(ROUTES, builders.virtual_service(self.namespace, name, canary_weight=weight))
        await self.create(CANARIES, builders.canary(self.namespace, name))
        await self.set_status(name, **status)

    async def set_status(self, name: str = "podinfo", phase: str = "Progressing", **status: Any) -> None:
        document = {"status": builders.canary_status(phase, **status)}
        await self.merge(CANARIES, f"{name}/status", document)

    async def set_weight(self, weight: int, name: str = "podinfo", *, manager: str = "somebody") -> None:
        route = builders.virtual_service(self.namespace, name, canary_weight=weight)
        await self.merge(ROUTES, name, {"spec": route["spec"]}, manager=manager)

    async def weights(self, name: str = "podinfo") -> list[int]:
        route = await self.get(ROUTES, name)
        return [destination["weight"] for destination in route["spec"]["http"][0]["route"]]

    async def records(self) -> list[Json]:
        path = ROLLBACKS.format(self.namespace)
        async with self.http.get(path) as response:
            assert response.status == 200, await response.text()
            items: list[Json] = (await response.json())["items"]
            return items

    async def record(self, phase: str | None = None, *, within: float = 10.0) -> Json:
        """The only record there is, once it is in that phase."""

        async def found() -> Json | None:
            records = await self.records()
            assert len(records) <= 1, [one["metadata"]["name"] for one in records]
            there = records and (phase is None or records[0].get("status", {}).get("phase") == phase)
            return records[0] if there else None

        record: Json = await eventually(found, within=within)
        return record

    async def get(self, collection: str, name: str) -> Json:
        async with self.http.get(f"{collection.format(self.namespace)}/{name}") as response:
            assert response.status == 200, await response.text()
            document: Json = await response.json()
            return document

    async def create(self, collection: str, document: Json) -> Json:
        async with self.http.post(collection.format(self.namespace), json=document) as response:
            assert response.status == 201, await response.text()
            made: Json = await response.json()
            return made

    async def merge(self, collection: str, name: str, document: Json, *, manager: str = "lab") -> Json:
        async with self.http.patch(
            f"{collection.format(self.namespace)}/{name}", json=document, params={"fieldManager": manager},
            headers={"Content-Type": "application/merge-patch+json"},
        ) as response:  # fmt: skip
            assert response.status == 200, await response.text()
            changed: Json = await response.json()
            return changed

    async def delete(self, collection: str, name: str) -> None:
        async with self.http.delete(f"{collection.format(self.namespace)}/{name}") as response:
            assert response.status in {200, 202}, await response.text()


@pytest.fixture
def scene(http: aiohttp.ClientSession, namespace: str) -> Scene:
    """A namespace of one's own, and the words to set it up."""
    return Scene(http, namespace)
