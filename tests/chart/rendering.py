"""The chart with given values, as the objects an API server would get."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import ROOT

CHART = ROOT / "helm" / "pullback"

Values = Mapping[str, Any]
Manifest = dict[str, Any]

MINIMAL: Values = {"rbac": {"namespaces": ["shop", "checkout"]}}

SLACK = "/etc/pullback/secrets/slack-token"

EVERYTHING: Values = {
    **MINIMAL,
    "replicas": 3,
    "priorityClassName": "system-cluster-critical",
    "runAsUser": 1001,
    "image": {
        "repository": "registry.example/pullback",
        "digest": f"sha256:{'0' * 64}",
        "pullSecrets": [{"name": "r"}],
    },
    "config": {
        "web": {"body_limit": 10_485_760},
        "policy": {"rules": [{"match": ['severity=~"critical|page"'], "act": "rollback"}]},
        "notices": {"channels": {"team": {"kind": "slack", "token_file": SLACK, "channel": "C0123456789"}}},
        "pull": {"alertmanager_urls": ["http://alertmanager-operated.monitoring:9093"]},
        "lifecycle": {"linger": "7500ms", "drain": 4},
    },
    "secrets": {
        "alertmanager": {"bearerTokens": [{"secretName": "am", "key": "new"}, {"secretName": "am", "key": "old"}]},
        "console": {"passwords": [{"secretName": "console", "key": "password"}]},
    },
    "secretFiles": [{"name": "slack-token", "secretName": "slack", "key": "token"}],
    "extraEnv": [{"name": "PULLBACK_LOG__LEVEL", "value": "debug"}],
    "extraVolumes": [{"name": "authorities", "configMap": {"name": "authorities"}}],
    "extraVolumeMounts": [{"name": "authorities", "mountPath": "/etc/authorities", "readOnly": True}],
    "podAnnotations": {"a": "b"},
    "podLabels": {"team": "sre"},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "dedicated", "operator": "Exists"}],
    "service": {"annotations": {"a": "b"}},
    "serviceAccount": {"annotations": {"a": "b"}},
    "networkPolicy": {"enabled": True},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
    "alertmanagerConfig": {"enabled": True, "labels": {"release": "prometheus"}},
    "drill": {"enabled": True, "namespace": "checkout", "alertmanagerUrls": ["http://a:9093", "http://b:9093"]},
    "people": {
        "operator": {"aggregateToEdit": True},
        "captain": {"aggregateToAdmin": True},
        "approvalPolicy": {"enabled": True, "users": ["root@example.com"], "groups": ["captains"]},
    },
}

MATRIX: Mapping[str, Values] = {
    "minimal": MINIMAL,
    "cluster-wide": {"rbac": {"clusterWide": True}},
    "cluster-wide, but watching one namespace": {
        "rbac": {"clusterWide": True},
        "config": {"kubernetes": {"namespaces": ["shop"]}},
    },
    "everything": EVERYTHING,
    "everything, cluster-wide": {**EVERYTHING, "rbac": {"clusterWide": True}},
    "a second brake": {**MINIMAL, "config": {"rollback": {"second_brake": "divert"}}},
    "a check by jobs": {
        **MINIMAL,
        "config": {
            "gates": {
                "checks": {"smoke": {"kind": "job", "config_map": "smoke"}},
                "profiles": {"default": {"pre_rollout": ["smoke"]}},
            }
        },
    },
    "TLS": {**MINIMAL, "tls": {"secretName": "pullback-tls"}, "serviceMonitor": {"enabled": True}},
    "mTLS": {
        **MINIMAL,
        "tls": {"secretName": "pullback-tls"},
        "config": {"web": {"tls": {"client_ca_file": "/etc/pullback/tls/ca.crt"}}},
    },
    "a mesh authenticates": {
        **MINIMAL,
        "secrets": {
            "alertmanager": {"bearerTokens": [], "passwords": []},
            "flagger": {"bearerTokens": [], "passwords": []},
        },
        "config": {"web": {"alertmanager": {"allow_anonymous": True}, "flagger": {"allow_anonymous": True}}},
    },
    "other names": {
        **MINIMAL,
        "fullnameOverride": "brake",
        "serviceAccount": {"create": False, "name": "brakeman"},
        "service": {"port": 9000, "hookPort": 0},
        "config": {"lease": {"namespace": "leases", "name": "brake-leader"}},
    },
    "made by others": {
        **MINIMAL,
        "rbac": {"namespaces": ["shop"], "create": False},
        "people": {"create": False},
        "podDisruptionBudget": {"enabled": False},
        "alertmanagerSnippet": {"enabled": False},
        "replicas": 1,
    },
}


def texts(
    values: Values, *, name: str = "pullback", namespace: str = "pullback", chart: Path = CHART
) -> dict[str, str]:
    """What each template says, by its file's name; those that say nothing are left out."""
    # Here, so that collecting the tests of other rings loads no engine of 85 MB.
    import helm_python  # noqa: PLC0415

    with helm_python.Chart.load(chart) as loaded:
        loaded.validate_schema(dict(values))
        found = loaded.render(dict(values), name=name, namespace=namespace)
    return {path.rpartition("/")[2]: text for path, text in found.items() if text.strip()}


def render(
    values: Values, *, name: str = "pullback", namespace: str = "pullback", chart: Path = CHART
) -> list[Manifest]:
    """Every object, in the order of the templates' names."""
    if chart == CHART:
        found: list[Manifest] = json.loads(_rendered(json.dumps(values), name, namespace))
        return found
    return _parsed(texts(values, name=name, namespace=namespace, chart=chart))


@functools.cache
def _rendered(values: str, name: str, namespace: str) -> str:
    # A text, so that no test can change what another one gets.
    return json.dumps(_parsed(texts(json.loads(values), name=name, namespace=namespace)))


def _parsed(found: Mapping[str, str]) -> list[Manifest]:
    manifests = []
    for file, text in sorted(found.items()):
        if file.endswith(".yaml"):
            manifests += [document for document in yaml.safe_load_all(text) if document is not None]
    return manifests


def of(manifests: list[Manifest], kind: str, name: str | None = None) -> list[Manifest]:
    """Those of a kind, and of a name."""
    return [
        one for one in manifests if one["kind"] == kind and (name is None or one["metadata"]["name"] == name)
    ]  # fmt: skip


def the(manifests: list[Manifest], kind: str, name: str | None = None) -> Manifest:
    """The only one."""
    (found,) = of(manifests, kind, name)
    return found


def container(manifests: list[Manifest]) -> Manifest:
    """The daemon's."""
    (found,) = the(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def refusal(values: Values, *, name: str = "pullback") -> str:
    """Why these values are refused."""
    import helm_python  # noqa: PLC0415

    try:
        texts(values, name=name)
    except helm_python.HelmError as error:
        return str(error)
    raise AssertionError(f"expected these values to be refused: {values}")
