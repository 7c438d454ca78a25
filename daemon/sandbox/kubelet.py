"""A kubelet and deployment controller in one: says how the pods of Deployments are, without any pods.

Controllers such as Flagger only look at a Deployment's status, so that is all this writes. Pods come up
healthy unless told otherwise; a test or the demo makes a revision's pods NotReady and ready again. By
hand (``settle``) all that will happen has happened when the call returns; free running (``start``) pods
take their time.
"""

from __future__ import annotations

import asyncio
import logging
import math
import ssl as tls
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

from daemon.sandbox.flagger.api import Api, ApiError, Json, deployment
from daemon.sandbox.flagger.canary import fingerprint

log = logging.getLogger(__name__)

MAX_SURGE = 0.25
MAX_UNAVAILABLE = 0.25
DEFAULT_DEADLINE = 600

_SHORTEST_PAUSE = 0.03
_COUNTERS = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas")


@dataclass(frozen=True, slots=True)
class _Rule:
    """Pods of one template, or of every template but that one, are NotReady: so many, or all of them."""

    template: str
    others: bool = False
    pods: int | None = None

    def broken(self, template: str, replicas: int) -> int:
        if (template == self.template) is self.others:
            return 0
        return replicas if self.pods is None else min(self.pods, replicas)


@dataclass(frozen=True, slots=True)
class _Pods:
    """How the pods of a Deployment were left: of which template, how many, and since when they are rolled out."""

    template: str
    count: int
    since: datetime
    complete: bool = False


