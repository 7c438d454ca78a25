"""The permissions doctor asks about are those the chart gives: two tables, one truth."""

from __future__ import annotations

from daemon import settings
from daemon.doctor.live import permissions
from tests.chart.test_permissions import DAEMON, DIVERSION, JOBS


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
