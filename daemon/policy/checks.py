"""One check, one sentence. Each sees all the evidence and either decides or lets the next one speak."""

import datetime

from daemon.model.canary import PRIMARY_CHANGING, Canary, CanaryPhase, Controller, Workload
from daemon.model.decision import Decision, Evidence, Reason, Verdict
from daemon.model.rollback import RollbackPhase
from daemon.model.rules import LabelNames
from daemon.model.signal import Alert
from daemon.policy.correlating import SAYS_NOTHING

ALERT_VERSION_LABELS = ("version", "destination_version")
"""Alert labels that carry the version of the subject's pods (``revision`` may be the mesh's own)."""


def primary_is_changing(evidence: Evidence) -> Decision | None:
    """Law 9: during promotion the canary may be the only healthy copy."""
    canary = evidence.canary
    if canary is None:
        return None
    if canary.phase in PRIMARY_CHANGING:
        return Decision(
            Verdict.ESCALATE, Reason.PROMOTION_UNDER_WAY,
            f"phase {canary.phase}: the primary already has the new template, so no traffic is moved; "
            f"revert the workload: {evidence.undo}",
        )  # fmt: skip
    if canary.promotion_broke:
        return Decision(
            Verdict.ESCALATE, Reason.PROMOTION_BROKE,
            "phase Failed with the canary at 100%: the promotion broke and the primary is the new version, "
            f"so no traffic is moved; revert the workload: {evidence.undo}",
        )  # fmt: skip
    return None


def stable_can_take_it(evidence: Evidence) -> Decision | None:
    """Law 9 where no controller watches over the stable side: traffic is not sent where nobody answers."""
    canary, stable = evidence.canary, evidence.stable
    if canary is None or canary.controller is not Controller.NONE or stable is None or evidence.routes_at_zero:
        return None
    if stable.replicas > 0 and (stable.ready_replicas > 0 or not stable.observed):
        return None
    return Decision(
        Verdict.ESCALATE, Reason.STABLE_IS_GONE,
        f"{stable.ready_replicas} of {stable.replicas} pods of the stable Deployment {stable.name} are ready, so no "
        f"traffic is moved there; bring it back: kubectl rollout status deployment/{stable.name} -n {stable.namespace}",
    )  # fmt: skip


def promotion_is_paged_for(evidence: Evidence, alert: Alert) -> Decision | None:
    """While a promoted revision bakes, an alert about it needs a person: its traffic cannot be pulled back."""
    canary = evidence.canary
    if canary is None or evidence.bakes_until is None or canary.analysis_began is None:
        return None
    tolerance = datetime.timedelta(seconds=evidence.limits.clock_tolerance)
    # The primary takes the new template when the promotion begins, minutes before it is over.
    since = evidence.bakes_since or canary.analysis_began
    if alert.starts_at + tolerance < since:
        return Decision(
            Verdict.IGNORE, Reason.SIGNAL_OLDER_THAN_REVISION,
            f"firing since {alert.starts_at.isoformat()}, before the promotion began at {since.isoformat()}",
        )  # fmt: skip
    paged = [
        record for record in evidence.records
        if record.revision == canary.revision and record.started_at >= canary.analysis_began and not record.drill
    ]  # fmt: skip
    if paged:
        return Decision(Verdict.IGNORE, Reason.ALREADY_HANDLED, f"a person was told with Rollback {paged[-1].name}")
    return Decision(
        Verdict.ESCALATE, Reason.ALERT_AFTER_PROMOTION,
        f"{alert.name} fires for a revision promoted at {canary.analysis_began:%H:%M:%SZ}; its traffic cannot be "
        f"pulled back, revert the workload: {evidence.undo}",
    )  # fmt: skip


def drill_has_its_own_canary(evidence: Evidence, alert: Alert) -> Decision | None:
    """A drill never touches what is real: it speaks of a drill's canary, or writes nothing."""
    canary = evidence.canary
    if canary is None or canary.drill or alert.is_shadow:
        return None
    return Decision(
        Verdict.IGNORE, Reason.DRILL_ON_REAL_CANARY, f"{canary.ref} was not made by a drill, and this is no --shadow"
    )  # fmt: skip


def canary_is_active(evidence: Evidence) -> Decision | None:
    """Without a revision under analysis there is no canary traffic to take away.

    ``Failed`` alone does not mean zero (law 6): while its routes still send traffic it counts as active.
    """
    canary = evidence.canary
    if canary is None:
        return Decision(Verdict.IGNORE, Reason.NO_ACTIVE_CANARY, "the canary object does not exist")
    if canary.under_analysis or canary.phase in PRIMARY_CHANGING:
        return None
    if canary.phase is CanaryPhase.FAILED and evidence.routes_known and not evidence.routes_at_zero:
        return None
    return Decision(Verdict.IGNORE, Reason.NO_ACTIVE_CANARY, f"phase {canary.phase or 'not set'}")


