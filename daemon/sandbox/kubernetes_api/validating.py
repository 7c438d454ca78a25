"""What the built-in kinds must say, and what a client may not change: causes as the real server words them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from daemon.sandbox.kubernetes_api.resources import Resource, ResourceKey
from daemon.sandbox.kubernetes_api.statuses import JsonObject, cause, invalid

CONFIG_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
CONFIG_KEY_RULE = "must consist of alphanumeric characters, '-', '_' or '.'"
CONFIG_MOST = 1024 * 1024  # bytes of all values
REQUIRED: dict[ResourceKey, tuple[str, ...]] = {
    ("apps", "deployments"): ("selector", "template"),
    ("apps", "replicasets"): ("selector",),
}


def check_built_in(resource: Resource, value: JsonObject, old: JsonObject | None = None) -> None:
    """Raises ApiError (422) naming every field at fault."""
    causes = list(_required(resource, value))
    if not causes and resource.group == "apps":
        causes = list(_template_flaws(value))
    if own := OWN.get(resource.key):
        causes += own(value, old)
    if causes:
        raise invalid(resource.group, resource.kind, value["metadata"]["name"], causes)


def _required(resource: Resource, value: JsonObject) -> Iterator[JsonObject]:
    spec = value.get("spec") or {}
    for field in REQUIRED.get(resource.key, ()):
        if field not in spec:
            yield cause(f"spec.{field}", "FieldValueRequired", "Required value")


def _template_flaws(value: JsonObject) -> Iterator[JsonObject]:
    spec = value.get("spec") or {}
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    selector = (spec.get("selector") or {}).get("matchLabels") or {}
    if not selector.items() <= labels.items():
        why = "Invalid value: `selector` does not match template `labels`"
        yield cause("spec.template.metadata.labels", "FieldValueInvalid", why)


def _config_map_flaws(value: JsonObject, old: JsonObject | None) -> Iterator[JsonObject]:
    size = 0
    for field in ("data", "binaryData"):
        for key, text in (value.get(field) or {}).items():
            size += len(text.encode())
            if not CONFIG_KEY.fullmatch(key) or key in {".", ".."} or key.startswith(".."):
                why = f"Invalid value: {key!r}: a valid config key {CONFIG_KEY_RULE}"
                yield cause(f"{field}[{key}]", "FieldValueInvalid", why)
    if size > CONFIG_MOST:
        yield cause("", "FieldValueTooLong", f"Too long: may not be more than {CONFIG_MOST} bytes")
    if old is not None and old.get("immutable"):
        for field in ("immutable", "data", "binaryData"):
            if (value.get(field) or {}) != (old.get(field) or {}):
                why = "Forbidden: field is immutable when `immutable` is set"
                yield cause(field, "FieldValueForbidden", why)


def _autoscaler_flaws(value: JsonObject, old: JsonObject | None) -> Iterator[JsonObject]:  # noqa: ARG001
    spec = value["spec"]
    target = spec.get("scaleTargetRef") or {}
    for field in ("kind", "name"):
        if not target.get(field):
            yield cause(f"spec.scaleTargetRef.{field}", "FieldValueRequired", "Required value")
    least, most = spec.get("minReplicas"), spec.get("maxReplicas", 0)
    if least is not None and least < 1:
        why = f"Invalid value: {least}: must be greater than or equal to 1"
        yield cause("spec.minReplicas", "FieldValueInvalid", why)
    if most < 1:
        yield cause("spec.maxReplicas", "FieldValueInvalid", f"Invalid value: {most}: must be greater than 0")
    if least is not None and most < least:
        why = f"Invalid value: {most}: must be greater than or equal to `minReplicas`"
        yield cause("spec.maxReplicas", "FieldValueInvalid", why)


def _job_flaws(value: JsonObject, old: JsonObject | None) -> Iterator[JsonObject]:
    spec = value["spec"]
    pod = (spec.get("template") or {}).get("spec") or {}
    if not pod.get("containers"):
        yield cause("spec.template.spec.containers", "FieldValueRequired", "Required value")
    if pod.get("restartPolicy") not in {"Never", "OnFailure"}:
        why = 'Required value: valid values: "OnFailure", "Never"'
        yield cause("spec.template.spec.restartPolicy", "FieldValueRequired", why)
    for field in ("activeDeadlineSeconds", "backoffLimit", "completions", "parallelism", "ttlSecondsAfterFinished"):
        if spec.get(field, 0) < 0:
            why = f"Invalid value: {spec[field]}: must be greater than or equal to 0"
            yield cause(f"spec.{field}", "FieldValueInvalid", why)
    for field in ("completions", "completionMode", "selector", "template"):
        if old is not None and spec.get(field) != old["spec"].get(field):
            yield cause(f"spec.{field}", "FieldValueInvalid", "Invalid value: field is immutable")


OWN: dict[ResourceKey, Callable[[JsonObject, JsonObject | None], Iterator[JsonObject]]] = {
    ("", "configmaps"): _config_map_flaws,
    ("autoscaling", "horizontalpodautoscalers"): _autoscaler_flaws,
    ("batch", "jobs"): _job_flaws,
}
