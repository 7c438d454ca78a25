"""Bytes from Alertmanager, or from anybody: an AlertGroup, or a BadRequestError that names the field. Nothing else."""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.model.signal import Alert, AlertGroup, MalformedAlert
from daemon.web.alertmanager import MOST_ALERTS, MOST_LABELS, MOST_VALUE, BadRequestError, parse

RECORDED = Path(__file__).parents[1] / "data" / "alertmanager"
GOOD: dict[str, Any] = {
    "status": "firing",
    "labels": {"alertname": "HighErrorRate", "namespace": "shop"},
    "annotations": {},
    "startsAt": "2026-11-23T07:00:00Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "fingerprint": "a790beef2dcf050a",
}
ANNOTATION_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


def body(*alerts: Any, **envelope: Any) -> bytes:
    return json.dumps({"version": "4", "alerts": list(alerts), **envelope}).encode()


def one(**changes: Any) -> Alert | MalformedAlert:
    (alert,) = parse(body({**GOOD, **changes})).alerts
    return alert


def read(**changes: Any) -> Alert:
    alert = one(**changes)
    assert isinstance(alert, Alert), alert
    return alert


def problem(**changes: Any) -> str:
    alert = one(**changes)
    assert isinstance(alert, MalformedAlert), alert
    return alert.problem


def recorded(name: str) -> AlertGroup:
    return parse((RECORDED / f"{name}.json").read_bytes())


def test_a_recorded_firing_alert_is_read() -> None:
    group = recorded("firing")
    (alert,) = group.alerts
    assert isinstance(alert, Alert)
    assert (group.truncated, group.receiver) == (0, "pullback")
    assert group.group_key == '{}:{alertname="CanaryHighErrorRate", canary="podinfo", namespace="shop"}'
    assert (alert.firing, alert.ends_at, alert.name) == (True, None, "CanaryHighErrorRate")
    assert alert.starts_at == datetime.datetime(2026, 11, 23, 6, 7, 21, 225_000, tzinfo=datetime.UTC)
    assert alert.key == ("a790beef2dcf050a", alert.starts_at)
    assert alert.labels["canary"] == "podinfo"
    assert alert.generator_url.startswith("http://prometheus.example:9090/graph?g0.expr=sum+by")
    assert alert.external_url == "http://alertmanager.example:9093"


def test_a_recorded_resolved_alert_is_read() -> None:
    (alert,) = recorded("resolved").alerts
    assert isinstance(alert, Alert)
    assert (alert.firing, alert.ends_at) == (False, datetime.datetime(2026, 11, 23, 6, 7, 42, 225_000, datetime.UTC))


def test_a_recorded_firing_group_holds_a_resolved_alert_and_says_what_was_cut_off() -> None:
    group = recorded("mixed-and-cut-off")
    assert [alert.firing for alert in group.alerts if isinstance(alert, Alert)] == [False, True]
    assert group.truncated == 1
    first = group.alerts[0]
    assert isinstance(first, Alert)
    assert first.starts_at.isoformat() == "2026-11-23T06:12:19.705769+00:00"  # nanoseconds are cut
    assert first.generator_url == ""


def test_fields_of_newer_senders_are_ignored() -> None:
    group = parse(body({**GOOD, "flags": [1]}, notification_reason="new", routeLabels={"a": None}))
    assert isinstance(group.alerts[0], Alert)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"", "Invalid JSON"),
        (b" ", "Invalid JSON"),
        (b"null", "Input should be an object"),
        (b"[]", "Input should be an object"),
        (b'"x"', "Input should be an object"),
        (b"4", "Input should be an object"),
        (b"[" * 100_000, "recursion limit exceeded"),
        (b'{"a":' * 100_000, "recursion limit exceeded"),
        (b'{"version":"4","alerts":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "recursion limit exceeded"),
        (b'{"version":"4","alerts":[],"receiver":"\xff\xfe"}', "invalid unicode"),
        (b'{"version":"4","alerts":[],"receiver":"\\ud800"}', "Invalid JSON"),
        (b"\xef\xbb\xbf{}", "Invalid JSON"),
        (b'{"version":"4","alerts":[]} trailing', "trailing"),
        (b'{"alerts":[]}', "version: Field required"),
        (b'{"version":4,"alerts":[]}', "version: Input should be a valid string"),
        (b'{"version":"5","alerts":[]}', 'version: expected "4"'),
        (b'{"version":"4"}', "alerts: Field required"),
        (b'{"version":"4","alerts":{}}', "alerts: Input should be a valid array"),
        (b'{"version":"4","alerts":null}', "alerts: Input should be a valid array"),
        (b'{"version":"4","alerts":[],"truncatedAlerts":"1"}', "truncatedAlerts: Input should be a valid integer"),
        (b'{"version":"4","alerts":[],"truncatedAlerts":true}', "truncatedAlerts: Input should be a valid integer"),
        (b'{"version":"4","alerts":[],"truncatedAlerts":' + b"9" * 5000 + b"}", "number out of range"),
        (b'{"version":"4","alerts":[],"truncatedAlerts":' + b"9" * 400 + b"}", "truncatedAlerts"),
        (b'{"version":"4","alerts":[],"groupKey":null}', "groupKey: Input should be a valid string"),
        (body(*[GOOD] * (MOST_ALERTS + 1)), f"alerts: {MOST_ALERTS + 1} of them, at most {MOST_ALERTS}"),
    ],
    ids=lambda value: value[:40].decode(errors="replace") if isinstance(value, bytes) else "",
)
def test_an_envelope_that_can_never_be_read_is_refused_with_its_field(sent: bytes, said: str) -> None:
    with pytest.raises(BadRequestError, match=re.escape(said)):
        parse(sent)


