"""What is left to clean up after zero: one next step at a time, planned from the world as it is.

With Flagger nothing is scaled down before Flagger itself says ``Failed``: an empty Deployment counts as ready there,
so a hook that is refused or unreachable for one tick would let it promote the empty canary and scale the *primary*
to 0. Without a controller we scale down ourselves, once zero is proved: never before, or users would get 503.
"""

import dataclasses
import datetime

from daemon.model.canary import Canary, CanaryPhase, Controller, Workload
from daemon.model.cleanup import SETTLED, Cleanup, CleanupPolicy, CleanupState, Nudge, PausedScaler
from daemon.model.rollback import Rollback
from daemon.policy import lending
from daemon.policy.lending import LendDeadline, ReturnDeadline

MOST_TIMES = 3
"""How often a workload is scaled down again before a person is told who keeps raising it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Choices:
    """What the configuration says. Seconds."""

    policy: CleanupPolicy = CleanupPolicy.SCALE_TO_ZERO
    nudge: bool = False
    nudge_after: float = 15.0
    """From the routes at 0 to the nudge: a controller whose pods are ready needs none."""
    grace: float = 60.0
    """How long pods must have been there behind Flagger's back: at the start of a release it scales up a moment
    before it says so."""
    evidence_within: float = 20.0
    """How long evidence may take before the pods are taken away without it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Scene:
    """Everything a step may depend on. ``raised_since`` is when replicas were first seen above 0 after ``Failed``."""

    now: datetime.datetime
    record: Rollback
    canary: Canary | None
    workload: Workload | None
    routes_at_zero: bool
    scalers: tuple[PausedScaler, ...] = ()
    """Autoscalers of the workload that could raise it again now, with what to put back."""
    raised_since: datetime.datetime | None = None
    evidence_waited: float = 0.0
    """Seconds for which this leader has waited for evidence, by its own clock: one that comes late has begun anew."""
    choices: Choices = Choices()


@dataclasses.dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do for so many seconds (None: until something changes)."""

    seconds: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Note:
    """Write this into the record."""

    cleanup: Cleanup


@dataclasses.dataclass(frozen=True, slots=True)
class PauseScalers:
    """Keep these from raising the workload."""

    scalers: tuple[PausedScaler, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class RestoreScalers:
    """Let these go on as before."""

    scalers: tuple[PausedScaler, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class ScaleToZero:
    """Scale this very version of the workload to 0."""

    workload: Workload


@dataclasses.dataclass(frozen=True, slots=True)
class ScaleBack:
    """A new release found the workload as empty as we had made it."""

    workload: Workload
    replicas: int


Step = Wait | Note | LendDeadline | ReturnDeadline | PauseScalers | RestoreScalers | ScaleToZero | ScaleBack


def next_step(scene: Scene) -> Step:
    """The one thing to do now. What we have lent is given back before anything else is done."""
    cleanup = scene.record.cleanup
    if scene.record.dry_run:
        return Wait()
    if cleanup is None:
        template = scene.workload.template if scene.workload else ""
        begun = Cleanup(CleanupState.WAITING, _what_for(scene), scene.now, template)
        return Wait() if scene.record.finished and _is_overtaken(scene, begun) else Note(begun)
    if _is_overtaken(scene, cleanup):
        return _make_way(scene, cleanup)
    assert scene.canary is not None  # noqa: S101 - a canary that is gone is overtaken
    if cleanup.nudge is not None and lending.owes(cleanup):
        finished, patience = scene.record.finished, scene.choices.nudge_after
        step = lending.next_step(scene.canary, cleanup.nudge, scene.now, finished=finished, patience=patience)
        return _lent(scene, cleanup, step)
    if scene.canary.controller is Controller.FLAGGER:
        return _with_flagger(scene, cleanup, scene.canary)
    if scene.canary.controller is Controller.ARGO:  # one Rollout runs both sides: only it can tell its pods apart
        detail = "Argo Rollouts scales the aborted ReplicaSet down itself (abortScaleDownDelaySeconds)"
        given_up = scene.canary.phase is CanaryPhase.FAILED
        return _settle(scene, cleanup, CleanupState.KEPT, detail) if given_up else Wait()
    return _alone(scene, cleanup, scene.canary)


def _what_for(scene: Scene) -> str:
    if scene.canary is not None and scene.canary.controller is Controller.FLAGGER:
        return "for Flagger to accept the failure and scale the canary down"
    if scene.canary is not None and scene.canary.controller is Controller.ARGO:
        return "for Argo Rollouts to give the revision up"
    return "for zero to be proved"


def _is_overtaken(scene: Scene, cleanup: Cleanup) -> bool:
    """Whether the workload is another revision's by now, or no canary at all."""
    canary = scene.canary
    if canary is None or canary.deleting or canary.revision != scene.record.revision:
        return True
    if canary.phase in {CanaryPhase.PROMOTING, CanaryPhase.FINALISING, CanaryPhase.SUCCEEDED, CanaryPhase.INITIALIZED}:
        return True
    if scene.record.released_by or (canary.under_analysis and scene.record.finished):
        return True  # a person wants it back, or the same revision is analysed anew
    return scene.workload is not None and bool(cleanup.template) and scene.workload.template != cleanup.template


