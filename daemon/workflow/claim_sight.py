"""What it takes to put canaries together that no controller drives: promises of those who read, and of the world."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from daemon.model.canary import Canary, CanaryPhase, CanaryRef, Workload
from daemon.model.rollback import Rollback
from daemon.model.route import Original, RouteObject, RouteRef, RouteView, Sides
from daemon.policy.claims import Service


class Reading(Protocol):
    """What objects say, read by those who know their kind."""

    def view(self, route: RouteObject, sides: Sides) -> RouteView: ...

    def canary(
        self,
        home: RouteObject,
        sides: Sides,
        workload: Workload | None,
        stable: Workload | None,
        labels: Mapping[str, str],
        phase: CanaryPhase,
    ) -> Canary: ...

    def remembered(self, route: RouteObject, originals: Sequence[Original]) -> Sides | None:
        """What the object told of a canary before these places in it were changed."""
        ...

    def named_workloads(self, home: RouteObject) -> tuple[str, str]: ...

    def is_driven(self, home: RouteObject) -> bool: ...


class Surroundings(Protocol):
    """What is known of the world."""

    def canary(self, ref: CanaryRef) -> Canary | None: ...

    def fleet(self, namespace: str) -> Mapping[str, Workload]: ...

    def reaching(self, services: Iterable[Service]) -> list[RouteObject]: ...

    def held(self, route: RouteRef) -> Sequence[Original]:
        """What rollbacks in force have changed in this object."""
        ...

    def records(self, ref: CanaryRef) -> Sequence[Rollback]:
        """Rollbacks of a canary of that name."""
        ...

    def controlled(self, service: Service) -> bool:
        """Whether a controller's canary takes traffic by it."""
        ...

    def put_canary(self, canary: Canary) -> None: ...

    def drop_canary(self, ref: CanaryRef) -> None: ...