def test_no_alerts_are_no_problem() -> None:
    assert parse(body()) == AlertGroup(alerts=(), truncated=0, group_key="", receiver="")


def test_of_duplicate_keys_the_last_one_counts() -> None:
    sent = b'{"version":"5","version":"4","alerts":[1],"alerts":[]}'
    assert parse(sent).alerts == ()


def test_a_negative_number_of_alerts_cut_off_is_none() -> None:
    assert parse(body(truncatedAlerts=-3)).truncated == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"status": "burning"}, "alerts[0].status: Input should be 'firing' or 'resolved'"),
        ({"status": None}, "alerts[0].status: "),
        ({"labels": None}, "alerts[0].labels: Input should be a valid dictionary"),
        ({"labels": ["a"]}, "alerts[0].labels: Input should be a valid dictionary"),
        ({"labels": {"severity": None}}, "alerts[0].labels.severity: Input should be a valid string"),
        ({"labels": {"code": 500}}, "alerts[0].labels.code: Input should be a valid string"),
        ({"labels": {"nested": {}}}, "alerts[0].labels.nested: Input should be a valid string"),
        ({"labels": {f"l{n}": "" for n in range(10_000)}}, "alerts[0].labels: 10000 of them, at most 256"),
        ({"labels": {"a": "x" * (MOST_VALUE + 1)}}, f"alerts[0].labels.a: name of 1 or value of {MOST_VALUE + 1}"),
        ({"labels": {"n" * 300: "x"}}, "name of 300 or value of 1 characters"),
        ({"annotations": None}, "alerts[0].annotations: Input should be a valid dictionary"),
        ({"annotations": {"a": 1.5}}, "alerts[0].annotations.a: "),
        ({"annotations": {"a": "x" * (MOST_VALUE + 1)}}, "alerts[0].annotations.a: "),
        ({"startsAt": "noon"}, "alerts[0].startsAt: expected an RFC 3339 time, got 'noon'"),
        ({"startsAt": ""}, "alerts[0].startsAt: expected an RFC 3339 time"),
        ({"startsAt": 1_795_414_765}, "alerts[0].startsAt: Input should be a valid string"),
        ({"startsAt": "2026-11-23T07:00:00"}, "alerts[0].startsAt: expected a time with its offset"),
        ({"startsAt": "0001-01-01T00:00:00Z"}, "alerts[0].startsAt: year 1"),
        ({"startsAt": "9999-12-31T23:59:59-12:00"}, "alerts[0].startsAt: '9999-12-31T23:59:59-12:00' is beyond"),
        ({"endsAt": "never"}, "alerts[0].endsAt: expected an RFC 3339 time"),
        ({"endsAt": None}, "alerts[0].endsAt: "),
        ({"fingerprint": 7}, "alerts[0].fingerprint: "),
    ],
    ids=lambda value: str(value)[:60],
)
def test_an_alert_that_can_never_be_read_says_where_and_leaves_its_neighbours_alone(
    changes: dict[str, Any], said: str
) -> None:
    assert problem(**changes).startswith(said) or said in problem(**changes)
    alerts = parse(body({**GOOD, **changes}, GOOD)).alerts
    assert [type(alert) for alert in alerts] == [MalformedAlert, Alert]


