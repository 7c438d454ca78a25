"""Who an Istio destination is: the canary, its stable side, or somebody whose traffic is not ours to move.

A route names its destinations by host and subset, in several spellings; the planner thinks in services. This
module is the only place that knows the spellings, in both directions: reading one (``resolve``) and writing
the stable counterpart of a canary's in the spelling its author used (``Counterparts``).
"""

from collections.abc import Iterable, Mapping
from typing import Any

from daemon.adapters.traffic.conventions import family, says_canary, says_stable
from daemon.adapters.traffic.sides import Side
from daemon.model.route import Sides

Service = tuple[str, str]
"""(namespace, name)"""


def resolve(host: str, namespace: str, cluster_domain: str) -> Service | None:
    """The service a host names, seen from an object in ``namespace``; None for a host that is no service."""
    if "." not in host:
        return namespace, host
    labels = host.split(".", 3)
    if len(labels) == 2 or (labels[2] == "svc" and (len(labels) == 3 or labels[3] == cluster_domain)):
        return labels[1], labels[0]
    return None


def spellings(service: Service, cluster_domain: str) -> tuple[str, str, str, str]:
    """Every way people and metrics write a service, the short one first."""
    namespace, name = service
    full = f"{name}.{namespace}"
    return name, full, f"{full}.svc", f"{full}.svc.{cluster_domain}"


def side_of(destination: Mapping[str, Any], namespace: str, sides: Sides) -> Side:
    """Which side gets what is sent to this destination. A destination that cannot be read is nobody's."""
    host, subset = destination.get("host"), destination.get("subset")
    service = resolve(host, namespace, sides.cluster_domain) if isinstance(host, str) else None
    if service is None:
        return Side.OTHER
    if service in sides.canary_services:
        return Side.CANARY
    if isinstance(subset, str) and (service, subset) in sides.canary_subsets:
        return Side.CANARY
    if isinstance(subset, str) and (service, subset) in sides.stable_subsets:
        return Side.STABLE
    if service in sides.shared_services:
        if says_canary(subset):
            return Side.CANARY
        if says_stable(subset):
            return Side.STABLE
    readable = subset is None or isinstance(subset, str)
    if service in sides.stable_services and readable and not says_canary(subset):
        return Side.STABLE
    return Side.OTHER


class Counterparts:
    """Finds where a canary destination's traffic belongs when its rule names no stable destination.

    What the same object says elsewhere comes first, because it is known to work; then what ``sides`` knows;
    a name is only ever derived for a subset of the canary's own service. Where all that is silent there is
    no counterpart: inventing one would turn a sick canary into an outage.
    """

    def __init__(self, namespace: str, sides: Sides, stable: Iterable[Mapping[str, Any]]) -> None:
        self._namespace = namespace
        self._sides = sides
        self._stable = [(self._service(destination), destination) for destination in stable]
        self._known = sides.stable_services - sides.canary_services - sides.shared_services

    def of(self, canary: Mapping[str, Any]) -> dict[str, Any] | None:
        """The stable destination for a canary's, all other fields (the port) kept; None if none is known."""
        service = self._service(canary)
        if service is None:
            return None
        if service in self._sides.canary_services:
            return self._elsewhere(canary, service) or self._related(canary, service) or self._sole(canary)
        return (
            self._subset_declared(canary, service)
            or self._subset_elsewhere(canary, service)
            or self._related(canary, service)
            or self._subset_derived(canary)
        )

    def _service(self, destination: Mapping[str, Any]) -> Service | None:
        return resolve(destination["host"], self._namespace, self._sides.cluster_domain)

    def _elsewhere(self, canary: Mapping[str, Any], service: Service) -> dict[str, Any] | None:
        """A stable destination of the same family that this object already uses, spelled as there."""
        namespace, name = service
        for other, destination in self._stable:
            if other is not None and other[0] == namespace and family(other[1]) == family(name):
                return _pointed(canary, destination["host"], destination.get("subset"))
        return None

    def _subset_elsewhere(self, canary: Mapping[str, Any], service: Service) -> dict[str, Any] | None:
        """The stable subset that this object uses for the same service; of several, the one named alike."""
        used = [destination.get("subset") for other, destination in self._stable if other == service]
        subsets = [subset for subset in used if isinstance(subset, str) and subset]
        if not subsets:
            return None
        alike = [subset for subset in subsets if _prefix(subset) == _prefix(canary["subset"])]
        return _pointed(canary, canary["host"], (alike or subsets)[0])

    def _subset_declared(self, canary: Mapping[str, Any], service: Service) -> dict[str, Any] | None:
        """The stable subset of the same service that ``sides`` knows."""
        declared = sorted(subset for other, subset in self._sides.stable_subsets if other == service)
        return _pointed(canary, canary["host"], declared[0]) if declared else None

    @staticmethod
    def _subset_derived(canary: Mapping[str, Any]) -> dict[str, Any] | None:
        subset = canary["subset"]
        return {**canary, "subset": _stable_subset(subset)} if says_canary(subset) else None

    def _related(self, canary: Mapping[str, Any], service: Service) -> dict[str, Any] | None:
        """The stable service of the same family that ``sides`` knows."""
        namespace, name = service
        related = [s for s in self._known if s[0] == namespace and family(s[1]) == family(name)]
        return self._at(canary, min(related)) if related else None

    def _sole(self, canary: Mapping[str, Any]) -> dict[str, Any] | None:
        """The only stable service there is: ``sides`` speaks of one canary, so it is this one's."""
        return self._at(canary, min(self._known)) if len(self._known) == 1 else None

    def _at(self, canary: Mapping[str, Any], service: Service) -> dict[str, Any]:
        return _pointed(canary, self._spelled_like(canary["host"], service), None)

    def _spelled_like(self, host: str, service: Service) -> str:
        """The service's host in the spelling of another: short stays short, a suffix stays."""
        short, named, _, full = spellings(service, self._sides.cluster_domain)
        if "." not in host:
            return short if service[0] == self._namespace else full
        suffix = host.split(".", 2)[2:]
        return ".".join([named, *suffix])


def _prefix(subset: str) -> str:
    """``v2`` of ``v2-canary`` and ``v2-stable``; nothing of plain ``canary`` and ``stable``."""
    return subset.rpartition("-")[0]


def _stable_subset(subset: str) -> str:
    return subset.removesuffix("canary") + "stable"


def _pointed(canary: Mapping[str, Any], host: str, subset: str | None) -> dict[str, Any]:
    pointed = {**canary, "host": host, "subset": subset}
    if subset is None:
        del pointed["subset"]  # the canary's subset means nothing to another service
    return pointed
