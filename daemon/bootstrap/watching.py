"""Wires the watches: everything that is seen of the cluster comes in through here."""

from daemon.adapters.kubernetes import reflector
from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.adapters.kubernetes.resources import ROLLBACKS, Resource
from daemon.adapters.kubernetes.watches import Watches
from daemon.bootstrap.seeing import Sight, Surroundings, receivers
from daemon.settings import Settings
from daemon.telemetry.logs import Logs
from daemon.workflow.noticing import Noticing


def watches(
    settings: Settings,
    surroundings: Surroundings,
    sight: Sight,
    client: KubernetesClient,
    logs: Logs,
    noticing: Noticing,
) -> Watches:
    pace = reflector.Pace(
        watch_seconds=settings.kubernetes.watch_timeout, absent_retry=settings.kubernetes.absent_retry
    )

    def report(served: Resource, namespace: str | None, state: str) -> None:
        if served.kind in sight.routes.served:
            sight.routes.served[served.kind] = served
        logs.watch_changed(str(served), namespace, state)
        made.health_changed()

    made = Watches(
        [
            reflector.Reflector(
                client, versions, namespace, receive=receive, report=report, chance=surroundings.chance, pace=pace
            )
            for versions, receive in receivers(sight)
            for namespace in (settings.kubernetes.namespaces or (None,))
        ],
        required=frozenset({ROLLBACKS.kind}),
        stale_after=settings.kubernetes.stale_after,
        synced=noticing.whole,
    )
    return made
