"""The three patch languages a client may speak: JSON Patch, merge patch, strategic merge."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from daemon.sandbox.kubernetes_api.statuses import JsonObject, bad_request, unprocessable_patch

MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "env": "name",
    "volumes": "name",
    "imagePullSecrets": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "hostAliases": "ip",
    "conditions": "type",
    "ownerReferences": "uid",
    "topologySpreadConstraints": "topologyKey",
}
PRIMITIVE_MERGES = frozenset({"finalizers"})


def json_patch(document: JsonObject, operations: Any) -> JsonObject:
    if not isinstance(operations, list) or not all(isinstance(o, dict) for o in operations):
        raise bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    holder: JsonObject = {"": document}
    for operation in operations:
        op, path = operation.get("op"), operation.get("path")
        apply = OPERATIONS.get(op) if isinstance(op, str) else None
        if apply is None:
            raise unprocessable_patch(f"Unexpected kind: {op}")
        if not isinstance(path, str) or (path and not path.startswith("/")):
            raise unprocessable_patch(f"{op} operation does not apply: doc is missing path: {path!r}")
        apply(holder, _tokens(path), operation)
    result = holder[""]
    if not isinstance(result, dict):
        raise unprocessable_patch("the patched document is not an object")
    return result


def _tokens(path: str) -> list[str]:
    return [t.replace("~1", "/").replace("~0", "~") for t in path.split("/")]


def _missing(op: str, tokens: list[str]) -> Exception:
    path = "/".join(tokens)
    return unprocessable_patch(f'{op} operation does not apply: doc is missing path: "{path}": missing value')


def _index(op: str, tokens: list[str], size: int, *, end: bool) -> int:
    last = tokens[-1]
    if end and last == "-":
        return size
    if not last.isascii() or not last.isdigit():
        raise _missing(op, tokens)
    index = int(last)
    if index > size or (index == size and not end):
        raise _missing(op, tokens)
    return index


def _parent(op: str, holder: JsonObject, tokens: list[str]) -> Any:
    node: Any = holder
    for depth, token in enumerate(tokens[:-1]):
        node = _child(op, node, tokens[: depth + 1], token)
    if not isinstance(node, dict | list):
        raise _missing(op, tokens)
    return node


def _child(op: str, node: Any, tokens: list[str], token: str) -> Any:
    if isinstance(node, dict) and token in node:
        return node[token]
    if isinstance(node, list):
        return node[_index(op, tokens, len(node), end=False)]
    raise _missing(op, tokens)


def _read(op: str, holder: JsonObject, tokens: list[str]) -> Any:
    return _child(op, _parent(op, holder, tokens), tokens, tokens[-1])


def _value(operation: JsonObject) -> Any:
    if "value" not in operation:
        raise unprocessable_patch(f"{operation['op']} operation does not apply: missing value")
    return copy.deepcopy(operation["value"])


def _place(holder: JsonObject, tokens: list[str], value: Any) -> None:
    parent = _parent("add", holder, tokens)
    if isinstance(parent, list):
        parent.insert(_index("add", tokens, len(parent), end=True), value)
    else:
        parent[tokens[-1]] = value


def _take(op: str, holder: JsonObject, tokens: list[str]) -> Any:
    parent = _parent(op, holder, tokens)
    taken = _child(op, parent, tokens, tokens[-1])
    if isinstance(parent, list):
        parent.pop(int(tokens[-1]))
    else:
        del parent[tokens[-1]]
    return taken


def _add(holder: JsonObject, tokens: list[str], operation: JsonObject) -> None:
    _place(holder, tokens, _value(operation))


def _remove(holder: JsonObject, tokens: list[str], _: JsonObject) -> None:
    _take("remove", holder, tokens)


def _replace(holder: JsonObject, tokens: list[str], operation: JsonObject) -> None:
    parent = _parent("replace", holder, tokens)
    _child("replace", parent, tokens, tokens[-1])
    parent[int(tokens[-1]) if isinstance(parent, list) else tokens[-1]] = _value(operation)


def _test(holder: JsonObject, tokens: list[str], operation: JsonObject) -> None:
    expected, path = operation.get("value"), "/".join(tokens)
    parent = _parent("test", holder, tokens)
    absent = isinstance(parent, dict) and tokens[-1] not in parent
    found = None if absent else _read("test", holder, tokens)
    if not same(found, expected):
        raise unprocessable_patch(f"testing value {path} failed: test failed")


def _move(holder: JsonObject, tokens: list[str], operation: JsonObject) -> None:
    _place(holder, tokens, _take("move", holder, _tokens(str(operation.get("from", "")))))


def _copy(holder: JsonObject, tokens: list[str], operation: JsonObject) -> None:
    _place(holder, tokens, copy.deepcopy(_read("copy", holder, _tokens(str(operation.get("from", ""))))))


OPERATIONS: dict[str, Callable[[JsonObject, list[str], JsonObject], None]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "test": _test,
    "move": _move,
    "copy": _copy,
}


def same(left: Any, right: Any) -> bool:
    """JSON equality: Python alone would say that True equals 1."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(v, right[k]) for k, v in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def merge_patch(document: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    merged = dict(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def strategic_merge(document: Any, patch: JsonObject) -> JsonObject:
    """Merge patch for built-in kinds: lists with a merge key merge by that key."""
    directive = patch.get("$patch")
    if directive == "replace":
        return {k: v for k, v in patch.items() if k != "$patch"}
    base = dict(document) if isinstance(document, dict) else {}
    if "$retainKeys" in patch:
        base = {k: v for k, v in base.items() if k in patch["$retainKeys"]}
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            name = key.partition("/")[2]
            base[name] = [v for v in base.get(name, []) if v not in value]
        elif not key.startswith("$"):
            _merge_field(base, key, value)
    _reorder(base, patch)
    return base


def _merge_field(base: JsonObject, key: str, value: Any) -> None:
    if value is None:
        base.pop(key, None)
    elif isinstance(value, dict):
        if value.get("$patch") == "delete":
            base.pop(key, None)
        else:
            base[key] = strategic_merge(base.get(key), value)
    elif isinstance(value, list):
        base[key] = _merge_list(key, base.get(key) or [], value)
    else:
        base[key] = value


def _merge_key(field: str, items: list[Any]) -> str | None:
    if field == "ports":
        return "containerPort" if any("containerPort" in i for i in items if isinstance(i, dict)) else "port"
    return MERGE_KEYS.get(field)


def _merge_list(field: str, base: list[Any], patch: list[Any]) -> list[Any]:
    if field in PRIMITIVE_MERGES:
        return base + [v for v in patch if v not in base]
    key = _merge_key(field, base + patch)
    if key is None or {"$patch": "replace"} in patch:
        return [v for v in patch if v != {"$patch": "replace"}]
    merged = {item.get(key): item for item in base}
    for item in patch:
        if not isinstance(item, dict) or key not in item:
            raise unprocessable_patch(f"map: {item!r} does not contain declared merge key: {key}")
        if item.get("$patch") == "delete":
            merged.pop(item[key], None)
        else:
            merged[item[key]] = strategic_merge(merged.get(item[key]), item)
    return list(merged.values())


def _reorder(base: JsonObject, patch: JsonObject) -> None:
    for directive, order in patch.items():
        field = directive.partition("$setElementOrder/")[2]
        if not field or not isinstance(base.get(field), list):
            continue
        key = _merge_key(field, order)
        ranks = {(o.get(key) if isinstance(o, dict) else o): i for i, o in enumerate(order)}
        base[field].sort(key=lambda v: ranks.get(v.get(key) if isinstance(v, dict) else v, len(ranks)))
