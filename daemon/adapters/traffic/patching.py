"""What a routing object would say after a write of ours, without writing it.

JSON Patch (RFC 6902), as far as planners of routes write it.
"""

import copy
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from daemon.model.route import PatchOperation, RouteObject


def patched(route: RouteObject, operations: Iterable[PatchOperation]) -> RouteObject:
    """The object after all of them. Raises as ``applied`` does."""
    document = applied({"spec": route.spec, "metadata": {"annotations": route.annotations}}, tuple(operations))
    return dataclasses.replace(route, spec=document["spec"], annotations=document["metadata"]["annotations"])


def applied(document: Mapping[str, Any], operations: Sequence[PatchOperation]) -> dict[str, Any]:
    """The document after all of them. Raises LookupError, TypeError or ValueError when one does not fit."""
    holder: dict[str, Any] = {"": copy.deepcopy(dict(document))}
    for operation in operations:
        *above, last = [part.replace("~1", "/").replace("~0", "~") for part in operation.path.split("/")]
        parent: Any = holder
        for part in above:
            parent = parent[_key(parent, part)]
        _apply(parent, last, operation)
    result = holder[""]
    if not isinstance(result, dict):
        raise TypeError("not an object any more")
    return result


def _apply(parent: Any, last: str, operation: PatchOperation) -> None:
    value = copy.deepcopy(operation.value)
    if operation.op == "add":
        if isinstance(parent, list):
            parent.insert(len(parent) if last == "-" else int(last), value)
        else:
            parent[last] = value
        return
    if operation.op == "test" and value is None and isinstance(parent, dict):
        if parent.get(last) is not None:  # what is absent is null, to an API server
            raise ValueError(f"{operation.path} is there")
        return
    there = parent[_key(parent, last)]
    match operation.op:
        case "test":
            if there != value:
                raise ValueError(f"{operation.path} is not {value!r}")
        case "replace":
            parent[_key(parent, last)] = value
        case "remove":
            del parent[_key(parent, last)]
        case _:
            raise ValueError(f"no operation {operation.op!r}")


def _key(parent: Any, part: str) -> Any:
    return int(part) if isinstance(parent, list) else part
