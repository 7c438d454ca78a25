"""Values of a staged release with everything filled in, so that a test names only what it is about."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

from daemon.model.canary import Advance, Approval, Canary
from daemon.model.canary_revision import CanaryRevision, RevisionPhase, SeenActs, SeenWeight
from daemon.model.checking import CheckResult, CheckState, Finding
from daemon.model.signal import HookType
from daemon.model.stages import Profile, Promotion, Stage
from daemon.policy.answering import GateEvidence
from tests.unit import facts

STAGES = (Stage(0, 900), Stage(5, 1800), Stage(25, 1800), Stage(50, 1800))
PROFILE = Profile(rollout=("errors",), stages=STAGES)
SOAKED = facts.after(2700)
"""When the half hour at 5% is over, in ``record()``."""


def record(**changes: Any) -> CanaryRevision:
    """A revision under analysis: 15 minutes at 0%, and at 5% since."""
    plain: dict[str, Any] = {
        "namespace": "shop",
        "name": "podinfo-t2",
        "uid": "v-1",
        "resource_version": "20",
        "created_at": facts.after(-30),
        "canary": facts.REF,
        "template": "t2",
        "images": ("registry.example:5000/podinfo:v2",),
        "revision": "rev2",
        "phase": RevisionPhase.ANALYSING,
        "run": 1,
        "began": facts.BEGAN,
        "workload_revision": "7",
        "weights": weights((0, 0), (5, 900)),
    }
    return CanaryRevision(**(plain | changes))


def weights(*seen: tuple[float, float]) -> tuple[SeenWeight, ...]:
    """Percent, and seconds after the analysis began."""
    return tuple(SeenWeight(weight, facts.after(at), str(100 + place)) for place, (weight, at) in enumerate(seen))


def approval(**changes: Any) -> Approval:
    """Of this revision, for an hour from when the soak at 5% is over."""
    plain: dict[str, Any] = {
        "revision": "rev2",
        "by": ("ann",),
        "until": SOAKED + datetime.timedelta(hours=1),
        "word": "rev2 ann",
    }
    return Approval(**(plain | changes))


def advance(to: float = 25, **changes: Any) -> Advance:
    plain: dict[str, Any] = {"to": to, "revision": "rev2", "by": "ann", "word": f"{to:g}"}
    return Advance(**(plain | changes))


def approved_at(at: float) -> SeenActs:
    """The approval was first seen then."""
    return SeenActs(approval="rev2 ann", approval_at=facts.after(at))


def result(state: CheckState | None = CheckState.PASSED, detail: str = "0.2% <= 1%", **changes: Any) -> CheckResult:
    """Of the success criterion; None: its first run has not ended."""
    finding = Finding(state, detail) if state is not None else None
    at = SOAKED if state is not None else None
    return dataclasses.replace(CheckResult("errors", finding, at), **changes)


def staged(**changes: Any) -> Canary:
    """A canary whose increases wait for us."""
    plain: dict[str, Any] = {"steps": (5.0, 25.0, 50.0), "hooks": frozenset({HookType.CONFIRM_TRAFFIC_INCREASE.value})}
    return facts.canary(**(plain | changes))


def evidence(**changes: Any) -> GateEvidence:
    """At 5%, its soak is over, its criterion holds: nothing speaks against an increase; nobody has approved anything.

    ``canary`` may be a dictionary of what is special about it.
    """
    plain: dict[str, Any] = {
        "now": SOAKED,
        "profile": PROFILE,
        "record": record(),
        "weight": 5.0,
        "rollback": None,
        "fresh": True,
        "results": (result(),),
    }
    canary = changes.pop("canary", {})
    return GateEvidence(canary=staged(**canary) if isinstance(canary, dict) else canary, **(plain | changes))


def asking(promotion: Promotion) -> Profile:
    return dataclasses.replace(PROFILE, promotion=promotion)
