"""Matchers, as Alertmanager reads them, and which rule speaks for an alert."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.model.rules import Act, AlertRule, Matcher, first_match

MATCHED: list[tuple[str, dict[str, str], bool]] = [
    ('severity="critical"', {"severity": "critical"}, True),
    ('severity="critical"', {"severity": "Critical"}, False),
    ('severity="critical"', {}, False),
    ("severity=critical", {"severity": "critical"}, True),
    ('  severity = "critical"  ', {"severity": "critical"}, True),
    ("severity=critical  ", {"severity": "critical"}, True),
    ('severity!="critical"', {}, True),
    ('severity!="critical"', {"severity": "critical"}, False),
    ('severity=""', {}, True),
    ("severity=", {"severity": ""}, True),
    ('team=~"a|b"', {"team": "b"}, True),
    ('team=~"a|b"', {"team": "ab"}, False),
    ('team=~"a"', {"team": "a\n"}, False),
    ('team=~"a.*"', {"team": "abc"}, True),
    ('team=~".*"', {}, True),
    ('team!~"a.+"', {"team": "abc"}, False),
    ('team!~"a.+"', {}, True),
    (r'code=~"5\d+"', {"code": "503"}, True),
    (r'code=~"5\\d+"', {"code": "503"}, True),
    (r'summary="he said \"no\""', {"summary": 'he said "no"'}, True),
    (r'path="C:\\tmp"', {"path": r"C:\tmp"}, True),
    (r'path="a\qb"', {"path": r"a\qb"}, True),
    (r'text="two\nlines"', {"text": "two\nlines"}, True),
    ('text="a = b"', {"text": "a = b"}, True),
    ('text=a"', {}, False),
]


@pytest.mark.parametrize(("text", "labels", "expected"), MATCHED[:-1], ids=str)
def test_a_matcher_matches_as_in_alertmanager(text: str, labels: dict[str, str], expected: bool) -> None:
    assert Matcher.parse(text).matches(labels) is expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("severity", "is not a matcher; expected label, one of = != =~ !~"),
        ("", "is not a matcher"),
        ('1up="x"', "is not a matcher"),
        ('severity=="x"y', "double quote"),
        ('severity="critical', "double quote"),
        ('severity=critical"', "double quote"),
        ('severity="a"b"', "double quote"),
        (r'severity="a\"', "double quote"),
        ('team=~"("', "not a regular expression"),
    ],
)
def test_what_is_no_matcher_is_refused_with_what_was_expected(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Matcher.parse(text)


@given(st.text(max_size=30))
def test_a_matcher_is_read_or_refused_with_a_value_error_and_nothing_else(text: str) -> None:
    try:
        matcher = Matcher.parse(text)
    except ValueError:
        return
    assert matcher.matches({}) in {True, False}


@given(st.text())
def test_any_value_can_be_matched_exactly(value: str) -> None:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    matcher = Matcher.parse(f'label="{escaped}"')
    assert (matcher.value, matcher.matches({"label": value})) == (value, True)


def test_the_first_rule_whose_matchers_all_match_speaks() -> None:
    rules = (
        AlertRule((Matcher.parse("team=lab"), Matcher.parse("severity=critical")), Act.IGNORE),
        AlertRule((Matcher.parse("severity=critical"),), Act.ROLLBACK),
        AlertRule((), Act.PAUSE),
    )
    asked: list[dict[str, str]] = [
        {"team": "lab", "severity": "critical"}, {"severity": "critical"}, {"team": "lab"}, {},
    ]  # fmt: skip
    spoken = [first_match(rules, labels) for labels in asked]
    assert [rule.act.value if rule else None for rule in spoken] == ["ignore", "rollback", "pause", "pause"]
    assert first_match(rules[:2], {"severity": "info"}) is None
    assert str(rules[0]) == '{team="lab", severity="critical"} -> ignore'
