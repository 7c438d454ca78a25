"""Who a backend of the Gateway API is: the canary, its stable side, or somebody whose traffic is not ours to move.

A reference names its backend by five fields that stand among others (weight, filters). They are what is tested before
a write and what a re-pointed backend changes; the others stay as they are.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from daemon.adapters.traffic.conventions import family
from daemon.adapters.traffic.sides import Side
from daemon.model.route import PatchOperation, Sides

Service = tuple[str, str]
"""(namespace, name)"""

FIELDS = ("group", "kind", "namespace", "name", "port")


def reference(entry: object) -> dict[str, Any]:
    """The fields of an entry that say which backend it is, a null being none; empty if that cannot be read."""
    found = ((key, entry.get(key)) for key in FIELDS) if isinstance(entry, Mapping) else ()
    return {key: value for key, value in found if value is not None}


def service_of(entry: Mapping[str, Any], namespace: str) -> Service | None:
    """The Service that is meant, seen from an object in ``namespace``; None for other kinds, and for what is none."""
    name, home = entry.get("name"), entry.get("namespace")
    if entry.get("group") not in (None, "") or entry.get("kind") not in (None, "Service"):
        return None
    if not isinstance(name, str) or not name or not isinstance(home, str | None):
        return None
    return home or namespace, name


def side_of(entry: Mapping[str, Any], namespace: str, sides: Sides) -> Side:
    """Which side gets what is sent to this backend. The Gateway API knows no subsets."""
    service = service_of(entry, namespace)
    if service in sides.canary_services:
        return Side.CANARY
    return Side.STABLE if service in sides.stable_services else Side.OTHER


def guards(pointer: str, entry: Mapping[str, Any]) -> Iterator[PatchOperation]:
    """Tests that the backend at ``pointer`` is still this one, whatever it weighs. What is absent is tested to be."""
    return (PatchOperation("test", f"{pointer}/{key}", entry.get(key)) for key in FIELDS)


def changes(pointer: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[PatchOperation]:
    """Makes of one reference another, field by field."""
    for key in FIELDS:
        if key not in after and key in before:
            yield PatchOperation("remove", f"{pointer}/{key}")
        elif key in after and (key not in before or before[key] != after[key]):
            yield PatchOperation("add", f"{pointer}/{key}", after[key])  # replaces what is there (RFC 6902, 4.1)


class Counterparts:
    """Finds where a canary backend's traffic belongs.

    What the same object says comes first, because it is known to work: its gateway may send there, on that port. Then
    what ``sides`` knows. Where both are silent there is no counterpart: inventing one would turn a sick canary into an
    outage.
    """

    def __init__(self, namespace: str, sides: Sides, stable: Iterable[Mapping[str, Any]]) -> None:
        self._namespace = namespace
        self._known = sides.stable_services - sides.canary_services - sides.shared_services
        self._used: defaultdict[Service, list[int]] = defaultdict(list)
        """Stable services that the object names, with the ports it names."""
        for entry in stable:
            service, port = service_of(entry, namespace), entry.get("port")
            if service is not None:
                self._used[service] += [port] if type(port) is int else []

    def of(self, canary: Mapping[str, Any], beside: Service | None = None) -> dict[str, Any] | None:
        """The stable reference for a canary's; None if none is known. ``beside``: the stable side of its own rule."""
        service = service_of(canary, self._namespace)
        if service is None:
            return None
        found = beside or self._related(self._used, service) or self._related(sorted(self._known), service)
        if found is None and len(self._known) == 1:
            found = min(self._known)  # ``sides`` speaks of one canary, so it is this one's
        return self._pointed(canary, service, found) if found is not None else None

    @staticmethod
    def _related(services: Iterable[Service], canary: Service) -> Service | None:
        """The first of the canary's namespace and family."""
        namespace, name = canary
        alike = (one for one in services if one[0] == namespace and family(one[1]) == family(name))
        return next(alike, None)

    def _pointed(self, canary: Mapping[str, Any], service: Service, stable: Service) -> dict[str, Any]:
        pointed = {**canary, "name": stable[1]}
        if stable[0] != service[0]:
            pointed["namespace"] = stable[0]
        ports = self._used.get(stable)
        if ports and canary.get("port") not in ports:
            pointed["port"] = ports[0]
        return pointed
