"""What happened, line by line: hooks called, and weights, statuses and replicas written, in their order.

Recorded by whoever does the thing, not by watches: two watches race each other, and a test that compares
lines must not lose to that race. A line about a write is taken from what the API server answered, so it
says what was stored; a write that changed nothing leaves no line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from daemon.sandbox.flagger.api import Json

HOOK = "HOOK"
ROUTES = "VS"
CANARY = "CANARY"
DEPLOY = "DEPLOY"

OWN_ANNOTATIONS = {
    "helm.toolkit.fluxcd.io/driftDetection": "disabled",
    "kustomize.toolkit.fluxcd.io/reconcile": "disabled",
}
"""What Flagger puts on everything it makes, so that Flux leaves it alone."""


@dataclass(slots=True)
class Line:
    """One thing that happened; a HOOK line gets its answer only when there is one."""

    at: float
    key: str
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind} {self.text}"


@dataclass(slots=True)
class Timeline:
    """The lines of all canaries, with times in seconds since the first."""

    on_line: Callable[[Line], None] | None = None
    lines: list[Line] = field(default_factory=list)
    _began: float | None = None
    _waiting: list[tuple[Callable[[Line], bool], asyncio.Future[Line]]] = field(default_factory=list)

    def add(self, key: str, kind: str, text: str) -> Line:
        """Adds a line about the canary ``key`` (``namespace/name``)."""
        now = asyncio.get_running_loop().time()
        if self._began is None:
            self._began = now
        line = Line(now - self._began, key, kind, text)
        self.lines.append(line)
        self._tell(line)
        return line

    def amend(self, line: Line, text: str) -> None:
        """Says what became of a line; whoever waits for lines sees it again."""
        line.text = text
        self._tell(line)

    def of(self, key: str) -> list[Line]:
        return [line for line in self.lines if line.key == key]

    def _tell(self, line: Line) -> None:
        if self.on_line is not None:
            self.on_line(line)
        for wanted, found in self._waiting:
            if not found.done() and wanted(line):
                found.set_result(line)

    async def next(self, wanted: Callable[[Line], bool], *, within: float) -> Line:
        """The next line, new or amended, that ``wanted`` accepts; raises TimeoutError after ``within`` seconds."""
        found: asyncio.Future[Line] = asyncio.get_running_loop().create_future()
        entry = (wanted, found)
        self._waiting.append(entry)
        try:
            async with asyncio.timeout(within):
                return await found
        finally:
            self._waiting.remove(entry)

    async def until(self, wanted: Callable[[Line], bool], *, within: float) -> Line:
        """As ``next``, but a line that is already there counts."""
        for line in self.lines:
            if wanted(line):
                return line
        return await self.next(wanted, within=within)


def routes_text(body: Json) -> str:
    """Weights of each HTTP route, generation, and the annotations and labels that are not Flagger's."""
    routes = [
        "/".join(str(destination.get("weight", 0)) for destination in route.get("route") or ())
        for route in body["spec"].get("http") or ()
    ]
    metadata = body["metadata"]
    foreign = sorted(set(metadata.get("annotations") or ()) - set(OWN_ANNOTATIONS))
    foreign += sorted(metadata.get("labels") or ())
    text = f"weights={' '.join(routes)} gen={metadata.get('generation')}"
    return text + (f" foreign={','.join(foreign)}" if foreign else "")


def status_text(body: Json) -> str:
    status = body.get("status") or {}
    return (
        f"phase={status.get('phase')} canaryWeight={status.get('canaryWeight')}"
        f" failedChecks={status.get('failedChecks')} iterations={status.get('iterations')}"
        f" applied={status.get('lastAppliedSpec')} promoted={status.get('lastPromotedSpec')}"
    )


def deployment_text(body: Json) -> str:
    """Name, replicas asked for, and the revision: the tag of the first container's image."""
    spec = body["spec"]
    image = str(spec["template"]["spec"]["containers"][0].get("image", ""))
    return f"{body['metadata']['name']} replicas={spec.get('replicas', 1)} rev={image.rpartition(':')[2]}"


UNANSWERED = "..."
"""The answer of a hook that is still being called."""


def hook_text(kind: str, phase: str, answer: str, message: str | None) -> str:
    return f"{kind} phase={phase} -> {answer}" + ("" if message is None else f" {message}")
