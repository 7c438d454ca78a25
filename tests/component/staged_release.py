"""A staged release in seconds: the Flagger stand-in drives, the daemon gates, a stub answers its checks."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import itertools
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from aiohttp import web

from daemon.sandbox.flagger.canary import Canary
from tests import builders
from tests.checks import serving
from tests.cluster import Cluster
from tests.component.flagger_fight import Fight, ago, fight
from tests.component.flagger_stories import HOOKS
from tests.running import Daemon, eventually
from tests.scene import CANARIES, Scene

SOAK = 0.4
"""Seconds of every stage."""
STEPS = {"analysis": {"stepWeights": [5, 25, 50], "maxWeight": 50}}
REVISIONS = "/apis/pullback.dev/v1alpha1/namespaces/{}/canaryrevisions"
INITIALIZED = ("full-life", "Initialization done!")


@dataclasses.dataclass(slots=True)
class Surroundings:
    """What checks ask: a smoke test, what makes load, and a Prometheus that knows one number."""

    url: str = ""
    smoke: int = 200
    load: int = 202
    errors: float | None = 0.0
    """Percent; None: no data."""
    prometheus_down: bool = False
    slow: float = 0.0
    smoked: list[str] = dataclasses.field(default_factory=list)
    """Which revisions a smoke test was said to be of."""
    asked: dict[str, int] = dataclasses.field(default_factory=dict)
    at_once: dict[str, int] = dataclasses.field(default_factory=dict)
    most_at_once: dict[str, int] = dataclasses.field(default_factory=dict)

    async def handle(self, request: web.Request) -> web.Response:
        kind = request.path[1:] if request.path in {"/smoke", "/load"} else "prometheus"
        self.asked[kind] = self.asked.get(kind, 0) + 1
        self.smoked += request.query.getall("of", [])
        self.at_once[kind] = self.at_once.get(kind, 0) + 1
        self.most_at_once[kind] = max(self.most_at_once.get(kind, 0), self.at_once[kind])
        try:
            await asyncio.sleep(self.slow)
            return self._answer(kind)
        finally:
            self.at_once[kind] -= 1

    def _answer(self, kind: str) -> web.Response:
        if kind == "load":
            return web.Response(status=self.load, text="ok")
        if kind == "smoke":
            return web.Response(status=self.smoke, text="ok")
        if self.prometheus_down:
            return web.Response(status=503, text="down")
        found = [] if self.errors is None else [{"metric": {}, "value": [0, str(self.errors)]}]
        answer = {"status": "success", "data": {"resultType": "vector", "result": found}}
        return web.Response(text=json.dumps(answer), content_type="application/json")


@contextlib.asynccontextmanager
async def surroundings() -> AsyncIterator[Surroundings]:
    stub = Surroundings()
    async with serving(stub.handle) as stub.url:
        yield stub


def settings(stub: Surroundings, *, soak: float = SOAK, **promotion: Any) -> dict[str, Any]:
    """The seed's table of stages, in seconds."""
    return {
        "policy": {
            "stages": [{"weight": weight, "soak": soak} for weight in (0, 5, 25, 50)],
            "promotion": {"approval": "required", **promotion},
        },
        "gates": {
            "retry": 0.05,
            "recheck": 0.05,
            "checks": {
                "smoke": {"kind": "http", "url": f"{stub.url}/smoke?of=$revision"},
                "load": {"kind": "http", "url": f"{stub.url}/load", "method": "POST"},
                "error-rate": {"kind": "promql", "url": stub.url, "query": "errors[$window]", "max": 0.5},
            },
            "profiles": {"default": {"pre_rollout": ["smoke"], "rollout": ["error-rate"]}},
        },
    }


