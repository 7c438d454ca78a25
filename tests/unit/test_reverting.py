"""The command that takes back what was promoted: it works as it is printed, and goes to what was good before."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.model.canary import CanaryRef
from daemon.model.canary_revision import CanaryRevision, RevisionPhase
from daemon.policy import reverting
from tests.unit import facts, revisions

PLAIN = "kubectl rollout undo deployment/podinfo -n shop"


def promoted(number: str, at: float | None, **changes: Any) -> CanaryRevision:
    plain: dict[str, Any] = {
        "phase": RevisionPhase.PROMOTED,
        "revision": f"rev-{number}",
        "workload_revision": number,
        "promoted_at": None if at is None else facts.after(at),
    }
    return revisions.record(**(plain | changes))


HERE = promoted("9", 100, revision="rev2")

COMMANDS: dict[str, tuple[list[CanaryRevision], str]] = {
    "nothing is known of what was before": ([], PLAIN),
    "this is the first that was promoted": ([HERE], PLAIN),
    "the one before": ([HERE, promoted("7", 50)], f"{PLAIN} --to-revision=7"),
    "what failed in between is passed over": (
        [HERE, promoted("8", None, phase=RevisionPhase.FAILED), promoted("7", 50)], f"{PLAIN} --to-revision=7"),
    "the last of several": ([promoted("5", 10), promoted("7", 50), HERE], f"{PLAIN} --to-revision=7"),
    "promoted, and nobody knows when": ([HERE, promoted("7", None)], PLAIN),
    "its number is not known": ([HERE, promoted("", 50)], PLAIN),
    "what stands there is no number": ([HERE, promoted("7; reboot", 50)], PLAIN),
}  # fmt: skip


@pytest.mark.parametrize("sentence", COMMANDS)
def test_what_is_undone_to(sentence: str) -> None:
    records, command = COMMANDS[sentence]
    assert reverting.command(facts.canary(), records) == command


@given(st.text(min_size=1), st.text(min_size=1), st.text())
def test_whatever_things_are_called_it_is_one_command_for_a_shell(name: str, namespace: str, number: str) -> None:
    canary = facts.canary(ref=CanaryRef(namespace, "podinfo"), workload=name)
    words = shlex.split(reverting.command(canary, [promoted(number, 50)]))
    assert words[:4] == ["kubectl", "rollout", "undo", f"deployment/{name}"]
    assert words[4:6] == ["-n", namespace]
    assert len(words) == (7 if number.isascii() and number.isdigit() else 6)
