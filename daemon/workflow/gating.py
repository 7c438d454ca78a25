"""Flagger asks, we answer: at once, bound to the revision, and never on a guess.

How Flagger hears us: 200 to 202 on ``rollback`` means *roll back*, everything else means no; on the other hooks
200 means go on. It asks ``rollback`` once per tick, and not at all while pods are not ready, so the direct
write is the brake and this answer only makes Flagger agree.

What a gate may open on is decided in ``policy.opening``; here checks are run for it, and the answer is given.
"""

import asyncio
from collections.abc import Callable, Mapping

from daemon import ports
from daemon.model import errors
from daemon.model.canary import Canary
from daemon.model.checking import CheckResult, CheckState, Finding, Subject
from daemon.model.decision import Decision, Reason, Verdict
from daemon.model.signal import Hook, HookType
from daemon.model.stages import Profile
from daemon.policy import opening
from daemon.policy.answering import Answer, GateEvidence, cannot_know, no, yes
from daemon.workflow.checking import Checking
from daemon.workflow.gate_sight import INCREASES, Found, GateSight, Terms, names_of, passed_of
from daemon.workflow.recognising import Recogniser
from daemon.workflow.standing import SeenHook, Standings
from daemon.workflow.world import World

RECORDED_ONLY = frozenset({HookType.EVENT, HookType.POST_ROLLOUT})

_JUDGES: Mapping[HookType, Callable[[GateEvidence], Answer]] = {
    HookType.CONFIRM_ROLLOUT: opening.confirm_rollout,
    HookType.PRE_ROLLOUT: opening.pre_rollout,
    HookType.ROLLOUT: opening.rollout,
    HookType.CONFIRM_TRAFFIC_INCREASE: opening.traffic_increase,
    HookType.CONFIRM_PROMOTION: opening.promotion,
}

_NOTHING_TO_LOOK_AT = Finding(CheckState.UNDECIDED, "cannot know: the workload that is released is not known here")