@pytest.mark.parametrize("alert", [None, 4, "x", [], [GOOD], True, 1.5])
def test_what_is_no_object_is_no_alert(alert: Any) -> None:
    (malformed,) = parse(body(alert)).alerts
    assert isinstance(malformed, MalformedAlert)
    assert malformed.problem.startswith("alerts[0]: expected an object, got ")


def test_as_many_and_as_large_labels_as_are_allowed_are_read() -> None:
    labels = {f"l{number}": "x" for number in range(MOST_LABELS - 1)} | {"large": "x" * MOST_VALUE}
    assert read(labels=labels).labels == labels


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("2026-11-23T07:00:00Z", "2026-11-23T07:00:00+00:00"),
        ("2026-11-23T08:30:00+01:30", "2026-11-23T07:00:00+00:00"),
        ("2026-11-23T07:00:00.123456789Z", "2026-11-23T07:00:00.123456+00:00"),
        ("2026-11-23T07:00:00.1Z", "2026-11-23T07:00:00.100000+00:00"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59+00:00"),
        ("0002-01-01T00:00:00Z", "0002-01-01T00:00:00+00:00"),
    ],
)
def test_times_are_read_as_utc(sent: str, expected: str) -> None:
    assert read(startsAt=sent).starts_at.isoformat() == expected


@pytest.mark.parametrize("ends", ["0001-01-01T00:00:00Z", "", "0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00-14:00"])
def test_year_1_and_nothing_mean_not_yet_ended(ends: str) -> None:
    assert read(endsAt=ends).ends_at is None


@pytest.mark.parametrize("fingerprint", ["a790beef2dcf050a", "A", "with-dots.and_lines-9", "x" * 63])
def test_a_usable_fingerprint_is_kept(fingerprint: str) -> None:
    assert read(fingerprint=fingerprint).fingerprint == fingerprint


@pytest.mark.parametrize(
    "fingerprint", ["", "x" * 64, "a/b", "-a", "a-", "a.", "_", "a b", "ä", "a\n", "a790\n", "../x"]
)
def test_a_fingerprint_that_cannot_name_an_annotation_is_replaced_by_a_hash_of_the_labels(fingerprint: str) -> None:
    replaced = read(fingerprint=fingerprint).fingerprint
    assert ANNOTATION_NAME.fullmatch(replaced)
    assert replaced == read(fingerprint="", startsAt="2026-11-24T07:00:00Z", annotations={"a": "b"}).fingerprint
    assert replaced != read(fingerprint="", labels={"alertname": "Other"}).fingerprint


def test_a_fingerprint_of_another_alert_is_not_made_by_moving_words_between_labels() -> None:
    assert read(fingerprint="", labels={"a": "bc"}).fingerprint != read(fingerprint="", labels={"ab": "c"}).fingerprint


# -- for any bytes

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner,
                                                                                          max_size=3))  # fmt: skip
alert_like = st.fixed_dictionaries(
    {},
    optional={
        key: values | st.just(GOOD[key])
        for key in ("status", "labels", "annotations", "startsAt", "endsAt", "fingerprint")
    },
)
envelopes = st.fixed_dictionaries(
    {},
    optional={
        "version": st.just("4") | values,
        "alerts": st.lists(alert_like | values, max_size=3) | values,
        "truncatedAlerts": values,
        "groupKey": values,
        "receiver": values,
    },
)


def holds(sent: bytes) -> None:
    try:
        group = parse(sent)
    except BadRequestError as error:
        assert str(error)
        assert len(str(error)) < 2000
        return
    assert group.truncated >= 0
    for alert in group.alerts:
        if isinstance(alert, Alert):
            assert ANNOTATION_NAME.fullmatch(alert.fingerprint)
            assert alert.starts_at.utcoffset() == datetime.timedelta(0)
            assert all(isinstance(word, str) for pair in alert.labels.items() for word in pair)
            json.dumps({"labels": dict(alert.labels)}).encode()
        else:
            assert alert.problem.startswith("alerts[")
            assert len(alert.problem) < 2000


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(sent: bytes) -> None:
    holds(sent)


@given(values | envelopes)
def test_any_json_is_read_or_refused(document: Any) -> None:
    holds(json.dumps(document).encode())


@given(st.lists(alert_like, max_size=3), st.data())
def test_any_body_with_some_bytes_exchanged_is_read_or_refused(alerts: list[Any], data: st.DataObject) -> None:
    sent = bytearray(body(*alerts, GOOD))
    for _ in range(data.draw(st.integers(0, 4))):
        sent[data.draw(st.integers(0, len(sent) - 1))] = data.draw(st.integers(0, 255))
    holds(bytes(sent))
