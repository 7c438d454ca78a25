"""What a routing object would say after a write of ours, without writing it."""

import copy
import dataclasses
from collections.abc import Iterable
from typing import Any

from daemon.model.route import PatchOperation, RouteObject


def patched(route: RouteObject, operations: Iterable[PatchOperation]) -> RouteObject:
    """The object with a JSON Patch (RFC 6902) carried out. Its ``test`` operations are taken as passed: they were made
    for this very object. Raises LookupError where a path leads nowhere."""
    document: dict[str, Any] = {
        "spec": copy.deepcopy(dict(route.spec)), "metadata": {"annotations": dict(route.annotations)},
    }  # fmt: skip
    for operation in operations:
        if operation.op != "test":
            _carry_out(document, operation)
    return dataclasses.replace(route, spec=document["spec"], annotations=document["metadata"]["annotations"])


def _carry_out(document: Any, operation: PatchOperation) -> None:
    *parents, last = [token.replace("~1", "/").replace("~0", "~") for token in operation.path.split("/")[1:]]
    node = document
    for token in parents:
        node = node[int(token)] if isinstance(node, list) else node[token]
    if isinstance(node, list):
        index = len(node) if last == "-" else int(last)
        if operation.op == "remove":
            del node[index]
        elif operation.op == "add":
            node.insert(index, operation.value)
        else:
            node[index] = operation.value
    elif operation.op == "remove":
        del node[last]
    else:
        node[last] = operation.value
