"""A laboratory around the Flagger stand-in: a hook server with switchable answers, a third party, and stories.

A story (tests/data/flagger/*.txt, see the README there) says what was done and what happened next. ``replay`` does
the former and returns what happened here, in the same words, so that the two can be compared line by line.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from daemon.sandbox.flagger import Flagger, Timeline
from daemon.sandbox.flagger.api import Api, Json, deployment, namespaced, version_of
from daemon.sandbox.flagger.canary import canaries
from daemon.sandbox.flagger.timeline import DEPLOY, ROUTES, UNANSWERED, deployment_text, routes_text
from daemon.sandbox.kubelet import FakeKubelet
from tests.cluster import Cluster
from tests.component.flagger_stories import NAME, Step, Story, canary_body, deployment_body

BEGINNING = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)


@dataclass(slots=True)
class Clock:
    """Wall clock of a replay: it says what the story says."""

    at: float = 0.0

    def __call__(self) -> datetime:
        return BEGINNING + timedelta(seconds=self.at)


@dataclass(slots=True)
class Stub:
    """Answers hooks, and keeps what they were sent."""

    url: str = ""
    answers: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    received: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    before_answer: Callable[[], Awaitable[None]] | None = None

    async def handle(self, request: web.BaseRequest) -> web.Response:
        kind = request.path.rpartition("/")[2]
        self.received.append((kind, await request.text(), dict(request.headers)))
        if self.before_answer is not None:
            await self.before_answer()
        await asyncio.sleep(self.seconds.get(kind, 0.0))
        return web.Response(status=self.answers.get(kind, 403 if kind == "rollback" else 200))


@asynccontextmanager
async def hook_server() -> AsyncIterator[Stub]:
    stub = Stub()
    runner = web.ServerRunner(web.Server(stub.handle, access_log=None), shutdown_timeout=0.2)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        stub.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield stub
    finally:
        await runner.cleanup()


@dataclass(slots=True)
class Lab:
    """Everything around one canary called podinfo."""

    namespace: str
    api: Api
    stub: Stub
    flagger: Flagger
    kubelet: FakeKubelet
    clock: Clock
    timeline: Timeline
    _inside: dict[int, str] = field(default_factory=dict)
    _calls: int = 0

    @property
    def key(self) -> str:
        return f"{self.namespace}/{NAME}"

    async def canary(self) -> Json:
        return await self.api.get(canaries(self.namespace, NAME))

    async def routes(self) -> Json:
        return await self.api.get(self._routes)

    async def weights(self) -> list[int]:
        found = await self.routes()
        return [int(destination["weight"]) for destination in found["spec"]["http"][0]["route"]]

    async def target(self, name: str = NAME) -> Json:
        return await self.api.get(deployment(self.namespace, name))

    @property
    def _routes(self) -> str:
        return namespaced("networking.istio.io", "v1", self.namespace, "virtualservices", NAME)

    async def replay(self, story: Story) -> list[str]:
        """Does what the story's lab did, when it did it, and returns what came of it."""
        self.stub.before_answer = self._act_inside
        for step in story.steps:
            await self.play(step)
        return self.told()

    async def play_until(self, name: str, text: str) -> None:
        """Plays a story up to the step whose lines end with this text (or a message that begins with it)."""
        for step in Story.read(name).steps:
            await self.play(step)
            if step.lines and text in step.lines[-1]:
                return
        raise ValueError(f"{name} has no step that ends with {text}")

    async def come_to(self, lines: int, *, within: float) -> None:
        """Waits until there are so many lines, the last of them with its answer."""

        def there() -> bool:
            told = self.timeline.lines
            return len(told) >= lines and f"-> {UNANSWERED}" not in told[lines - 1].text

        if not there():
            await self.timeline.next(lambda _: there(), within=within)

    async def play(self, step: Step) -> None:
        self.clock.at = step.at
        kind, _, action = step.text.partition(" ")
        await self.kubelet.settle()
        if kind == "LAB":
            await self.act(action)
        else:
            self._inside, self._calls = step.actions_inside(), 0
            self.timeline.add(self.key, kind, "")
            await (self.flagger.tick(self.namespace, NAME) if kind == "TICK" else self.flagger.notice())
        await self.kubelet.settle()

    def told(self) -> list[str]:
        """The timeline in the words of the stories: A, B, C for hashes in order of appearance, no addresses."""
        text = "\n".join(str(line).strip() for line in self.timeline.of(self.key))
        text = text.replace(f".{self.namespace}", ".test").replace(self.stub.url, "http://hooks")
        revisions: dict[str, str] = {"None": "None"}

        def letter(match: re.Match[str]) -> str:
            known = revisions.setdefault(match[2], chr(ord("A") + len(revisions) - 1))
            return f"{match[1]}={known}"

        return re.sub(r"(applied|promoted)=(\w+)", letter, text).splitlines()

    async def _act_inside(self) -> None:
        self._calls += 1
        if self._calls in self._inside:
            await self.act(self._inside[self._calls])

    async def act(self, action: str) -> None:
        """One of the things a lab does; the timeline says so, and what it changed."""
        self.timeline.add(self.key, "LAB", action)
        match action.split():
            case ["revision", tag]:
                await self.push(tag)
            case ["weights", weights]:
                await self.set_weights(*map(int, weights.split("/")))
            case ["answer", hook, status]:
                self.stub.answers[hook] = int(status)
            case ["scale", replicas]:
                await self._merge_deployment({"replicas": int(replicas)})
            case ["break", name]:
                await self.kubelet.break_pods(self.namespace, name)
            case ["break-next", name]:
                await self.kubelet.break_next_revision(self.namespace, name)
            case ["heal", name]:
                self.kubelet.heal_pods(self.namespace, name)
            case ["suspend", said]:
                await self.edit_canary({"suspend": said == "true"})
            case ["deadline", seconds]:
                await self.edit_canary({"progressDeadlineSeconds": int(seconds)})
            case ["annotate"]:
                await self._merge_routes({"metadata": {"annotations": {"lab.example/by": "lab"}}})
            case ["label"]:
                await self._merge_routes({"metadata": {"labels": {"lab": "yes"}}})
            case _:
                raise ValueError(action)

    async def push(self, tag: str) -> None:
        """Deploys another revision of the app."""
        template = (await self.target())["spec"]["template"]
        template["spec"]["containers"][0]["image"] = f"{NAME}:{tag}"
        await self._merge_deployment({"template": template})

    async def set_weights(self, primary: int, canary: int) -> None:
        """What a third party does: only weights change."""
        http = (await self.routes())["spec"]["http"]
        http[0]["route"][0]["weight"], http[0]["route"][1]["weight"] = primary, canary
        await self._merge_routes({"spec": {"http": http}})

    async def edit_canary(self, spec: Json) -> None:
        await self.api.merge(canaries(self.namespace, NAME), {"spec": spec})

    async def _merge_routes(self, change: Json) -> None:
        stored = await self.api.merge(self._routes, change)
        self.timeline.add(self.key, ROUTES, routes_text(stored))

    async def _merge_deployment(self, spec: Json) -> None:
        before = await self.target()
        stored = await self.api.merge(deployment(self.namespace, NAME), {"spec": spec})
        if version_of(stored) != version_of(before):
            self.timeline.add(self.key, DEPLOY, deployment_text(stored))


