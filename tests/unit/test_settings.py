"""What can be configured, what is refused, and that a refusal names the place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from daemon.adapters import checks
from daemon.model import stages
from daemon.model.errors import ConfigurationError
from daemon.model.rules import Act, LabelNames
from daemon.settings import Settings, load

SHIPPED = Path(__file__).parents[2] / "config" / "pullback.yaml"


@pytest.fixture(autouse=True)
def _no_settings_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os  # noqa: PLC0415

    for name in list(os.environ):
        if name.startswith("PULLBACK_"):
            monkeypatch.delenv(name)


def written(folder: Path, document: Any) -> Path:
    path = folder / "pullback.yaml"
    path.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    return path


def refusal(path: Path | None) -> str:
    with pytest.raises(ConfigurationError) as refused:
        load(path)
    return str(refused.value)


def test_nothing_configured_is_the_defaults(tmp_path: Path) -> None:
    assert load(None) == load(written(tmp_path, "")) == load(written(tmp_path, "# nothing\n")) == Settings()


def test_the_shipped_file_says_the_defaults() -> None:
    if not SHIPPED.exists() or not SHIPPED.read_text().strip():
        pytest.skip("config/pullback.yaml is not written yet")
    shipped, built_in = load(SHIPPED).model_dump(), Settings().model_dump()
    for door in ("alertmanager", "flagger", "console"):
        for secret in ("bearer_token_files", "password_files"):
            shipped["web"][door].pop(secret)
            built_in["web"][door].pop(secret)
    assert shipped == built_in


def test_the_shipped_file_names_every_setting_that_there_is() -> None:
    def names(value: Any) -> set[str]:
        found = set(value) if isinstance(value, dict) else set()
        return found.union(*(names(inner) for inner in value.values())) if isinstance(value, dict) else found

    text = SHIPPED.read_text()
    missing = {name for name in names(Settings().model_dump()) if name not in text}
    assert missing == set()


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"webb": {}}, "webb: "),
        ({"web": {"prot": 80}}, "web.prot: "),
        ({"web": {"alertmanager": {"token": "x"}}}, "web.alertmanager.token: "),
        ({"correlation": {"labels": {"canry": ["a"]}}}, "correlation.labels.canry: "),
        ({"policy": {"rules": [{"match": [], "act": "rollback", "for": "1m"}]}}, "policy.rules.0.for: "),
        ({"policy": {"rules": [{"match": [], "act": "explode"}]}}, "policy.rules.0.act: "),
        ({"policy": {"rules": [{"match": ['severity="critical'], "act": "rollback"}]}}, "policy.rules.0.match: "),
        ({"policy": {"rules": [{"match": ['a=~"("'], "act": "pause"}]}}, "not a regular expression"),
        ({"policy": {"rules": {}}}, "policy.rules: "),
        ({"rollback": {"deadline": "soon"}}, "rollback.deadline: "),
        ({"rollback": {"deadline": 0}}, "rollback.deadline: "),
        ({"rollback": {"deadline": "-5s"}}, "rollback.deadline: "),
        ({"rollback": {"deadline": "5 days"}}, "expected a duration such as 30s, 5m or 250ms, got '5 days'"),
        ({"rollback": {"deadline": "inf"}}, "rollback.deadline: "),
        ({"rollback": {"deadline": "nan"}}, "rollback.deadline: "),
        ({"rollback": {"deadline": None}}, "rollback.deadline: "),
        ({"web": {"port": 70000}}, "web.port: "),
        ({"web": {"keep_alive": "1m"}}, "web.keep_alive: "),
        ({"web": {"answer_within": "10s"}}, "web.answer_within: "),
        ({"web": {"body_limit": 10}}, "web.body_limit: "),
        ({"proof": {"prometheus_query": "up{pod=~'$pod'}"}}, "unknown field $pod"),
        ({"proof": {"prometheus_query": 'up{code=~"5..$"}'}}, "write $$"),
        ({"log": {"level": "loud"}}, "log.level: "),
        ({"correlation": {"fallback": "guess"}}, "correlation.fallback: "),
        ({"web": None}, "web: "),
        ([1], "expected groups of settings, got list"),
        ("a: [", "not YAML"),
        ("web: !!python/object/apply:os.system ['true']", "not YAML"),
    ],
    ids=str,
)
def test_what_cannot_be_used_is_refused_with_file_and_field(document: Any, said: str, tmp_path: Path) -> None:
    path = written(tmp_path, document)
    refused = refusal(path)
    assert said in refused
    assert str(path) in refused


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.yaml") == f"{tmp_path}/none.yaml: No such file or directory"
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    assert "not YAML" in refusal(tmp_path / "binary")


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    refused = refusal(written(tmp_path, {"web": {"prot": 80}, "log": {"levle": "info"}}))
    assert "web.prot" in refused
    assert "log.levle" in refused


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PULLBACK_WEBB__PORT", "80", "PULLBACK_WEBB__PORT: no group 'webb'; expected one of web, kubernetes"),
        ("PULLBACK_WEB__PROT", "80", "web.prot: "),
        ("PULLBACK_WEB__PORT", "many", "web.port: "),
        ("PULLBACK_WEB__ALERTMANAGER__TOKEN", "x", "web.alertmanager.token: "),
        ("PULLBACK_POLICY__RULES", "[{", 'the environment: error parsing value for field "policy"'),
    ],
)
def test_an_unknown_or_unusable_variable_is_refused_by_name(
    name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert said in refusal(None)


def test_the_variables_that_kubernetes_sets_for_a_service_of_our_name_are_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {
        "PULLBACK_SERVICE_HOST": "10.0.0.1",
        "PULLBACK_SERVICE_PORT": "8080",
        "PULLBACK_PORT": "tcp://10.0.0.1:8080",
        "PULLBACK_PORT_8080_TCP_ADDR": "10.0.0.1",
        "PULLBACK_CONFIG": "/etc/pullback/pullback.yaml",
    }.items():
        monkeypatch.setenv(name, value)
    assert load(None) == Settings()


def test_the_environment_wins_over_the_file_field_by_field(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, {"web": {"port": 1, "host": "::1"}, "rollback": {"deadline": "1m"}})
    monkeypatch.setenv("PULLBACK_WEB__PORT", "2")
    monkeypatch.setenv("PULLBACK_ROLLBACK__DEADLINE", "90s")
    monkeypatch.setenv("PULLBACK_POLICY__RULES", '[{"match": ["team=a"], "act": "pause"}]')
    monkeypatch.setenv("PULLBACK_WEB__FLAGGER__ALLOW_ANONYMOUS", "true")
    loaded = load(path)
    assert (loaded.web.port, loaded.web.host, loaded.rollback.deadline) == (2, "::1", 90)
    assert [str(rule) for rule in loaded.rules] == ['{team="a"} -> pause']
    assert (loaded.web.flagger.allow_anonymous, loaded.web.alertmanager.allow_anonymous) == (True, False)


@pytest.mark.parametrize(
    ("given_", "expected"),
    [(30, 30), (0.25, 0.25), ("30", 30), ("30s", 30), (" 5m ", 300), ("1.5h", 5400), ("250ms", 0.25), ("1 s", 1)],
)
def test_durations_are_seconds_or_say_their_unit(given_: Any, expected: float, tmp_path: Path) -> None:
    assert load(written(tmp_path, {"rollback": {"deadline": given_}})).rollback.deadline == expected


@given(st.integers(1, 10**6), st.sampled_from([("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)]))
def test_any_whole_duration_is_read(number: int, unit: tuple[str, float]) -> None:
    word, seconds = unit
    assert Settings(lifecycle={"drain": f"{number}{word}"}).lifecycle.drain == number * seconds  # type: ignore[arg-type]


def test_settings_cannot_be_changed() -> None:
    loaded = Settings()
    with pytest.raises(ValueError, match="frozen"):
        loaded.web.port = 1
    with pytest.raises(ValueError, match="frozen"):
        loaded.web = loaded.web


def test_the_default_rules_roll_back_what_is_critical_and_pause_on_what_warns() -> None:
    rules = Settings().rules
    assert [(str(rule.match[0]), rule.act) for rule in rules] == [
        ('severity="critical"', Act.ROLLBACK), ('severity="warning"', Act.PAUSE),
    ]  # fmt: skip
    assert Settings().label_names == LabelNames()


def test_a_dollar_sign_can_be_written_in_a_query() -> None:
    query = 'up{code=~"5..$$", ns="$namespace", w="${workload}"}'
    assert Settings(proof={"prometheus_query": query}).proof.prometheus_query == query  # type: ignore[arg-type]


# -- what opens gates


def promql(**profiles: Any) -> dict[str, Any]:
    """One check, named ``errors``, and profiles."""
    return {"gates": {"checks": {"errors": {"kind": "promql", "query": "1"}}, "profiles": profiles}}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (promql(default={"rollout": ["latency"]}),
         "gates: Value error, profiles.default: no check 'latency' in gates.checks; there are: errors"),
        (promql(default={}, payments={"load": "hey"}),
         "gates: Value error, profiles.payments: no check 'hey' in gates.checks; there are: errors"),
        ({"gates": {"profiles": {"default": {"pre_rollout": ["smoke"]}}}}, "there are: none"),
        (promql(payments={}), "gates: Value error, profiles: expected one named 'default'"),
        (promql(default={"rolout": []}), "gates.profiles.default.rolout: "),
        (promql(default={}, Payments={}), "gates.profiles: Value error, 'Payments': expected a name of lower case"),
        ({"gates": {"checks": {"a_b": {"kind": "http"}}}}, "gates.checks: Value error, 'a_b': expected a name"),
        ({"gates": {"checks": {"a" * 41: {"kind": "http"}}}}, "40 at most"),
        ({"gates": {"checks": {"a": "http"}}}, "gates.checks.a: "),
        (promql(default={"stages": [{"weight": 25}, {"weight": 5}]}),
         "gates.profiles.default.stages: Value error, expected weights that rise from stage to stage, got 25, 5"),
        (promql(default={"stages": [{"weight": 5}, {"weight": 5}]}), "gates.profiles.default.stages: "),
        ({"policy": {"stages": [{"weight": 50, "soak": "30m"}, {"weight": 25}]}},
         "policy.stages: Value error, expected weights that rise from stage to stage, got 50, 25"),
        ({"policy": {"stages": [{"weight": 101}]}}, "policy.stages.0.weight: "),
        ({"policy": {"stages": [{"weight": -1}]}}, "policy.stages.0.weight: "),
        ({"policy": {"stages": [{"soak": "30m"}]}}, "policy.stages.0.weight: "),
        ({"policy": {"stages": [{"weight": 5, "soak": "a while"}]}}, "policy.stages.0.soak: "),
        ({"policy": {"promotion": {"approval": "maybe"}}}, "policy.promotion.approval: "),
        ({"policy": {"promotion": {"approvals": 0}}}, "policy.promotion.approvals: "),
        ({"policy": {"promotion": {"expires": 0}}}, "policy.promotion.expires: "),
        (promql(default={"promotion": {"approvals": 11}}), "gates.profiles.default.promotion.approvals: "),
        ({"gates": {"answer_within": "1.5s"}}, "gates.answer_within: "),
        ({"gates": {"pre_rollout_within": "1m"}}, "gates.pre_rollout_within: "),
        ({"gates": {"retry": 0}}, "gates.retry: "),
    ],
    ids=str,
)  # fmt: skip
def test_gates_that_could_never_open_as_meant_are_refused_by_field(document: Any, said: str, tmp_path: Path) -> None:
    assert said in refusal(written(tmp_path, document))


@pytest.mark.parametrize(
    ("check", "said"),
    [
        ({"kind": "prometheus"}, "gates.checks.errors.kind: expected one of alerts, http, image, job, promql"),
        ({"kind": "prometheus"}, ", got 'prometheus'"),
        ({}, "gates.checks.errors.kind: expected one of "),
        ({"kind": "promql", "qery": "1"}, "gates.checks.errors.qery: no such option; expected some of: "),
    ],
    ids=str,
)
def test_a_check_of_no_kind_is_refused_with_the_kinds_that_there_are(check: Any, said: str, tmp_path: Path) -> None:
    loaded = load(written(tmp_path, {"gates": {"checks": {"errors": check}}}))
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        checks.check(loaded.gates.checks)


def test_a_profile_says_otherwise_or_has_what_the_policy_says(tmp_path: Path) -> None:
    document = promql(
        default={"rollout": ["errors"]},
        swift={"stages": [], "promotion": {"approval": "none", "approvals": 2}},
        slow={"stages": [{"weight": 5, "soak": "1h"}], "promotion": {"approvals": 2, "expires": "1h", "bake": 0}},
    )
    document["policy"] = {"stages": [{"weight": 0, "soak": "15m"}], "promotion": {"bake": "1m"}}
    profiles = load(written(tmp_path, document)).profiles
    assert profiles["default"] == stages.Profile(
        rollout=("errors",), stages=(stages.Stage(0, 900),), promotion=stages.Promotion(1, 4 * 3600, 60)
    )
    assert (profiles["swift"].stages, profiles["swift"].promotion.approvals) == ((), 0)
    assert profiles["slow"].stages == (stages.Stage(5, 3600),)
    assert profiles["slow"].promotion == stages.Promotion(2, 3600, 0)


def test_nothing_configured_is_the_plan_of_the_seed_and_one_persons_approval() -> None:
    (profile,) = Settings().profiles.values()
    soaks = [(stage.weight, stage.soak / 60) for stage in profile.stages]
    assert soaks == [(0, 15), (5, 30), (25, 30), (50, 30)]
    assert profile.promotion == stages.Promotion(approvals=1, expires=4 * 3600, bake=600)
