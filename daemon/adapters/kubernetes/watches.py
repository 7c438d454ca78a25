"""All watches together: are they whole, are they fresh, and if not, which."""

import asyncio
from collections.abc import Callable, Iterable

from daemon.adapters.kubernetes.reflector import Health, Reflector


class Watches:
    """``required`` kinds must exist: without the records nothing can be made durable.

    ``synced`` is called once, when every kind has been listed for the first time (or is known to be absent).
    """

    def __init__(
        self,
        reflectors: Iterable[Reflector],
        *,
        required: frozenset[str],
        stale_after: float,
        synced: Callable[[], None],
    ) -> None:
        self._reflectors = tuple(reflectors)
        self._required = required
        self._stale_after = stale_after
        self._tell_synced = synced
        self.seen = asyncio.Event()
        """Set once every kind has been seen whole."""

    async def run(self) -> None:
        """Runs every reflector until cancelled."""
        async with asyncio.TaskGroup() as group:
            for reflector in self._reflectors:
                group.create_task(reflector.run(), name=f"watch {reflector.kind} {reflector.namespace or ''}".strip())

    def health_changed(self) -> None:
        """Called at every change of any reflector's health."""
        if self.whole or any(reflector.health is Health.STARTING for reflector in self._reflectors):
            return
        if all(reflector.seen for reflector in self._reflectors):
            self.seen.set()
            self._tell_synced()

    @property
    def whole(self) -> bool:
        """Every kind has been seen whole at least once."""
        return self.seen.is_set()

    def problem(self) -> str:
        """Empty when all is well, else one line: what is missing or stale."""
        for reflector in self._reflectors:
            where = f"{reflector.kind} in {reflector.namespace}" if reflector.namespace else reflector.kind
            if not reflector.seen:
                return f"{where}: not seen yet{_why(reflector)}"
            if reflector.health is Health.ABSENT and reflector.kind in self._required:
                return f"{where}: not installed ({reflector.resource}); install the chart's crds/"
            if reflector.age() > self._stale_after:
                return f"{where}: nothing heard for {reflector.age():.0f} s{_why(reflector)}"
        return ""

    def fresh(self, kind: str) -> bool:
        """Whether what is known of a kind is recent."""
        return all(
            reflector.seen and reflector.age() <= self._stale_after
            for reflector in self._reflectors
            if reflector.kind == kind
        )

    def ages(self) -> list[tuple[str, float]]:
        """The oldest watch of each kind, in seconds; kinds never seen are left out."""
        oldest: dict[str, float] = {}
        for reflector in self._reflectors:
            if reflector.seen:
                oldest[reflector.kind] = max(oldest.get(reflector.kind, 0.0), reflector.age())
        return sorted(oldest.items())


def _why(reflector: Reflector) -> str:
    return f" ({reflector.problem})" if reflector.problem else ""
