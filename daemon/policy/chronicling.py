"""What the record of a revision should say, given what is seen. Pure; the same from every replica.

A revision is known by its pod template before Flagger names it (``Pending``), bound to Flagger's name when the
analysis begins, and ended by what becomes of it. The same template may be analysed again: a new *run* of the same
record, with its soaks counted from the beginning.
"""

import dataclasses
import datetime
import hashlib
from collections.abc import Iterable

from daemon.model.canary import Canary, CanaryPhase, Workload
from daemon.model.canary_revision import (
    CanaryRevision,
    Entry,
    EntryKind,
    NewRevision,
    RevisionPhase,
    SeenActs,
    SeenGate,
    SeenWeight,
)
from daemon.model.decision import Reason
from daemon.policy import acts, entries, staging
from daemon.policy.noting import Notes

_ANALYSED = frozenset({CanaryPhase.PROGRESSING, CanaryPhase.WAITING_PROMOTION})
"""Phases in which Flagger's status names the revision that is tried out. In Waiting it still names the one before."""
_ANEW = datetime.timedelta(seconds=5)
"""Analyses of one revision are further apart than this, what two replicas think of one beginning is not."""
_WEIGHTS_KEPT = 100
_NAME_MOST = 253
_TEMPLATE_SHOWN = 10


@dataclasses.dataclass(frozen=True, slots=True)
class Sighting:
    """What is seen of one canary at one moment. ``weight`` is percent on the routes, None when nobody knows;
    ``version`` the highest resource version of the routes."""

    now: datetime.datetime
    canary: Canary
    workload: Workload | None
    weight: float | None
    version: str = ""


def record_name(canary: Canary, template: str) -> str:
    """``<canary>-<first digits of the template's hash>``."""
    suffix = f"-{template[:_TEMPLATE_SHOWN].lower()}"
    name = canary.ref.name
    if len(name) + len(suffix) <= _NAME_MOST:
        return name + suffix
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: _NAME_MOST - len(suffix) - 9]}-{digest}{suffix}"


def new_record(seen: Sighting, records: Iterable[CanaryRevision], *, asked: bool) -> NewRevision | None:
    """The record to create: a revision is under analysis, or (``asked``) a hook has asked about the next one."""
    canary, workload = seen.canary, seen.workload
    if workload is None or not workload.template or canary.deleting:
        return None
    known = tuple(records)
    if any(one.template == workload.template for one in known):
        return None
    if any(one.revision == canary.revision for one in known if canary.revision) and not asked:
        return None  # the controller has not taken up what lies in the workload by now
    if canary.phase not in _ANALYSED and not asked:
        return None
    return NewRevision(
        namespace=canary.ref.namespace,
        name=record_name(canary, workload.template),
        canary=canary.ref,
        canary_uid=canary.uid,
        template=workload.template,
        images=workload.released,
        canary_kind=canary.object_kind,
    )


def of_template(records: Iterable[CanaryRevision], template: str) -> CanaryRevision | None:
    """The record of what is about to be released."""
    return next((one for one in records if template and one.template == template), None)


def current(records: Iterable[CanaryRevision], canary: Canary) -> CanaryRevision | None:
    """The record of the revision that Flagger's status names, once it is bound to this analysis of it."""
    bound = [one for one in records if canary.revision and one.revision == canary.revision]
    found = max(bound, key=lambda one: (one.run > 0, one.began or one.created_at), default=None)
    if found is None or _begins_anew(found, canary):
        return None
    return found


def updated(record: CanaryRevision, records: Iterable[CanaryRevision], seen: Sighting, notes: Notes) -> CanaryRevision:
    """The record as it should be."""
    after = _bound(_back(record, seen), tuple(records), seen)
    after = _weighed(after, seen)
    after = _ended(after, seen)
    after = acts.acted(after, seen.canary, seen.now)
    return _noted(after, notes)


# -- how far it has come


def _back(record: CanaryRevision, seen: Sighting) -> CanaryRevision:
    """What was replaced before it was ever analysed, and lies in the workload again, waits again from now on. So it is,
    too, where a replica whose watch lags behind took it for replaced."""
    there = seen.workload is not None and seen.workload.template == record.template
    if record.phase is not RevisionPhase.SUPERSEDED or record.run or not there:
        return record
    return _into(dataclasses.replace(record, gates=()), RevisionPhase.PENDING, seen, "it lies in the workload again")


def _bound(record: CanaryRevision, records: tuple[CanaryRevision, ...], seen: Sighting) -> CanaryRevision:
    canary, workload = seen.canary, seen.workload
    if canary.phase not in _ANALYSED or not canary.revision or workload is None:
        return record
    holder = next((one for one in records if one.revision == canary.revision), None)
    if workload.template != record.template or (holder is not None and holder.name != record.name):
        return record
    if record.revision == canary.revision and not _begins_anew(record, canary):
        return dataclasses.replace(
            record,
            configs=record.configs or canary.configs,
            workload_revision=workload.revision_number or record.workload_revision,
        )
    again = f", for the {record.run + 1}. time" if record.run else ""
    begun = dataclasses.replace(
        record,
        revision=canary.revision,
        phase=RevisionPhase.ANALYSING,
        run=record.run + 1,
        began=canary.analysis_began or seen.now,
        promoted_at=None,
        configs=canary.configs,
        workload_revision=workload.revision_number,
        weights=(),
        checks=() if record.run else record.checks,
        gates=(),
        acts=SeenActs(
            # How long an approval counts does not begin anew with a run.
            approval=record.acts.approval,
            approval_at=record.acts.approval_at,
            # What was said before this revision, or before this analysis of it, was not meant for it.
            stale_approval=canary.approval.word if canary.approval is not None and record.run else "",
            stale_advance=acts.word(canary.advance) if record.run else acts.unbound_advance(canary),
        ),
    )
    text = f"analysis of revision {canary.revision} began{again}"
    return entries.added(begun, Entry(seen.now, EntryKind.PHASE, f"run {begun.run}", text))


