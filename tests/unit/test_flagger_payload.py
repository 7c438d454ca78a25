"""Flagger's calls: read as recorded, refused with the field, and the credential goes no further."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.model.canary import CanaryRef
from daemon.model.signal import HookType
from daemon.web.alertmanager import BadRequestError
from daemon.web.flagger import parse

GOOD = {"name": "podinfo", "namespace": "shop", "phase": "Progressing", "checksum": "58b65dd85"}
RECORDED = Path(__file__).parents[1] / "data" / "flagger" / "payloads.tsv"


def body(**changes: Any) -> bytes:
    return json.dumps(GOOD | changes).encode()


def recorded() -> list[tuple[HookType, bytes]]:
    lines = (line.split("\t", 1) for line in RECORDED.read_text(encoding="utf-8").splitlines())
    return [(HookType(kind), sent.encode()) for kind, sent in lines if kind in set(HookType)]


@pytest.mark.parametrize(("kind", "sent"), recorded())
def test_every_recorded_call_is_read(kind: HookType, sent: bytes) -> None:
    expected = json.loads(sent)
    hook = parse(kind, sent).hook
    assert (hook.type, hook.phase, hook.checksum) == (kind, expected["phase"], expected["checksum"])
    assert hook.canary == CanaryRef(expected["namespace"], expected["name"])
    assert hook.metadata == (expected["metadata"] or {})


def test_a_call_is_read_with_its_canary_phase_and_checksum() -> None:
    call = parse(HookType.ROLLBACK, body(metadata={"who": "lab"}))
    assert (call.hook.type, call.hook.canary) == (HookType.ROLLBACK, CanaryRef("shop", "podinfo"))
    assert (call.hook.phase, call.hook.checksum, call.hook.metadata) == ("Progressing", "58b65dd85", {"who": "lab"})
    assert call.token == ""


def test_the_credential_is_taken_out_of_the_metadata() -> None:
    call = parse(HookType.EVENT, body(metadata={"token": "secret", "who": "lab"}))
    assert call.token == "secret"
    assert call.hook.metadata == {"who": "lab"}
    assert "secret" not in repr(call.hook)


@pytest.mark.parametrize("metadata", [None, {}])
def test_metadata_may_be_missing(metadata: dict[str, str] | None) -> None:
    assert parse(HookType.EVENT, body(metadata=metadata)).hook.metadata == {}


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"", "Invalid JSON"),
        (b"[]", "Input should be an object"),
        (b"[" * 100_000, "recursion limit"),
        (b"{}", "name: Field required"),
        (body(name=""), "name: String should have at least 1 character"),
        (body(name="x" * 254), "name: String should have at most 253"),
        (body(namespace=None), "namespace: Input should be a valid string"),
        (body(checksum=5), "checksum: "),
        (body(checksum="x" * 200), "checksum: "),
        (body(metadata={"a": 1}), "metadata.a: "),
        (body(metadata=[]), "metadata: "),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_can_never_be_read_is_refused_with_its_field(sent: bytes, said: str) -> None:
    with pytest.raises(BadRequestError, match=said):
        parse(HookType.ROLLBACK, sent)


@given(st.binary(max_size=100), st.sampled_from(HookType))
def test_any_bytes_are_read_or_refused(sent: bytes, kind: HookType) -> None:
    try:
        assert parse(kind, sent).hook.type is kind
    except BadRequestError as error:
        assert str(error)
