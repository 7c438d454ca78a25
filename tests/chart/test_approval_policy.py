"""Who may raise: the expressions of the admission policy, evaluated over what people could try.

The evaluator is another one than the API server's; `split` and `trim` are Kubernetes' own additions to the language
and are added here. What only an API server can say (types, that it takes the object) is in test_accepted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from daemon.adapters import acts, traffic
from daemon.adapters.kubernetes.resources import CANARIES, ROLLOUTS
from tests.chart.rendering import CHART, MATRIX, MINIMAL, Manifest, of, render, the

POLICY = {"people": {"approvalPolicy": {"enabled": True, "users": ["root@example.com"], "groups": ["captains", "sre"]}}}
ALICE = {"username": "alice", "groups": ["captains", "system:authenticated"]}
BOB = {"username": "bob", "groups": ["sre"]}
ROOT = {"username": "root@example.com"}
EVE = {"username": "eve", "groups": ["system:authenticated"]}
DAEMON = {"username": "system:serviceaccount:pullback:pullback", "groups": ["system:serviceaccounts"]}

Annotations = Mapping[str, str] | None


def policy() -> Manifest:
    found = the(render({**MINIMAL, **POLICY}), "ValidatingAdmissionPolicy")["spec"]
    assert isinstance(found, dict)
    return found


def refused(user: Mapping[str, Any], before: Annotations, after: Annotations, *, create: bool = False) -> str:
    """Empty where the policy lets it pass, else the message. Short keys are Pullback's."""
    import cel  # noqa: PLC0415

    spec = policy()
    variables: dict[str, Any] = {}
    context = {
        "request": {"userInfo": dict(user), "operation": "CREATE" if create else "UPDATE"},
        "object": _canary(after),
        "oldObject": None if create else _canary(before),
    }

    def evaluate(expression: str) -> Any:
        surroundings = cel.Context({**context, "variables": variables})
        surroundings.add_function("split", lambda text, by: text.split(by))
        surroundings.add_function("trim", lambda text: text.strip())
        return cel.evaluate(expression, surroundings)

    if not all(evaluate(one["expression"]) for one in spec["matchConditions"]):
        return ""
    for one in spec["variables"]:
        variables[one["name"]] = evaluate(one["expression"])
    for one in spec["validations"]:
        if evaluate(one["expression"]) is not True:
            return str(one.get("message") or evaluate(one["messageExpression"]))
    return ""


def _canary(annotations: Annotations) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": "podinfo", "namespace": "shop"}
    if annotations is not None:
        metadata["annotations"] = {
            (key if "/" in key else f"pullback.dev/{key}"): value for key, value in annotations.items()
        }
    return {"metadata": metadata, "spec": {}}


def approval(by: str, revision: str = "r2", until: str = "15:00", **more: str) -> dict[str, str]:
    return {"approved": revision, "approved-by": by, "approved-until": until, **more}


PASSED: dict[str, tuple[Mapping[str, Any], Annotations, Annotations]] = {
    "a captain approves": (ALICE, None, approval("alice")),
    "one of the users approves": (ROOT, {}, approval("root@example.com")),
    "a new revision, over an older approval": (ALICE, approval("bob", "r1"), approval("alice")),
    "a second person": (BOB, approval("alice"), approval("alice,bob")),
    "a second person, with a blank": (BOB, approval("alice"), approval("alice, bob")),
    "again, for longer": (ALICE, approval("alice"), approval("alice", until="16:00")),
    "only a revision and a name": (ALICE, {}, {"approved": "r2", "approved-by": "alice"}),
    "anybody pauses": (EVE, None, {"paused": "true"}),
    "anybody changes something else beside an approval": (EVE, approval("alice"), approval("alice", paused="true")),
    "anybody withdraws an approval": (EVE, approval("alice"), {}),
    "anybody withdraws it and leaves the names": (EVE, approval("alice"), approval("alice", "")),
    "a tool replaces the object without annotations": (EVE, approval("alice", **{"approved-used": "x"}), None),
    "Pullback marks an approval as used": (DAEMON, approval("alice"), approval("alice", **{"approved-used": "x"})),
    "Pullback binds an advance": (
        DAEMON,
        {"advance-to": "25", "advance-by": "alice"},
        {"advance-to": "25", "advance-by": "alice", "advance-revision": "r2"},
    ),
    "a captain advances": (ALICE, {}, {"advance-to": "25", "advance-by": "alice"}),
    "anybody withdraws an advance": (EVE, {"advance-to": "25", "advance-by": "alice"}, {"advance-by": "alice"}),
    "a captain says why": (ALICE, {}, approval("alice", **{"approved-reason": "quiet for an hour"})),
    "a second person says why": (
        BOB, approval("alice", **{"approved-reason": "quiet"}), approval("alice,bob", **{"approved-reason": "agreed"}),
    ),
    "anybody withdraws it and leaves the reason": (
        EVE, approval("alice", **{"approved-reason": "quiet"}), {"approved-reason": "quiet"},
    ),
    "a reason without an approval approves nothing": (EVE, {}, {"approved-reason": "please"}),
    "nothing changes": (EVE, approval("alice"), approval("alice")),
}  # fmt: skip

