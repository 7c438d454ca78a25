"""What the configuration may say about checks, and how it is told what it got wrong."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from daemon.adapters import checks
from daemon.model import errors
from tests.checks import surrounded

KINDS = "expected one of alerts, http, image, job, promql, signature, workflow"


@pytest.fixture
def cosign(tmp_path: Path) -> Path:
    program = tmp_path / "cosign"
    program.write_text("#!/bin/sh\nexit 0\n", "utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


def entries(cosign: Path) -> dict[str, dict[str, Any]]:
    """The least that each kind needs."""
    return {
        "http": {"kind": "http"},
        "promql": {"kind": "promql", "query": "up", "min": 1, "url": "http://prometheus.example"},
        "job": {"kind": "job", "config_map": "smoke"},
        "image": {"kind": "image"},
        "signature": {"kind": "signature", "issuer": "https://x.example", "identity": "a@b.example",
                      "cosign": str(cosign)},
        "workflow": {"kind": "workflow", "repo": "acme/podinfo", "check": "gate", "commit": {"label": "commit"}},
        "alerts": {"kind": "alerts"},
    }  # fmt: skip


def told(configured: Any) -> str:
    with pytest.raises(errors.ConfigurationError) as caught:
        checks.check(configured)
    return str(caught.value)


def test_what_is_needed_is_enough(cosign: Path) -> None:
    checks.check(entries(cosign))
    checks.check({})


def test_there_is_one_file_for_every_kind(cosign: Path) -> None:
    assert set(checks.discover()) == set(entries(cosign))


class Nothing:
    async def firing(self) -> Any:
        raise AssertionError


async def test_every_kind_can_be_built_and_keeps_the_promise(cosign: Path) -> None:
    async with surrounded(firing=Nothing()) as surroundings:
        built = checks.build(entries(cosign), surroundings)
    assert {name for name, check in built.items() if not check.once} == {"promql", "alerts"}
    assert all(check.timeout > 0 for check in built.values())


async def test_what_the_surroundings_lack_is_named(cosign: Path) -> None:
    configured = {**entries(cosign), "rate": {"kind": "promql", "query": "up", "min": 1}}
    async with surrounded() as surroundings:
        with pytest.raises(errors.ConfigurationError) as caught:
            checks.build(configured, surroundings)
    assert [line.strip() for line in str(caught.value).splitlines()] == [
        "gates.checks.alerts.kind: alerts needs an Alertmanager to ask, and none is configured",
        "gates.checks.rate.url: expected a URL, since no Prometheus is configured",
    ]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"kind": "smoke"}, f"gates.checks.it.kind: {KINDS}, got 'smoke'"),
        ({}, f"gates.checks.it.kind: {KINDS}"),
        ([], "gates.checks.it: expected kind and its options, got list"),
        ({"kind": "promql", "min": 1}, "gates.checks.it.query: Field required"),
        ({"kind": "promql", "query": "up"}, "gates.checks.it.kind: expected min, max or ratio"),
        ({"kind": "promql", "query": "up", "min": 1, "stable": "up"}, "kind: expected stable and ratio together"),
        ({"kind": "promql", "query": "up", "stable": "up", "ratio": {}}, "gates.checks.it.ratio: expected min, max or"),
        ({"kind": "promql", "query": "up{a=~'b$'}", "min": 1}, "query: a $ that stands for itself must be written $$"),
        ({"kind": "promql", "query": "up{x='$alertname'}", "min": 1}, "query: unknown field $alertname; expected some"),
        ({"kind": "promql", "query": "up", "min": 1, "too_few": "shrug"}, "gates.checks.it.too_few: "),
        ({"kind": "http", "jsn": 1}, "gates.checks.it.jsn: no such option; expected some of: bearer_token_file, body,"),
        ({"kind": "http", "url": "$service/x"}, "gates.checks.it.url: expected an http or https URL"),
        ({"kind": "http", "status": "2x"}, "status: expected a status such as 200, 2xx or 200-204, got '2x'"),
        ({"kind": "http", "status": []}, "gates.checks.it.status: expected at least one status"),
        ({"kind": "http", "status": "300-200"}, "status: expected the lower status first"),
        ({"kind": "http", "matches": "("}, "gates.checks.it.matches: "),
        ({"kind": "http", "matches": "(a+)+b"}, "gates.checks.it.matches: may take for ever"),
        ({"kind": "http", "body": {"a": ["$x"]}}, "gates.checks.it.body: unknown field $x"),
        ({"kind": "http", "method": "HEAD", "contains": "x"}, "gates.checks.it.kind: HEAD has no body"),
        ({"kind": "http", "timeout": "soon"}, "gates.checks.it.timeout: expected a duration such as 10s"),
        ({"kind": "http", "timeout": 0}, "gates.checks.it.timeout: "),
        ({"kind": "http", "ca_file": "/nowhere"}, "gates.checks.it.ca_file: /nowhere: expected a readable file"),
        ({"kind": "http", "bearer_token_file": "/nowhere"}, "gates.checks.it.bearer_token_file: /nowhere: expected"),
        ({"kind": "job"}, "gates.checks.it.config_map: Field required"),
        ({"kind": "job", "config_map": "../x"}, "gates.checks.it.config_map: "),
        ({"kind": "alerts", "match": ["severity"]}, "gates.checks.it.match.0: 'severity' is not a matcher"),
        ({"kind": "image", "docker_config": "/nowhere"}, "gates.checks.it.docker_config: /nowhere: expected a docker"),
        ({"kind": "signature", "cosign": "/no/cosign", "issuer": "x", "identity": "y"},
         "cosign: /no/cosign: no such program; install cosign into the image, or let a check of kind job run it"),
        ({"kind": "workflow", "repo": "acme", "check": "x", "commit": {"label": "x"}}, "gates.checks.it.repo: "),
        ({"kind": "workflow", "repo": "a/b", "check": [], "commit": {"label": "x"}}, "gates.checks.it.check: "),
        ({"kind": "workflow", "repo": "a/b", "check": "x", "commit": {}},
         "gates.checks.it.commit: expected exactly one of label, annotation, image_label"),
        ({"kind": "workflow", "repo": "a/b", "check": "x", "commit": {"branch": "main"}},
         "gates.checks.it.commit.branch: no such option"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(entry: Any, expected: str) -> None:
    assert expected in told({"it": entry})


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "expected key, or issuer and identity"),
        ({"issuer": "x"}, "expected exactly one of identity, identity_regexp"),
        ({"issuer": "x", "identity": "a", "identity_regexp": "b"}, "expected exactly one of identity, identity_regexp"),
        ({"key": "/nowhere"}, "expected a readable file with a public key"),
    ],
)
def test_a_signature_needs_to_be_somebodys(options: dict[str, Any], expected: str, cosign: Path) -> None:
    assert expected in told({"it": {"kind": "signature", "cosign": str(cosign), **options}})


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{", "expected a docker config.json with auths"),
        ("{}", "it has no auths"),
        ('{"auths": {"a.example": 1}}', "a.example: expected an object"),
        ('{"auths": {"a.example": {"auth": "aHVzaA=="}}}', "a.example: auth is not base64 of name:password"),
        ('{"auths": {"a.example": {"auth": "%hush"}}}', "a.example: auth is not base64 of name:password"),
    ],
)
def test_credentials_that_cannot_be_used_are_found_out_and_not_shown(
    content: str, expected: str, tmp_path: Path
) -> None:
    path = tmp_path / "config.json"
    path.write_text(content, "utf-8")
    said = told({"it": {"kind": "image", "docker_config": str(path)}})
    assert expected in said
    assert "hush" not in said
    assert "aHVz" not in said


@pytest.mark.parametrize(
    "entry",
    [
        {"kind": "http", "status": [200, "3xx", "404-410"], "json": {"a.0.b": None}, "contains": ["x", "y"]},
        {"kind": "http", "url": "https://${canary_service}.$namespace:8443/v/$revision?w=$weight", "body": "a $$ b"},
        {"kind": "promql", "query": 'x{a=~"$workload-.*$$"}', "max": 0.5, "sample": {"query": "n", "min": 100}},
        {"kind": "promql", "query": "x", "stable": "y", "ratio": {"max": 1.5, "floor": 0.01}, "once": True},
        {"kind": "alerts", "match": ['namespace="$namespace"', 'severity=~"crit.*"'], "timeout": "2s"},
        {"kind": "job", "config_map": "smoke", "key": "load.yaml", "per_weight": True, "timeout": "1h"},
    ],
)
def test_a_good_entry_is_taken(entry: Any) -> None:
    checks.check({"it": entry})


def test_docker_configs_of_every_shape(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    auths = {"https://index.docker.io/v1/": {"auth": "dTpw"}, "ghcr.io": {"username": "a", "password": "b"}, "x.io": {}}
    path.write_text(json.dumps({"auths": auths}), "utf-8")
    checks.check({"it": {"kind": "image", "docker_config": str(path)}})
