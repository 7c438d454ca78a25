"""Where the rules of an Ingress send requests, and which side that is.

An Ingress knows only services of its own namespace, by their short names. Nothing here raises: what cannot be read
is no way for traffic.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from daemon.adapters.traffic.conventions import family
from daemon.adapters.traffic.objects import mapping, text
from daemon.model.route import Sides

DEFAULT = "defaultBackend"


@dataclasses.dataclass(frozen=True, slots=True)
class Backend:
    """One service that requests are sent to, and where it stands. Its JSON pointer needs no escaping.

    ``rule`` and ``index`` are the places of rule and path, 0 for the default backend; ``body`` is the backend's JSON,
    ``condition`` what of the rule and the path tells it from its neighbours.
    """

    section: str
    rule: int
    index: int
    service: str
    body: Mapping[str, Any]
    condition: Mapping[str, Any]

    @property
    def path(self) -> str:
        return DEFAULT if self.section == DEFAULT else f"rules[{self.rule}].http.paths[{self.index}]"

    @property
    def pointer(self) -> str:
        if self.section == DEFAULT:
            return f"/spec/{DEFAULT}"
        return f"/spec/rules/{self.rule}/http/paths/{self.index}/backend"

    @property
    def host(self) -> str:
        return text(self.condition.get("host"))


def backends(spec: Mapping[str, Any]) -> Iterator[Backend]:
    """Every backend that is a service: the default one, then the rules' in the order in which they stand."""
    default = mapping(spec.get(DEFAULT))
    if service := _service(default):
        yield Backend(DEFAULT, 0, 0, service, default, {})
    for place, rule in enumerate(_listed(spec.get("rules"))):
        for index, path in enumerate(_listed(mapping(mapping(rule).get("http")).get("paths"))):
            body = mapping(mapping(path).get("backend"))
            if service := _service(body):
                told = {"host": mapping(rule).get("host"), "path": path.get("path"), "pathType": path.get("pathType")}
                condition = {key: value for key, value in told.items() if value is not None}
                yield Backend("rules", place, index, service, body, condition)


def counterpart(canary: str, namespace: str, sides: Sides, used: Iterable[str]) -> str | None:
    """Where a canary service's requests belong: the stable service of its family that this object uses already, else
    the one that ``sides`` knows, else the only one there is. None where that is silent: a name that nobody has said
    would turn a sick canary into an outage."""
    taken = sides.canary_services | sides.shared_services
    known = {name for home, name in sides.stable_services - taken if home == namespace}
    related = {name for name in known if family(name) == family(canary)}
    best = sorted(related & set(used)) or sorted(related) or sorted(known)
    return best[0] if related or len(known) == 1 else None


def moved(body: Mapping[str, Any], service: str) -> dict[str, Any]:
    """The backend at another service, its port and all else kept."""
    return {**body, "service": {**body["service"], "name": service}}


def _service(backend: Mapping[str, Any]) -> str:
    return text(mapping(backend.get("service")).get("name"))


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