def signal_is_of_this_revision(evidence: Evidence, alert: Alert) -> Decision | None:
    """A signal older than the revision's analysis speaks of another one (law 4)."""
    canary = evidence.canary
    if canary is None or canary.analysis_began is None or canary.phase is CanaryPhase.FAILED:
        return None
    # Flagger keeps the beginning of an analysis when a new revision restarts it; the record that the new revision
    # ended knows better.
    ended = (one.timeline.next_revision_began_at for one in evidence.records if one.revision != canary.revision)
    began = max([canary.analysis_began, *(moment for moment in ended if moment is not None)])
    tolerance = datetime.timedelta(seconds=evidence.limits.clock_tolerance)
    if alert.starts_at + tolerance < began:
        return Decision(
            Verdict.IGNORE, Reason.SIGNAL_OLDER_THAN_REVISION,
            f"firing since {alert.starts_at.isoformat()}, but revision {canary.revision} is under analysis "
            f"only since {began.isoformat()}",
        )  # fmt: skip
    return None


def signal_names_this_version(evidence: Evidence, alert: Alert, labels: LabelNames) -> Decision | None:
    """An alert that names a version must name the one this canary runs, where that can be compared."""
    canary, workload = evidence.canary, evidence.workload
    if canary is None or workload is None:
        return None
    running = {workload.labels[name] for name in labels.template_version if workload.labels.get(name)}
    if not running:
        return None
    running |= {tag(image) for image in workload.images} | {canary.revision}
    for name in ALERT_VERSION_LABELS:
        named = alert.labels.get(name, "")
        if named not in SAYS_NOTHING and named not in running:
            return Decision(
                Verdict.IGNORE, Reason.NAMES_ANOTHER_VERSION,
                f'{name}="{named}", but {canary.ref} runs {", ".join(sorted(filter(None, running)))}',
            )  # fmt: skip
    return None


def episode_is_new(evidence: Evidence, alert: Alert) -> Decision | None:
    """One episode of one alert leads to one rollback: the next revision is not killed by the last one's alert."""
    for record in evidence.records:
        rehearsal = record.phase is RollbackPhase.DRY_RUN and not (evidence.rehearsing or record.drill)
        if not record.finished or rehearsal or record.signal is None:
            continue
        if (record.signal.fingerprint, record.signal.starts_at) == alert.key:
            return Decision(
                Verdict.IGNORE, Reason.ALREADY_HANDLED,
                f"this episode led to Rollback {record.name}, which is {record.phase}",
            )  # fmt: skip
    return None


def rollback_is_not_yet_in_force(evidence: Evidence) -> Decision | None:
    """What is in force already needs nothing more."""
    intent, canary = evidence.intent, evidence.canary
    if intent is None or canary is None or intent.dry_run or intent.revision != canary.revision:
        return None
    return Decision(
        Verdict.ROLL_BACK, Reason.ALREADY_ROLLING_BACK,
        f"Rollback {intent.record_name} is in force for revision {intent.revision}",
    )  # fmt: skip


def is_superseded(revision: str, received_at: datetime.datetime, canary: Canary | None, clock_tolerance: float) -> bool:
    """Whether a rollback of ``revision`` is over because the canary has gone on: to another revision, or to a new
    analysis of the same one (Flagger keeps the beginning of an analysis for as long as it lasts)."""
    if canary is None or not revision or not canary.revision:
        return False
    if canary.revision != revision:
        return True
    if canary.controller is Controller.NONE:
        return False  # nobody says that it is tried once more: only a person lifts the hold
    began = canary.analysis_began
    tolerance = datetime.timedelta(seconds=clock_tolerance)
    return canary.under_analysis and began is not None and began > received_at + tolerance


def intent_still_applies(evidence: Evidence) -> Decision | None:
    """A rollback stands for one revision of one canary, until its controller has accepted the failure."""
    intent, canary = evidence.intent, evidence.canary
    if canary is None:
        name = str(intent.canary) if intent else ""
        kind = evidence.record.canary_kind.kind if evidence.record is not None else "canary"
        return Decision(Verdict.IGNORE, Reason.CANARY_GONE, f"no {kind} {name} exists")
    if intent is None or canary.revision == intent.revision:
        return None
    if not canary.revision and canary.controller is Controller.NONE:
        return None  # its workload is not known: that is no new one (law 8)
    return Decision(
        Verdict.IGNORE, Reason.NEW_REVISION_BEGAN,
        f"revision {canary.revision} is being rolled out, this rollback was for {intent.revision}",
    )  # fmt: skip


