"""What GitOps controllers act by: nowhere by default, and where it is asked for, get and patch and no more."""

from __future__ import annotations

import re
from typing import Any

import pytest

from daemon.adapters import gitops
from tests.chart.rendering import MINIMAL, Manifest, of, refusal, render, texts, the

SUSPEND: dict[str, Any] = {"follow_ups": {"gitops": "suspend"}}
ALLOWED: dict[str, Any] = {
    **MINIMAL,
    "gitops": {"allowPatch": True, "namespaces": ["flux-system", "argocd", "argocd"]},
    "config": SUSPEND,
}
PLURALS = {one.plural for one in (gitops.APPLICATIONS, gitops.KUSTOMIZATIONS, gitops.HELM_RELEASES)}


def with_owners(manifests: list[Manifest]) -> list[Manifest]:
    """Roles of either kind that speak of them."""
    roles = [*of(manifests, "Role"), *of(manifests, "ClusterRole")]
    return [one for one in roles if any(PLURALS & set(rule["resources"]) for rule in one["rules"])]


def test_without_being_asked_for_there_is_no_such_role() -> None:
    assert with_owners(render(MINIMAL)) == []
    assert with_owners(render({**MINIMAL, "gitops": {"allowPatch": True}})) == []


def test_one_role_of_its_own_in_just_those_namespaces() -> None:
    manifests = render(ALLOWED)
    roles = with_owners(manifests)
    assert [(one["kind"], one["metadata"]["name"], one["metadata"]["namespace"]) for one in roles] == [
        ("Role", "pullback-gitops", "flux-system"), ("Role", "pullback-gitops", "argocd"),
    ]  # fmt: skip
    for one in roles:
        assert {(*rule["apiGroups"], *rule["resources"], *rule["verbs"]) for rule in one["rules"]} == {
            (resource.group, resource.plural, "get", "patch")
            for resource in (gitops.APPLICATIONS, gitops.KUSTOMIZATIONS, gitops.HELM_RELEASES)
        }
    bindings = of(manifests, "RoleBinding", "pullback-gitops")
    assert [one["metadata"]["namespace"] for one in bindings] == ["flux-system", "argocd"]
    for one in bindings:
        assert one["roleRef"]["name"] == "pullback-gitops"
        assert one["subjects"] == [{"kind": "ServiceAccount", "name": "pullback", "namespace": "pullback"}]


@pytest.mark.parametrize(
    "said", [{"namespaces": ["argocd"]}, {"allowPatch": False, "namespaces": ["argocd"]}], ids=["unsaid", "no"]
)
def test_without_consent_the_schema_refuses_namespaces(said: dict[str, Any]) -> None:
    assert re.search("/gitops/namespaces.*maxItems", refusal({**MINIMAL, "gitops": said}), re.DOTALL)


@pytest.mark.parametrize("said", ["suspend", {"shop/web": "suspend"}], ids=["all", "one"])
def test_to_suspend_without_a_role_is_refused(said: Any) -> None:
    assert "suspend needs gitops.namespaces" in refusal({**MINIMAL, "config": {"follow_ups": {"gitops": said}}})


@pytest.mark.parametrize("said", ["off", False, {"shop/web": "off"}, {}], ids=["off", "false", "one", "none"])
def test_off_needs_none(said: Any) -> None:
    assert with_owners(render({**MINIMAL, "config": {"follow_ups": {"gitops": said}}})) == []


def test_where_others_make_the_roles_there_is_none() -> None:
    manifests = render({**ALLOWED, "rbac": {"namespaces": ["shop"], "create": False}})
    assert with_owners(manifests) == []
    assert "gitops: suspend" in the(manifests, "ConfigMap", "pullback")["data"]["pullback.yaml"]


def test_the_notes_say_what_was_allowed() -> None:
    said = "It may stop every Kustomization, HelmRelease and Application in flux-system, argocd (gitops.allowPatch)"
    assert said in texts(ALLOWED)["NOTES.txt"]
    assert "Application in" not in texts(MINIMAL)["NOTES.txt"]
