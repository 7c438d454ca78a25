"""What is next for a canary that no controller drives: the next stage, or what a person has asked for. Pure.

Traffic is raised for two reasons only (law 1): a person's ``advance-to``, or a person's order to walk the stages. In
both, a rollback, a pause, or not knowing enough keeps it where it is.
"""

import dataclasses
from collections.abc import Sequence

from daemon.model.canary import Canary, Controller, Workload
from daemon.model.canary_revision import CanaryRevision
from daemon.model.signal import HookType
from daemon.model.stages import Profile
from daemon.policy import acts, staging


@dataclasses.dataclass(frozen=True, slots=True)
class Scene:
    """Everything the next step may depend on. ``weight`` is percent on the routes; ``rollback`` the name of the record
    that is in force; ``failures`` how often in a row the criteria have failed at this weight."""

    canary: Canary
    weight: float | None
    profile: Profile | None
    record: CanaryRevision | None
    rollback: str | None
    workload: Workload | None
    fresh: bool
    failures: int
    threshold: int


@dataclasses.dataclass(frozen=True, slots=True)
class Rest:
    """Nothing to do until something changes."""

    why: str


@dataclasses.dataclass(frozen=True, slots=True)
class Ask:
    """Ask these gates, and give the canary ``weight`` percent when all of them open. ``health``: its criteria too, of
    which a failure counts."""

    gates: tuple[HookType, ...]
    weight: float
    health: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Steer:
    """Give the canary so many percent: a person has said so. ``by`` is who."""

    weight: float
    by: str


@dataclasses.dataclass(frozen=True, slots=True)
class Watch:
    """It has all that it will get: only its criteria are looked at."""


@dataclasses.dataclass(frozen=True, slots=True)
class Withdraw:
    """What was asked for is done, or a rollback has overtaken it: take the annotation away, so that it says nothing
    tomorrow."""


@dataclasses.dataclass(frozen=True, slots=True)
class TakeBack:
    """The criteria have failed too often: roll back."""

    detail: str


Step = Rest | Ask | Steer | Watch | Withdraw | TakeBack


def concerns(canary: Canary) -> bool:
    """Whether there is anything to drive."""
    asked = canary.driven or canary.advance is not None
    return asked and canary.controller is Controller.NONE and not canary.deleting


def next_step(scene: Scene) -> Step:
    """The one thing to do now."""
    canary, weight = scene.canary, scene.weight
    if canary.controller is not Controller.NONE:
        return Rest(f"{canary.controller} drives it")
    if scene.rollback is not None:
        if canary.advance is not None:
            return Withdraw()  # whoever lifts the hold has not said that again
        return Rest(f"Rollback {scene.rollback} is in force")
    if not scene.fresh or weight is None:
        return Rest("what is known of it is too old, or nobody knows its weight")
    if scene.workload is not None and scene.workload.observed and not scene.workload.ready_replicas:
        return Rest(f"none of its pods is ready ({scene.workload.name})")
    if canary.driven:
        return _driven(scene, weight)
    return _asked(scene, weight)


def _driven(scene: Scene, weight: float) -> Step:
    canary, profile = scene.canary, scene.profile
    if profile is None:
        return Rest(f"gates.profiles has no {canary.profile!r}")
    if not profile.stages:
        return Rest("its profile has no stages (policy.stages), and all of it at once is no staged release")
    if not canary.under_analysis or not canary.revision:
        return Rest("it runs nothing that the stable side does not run as well")
    if weight > 0 and scene.failures >= scene.threshold:
        return TakeBack(f"criteria failed {scene.failures} times in a row at {weight:g}%")
    if weight >= staging.FULL:
        return Watch()
    ahead = next_stage([stage.weight for stage in profile.stages], weight)
    gates = [HookType.PRE_ROLLOUT] if staging.same(weight, 0) else []
    gates.append(HookType.CONFIRM_PROMOTION if ahead >= staging.FULL else HookType.CONFIRM_TRAFFIC_INCREASE)
    return Ask(tuple(gates), ahead, health=weight > 0)


def next_stage(weights: Sequence[float], weight: float) -> float:
    """The stage after this weight; all of it after the last."""
    return min((one for one in weights if one > weight and not staging.same(one, weight)), default=staging.FULL)


def _asked(scene: Scene, weight: float) -> Step:
    canary, advance = scene.canary, scene.canary.advance
    if advance is None:
        return Rest("nobody has asked for more")
    if staging.same(weight, advance.to) or weight > advance.to:
        return Withdraw()
    if not advance.by:
        return Rest("advance-to is not heeded without pullback.dev/advance-by")
    if not canary.revision or advance.revision != canary.revision:
        return Rest(f"advance-to was for revision {advance.revision or '(none said)'}, this is {canary.revision}")
    if canary.paused or any(pause.revision == canary.revision for pause in canary.alert_pauses):
        return Rest("paused")
    if scene.record is not None and scene.record.acts.stale_advance == acts.word(advance):
        return Rest("advance-to is from before this revision")
    return Steer(advance.to, advance.by)