def nobody_has_released_it(evidence: Evidence) -> Decision | None:
    """A person may lift the hold: by name, on the record itself, where RBAC says who may."""
    record = evidence.record
    if record is None or not record.released_by:
        return None
    why = f": {record.released_reason}" if record.released_reason else ""
    return Decision(Verdict.IGNORE, Reason.RELEASED, f"released by {record.released_by}{why}")


def it_is_no_rehearsal(evidence: Evidence) -> Decision | None:
    """A dry run ends where the writing would begin."""
    if evidence.intent is None or not evidence.intent.dry_run:
        return None
    return Decision(Verdict.IGNORE, Reason.DRY_RUN, "dry run: no route is written")


def revision_is_not_promoted(evidence: Evidence) -> Decision | None:
    """What became the primary can no longer be pulled back by moving traffic."""
    canary = evidence.canary
    if canary is None or canary.phase not in {CanaryPhase.SUCCEEDED, CanaryPhase.INITIALIZED}:
        return None
    return Decision(
        Verdict.IGNORE, Reason.REVISION_PROMOTED,
        f"phase {canary.phase}: revision {canary.revision} is the stable version now; "
        f"revert the workload: {evidence.undo}",
    )  # fmt: skip


def failure_is_not_yet_accepted(evidence: Evidence) -> Decision | None:
    """The latch ends when the controller says Failed, the routes are at 0, and that has been proved."""
    canary = evidence.canary
    if canary is None or canary.phase is not CanaryPhase.FAILED or not evidence.gets_nothing:
        return None
    if evidence.proof is None and not (evidence.record and evidence.record.timeline.proved_at):
        return None
    nothing = "routes at 0" if evidence.routes_known else "no pods left"
    return Decision(Verdict.IGNORE, Reason.FAILURE_ACCEPTED, f"phase {canary.phase}, {nothing}, proved")


def deadline_is_kept(evidence: Evidence) -> Decision | None:
    """Zero is proved in time, or a person is told."""
    intent = evidence.intent
    if intent is None or evidence.proof is not None:
        return None
    if evidence.record is not None and evidence.record.timeline.proved_at is not None:
        return None
    seconds = (evidence.now - intent.received_at).total_seconds()
    if seconds < evidence.limits.deadline:
        return None
    return Decision(
        Verdict.ESCALATE, Reason.DEADLINE_EXCEEDED,
        f"not proved at 0 after {seconds:.0f} s (deadline {evidence.limits.deadline:.0f} s): "
        + _what_is_missing(evidence),
    )  # fmt: skip


def write_is_accepted(evidence: Evidence) -> Decision | None:
    """A write that is refused for good needs a person now, not at the deadline."""
    if not evidence.write_refused or evidence.routes_at_zero:
        return None
    instead = f"; second brake: {evidence.second_brake}" if evidence.second_brake else ""
    return Decision(Verdict.ESCALATE, Reason.WRITE_REFUSED, evidence.write_refused + instead)


def whose_clock(evidence: Evidence) -> str:
    """Where the routes cannot be written here, how fast it goes is for the controller to say; else nothing."""
    canary = evidence.canary
    if canary is None or evidence.routes_known:
        return ""
    every = f" (every {canary.interval})" if canary.interval else ""
    what = "aborts it" if canary.controller is Controller.ARGO else "rolls it back"
    return (
        f"routes of {canary.provider} cannot be written here, so {canary.controller} {what} at its next look{every}"
    )


def _what_is_missing(evidence: Evidence) -> str:
    canary = evidence.canary
    if not evidence.routes_known:
        provider = canary.provider if canary else ""
        return f"the routes of provider {provider or 'unknown'} cannot be written; only the rollback hook acts"
    raised = [route for route in evidence.routes if not route.at_zero]
    if raised:
        return "still above 0: " + ", ".join(f"{route.ref} at {route.weight:g}%" for route in raised)
    why = f": {evidence.unproved}" if evidence.unproved else ""
    return f"routes are at 0, but no proof that traffic has stopped{why}"


def tag(image: str) -> str:
    """The tag of an image reference, or its digest, or nothing: ``repo:5000/app:v4`` says ``v4``."""
    if "@" in image:
        return image.split("@", 1)[1]
    last = image.rsplit("/", 1)[-1]
    return last.split(":", 1)[1] if ":" in last else ""


def versions_of(canary: Canary, workload: Workload | None, labels: LabelNames) -> frozenset[str]:
    """Every word by which a metric may call the version that a canary runs."""
    words = {canary.revision, *canary.versions}
    if workload is not None:
        words |= {workload.labels.get(name, "") for name in labels.template_version}
        words |= {workload.labels.get("pod-template-hash", "")}
        words |= {tag(image) for image in workload.images}
    return frozenset(words - SAYS_NOTHING)
