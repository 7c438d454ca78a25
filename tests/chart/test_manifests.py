"""What is true of every object, whatever the values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.chart.rendering import EVERYTHING, MATRIX, MINIMAL, Manifest, Values, of, render, texts, the

CLUSTER_SCOPED = {
    "ClusterRole", "ClusterRoleBinding", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
}  # fmt: skip

KINDS = {
    "AlertmanagerConfig": "monitoring.coreos.com/v1alpha1",
    "ClusterRole": "rbac.authorization.k8s.io/v1",
    "ClusterRoleBinding": "rbac.authorization.k8s.io/v1",
    "ConfigMap": "v1",
    "CronJob": "batch/v1",
    "Deployment": "apps/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "PodDisruptionBudget": "policy/v1",
    "PrometheusRule": "monitoring.coreos.com/v1",
    "Role": "rbac.authorization.k8s.io/v1",
    "RoleBinding": "rbac.authorization.k8s.io/v1",
    "Service": "v1",
    "ServiceAccount": "v1",
    "ServiceMonitor": "monitoring.coreos.com/v1",
    "ValidatingAdmissionPolicy": "admissionregistration.k8s.io/v1",
    "ValidatingAdmissionPolicyBinding": "admissionregistration.k8s.io/v1",
}

all_values = pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)


@all_values
def test_every_manifest_is_a_known_kind_with_a_name_and_labels(values: Values) -> None:
    seen = set()
    for one in render(values):
        metadata = one["metadata"]
        assert one["apiVersion"] == KINDS[one["kind"]]
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?", metadata["name"])
        assert ("namespace" in metadata) == (one["kind"] not in CLUSTER_SCOPED)
        labels = metadata["labels"]
        assert labels["app.kubernetes.io/name"] == "pullback"
        assert labels["app.kubernetes.io/instance"] == "pullback"
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert labels["app.kubernetes.io/version"] == "0.1.0"
        identity = (one["kind"], metadata.get("namespace"), metadata["name"])
        assert identity not in seen
        seen.add(identity)
        assert not [path for path, value in _leaves(one) if value is None], "a key without a value"


@all_values
def test_rendered_twice_it_is_the_same_to_the_letter(values: Values) -> None:
    assert texts(values) == texts(values)


def test_all_kinds_are_rendered_somewhere() -> None:
    assert {one["kind"] for values in MATRIX.values() for one in render(values)} == set(KINDS)


@all_values
def test_no_secret_is_made_and_none_is_told(values: Values) -> None:
    manifests = render(values)
    assert not of(manifests, "Secret")
    container = the(manifests, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    assert "envFrom" not in container
    assert not [entry for entry in container["env"] if "valueFrom" in entry]


@all_values
def test_an_upgrade_changes_no_selector(values: Values) -> None:
    selector = {"app.kubernetes.io/name": "pullback", "app.kubernetes.io/instance": "pullback"}
    manifests = render(values)
    deployment = the(manifests, "Deployment")
    assert deployment["spec"]["selector"] == {"matchLabels": selector}
    assert selector.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    assert the(manifests, "Service")["spec"]["selector"] == selector
    for budget in of(manifests, "PodDisruptionBudget"):
        assert budget["spec"]["selector"] == {"matchLabels": selector}


@pytest.mark.parametrize("name", ["pullback", "my-pullback", "r", "a" * 53])
def test_names_fit_and_the_release_is_in_them(name: str) -> None:
    manifests = render(EVERYTHING, name=name)
    deployment = the(manifests, "Deployment")["metadata"]["name"]
    assert deployment.startswith(name[:44])
    assert all(len(one["metadata"]["name"]) <= 63 for one in manifests)
    assert the(manifests, "Service")["metadata"]["name"] == deployment


def test_two_releases_share_nothing() -> None:
    def identities(name: str) -> set[tuple[str, str, str]]:
        return {
            (one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"])
            for one in render(EVERYTHING, name=name)
        }

    assert not identities("one") & identities("two")


def test_everything_is_in_the_release_namespace_but_the_roles_where_it_acts() -> None:
    elsewhere = {
        (one["kind"], one["metadata"]["namespace"])
        for one in render(EVERYTHING, namespace="ops")
        if one["metadata"].get("namespace", "ops") != "ops"
    }
    assert elsewhere == {(kind, where) for kind in ("Role", "RoleBinding") for where in ("shop", "checkout")}


def test_the_service_leads_to_the_pods_on_both_ports() -> None:
    service = the(render(MINIMAL), "Service")["spec"]
    assert [(port["port"], port["targetPort"]) for port in service["ports"]] == [(8080, "http"), (80, "http")]
    (only,) = the(render(MATRIX["other names"]), "Service")["spec"]["ports"]
    assert (only["port"], only["targetPort"]) == (9000, "http")


def test_a_budget_leaves_somebody_to_answer() -> None:
    budget = the(render(MINIMAL), "PodDisruptionBudget")["spec"]
    assert (budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")


def test_prometheus_scrapes_what_the_service_names() -> None:
    manifests = render(EVERYTHING)
    monitor = the(manifests, "ServiceMonitor")
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["port"] in {port["name"] for port in the(manifests, "Service")["spec"]["ports"]}
    assert (endpoint["path"], endpoint["scheme"]) == ("/metrics", "http")
    assert endpoint["honorLabels"] is True, "or the canary's namespace becomes exported_namespace"
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["spec"]["selector"]["matchLabels"].items() <= the(manifests, "Service")["metadata"]["labels"].items()
    (secured,) = the(render(MATRIX["TLS"]), "ServiceMonitor")["spec"]["endpoints"]
    assert (secured["scheme"], secured["tlsConfig"]["serverName"]) == ("https", "pullback.pullback.svc")


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}/{key}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _leaves(inner, f"{path}/{number}")
    else:
        yield path, value


def test_leaves_are_found() -> None:
    document: Manifest = {"a": [{"b": None}], "c": 1}
    assert list(_leaves(document)) == [("/a/0/b", None), ("/c", 1)]
