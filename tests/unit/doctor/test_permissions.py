"""The permissions doctor asks about are those the chart gives: two tables, one truth."""

from __future__ import annotations

import yaml

from daemon import settings
from daemon.doctor.live import permissions
from daemon.settings.follow_ups import FollowUps
from tests.chart.test_permissions import DAEMON, DIVERSION, JOBS
from tests.unit.doctor.reading import parsed


def asked(**groups: object) -> dict[str, set[str]]:
    configured = settings.Settings(**groups)  # type: ignore[arg-type]
    return {str(one): set(one.verbs) for one in permissions.needed(configured)}


def test_what_is_asked_about_is_what_the_chart_gives() -> None:
    assert asked() == DAEMON


def test_jobs_only_where_a_check_runs_them() -> None:
    checks = {"j": {"kind": "job", "config_map": "x", "key": "y"}}
    assert asked(gates={"checks": checks}) == DAEMON | JOBS


def test_services_only_where_the_second_brake_is_on() -> None:
    for brake in ("divert", "divert-or-scale"):
        assert asked(rollback={"second_brake": brake}) == DAEMON | DIVERSION
    assert asked(rollback={"second_brake": "none"}) == DAEMON


def test_secrets_only_in_the_namespaces_of_releases() -> None:
    tracked = {"shop/web": {"release": "web"}, "shop/api": {"release": "api", "namespace": "releases"}}
    found = permissions.elsewhere(settings.Settings(follow_ups={"helm": tracked}))  # type: ignore[arg-type]
    assert [(str(need), set(need.verbs), namespace) for need, namespace in found if "secrets" in str(need)] == [
        ("secrets", {"get", "list", "create", "patch"}, "releases"),
        ("secrets", {"get", "list", "create", "patch"}, "shop"),
    ]
    assert not [need for need, _ in permissions.elsewhere(settings.Settings()) if need.resource != "leases"]


def test_what_gitops_controllers_act_by_only_where_routes_name_it_and_it_may_be_stopped() -> None:
    def route(**metadata: dict[str, str]) -> str:
        return yaml.safe_dump({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
                               "metadata": {"name": "x", "namespace": "shop", **metadata}, "spec": {}})  # fmt: skip

    flux = "kustomize.toolkit.fluxcd.io"
    documents = parsed(
        route(labels={f"{flux}/name": "apps", f"{flux}/namespace": "flux-system"}),
        route(labels={"helm.toolkit.fluxcd.io/name": "web", "helm.toolkit.fluxcd.io/namespace": "shop"}),
        route(annotations={"argocd.argoproj.io/tracking-id": "web:networking.istio.io/VirtualService:shop/x"}),
        route(annotations={"argocd.argoproj.io/tracking-id": "teams_web:networking.istio.io/VirtualService:shop/x"}),
        route(),
    )

    def found(**gitops: object) -> set[tuple[str, str]]:
        configured = settings.Settings(follow_ups=FollowUps(**gitops))  # type: ignore[arg-type]
        wanted = permissions.elsewhere(configured, documents)
        assert all(need.verbs == ("get", "patch") for need, _ in wanted if need.resource != "leases")
        return {(str(need), namespace) for need, namespace in wanted if need.resource != "leases"}

    everything = {
        (f"kustomizations.{flux}", "flux-system"), ("helmreleases.helm.toolkit.fluxcd.io", "shop"),
        ("applications.argoproj.io", "argocd"), ("applications.argoproj.io", "teams"),
    }  # fmt: skip
    assert found(gitops="suspend") == everything
    assert found(gitops={"shop/web": "suspend"}) == everything
    assert found(gitops="off") == found(gitops={"shop/web": "off"}) == set()