REFUSED: dict[str, tuple[Mapping[str, Any], Annotations, Annotations, str]] = {
    "anybody approves": (EVE, {}, approval("eve"), "people of people.approvalPolicy"),
    "anybody approves in a captain's name": (EVE, {}, approval("alice"), "people of people.approvalPolicy"),
    "a captain approves in another's name": (ALICE, {}, approval("bob"), "approved-by: expected alice"),
    "a captain brings the second one along": (ALICE, {}, approval("alice,bob"), "approved-by: expected alice"),
    "without a name": (ALICE, {}, {"approved": "r2"}, "approved-by: expected alice"),
    "a name from an approval of another revision": (
        BOB, approval("alice", "r1"), approval("alice,bob", "r2"), "same revision",
    ),
    "a name from an approval that ends earlier": (
        BOB, approval("alice", until="15:00"), approval("alice,bob", until="18:00"), "same revision",
    ),
    "a name without any end": (
        BOB,
        {"approved": "r2", "approved-by": "alice"},
        {"approved": "r2", "approved-by": "alice,bob"},
        "same revision",
    ),
    "a name put there before": (
        ALICE, {"approved-by": "bob", "approved-until": "15:00"}, approval("alice,bob"), "same revision",
    ),
    "a name within a name": (ALICE, {}, approval("malice"), "approved-by: expected alice"),
    "anybody takes the end away": (
        EVE, approval("alice"), {"approved": "r2", "approved-by": "alice"}, "people of people.approvalPolicy",
    ),
    "a captain makes a used approval new": (
        ALICE, approval("alice", **{"approved-used": "x"}), approval("alice"), "approved-used: expected nobody but",
    ),
    "anybody puts words into a captain's mouth": (
        EVE, approval("alice"), approval("alice", **{"approved-reason": "eve says"}), "people of people.approvalPolicy",
    ),
    "a captain rewrites another's reason": (
        BOB, approval("alice", **{"approved-reason": "quiet"}), approval("alice", **{"approved-reason": "loud"}),
        "approved-by: expected bob",
    ),
    "anybody advances": (EVE, {}, {"advance-to": "25", "advance-by": "eve"}, "people of people.approvalPolicy"),
    "a captain advances in another's name": (
        ALICE, {}, {"advance-to": "25", "advance-by": "bob"}, "advance-by: expected alice",
    ),
    "a captain advances without a name": (ALICE, {}, {"advance-to": "25"}, "advance-by: expected alice"),
    "anybody unbinds an advance from its revision": (
        EVE,
        {"advance-to": "25", "advance-by": "alice", "advance-revision": "r1"},
        {"advance-to": "25", "advance-by": "alice"},
        "people of people.approvalPolicy",
    ),
    "somebody without groups": ({"username": "x"}, {}, approval("x"), "people of people.approvalPolicy"),
    "the daemon of another namespace": (
        {"username": "system:serviceaccount:other:pullback"}, {}, approval("x"), "people of people.approvalPolicy",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("user", "before", "after"), PASSED.values(), ids=PASSED)
def test_passes(user: Mapping[str, Any], before: Annotations, after: Annotations) -> None:
    assert refused(user, before, after) == ""


@pytest.mark.parametrize(("user", "before", "after", "said"), REFUSED.values(), ids=REFUSED)
def test_is_refused(user: Mapping[str, Any], before: Annotations, after: Annotations, said: str) -> None:
    assert said in refused(user, before, after)


def test_a_new_canary_cannot_bring_an_approval_along() -> None:
    assert "people of people.approvalPolicy" in refused(EVE, None, approval("eve"), create=True)
    assert refused(ALICE, None, approval("alice"), create=True) == ""
    assert refused(EVE, None, None, create=True) == ""


def test_every_annotation_that_raises_is_guarded() -> None:
    """A new one in the daemon needs a line in the policy."""
    (changed,) = [one["expression"] for one in policy()["variables"] if one["name"] == "changed"]
    raising = {value for name, value in vars(acts).items() if name.startswith(("APPROV", "ADVANCE"))}
    assert {"pullback.dev/approved", "pullback.dev/approved-reason", "pullback.dev/advance-to"} <= raising
    assert set(re.findall(r'"(pullback\.dev/[a-z-]+)"', changed)) == raising


def test_it_is_asked_about_what_can_be_a_canary_only_and_refuses_when_it_cannot_say() -> None:
    spec = policy()
    assert spec["failurePolicy"] == "Fail"
    rules = spec["matchConstraints"]["resourceRules"]
    asked = {f"{resource}.{group}" for rule in rules for group in rule["apiGroups"] for resource in rule["resources"]}
    kinds = {resource for kind in traffic.discover().values() for resource in kind.RESOURCES}
    assert asked == {f"{one.plural}.{one.group}" for one in (CANARIES, ROLLOUTS, *kinds)}
    assert all(sorted(rule["operations"]) == ["CREATE", "UPDATE"] for rule in rules)


def test_expressions_stand_on_one_line_and_have_something_to_say() -> None:
    spec = policy()
    for one in spec["validations"]:
        # What the API server demands of a policy.
        assert "\n" not in one["expression"] + one.get("message", "") + one.get("messageExpression", "")
        assert one.get("message") or one.get("messageExpression")
        assert one["reason"] == "Forbidden"
    names = [one["name"] for one in spec["variables"]]
    assert len(names) == len(set(names))
    for number, one in enumerate(spec["variables"]):
        used = set(re.findall(r"variables\.(\w+)", one["expression"]))
        assert used <= set(names[:number]), f"{one['name']} reads what comes later"
        assert re.fullmatch(r"[a-zA-Z_]\w*", one["name"])


def test_it_is_in_force_where_pullback_acts() -> None:
    listed = the(render({**MINIMAL, **POLICY}), "ValidatingAdmissionPolicyBinding")["spec"]
    assert (listed["policyName"], listed["validationActions"]) == ("pullback-approvals", ["Deny"])
    (expression,) = listed["matchResources"]["namespaceSelector"]["matchExpressions"]
    assert (expression["key"], expression["values"]) == ("kubernetes.io/metadata.name", ["shop", "checkout"])
    everywhere = the(render(MATRIX["everything, cluster-wide"]), "ValidatingAdmissionPolicyBinding")["spec"]
    assert "matchResources" not in everywhere


def test_names_are_quoted_whatever_they_are() -> None:
    odd = 'CN="x" || true, O=\\<y>'
    values = {**MINIMAL, "people": {"approvalPolicy": {"enabled": True, "users": [odd]}}}
    spec = the(render(values), "ValidatingAdmissionPolicy")["spec"]
    (listed,) = [one["expression"] for one in spec["variables"] if one["name"] == "listed"]
    import cel  # noqa: PLC0415

    for name, expected in ((odd, True), ("eve", False)):
        assert cel.evaluate(listed, cel.Context({"request": {"userInfo": {"username": name}}})) is expected


def test_it_is_off_unless_asked_for() -> None:
    assert not of(render(MINIMAL), "ValidatingAdmissionPolicy")


def test_it_needs_a_cluster_that_has_it(capfd: pytest.CaptureFixture[str]) -> None:
    import helm_python  # noqa: PLC0415

    # Lint is where the engine can be told of another cluster; there it only says what it would refuse.
    for version, said in (("1.29.4", True), ("1.30.0", False)):
        helm_python.lint(CHART, {**MINIMAL, **POLICY}, kube_version=version)
        assert ("people.approvalPolicy: needs Kubernetes 1.30 or newer" in capfd.readouterr().err) is said


@pytest.mark.parametrize("key", ["profile", "stage-driver"])
def test_who_may_not_approve_may_not_choose_what_has_to_be_approved(key: str) -> None:
    assert "pullback.dev/profile or stage-driver" in refused(EVE, {key: "strict"}, {key: "lax"})
    assert "pullback.dev/profile or stage-driver" in refused(EVE, {}, {key: "lax"})
    assert "pullback.dev/profile or stage-driver" in refused(EVE, {key: "strict"}, None)
    assert refused(ALICE, {key: "strict"}, {key: "lax"}) == ""
    assert refused(EVE, {key: "strict"}, {key: "strict", "paused": "true"}) == ""
    assert refused(EVE, None, {key: "lax"}, create=True) == ""
