"""What every routing object says in the same place: its name, its version, who made it, and who writes it."""

from collections.abc import Mapping
from typing import Any

from daemon.model.canary import CONTROLLER_KINDS
from daemon.model.route import RouteObject, RouteRef


def read(kind: str, document: Mapping[str, Any], *, field: str = "f:spec") -> RouteObject:
    """The object from its JSON, whatever is missing in it. ``field``: the managed field whose writers count."""
    metadata = mapping(document.get("metadata"))
    generation = metadata.get("generation")
    return RouteObject(
        ref=RouteRef(kind, text(metadata.get("namespace")), text(metadata.get("name"))),
        api_version=text(document.get("apiVersion")),
        resource_version=text(metadata.get("resourceVersion")),
        generation=generation if isinstance(generation, int) else 0,
        spec=mapping(document.get("spec")),
        writers=_writers(metadata.get("managedFields"), field),
        uid=text(metadata.get("uid")),
        labels=_texts(metadata.get("labels")),
        annotations=_texts(metadata.get("annotations")),
        status=mapping(document.get("status")),
        owner=_owner(metadata.get("ownerReferences")),
        deleting=bool(metadata.get("deletionTimestamp")),
    )


def mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: object) -> dict[str, str]:
    return {key: one for key, one in mapping(value).items() if isinstance(one, str)}


def _owner(references: object) -> str:
    listed = map(mapping, references if isinstance(references, list) else ())
    kinds = (text(one.get("kind")) for one in listed if one.get("controller"))
    return next((kind for kind in kinds if kind in CONTROLLER_KINDS), "")


def _writers(managed: object, field: str) -> tuple[str, ...]:
    """Who owns parts of it, the latest first. One manager may be listed for several operations."""
    entries = map(mapping, managed if isinstance(managed, list) else ())
    owning = [entry for entry in entries if _owns(mapping(entry.get("fieldsV1")), field)]
    owning.sort(key=lambda entry: text(entry.get("time")), reverse=True)
    names = (text(entry.get("manager")) for entry in owning)
    return tuple(dict.fromkeys(name for name in names if name))


def _owns(fields: Mapping[str, Any], path: str) -> bool:
    """``path``: managed fields below one another, as in ``f:metadata/f:annotations``."""
    for part in path.split("/"):
        if part not in fields:
            return False
        fields = mapping(fields[part])
    return True
