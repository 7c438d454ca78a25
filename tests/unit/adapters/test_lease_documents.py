"""What anybody may have written into a Lease is read without harm."""

from __future__ import annotations

from typing import Any

import pytest

from daemon.adapters.lease import read_lease
from daemon.model import errors


def document(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": "7"}, "spec": spec}


@pytest.mark.parametrize("spec", [{}, None, [], "text", {"holderIdentity": None, "renewTime": None}])
def test_what_says_nothing_is_held_by_nobody(spec: Any) -> None:
    seen = read_lease({"metadata": {"resourceVersion": "7"}, "spec": spec})
    assert (seen.holder, seen.duration_seconds, seen.transitions, seen.renewed_at) == ("", 0, 0, None)
    assert read_lease({"metadata": {"resourceVersion": "7"}}).holder == ""


@pytest.mark.parametrize("number", ["soon", [], {}, -5, True, 1.5, None])
def test_a_promise_that_is_none_is_waited_out_on_our_terms(number: Any) -> None:
    seen = read_lease(document(holderIdentity="other", leaseDurationSeconds=number, leaseTransitions=number))
    assert (seen.holder, seen.duration_seconds, seen.transitions) == ("other", 0, 0)


@pytest.mark.parametrize("time", ["yesterday", 5, [], "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59"])
def test_times_are_for_people(time: Any) -> None:
    assert read_lease(document(holderIdentity="other", renewTime=time, acquireTime=time)).renewed_at is None


@pytest.mark.parametrize("answer", [{}, {"metadata": None}, {"metadata": {}}, {"kind": "Status", "metadata": {}}])
def test_an_answer_without_a_version_is_no_lease(answer: dict[str, Any]) -> None:
    with pytest.raises(errors.NeighbourError):
        read_lease(answer)
