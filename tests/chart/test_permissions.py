"""Who may what: the daemon no more than it calls, people no more than their part."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.adapters import traffic
from daemon.adapters.kubernetes import resources
from daemon.adapters.kubernetes.resources import Resource
from tests.chart.rendering import MATRIX, MINIMAL, Manifest, Values, of, render, the
from tests.chart.test_manifests import all_values
from tests.cluster import ROOT

READ = {"get", "list", "watch"}
Permissions = dict[str, set[str]]

# What the daemon calls where canaries are, and by which file.
DAEMON: Permissions = {
    "canaries.flagger.app": READ | {"patch"},  # flagger.py: pauses, used approvals, the nudge
    "virtualservices.networking.istio.io": READ | {"patch"},  # traffic/
    "httproutes.gateway.networking.k8s.io": READ | {"patch"},
    "grpcroutes.gateway.networking.k8s.io": READ | {"patch"},
    "ingresses.networking.k8s.io": READ | {"patch"},
    "destinationrules.networking.istio.io": READ,  # claims.py
    "rollouts.argoproj.io": READ | {"patch"},  # argo_rollouts.py, canary_objects.py
    "rollouts/status.argoproj.io": {"patch"},
    "deployments.apps": READ,  # a watch; evidence/, checks/
    "deployments/scale.apps": {"patch"},  # scaling.py
    "rollbacks.pullback.dev": READ | {"create", "delete"},  # ledger/
    "rollbacks/status.pullback.dev": {"patch"},
    "canaryrevisions.pullback.dev": READ | {"create", "delete"},  # ledger/revisions.py
    "canaryrevisions/status.pullback.dev": {"patch"},
    "horizontalpodautoscalers.autoscaling": {"list", "patch"},  # scaling.py
    "scaledobjects.keda.sh": {"list", "patch"},
    "pods": {"list"},  # evidence/, checks/job_logs.py
    "pods/log": {"get"},
    "events": {"list", "create"},  # evidence/, notify/kubernetes_events.py
    "configmaps": {"get", "create"},  # evidence/, checks/job.py
}
JOBS: Permissions = {"jobs.batch": {"get", "create"}}  # checks/job.py
DIVERSION: Permissions = {"services": {"get", "patch"}}  # second_brake.py

ROUTES = (
    "virtualservices.networking.istio.io", "httproutes.gateway.networking.k8s.io",
    "grpcroutes.gateway.networking.k8s.io", "ingresses.networking.k8s.io", "rollouts.argoproj.io",
)  # fmt: skip
"""Where people's acts stand when there is no Canary."""

PEOPLE: dict[str, Permissions] = {
    "viewer": {"rollbacks.pullback.dev": READ, "canaryrevisions.pullback.dev": READ},
    "operator": {
        "rollbacks.pullback.dev": READ | {"create"},
        "canaryrevisions.pullback.dev": READ,
        "canaries.flagger.app": READ | {"patch"},
        **dict.fromkeys(ROUTES, READ),
        "destinationrules.networking.istio.io": READ,
        "deployments.apps": READ,
    },
    "captain": {
        "rollbacks.pullback.dev": READ | {"create", "patch", "delete"},  # release is a patch
        "canaryrevisions.pullback.dev": READ,
        "canaries.flagger.app": READ | {"patch"},
        **dict.fromkeys(ROUTES, READ | {"patch"}),
        "destinationrules.networking.istio.io": READ,
        "deployments.apps": READ,
    },
}


def allowed(role: Manifest) -> Permissions:
    found: Permissions = {}
    for rule in role["rules"]:
        assert "resourceNames" not in rule
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                found.setdefault(f"{resource}.{group}".rstrip("."), set()).update(rule["verbs"])
    return found


def test_a_role_in_each_namespace_of_the_list_and_nothing_cluster_wide() -> None:
    manifests = render(MINIMAL)
    roles = of(manifests, "Role", "pullback")
    assert [role["metadata"]["namespace"] for role in roles] == ["shop", "checkout"]
    assert [allowed(role) for role in roles] == [DAEMON, DAEMON]
    for binding in of(manifests, "RoleBinding", "pullback"):
        assert binding["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "pullback"}
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "pullback", "namespace": "pullback"}]
    assert len(of(manifests, "RoleBinding", "pullback")) == 2
    assert {role["metadata"]["name"] for role in of(manifests, "ClusterRole")} == {
        "pullback-viewer", "pullback-operator", "pullback-captain",
    }  # fmt: skip
    assert not of(manifests, "ClusterRoleBinding")


def test_a_cluster_role_on_request_and_no_role_but_the_lease() -> None:
    manifests = render(MATRIX["cluster-wide"])
    assert allowed(the(manifests, "ClusterRole", "pullback")) == DAEMON
    binding = the(manifests, "ClusterRoleBinding")
    assert binding["roleRef"]["name"] == "pullback"
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "pullback", "namespace": "pullback"}]
    assert [role["metadata"]["name"] for role in of(manifests, "Role")] == ["pullback-lease"]


