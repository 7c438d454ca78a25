"""The plan of a staged release: how long at which weight, what must hold, and who says yes at the end."""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Stage:
    """From ``weight`` percent on, and up to the next stage, the canary soaks for ``soak`` seconds."""

    weight: float
    soak: float


@dataclasses.dataclass(frozen=True, slots=True)
class Promotion:
    """``approvals`` people must say yes (0: nobody is asked), each at most ``expires`` seconds ago; an alert within
    ``bake`` seconds after promotion pages."""

    approvals: int = 1
    expires: float = 4 * 3600.0
    bake: float = 600.0


@dataclasses.dataclass(frozen=True, slots=True)
class Profile:
    """What the gates of a canary ask for. The lists are names of checks."""

    name: str = "default"
    confirm_rollout: tuple[str, ...] = ()
    pre_rollout: tuple[str, ...] = ()
    rollout: tuple[str, ...] = ()
    """Success criteria: asked at every rollout hook, and over the whole soak before the next increase."""
    load: str = ""
    stages: tuple[Stage, ...] = ()
    """Ascending by weight."""
    promotion: Promotion = Promotion()