def _make_way(scene: Scene, cleanup: Cleanup) -> Step:
    """Whatever comes next must find everything as it was before us."""
    if cleanup.nudge is not None and lending.owes(cleanup):
        return _lent(scene, cleanup, lending.give_back(scene.canary, cleanup.nudge, scene.now))
    paused = tuple(one for one in cleanup.scalers if one.restored_at is None)
    if paused:
        return RestoreScalers(paused)
    canary, workload = scene.canary, scene.workload  # where nobody drives it people raise it, and must find pods
    goes_on = canary is not None and (canary.phase is CanaryPhase.PROGRESSING or canary.controller is Controller.NONE)
    if workload is not None and cleanup.scaled_from:
        if workload.replicas == 0 and goes_on:
            return ScaleBack(workload, cleanup.scaled_from)
        # Another template is newer than what we have emptied: it has its pods, and owes its end to nobody.
        if workload.replicas > 0 and cleanup.template and workload.template != cleanup.template:
            return Note(dataclasses.replace(cleanup, scaled_from=0))
    if cleanup.state in SETTLED:
        return Wait()
    return _note(scene, cleanup, CleanupState.OVERTAKEN, "the canary has gone on: its pods are another's now")


def owes_scalers(record: Rollback) -> bool:
    """Whether the record accounts for autoscalers that are paused."""
    return record.cleanup is not None and any(one.restored_at is None for one in record.cleanup.scalers)


def _lent(scene: Scene, cleanup: Cleanup, step: lending.Step | None) -> Step:
    """A step of ``lending`` as one of ours."""
    if step is None:
        return Wait()
    if not isinstance(step, Nudge):
        return step
    written = dataclasses.replace(cleanup, nudge=step)
    if step.restored_at is None:
        return Note(written)
    return _note(scene, written, CleanupState.WAITING, _what_for(scene))


def _with_flagger(scene: Scene, cleanup: Cleanup, canary: Canary) -> Step:
    if canary.phase is not CanaryPhase.FAILED:
        return _before_failed(scene, cleanup, canary)
    if canary.promotion_broke or not scene.routes_at_zero:
        return Wait()  # the canary may be the only healthy copy, or still has traffic
    if canary.workload_kind != "Deployment":
        detail = f"a {canary.workload_kind} has no replicas to take away; Flagger has parked it"
        return _settle(scene, cleanup, CleanupState.KEPT, detail)
    if scene.choices.policy is CleanupPolicy.KEEP:
        return _settle(scene, cleanup, CleanupState.KEPT, "cleanup.policy is keep: Flagger alone decides")
    if scene.workload is None or scene.workload.replicas == 0:
        return _settle(scene, cleanup, CleanupState.DONE, "Flagger says Failed and the canary has 0 replicas")
    return _behind_its_back(scene, cleanup, scene.workload)


