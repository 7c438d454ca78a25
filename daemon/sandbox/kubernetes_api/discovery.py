"""What a stock kubectl asks before it asks for anything: versions, groups, and who may do what."""

from __future__ import annotations

from typing import Any

from daemon.sandbox.kubernetes_api import openapi
from daemon.sandbox.kubernetes_api.faults import Faults
from daemon.sandbox.kubernetes_api.ownership import timestamp
from daemon.sandbox.kubernetes_api.resources import Catalog, Resource
from daemon.sandbox.kubernetes_api.statuses import JsonObject, UnknownPathError, bad_request
from daemon.sandbox.kubernetes_api.targets import split

VERSION = {
    "major": "1",
    "minor": "32",
    "gitVersion": "v1.32.0+pullback-sandbox",
    "gitCommit": "0000000000000000000000000000000000000000",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "python",
    "compiler": "cpython",
    "platform": "linux/amd64",
}
HEALTH = frozenset({"/healthz", "/livez", "/readyz"})
VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
SUBRESOURCE_VERBS = ["get", "patch", "update"]
# Asked by POST, stored nowhere.
REVIEWS = {
    ("authentication.k8s.io", "selfsubjectreviews"): "SelfSubjectReview",
    ("authorization.k8s.io", "selfsubjectaccessreviews"): "SelfSubjectAccessReview",
}


def described(catalog: Catalog, path: str) -> JsonObject:
    """The discovery document at this path."""
    path = path.rstrip("/") or "/"
    if path == "/version":
        return VERSION
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
    if path.startswith(openapi.ROOT):
        return openapi.described(catalog, path)
    groups = _groups(catalog)
    if path == "/apis":
        listed = [_group(name, versions) for name, versions in groups.items() if name]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}
    if path.startswith("/apis/") and path.count("/") == 2:
        name = path.removeprefix("/apis/")
        if name not in groups:
            raise UnknownPathError
        return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, groups[name])}
    return _resource_list(catalog, path, groups)


def _groups(catalog: Catalog) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for resource in catalog:
        known = groups.setdefault(resource.group, [])
        known.extend(v for v in resource.versions if v not in known)
    for group, _ in REVIEWS:
        groups[group] = ["v1"]
    return groups


def _group(name: str, versions: list[str]) -> JsonObject:
    listed = [{"groupVersion": f"{name}/{v}", "version": v} for v in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def _resource_list(catalog: Catalog, path: str, groups: dict[str, list[str]]) -> JsonObject:
    group, version, rest = split(path)
    if rest or version not in groups.get(group, ()):
        raise UnknownPathError
    listed: list[JsonObject] = []
    for resource in catalog:
        if resource.group == group and version in resource.versions:
            listed.extend(_entries(resource, version))
    for (review_group, plural), kind in REVIEWS.items():
        if review_group == group:
            singular = kind.lower()
            entry = {"name": plural, "singularName": singular, "namespaced": False, "kind": kind}
            listed.append({**entry, "verbs": ["create"]})
    group_version = f"{group}/{version}" if group else version
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": listed,
    }


def _entries(resource: Resource, version: str) -> list[JsonObject]:
    base: JsonObject = {
        "name": resource.plural,
        "singularName": resource.singular or resource.kind.lower(),
        "namespaced": resource.namespaced,
        "kind": resource.kind,
    }
    extra: JsonObject = {}
    if resource.short_names:
        extra["shortNames"] = list(resource.short_names)
    if resource.categories:
        extra["categories"] = list(resource.categories)
    entries = [{**base, "verbs": VERBS, **extra}]
    if version in resource.status:
        status = {**base, "name": f"{resource.plural}/status", "singularName": ""}
        entries.append({**status, "verbs": SUBRESOURCE_VERBS})
    if resource.scale:
        scale = {"name": f"{resource.plural}/scale", "singularName": "", "kind": "Scale"}
        served = {"namespaced": True, "group": "autoscaling", "version": "v1", "verbs": SUBRESOURCE_VERBS}
        entries.append({**scale, **served})
    if resource.logs:
        entries.append({**base, "name": f"{resource.plural}/log", "singularName": "", "verbs": ["get"]})
    return entries


def review(path: str, body: Any, user: str, faults: Faults) -> JsonObject | None:
    """Answers a SelfSubject…Review, or None when the path is none of them."""
    try:
        group, _, rest = split(path)
    except UnknownPathError:
        return None
    kind = REVIEWS.get((group, rest[0])) if len(rest) == 1 else None
    if kind is None:
        return None
    if not isinstance(body, dict):
        raise bad_request("the object provided is unrecognized (must be of type object)")
    head: JsonObject = {
        "kind": kind,
        "apiVersion": f"{group}/v1",
        "metadata": {"creationTimestamp": timestamp()},
    }
    if kind == "SelfSubjectReview":
        groups = ["system:masters", "system:authenticated"]
        return {**head, "status": {"userInfo": {"username": user, "groups": groups}}}
    spec = body.get("spec") or {}
    asked = spec.get("resourceAttributes") or {}
    where = (
        asked.get("verb", ""),
        asked.get("resource", ""),
        asked.get("group", ""),
        asked.get("namespace", ""),
        asked.get("name", ""),
        asked.get("subresource", ""),
    )
    denied = faults.denies(*where)
    status: JsonObject = {"allowed": not denied}
    if denied:
        status["reason"] = "denied by a sandbox fault"
    return {**head, "spec": spec, "status": status}
