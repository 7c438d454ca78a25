"""Everything that an answer to a hook may see: the world, the record of the revision, what checks are known to say."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from daemon import ports
from daemon.model.canary import PRIMARY_CHANGING, Canary, CanaryPhase, Workload
from daemon.model.canary_revision import CanaryRevision
from daemon.model.checking import CheckResult, CheckState, Finding, Subject
from daemon.model.signal import HookType
from daemon.model.stages import Profile
from daemon.policy import checks, chronicling, opening, staging
from daemon.policy.answering import GateEvidence
from daemon.workflow.checking import Checking
from daemon.workflow.gathering import Gatherer
from daemon.workflow.standing import Standings
from daemon.workflow.world import World

INCREASES = frozenset({HookType.CONFIRM_TRAFFIC_INCREASE, HookType.CONFIRM_PROMOTION})

_WINDOW = 60.0
"""Seconds over which criteria are judged at the rollout hook."""

@dataclasses.dataclass(frozen=True, slots=True)
class Terms:
    """``profiles`` by name, one of them ``default``. How long (seconds) an answer waits for checks."""

    profiles: Mapping[str, Profile]
    answer_within: float = 0.8
    pre_rollout_within: float = 5.0
    oldest: float = 10.0
    """Seconds: an increase opens on no criterion that was seen longer ago."""
    clock_tolerance: float = 5.0


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """What the checks of one gate are known to say."""

    results: tuple[CheckResult, ...] = ()
    load: CheckResult | None = None


class GateSight:
    """Reads memory only. ``fresh`` says whether what we know is recent enough to open anything on."""

    def __init__(
        self,
        *,
        world: World,
        standings: Standings,
        gatherer: Gatherer,
        checking: Checking | None,
        clock: ports.Clock,
        fresh: Callable[[], bool],
        terms: Terms,
    ) -> None:
        self._world = world
        self._standings = standings
        self._gatherer = gatherer
        self._checking = checking
        self._clock = clock
        self._fresh = fresh
        self._terms = terms

    def record(self, canary: Canary, kind: HookType | None = None) -> CanaryRevision | None:
        """The record of the revision that a hook of this kind speaks of."""
        records = self._world.revisions(canary.ref)
        if kind is HookType.CONFIRM_ROLLOUT:
            workload = self._world.workload(canary)
            return chronicling.of_template(records, workload.template if workload is not None else "")
        return chronicling.current(records, canary)

    def stage(self, canary: Canary) -> dict[str, Any] | None:
        """Where the release stands in its plan of stages; None where no stage is counted."""
        profile, record, weight = self.profile(canary), self.record(canary), self._gatherer.weight(canary)
        if profile is None or record is None or weight is None or record.ended:
            return None
        soak = staging.soak(profile.stages, record.weights, weight, self._clock.now())
        if soak is None:
            return None
        return {
            "weight": soak.stage.weight,
            "soak": soak.stage.soak,
            "since": soak.since.isoformat(),
            "left": round(soak.left, 1),
        }

    def evidence(
        self, kind: HookType, canary: Canary, found: Found, *, ours: bool
    ) -> GateEvidence:  # fmt: skip
        return GateEvidence(
            now=self._clock.now(),
            canary=canary,
            profile=self.profile(canary),
            record=self.record(canary, kind),
            weight=self._gatherer.weight(canary),
            rollback=self.standing_rollback(canary),
            fresh=self._fresh(),
            ours=ours,
            unreached=self._unreached(canary),
            results=found.results,
            load=found.load,
            clock_tolerance=self._terms.clock_tolerance,
        )

    def _unreached(self, canary: Canary) -> bool:
        return self._world.routes_known(canary) and all(view.at_zero for view in self._gatherer.views(canary))

    def profile(self, canary: Canary) -> Profile | None:
        return self._terms.profiles.get(canary.profile or "default")

    def subject(self, kind: HookType, canary: Canary, profile: Profile | None) -> Subject | None:
        """What is looked at: the revision's own template, or at confirm-rollout what lies in the workload."""
        record, workload = self.record(canary, kind), self._world.workload(canary)
        template, images = _released(record, workload)
        if not template:
            return None
        weight = self._gatherer.weight(canary) or 0.0
        window = _WINDOW
        if kind in INCREASES and profile is not None:
            window = opening.look_over(profile, record, weight, self._clock.now())
        if kind is HookType.CONFIRM_ROLLOUT:
            # Flagger's status still names the revision before, and a check must not be told that it is of that one.
            canary = dataclasses.replace(canary, revision=record.revision if record is not None else "")
        run = record.run if record is not None else 0
        # What was seen at confirm-rollout, before the first analysis, still holds at pre-rollout.
        return Subject(canary, template, images, weight, max(1, run), window)

    def known(self, kind: HookType, names: tuple[str, ...], subject: Subject) -> tuple[CheckResult, ...]:
        if not names:
            return ()
        fresh = {one.name: one for one in self._checking.known(kind, names, subject)} if self._checking else {}
        record = self.record(subject.canary, kind)
        held = {one.name: one for one in (record.checks if record is not None else ()) if one.gate == kind}
        found = []
        for name in names:
            known, kept = fresh.get(name), held.get(name)
            if (known is None or known.finding is None) and kept is not None:
                known = CheckResult(name, Finding(kept.state, kept.detail), kept.at)
            found.append(known or CheckResult(name, None, None))
        return tuple(found)

    def standing_rollback(self, canary: Canary) -> str | None:
        """The record's name."""
        if canary.phase in PRIMARY_CHANGING or canary.promotion_broke or _is_promoted(canary):
            return None
        standing = self._standings.peek(canary.ref)
        intent = standing.intent if standing else None
        if intent is not None and not intent.dry_run and intent.revision == canary.revision:
            return intent.record_name
        # A record that no pass has taken up yet: a restarted daemon knows it before it stands.
        return next((
            record.name
            for record in self._world.records(canary.ref)
            if not (record.finished or record.dry_run)
            and record.revision == canary.revision
            and not checks.is_superseded(record.revision, record.started_at, canary, self._terms.clock_tolerance)
        ), None)  # fmt: skip


def _is_promoted(canary: Canary) -> bool:
    """What the status names is the stable version: a rollback of it moves no traffic and holds no successor up."""
    settled = canary.phase in {CanaryPhase.SUCCEEDED, CanaryPhase.INITIALIZED}
    waiting = canary.phase is CanaryPhase.WAITING and canary.revision == canary.promoted_revision
    return settled or waiting


def names_of(kind: HookType, profile: Profile | None) -> tuple[str, ...]:
    if profile is None:
        return ()
    match kind:
        case HookType.CONFIRM_ROLLOUT:
            return profile.confirm_rollout
        case HookType.PRE_ROLLOUT:
            return profile.pre_rollout
        case _:
            return profile.rollout


def _released(record: CanaryRevision | None, workload: Workload | None) -> tuple[str, tuple[str, ...]]:
    if record is not None:
        return record.template, record.images
    return (workload.template, workload.released) if workload is not None else ("", ())


def passed_of(record: CanaryRevision | None) -> dict[str, Finding]:
    """What has passed once for this revision, whoever ran it."""
    seen = record.checks if record is not None else ()
    return {one.name: Finding(one.state, one.detail) for one in seen if one.state is CheckState.PASSED}
