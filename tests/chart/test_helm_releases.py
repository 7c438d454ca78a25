"""Secrets of Helm's releases: nowhere by default, and where they are asked for, that and no more."""

from __future__ import annotations

import ast
import re
from typing import Any

import pytest

from tests.chart.rendering import MINIMAL, Manifest, of, refusal, render, texts, the
from tests.cluster import ROOT

CONFIGURED = {"follow_ups": {"helm": {"shop/web": {"release": "web"}}}}
ALLOWED: dict[str, Any] = {
    **MINIMAL,
    "helm": {"allowSecrets": True, "namespaces": ["shop", "releases", "shop"]},
    "config": CONFIGURED,
}
VERBS = {"get": "get", "list": "list", "create": "create", "merge": "patch", "patch": "patch", "replace": "update",
         "delete": "delete", "watch": "watch"}  # fmt: skip


def with_secrets(manifests: list[Manifest]) -> list[Manifest]:
    """Roles of either kind that speak of Secrets."""
    roles = [*of(manifests, "Role"), *of(manifests, "ClusterRole")]
    return [one for one in roles if any("secrets" in rule["resources"] for rule in one["rules"])]


def test_without_being_asked_for_there_is_no_such_role() -> None:
    assert with_secrets(render(MINIMAL)) == []
    assert with_secrets(render({**MINIMAL, "helm": {"allowSecrets": True}})) == []


def test_one_role_of_its_own_in_just_those_namespaces() -> None:
    manifests = render(ALLOWED)
    roles = with_secrets(manifests)
    assert [(one["kind"], one["metadata"]["name"], one["metadata"]["namespace"]) for one in roles] == [
        ("Role", "pullback-helm", "shop"), ("Role", "pullback-helm", "releases"),
    ]  # fmt: skip
    for one in roles:
        assert one["rules"] == [{"apiGroups": [""], "resources": ["secrets"],
                                 "verbs": ["get", "list", "create", "patch"]}]  # fmt: skip
        assert one["metadata"]["labels"]["app.kubernetes.io/name"] == "pullback"
    bindings = of(manifests, "RoleBinding", "pullback-helm")
    assert [one["metadata"]["namespace"] for one in bindings] == ["shop", "releases"]
    for one in bindings:
        assert one["roleRef"]["name"] == "pullback-helm"
        assert one["subjects"] == [{"kind": "ServiceAccount", "name": "pullback", "namespace": "pullback"}]


def test_it_allows_what_the_daemon_calls_and_nothing_else() -> None:
    tree = ast.parse((ROOT / "daemon" / "adapters" / "helm.py").read_text())
    called = {
        VERBS[node.func.attr]
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args
        and ast.unparse(node.args[0]) == "SECRETS"
    }  # fmt: skip
    assert called == {"get", "list", "create", "patch"}


@pytest.mark.parametrize(
    "helm", [{"namespaces": ["shop"]}, {"allowSecrets": False, "namespaces": ["shop"]}], ids=["unsaid", "no"]
)
def test_without_consent_the_schema_refuses_namespaces(helm: dict[str, Any]) -> None:
    assert re.search("/helm/namespaces.*maxItems", refusal({**MINIMAL, "helm": helm}), re.DOTALL)


def test_a_release_that_is_configured_and_may_not_be_touched_is_refused() -> None:
    said = 'the release of "shop/web" is in namespace "shop", which is not in helm.namespaces'
    assert said in refusal({**MINIMAL, "config": CONFIGURED})
    elsewhere = {"follow_ups": {"helm": {"shop/web": {"release": "web", "namespace": "gitops"}}}}
    assert 'is in namespace "gitops"' in refusal({**ALLOWED, "config": elsewhere})


def test_where_others_make_the_roles_there_is_none() -> None:
    manifests = render({**ALLOWED, "rbac": {"namespaces": ["shop"], "create": False}})
    assert with_secrets(manifests) == []
    assert "release: web" in the(manifests, "ConfigMap", "pullback")["data"]["pullback.yaml"]


def test_the_notes_say_what_was_allowed() -> None:
    assert "it may read and write every Secret in shop, releases (helm.allowSecrets)" in texts(ALLOWED)["NOTES.txt"]
    assert "Secret in" not in texts(MINIMAL)["NOTES.txt"]
