"""What is read of PromQL: labels that are left, windows, thresholds. And what is not read says so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.doctor import promql, promql_labels, promql_reading
from daemon.doctor.promql_labels import ALL, Labels
from daemon.doctor.promql_nodes import Binary, Number, Selector

EVERYTHING = "everything"


def labels(text: str, **recorded: Labels) -> set[str] | str:
    found = promql_labels.of(promql.parse(text), recorded)
    return set(found.names) if found.exact else EVERYTHING if found == ALL else f"all but {sorted(found.names)}"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("up", EVERYTHING),
        ("sum(up)", set()),
        ("sum by (a, b) (up)", {"a", "b"}),
        ("sum(up) by (a)", {"a"}),
        ("SUM by (a,) (up)", {"a"}),
        ("sum without (a) (up)", "all but ['a']"),
        ("sum by (a) (sum by (a, b) (up))", {"a"}),
        ("sum by (a, c) (sum by (a, b) (up))", {"a"}),
        ("sum without (b) (sum by (a, b) (up))", {"a"}),
        ("topk(3, sum by (a) (up))", {"a"}),
        ('count_values by (a) ("v", up)', {"a", "v"}),
        ("histogram_quantile(0.95, sum by (le, a) (rate(x_bucket[5m])))", {"a"}),
        ('label_replace(sum by (a) (up), "b", "$1", "a", "(.*)")', {"a", "b"}),
        ('label_join(sum by (a) (up), "b", "-", "a")', {"a", "b"}),
        ("sum by (a) (up) / 2", {"a"}),
        ("2 > sum by (a) (up)", {"a"}),
        ("sum by (a, b) (x) / on (a) sum by (a) (y)", {"a"}),
        ("sum by (a, b) (x) / ignoring (b) sum by (a) (y)", {"a"}),
        ("sum by (a, b) (x) / on (a) group_left () sum by (a) (y)", {"a", "b"}),
        ("sum by (a, b) (x) / on (a) group_left (c) sum by (a, c) (y)", {"a", "b", "c"}),
        ("sum by (a) (x) * on (a) group_right sum by (a, d) (y)", {"a", "d"}),
        ("sum by (a) (x) and on () sum(y)", {"a"}),
        ("sum by (a, b) (x) or sum by (a) (y)", {"a"}),
        ("sum by (a) (x) unless sum by (b) (y)", {"a"}),
        ("vector(1)", set()),
        ("time() - sum by (a) (x)", {"a"}),
        ('absent(up{job="x", a=~"y"})', {"job"}),
        ("-sum by (a) (up)", {"a"}),
        ("sum by (a) (max_over_time(rate(x[1m])[10m:30s]))", {"a"}),
        ("sum by (a) (x offset -5m @ start())", {"a"}),
        ("round(sum by (a) (x), 0.1)", {"a"}),
        ("job:x:ratio > 0.5 # a comment\n", EVERYTHING),
        ('{__name__="x", a="b"}', EVERYTHING),
        ('{"a.metric", b="c"}', EVERYTHING),
        ("sum by (by) (x)", {"by"}),
    ],
)
def test_the_labels_that_are_left(text: str, left: set[str] | str) -> None:
    assert labels(text) == left


def test_recorded_series_have_the_labels_they_were_recorded_with() -> None:
    recorded = {"job:x:rate": Labels(True, frozenset({"a"}))}
    assert labels("job:x:rate > 1", **recorded) == {"a"}
    assert labels("sum by (a, b) (job:x:rate)", **recorded) == {"a"}


@pytest.mark.parametrize(
    "text", ["", "sum(", "up{a=b}", "up{a}", "up[5x]", "1 +", "sum by a (up)", "up }", "up{a='x}", "§", "(" * 5000]
)
def test_what_is_no_promql_says_so(text: str) -> None:
    with pytest.raises(promql.NotReadError):
        promql.parse(text)


@given(st.text(alphabet="sumbyrate(){}[]<>=!~\"'`abc 015.:,#\n+-*/%^@\\", max_size=60))
def test_nothing_that_is_written_breaks_the_reader(text: str) -> None:
    try:
        found = promql.parse(text)
    except promql.NotReadError:
        return
    promql_labels.of(found, {})
    promql_reading.error_threshold(found, {})
    promql_reading.windows(found, {})


def test_precedence_is_prometheus() -> None:
    found = promql.parse("a + b * c > 2 and d or e")
    assert isinstance(found, Binary)
    assert found.operator == "or"
    left = found.left
    assert isinstance(left, Binary)
    assert (left.operator, left.right) == ("and", Selector("d", ()))
    power = promql.parse("-2 ^ 3 ^ 2")
    assert power == Binary("*", Number(-1.0), Binary("^", Number(2), Binary("^", Number(3), Number(2))))


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("sum(rate(e[1m])) / sum(rate(r[1m])) > 0.005", 0.005),
        ("sum(rate(e[1m])) / sum(rate(r[1m])) * 100 > 0.5", 0.005),
        ("100 * sum(e) / sum(r) >= 0.5", 0.005),
        ("0.005 < sum(e) / sum(r)", 0.005),
        ("1 - sum(ok) / sum(r) > 0.01", 0.01),
        ("sum(ok) / sum(r) < 0.99", 0.01),
        ("100 - sum(ok) / sum(r) * 100 > 0.5", 0.005),
        ("sum(e) / sum(r) > 1 / 200", 0.005),
        ("sum(r) > 20 and sum(e) / sum(r) > 0.02", 0.02),
        ("sum(e) / sum(r) - on (a) group_left () stable > 0.015", 0.015),
        ("sum(e) / 60 > 0.5", None),
        ("sum(e) > 5", None),
        ("histogram_quantile(0.95, sum by (le) (rate(x[1m]))) > 0.2", None),
    ],
)
def test_the_share_of_errors_at_which_it_fires(text: str, share: float | None) -> None:
    found = promql_reading.error_threshold(promql.parse(text), {})
    assert found == (None if share is None else pytest.approx(share))


def test_windows_and_shares_are_read_through_recordings() -> None:
    recordings = {"job:e:ratio": promql.parse("sum(rate(e[2m])) / sum(rate(r[2m]))"), "loop": promql.parse("loop > 1")}
    expression = promql.parse("job:e:ratio > 0.01")
    assert promql_reading.windows(expression, recordings) == [120.0, 120.0]
    assert promql_reading.error_threshold(expression, recordings) == pytest.approx(0.01)
    assert promql_reading.windows(promql.parse("loop"), recordings) == []
