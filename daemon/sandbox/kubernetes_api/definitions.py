"""CustomResourceDefinitions: checked, established at once, and served from then on."""

from __future__ import annotations

import json
import logging
from typing import Any

from daemon.sandbox.kubernetes_api.ownership import timestamp
from daemon.sandbox.kubernetes_api.resources import DEFINITIONS, Catalog, Resource, defined
from daemon.sandbox.kubernetes_api.schemas import IMMUTABLE_RULE
from daemon.sandbox.kubernetes_api.statuses import JsonObject, cause, invalid

logger = logging.getLogger(__name__)


def establish(definition: JsonObject) -> None:
    """Check it, and fill in what the real server's controllers would a moment later."""
    metadata = definition["metadata"]
    spec = definition.get("spec") or {}
    causes = _flaws(metadata.get("name", ""), spec)
    if causes:
        raise invalid(DEFINITIONS.group, DEFINITIONS.kind, str(metadata.get("name", "")), causes)
    names = spec["names"]
    names.setdefault("singular", names["kind"].lower())
    names.setdefault("listKind", f"{names['kind']}List")
    spec.setdefault("conversion", {"strategy": "None"})
    known = {c["type"]: c for c in definition.get("status", {}).get("conditions", ())}
    definition["status"] = {
        "acceptedNames": names,
        "conditions": [
            known.get(t) or _condition(t, reason, message)
            for t, reason, message in (
                ("NamesAccepted", "NoConflicts", "no conflicts found"),
                ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
            )
        ],
        "storedVersions": [v["name"] for v in spec["versions"] if v.get("storage")],
    }
    _warn_of_rules(metadata["name"], spec)


def _condition(kind: str, reason: str, message: str) -> JsonObject:
    return {
        "type": kind,
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": timestamp(),
    }


def _flaws(name: str, spec: JsonObject) -> list[JsonObject]:
    needed = {"group": spec, "names": spec, "scope": spec, "versions": spec}
    names = spec.get("names") or {}
    needed |= {"names.plural": names, "names.kind": names}
    causes = [
        cause(f"spec.{field}", "FieldValueRequired", "Required value")
        for field, holder in needed.items()
        if not holder.get(field.rpartition(".")[2])
    ]
    if causes:
        return causes
    wanted = f"{names['plural']}.{spec['group']}"
    if name != wanted:
        why = f'Invalid value: "{name}": must be spec.names.plural+"."+spec.group'
        causes.append(cause("metadata.name", "FieldValueInvalid", why))
    if sum(bool(v.get("storage")) for v in spec["versions"]) != 1:
        why = "Invalid value: must have exactly one version marked as storage version"
        causes.append(cause("spec.versions", "FieldValueInvalid", why))
    for index, version in enumerate(spec["versions"]):
        if not (version.get("schema") or {}).get("openAPIV3Schema"):
            at = f"spec.versions[{index}].schema.openAPIV3Schema"
            causes.append(cause(at, "FieldValueRequired", "Required value: schemas are required"))
    return causes


def _warn_of_rules(name: str, spec: JsonObject) -> None:
    others = {r for r in _rules(spec["versions"]) if r != IMMUTABLE_RULE}
    if others:
        logger.warning("%s: the sandbox does not run these CEL rules: %s", name, json.dumps(sorted(others)))


def _rules(node: Any) -> list[str]:
    if isinstance(node, list):
        return [rule for item in node for rule in _rules(item)]
    if not isinstance(node, dict):
        return []
    own = [str(r.get("rule", "")).strip() for r in node.get("x-kubernetes-validations") or ()]
    return own + [rule for below in node.values() for rule in _rules(below)]


def serve(catalog: Catalog, definition: JsonObject) -> Resource:
    resource = defined(definition)
    catalog.add(resource)
    return resource