class Gates:
    """Answers hooks. ``fresh`` says whether what we know is recent enough to open anything on."""

    def __init__(
        self,
        *,
        world: World,
        standings: Standings,
        sight: GateSight,
        checking: Checking | None,
        canaries: ports.Canaries | None,
        clock: ports.Clock,
        observer: ports.Observer,
        fresh: Callable[[], bool],
        terms: Terms,
    ) -> None:
        """Without ``checking`` and ``canaries`` it only tells what it would answer, by what the records say."""
        self._world = world
        self._standings = standings
        self._sight = sight
        self._checking = checking
        self._canaries = canaries
        self._clock = clock
        self._observer = observer
        self._terms = terms
        self._recogniser = Recogniser(fresh)

    async def answer(self, hook: Hook) -> Answer:
        """Never later than the bounds of ``Terms``, and one call of the API server where an approval is used."""
        canary = self._world.canary(hook.canary)
        if canary is None:
            answer = _unknown(hook)
        else:
            answer = await self._judge(hook, canary)
            self._standings.of(hook.canary).remember_hook(
                SeenHook(self._clock.now(), hook, answer.opened, answer.decision)
            )
        self._observer.gate_answered(hook, answer.decision, opened=answer.opened)
        return answer

    async def ask(self, kind: HookType, canary: Canary) -> Answer:
        """What the hook is answered where nobody but ourselves drives the canary: checks are run, approvals used."""
        answer = await self._decide(kind, canary, ours=True)
        hook = Hook(kind, canary.ref, canary.phase.value, "", {})
        self._observer.gate_answered(hook, answer.decision, opened=answer.opened)
        return answer

    def would_answer(self, kind: HookType, canary: Canary) -> Answer:
        """What a hook about this revision would be answered now, as far as is known; nothing is run, noted or used."""
        if kind is HookType.ROLLBACK:
            return self._rollback(None, canary)
        profile = self._sight.profile(canary)
        names = names_of(kind, profile)
        subject = self._sight.subject(kind, canary, profile)
        unseen = tuple(CheckResult(name, _NOTHING_TO_LOOK_AT, None) for name in names)
        results = self._sight.known(kind, names, subject) if subject is not None else unseen
        return _JUDGES[kind](self._sight.evidence(kind, canary, Found(results), ours=True))

    # -- one answer

    async def _judge(self, hook: Hook, canary: Canary) -> Answer:
        standing = self._standings.of(hook.canary)
        ours = self._recogniser.is_of_this_revision(hook, canary, standing)
        if hook.type is HookType.ROLLBACK:
            return self._rollback(hook, canary, ours=ours)
        if hook.type in RECORDED_ONLY:
            return yes(Reason.RECORDED, "recorded")
        return await self._decide(
            hook.type, canary, ours=ours or hook.type in {HookType.CONFIRM_ROLLOUT, HookType.ROLLOUT}
        )

    async def _decide(self, kind: HookType, canary: Canary, *, ours: bool) -> Answer:
        found = await self._look(kind, canary, ours=ours)
        # The world may have moved while checks were waited for: a rollback may have begun.
        canary = self._world.canary(canary.ref) or canary
        answer = _JUDGES[kind](self._sight.evidence(kind, canary, found, ours=ours))
        if answer.decision.reason is Reason.APPROVED and answer.opened:
            return await self._use_approval(canary, found)
        return answer

    async def _look(self, kind: HookType, canary: Canary, *, ours: bool) -> Found:
        profile = self._sight.profile(canary)
        subject = self._sight.subject(kind, canary, profile)
        names = names_of(kind, profile)
        unseen = tuple(CheckResult(name, _NOTHING_TO_LOOK_AT if subject is None else None, None) for name in names)
        if profile is None or subject is None or self._checking is None:
            return Found(unseen)
        # A load is begun whether or not anything else is asked; its result is read at a later call.
        load = self._checking.begin(kind, profile.load, subject) if _loads(kind, profile, subject) else None
        if not names or self._is_closed_anyway(kind, canary, ours=ours):
            # Not asked is not passed: a soak may be over by the time that this is judged.
            return Found(unseen, load)
        within = self._terms.pre_rollout_within if kind is HookType.PRE_ROLLOUT else self._terms.answer_within
        passed = passed_of(self._sight.record(canary, kind))
        oldest = self._terms.oldest if kind in INCREASES else None
        found = await self._checking.look(kind, names, subject, within=within, passed=passed, oldest=oldest)
        return Found(found, load)

    def _is_closed_anyway(self, kind: HookType, canary: Canary, *, ours: bool) -> bool:
        """Nothing needs to be asked where the answer is no whatever is found."""
        return kind in INCREASES and opening.waits_for_soak(self._sight.evidence(kind, canary, Found(), ours=ours))

    async def _use_approval(self, canary: Canary, found: Found) -> Answer:
        record, approval = self._sight.record(canary), canary.approval
        if record is None or record.began is None or approval is None or self._canaries is None:
            return cannot_know("the use of the approval cannot be noted")
        if approval.used is None:
            try:
                async with asyncio.timeout(self._terms.answer_within):
                    used = await self._canaries.use_approval(canary.ref, approval, record.began)
                self._world.put_canary(used)
            except (errors.NeighbourError, TimeoutError) as error:
                return cannot_know(f"the use of the approval could not be noted: {error}")
        # It has been written down; whether it still opens anything is decided by what is known now.
        canary = self._world.canary(canary.ref) or canary
        return opening.promotion(self._sight.evidence(HookType.CONFIRM_PROMOTION, canary, found, ours=True))

    def _rollback(self, hook: Hook | None, canary: Canary, *, ours: bool = True) -> Answer:
        if self._sight.standing_rollback(canary) is None:
            return no(Verdict.IGNORE, Reason.NO_ROLLBACK, f"no rollback of revision {canary.revision} is in force")
        standing = self._standings.of(canary.ref)
        if not ours and hook is not None:
            known = standing.checksums.get(canary.identity)
            return cannot_know(
                f"checksum {hook.checksum} is not known to be revision {canary.revision}"
                + (f" (that is {known})" if known else "")
            )
        intent = standing.intent
        return Answer(
            opened=True,
            decision=Decision(Verdict.ROLL_BACK, Reason.ROLLBACK_IN_FORCE, intent.reason if intent else ""),
        )


def _loads(kind: HookType, profile: Profile, subject: Subject) -> bool:
    return bool(profile.load) and kind is HookType.ROLLOUT and subject.weight > 0


def _unknown(hook: Hook) -> Answer:
    if hook.type in RECORDED_ONLY:
        return yes(Reason.RECORDED, "recorded")
    detail = f"no canary {hook.canary} is known here"
    if hook.type is HookType.ROLLBACK:
        return no(Verdict.IGNORE, Reason.NO_ROLLBACK, detail)
    return cannot_know(detail)
