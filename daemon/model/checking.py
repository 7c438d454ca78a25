"""What is looked at before a gate opens, and what came of it."""

import dataclasses
import datetime
import enum

from daemon.model.canary import Canary


class CheckState(enum.StrEnum):
    """What came of one run of a check."""

    PASSED = "passed"
    FAILED = "failed"
    UNDECIDED = "undecided"
    """Nothing can be said yet: not enough traffic, or what was asked did not answer (law 8). It opens no gate that
    raises traffic, and counts against nobody."""


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class ImageDigest:
    """A container image, and what its registry said it is."""

    image: str
    """As the pod template has it."""
    digest: str
    """``sha256:…``."""


@dataclasses.dataclass(frozen=True, slots=True)
class Subject:
    """What a check looks at: one revision of one canary, at one weight.

    ``template`` is ``Workload.template`` of what is being released. It names the revision also when Flagger's status
    does not know it yet (at confirm-rollout), and it never comes from a hook's payload.
    """

    canary: Canary
    template: str
    images: tuple[str, ...]
    weight: float = 0.0
    """Percent of traffic that the routes give the canary."""
    run: int = 0
    """Which analysis of this revision."""
    window: float = 60.0
    """Seconds back from now over which a rate or a share is to be judged."""


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """What one run found. ``detail`` is one line: what was expected and what was seen."""

    state: CheckState
    detail: str
    images: tuple[ImageDigest, ...] = ()
    quiet: bool = False
    """It was answered, and there was nothing to judge by: no requests, or too few."""


@dataclasses.dataclass(frozen=True, slots=True)
class CheckResult:
    """The newest that is known of one check: ``finding`` is None until a first run has ended.

    ``began`` is set while a run is under way.
    """

    name: str
    finding: Finding | None
    at: datetime.datetime | None
    began: datetime.datetime | None = None
