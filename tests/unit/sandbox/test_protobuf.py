"""Objects in Kubernetes' protobuf, byte by byte as Go writes them; what is not known is refused, never dropped."""

from __future__ import annotations

import base64

import pytest

from daemon.sandbox.kubernetes_api import protobuf
from daemon.sandbox.kubernetes_api.statuses import ApiError


def field(number: int, value: bytes | str | int) -> bytes:
    """One field of a message, the number below 16."""
    if isinstance(value, int):
        return bytes([number << 3]) + varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return bytes([number << 3 | 2]) + varint(len(raw)) + raw


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def sent(kind: str, raw: bytes) -> bytes:
    """In the envelope: what it is, and the object itself."""
    return b"k8s\x00" + field(1, field(1, "v1") + field(2, kind)) + field(2, raw) + field(3, "") + field(4, "")


def pair(key: str, value: bytes | str) -> bytes:
    return field(1, key) + field(2, value)


def test_a_secret_as_helm_sends_it() -> None:
    labels = field(11, pair("owner", "helm")) + field(11, pair("version", "12"))
    # Go writes an empty text for what is not set, and an empty message for a time that is none.
    metadata = field(1, "sh.helm.release.v1.web.v12") + field(2, "") + field(3, "shop") + field(8, b"") + labels
    raw = field(1, metadata) + field(2, pair("release", b"H4sI" * 200)) + field(3, "helm.sh/release.v1") + field(5, 0)
    found = protobuf.read(sent("Secret", raw))
    assert found["metadata"] == {
        "name": "sh.helm.release.v1.web.v12", "namespace": "shop", "labels": {"owner": "helm", "version": "12"},
    }  # fmt: skip
    assert (found["apiVersion"], found["kind"], found["type"]) == ("v1", "Secret", "helm.sh/release.v1")
    assert base64.b64decode(found["data"]["release"]) == b"H4sI" * 200
    assert found["immutable"] is False


def test_what_to_do_when_deleting() -> None:
    raw = field(1, 0) + field(2, field(1, "u-1")) + field(4, "Background") + field(5, "All")
    assert protobuf.read(sent("DeleteOptions", raw)) == {
        "apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0, "preconditions": {"uid": "u-1"},
        "propagationPolicy": "Background", "dryRun": ["All"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"{}", 400),
        (b"k8s\x00", 400),
        (sent("Secret", field(1, "name"))[:-6], 400),
        (sent("Secret", b"\x0a\x7f"), 400),
        (sent("Secret", b"\x0a"), 400),
        (sent("Secret", field(1, 5)), 400),
        (sent("Secret", field(3, b"\xff\xfe")), 400),
        (sent("Secret", b"\x0d\x00\x00\x00\x00"), 400),
        (sent("Secret", field(9, "new")), 415),
        (sent("Secret", field(1, field(13, b""))), 415),
        (sent("Pod", b""), 415),
    ],
    ids=range(11),
)
def test_what_it_cannot_read_it_refuses(raw: bytes, code: int) -> None:
    with pytest.raises(ApiError) as refused:
        protobuf.read(raw)
    assert refused.value.code == code
