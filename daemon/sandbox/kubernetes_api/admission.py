"""What an object must look like before it is stored: its metadata, and defaults of built-in kinds."""

from __future__ import annotations

import base64
import datetime as dt
import random
import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from daemon.sandbox.kubernetes_api.ownership import timestamp
from daemon.sandbox.kubernetes_api.resources import Resource, ResourceKey
from daemon.sandbox.kubernetes_api.statuses import (
    JsonObject,
    bad_request,
    cause,
    invalid,
    unprocessable_patch,
)
from daemon.sandbox.kubernetes_api.targets import Target

SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
LABEL_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
QUALIFIED = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character"
)
ANNOTATIONS_LIMIT = 256 * 1024
# The alphabet of generated names leaves out what could spell a word.
SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
SERVER_OWNED = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "managedFields",
)
KNOWN_METADATA = frozenset(
    {
        *SERVER_OWNED,
        "annotations",
        "finalizers",
        "generateName",
        "labels",
        "name",
        "namespace",
        "ownerReferences",
        "resourceVersion",
    }
)


def opened(target: Target, body: Any, *, patching: bool = False) -> JsonObject:
    """The object without its apiVersion and kind, once those are the endpoint's."""
    if not isinstance(body, dict):
        raise bad_request("the object provided is unrecognized (must be of type object)")
    kind, api_version = body.pop("kind", None), body.pop("apiVersion", None)
    resource = target.resource
    if resource.custom and not kind:
        raise bad_request("Object 'Kind' is missing")
    if kind not in {None, "", resource.kind} or api_version not in {None, "", target.api_version}:
        asked = f"the API version in the data ({api_version}, Kind={kind})"
        raise bad_request(f"{asked} does not match the expected API version ({target.api_version})")
    metadata = body.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise bad_request("json: cannot unmarshal metadata into Go value of type v1.ObjectMeta")
    body["metadata"] = {k: v for k, v in metadata.items() if k in KNOWN_METADATA and v not in (None, {}, [])}
    _check_string_maps(body["metadata"], patching=patching)
    return body if resource.custom else _without_nulls(body)


def _check_string_maps(metadata: JsonObject, *, patching: bool) -> None:
    for field in ("labels", "annotations"):
        values = metadata.get(field, {})
        if not isinstance(values, dict) or not all(isinstance(v, str) for v in values.values()):
            why = f"json: cannot unmarshal into Go struct field ObjectMeta.metadata.{field} of type string"
            raise unprocessable_patch(why) if patching else bad_request(why)


def _without_nulls(value: Any) -> Any:
    """Typed kinds do not know null: it reads as absent."""
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    return [_without_nulls(v) for v in value] if isinstance(value, list) else value


def christen(target: Target, metadata: JsonObject) -> None:
    """Name, namespace and identity of a new object."""
    namespace = metadata.setdefault("namespace", target.namespace) if target.namespace else ""
    if namespace != target.namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    if not target.resource.namespaced:
        metadata.pop("namespace", None)
    if metadata.get("resourceVersion"):
        raise bad_request("resourceVersion should not be set on objects to be created")
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = metadata["generateName"] + "".join(random.choices(SUFFIX_ALPHABET, k=5))
    for field in SERVER_OWNED:
        metadata.pop(field, None)
    metadata["uid"] = str(uuid.uuid4())
    metadata["creationTimestamp"] = timestamp()
    if target.resource.generations:
        metadata["generation"] = 1


def check_metadata(resource: Resource, metadata: JsonObject) -> None:
    causes = list(_metadata_flaws(resource, metadata))
    if causes:
        raise invalid(resource.group, resource.kind, str(metadata.get("name", "")), causes)


def _metadata_flaws(resource: Resource, metadata: JsonObject) -> Iterator[JsonObject]:
    name = metadata.get("name")
    pattern, longest = (LABEL_NAME, 63) if resource.label_names else (SUBDOMAIN, 253)
    if not name:
        yield cause("metadata.name", "FieldValueRequired", "Required value: name or generateName is required")
    elif not isinstance(name, str) or len(name) > longest or not pattern.fullmatch(name):
        yield cause("metadata.name", "FieldValueInvalid", f'Invalid value: "{name}": {SUBDOMAIN_RULE}')
    for field in ("labels", "annotations"):
        for key in metadata.get(field, {}):
            if not QUALIFIED.fullmatch(key if field == "labels" else key.lower()):
                why = f"Invalid value: {key!r}: must consist of alphanumeric characters, '-', '_' or '.'"
                yield cause(f"metadata.{field}", "FieldValueInvalid", why)
    for value in metadata.get("labels", {}).values():
        if not LABEL_VALUE.fullmatch(value):
            why = f'Invalid value: "{value}": a valid label must be an empty string or at most 63 characters'
            yield cause("metadata.labels", "FieldValueInvalid", why)
    size = sum(len(k) + len(v) for k, v in metadata.get("annotations", {}).items())
    if size > ANNOTATIONS_LIMIT:
        why = f"Too long: may not be more than {ANNOTATIONS_LIMIT} bytes"
        yield cause("metadata.annotations", "FieldValueTooLong", why)
    for index, owner in enumerate(metadata.get("ownerReferences", ())):
        for field in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(field):
                at = f"metadata.ownerReferences[{index}].{field}"
                yield cause(at, "FieldValueInvalid", 'Invalid value: "": must not be empty')