@asynccontextmanager
async def laboratory(
    cluster: Cluster, namespace: str, settings: Json | None = None, **options: Any
) -> AsyncIterator[Lab]:
    """A target and its Canary in an API, and a Flagger and a kubelet that wait to be told."""
    settings = {"analysis": {"stepWeight": 5, "maxWeight": 50}, **(settings or {})}
    headers = {"Authorization": f"Bearer {cluster.token}"} if cluster.token else {}
    reach: dict[str, Any] = {"headers": headers, "ssl": not cluster.url.startswith("https")}
    clock, timeline = Clock(), Timeline()
    common = {**reach, "namespaces": [namespace], "now": clock, **options}
    idle = {"leave_connections_idle": common.pop("leave_connections_idle", False)}
    async with (
        hook_server() as stub,
        Api(cluster.url, agent="lab", **reach) as api,
        Flagger(cluster.url, timeline=timeline, **idle, **common) as flagger,
        FakeKubelet(cluster.url, **common) as kubelet,
    ):
        stub.answers.update(settings.get("hooks", {}))
        await api.create(deployment(namespace), deployment_body(namespace, settings))
        await api.create(canaries(namespace), canary_body(namespace, stub.url, settings))
        yield Lab(namespace, api, stub, flagger, kubelet, clock, timeline)