class FakeKubelet:
    """Keeps the status of the Deployments of some namespaces; ``second`` scales start-up time and deadlines."""

    def __init__(
        self,
        api_url: str,
        *,
        namespaces: Iterable[str],
        second: float = 1.0,
        startup_seconds: float = 0.5,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        headers: Mapping[str, str] | None = None,
        ssl: tls.SSLContext | bool = True,
    ) -> None:
        self._api = Api(api_url, agent="kube-controller-manager", headers=headers, ssl=ssl)
        self._namespaces = tuple(namespaces)
        self._second = second
        self._startup = startup_seconds * second
        self._now = now
        self._rules: dict[tuple[str, str], _Rule] = {}
        self._pods: dict[str, _Pods] = {}
        self._seen: dict[str, tuple[int, float]] = {}
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._api.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.stop()
        finally:
            await self._api.__aexit__(kind, error, trace)

    def start(self) -> None:
        if self._running is not None:
            raise RuntimeError("already running")
        self._running = asyncio.create_task(self._run(), name="fake-kubelet")

    async def stop(self) -> None:
        if self._running is None:
            return
        running, self._running = self._running, None
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        if not running.cancelled() and (failure := running.exception()) is not None:
            raise failure

    async def break_pods(self, namespace: str, name: str, pods: int | None = None) -> None:
        """Pods of the template deployed now are NotReady, recreated ones too: so many, or all."""
        self._rules[namespace, name] = _Rule(await self._template(namespace, name), pods=pods)

    async def break_next_revision(self, namespace: str, name: str) -> None:
        """Pods of any template but the one deployed now never become ready."""
        self._rules[namespace, name] = _Rule(await self._template(namespace, name), others=True)

    def heal_pods(self, namespace: str, name: str) -> None:
        self._rules.pop((namespace, name), None)

    async def settle(self) -> None:
        """Brings every status to where it will stay."""
        for body in await self._deployments():
            await self._publish(body)

    async def _run(self) -> None:
        while True:
            try:
                for body in await self._deployments():
                    if self._has_started(body):
                        await self._publish(body)
            except ApiError as error:
                log.warning("deployments not served: %s", error)
            await asyncio.sleep(max(self._startup / 3, _SHORTEST_PAUSE))

    def _has_started(self, body: Json) -> bool:
        """Whether this change of the spec is old enough for its pods to have come or gone."""
        uid = str(body["metadata"]["uid"])
        generation = int(body["metadata"].get("generation", 0))
        moment = asyncio.get_running_loop().time()
        seen, since = self._seen.get(uid, (-1, 0.0))
        if seen != generation:
            self._seen[uid] = (generation, moment)
            return False
        return moment - since >= self._startup

    async def _deployments(self) -> list[Json]:
        found: list[Json] = []
        for namespace in self._namespaces:
            found += (await self._api.get(deployment(namespace))).get("items") or ()
        return found

    async def _template(self, namespace: str, name: str) -> str:
        return fingerprint((await self._api.get(deployment(namespace, name)))["spec"]["template"])

    async def _publish(self, body: Json) -> None:
        metadata = body["metadata"]
        status = self._status(body)
        before = body.get("status") or {}
        if all(before.get(key, 0) == value for key, value in status.items()):
            return
        try:
            path = deployment(metadata["namespace"], metadata["name"])
            await self._api.merge(f"{path}/status", {"status": status})
        except ApiError as error:
            if not error.missing:
                raise

    def _status(self, body: Json) -> Json:
        uid = str(body["metadata"]["uid"])
        replicas = int(body["spec"].get("replicas", 1))
        template = fingerprint(body["spec"]["template"])
        pods = self._pods.get(uid) or _Pods(template, 0, self._now())
        new_broken = self._broken(body, template, replicas)
        old = pods.count - self._broken(body, pods.template, pods.count) if pods.template != template else 0
        since = pods.since if pods.template == template and pods.count else self._now()
        if old > 0 and new_broken > 0 and replicas > 0:
            counts = _stuck(replicas)
            if pods.complete:
                # The old pods stay: only the moment the rollout began is news.
                self._pods[uid] = _Pods(pods.template, pods.count, self._now())
            since, complete = self._pods[uid].since, False
        else:
            ready = replicas - new_broken
            counts = {"replicas": replicas, "updated": replicas, "ready": ready}
            complete = ready == replicas or (pods.template == template and pods.complete and replicas > 0)
            self._pods[uid] = _Pods(template, replicas, since, complete)
        return {
            "observedGeneration": int(body["metadata"].get("generation", 0)),
            **dict(zip(_COUNTERS, _counters(counts, replicas), strict=True)),
            "conditions": self._conditions(body, counts["ready"], replicas, since, complete=complete),
        }

    def _broken(self, body: Json, template: str, replicas: int) -> int:
        rule = self._rules.get((body["metadata"]["namespace"], body["metadata"]["name"]))
        return 0 if rule is None else rule.broken(template, replicas)

    def _conditions(
        self, body: Json, ready: int, replicas: int, since: datetime, *, complete: bool
    ) -> list[Json]:
        conditions = (body.get("status") or {}).get("conditions") or ()
        before = {condition["type"]: condition for condition in conditions}
        deadline = int(body["spec"].get("progressDeadlineSeconds", DEFAULT_DEADLINE))
        if complete:
            progressing = ("True", "NewReplicaSetAvailable")
        elif since + timedelta(seconds=deadline * self._second) < self._now():
            progressing = ("False", "ProgressDeadlineExceeded")
        else:
            progressing = ("True", "ReplicaSetUpdated")
        if ready >= replicas - math.floor(replicas * MAX_UNAVAILABLE):
            available = ("True", "MinimumReplicasAvailable")
        else:
            available = ("False", "MinimumReplicasUnavailable")
        return [
            self._condition(before.get("Progressing"), "Progressing", *progressing),
            self._condition(before.get("Available"), "Available", *available),
        ]

    def _condition(self, before: Mapping[str, Any] | None, kind: str, status: str, reason: str) -> Json:
        """A condition; its times stay as long as it says the same, and that is what deadlines count from."""
        if before is not None and (before["status"], before["reason"]) == (status, reason):
            return dict(before)
        stamp = self._stamp()
        changed = stamp if before is None or before["status"] != status else before["lastTransitionTime"]
        return {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": f"sandbox: {reason}",
            "lastUpdateTime": stamp,
            "lastTransitionTime": changed,
        }

    def _stamp(self) -> str:
        # Whole seconds as in the real API; where seconds are made shorter they would be too coarse to
        # count from.
        form = "%Y-%m-%dT%H:%M:%SZ" if self._second >= 1 else "%Y-%m-%dT%H:%M:%S.%fZ"
        return self._now().strftime(form)


def _stuck(replicas: int) -> dict[str, int]:
    """A rolling update whose new pods do not become ready: the surge is up, most of the old pods are kept."""
    surge = math.ceil(replicas * MAX_SURGE)
    spared = math.floor(replicas * MAX_UNAVAILABLE)
    return {"replicas": replicas + surge, "updated": surge + spared, "ready": replicas - spared}


def _counters(counts: Mapping[str, int], replicas: int) -> tuple[int, int, int, int, int]:
    ready = counts["ready"]
    return (
        counts["replicas"],
        counts["updated"],
        ready,
        ready,
        max(0, counts["replicas"] - ready, replicas - ready),
    )