def metadata_changes_refused(old: JsonObject, new: JsonObject) -> Iterator[JsonObject]:
    """What an update may not do: absent fields are restored, changed ones are refused."""
    for field in ("creationTimestamp", "deletionTimestamp"):
        if field in new and (field not in old or not _same_moment(old[field], new[field])):
            yield cause(f"metadata.{field}", "FieldValueInvalid", f'Invalid value: "{new[field]}": field is immutable')
    if "deletionTimestamp" in old and set(new.get("finalizers", ())) - set(old.get("finalizers", ())):
        why = "Forbidden: no new finalizers can be added if the object is being deleted"
        yield cause("metadata.finalizers", "FieldValueForbidden", why)


def _same_moment(left: str, right: str) -> bool:
    """Clients write the same second as Z or as +00:00."""
    try:
        return dt.datetime.fromisoformat(left) == dt.datetime.fromisoformat(right)
    except (TypeError, ValueError):
        return False


def _namespace(value: JsonObject) -> None:
    value["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = value["metadata"]["name"]
    value.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
    value["status"] = {"phase": "Active"}


def _workload(value: JsonObject) -> None:
    spec = value.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    template = spec.setdefault("template", {})
    pod = template.setdefault("spec", {})
    pod.setdefault("restartPolicy", "Always")
    for container in pod.get("containers") or ():
        container.setdefault("resources", {})


def _deployment(value: JsonObject) -> None:
    _workload(value)
    rolling = {"maxSurge": "25%", "maxUnavailable": "25%"}
    strategy = value["spec"].setdefault("strategy", {"type": "RollingUpdate"})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        strategy.setdefault("rollingUpdate", rolling)
    value["spec"].setdefault("revisionHistoryLimit", 10)
    value["spec"].setdefault("progressDeadlineSeconds", 600)


def _pod(value: JsonObject) -> None:
    value.setdefault("spec", {}).setdefault("restartPolicy", "Always")
    value.setdefault("status", {}).setdefault("phase", "Pending")


def _secret(value: JsonObject) -> None:
    value.setdefault("type", "Opaque")
    for key, text in value.pop("stringData", {}).items():
        value.setdefault("data", {})[key] = base64.b64encode(text.encode()).decode()


def _lease(value: JsonObject) -> None:
    """Times come back as microseconds in UTC, however they were written."""
    spec = value.setdefault("spec", {})
    for field in ("acquireTime", "renewTime"):
        if isinstance(spec.get(field), str):
            try:
                moment = dt.datetime.fromisoformat(spec[field])
            except ValueError as error:
                raise bad_request(f"parsing time {spec[field]!r} as RFC 3339: {error}") from error
            spec[field] = moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _autoscaler(value: JsonObject) -> None:
    spec = value.setdefault("spec", {})
    spec.setdefault("minReplicas", 1)
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]


def _job(value: JsonObject) -> None:
    spec = value.setdefault("spec", {})
    for field in ("completions", "parallelism"):
        spec.setdefault(field, 1)
    spec.setdefault("backoffLimit", 6)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("podReplacementPolicy", "TerminatingOrFailed")


def _job_birth(value: JsonObject) -> None:
    """A Job selects its own pods only, by what the server writes into selector and template."""
    metadata, spec = value["metadata"], value.setdefault("spec", {})
    if spec.get("manualSelector"):
        return
    uid, name = metadata["uid"], metadata["name"]
    template = spec.setdefault("template", {}).setdefault("metadata", {}).setdefault("labels", {})
    template |= {"controller-uid": uid, "job-name": name}
    template |= {"batch.kubernetes.io/controller-uid": uid, "batch.kubernetes.io/job-name": name}
    spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}


BUILT_IN_DEFAULTS: dict[ResourceKey, Callable[[JsonObject], None]] = {
    ("", "pods"): _pod,
    ("", "secrets"): _secret,
    ("apps", "deployments"): _deployment,
    ("apps", "replicasets"): _workload,
    ("autoscaling", "horizontalpodautoscalers"): _autoscaler,
    ("batch", "jobs"): _job,
    ("coordination.k8s.io", "leases"): _lease,
}
# Only at birth: what the server itself keeps up to date afterwards.
BIRTHS: dict[ResourceKey, Callable[[JsonObject], None]] = {
    ("", "namespaces"): _namespace,
    ("batch", "jobs"): _job_birth,
}