def _before_failed(scene: Scene, cleanup: Cleanup, canary: Canary) -> Step:
    """Flagger has yet to accept the failure. It does not ask its hook while pods are not ready."""
    workload, zeroed = scene.workload, scene.record.timeline.zeroed_at
    stuck = workload is not None and workload.replicas > 0 and workload.ready_replicas < workload.replicas
    if not (scene.choices.nudge and stuck and zeroed and scene.routes_at_zero and canary.under_analysis):
        return Wait()
    if cleanup.nudge is not None or scene.record.finished:
        return Wait()
    if canary.deadline_lent is not None or canary.progress_deadline == lending.NUDGED_SECONDS:
        return Wait()  # an earlier loan has yet to be given back, or there is nothing to shorten
    left = scene.choices.nudge_after - (scene.now - zeroed).total_seconds()
    if left > 0:
        return Wait(left)
    lent = dataclasses.replace(cleanup, nudge=Nudge(canary.progress_deadline, scene.now))
    shortened = f"progress deadline set to {lending.NUDGED_SECONDS} s for a moment"
    detail = f"pods are not ready, so Flagger does not ask: {shortened}"
    return _note(scene, lent, CleanupState.NUDGED, detail)


def _behind_its_back(scene: Scene, cleanup: Cleanup, workload: Workload) -> Step:
    """Pods after ``Failed``: Flagger scales its own down in that tick, and never looks again."""
    if cleanup.scaled_down >= MOST_TIMES:
        return _give_up(scene, cleanup, workload)
    waited = (scene.now - scene.raised_since).total_seconds() if scene.raised_since else 0.0
    if waited < scene.choices.grace:
        return Wait(max(0.05, scene.choices.grace - waited))
    return _evidence_first(scene) or ScaleToZero(workload)


def _alone(scene: Scene, cleanup: Cleanup, canary: Canary) -> Step:
    workload = scene.workload
    if scene.choices.policy is CleanupPolicy.KEEP:
        return _settle(scene, cleanup, CleanupState.KEPT, "cleanup.policy is keep")
    if not scene.routes_at_zero or scene.record.timeline.proved_at is None:
        return Wait()
    if workload is None and not canary.workload:
        return _settle(scene, cleanup, CleanupState.KEPT, "nobody knows what runs its pods (pullback.dev/workload)")
    if workload is None or workload.replicas == 0:
        return _settle(scene, cleanup, CleanupState.DONE, "zero is proved and the canary has 0 replicas")
    if workload.name == canary.primary_workload:
        detail = f"Deployment {workload.name} runs the stable side too: see pullback.dev/workload"
        return _settle(scene, cleanup, CleanupState.KEPT, detail)
    if cleanup.scaled_down >= MOST_TIMES:
        return _give_up(scene, cleanup, workload)
    step = PauseScalers(scene.scalers) if scene.scalers else ScaleToZero(workload)
    return _evidence_first(scene) or step


def _give_up(scene: Scene, cleanup: Cleanup, workload: Workload) -> Step:
    detail = (f"something scales {workload.name} up again and again ({cleanup.scaled_down} times taken down); "
              "it has no traffic")  # fmt: skip
    return _settle(scene, cleanup, CleanupState.TROUBLE, detail)


def _evidence_first(scene: Scene) -> Wait | None:
    """Logs are kept before their pods go, as long as that does not take too long."""
    if scene.record.evidence is not None:
        return None
    left = scene.choices.evidence_within - scene.evidence_waited
    return Wait(left) if left > 0 else None


def _settle(scene: Scene, cleanup: Cleanup, state: CleanupState, detail: str) -> Step:
    if cleanup.state is state:
        return Wait()
    return _note(scene, cleanup, state, detail)


def _note(scene: Scene, cleanup: Cleanup, state: CleanupState, detail: str) -> Note:
    return Note(dataclasses.replace(cleanup, state=state, detail=detail, at=scene.now))
