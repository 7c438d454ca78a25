"""Canaries that a controller drives, as far as their routes are concerned: whether Pullback can write what splits their
traffic, and what else bounds the clock."""

from collections.abc import Iterator

from daemon.doctor.documents import Document
from daemon.doctor.findings import Finding, fail, fine, warn
from daemon.doctor.scene import Scene
from daemon.model.canary import Canary, Controller


def examine(scene: Scene) -> Iterator[Finding]:
    for document, why in scene.unread:
        yield warn(
            "canary/unreadable", document.at(), f"cannot be read as a {document.kind}: {why}",
            "an object that the API server takes", "kubectl apply --dry-run=server says what is wrong with it",
        )  # fmt: skip
    for canary in scene.world.canaries():
        yield from _closable(canary, scene)
        if canary.controller is Controller.NONE:
            continue
        found = scene.objects.get((canary.object_kind.kind, canary.ref.namespace, canary.ref.name))
        if found is not None:
            yield from _provider(canary, found, scene)


def _provider(canary: Canary, document: Document, scene: Scene) -> Iterator[Finding]:
    argo = canary.controller is Controller.ARGO
    if not scene.world.routes_known(canary):
        who = "Argo Rollouts, once it is told to abort," if argo else "Flagger, a tick after its rollback hook,"
        yield warn(
            "canary/routes-not-written", document.at("spec"), f"its traffic is split by {canary.provider}, which "
            f"Pullback does not write: {who} takes it away, and the seconds are its own",
            "Istio, the Gateway API or ingress-nginx",
            "accept that clock, or split the traffic by a kind of route that is written",
        )  # fmt: skip
    elif argo:
        yield fine(
            "canary/found", document.at(), f"Argo Rollouts drives it, and its routes ({canary.provider}) are written"
        )
    if canary.shares_capacity:
        yield warn(
            "canary/dynamic-stable-scale", document.at("spec", "strategy", "canary", "dynamicStableScale"),
            "the stable pods are scaled down as the canary's share grows, so a rollback first gives Argo Rollouts 15s "
            "to move the traffic as they come up again", "stable pods for all of the traffic until the release is over",
            "leave dynamicStableScale out, or accept these seconds",
        )  # fmt: skip


def _closable(canary: Canary, scene: Scene) -> Iterator[Finding]:
    """Kinds whose sides no document tells by itself (``routes`` looks at the others)."""
    sides = scene.world.sides(canary)
    for route in scene.world.routes(canary):
        if route.ref.kind != "Ingress":
            continue
        view = scene.view(route, sides)
        closed = {change.path for change in view.zero.changes} if view.zero else set()
        for path in view.paths:
            if path.share > 0 and path.path not in closed:
                yield fail(
                    "routes/cannot-be-closed", scene.routes[route.ref].at(), f"{path.path} reaches the canary, and no "
                    "stable side is known that its traffic could be given to", "a stable side for this canary",
                    "pullback.dev/stable: SERVICE on this object",
                )  # fmt: skip
