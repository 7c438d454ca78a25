"""The daemon's own world, filled from documents: canaries as it would put them together, and what reaches them."""

from collections.abc import Mapping, Sequence
from typing import Any

from daemon.adapters import claims, flagger, workloads
from daemon.adapters.clock import SystemClock
from daemon.bootstrap.rollouts import Rollouts
from daemon.bootstrap.seeing import empty_world, route_names
from daemon.doctor.documents import Document
from daemon.doctor.known import Known
from daemon.model.route import RouteObject, RouteRef, RouteView, Sides

_FLAGGER = "flagger.app/"


class Scene:
    """``whole``: the documents are all there is. Without that, what is not in them may be elsewhere."""

    def __init__(self, documents: Sequence[Document], known: Known, *, whole: bool) -> None:
        self._known = known
        self.unread: list[tuple[Document, str]] = []
        """What is in no shape that the API server would take, and why."""
        self._names = route_names(known.kinds, known.cluster_domain)
        self.whole = whole
        self.routes: dict[RouteRef, Document] = {}
        self.world = empty_world(SystemClock(), known.labels, known.fallback, known.kinds, known.cluster_domain)
        self._rollouts = Rollouts(self.world, known.cluster_domain)
        self._rolled: set[str] = set()
        self.objects: dict[tuple[str, str, str], Document] = {}
        """By kind, namespace and name; the last where several documents are one object."""
        for document in documents:
            self._take(document)

    def _take(self, document: Document) -> None:
        """Anything without a name is a part of an object, and tells of no canary."""
        try:
            if document.name:
                self._put(document)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            self.unread.append((document, str(error)))

    def _put(self, document: Document) -> None:
        self.objects[document.kind, document.namespace, document.name] = document
        data: Mapping[str, Any] = document.data
        match document.kind:
            case kind if kind in self._known.kinds:
                route = self._known.kinds[kind].read(data)
                self.routes[route.ref] = document
                self.world.put_route(route, self._names(route))
            case "Deployment":
                self._rolled.add(document.namespace)
                self.world.put_workload(workloads.read_workload(data))
            case "DestinationRule":
                rule = claims.read_subsets(data, self._known.cluster_domain)
                if rule is not None:
                    self.world.claims.put_rule(rule)
                    self._rollouts.rule_changed(rule.namespace, rule.name)
            case "Rollout":
                self._rollouts.put(data)
            case "Canary" if str(data.get("apiVersion", "")).startswith(_FLAGGER):
                self.world.put_canary(flagger.read_canary(data))

    def view(self, route: RouteObject, sides: Sides) -> RouteView:
        return self._known.kinds[route.ref.kind].view(route, sides)

    def knows_workloads(self, namespace: str) -> bool:
        """Whether a Deployment that is not here is nowhere."""
        return self.whole or namespace in self._rolled
