"""From a URL and a method to what is asked: which resource, in which namespace, by which verb."""

from __future__ import annotations

from dataclasses import dataclass, replace

from daemon.sandbox.kubernetes_api.resources import Catalog, Resource
from daemon.sandbox.kubernetes_api.statuses import UnknownPathError, method_not_allowed
from daemon.sandbox.kubernetes_api.storage import Key

COLLECTION_VERBS = {"GET": "list", "POST": "create", "DELETE": "deletecollection"}
OBJECT_VERBS = {"GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
SUBRESOURCE_VERBS = {"GET": "get", "PUT": "update", "PATCH": "patch"}
LOG_VERBS = {"GET": "get"}
TRUE = frozenset({"1", "true", "True", "TRUE", "t", "T"})


@dataclass(frozen=True, slots=True)
class Target:
    resource: Resource
    version: str
    verb: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def key(self) -> Key:
        return self.namespace, self.name

    @property
    def prefix(self) -> bytes:
        return self.resource.prefixes[self.version]

    @property
    def api_version(self) -> str:
        return self.resource.api_version(self.version)

    def at(self, name: str) -> Target:
        return replace(self, name=name)


def split(path: str) -> tuple[str, str, list[str]]:
    """Group, version and what follows; anything else is not a resource path."""
    match path.strip("/").split("/"):
        case ["api", version, *rest]:
            return "", version, rest
        case ["apis", group, version, *rest]:
            return group, version, rest
    raise UnknownPathError


def located(catalog: Catalog, method: str, path: str, *, watch: bool) -> Target:
    group, version, rest = split(path)
    namespace = ""
    if rest[:1] == ["namespaces"] and len(rest) > 2 and rest[2] not in {"status", "finalize"}:
        namespace, rest = rest[1], rest[2:]
    if not 1 <= len(rest) <= 3 or "" in rest:
        raise UnknownPathError
    resource = catalog.find(group, version, rest[0])
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    if bool(namespace) > resource.namespaced or (resource.namespaced and not namespace and name):
        raise UnknownPathError
    verb = _verb(resource, version, method, name, subresource)
    if resource.namespaced and not namespace and verb == "create":
        raise method_not_allowed()
    if verb == "list" and watch:
        verb = "watch"
    return Target(resource, version, verb, namespace, name, subresource)


def _verb(resource: Resource, version: str, method: str, name: str, subresource: str) -> str:
    if subresource:
        status, scale = version in resource.status, resource.scale
        if not {"status": status, "scale": scale, "log": resource.logs}.get(subresource, False):
            raise UnknownPathError
    verbs = SUBRESOURCE_VERBS if subresource else OBJECT_VERBS if name else COLLECTION_VERBS
    verbs = LOG_VERBS if subresource == "log" else verbs
    verb = verbs.get(method)
    if verb is None:
        raise method_not_allowed()
    return verb
