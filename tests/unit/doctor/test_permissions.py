"""The permissions doctor asks about are those the chart gives: two tables, one truth."""

from __future__ import annotations

from daemon import settings
from daemon.doctor.live import permissions
from tests.chart.test_permissions import DAEMON, JOBS


def asked(**groups: object) -> dict[str, set[str]]:
    configured = settings.Settings(**groups)  # type: ignore[arg-type]
    return {str(one): set(one.verbs) for one in permissions.needed(configured)}


def test_what_is_asked_about_is_what_the_chart_gives() -> None:
    assert asked() == DAEMON


def test_jobs_only_where_a_check_runs_them() -> None:
    checks = {"j": {"kind": "job", "config_map": "x", "key": "y"}}
    assert asked(gates={"checks": checks}) == DAEMON | JOBS
