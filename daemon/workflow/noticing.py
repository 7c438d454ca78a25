"""From *something changed* to *look at this canary*: only where there is something to do."""

from collections.abc import Callable

from daemon import ports
from daemon.model.canary import CanaryRef
from daemon.workflow.gathering import Gatherer
from daemon.workflow.standing import Standings
from daemon.workflow.world import World


class Noticing:
    """Nudges mailboxes. Until the world has been seen whole it only waits: half a world is not evidence (law 8)."""

    def __init__(
        self,
        *,
        world: World,
        standings: Standings,
        gatherer: Gatherer,
        nudge: Callable[[CanaryRef], None],
        aftermath: Callable[[CanaryRef], None],
        chronicle: Callable[[CanaryRef], None],
        observer: ports.Observer,
    ) -> None:
        """``nudge`` makes a pass look, ``aftermath`` what comes after zero, ``chronicle`` the records of revisions."""
        self._world = world
        self._gatherer = gatherer
        self._standings = standings
        self._nudge = nudge
        self._aftermath = aftermath
        self._chronicle = chronicle
        self._observer = observer
        self._whole = False
        world.touched = self.touched
        world.record_deleted = self.record_deleted

    def whole(self) -> None:
        """Every kind has been listed: look at all that is unfinished (law 5)."""
        self._whole = True
        for record in self._world.all_records():
            if not record.finished:
                self._nudge(record.canary)
        for canary in self._world.canaries():
            self.touched(canary.ref)

    def touched(self, ref: CanaryRef) -> None:
        canary = self._world.canary(ref)
        if self._whole and self._has_work(ref):
            self._nudge(ref)
        elif canary is None:
            self._standings.forget(ref)
        elif canary.under_analysis:
            self._gatherer.views(canary)  # planned now, it need not be planned when the alert comes
        if self._whole:
            # After the nudge, and in nobody's way: whatever is wrong there must not reach whoever brought the news.
            for tell in (self._chronicle, self._aftermath):
                try:
                    tell(ref)
                except Exception as error:  # noqa: BLE001
                    self._observer.pass_failed(ref, error)

    def record_deleted(self, ref: CanaryRef, name: str) -> None:
        """Whoever deletes the record of a standing rollback lifts it."""
        standing = self._standings.peek(ref)
        if standing is not None and standing.intent is not None and standing.intent.record_name == name:
            standing.end()

    def _has_work(self, ref: CanaryRef) -> bool:
        standing = self._standings.peek(ref)
        if standing is not None and standing.intent is not None:
            return True
        if any(not record.finished for record in self._world.records(ref)):
            return True
        canary = self._world.canary(ref)
        return canary is not None and any(pause.revision != canary.revision for pause in canary.alert_pauses)