def test_jobs_only_where_a_check_runs_them() -> None:
    role = of(render(MATRIX["a check by jobs"]), "Role", "pullback")[0]
    assert allowed(role) == DAEMON | JOBS


def test_services_only_where_the_second_brake_is_on() -> None:
    role = of(render(MATRIX["a second brake"]), "Role", "pullback")[0]
    assert allowed(role) == DAEMON | DIVERSION
    off = {**MINIMAL, "config": {"rollback": {"second_brake": "none"}}}
    assert allowed(of(render(off), "Role", "pullback")[0]) == DAEMON


@pytest.mark.parametrize(
    ("name", "namespace", "lease"),
    [("minimal", "pullback", "pullback"), ("other names", "leases", "brake-leader")],
)
def test_the_lease_of_this_release_and_no_other(name: str, namespace: str, lease: str) -> None:
    manifests = render(MATRIX[name])
    (role,) = [one for one in of(manifests, "Role") if one["metadata"]["name"].endswith("-lease")]
    assert role["metadata"]["namespace"] == namespace
    assert role["rules"] == [
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "resourceNames": [lease],
            "verbs": ["get", "update"],
        },
    ]
    binding = the(manifests, "RoleBinding", role["metadata"]["name"])
    assert binding["metadata"]["namespace"] == namespace
    assert binding["subjects"][0]["namespace"] == "pullback"


@all_values
def test_no_wildcard_no_secrets_no_exec(values: Values) -> None:
    manifests = render(values)
    for role in (*of(manifests, "Role"), *of(manifests, "ClusterRole")):
        for rule in role["rules"]:
            for part in ("apiGroups", "resources", "verbs"):
                assert rule[part]
                assert not [one for one in rule[part] if "*" in one]
            assert not {"secrets", "pods/exec", "pods/attach", "serviceaccounts/token"} & set(rule["resources"])
            assert not {"escalate", "bind", "impersonate", "deletecollection"} & set(rule["verbs"])
            assert "nonResourceURLs" not in rule


def test_people_get_their_part() -> None:
    manifests = render(MINIMAL)
    assert {name: allowed(the(manifests, "ClusterRole", f"pullback-{name}")) for name in PEOPLE} == PEOPLE


@pytest.mark.parametrize(
    ("values", "aggregated"),
    [(MINIMAL, {"viewer": "view"}), (MATRIX["everything"], {"viewer": "view", "operator": "edit", "captain": "admin"})],
)
def test_only_reading_is_aggregated_unless_asked_for(values: Values, aggregated: dict[str, str]) -> None:
    prefix = "rbac.authorization.k8s.io/aggregate-to-"
    found = {}
    for name in PEOPLE:
        labels = the(render(values), "ClusterRole", f"pullback-{name}")["metadata"]["labels"]
        for label, value in labels.items():
            if label.startswith(prefix):
                assert value == "true"
                found[name] = label.removeprefix(prefix)
    assert found == aggregated


def test_where_others_make_the_roles_there_are_none() -> None:
    manifests = render(MATRIX["made by others"])
    assert not [one for one in manifests if "Role" in one["kind"]]


# -- against the code

VERBS = {"get": "get", "list": "list", "watch": "watch", "create": "create", "patch": "patch", "merge": "patch",
         "replace": "update", "delete": "delete"}  # fmt: skip


def calls(path: Path) -> Iterator[tuple[str, str]]:
    """Every call of the Kubernetes client that names its kind: resource and verb."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
            continue
        if not ast.unparse(node.func.value).endswith("client"):
            continue  # a mapping has a get, too
        verb, kind = node.func.attr, node.args[0]
        if verb == "tail":
            yield "pods/log", "get"
        if verb not in VERBS or not isinstance(kind, ast.Name):
            continue
        resource = getattr(resources, kind.id, None)
        if isinstance(resource, Resource):
            inner = [word.value for word in node.keywords if word.arg == "subresource"]
            subresource = f"/{ast.literal_eval(inner[0])}" if inner else ""
            yield f"{resource.plural}{subresource}.{resource.group}".rstrip("."), VERBS[verb]


def test_every_call_of_the_daemon_is_allowed() -> None:
    """What a new adapter calls must be in the chart: it would fail in a real cluster only."""
    may = DAEMON | JOBS | DIVERSION | {"leases.coordination.k8s.io": {"get", "create", "update"}}
    made: Permissions = {}
    for path in (ROOT / "daemon" / "adapters").rglob("*.py"):
        for resource, verb in calls(path):
            made.setdefault(resource, set()).add(verb)
            assert verb in may.get(resource, set()), f"{path.name}: {verb} {resource}"
    # What the reader of this test can see here must still be found by it.
    assert made["rollbacks/status.pullback.dev"] == {"patch"}
    assert made["leases.coordination.k8s.io"] == {"get", "create", "update"}
    assert made["deployments/scale.apps"] == {"patch"}


def test_every_kind_of_route_may_be_seen_and_written() -> None:
    for kind in traffic.discover().values():
        for resource in kind.RESOURCES:
            assert DAEMON[f"{resource.plural}.{resource.group}"] == READ | {"patch"}
