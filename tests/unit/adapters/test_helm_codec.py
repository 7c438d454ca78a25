"""A release as the Secret that Helm keeps it in: what is written is read back, and what cannot be read is said."""

from __future__ import annotations

import base64
import datetime
import gzip
import json
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.adapters import helm_codec
from daemon.model import errors

AT = datetime.datetime(2026, 11, 23, 7, 0, tzinfo=datetime.UTC)

BODY: dict[str, Any] = {
    "name": "shop",
    "version": 7,
    "namespace": "test",
    "info": {"status": "deployed", "first_deployed": "2026-11-23T08:00:00.123456789+01:00", "deleted": ""},
    "config": {"canary": {"weight": 25}},
    "manifest": "---\nkind: ConfigMap\n",
}


def secret(raw: bytes) -> dict[str, Any]:
    """As the API server has it, with Helm's text in it as given."""
    return {"metadata": {"name": "sh.helm.release.v1.shop.v7"}, "data": {"release": base64.b64encode(raw).decode()}}


def test_what_is_written_is_read_back() -> None:
    assert helm_codec.decode({"data": {"release": helm_codec.encode(BODY)}}) == BODY


def test_it_is_laid_out_as_helm_lays_it_out() -> None:
    # Twice base64, and compressed: the first three bytes are what Helm recognises gzip by.
    packed = base64.b64decode(base64.b64decode(helm_codec.encode(BODY)))
    assert packed.startswith(b"\x1f\x8b\x08")
    assert json.loads(gzip.decompress(packed)) == BODY


def test_a_release_from_before_helm_compressed_is_read() -> None:
    assert helm_codec.decode(secret(base64.b64encode(json.dumps(BODY).encode()))) == BODY


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), json_values, max_size=5))
def test_no_value_of_a_release_is_changed_by_passing_through(config: dict[str, Any]) -> None:
    body = BODY | {"config": config}
    assert helm_codec.decode({"data": {"release": helm_codec.encode(body)}}) == body


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"data": None},
        {"data": {}},
        {"data": {"release": 5}},
        {"data": {"release": "?"}},
        secret(b"not base64!"),
        secret(base64.b64encode(b"{")),
        secret(base64.b64encode(b"[]")),
        secret(base64.b64encode(gzip.compress(b"{}")[:-9])),
        secret(base64.b64encode(b"\x1f\x8b\x08 and then nothing of the kind")),
        secret(base64.b64encode(b"[" * 100_000)),
    ],
    ids=range(11),
)
def test_what_is_no_release_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(errors.Refused, match="no release that Helm could have written"):
        helm_codec.decode(broken)


def test_a_secret_that_unpacks_to_more_than_a_release_can_be_is_refused_before_it_fills_the_memory() -> None:
    packing = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16)
    bomb = packing.compress(b'{"a":"' + b"0" * (64 << 20)) + packing.flush()
    assert len(bomb) < 128 * 1024
    with pytest.raises(errors.Refused, match="more than 16 MiB"):
        helm_codec.decode(secret(base64.b64encode(bomb)))


def test_labels_are_helms_own_and_the_users() -> None:
    before = {"name": "shop", "owner": "helm", "status": "superseded", "version": "6", "createdAt": "1", "team": "a"}
    assert helm_codec.labelled(BODY, before, "createdAt", AT) == {
        "team": "a", "name": "shop", "owner": "helm", "status": "deployed", "version": "7", "createdAt": "1795417200",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("labels", "number"), [({"version": "12"}, 12), ({"version": "x"}, 0), ({"version": "9" * 30}, 0), ({}, 0)]
)
def test_a_revision_tells_its_number_by_its_label(labels: dict[str, str], number: int) -> None:
    assert helm_codec.number({"metadata": {"labels": labels}}) == number
