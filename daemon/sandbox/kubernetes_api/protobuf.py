"""Objects as Go clients send them: Kubernetes' protobuf envelope, for the few kinds that its typed clients write here.

Helm keeps its releases in Secrets through such a client. A field that is not in the tables below is refused, not
dropped; answers are JSON, which every client accepts beside protobuf.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from daemon.sandbox.kubernetes_api.statuses import JsonObject, bad_request, unsupported_media_type

CONTENT_TYPE = "application/vnd.kubernetes.protobuf"

_MAGIC = b"k8s\x00"
_TEXT, _FLAG, _NUMBER, _TEXTS, _TEXT_MAP, _BYTES_MAP, _SERVERS = "text", "flag", "number", "texts", "map", "bytes", "-"
# Numbers as in generated.proto of k8s.io/api and k8s.io/apimachinery; a capital letter names another table.
_TABLES: dict[str, dict[int, tuple[str, str]]] = {
    "Unknown": {1: ("typeMeta", "TypeMeta"), 2: ("raw", "bytes of it"), 3: ("contentEncoding", _TEXT),
                4: ("contentType", _TEXT)},
    "TypeMeta": {1: ("apiVersion", _TEXT), 2: ("kind", _TEXT)},
    "ObjectMeta": {1: ("name", _TEXT), 2: ("generateName", _TEXT), 3: ("namespace", _TEXT), 4: ("selfLink", _TEXT),
                   5: ("uid", _TEXT), 6: ("resourceVersion", _TEXT), 7: ("generation", _NUMBER),
                   8: ("creationTimestamp", _SERVERS), 11: ("labels", _TEXT_MAP), 12: ("annotations", _TEXT_MAP),
                   14: ("finalizers", _TEXTS)},
    "Secret": {1: ("metadata", "ObjectMeta"), 2: ("data", _BYTES_MAP), 3: ("type", _TEXT), 4: ("stringData", _TEXT_MAP),
               5: ("immutable", _FLAG)},
    "DeleteOptions": {1: ("gracePeriodSeconds", _NUMBER), 2: ("preconditions", "Preconditions"),
                      3: ("orphanDependents", _FLAG), 4: ("propagationPolicy", _TEXT), 5: ("dryRun", _TEXTS)},
    "Preconditions": {1: ("uid", _TEXT), 2: ("resourceVersion", _TEXT)},
}  # fmt: skip


def read(raw: bytes) -> JsonObject:
    """The object as JSON has it. A kind or field without a table: 415; what is no protobuf: 400."""
    if not raw.startswith(_MAGIC):
        raise bad_request("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    try:
        envelope = _message("Unknown", raw[len(_MAGIC) :])
        type_meta = envelope["typeMeta"]
        if type_meta["kind"] not in {"Secret", "DeleteOptions"}:
            raise unsupported_media_type(f"the sandbox reads no {type_meta['kind']} as protobuf: send JSON")
        return {**type_meta, **_message(type_meta["kind"], envelope.get("raw", b""))}
    except (IndexError, KeyError, UnicodeDecodeError) as error:
        raise bad_request(f"error decoding the body: proto: {error!r}") from error


def _message(kind: str, raw: bytes) -> JsonObject:
    table = _TABLES[kind]
    found: JsonObject = {}
    for number, value in _fields(raw):
        if number not in table:
            raise unsupported_media_type(f"the sandbox does not read field {number} of {kind} as protobuf: send JSON")
        name, how = table[number]
        if how == _TEXT:
            if value:  # Go writes what is not set as an empty text
                found[name] = _bytes(value).decode()
        elif how in {_FLAG, _NUMBER}:
            found[name] = bool(value) if how == _FLAG else value
        elif how == _TEXTS:
            found.setdefault(name, []).append(_bytes(value).decode())
        elif how in {_TEXT_MAP, _BYTES_MAP}:
            entry = dict(_fields(_bytes(value)))
            item = _bytes(entry.get(2, b""))
            text = item.decode() if how == _TEXT_MAP else base64.b64encode(item).decode()
            found.setdefault(name, {})[_bytes(entry.get(1, b"")).decode()] = text
        elif how in _TABLES:
            found[name] = _message(how, _bytes(value))
        elif how != _SERVERS:
            found[name] = _bytes(value)
    return found


def _bytes(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise KeyError("a field of the wrong wire type")
    return value


def _fields(raw: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field numbers and values. IndexError where the message ends too early."""
    at = 0
    while at < len(raw):
        key, at = _varint(raw, at)
        wire = key & 7
        if wire == 0:
            value, at = _varint(raw, at)
            yield key >> 3, value
        elif wire == 2:
            size, at = _varint(raw, at)
            if at + size > len(raw):
                raise IndexError("unexpected EOF")
            yield key >> 3, raw[at : at + size]
            at += size
        else:
            raise KeyError(f"wire type {wire}")


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