def _begins_anew(record: CanaryRevision, canary: Canary) -> bool:
    if record.run == 0:
        return True
    if canary.phase not in _ANALYSED or canary.analysis_began is None or record.began is None:
        return False
    if record.revision == canary.revision and record.configs and record.configs != canary.configs:
        return True
    return canary.analysis_began - record.began > _ANEW


def _ended(record: CanaryRevision, seen: Sighting) -> CanaryRevision:
    canary = seen.canary
    if record.ended or _is_from_before(record, canary):
        return record
    if record.phase is RevisionPhase.ANALYSING and record.revision == canary.revision:
        if canary.phase is CanaryPhase.SUCCEEDED:
            promoted = dataclasses.replace(record, promoted_at=canary.analysis_began or seen.now)
            return _into(promoted, RevisionPhase.PROMOTED, seen, "promoted: it is the stable version now")
        if canary.phase is CanaryPhase.FAILED:
            return _into(record, RevisionPhase.FAILED, seen, "failed: the controller has given it up")
        return record
    overtaken = record.phase is RevisionPhase.ANALYSING and canary.phase in _ANALYSED and bool(canary.revision)
    replaced = record.phase is RevisionPhase.PENDING and (
        seen.workload is not None and seen.workload.template != record.template
    )
    if overtaken and record.revision == canary.promoted_revision:
        # Promoted while nobody looked: the next one is under way already.
        return _into(dataclasses.replace(record, promoted_at=seen.now), RevisionPhase.PROMOTED, seen, "promoted")
    if overtaken or replaced:
        return _into(record, RevisionPhase.SUPERSEDED, seen, "another revision is being released instead")
    return record


def _is_from_before(record: CanaryRevision, canary: Canary) -> bool:
    """Whether a replica whose watch lags behind still shows what the canary was before this analysis."""
    if canary.analysis_began is None or record.began is None:
        return False
    return record.began - canary.analysis_began > _ANEW


def _into(record: CanaryRevision, phase: RevisionPhase, seen: Sighting, text: str) -> CanaryRevision:
    entry = Entry(seen.now, EntryKind.PHASE, phase.value, text)
    return entries.added(dataclasses.replace(record, phase=phase), entry)


def _weighed(record: CanaryRevision, seen: Sighting) -> CanaryRevision:
    runs = record.phase is RevisionPhase.ANALYSING and record.revision == seen.canary.revision
    if not runs or seen.weight is None:
        return record
    last = record.weights[-1] if record.weights else None
    if last is not None and (staging.same(last.weight, seen.weight) or _older(seen.version, last.version)):
        return record
    was = f"{last.weight:g}% -> " if last is not None else ""
    text = f"{was}{seen.weight:g}% of traffic"
    weighed = dataclasses.replace(
        record, weights=(*record.weights, SeenWeight(seen.weight, seen.now, seen.version))[-_WEIGHTS_KEPT:]
    )
    return entries.added(weighed, Entry(seen.now, EntryKind.STAGE, f"{seen.weight:g}", text))


def _older(new: str, held: str) -> bool:
    return new.isdigit() and held.isdigit() and int(new) < int(held)


# -- what this replica knows


def _noted(record: CanaryRevision, notes: Notes) -> CanaryRevision:
    after = record
    for entry in notes.entries:
        after = entries.added(after, entry)
    if notes.gates:
        gates = {gate.hook: gate for gate in record.gates}
        for gate in notes.gates:
            gates[gate.hook] = _since_when(gates.get(gate.hook), gate)
        after = dataclasses.replace(after, gates=tuple(gates[hook] for hook in sorted(gates)))
    if notes.checks:
        checks = {(check.gate, check.name): check for check in record.checks}
        checks |= {(check.gate, check.name): check for check in notes.checks}
        after = dataclasses.replace(after, checks=tuple(checks[key] for key in sorted(checks)))
    if notes.digests:
        digests = {digest.image: digest for digest in (*record.digests, *notes.digests)}
        after = dataclasses.replace(after, digests=tuple(digests[image] for image in sorted(digests)))
    return after


def _since_when(before: SeenGate | None, now: SeenGate) -> SeenGate:
    """Closed for one reason after another is closed all the time; a soak's end is known and does not count."""
    if before is not None and (before.opened, before.reason) == (now.opened, now.reason):
        return dataclasses.replace(before, detail=now.detail)
    if now.opened or now.reason == Reason.SOAKING:
        return dataclasses.replace(now, refusing_since=None)
    held = before.refusing_since if before is not None and not before.opened else None
    return dataclasses.replace(now, refusing_since=held or now.at)


def says_the_same(before: CanaryRevision, after: CanaryRevision) -> bool:
    """Whether nothing is new but how often and how recently it was said."""
    return _gist(before) == _gist(after)


def _gist(record: CanaryRevision) -> CanaryRevision:
    moment = record.created_at
    return dataclasses.replace(
        record,
        entries=tuple(dataclasses.replace(one, text="", count=1, last=None) for one in record.entries),
        gates=tuple(dataclasses.replace(one, detail="", at=moment) for one in record.gates),
        checks=tuple(dataclasses.replace(one, detail="", at=moment) for one in record.checks),
    )
