"""How the daemon runs: probed, bounded, spread, and with nothing it does not need."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.chart.rendering import EVERYTHING, MATRIX, MINIMAL, Values, container, render, the
from tests.chart.test_manifests import all_values

NEWER = {"config": {"log": {"level": "debug"}}}


def pod(values: Values) -> dict[str, Any]:
    found = the(render(values), "Deployment")["spec"]["template"]["spec"]
    assert isinstance(found, dict)
    return found


@all_values
def test_it_may_nothing_it_does_not_need(values: Values) -> None:
    security = pod(values)["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert security.get("runAsUser", 1) > 0
    assert container(render(values))["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        assert name not in pod(values)
    assert not [volume for volume in pod(values)["volumes"] if "hostPath" in volume]
    writable = [one["mountPath"] for one in container(render(values))["volumeMounts"] if not one.get("readOnly")]
    assert writable == ["/tmp"]  # noqa: S108 - the pod's own


def test_any_uid_will_do() -> None:
    assert "runAsUser" not in pod(MINIMAL)["securityContext"]
    assert pod(EVERYTHING)["securityContext"]["runAsUser"] == 1001
    for volume in pod(MATRIX["TLS"])["volumes"]:
        mode = (volume.get("projected") or volume.get("secret") or {}).get("defaultMode", 0o444)
        assert mode == 0o444


@all_values
def test_the_kubelet_asks_and_is_answered_in_time(values: Values) -> None:
    daemon = container(render(values))
    (port,) = daemon["ports"]
    assert (port["name"], port["containerPort"]) == ("http", 8080)
    for name, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        probe = daemon[name]
        assert probe["timeoutSeconds"] >= 2
        if "httpGet" in probe:
            assert (probe["httpGet"]["path"], probe["httpGet"]["port"]) == (path, "http")
        else:
            assert (values, probe["tcpSocket"]["port"]) == (MATRIX["mTLS"], "http")
    assert daemon["startupProbe"]["failureThreshold"] * daemon["startupProbe"]["periodSeconds"] >= 60
    # A replica that no longer sees leaves the Service within a quarter of the rollback's time.
    assert daemon["readinessProbe"]["failureThreshold"] * daemon["readinessProbe"]["periodSeconds"] <= 30


@pytest.mark.parametrize(("name", "scheme"), [("minimal", "HTTP"), ("TLS", "HTTPS")])
def test_probes_speak_what_the_port_speaks(name: str, scheme: str) -> None:
    daemon = container(render(MATRIX[name]))
    assert {daemon[probe]["httpGet"]["scheme"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")} == {
        scheme
    }


@all_values
def test_memory_is_bounded_and_the_processor_is_not(values: Values) -> None:
    resources = container(render(values))["resources"]
    assert set(resources["requests"]) == {"cpu", "memory"}
    assert set(resources["limits"]) == {"memory"}


@all_values
def test_replicas_keep_apart_but_start_where_they_cannot(values: Values) -> None:
    spec = pod(values)
    assert set(spec["affinity"]["podAntiAffinity"]) == {"preferredDuringSchedulingIgnoredDuringExecution"}
    constraints = spec["topologySpreadConstraints"]
    assert [one["topologyKey"] for one in constraints] == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
    assert {one["whenUnsatisfiable"] for one in constraints} == {"ScheduleAnyway"}
    labels = the(render(values), "Deployment")["spec"]["template"]["metadata"]["labels"]
    for one in constraints:
        assert one["labelSelector"]["matchLabels"].items() <= labels.items()


def test_two_replicas_and_never_one_less_while_rolling() -> None:
    spec = the(render(MINIMAL), "Deployment")["spec"]
    assert spec["replicas"] == 2
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}


@pytest.mark.parametrize(
    ("lifecycle", "seconds"),
    [({}, 5 + 5), ({"linger": "7500ms", "drain": 4}, 8 + 4), ({"linger": 0, "drain": "1m"}, 60), ({"drain": 0.5}, 6)],
)
def test_the_grace_period_outlasts_linger_and_drain(lifecycle: dict[str, Any], seconds: int) -> None:
    grace = pod({**MINIMAL, "config": {"lifecycle": lifecycle}})["terminationGracePeriodSeconds"]
    assert grace == math.ceil(seconds) + 20


def test_the_token_is_this_pods_and_service_links_are_off() -> None:
    assert the(render(MINIMAL), "ServiceAccount")["automountServiceAccountToken"] is False
    assert pod(MINIMAL)["automountServiceAccountToken"] is True
    # PULLBACK_PORT=tcp://... and the like of a Service called pullback have the prefix of our settings.
    assert pod(MINIMAL)["enableServiceLinks"] is False
    assert pod(MATRIX["other names"])["serviceAccountName"] == "brakeman"


def test_a_changed_configuration_restarts_the_pods_and_nothing_else_does() -> None:
    def checksum(values: Values) -> str:
        found = the(render(values), "Deployment")["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
        assert isinstance(found, str)
        return found

    assert checksum(MINIMAL) == checksum({**MINIMAL, "replicas": 3, "podLabels": {"a": "b"}})
    assert checksum(MINIMAL) != checksum({**MINIMAL, **NEWER})


def test_what_is_given_for_pods_is_there() -> None:
    spec, template = pod(EVERYTHING), the(render(EVERYTHING), "Deployment")["spec"]["template"]
    assert spec["priorityClassName"] == "system-cluster-critical"
    assert spec["imagePullSecrets"] == [{"name": "r"}]
    assert spec["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert spec["tolerations"] == [{"key": "dedicated", "operator": "Exists"}]
    assert template["metadata"]["labels"]["team"] == "sre"
    assert template["metadata"]["annotations"]["a"] == "b"
    daemon = container(render(EVERYTHING))
    assert {"name": "PULLBACK_LOG__LEVEL", "value": "debug"} in daemon["env"]
    assert daemon["image"] == f"registry.example/pullback@sha256:{'0' * 64}"
    assert container(render(MINIMAL))["image"] == "pullback:0.1.0"
    assert container(render({**MINIMAL, "image": {"tag": "dev"}}))["image"] == "pullback:dev"


def test_what_is_given_instead_of_the_spreading_is_there_instead() -> None:
    affinity: dict[str, Any] = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}
    spread = [{"topologyKey": "rack", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}]
    spec = pod({**MINIMAL, "affinity": affinity, "topologySpreadConstraints": spread})
    assert (spec["affinity"], spec["topologySpreadConstraints"]) == (affinity, spread)


def test_a_label_of_its_own_is_no_selector() -> None:
    labels = the(render({**MINIMAL, "podLabels": {"app.kubernetes.io/name": "x"}}), "Deployment")
    assert labels["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"] == "pullback"