@dataclasses.dataclass(slots=True)
class Release:
    """One release, and the words to drive it and to look at it."""

    here: Fight
    scene: Scene
    stub: Surroundings
    others: list[Daemon] = dataclasses.field(default_factory=list)
    """Further replicas; the hooks then ask one after the other."""
    answered: dict[int, int] = dataclasses.field(default_factory=dict)
    """How many hooks each replica has answered, where there are several."""

    async def until(self, phase: str, *, within: float = 15.0) -> list[str]:
        """Flagger ticks every tenth of a second until the canary is in that phase; what it did meanwhile."""
        before = len(self.here.lab.told())

        async def there() -> bool:
            if await self.here.phase() == phase:
                return True
            await self.here.tick()
            return await self.here.phase() == phase

        await eventually(there, within=within, every=0.1)
        return self.here.lab.told()[before:]

    async def until_weight(self, weight: int, *, within: float = 10.0) -> None:
        """Until the routes say so, and the record too."""

        async def there() -> bool:
            if (await self.here.lab.weights())[1] == weight:
                return True
            await self.here.tick()
            return (await self.here.lab.weights())[1] == weight

        async def recorded() -> bool:
            running = [one for one in await self.records() if one.get("status", {}).get("phase") == "Analysing"]
            return any(weights(one)[-1:] == [weight] for one in running)

        await eventually(there, within=within, every=0.1)
        await eventually(recorded)

    async def annotate(self, **annotations: str | None) -> None:
        """``approved_by`` is the annotation pullback.dev/approved-by; None takes it away."""
        named = {f"pullback.dev/{key.replace('_', '-')}": value for key, value in annotations.items()}
        await self.scene.merge(CANARIES, "podinfo", {"metadata": {"annotations": named}})

    async def approve(self, revision: str | None = None, **annotations: str) -> None:
        until = ago(hours=-1)
        said = {"approved_by": "captain@example.com", "approved_until": until, **annotations}
        await self.annotate(approved=revision or await self.here.revision(), **said)

    async def records(self) -> list[builders.Json]:
        path = REVISIONS.format(self.scene.namespace)
        async with self.scene.http.get(path) as response:
            assert response.status == 200, await response.text()
            items: list[builders.Json] = (await response.json())["items"]
            return items

    async def record(
        self, phase: str, *, revision: str | None = None, stages: Sequence[float] | None = None
    ) -> builders.Json:
        """The record of a revision, once it is in that phase and says that these were its weights: it is written
        beside everything else."""
        wanted = revision or await self.here.revision()

        async def found() -> builders.Json | None:
            records = [one for one in await self.records() if one.get("status", {}).get("revision") == wanted]
            assert len(records) <= 1, [one["metadata"]["name"] for one in records]
            if not records or records[0]["status"].get("phase") != phase:
                return None
            return records[0] if stages is None or weights(records[0]) == list(stages) else None

        record: builders.Json = await eventually(found)
        return record

    async def track_configs(self, version: str) -> None:
        """What Flagger writes when a ConfigMap that belongs to the revision is seen, or seen to have changed."""
        await self.scene.merge(CANARIES, "podinfo/status", {"status": {"trackedConfigs": {"configmap/app": version}}})

    async def asked(self, hook: str) -> tuple[int, str]:
        """What a hook about the revision under analysis is answered now, word by word."""
        checksum = Canary(await self.here.lab.canary()).checksum
        return await self.here.daemon.hook(hook, builders.hook(self.scene.namespace, checksum=checksum))

    async def refused(self, hook: str) -> str:
        """The reason with which a hook is refused; empty when it is not."""
        status, said = await self.asked(hook)
        return said.partition(":")[0] if status == 403 else ""

    async def shown(self, replica: int = 0) -> builders.Json:
        """The canary with its timelines, as the daemon shows it."""
        daemon = [self.here.daemon, *self.others][replica]
        status, text = await daemon.get(f"/api/v1/canaries/{self.scene.namespace}/podinfo")
        assert status == 200, text
        document: builders.Json = json.loads(text)
        return document


@contextlib.asynccontextmanager
async def staged(
    cluster: Cluster,
    scene: Scene,
    folder: Path,
    *,
    given: dict[str, Any] | None = None,
    replicas: int = 1,
    **groups: builders.Json,
) -> AsyncIterator[Release]:
    """A new revision lies in the workload, and Flagger has not looked yet.

    ``given`` are terms of ``settings``, ``groups`` settings of the daemon over those.
    """
    async with contextlib.AsyncExitStack() as stack:
        stub = await stack.enter_async_context(surroundings())
        configured = settings(stub, **(given or {}))
        for group, fields in groups.items():
            configured[group] = {**configured.get(group, {}), **fields}
        entered = fight(cluster, scene, folder, until=INITIALIZED, settings=STEPS, groups=configured)
        here = await stack.enter_async_context(entered)
        release = Release(here, scene, stub)
        for _ in range(replicas - 1):
            release.others.append(await stack.enter_async_context(here.open_daemon()))
        if release.others:
            url = await stack.enter_async_context(alternating(release))
            await _ask(release, url)
        await here.lab.push("2")
        yield release


@contextlib.asynccontextmanager
async def alternating(release: Release) -> AsyncIterator[str]:
    """A Service in front of all replicas: each call goes to the next one."""
    daemons = [release.here.daemon, *release.others]
    turn = itertools.cycle(range(len(daemons)))

    async def forward(request: web.Request) -> web.Response:
        replica = next(turn)
        release.answered[replica] = release.answered.get(replica, 0) + 1
        async with daemons[replica].http.post(request.path, data=await request.read()) as answer:
            return web.Response(status=answer.status, body=await answer.read())

    async with serving(forward) as url:
        yield url


async def _ask(release: Release, url: str) -> None:
    hooks = [
        {"name": f"hook-{kind}", "type": kind, "url": f"{url}/webhooks/flagger/{kind}"} for kind in HOOKS
    ]
    await release.here.lab.edit_canary({"analysis": {"webhooks": hooks}})


def moment(seen: builders.Json) -> float:
    """When a weight was seen, in seconds."""
    return datetime.datetime.fromisoformat(seen["since"]).timestamp()


def weights(record: builders.Json) -> list[float]:
    """The weights it went through."""
    return [one["weight"] for one in record["status"].get("weights", [])]


def lines(record: builders.Json, *kinds: str) -> list[str]:
    """What the timeline says of these kinds, oldest first."""
    return [one["text"] for one in record["status"]["timeline"] if one["kind"] in kinds]
