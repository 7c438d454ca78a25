"""One pass over one canary: gather, decide, plan, execute, remember, tell. Level-based: run it as often as you like."""

import dataclasses
from collections.abc import Callable, Sequence

from daemon import ports
from daemon.model import errors
from daemon.model.brake import SecondBrake
from daemon.model.canary import CanaryRef
from daemon.model.decision import ENDINGS, HANDS_OFF, Decision, Evidence, Reason, Verdict
from daemon.model.outcome import Outcome, StepOutcome
from daemon.model.plan import AmendRecord, DivertService, OpenRecord, Plan, RestoreRoute, ScaleCanary, ZeroRoute
from daemon.policy import deciding, gitops, planning, returning
from daemon.workflow.executing import Executor
from daemon.workflow.gathering import Gatherer
from daemon.workflow.letters import Judge, Letter, Waiting
from daemon.workflow.standing import Standing, Standings
from daemon.workflow.world import World

_WHILE_RELEASING = 0.25
"""Seconds between two looks until every replica knows of a release."""
_AT_ONCE = 5
"""How often a pass follows another without a pause, when conflicts or rewrites call for it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Pace:
    """How a pass tries again; seconds."""

    backoff_first: float = 0.05
    backoff_most: float = 2.0
    """A rollback is never tried again later than this, whatever failed (429: twice this)."""


class Passes:
    """Runs passes. One at a time per canary: the mailbox sees to that."""

    def __init__(
        self,
        *,
        world: World,
        standings: Standings,
        gatherer: Gatherer,
        judge: Judge,
        executor: Executor,
        observer: ports.Observer,
        chance: ports.Chance,
        break_glass: Callable[[Evidence], Sequence[str]],
        pace: Pace,
        second_brake: SecondBrake,
        argocd_namespace: str = "argocd",
    ) -> None:
        """``argocd_namespace``: of Applications that a route names without theirs."""
        self._world = world
        self._standings = standings
        self._gatherer = gatherer
        self._judge = judge
        self._executor = executor
        self._observer = observer
        self._chance = chance
        self._break_glass = break_glass
        self._pace = pace
        self._second_brake = second_brake
        self._argocd_namespace = argocd_namespace

    async def run(self, ref: CanaryRef, letters: Sequence[Letter]) -> float | None:
        """Returns in how many seconds to look again, None when nothing is left to do until something happens."""
        standing = self._standings.of(ref)
        evidence = self._look(ref, standing)
        waiting = self._judge.read(letters, standing, evidence)
        if letters:
            evidence = self._look(ref, standing)  # a rollback may just have begun
        decision = self._decide(standing, evidence)
        steps = [*waiting.for_gate, *planning.gate_steps(evidence), *planning.superseded_steps(evidence)]
        if decision is not None:
            steps += planning.plan(evidence, decision, self._second_brake).steps
        if standing.durable:
            waiting.tell_rest_of_record()
        outcome = await self._executor.execute(Plan(tuple(steps)), lambda done: self._heard(done, waiting, standing))
        waiting.tell_rest(durable=standing.durable)
        waiting.tell_news()
        again = self._remember(standing, evidence, decision, outcome)
        if standing.idle:
            self._standings.forget(ref)
        return again

    def _look(self, ref: CanaryRef, standing: Standing) -> Evidence:
        evidence = self._gatherer.gather(ref, standing)
        if standing.intent is not None and self._gatherer.superseded(standing.intent, evidence.canary):
            # At once, and in memory: what is to be done about the new revision waits for no write about the old.
            standing.end()
            evidence = self._gatherer.gather(ref, standing)
        record = evidence.record
        if standing.intent is None or record is None:
            return evidence
        if not record.finished and record.dry_run is standing.intent.dry_run:
            standing.durable = True
        elif record.finished and (standing.durable or planning.covers(record, standing.intent)):
            # Another replica, or a person, has brought it to its end: the same act, or one that began before our
            # signal came and was over after it.
            standing.end()
            return self._gatherer.gather(ref, standing)
        else:
            # The name belongs to an earlier analysis of this revision that our watch had not shown us yet; or what
            # is to be done has met what is only rehearsed, and neither may write into the other's record.
            canary, intent = evidence.canary, standing.intent
            name = self._gatherer.next_name(canary, dry_run=intent.dry_run) if canary else intent.record_name
            standing.intent, standing.durable = dataclasses.replace(intent, record_name=name), False
            return self._gatherer.gather(ref, standing)
        return evidence

    def _decide(self, standing: Standing, evidence: Evidence) -> Decision | None:
        if standing.intent is None:
            return None
        if standing.accepted:
            return deciding.stand(evidence)
        # A record that a person made, seen for the first time.
        decision = deciding.accept(evidence)
        # What ends it stands only once it is written: until then it is judged anew, and told once.
        standing.accepted = decision.verdict is not Verdict.IGNORE
        standing.intent = planning.remember(standing.intent, evidence)
        if not standing.told:
            standing.told = True
            self._observer.rollback_decided(standing.ref, standing.intent, decision)
        return decision

    def _heard(self, done: StepOutcome, waiting: Waiting, standing: Standing) -> None:
        if isinstance(done.step, OpenRecord):
            standing.durable = done.error is None and self._is_open(done.step)
        waiting.tell(done, durable=standing.durable)
        waiting.tell_news()

    def _is_open(self, step: OpenRecord) -> bool:
        record = self._world.record(step.record.canary, step.record.name)
        return record is not None and not record.finished and record.dry_run is step.record.dry_run

    # -- after the steps

    def _remember(
        self, standing: Standing, evidence: Evidence, decision: Decision | None, outcome: Outcome
    ) -> float | None:
        for done in outcome.steps:
            self._observer.step_done(standing.ref, done)
            self._note(standing, evidence, done)
            self._tell_moved(standing.ref, evidence, done)
        if standing.intent is not None and decision is not None:
            after = self._world.record(standing.ref, standing.intent.record_name)
            self._tell_escalation(standing, evidence, decision)
            if decision.reason in ENDINGS and decision.verdict is Verdict.IGNORE:
                nothing_written = after is None and not outcome.steps
                if nothing_written or (after is not None and after.finished):
                    standing.end()
        return self._again(standing, evidence, outcome)

    def _note(self, standing: Standing, evidence: Evidence, done: StepOutcome) -> None:
        match done.step:
            case ZeroRoute(patch) if done.error is None:
                standing.write_refused = ""
                standing.rewrites += 1
                if standing.was_zero:
                    standing.pushed_back += 1
                    raised = next(view for view in evidence.routes if view.ref == patch.route)
                    by = gitops.raised(raised, self._world.route(raised.ref), self._argocd_namespace)
                    self._observer.raised_again(standing.ref, raised, by, standing.pushed_back)
                if standing.intent is not None:
                    standing.intent = planning.remember(standing.intent, evidence)
            case DivertService(_, namespace, service, stable) if done.error is None:
                standing.second_brake = f"Service {namespace}/{service} selects the stable pods, as {stable} does"
            case DivertService() if isinstance(done.error, errors.Refused | errors.Missing):
                standing.divert_refused = True
            case ScaleCanary(_, workload) if done.error is None:
                standing.second_brake = f"Deployment {workload.namespace}/{workload.name} is scaled to 0"
            case ZeroRoute() | RestoreRoute() if isinstance(done.error, errors.Refused):
                standing.write_refused = str(done.error)
            case AmendRecord(record) if isinstance(done.error, errors.Missing):
                self._world.drop_record(record.namespace, record.name)
            case _:
                pass

    def _tell_moved(self, ref: CanaryRef, evidence: Evidence, done: StepOutcome) -> None:
        name = done.step.record.name if isinstance(done.step, AmendRecord) else ""
        name = done.step.record.name if isinstance(done.step, OpenRecord) else name
        if not name or done.error is not None:
            return
        before = next((record for record in evidence.records if record.name == name), None)
        after = self._world.record(ref, name)
        if after is not None and (before is None or before.phase is not after.phase):
            self._observer.rollback_moved(before, after)

    def _tell_escalation(self, standing: Standing, evidence: Evidence, decision: Decision) -> None:
        pages = decision.verdict is Verdict.ESCALATE or decision.reason is Reason.REVISION_PROMOTED
        if pages and not standing.escalated:
            standing.escalated = True
            glass = () if decision.reason in HANDS_OFF else self._break_glass(evidence)
            self._observer.escalated(standing.ref, decision.reason, decision.detail, glass)

    # -- when to look again

    def _again(self, standing: Standing, evidence: Evidence, outcome: Outcome) -> float | None:
        failures = outcome.errors
        if not any(isinstance(done.step, ZeroRoute) for done in outcome.steps):
            standing.rewrites = 0
        if not failures:
            standing.failures = standing.conflicts = 0
            if not outcome.steps:
                return _WHILE_RELEASING if evidence.restorations is None else self._until_deadline(standing, evidence)
            # What was written is looked at once more; at once, unless what we write does not stay.
            return 0.0 if standing.rewrites <= _AT_ONCE else self._backoff(standing.rewrites - _AT_ONCE)
        if all(isinstance(error, errors.Conflict | errors.Missing) for error in failures):
            standing.conflicts += 1
            if standing.conflicts <= _AT_ONCE:
                return 0.0
        standing.failures += 1
        throttled = max((error.retry_after for error in failures if isinstance(error, errors.Throttled)), default=0.0)
        return min(max(throttled, self._backoff(standing.failures)), 2 * self._pace.backoff_most)

    def _backoff(self, times: int) -> float:
        most = min(self._pace.backoff_most, self._pace.backoff_first * 2 ** min(times, 10))
        return self._chance.between(most / 2, most)

    @staticmethod
    def _until_deadline(standing: Standing, evidence: Evidence) -> float | None:
        wait = planning.brakes_wait(evidence) or returning.wait(evidence)
        if wait is not None:
            return wait
        if standing.intent is None or standing.escalated or standing.proof is not None:
            return None
        if evidence.record is not None and evidence.record.timeline.proved_at is not None:
            return None
        past = (evidence.now - standing.intent.received_at).total_seconds()
        return max(0.01, evidence.limits.deadline - past)
