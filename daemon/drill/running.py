"""Runs one drill from its canary to its result, and cleans up whatever happened."""

import asyncio
import contextlib
import dataclasses

import aiohttp

from daemon import bootstrap, ports
from daemon.adapters import flagger, ledger
from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.adapters.kubernetes.resources import CANARIES, ROLLBACKS
from daemon.drill import chain, objects
from daemon.drill.alerting import Alerting
from daemon.drill.chain import BrokenLinkError, Course, Link
from daemon.drill.following import Follower
from daemon.drill.stage import Stage
from daemon.model import errors
from daemon.model.canary import CanaryRef
from daemon.model.drill import DrillOutcome, DrillResult
from daemon.model.rollback import Amendment, NewRollback, RollbackPhase, Timeline, Trigger
from daemon.settings import Settings

_SPARE = 60.0
"""Seconds beyond its timeout after which a drill's canary counts as left behind."""
_OTHER_REPLICAS = 0.5
"""Seconds in which every replica sees what one has seen."""


@dataclasses.dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for on the command line. ``shadow`` names a real canary; empty: a drill's own."""

    namespace: str
    shadow: str
    urls: tuple[str, ...]
    timeout: float
    keep: bool


async def drill(settings: Settings, wish: Wish) -> Course:
    """The whole drill. Raises PullbackError for what is no broken link: another drill, no such canary."""
    client = await KubernetesClient.connect(
        kubeconfig=settings.kubernetes.kubeconfig,
        context=settings.kubernetes.context,
        timeout=settings.kubernetes.timeout * 5,
    )
    async with client, aiohttp.ClientSession(trust_env=True) as session:
        return await Drill(settings, wish, client, session, bootstrap.Surroundings().clock).run()


