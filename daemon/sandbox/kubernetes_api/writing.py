"""Every change of an object: create, update, patch, delete, each in one step that nothing can interleave."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from daemon.sandbox.kubernetes_api import admission, definitions, patching, schemas, validating
from daemon.sandbox.kubernetes_api.ownership import Writer, attribute, timestamp
from daemon.sandbox.kubernetes_api.resources import DEFINITIONS, NAMESPACES, Catalog, Resource, ResourceKey
from daemon.sandbox.kubernetes_api.scaling import rescaled, scale_of
from daemon.sandbox.kubernetes_api.statuses import (
    JsonObject,
    already_exists,
    bad_request,
    cause,
    conflict,
    forbidden,
    invalid,
    not_found,
    unprocessable_patch,
    unsupported_media_type,
)
from daemon.sandbox.kubernetes_api.storage import Key, Storage, Stored
from daemon.sandbox.kubernetes_api.targets import Target

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE = "application/strategic-merge-patch+json"
APPLY = frozenset({"application/apply-patch+yaml", "application/apply-patch+cbor"})
# Garbage is collected in the background: whoever deletes an owner is answered first.
COLLECTING_DELAY = 0.01


@dataclass(frozen=True, slots=True)
class Author:
    manager: str
    dry_run: bool = False
    strict: bool = False  # fieldValidation=Strict


class Writing:
    def __init__(self, storage: Storage, catalog: Catalog) -> None:
        self._storage = storage
        self._catalog = catalog

    def find(self, target: Target) -> Stored:
        stored = self._storage.get(target.resource.key, target.key)
        if stored is None:
            raise not_found(target.resource.group, target.resource.plural, target.name)
        return stored

    def create(self, target: Target, body: Any, author: Author) -> Stored:
        resource = target.resource
        value = admission.opened(target, body)
        metadata = value["metadata"]
        self._check_namespace(target, str(metadata.get("name", "")))
        admission.christen(target, metadata)
        if target.version in resource.status:
            value.pop("status", None)
        if birth := admission.BIRTHS.get(resource.key):
            birth(value)
        self._admit(target, value, None, strict=author.strict)
        key = (target.namespace, metadata["name"])
        if self._storage.get(resource.key, key):
            raise already_exists(resource.group, resource.plural, metadata["name"])
        metadata["managedFields"] = attribute(None, value, Writer(author.manager, target.api_version))
        if author.dry_run:
            return Stored(value, self._storage.revision)
        stored = self._storage.put(resource.key, key, value)
        if resource.key == DEFINITIONS.key:
            served = definitions.serve(self._catalog, stored.value)
            self._storage.shelf(served.key)
        return stored

    def _check_namespace(self, target: Target, name: str) -> None:
        if not target.namespace:
            return
        namespace = self._storage.get(NAMESPACES.key, ("", target.namespace))
        if namespace is None:
            raise not_found("", "namespaces", target.namespace)
        if "deletionTimestamp" in namespace.value["metadata"]:
            why = f"unable to create new content in namespace {target.namespace}: it is being terminated"
            raise forbidden(target.resource.group, target.resource.plural, name, why)

    def _admit(self, target: Target, value: JsonObject, old: JsonObject | None, *, strict: bool) -> None:
        resource = target.resource
        admission.check_metadata(resource, value["metadata"])
        if resource.schemas is None:
            self._admit_built_in(resource, value, old)
            return
        schema = resource.schemas[target.version]
        unknown = schemas.prune(schema, value)
        if strict and unknown:
            raise bad_request("strict decoding error: " + ", ".join(f'unknown field "{one}"' for one in unknown))
        schemas.fill_defaults(schema, value)
        causes = list(schemas.flaws(schema, value))
        if old is not None and not causes:
            causes = list(schemas.transition_flaws(schema, value, old))
        if causes:
            raise invalid(resource.group, resource.kind, value["metadata"]["name"], causes)

    def _admit_built_in(self, resource: Resource, value: JsonObject, old: JsonObject | None) -> None:
        try:
            if fill := admission.BUILT_IN_DEFAULTS.get(resource.key):
                fill(value)
            if resource.key == DEFINITIONS.key:
                definitions.establish(value)
            validating.check_built_in(resource, value, old)
        except (AttributeError, KeyError, TypeError) as error:
            # There are no schemas of built-in kinds here: a wrong type shows when it is used.
            raise bad_request(f"json: cannot unmarshal into Go value of type {resource.kind}: {error}") from error

    def replace(self, target: Target, body: Any, author: Author) -> Stored:
        resource = target.resource
        if target.subresource == "scale":
            old = self.find(target)
            value = rescaled(old, body)
            return self._update(target, old, value, author)
        old_or_none = self._storage.get(resource.key, target.key)
        if old_or_none is None:
            given = body.get("metadata") or {}
            if given.get("uid"):
                # Seen in every controller's log: the object was deleted since it was read.
                why = f"Precondition failed: UID in precondition: {given['uid']}, UID in object meta: "
                raise conflict(resource.group, resource.plural, target.name, why)
            if resource.create_on_update and not target.subresource:
                given.pop("resourceVersion", None)
                return self.create(target, body, author)
        old = self.find(target)
        value = admission.opened(target, body)
        if value["metadata"].get("resourceVersion", "0") == "0" and not resource.unconditional_update:
            why = "Invalid value: 0: must be specified for an update"
            causes = [cause("metadata.resourceVersion", "FieldValueInvalid", why)]
            raise invalid(resource.group, resource.plural, target.name, causes)
        return self._update(target, old, value, author)

    def patch(self, target: Target, content_type: str, patch: Any, author: Author) -> Stored:
        old = self.find(target)
        if target.subresource == "scale":
            scale = self._patched(target, scale_of(old), content_type, patch)
            return self._update(target, old, rescaled(old, scale), author)
        whole = {"apiVersion": target.api_version, "kind": target.resource.kind, **old.copied()}
        patched = self._patched(target, whole, content_type, patch)
        if not target.resource.custom and not isinstance(patched.get("metadata"), dict):
            raise unprocessable_patch("metadata is not an object")
        return self._update(target, old, admission.opened(target, patched, patching=True), author)

    def _patched(self, target: Target, whole: JsonObject, content_type: str, patch: Any) -> JsonObject:
        if content_type == JSON_PATCH:
            return patching.json_patch(whole, patch)
        if content_type in APPLY:
            raise unsupported_media_type("the sandbox serves no server-side apply: use another patch type")
        strategic = content_type == STRATEGIC_MERGE and not target.resource.custom
        if content_type != MERGE_PATCH and not strategic:
            served = [JSON_PATCH, MERGE_PATCH, *(() if target.resource.custom else (STRATEGIC_MERGE,))]
            accepted = ", ".join(served)
            why = "the body of the request was in an unknown format - accepted media types include: "
            raise unsupported_media_type(why + accepted)
        if not isinstance(patch, dict):
            raise bad_request("json: cannot unmarshal array into Go value of type map[string]interface {}")
        merged = patching.strategic_merge(whole, patch) if strategic else patching.merge_patch(whole, patch)
        return dict(merged)

    def _update(self, target: Target, old: Stored, value: JsonObject, author: Author) -> Stored:
        self._check_identity(target, old, value["metadata"])
        previous = old.value
        # Copied, because admission works in place and what is stored is shared with watches.
        value = _separated(target, old.copied(), value)
        metadata = value["metadata"]
        for field in admission.SERVER_OWNED:
            metadata.pop(field, None)
            if field in previous["metadata"]:
                metadata[field] = previous["metadata"][field]
        self._admit(target, value, previous, strict=author.strict)
        if _spec_changed(target, previous, value):
            metadata["generation"] = previous["metadata"].get("generation", 0) + 1
        writer = Writer(author.manager, target.api_version, target.subresource)
        metadata["managedFields"] = attribute(previous, value, writer)
        metadata["resourceVersion"] = previous["metadata"]["resourceVersion"]
        if patching.same(previous, value):
            return old
        if author.dry_run:
            return Stored(value, old.revision)
        return self._store(target, value)

    def _store(self, target: Target, value: JsonObject) -> Stored:
        resource, metadata = target.resource, value["metadata"]
        stored = self._storage.put(resource.key, target.key, value)
        if resource.key == DEFINITIONS.key:
            definitions.serve(self._catalog, stored.value)
        if "deletionTimestamp" in metadata and not metadata.get("finalizers"):
            self._remove(resource.key, target.key)
        return stored

    def _check_identity(self, target: Target, old: Stored, metadata: JsonObject) -> None:
        resource, current = target.resource, old.value["metadata"]
        if metadata.setdefault("name", target.name) != target.name:
            given = metadata["name"]
            raise bad_request(f"the name of the object ({given}) does not match the name on the URL ({target.name})")
        if metadata.setdefault("namespace", target.namespace) != target.namespace:
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
        if not target.namespace:
            del metadata["namespace"]
        if metadata.get("uid", current["uid"]) != current["uid"]:
            uids = f"UID in precondition: {metadata['uid']}, UID in object meta: {current['uid']}"
            why = f"Precondition failed: {uids}"
            raise conflict(resource.group, resource.plural, target.name, why)
        if metadata.get("resourceVersion", "0") not in {"0", current["resourceVersion"]}:
            raise conflict(resource.group, resource.plural, target.name)
        causes = list(admission.metadata_changes_refused(current, metadata))
        if causes:
            raise invalid(resource.group, resource.kind, target.name, causes)

    def delete(self, target: Target, options: Mapping[str, Any], author: Author) -> tuple[Stored, bool]:
        """The object as it was last, and whether it is gone (finalizers may keep it)."""
        old = self.find(target)
        resource, metadata = target.resource, old.value["metadata"]
        for field, value in (options.get("preconditions") or {}).items():
            if value is not None and metadata.get(field) != value:
                why = f"Precondition failed: {field}: {value}, in object meta: {metadata.get(field)}"
                raise conflict(resource.group, resource.plural, target.name, why)
        if author.dry_run:
            return old, not metadata.get("finalizers")
        if not metadata.get("finalizers"):
            orphan = options.get("propagationPolicy") == "Orphan"
            return self._remove(resource.key, target.key, orphan=orphan), True
        if "deletionTimestamp" in metadata:
            return old, False
        value = old.copied()
        value["metadata"] |= {"deletionTimestamp": timestamp(), "deletionGracePeriodSeconds": 0}
        if resource.generations:
            value["metadata"]["generation"] = metadata.get("generation", 0) + 1
        return self._storage.put(resource.key, target.key, value), False

    def _remove(self, resource: ResourceKey, key: Key, *, orphan: bool = False) -> Stored:
        stored = self._storage.remove(resource, key)
        if resource == NAMESPACES.key:
            for kind, within in self._storage.occupied(key[1]):
                self._storage.remove(kind, within)
        if resource == DEFINITIONS.key:
            self._withdraw(stored.value)
        uid = stored.value["metadata"]["uid"]
        if self._storage.dependents(uid):
            asyncio.get_running_loop().call_later(COLLECTING_DELAY, self._collect, uid, orphan)
        return stored

    def _withdraw(self, definition: JsonObject) -> None:
        key = definition["spec"]["group"], definition["spec"]["names"]["plural"]
        for within in tuple(self._storage.shelf(key).objects):
            self._storage.remove(key, within)
        self._storage.forget(key)
        self._catalog.remove(key)

    def _collect(self, uid: str, orphan: bool) -> None:
        """Dependents go when their last owner has gone; otherwise they only lose the reference."""
        author = Author("kube-controller-manager")
        for kind, key in self._storage.dependents(uid):
            resource, stored = self._catalog.get(kind), self._storage.get(kind, key)
            if resource is None or stored is None:
                continue
            target = Target(resource, resource.versions[0], "delete", *key)
            owners = stored.value["metadata"]["ownerReferences"]
            if not orphan and not any(self._storage.alive(o["uid"]) for o in owners):
                self.delete(target, {}, author)
                continue
            value = stored.copied()
            value["metadata"]["ownerReferences"] = [o for o in owners if o["uid"] != uid]
            self._update(replace(target, verb="update"), stored, value, author)


def _separated(target: Target, old: JsonObject, new: JsonObject) -> JsonObject:
    """/status writes the status alone; the main endpoint writes all but the status."""
    if target.subresource == "status":
        rest = {k: v for k, v in old.items() if k not in {"status", "metadata"}}
        status = {"status": new["status"]} if "status" in new else {}
        return {"metadata": dict(old["metadata"]), **rest, **status}
    if target.version not in target.resource.status:
        return new
    rest = {k: v for k, v in new.items() if k != "status"}
    return {**rest, "status": old["status"]} if "status" in old else rest


def _spec_changed(target: Target, old: JsonObject, new: JsonObject) -> bool:
    if not target.resource.generations:
        return False
    if not target.resource.custom:
        return not patching.same(old.get("spec"), new.get("spec"))
    ignored = {"metadata", "status"} if target.version in target.resource.status else {"metadata"}
    rest = [{k: v for k, v in o.items() if k not in ignored} for o in (old, new)]
    return not patching.same(*rest)
