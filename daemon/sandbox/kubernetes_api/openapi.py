"""``/openapi/v3``: as much of it as clients look at before they write.

kubectl and Helm ask it one thing: whether the server itself finds unknown fields (``fieldValidation``). It does, for
custom resources, whose schemas are shown as they are; there are no schemas of built-in kinds here, so none is shown.
"""

from __future__ import annotations

import hashlib
import json

from daemon.sandbox.kubernetes_api.resources import Catalog, Resource
from daemon.sandbox.kubernetes_api.statuses import JsonObject, UnknownPathError
from daemon.sandbox.kubernetes_api.targets import split

ROOT = "/openapi/v3"


def described(catalog: Catalog, path: str) -> JsonObject:
    """The index of all group versions, or the document of one."""
    if path == ROOT:
        return {"paths": {_place(*one).removeprefix("/"): _pointer(catalog, *one) for one in _served(catalog)}}
    group, version, rest = split(path.removeprefix(ROOT))
    if rest or (group, version) not in _served(catalog):
        raise UnknownPathError
    return _document(catalog, group, version)


def _served(catalog: Catalog) -> list[tuple[str, str]]:
    return sorted({(resource.group, version) for resource in catalog for version in resource.versions})


def _place(group: str, version: str) -> str:
    return f"/apis/{group}/{version}" if group else f"/api/{version}"


def _pointer(catalog: Catalog, group: str, version: str) -> JsonObject:
    # Clients keep a document for as long as its hash is the same.
    body = json.dumps(_document(catalog, group, version), sort_keys=True).encode()
    return {"serverRelativeURL": f"{ROOT}{_place(group, version)}?hash={hashlib.sha256(body).hexdigest()}"}


def _document(catalog: Catalog, group: str, version: str) -> JsonObject:
    paths: JsonObject = {}
    schemas: JsonObject = {}
    for resource in catalog:
        if resource.group == group and version in resource.versions:
            paths |= _paths(resource, version)
            if resource.schemas is not None:
                name = f"{'.'.join(reversed(group.split('.')))}.{version}.{resource.kind}"
                kind = {"x-kubernetes-group-version-kind": [_kind(resource, version)]}
                schemas[name] = {**resource.schemas[version], **kind}
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "unversioned"},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _paths(resource: Resource, version: str) -> JsonObject:
    base = _place(resource.group, version)
    collection = f"{base}/namespaces/{{namespace}}/{resource.plural}" if resource.namespaced else (
        f"{base}/{resource.plural}"
    )  # fmt: skip
    return {
        collection: {"post": _operation("post", resource, version)},
        f"{collection}/{{name}}": {verb: _operation(verb, resource, version) for verb in ("put", "patch")},
    }


def _operation(verb: str, resource: Resource, version: str) -> JsonObject:
    names = ("dryRun", "fieldManager", "fieldValidation")
    return {
        "x-kubernetes-action": verb,
        "x-kubernetes-group-version-kind": _kind(resource, version),
        "parameters": [{"name": name, "in": "query", "schema": {"type": "string"}} for name in names],
        "responses": {"200": {"description": "OK"}},
    }


def _kind(resource: Resource, version: str) -> JsonObject:
    return {"group": resource.group, "kind": resource.kind, "version": version}
