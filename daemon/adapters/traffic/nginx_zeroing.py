"""Planning the one write that takes an Ingress to zero: the annotations of a canary's own, the backends of any other.

Of the two ways to switch a canary Ingress off, this is ``canary-weight: "0"`` with the header and the cookie taken
away, and never ``canary: "false"``: that would make it an ordinary Ingress whose backend is the canary. Where it is
the older of two for the same host and path (the main one was made anew, say) it would take all requests, and wherever
the main one lacks a path, all requests of that path. At weight 0 it stays an alternative that is never chosen, which
is also how Flagger leaves it at rest, so nobody finds an object in a state that they do not know.

Flagger writes ``canary`` and ``canary-weight`` at each step, and header and cookie where it matches (A/B); it never
touches ``affinity-canary-behavior``. So a step can raise the weight again, and the next look lowers it again.
"""

from collections.abc import Sequence

from daemon.adapters.traffic import nginx_annotations
from daemon.adapters.traffic.drafting import Draft
from daemon.adapters.traffic.istio_destinations import resolve
from daemon.adapters.traffic.nginx_annotations import LEGACY, STICKY, Alternative, alternatives, pointer
from daemon.adapters.traffic.nginx_backends import Backend, backends, counterpart, moved
from daemon.model.route import (
    Original,
    PatchOperation,
    PathShare,
    RouteObject,
    RouteView,
    Sides,
)


class Zeroing(Draft):
    """Works through one Ingress and gathers its paths and what has to be written.

    ``test`` operations guard what the write relies on, and not the weight: it lands whatever Flagger has made of that
    since we read it, and fails if the object has become another or leads elsewhere.
    """

    def __init__(self, route: RouteObject, sides: Sides) -> None:
        super().__init__(route, sides)
        self._backends = list(backends(route.spec))

    def view(self) -> RouteView:
        """The paths to the canary, and the write that closes them."""
        canaries = [one for one in self._backends if self._is_canary(one.service)]
        rules = alternatives(self._route.annotations)
        if not rules:
            self._ordinary(canaries)
            self._copies()
        elif canaries:
            for rule in rules:
                self._alternative(rule)
            if self._writes:
                self._tests += [PatchOperation("test", f"{one.pointer}/service/name", one.service) for one in canaries]
        return self._seen()

    def _is_canary(self, service: str) -> bool:
        return (self._route.ref.namespace, service) in self._sides.canary_services

    # -- a canary's own Ingress

    def _alternative(self, rule: Alternative) -> None:
        asked = list(rule.asked())
        ways = [("canary-weight", rule.share), *((name, 1.0) for name in asked)]
        if rule.sticky:
            ways.append(("affinity", 1.0))
        for name, share in ways:
            self._paths.append(PathShare(rule.path(name), share, weighted=name == "canary-weight"))
            if share > 0:
                self._changed(rule.path(name), share)
        if any(share > 0 for _, share in ways):
            self._take_away(rule, asked)

    def _take_away(self, rule: Alternative, asked: Sequence[str]) -> None:
        """The weight is written even where it reads 0, for what it may have become since. Sessions are let go even
        where this object does not tell of any: they are the main Ingress's."""
        self._test(rule.key("canary"), rule.value("canary"))
        self._writes.append(PatchOperation("add", pointer(rule.key("canary-weight")), "0"))
        for name in asked:
            self._remove(rule.key(name), rule.value(name) or "")
        if not rule.lets_go:
            key, before = rule.key(STICKY), rule.value(STICKY)
            self._test(key, before)
            self._writes.append(PatchOperation("add", pointer(key), LEGACY))
            self._remember(key, before, LEGACY)

    def _test(self, key: str, value: str | None) -> None:
        self._tests.append(PatchOperation("test", pointer(key), value))

    def _remove(self, key: str, value: str) -> None:
        self._test(key, value)
        self._writes.append(PatchOperation("remove", pointer(key)))
        self._remember(key, value, None)

    def _remember(self, key: str, before: str | None, after: str | None) -> None:
        """Both sides are objects, as the record's schema wants them: empty for an annotation that is not there."""
        value = {} if before is None else {key: before}
        left = {} if after is None else {key: after}
        self._originals.append(Original(self._route.ref, key, 0, "", "annotation", 0, value, left))

    # -- any other Ingress

    def _ordinary(self, canaries: Sequence[Backend]) -> None:
        """The only destination of a path gets all of its requests, so it is the destination that has to change."""
        used = [one.service for one in self._backends]
        for canary in canaries:
            self._paths.append(PathShare(canary.path, 1.0, weighted=False))
            stable = counterpart(canary.service, self._route.ref.namespace, self._sides, used)
            if stable is not None:
                self._repoint(canary, stable)

    def _repoint(self, canary: Backend, stable: str) -> None:
        after = moved(canary.body, stable)
        self._tests.append(PatchOperation("test", canary.pointer, canary.body))
        self._writes.append(PatchOperation("replace", canary.pointer, after))
        self._changed(canary.path, 1.0)
        left = {**canary.condition, "backend": after}
        self._originals.append(
            Original(
                self._route.ref, canary.section, canary.rule, canary.host, "backend", canary.index, canary.body, left
            )
        )

    def _copies(self) -> None:
        for key, host in nginx_annotations.mirrors(self._route.annotations):
            service = resolve(host, self._route.ref.namespace, self._sides.cluster_domain)
            if service in self._sides.canary_services:
                path = key.removeprefix(f"{nginx_annotations.DEFAULT_PREFIX}/")
                self._paths.append(PathShare(path, 1.0, weighted=False))
                self._remove(key, self._route.annotations[key])
                self._changed(path, 1.0)
