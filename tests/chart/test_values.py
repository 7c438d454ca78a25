"""Which values there are, and that a wrong one is refused with the name of the place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from tests.chart.rendering import CHART, EVERYTHING, MATRIX, MINIMAL, Values, refusal, texts


@pytest.mark.parametrize("values", [*MATRIX.values(), {}], ids=[*MATRIX, "no values"])
def test_helm_lint_finds_nothing_but_the_missing_icon(values: Values) -> None:
    import helm_python  # noqa: PLC0415

    found = helm_python.lint(CHART, dict(values), strict=True)
    assert not found["errors"]
    assert [message["error"] for message in found["messages"]] == ["icon is recommended"]


CLEAR: Mapping[str, tuple[Values, str]] = {
    "nothing chosen": ({}, "expected rbac.namespaces .* or rbac.clusterWide=true, got neither"),
    "both chosen": ({"rbac": {"namespaces": ["shop"], "clusterWide": True}}, "namespaces or clusterWide.*got both"),
    "a namespace that is none": ({"rbac": {"namespaces": ["*"]}}, "/rbac/namespaces/0"),
    "an unknown value": ({**MINIMAL, "replicaCount": 2}, "'replicaCount' not allowed"),
    "an unknown inner value": ({**MINIMAL, "people": {"boss": {}}}, "/people.*'boss' not allowed"),
    "no replica": ({**MINIMAL, "replicas": 0}, "/replicas.*got 0, want 1"),
    "a text for a number": ({**MINIMAL, "replicas": "two"}, "/replicas.*got string, want integer"),
    "the root user": ({**MINIMAL, "runAsUser": 0}, "/runAsUser.*got 0, want 1"),
    "a secret itself": (
        {**MINIMAL, "secretFiles": [{"name": "slack-token", "value": "xoxb-1"}]},
        "/secretFiles/0.*missing properties 'secretName', 'key'",
    ),
    "a path in a name": (
        {**MINIMAL, "secretFiles": [{"name": "../token", "secretName": "s", "key": "k"}]},
        "/secretFiles/0/name",
    ),
    "a file in the place of a folder": (
        {**MINIMAL, "secretFiles": [{"name": "doors", "secretName": "s", "key": "k"}]},
        "/secretFiles/0/name",
    ),
    "two files of one name": (
        {**MINIMAL, "secretFiles": [{"name": "a", "secretName": "s", "key": key} for key in "xy"]},
        'secretFiles: "a" is there twice',
    ),
    "one token twice": (
        {**MINIMAL, "secrets": {"console": {"bearerTokens": [{"secretName": "s", "key": "k"}] * 2}}},
        "secrets.console: the same key of the same Secret is there twice",
    ),
    "a file that nothing provides": (
        {**MINIMAL, "config": EVERYTHING["config"]},
        "config: names /etc/pullback/secrets/slack-token, which no secretFiles entry provides",
    ),
    "no credential for Flagger": (
        {**MINIMAL, "secrets": {"flagger": {"passwords": []}}},
        "secrets.flagger: expected a bearerToken or a password .* or config.web.flagger.allow_anonymous=true",
    ),
    "watching everything with Roles": (
        {**MINIMAL, "config": {"kubernetes": {"namespaces": []}}},
        "config.kubernetes.namespaces: empty is the whole cluster",
    ),
    "watching what no Role allows": (
        {**MINIMAL, "config": {"kubernetes": {"namespaces": ["shop", "elsewhere"]}}},
        'config.kubernetes.namespaces: "elsewhere" is not in rbac.namespaces',
    ),
    "a group that is no group": ({**MINIMAL, "config": {"web": "8080"}}, "/config/web.*got string, want object"),
    "another port": ({**MINIMAL, "config": {"web": {"port": 9090}}}, "config.web.port: the container's port is 8080"),
    "one port twice": ({**MINIMAL, "service": {"port": 80}}, "service.hookPort: expected another port"),
    "no duration": ({**MINIMAL, "config": {"lifecycle": {"linger": "soon"}}}, 'expected a duration .* got "soon"'),
    "a budget that stops nothing": (
        {**MINIMAL, "podDisruptionBudget": {"maxUnavailable": 3}},
        "podDisruptionBudget.maxUnavailable: expected no more than replicas",
    ),
    "a drill without an Alertmanager": ({**MINIMAL, "drill": {"enabled": True}}, "drill.alertmanagerUrls: expected"),
    "a drill nowhere": (
        {"rbac": {"clusterWide": True}, "drill": {"enabled": True, "alertmanagerUrls": ["http://a:9093"]}},
        "drill.namespace: expected one",
    ),
    "a drill where nobody looks": (
        {**MINIMAL, "drill": {"enabled": True, "namespace": "elsewhere", "alertmanagerUrls": ["http://a:9093"]}},
        'drill.namespace: "elsewhere" is not watched; expected one of shop, checkout',
    ),
    "nobody may approve": (
        {**MINIMAL, "people": {"approvalPolicy": {"enabled": True}}},
        "people.approvalPolicy: expected users or groups",
    ),
    "no token for the operator's Alertmanager": (
        {
            **MINIMAL,
            "alertmanagerConfig": {"enabled": True},
            "secrets": {"alertmanager": {"bearerTokens": []}},
            "config": {"web": {"alertmanager": {"allow_anonymous": True}}},
        },
        "alertmanagerConfig.token: expected secretName and key",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("values", "said"), CLEAR.values(), ids=CLEAR)
def test_what_cannot_work_is_refused_and_says_where(values: Values, said: str) -> None:
    assert re.search(said, refusal(values), re.DOTALL)


def test_the_schema_names_every_value_that_there_is_and_no_other() -> None:
    import helm_python  # noqa: PLC0415

    with helm_python.Chart.load(CHART) as chart:
        schema, values = chart.schema, chart.values
    assert schema is not None
    assert set(_schema_paths(schema)) - {"global"} == set(_value_paths(values, schema))


def test_every_object_of_the_schema_refuses_what_it_does_not_know() -> None:
    import helm_python  # noqa: PLC0415

    with helm_python.Chart.load(CHART) as chart:
        schema = chart.schema
    assert schema is not None
    for path, part in _objects(schema, ""):
        if "properties" in part:
            assert part.get("additionalProperties") is False, path


def test_every_value_is_explained() -> None:
    """Each line with a value has words above it: its own, those of its neighbours above, or those of its group."""
    lines = (CHART / "values.yaml").read_text().splitlines()
    explained: dict[int, bool] = {}
    for number, line in enumerate(lines):
        found = re.match(r"( *)[A-Za-z]+:", line)
        if not found:
            continue
        depth = len(found[1])
        explained = {level: words for level, words in explained.items() if level <= depth}
        above = lines[number - 1].strip()
        explained[depth] = above.startswith("#") or explained.get(depth, False)
        assert any(explained.values()), f"line {number + 1}: {line}"


def test_values_do_not_repeat_a_key() -> None:
    class Strict(yaml.SafeLoader):
        pass

    def mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        assert len(keys) == len(set(keys)), keys
        return {loader.construct_object(key): loader.construct_object(value, deep=True) for key, value in node.value}

    Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    yaml.load((CHART / "values.yaml").read_text(), Strict)  # noqa: S506 - it is a safe loader


def test_the_notes_say_the_next_three_commands() -> None:
    notes = texts(MINIMAL, name="brake", namespace="ops")["NOTES.txt"]
    commands = re.findall(r"^   (kubectl .*)$", notes, re.MULTILINE)
    assert commands == [
        "kubectl -n ops rollout status deployment/brake-pullback",
        "kubectl -n ops get configmap brake-pullback-alertmanager -o jsonpath='{.data.alertmanager\\.yaml}'",
        "kubectl -n ops exec deployment/brake-pullback -- pullback status",
    ]
    assert re.findall(r"^(\d)\. ", notes, re.MULTILINE) == ["1", "2", "3"]


def _schema_paths(schema: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for name, part in schema.get("properties", {}).items():
        path = f"{above}.{name}".lstrip(".")
        yield path
        yield from _schema_paths(part, path)


def _value_paths(values: Mapping[str, Any], schema: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for name, value in values.items():
        path = f"{above}.{name}".lstrip(".")
        yield path
        part = schema["properties"].get(name, {})
        if isinstance(value, dict) and "properties" in part:
            yield from _value_paths(value, part, path)


def _objects(part: Any, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(part, dict):
        if part.get("type") == "object":
            yield path, part
        for name, inner in part.items():
            yield from _objects(inner, f"{path}/{name}")
