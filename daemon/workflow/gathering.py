"""Gathers everything a decision about one canary may see. Reads memory only: a pass never waits to look."""

import dataclasses
import datetime
from collections.abc import Callable, Mapping

from daemon import ports
from daemon.model.canary import Canary, CanaryPhase, CanaryRef, Controller
from daemon.model.decision import Evidence, Intent, Limits, has_no_pods
from daemon.model.rollback import Rollback, Trigger
from daemon.model.route import RoutePatch, RouteView, percent
from daemon.model.signal import HookType
from daemon.policy import checks, naming, reverting
from daemon.policy.correlating import Match
from daemon.workflow.standing import Standing
from daemon.workflow.world import World

_VIEWS_KEPT = 50_000
RELEASED_KNOWN = 1.0
"""Seconds within which every replica has heard of a release."""
RELEASED_READY = 60.0
"""Seconds that pods, taken away after zero, have to come back before requests are sent to them again."""


class Gatherer:
    """World and memory in, ``Evidence`` out."""

    def __init__(
        self,
        *,
        world: World,
        routes: ports.Routes,
        clock: ports.Clock,
        limits: Limits,
        rehearsing: bool,
        bake: Callable[[Canary], float],
    ) -> None:
        """``bake``: seconds after promotion in which an alert still pages."""
        self._world = world
        self._routes = routes
        self._clock = clock
        self._limits = limits
        self._rehearsing = rehearsing
        self._bake = bake
        # A scrape looks at every canary, a hold at one canary again and again: routes change far less often.
        self._views: dict[CanaryRef, tuple[tuple[object, ...], tuple[RouteView, ...]]] = {}

    def gather(self, ref: CanaryRef, standing: Standing) -> Evidence:
        """Also keeps the memory in step with the world: since when the routes are at zero, which record stands."""
        now = self._clock.now()
        canary = self._as_recorded(self._world.canary(ref))
        views = self.views(canary)
        known = canary is not None and self._world.routes_known(canary)
        workload = self._world.workload(canary) if canary else None
        at_zero = all(view.at_zero for view in views) if known else canary is not None and has_no_pods(workload)
        records = self._world.records(ref)
        record = self._record(standing, canary, records)
        self._note_zero(standing, now, at_zero=at_zero)
        standing.gone_since = None if canary is not None or standing.intent is None else standing.gone_since or now
        restorations = self._restorations(standing, canary, record) if canary else ()
        identity = _identity(standing.intent.revision if standing.intent else "", canary)
        return Evidence(
            now=now,
            canary=canary,
            workload=workload,
            stable=self._world.primary(canary) if canary else None,
            routes=views,
            routes_known=known,
            records=records,
            intent=standing.intent,
            record=record,
            zero_since=standing.zero_since,
            proof=standing.proof,
            unproved=standing.unproved,
            holds=standing.pushed_back,
            checksum=standing.checksums.get(identity, ""),
            resolved=frozenset(standing.resolved),
            write_refused=standing.write_refused,
            divert_refused=standing.divert_refused,
            second_brake=standing.second_brake,
            rehearsing=self._rehearsing,
            bakes_until=self.bakes_until(canary) if canary else None,
            bakes_since=self._promotion_began(canary) if canary else None,
            gone_since=standing.gone_since,
            restorations=restorations,
            undo=reverting.command(canary, self._world.revisions(ref)) if canary else "",
            limits=self._limits,
        )

    def _as_recorded(self, canary: Canary | None) -> Canary | None:
        """Where nobody drives it, its Deployment tells when it was last written, which may be long after the revision
        began; the record of the revision has kept when that was seen first."""
        if canary is None or canary.controller is not Controller.NONE or canary.analysis_began is None:
            return canary
        records = self._world.revisions(canary.ref)
        seen = [one.began for one in records if one.began is not None and one.revision == canary.revision]
        return dataclasses.replace(canary, analysis_began=min([canary.analysis_began, *seen])) if seen else canary

    def views(self, canary: Canary | None) -> tuple[RouteView, ...]:
        """All routing objects that reach the canary, as it is seen from there."""
        if canary is None:
            return ()
        routes = self._world.routes(canary)
        versions = (canary.service, canary.sides, *((route.ref, route.resource_version) for route in routes))
        held = self._views.get(canary.ref)
        if held is not None and held[0] == versions:
            return held[1]
        sides = self._world.sides(canary)
        seen = (self._routes.view(route, sides) for route in routes)
        views = tuple(view for view in seen if view.paths or view.zero is not None)
        if len(self._views) > _VIEWS_KEPT:
            self._views.clear()
        self._views[canary.ref] = (versions, views)
        return views

    def _restorations(
        self, standing: Standing, canary: Canary, record: Rollback | None
    ) -> tuple[RoutePatch, ...] | None:
        """What is left to put back of a released rollback. Another replica that does not know of the release yet would
        take it for a raise: so it is given the time to hear of it, and pods the time to come back; until then nobody
        knows (None)."""
        if standing.intent is None or record is None or not record.released_by:
            return ()
        if standing.released_since is None:
            standing.released_since = self._clock.now()
            standing.write_refused = ""  # what was refused on the way down says nothing of the way back
        waited = (self._clock.now() - standing.released_since).total_seconds()
        workload = self._world.workload(canary)
        empty = workload is not None and workload.observed and not workload.ready_replicas
        if waited < RELEASED_KNOWN or (empty and waited < RELEASED_READY):
            return None
        originals = standing.intent.originals
        found = (self._routes.restore(route, originals) for route in self._world.routes(canary))
        return tuple(patch for patch in found if patch is not None)

    def weight(self, canary: Canary) -> float | None:
        """Percent on the routes. Where those cannot be read, what Flagger says, which is true while it climbs; None
        when nobody knows."""
        if self._world.routes_known(canary):
            return percent(self.views(canary))
        return float(canary.status_weight) if canary.phase is CanaryPhase.PROGRESSING else None

    def bakes_until(self, canary: Canary) -> datetime.datetime | None:
        """Until when an alert about what was promoted pages; None when that is over, or nothing was promoted."""
        # In Succeeded, what Flagger calls the last transition is the promotion.
        if canary.phase is not CanaryPhase.SUCCEEDED or canary.analysis_began is None:
            return None
        until = canary.analysis_began + datetime.timedelta(seconds=self._bake(canary))
        return until if until > self._clock.now() else None

    def _promotion_began(self, canary: Canary) -> datetime.datetime | None:
        """When the last gate opened for what was promoted."""
        records = self._world.revisions(canary.ref)
        bound = [one for one in records if canary.revision and one.revision == canary.revision]
        gates = [one.gate(HookType.CONFIRM_PROMOTION) for one in bound]
        return max((gate.at for gate in gates if gate is not None and gate.opened), default=None)

    def whom(self, labels: Mapping[str, str]) -> Match:
        """The canary an alert speaks about. What names the stable side speaks of a revision that was just promoted."""
        match = self._world.correlate(labels)
        canary = self._world.canary(match.stable_of) if match.stable_of is not None else None
        if canary is None or self.bakes_until(canary) is None:
            return match
        return Match(canary.ref, None, f"{match.detail}, which was promoted a moment ago")

    def _record(self, standing: Standing, canary: Canary | None, records: tuple[Rollback, ...]) -> Rollback | None:
        """The record of the rollback in force; picks up one that a person, or an earlier life of ours, made."""
        waiting = [one for one in records if not one.finished and not self._is_over(one, canary)]
        if standing.intent is not None and standing.intent.dry_run and not all(one.dry_run for one in waiting):
            standing.end()  # what is only rehearsed stands in no real rollback's way
        if standing.intent is None:
            # A real one before a dry run, whichever was made first.
            unfinished = min(waiting, key=lambda one: one.dry_run, default=None)
            if unfinished is None:
                return None
            # What an alert asked for was judged before it was written down; a person's act is judged now.
            judged = unfinished.trigger is Trigger.ALERT or unfinished.timeline.started_at is not None
            standing.begin(self._adopted(unfinished, canary), durable=True, accepted=judged)
            standing.pushed_back = unfinished.holds
            standing.was_zero = unfinished.timeline.zeroed_at is not None
            standing.escalated = unfinished.timeline.escalated_at is not None
            if unfinished.checksum and unfinished.revision:
                standing.learn_checksum(_identity(unfinished.revision, canary), unfinished.checksum)
            return unfinished
        return next((record for record in records if record.name == standing.intent.record_name), None)

    def superseded(self, intent: Intent, canary: Canary | None) -> bool:
        """Whether the canary has gone on to another revision, or another analysis."""
        return checks.is_superseded(intent.revision, intent.received_at, canary, self._limits.clock_tolerance)

    def _is_over(self, record: Rollback, canary: Canary | None) -> bool:
        return checks.is_superseded(record.revision, record.started_at, canary, self._limits.clock_tolerance)

    @staticmethod
    def _adopted(record: Rollback, canary: Canary | None) -> Intent:
        revision = record.revision or (canary.revision if canary else "")
        return Intent(
            canary=record.canary,
            revision=revision,
            trigger=record.trigger,
            reason=record.reason,
            requested_by=record.requested_by,
            signal=record.signal,
            dry_run=record.dry_run,
            received_at=record.started_at,
            decided_at=record.timeline.decided_at or record.started_at,
            record_name=record.name,
            checksum=record.checksum,
            weights=record.weights,
            originals=record.originals,
            severity=record.severity,
            drill=record.drill,
        )

    def _note_zero(self, standing: Standing, now: datetime.datetime, *, at_zero: bool) -> None:
        if standing.intent is None:
            return
        if not at_zero:
            standing.zero_since = None
            return
        if standing.zero_since is None:
            standing.zero_since = now
        standing.was_zero = True

    def next_name(self, canary: Canary, *, dry_run: bool) -> str:
        return naming.next_record_name(canary, self._world.records(canary.ref), dry_run=dry_run)


def _identity(revision: str, canary: Canary | None) -> str:
    """What the checksum of a revision is kept by; an empty one is whatever is under analysis."""
    if canary is not None and revision in {"", canary.revision}:
        return canary.identity
    return revision
