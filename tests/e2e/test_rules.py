"""The shipped rules by themselves: promtool's own tests, and what must be true of every one of them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from daemon.model.rules import Matcher
from daemon.sandbox.packages import AlertingBinaries
from daemon.sandbox.prometheus import write_rules
from tests.neighbours import ALERTMANAGER_CONFIG, CHECKOUT

pytestmark = pytest.mark.e2e

RULES = sorted((CHECKOUT / "config" / "prometheus").glob("*.yaml"))
CASES = sorted((CHECKOUT / "tests" / "data" / "prometheus").glob("*_test.yaml"))
RUNBOOK = CHECKOUT / "docs" / "runbook.md"
ABOUT_CANARIES = ("application-rules", "business-rules", "canary-rules")


def alerts(*stems: str) -> Iterator[dict[str, Any]]:
    """Every alert of the files with these names, or of all."""
    for path in RULES:
        if not stems or path.stem in stems:
            for group in yaml.safe_load(path.read_text("utf-8"))["groups"]:
                yield from (rule for rule in group["rules"] if "alert" in rule)


def run(*argv: str | Path) -> str:
    done = subprocess.run(list(map(str, argv)), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_promtool_accepts_every_file_as_shipped_and_as_shortened(
    alerting_binaries: AlertingBinaries, tmp_path: Path
) -> None:
    run(alerting_binaries.promtool, "check", "rules", *RULES)
    run(alerting_binaries.promtool, "check", "rules", *write_rules(RULES, tmp_path, 1.0))


@pytest.mark.parametrize("cases", CASES, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_only_then(alerting_binaries: AlertingBinaries, cases: Path) -> None:
    assert "SUCCESS" in run(alerting_binaries.promtool, "test", "rules", cases)


@pytest.mark.parametrize(
    "cases", [path for path in CASES if path.stem != "pullback_rules_test"], ids=lambda path: path.stem
)
def test_every_case_is_the_same_under_the_names_of_a_release_without_flagger(
    alerting_binaries: AlertingBinaries, cases: Path, tmp_path: Path
) -> None:
    """NAME-canary beside NAME-stable, for NAME beside NAME-primary."""
    text = re.sub(r"\b(podinfo|cart)-primary\b", r"\1-stable", cases.read_text("utf-8"))
    text = re.sub(r"\b(podinfo|cart)\b(?!-stable)", r"\1-canary", text)
    document = yaml.safe_load(text)
    document["rule_files"] = [str((cases.parent / file).resolve()) for file in document["rule_files"]]
    path = tmp_path / "renamed_test.yaml"
    path.write_text(yaml.safe_dump(document), "utf-8")
    assert "workload: podinfo-canary" in path.read_text("utf-8")
    assert "SUCCESS" in run(alerting_binaries.promtool, "test", "rules", path)


def test_every_alert_is_seen_firing_in_some_case_with_all_its_words() -> None:
    told: set[tuple[str, str]] = set()
    for path in CASES:
        document = yaml.safe_load(path.read_text("utf-8"))
        for case in document["tests"]:
            for check in case["alert_rule_test"]:
                if check["exp_alerts"]:
                    told |= {(check["alertname"], Path(file).stem) for file in document["rule_files"]}
    for path in RULES:
        for alert in alerts(path.stem):
            assert (alert["alert"], path.stem) in told


def test_every_alert_has_a_section_in_the_runbook_and_every_section_an_alert() -> None:
    headings = set(re.findall(r"^## (\w+)$", RUNBOOK.read_text("utf-8"), re.MULTILINE))
    found = {alert["alert"] for alert in alerts()}
    assert headings == found
    for alert in alerts():
        assert alert["annotations"]["runbook"] == f"docs/{RUNBOOK.name}#{alert['alert'].lower()}"


def test_alerts_about_canaries_can_be_told_from_those_about_pullback_by_name_and_severity() -> None:
    for alert in alerts(*ABOUT_CANARIES):
        assert alert["alert"].startswith("Canary")
        assert alert["labels"]["severity"] in {"critical", "warning"}
        assert {"summary", "description", "value", "threshold"} <= alert["annotations"].keys()
    for alert in alerts("pullback-rules"):
        assert alert["alert"].startswith("Pullback")
        assert alert["labels"]["severity"] in {"page", "ticket"}


def test_no_alert_about_pullback_can_do_anything_to_a_canary() -> None:
    """Should somebody route everything to Pullback."""
    policy = yaml.safe_load((CHECKOUT / "config" / "pullback.yaml").read_text("utf-8"))["policy"]["rules"]
    matchers = [Matcher.parse(text) for rule in policy for text in rule["match"]]
    for alert in alerts("pullback-rules"):
        assert not any(matcher.matches({"alertname": alert["alert"], **alert["labels"]}) for matcher in matchers)


@pytest.mark.parametrize("alert", [alert["alert"] for alert in alerts()])
def test_only_what_is_about_canaries_and_the_watchdog_is_routed_to_pullback(
    alerting_binaries: AlertingBinaries, alert: str
) -> None:
    config = f"--config.file={ALERTMANAGER_CONFIG}"
    out = run(alerting_binaries.amtool, "config", "routes", "test", config, f"alertname={alert}")
    expected = "pullback" if alert.startswith("Canary") else "nobody"
    assert out.split()[0] == ("pullback-watchdog" if alert == "Watchdog" else expected)