class Drill:
    """One drill."""

    def __init__(
        self, settings: Settings, wish: Wish, client: KubernetesClient, session: aiohttp.ClientSession,
        clock: ports.Clock,
    ) -> None:  # fmt: skip
        self._wish = wish
        self._client = client
        self._clock = clock
        name = wish.shadow or objects.NAME
        shadow = bool(wish.shadow)
        self.course = Course(wish.namespace, name, objects.identity(clock.now()), shadow, wish.timeout)
        self._labels = objects.labels(wish.namespace, name, self.course.identity, settings.label_names, shadow=shadow)
        self._alerting = Alerting(session, settings, wish.urls)
        self._stage = Stage(client, wish.namespace)
        self._follower = Follower(client, self.course)

    async def run(self) -> Course:
        course = self.course
        try:
            await self._along_the_chain()
            course.broken = chain.too_late(course)
        except BrokenLinkError as broken:
            course.broken = broken
        except errors.NeighbourError as error:
            course.broken = BrokenLinkError(Link.SETUP, f"this drill can go no further: {error}")
        except asyncio.CancelledError:
            course.broken = BrokenLinkError(Link.INTERRUPTED, "the drill was stopped before its end")
            await self._end()
            raise
        except BaseException:
            await self._clean_up()
            raise
        await self._end()
        return course

    async def _along_the_chain(self) -> None:
        course, follower = self.course, self._follower
        revision = await self._canary()
        await follower.seen(revision)
        await asyncio.sleep(_OTHER_REPLICAS)
        now = self._clock.now()
        await self._alerting.fire(self._labels, now, course.timeout)
        course.posted_at = now
        silence = await follower.heard()
        if silence:
            raise await self._unheard(silence)
        if course.shadow:
            await follower.rehearsed(self._left())
            return
        await follower.zeroed(self._stage.share, self._left())
        await follower.proved(self._left())
        await self._stage.enter("Failed", revision, self._clock.now())
        await follower.completed()

    async def _canary(self) -> str:
        """Its revision."""
        wish, now = self._wish, self._clock.now()
        if wish.shadow:
            try:
                seen = flagger.read_canary(await self._client.get(CANARIES, wish.namespace, wish.shadow))
            except errors.Missing:
                raise errors.PullbackError(f"no canary {wish.shadow} in namespace {wish.namespace}") from None
            if not seen.under_analysis:
                raise errors.PullbackError(
                    f"{CanaryRef(wish.namespace, wish.shadow)} is not under analysis (phase {seen.phase or 'not set'})"
                    ": an alert about it would be ignored"
                )
            return seen.revision
        await self._stage.sweep(now)
        await self._stage.set(self.course.identity, now, wish.timeout + _SPARE)
        return self.course.identity

    async def _unheard(self, silence: str) -> BrokenLinkError:
        with contextlib.suppress(errors.NeighbourError):
            if not self.course.shadow and await self._stage.share() == 0:
                return BrokenLinkError(
                    Link.RECORD, "the webhook came and the route is at 0, but there is no record, so Alertmanager is "
                    f"told 503: may the daemon create rollbacks.pullback.dev in namespace {self._wish.namespace}?"
                )  # fmt: skip
        whereabouts = await self._alerting.whereabouts(self.course.identity)
        return BrokenLinkError(
            Link.WEBHOOK, f"Alertmanager has the alert, and nothing was heard of its webhook for {silence}"
            + (f"; {whereabouts}" if whereabouts else "")
            + ". Look at: the route (amtool config routes test "
            + " ".join(f"{name}={value}" for name, value in self._labels.items())
            + " must name Pullback's receiver), its group_wait, the receiver's URL and token, and Alertmanager's log"
        )  # fmt: skip

    def _left(self) -> float:
        assert self.course.posted_at is not None  # noqa: S101 - only asked after that
        spent = (self._clock.now() - self.course.posted_at).total_seconds()
        return max(0.1, self.course.timeout - spent)

    # -- the end

    async def _end(self) -> None:
        """Cleans up, then says in the record how it went: what is written last is what was found."""
        await self._clean_up()
        await self._follower.look()
        try:
            await self._note()
        except errors.NeighbourError as error:
            self.course.left.append(f"no record of this drill could be written: {error}")

    async def _clean_up(self) -> None:
        course, now = self.course, self._clock.now()
        if course.posted_at is not None:
            await self._alerting.resolve(self._labels, course.posted_at, now)
        course.left += await self._stage.strike(keep=self._wish.keep)

    async def _note(self) -> None:
        course, now = self.course, self._clock.now()
        broken = course.broken
        outcome = DrillOutcome.PASSED if broken is None else DrillOutcome.FAILED
        result = DrillResult(outcome, now, "" if broken is None else f"{broken.link}: {broken}")
        amendment = Amendment(drill_result=result)
        if course.record is not None:
            course.noted = course.record.name
        else:
            assert broken is not None  # noqa: S101 - whatever passes has a record
            made = await ledger.KubernetesLedger(self._client).open(self._failed(broken))
            course.noted = made.name
            amendment = Amendment(
                phase=RollbackPhase.FAILED, message=result.message, drill_result=result,
                timeline=Timeline(started_at=made.started_at, completed_at=now),
            )  # fmt: skip
        # Whatever the daemon writes meanwhile: these fields are ours.
        body = {"status": ledger.as_status(amendment)}
        await self._client.merge(ROLLBACKS, course.namespace, course.noted, body, subresource="status")

    def _failed(self, broken: BrokenLinkError) -> NewRollback:
        """A drill without a record must be seen too. To make one is to ask for a rollback, so it is a dry run."""
        course, now = self.course, self._clock.now()
        return NewRollback(
            namespace=course.namespace, name=f"{course.canary[:200]}-{course.identity}-{broken.link}",
            canary=CanaryRef(course.namespace, course.canary), revision=course.identity, trigger=Trigger.OPERATOR,
            reason=f"drill failed: {broken.link}", requested_by="pullback drill", signal=None, dry_run=True,
            started_at=course.posted_at or now, decided_at=now, drill=True,
        )  # fmt: skip
