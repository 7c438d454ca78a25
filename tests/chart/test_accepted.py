"""Kubernetes takes what is rendered: every field is one that its API has, and a real API server says so too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes_asyncio.client import models

from tests.chart.rendering import MATRIX, Manifest, Values, render
from tests.chart.test_manifests import CLUSTER_SCOPED
from tests.cluster import Cluster

PLURALS = {"NetworkPolicy": "networkpolicies", "ValidatingAdmissionPolicy": "validatingadmissionpolicies"}
"""Of those that are more than the kind and an s."""
PLAIN: dict[str, tuple[type, ...]] = {"int": (int,), "str": (str,), "bool": (bool,), "float": (int, float)}


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)
def test_every_field_is_one_of_the_kubernetes_api(values: Values) -> None:
    for manifest in render(values):
        if manifest["apiVersion"].startswith("monitoring.coreos.com/"):
            continue
        model = f"V1{manifest['kind']}"
        assert hasattr(models, model)
        assert not list(_unknown(manifest, model, manifest["kind"]))


def test_an_unknown_or_mistyped_field_would_be_seen() -> None:
    wrong = {"spec": {"replicas": "two", "template": {"spec": {"containers": [{"imagePullPolice": "Always"}]}}}}
    assert list(_unknown(wrong, "V1Deployment", "Deployment")) == [
        "Deployment.spec.replicas: expected int, got 'two'",
        "Deployment.spec.template.spec.containers.imagePullPolice",
    ]


async def test_a_dry_run_creates_everything(cluster: Cluster, namespace: str) -> None:
    if cluster.emulator is not None:
        pytest.skip("needs a real kube-apiserver: KUBEBUILDER_ASSETS names a folder with etcd and kube-apiserver")
    refused, seen = [], set()
    async with cluster.session() as http:
        for name, values in MATRIX.items():
            for manifest in render(values, namespace=namespace):
                if "namespace" in manifest["metadata"]:
                    manifest["metadata"]["namespace"] = namespace
                query = {"dryRun": "All", "fieldValidation": "Strict"}
                async with http.post(_collection(manifest), json=manifest, params=query) as response:
                    if response.status == 404:
                        continue  # the operator's kinds are not installed
                    seen.add(manifest["kind"])
                    if response.status != 201:
                        refused.append(f"{name}: {manifest['kind']}: {await response.text()}")
    assert not refused
    assert {"Deployment", "Role", "ClusterRole", "NetworkPolicy", "ValidatingAdmissionPolicy"} <= seen


def _unknown(value: Any, expected: str, path: str) -> Iterator[str]:
    """Fields that the client made from Kubernetes' own description does not know, or knows as something else."""
    inner = re.fullmatch(r"(?:list|dict\(str, |dict\[str, )\[?(.+?)[\])]", expected)
    if inner:
        for one in value.values() if isinstance(value, dict) else value:
            yield from _unknown(one, inner[1], path)
    elif hasattr(models, expected):
        model = getattr(models, expected)
        fields = {name: model.openapi_types[key] for key, name in model.attribute_map.items()}
        for name, one in value.items():
            if name in fields:
                yield from _unknown(one, fields[name], f"{path}.{name}")
            else:
                yield f"{path}.{name}"
    elif expected in PLAIN and not isinstance(value, PLAIN[expected]):
        yield f"{path}: expected {expected}, got {value!r}"


def _collection(manifest: Manifest) -> str:
    version, kind = manifest["apiVersion"], manifest["kind"]
    plural = PLURALS.get(kind, f"{kind.lower()}s")
    where = "" if kind in CLUSTER_SCOPED else f"/namespaces/{manifest['metadata']['namespace']}"
    return f"/{'apis' if '/' in version else 'api'}/{version}{where}/{plural}"
