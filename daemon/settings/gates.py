"""What opens Flagger's gates: checks, profiles, stages, approvals."""

import re
from typing import Annotated, Any, Literal

import pydantic

from daemon.model import stages
from daemon.settings.groups import Group, Seconds

DEFAULT = "default"

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


class Stage(Group):
    """From this weight on, and up to the next stage."""

    weight: float = pydantic.Field(ge=0, le=100)
    """Percent of traffic, as the routes say."""
    soak: Seconds = 0.0
    """How long it stays there before the next increase."""


class Promotion(Group):
    """From the last stage to everything."""

    approval: Literal["required", "none"] = "required"
    """Whether the confirm-promotion hook waits for ``pullback approve``."""
    approvals: int = pydantic.Field(default=1, ge=1, le=10)
    """How many people must have said so."""
    expires: Annotated[Seconds, pydantic.Field(gt=0)] = 4 * 3600.0
    """How long an approval counts, whatever it says itself."""
    bake: Seconds = 600.0
    """After promotion: a rollback alert about the new version then pages, with the command that reverts it. Its traffic
    can no longer be pulled back."""


class Profile(Group):
    """What the gates of a canary ask for; a canary names one with the annotation pullback.dev/profile."""

    confirm_rollout: tuple[str, ...] = ()
    """Names of checks that must have passed before a revision is scaled up. Waiting here counts against nothing."""
    pre_rollout: tuple[str, ...] = ()
    """Before it gets traffic. Flagger counts a no against its threshold."""
    rollout: tuple[str, ...] = ()
    """Success criteria: at every step, and over the whole soak before the next increase and before promotion."""
    load: str = ""
    """A check that is begun at the rollout hook of each weight and makes traffic; read at the next call."""
    stages: tuple[Stage, ...] | None = None
    """Instead of ``policy.stages``."""
    promotion: Promotion | None = None
    """Instead of ``policy.promotion``."""

    @pydantic.field_validator("stages")
    @classmethod
    def _ascending(cls, given: tuple[Stage, ...] | None) -> tuple[Stage, ...] | None:
        return None if given is None else ascending(given)

    @property
    def named(self) -> tuple[str, ...]:
        return (*self.confirm_rollout, *self.pre_rollout, *self.rollout, *([self.load] if self.load else []))


class Gates(Group):
    """Flagger's hooks."""

    checks: dict[str, dict[str, Any]] = pydantic.Field(default={})
    """By a name of your own: ``kind`` (http, promql, job, image, signature, workflow, alerts) and its options."""
    profiles: dict[str, Profile] = pydantic.Field(default={DEFAULT: Profile()})
    """By name; ``default`` is that of a canary which names none."""
    prometheus_url: str = ""
    """For promql checks that say none of their own; default: ``proof.prometheus_url``."""
    answer_within: Annotated[Seconds, pydantic.Field(gt=0, le=1)] = 0.8
    """Flagger's tick waits for every answer: what is not known by then is said to be running."""
    pre_rollout_within: Annotated[Seconds, pydantic.Field(gt=0, le=30)] = 5.0
    """The same for pre-rollout, where a no counts. Below the timeout of that hook."""
    retry: Annotated[Seconds, pydantic.Field(gt=0)] = 20.0
    """Until an acceptance check that did not pass is run again. Below Flagger's interval: a failure that is told twice
    counts twice against its threshold."""
    recheck: Annotated[Seconds, pydantic.Field(gt=0)] = 5.0
    """A criterion seen this recently is not asked again."""
    refusing_late: Annotated[Seconds, pydantic.Field(gt=0)] = 4 * 3600.0
    """A gate that has been closed for longer, a soak aside, is told to people once."""

    drive_every: Annotated[Seconds, pydantic.Field(gt=0)] = 10.0
    """Between two looks at a canary that Pullback itself walks through its stages (pullback.dev/stage-driver)."""
    drive_threshold: Annotated[int, pydantic.Field(ge=1)] = 3
    """Its criteria may fail so often in a row, less one; then it is rolled back."""

    @pydantic.field_validator("checks", "profiles")
    @classmethod
    def _named(cls, entries: dict[str, Any]) -> dict[str, Any]:
        for name in entries:
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r}: expected a name of lower case letters, digits and dashes, 40 at most")
        return entries

    @pydantic.model_validator(mode="after")
    def _known(self) -> "Gates":
        if DEFAULT not in self.profiles:
            raise ValueError(f"profiles: expected one named {DEFAULT!r}")
        for name, profile in self.profiles.items():
            unknown = sorted(set(profile.named) - set(self.checks))
            if unknown:
                known = ", ".join(sorted(self.checks)) or "none"
                raise ValueError(f"profiles.{name}: no check {unknown[0]!r} in gates.checks; there are: {known}")
        return self

    def read(
        self, policy_stages: tuple[Stage, ...], policy_promotion: Promotion
    ) -> dict[str, stages.Profile]:
        """Every profile as the gates need it."""
        return {
            name: stages.Profile(
                name=name,
                confirm_rollout=profile.confirm_rollout,
                pre_rollout=profile.pre_rollout,
                rollout=profile.rollout,
                load=profile.load,
                stages=_stages(policy_stages if profile.stages is None else profile.stages),
                promotion=_promotion(profile.promotion or policy_promotion),
            )
            for name, profile in self.profiles.items()
        }


def ascending(given: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """Raises ValueError when two stages begin at one weight, or a later one below an earlier one."""
    weights = [stage.weight for stage in given]
    if weights != sorted(set(weights)):
        seen = ", ".join(f"{weight:g}" for weight in weights)
        raise ValueError(f"expected weights that rise from stage to stage, got {seen}")
    return given


def _stages(given: tuple[Stage, ...]) -> tuple[stages.Stage, ...]:
    return tuple(stages.Stage(one.weight, one.soak) for one in given)


def _promotion(given: Promotion) -> stages.Promotion:
    asked = given.approvals if given.approval == "required" else 0
    return stages.Promotion(approvals=asked, expires=given.expires, bake=given.bake)
