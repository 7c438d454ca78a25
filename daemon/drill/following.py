"""Follows one drill along the chain, link by link; where it goes no further, that link is broken."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from daemon.adapters import drill_log, ledger
from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.adapters.kubernetes.resources import CANARY_REVISIONS, EVENTS, ROLLBACKS
from daemon.drill.chain import BrokenLinkError, Course, Link
from daemon.model import drill, errors
from daemon.model.rollback import Milestone, Rollback, RollbackPhase

T = TypeVar("T")

_POLL = 0.2
SEEN_WITHIN, HEARD_WITHIN, ENDED_WITHIN = 15.0, 30.0, 30.0
"""Seconds at most for what is no clock of the promise; never more than half of the whole."""


class Follower:
    """Reads the API server only: what a person would see. A read that fails is tried again until time runs out."""

    def __init__(self, client: KubernetesClient, course: Course) -> None:
        self._client = client
        self._course = course

    def within(self, most: float) -> float:
        return min(most, self._course.timeout / 2)

    async def seen(self, revision: str) -> None:
        """Until a daemon has recorded the canary's revision: an alert about what it has not seen is about nobody."""
        course = self._course

        async def recorded() -> bool:
            items, _ = await self._client.list(CANARY_REVISIONS, course.namespace)
            return any(
                item["spec"].get("canaryRef", {}).get("name") == course.canary
                and (item.get("status") or {}).get("revision") == revision
                for item in items
            )

        within = self.within(SEEN_WITHIN)
        if not await self._until(recorded, within, Link.DAEMON):
            raise BrokenLinkError(
                Link.DAEMON, f"no Pullback has taken notice of the canary for {within:g} s: does one run, does it "
                f"watch namespace {course.namespace} (kubernetes.namespaces), may it create canaryrevisions?"
            )  # fmt: skip

    async def heard(self) -> str:
        """Until the alert has led to a record, which is then the course's. Raises when the daemon ignored it; returns
        for how long nothing was heard, if so."""
        ignored = ""

        async def answered() -> bool:
            nonlocal ignored
            self._course.record = await self._found()
            if self._course.record is None:
                ignored = await self._ignored()
            return self._course.record is not None or bool(ignored)

        within = self.within(HEARD_WITHIN)
        came = await self._until(answered, within, Link.WEBHOOK)
        if ignored:
            raise BrokenLinkError(
                Link.JUDGEMENT, f"the webhook came, and the daemon ignored the alert: {ignored} (`pullback explain` "
                "tells which rule speaks for it)"
            )  # fmt: skip
        return "" if came else f"{within:g} s"

    async def zeroed(self, share: Callable[[], Awaitable[float]], seconds: float) -> None:
        """Until the record says zero, and the route does."""
        record = await self._reached(lambda one: one.timeline.zeroed_at is not None, Link.WRITE, seconds)
        if record.timeline.zeroed_at is None:
            raise BrokenLinkError(Link.WRITE, f"the route was not written within {seconds:g} s: {_why(record)}")
        left = await share()
        if left > 0:
            raise BrokenLinkError(Link.WRITE, f"the record says 0%, and the route still gives the canary {left:g}%")

    async def proved(self, seconds: float) -> None:
        record = await self._reached(lambda one: one.timeline.proved_at is not None, Link.PROOF, seconds)
        if record.timeline.proved_at is None:
            raise BrokenLinkError(
                Link.PROOF, f"at 0%, but not proved within the time: {_why(record)}; does a replica lead (`pullback_"
                "leader`), does the Prometheus of proof.prometheus_url answer?"
            )  # fmt: skip

    async def rehearsed(self, seconds: float) -> None:
        """Of a shadow drill: decided, and nothing written."""
        record = await self._reached(lambda one: one.phase is RollbackPhase.DRY_RUN, Link.RECORD, seconds)
        if record.phase is not RollbackPhase.DRY_RUN or not record.dry_run or record.timeline.zeroed_at is not None:
            raise BrokenLinkError(Link.RECORD, f"expected a dry run, the record is {record.phase}: {_why(record)}")

    async def completed(self) -> None:
        within = self.within(ENDED_WITHIN)
        record = await self._reached(lambda one: one.finished, Link.COMPLETION, within)
        if record.phase is not RollbackPhase.COMPLETED:
            raise BrokenLinkError(
                Link.COMPLETION, f"the controller says Failed, and {within:g} s later the rollback is {record.phase}: "
                f"{_why(record)}"
            )  # fmt: skip

    async def look(self) -> None:
        """The record once more, as it is now; best effort."""
        course = self._course
        try:
            if course.record is not None:
                course.record = await self._read(course.record)
            elif course.posted_at is not None:
                course.record = await self._found()
        except errors.NeighbourError:
            return

    # -- reading

    async def _reached(self, there: Callable[[Rollback], bool], link: Link, seconds: float) -> Rollback:
        async def moved() -> bool:
            record = self._course.record
            assert record is not None  # noqa: S101 - heard() comes first
            self._course.record = record = await self._read(record)
            return there(record) or self._is_hopeless(record, link)

        await self._until(moved, seconds, link)
        assert self._course.record is not None  # noqa: S101
        return self._course.record

    def _is_hopeless(self, record: Rollback, link: Link) -> bool:
        """Raises for what no waiting mends."""
        if link is Link.WRITE and record.dry_run:
            raise BrokenLinkError(link, "the daemon only rehearses (rollback.dry_run): it decides, and writes no route")
        if link is Link.WRITE and record.phase is RollbackPhase.ESCALATED:
            raise BrokenLinkError(link, _refused(record))
        return record.finished

    async def _read(self, record: Rollback) -> Rollback:
        return ledger.read_rollback(await self._client.get(ROLLBACKS, record.namespace, record.name))

    async def _found(self) -> Rollback | None:
        items, _ = await self._client.list(ROLLBACKS, self._course.namespace)
        records = map(ledger.read_rollback, items)
        return next((one for one in records if _is_of(one, self._course)), None)

    async def _ignored(self) -> str:
        selector = f"involvedObject.name={self._course.canary}"
        items, _ = await self._client.list(EVENTS, self._course.namespace, fields=selector)
        return next(filter(None, (drill_log.reason_of(item, self._course.identity) for item in items)), "")

    async def _until(self, holds: Callable[[], Awaitable[bool]], seconds: float, link: Link) -> bool:
        """Whether it held before the time was over. Raises when the API server said no, or nothing, all that time."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while True:
            problem: errors.NeighbourError | None = None
            try:
                if await holds():
                    return True
            except errors.Refused as error:
                raise BrokenLinkError(link, f"this drill may not see how far it has come: {error}") from error
            except errors.NeighbourError as error:
                problem = error
            if loop.time() >= until:
                if problem is not None:
                    raise BrokenLinkError(link, f"the API server cannot be asked: {problem}") from problem
                return False
            await asyncio.sleep(_POLL)


def _is_of(record: Rollback, course: Course) -> bool:
    labels: Any = record.signal.labels if record.signal is not None else {}
    return record.canary.name == course.canary and labels.get(drill.ID_LABEL) == course.identity


def _refused(record: Rollback) -> str:
    said = next((one.message for one in record.conditions if one.type is Milestone.ESCALATED), record.message)
    if "HTTP 403" in said or "HTTP 401" in said:
        return (
            f"the daemon may not write the route: it needs `patch virtualservices.networking.istio.io` in namespace "
            f"{record.namespace}; the API server said: {said}"
        )
    return f"the route was not written: {said}"


def _why(record: Rollback) -> str:
    return record.message or f"the record is {record.phase}"
