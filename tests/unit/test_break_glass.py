"""The printed command is what a shell understands, and says exactly the patch that is missing."""

from __future__ import annotations

import json
import shlex

from hypothesis import given
from hypothesis import strategies as st

from daemon.adapters import break_glass
from daemon.model.route import PatchOperation, RoutePatch, RouteRef
from tests.unit import facts


def patch(ref: RouteRef, *operations: PatchOperation) -> RoutePatch:
    return RoutePatch(ref, operations, (), ())


def test_one_command_for_each_route_above_zero() -> None:
    other = RouteRef("VirtualService", "shop", "gateway")
    printed = break_glass.commands(facts.evidence(routes=(facts.route(10), facts.route(0), facts.route(5, ref=other))))
    assert [shlex.split(line)[:6] for line in printed] == [
        ["kubectl", "patch", "virtualservices.networking.istio.io", "podinfo", "-n", "shop"],
        ["kubectl", "patch", "virtualservices.networking.istio.io", "gateway", "-n", "shop"],
    ]


def test_at_zero_without_proof_it_says_what_to_look_at() -> None:
    (line,) = break_glass.commands(facts.evidence(routes=(facts.route(0),)))
    assert shlex.split(line) == [
        "kubectl", "get", "virtualservices.networking.istio.io", "podinfo", "-n", "shop", "-o", "jsonpath={.spec}",
    ]  # fmt: skip


def test_where_no_route_is_known_there_is_no_command() -> None:
    assert break_glass.commands(facts.evidence(routes=())) == []
    assert break_glass.commands(facts.evidence(canary=None, routes=())) == []


words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@given(words, words, words)
def test_whatever_stands_in_a_route_the_shell_reads_one_command_with_that_patch(
    name: str, namespace: str, value: str
) -> None:
    operations = (PatchOperation("test", "/spec", {"host": value}), PatchOperation("remove", "/spec/http/0/mirror"))
    read = shlex.split(break_glass.patch_command(patch(RouteRef("VirtualService", namespace, name), *operations)))
    assert read[:7] == ["kubectl", "patch", "virtualservices.networking.istio.io", name, "-n", namespace, "--type=json"]
    assert (read[7], len(read)) == ("-p", 9)
    assert json.loads(read[8]) == [operation.as_json() for operation in operations]
