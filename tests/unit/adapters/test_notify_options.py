"""What the configuration may say about channels, and how it is told what it got wrong."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest

from daemon.adapters import answers, notify
from daemon.adapters.notify import text
from daemon.adapters.secrets import Secret
from daemon.model import errors
from daemon.model.notice import Fact


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("s3cret\n", "utf-8")
    return path


def entries(secret: Path) -> dict[str, dict[str, Any]]:
    return {
        "slack": {"kind": "slack", "token_file": str(secret), "channel": "C0DEPLOYS"},
        "pagerduty": {"kind": "pagerduty", "routing_key_file": str(secret)},
        "opsgenie": {"kind": "opsgenie", "api_key_file": str(secret)},
        "webhook": {"kind": "webhook", "url": "https://machine.example/hook"},
        "events": {"kind": "kubernetes-events"},
    }


def told(channels: Any) -> str:
    with pytest.raises(errors.ConfigurationError) as caught:
        notify.check(channels)
    return str(caught.value)


def test_what_is_needed_is_enough(secret: Path) -> None:
    notify.check(entries(secret))
    notify.check({})


def test_every_kind_can_be_built_with_what_it_is_given(secret: Path) -> None:
    kinds = notify.discover()
    assert set(kinds) == {"kubernetes-events", "opsgenie", "pagerduty", "slack", "webhook"}
    for entry in entries(secret).values():
        options = {name: value for name, value in entry.items() if name != "kind"}
        assert kinds[entry["kind"]].Options.model_validate(options).model_fields_set == set(options)


KINDS = "expected one of kubernetes-events, opsgenie, pagerduty, slack, webhook"


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"kind": "telegram"}, f"notices.channels.it.kind: {KINDS}, got 'telegram'"),
        ({}, f"notices.channels.it.kind: {KINDS}"),
        ({"kind": None}, f"notices.channels.it.kind: {KINDS}, got None"),
        ([], "notices.channels.it: expected kind and its options, got list"),
        ({"kind": "kubernetes-events", "x": 1}, "notices.channels.it.x: no such option; expected some of: none"),
        (
            {"kind": "webhook", "url": "https://x.example", "ur": 1},
            "notices.channels.it.ur: no such option; expected some of: secret_file, timeout, url",
        ),
        ({"kind": "webhook"}, "notices.channels.it.url: Field required"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(entry: Any, expected: str) -> None:
    assert expected in told({"it": entry})


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("slack", "channel", ""),
        ("slack", "channel", "two words"),
        ("slack", "mention", "@here"),
        ("slack", "mention", "<!here> all of you"),
        ("slack", "api_url", "slack.com/api"),
        ("slack", "timeout", 0),
        ("slack", "timeout", "soon"),
        ("slack", "timeout", "2m"),
        ("slack", "timeout", True),
        ("slack", "timeout", float("nan")),
        ("pagerduty", "url", "ftp://events.example"),
        ("pagerduty", "resolve", "perhaps"),
        ("opsgenie", "responders", [{"type": "team"}]),
        ("opsgenie", "responders", [{"type": "team", "name": "a", "id": "b"}]),
        ("opsgenie", "responders", [{"type": "crowd", "name": "a"}]),
        ("opsgenie", "tags", [""]),
        ("webhook", "url", "http://"),
        ("webhook", "url", "https://machine.example:99999/"),
        ("webhook", "url", "https://machine.example/a b"),
        ("webhook", "url", "https://machine.example/#x"),
        ("webhook", "url", "https://[::1"),
    ],
)
def test_a_bad_value_is_named_with_its_field(kind: str, field: str, value: Any, secret: Path) -> None:
    assert told({"it": {**entries(secret)[kind], field: value}}).startswith(f"notices.channels.it.{field}")


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("slack", "mention", "<!subteam^S0123> <@U0123>"),
        ("slack", "mention", "<!here>"),
        ("slack", "channel", "#deploys"),
        ("slack", "timeout", "500ms"),
        ("slack", "timeout", "5s"),
        ("slack", "timeout", 5),
        ("opsgenie", "responders", [{"type": "user", "username": "a@b.example"}]),
        ("webhook", "url", "http://127.0.0.1:8080/x?y=z"),
    ],
)
def test_a_good_value_is_taken(kind: str, field: str, value: Any, secret: Path) -> None:
    notify.check({"it": {**entries(secret)[kind], field: value}})


def test_a_url_is_not_repeated_when_it_is_wrong() -> None:
    assert "hush" not in told({"it": {"kind": "webhook", "url": "hooks.example/hush"}})


def test_all_problems_are_told_at_once(secret: Path) -> None:
    lines = told({"a": {"kind": "x"}, "b": {**entries(secret)["slack"], "channel": "", "y": 1}}).splitlines()

    assert [line.split(":")[0].strip() for line in lines] == [
        "notices.channels.a.kind", "notices.channels.b.channel", "notices.channels.b.y",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "content", [None, b"", b" \n ", b"two\nlines", b"\xff\xfe", "schl\u00fcssel".encode(), b"a\x00b"]
)
def test_a_secret_that_cannot_be_used_is_found_out_at_the_start(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)

    said = told({"it": {"kind": "pagerduty", "routing_key_file": str(path)}})

    assert said == (
        f"notices.channels.it.routing_key_file: {path}: "
        "expected a readable file with a secret in it: one line of printable ASCII"
    )


def test_a_secret_is_read_again_when_it_is_exchanged(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("one", "utf-8")
    secret = Secret(path)
    path.write_text("another", "utf-8")
    assert secret.read() == "another"
    path.unlink()
    assert secret.read() == "another"
    path.write_text("a third", "utf-8")
    assert secret.read() == "a third"
    assert "third" not in repr(secret)


NOW = datetime.datetime(2026, 5, 1, 12, 0, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("Fri, 01 May 2026 12:01:00 GMT", 60),
        ("Fri, 01 May 2026 12:01:00", 60),
        ("Friday, 01-May-26 12:01:00 GMT", 60),
        ("Fri, 01 May 2026 11:00:00 GMT", 1),
        ("\u00b2", 30),
        ("5", 5),
        ("", 30),
    ],
)
def test_how_long_to_wait(said: str, seconds: float) -> None:
    assert answers.retry_after({"Retry-After": said}, NOW) == seconds


class StoppedClock:
    def now(self) -> datetime.datetime:
        return NOW


def test_every_status_has_its_error() -> None:
    for status in range(300, 600):
        passing = status >= 500 or status in {408, 425}
        expected = errors.Throttled if status == 429 else errors.Unreachable if passing else errors.Refused
        assert type(answers.refusal("x", status, {}, StoppedClock())) is expected, status


def test_the_longest_secret_is_hidden_first() -> None:
    assert answers.hide("abcdef abc", ["abc", "abcdef", ""]) == "*** ***"


@pytest.mark.parametrize("limit", range(2, 30))
def test_what_is_cut_fits(limit: int) -> None:
    long = "aü😀" * 20
    assert text.units(text.cut(long, limit)) <= limit
    assert len(text.cut_bytes(long, limit + 2).encode()) <= limit + 2
    assert text.cut("short", 5) == "short"


def test_keys_that_are_cut_stay_different() -> None:
    one, other = (text.bounded_key("k" * 300 + end, 255) for end in "ab")

    assert len(one) == 255
    assert one != other
    assert text.bounded_key("k" * 255, 255) == "k" * 255


def test_facts_without_a_name_have_one() -> None:
    assert text.as_mapping([Fact(" ", "x"), Fact("a\nb", "y")], 10) == {"-": "x", "a b": "y"}
