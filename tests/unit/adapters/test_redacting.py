"""What counts as a secret, what stays, and that no text can make the daemon hang."""

from __future__ import annotations

import asyncio
import re
import string
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.adapters.evidence.differing import differences
from daemon.adapters.evidence.packing import head, packed, tail
from daemon.adapters.evidence.redacting import DEFAULT_PATTERNS, LINE_MOST, Redactor, TooSlow, compiled, plain
from daemon.model import errors

REDACTOR = Redactor(compiled(DEFAULT_PATTERNS))
SECRET = "hunter2Xyz9"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.SflKxwRJSMeKKF2QT4fwpM"
BODY = ["MIIEpAIBAAKCAQEA7bq3Z0m1uJ9mC1k8Y2Qw0dKk1vW5s2J8Q6r7T9x3L4n5P6a8", "Z0m1uJ9mC1k8Y2Qw0dKk1vW5", "aGk="]
KEY = ["-----BEGIN RSA PRIVATE KEY-----", *BODY, "-----END RSA PRIVATE KEY-----"]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"Authorization: Bearer {SECRET}", "Authorization: [redacted]"),
        (f'{{"Authorization":"Basic {SECRET}","x":1}}', '{"Authorization":"[redacted]","x":1}'),
        (f"authorization=Digest username=u, response={SECRET}", "authorization=[redacted]"),
        (f"Set-Cookie: sid={SECRET}; Path=/", "Set-Cookie: [redacted]"),
        (f"sent bearer {SECRET}xx and left", "sent bearer [redacted] and left"),
        (f"got {JWT} from it", "got [redacted] from it"),
        ("key AKIAIOSFODNN7EXAMPLE was used", "key [redacted] was used"),
        (f"aws_secret_access_key = {SECRET}", "aws_secret_access_key = [redacted]"),
        (f"password={SECRET} user=bob", "password=[redacted] user=bob"),
        (f"password={SECRET},with;all&of(it)", "password=[redacted]"),
        (f"DB_PASSWORD: {SECRET}", "DB_PASSWORD: [redacted]"),
        (f"DB_PASSWORD_PROD={SECRET}", "DB_PASSWORD_PROD=[redacted]"),
        (f'{{"token": "{SECRET}", "user": "bob"}}', '{"token": "[redacted]", "user": "bob"}'),
        (f'{{"token":"a\\"{SECRET}","user":"bob"}}', '{"token":"[redacted]","user":"bob"}'),
        (f"{{'apiKey': '{SECRET}'}}", "{'apiKey': '[redacted]'}"),
        ('{"api_key":12345,"error":"boom"}', '{"api_key":[redacted],"error":"boom"}'),
        (f'"password": "{SECRET} which is cut', '"password": "[redacted]'),
        (f'msg="{{\\"secret\\":\\"{SECRET}\\",\\"a\\":1}}"', 'msg="{\\"secret\\":[redacted]",\\"a\\":1}"'),
        (f"run --db-password {SECRET} --port 80", "run --db-password [redacted] --port 80"),
        (f"postgres://bob:{SECRET}@db:5432/x", "postgres://[redacted]@db:5432/x"),
        (f"redis://:p@{SECRET}@db/0", "redis://[redacted]@db/0"),
        ("clone with ghp_0123456789abcdefghij0123456789abcdef", "clone with [redacted]"),
        (f"https://hooks.slack.com/services/T0/B0/{SECRET}", "https://hooks.slack.com/services/[redacted]"),
        (f"smtp_pass={SECRET} host=mail", "smtp_pass=[redacted] host=mail"),
        (f'{{"dbPass":"{SECRET}"}}', '{"dbPass":"[redacted]"}'),
        (f"AccountName=a;AccountKey={SECRET}", "AccountName=a;AccountKey=[redacted]"),
        (f"GET /blob?sv=1&sig={SECRET}&se=2 403", "GET /blob?sv=1&sig=[redacted]&se=2 403"),
        (f"PUT /o?X-Amz-Signature={SECRET}", "PUT /o?X-Amz-Signature=[redacted]"),
        (f"vault said hvs.{SECRET}CAESIJ0123456789", "vault said [redacted]"),
        (f"npm_{SECRET}0123456789abcdefghijklmno was revoked", "[redacted] was revoked"),
        (f"pass\x1b[31mword\x1b[0m={SECRET}", "password=[redacted]"),
    ],
)
def test_secrets_are_taken_out(text: str, left: str) -> None:
    assert REDACTOR.text(text) == left


@pytest.mark.parametrize(
    "text",
    [
        'Pulling image "registry.example:5000/token-service:v2"',
        "GET /v1/orders?id=7 500 12ms",
        "http://podinfo-canary.test:9898/healthz",
        "java.lang.NullPointerException: at app.Password.check(Password.java:17)",
        "mail from a@b.example",
        "secretKeyRef: name db",
        "12 tests: pass=11 fail=1, bypass=true, compass: north",
        "first_pass_done, one-pass compiler",
        "2026-11-24T17:00:00Z ERROR connection refused: 10.0.0.7:5432",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert REDACTOR.text(text) == text


class TestPrivateKeys:
    def test_whole_ones_and_on_one_line(self) -> None:
        text = "\n".join(["before", *KEY, "after"])
        assert REDACTOR.text(text) == "before\n[redacted]\nafter"
        escaped = "key: " + "\\n".join(KEY) + " end"
        assert REDACTOR.text(escaped) == "key: [redacted] end"
        assert REDACTOR.text("\r\n".join(["a", *KEY, "b"])) == "a\n[redacted]\nb"

    def test_with_a_logger_s_words_in_front(self) -> None:
        text = "\n".join(f"12:00:00 INFO {line}" for line in ["starting up", *KEY, "it goes on"])
        left = REDACTOR.text(text)
        assert not any(line in left for line in BODY)
        assert "starting up" in left
        assert "it goes on" in left

    def test_half_of_one(self) -> None:
        beheaded = "\n".join([*KEY[2:], "after"])
        assert REDACTOR.text(beheaded) == "[redacted]\nafter"
        unfinished = "\n".join(["before", *KEY[:3]])
        assert REDACTOR.text(unfinished) == "before\n[redacted]"
        then_other = "\n".join([*KEY[:3], "panic: out of memory"])
        assert REDACTOR.text(then_other) == "[redacted]\npanic: out of memory"

    async def test_neither_end(self) -> None:
        text = "\n".join([BODY[0], BODY[0], "after"])
        assert await cleaned(text, headless=True) == "[redacted]\nafter"
        assert await cleaned(text) == text

    def test_a_stray_beginning_hides_no_more_than_a_key(self) -> None:
        text = "\n".join([KEY[0], *(f"line {index} of the log" for index in range(500))])
        assert REDACTOR.text(text).count("\n") > 490

    @given(st.integers(0, 40), st.integers(0, 40))
    @settings(max_examples=60, deadline=None)
    def test_wherever_it_is_cut(self, start: int, length: int) -> None:
        key = [KEY[0], *[BODY[0]] * 20, BODY[2], KEY[-1]]
        lines = ["a", "b", *key, "c"][start : start + length]
        left = asyncio.run(cleaned("\n".join(lines), headless=True))
        assert BODY[0] not in left


async def cleaned(text: str, *, headless: bool = False) -> str:
    until = asyncio.get_running_loop().time() + 30
    return await REDACTOR.long_text(text, until=until, headless=headless)


class TestValues:
    @pytest.mark.parametrize(
        "name",
        ["DB_PASSWORD", "password", "API_TOKEN", "--token", "Authorization", "SECRET_KEY", "DB_PASS", "SMTP_PASS_1",
         "dbPass"],
    )  # fmt: skip
    def test_a_name_is_enough(self, name: str) -> None:
        assert REDACTOR.value(name, "two words\nand lines") == "[redacted]"

    def test_other_names_show_their_values(self) -> None:
        assert REDACTOR.value("LOG_LEVEL", "debug") == "debug"
        assert REDACTOR.value("DSN", f"mysql://a:{SECRET}@db/x") == "mysql://[redacted]@db/x"

    def test_an_operator_s_pattern_on_the_name(self) -> None:
        assert Redactor(compiled(["^INTERNAL_"])).value("INTERNAL_CODE", "7") == "[redacted]"

    async def test_the_diff(self) -> None:
        def template(password: str, level: str) -> dict[str, object]:
            env = [
                {"name": "DB_PASSWORD", "value": password},
                {"name": "FROM", "valueFrom": {"secretKeyRef": {"name": "db-secret", "key": "password"}}},
                {"name": "LEVEL", "value": level},
            ]
            container = {"name": "app", "image": "x/secret:v1", "env": env, "args": ["--token", SECRET, "--port", "80"]}
            return {"metadata": {"annotations": {"auth/token": SECRET}}, "spec": {"containers": [container]}}

        text = await differences(template("old-1", "info"), template("new-1", "debug"), REDACTOR)
        assert "-      value: info" in text
        assert "+      value: debug" in text
        assert not any(secret in text for secret in (SECRET, "old-1", "new-1"))
        marks = re.findall(r"[-+]\s+value: '?\[redacted\] #(\w{4})", text)
        assert len(marks) == len(set(marks)) == 2
        same = await differences(template("a", "b"), template("a", "b"), REDACTOR)
        assert same == "the pod templates do not differ\n"
        whole = await differences(None, template("a", "b"), REDACTOR)
        assert whole.startswith("# the primary was not there")
        assert "image: x/secret:v1" in whole
        assert "name: db-secret" in whole
        assert "too large" in await differences(None, {"a": "x" * 300_000}, REDACTOR)


class TestPatterns:
    @pytest.mark.parametrize(
        "text", ["(a+)+$", "(a|aa)*b", r"(\w*\s?)*x", "(?:(a)?b*){2,}", "([a]{1,9}){20}", "(", "x*"]
    )
    def test_some_are_refused(self, text: str) -> None:
        with pytest.raises(errors.ConfigurationError, match=re.escape(repr(text))):
            compiled([text])

    @pytest.mark.parametrize(
        "text",
        [r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}", r"card=(?P<secret>\d+)", r"a\(+\)+", "[(+)]+x", "(?:ab)+", "k(a|b)c+"],
    )
    def test_others_are_not(self, text: str) -> None:
        assert compiled([text])

    def test_only_the_group_is_taken_out(self) -> None:
        redactor = Redactor(compiled([r"card (?P<secret>\d+)!", "gone", r"x(?P<secret>y)?z"]))
        assert redactor.text("card 12! gone xz xyz") == "card [redacted]! [redacted] [redacted] x[redacted]z"

    @pytest.mark.parametrize(
        "line",
        [
            "a" * 100_000,
            "eyJa-" * 20_000,
            "password" * 10_000,
            "password=" * 10_000,
            'token="\\' * 10_000,
            "://" * 30_000,
            "://a" * 30_000,
            "-----BEGIN RSA PRIVATE KEY-----" * 3_000,
            "-----END RSA PRIVATE KEY-----" * 3_000,
            "-" * 100_000,
            "--a" * 30_000,
            "SECRET_" * 15_000,
            "bearer " * 15_000,
            "Authorization: " * 7_000,
            '\\"' * 50_000,
            "password" + "\\" * 90_000,
            "token" + " " * 90_000,
        ],
        ids=lambda line: line[:12],
    )
    def test_no_line_takes_long(self, line: str) -> None:
        began = time.perf_counter()
        left = REDACTOR.text(line)
        assert time.perf_counter() - began < 2
        assert len(left) <= 2 * LINE_MOST

    async def test_what_is_not_done_in_time_is_not_given(self) -> None:
        with pytest.raises(TooSlow):
            await REDACTOR.long_text("a\n" * 10, until=asyncio.get_running_loop().time() - 1)

    async def test_the_loop_gets_its_turn(self) -> None:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        await cleaned("an ordinary line of a log, as there are many\n" * 2000)
        counting.cancel()
        assert turns >= 4

    @given(st.text(alphabet=string.printable + "äß\x00\ud800😀", max_size=300))
    @settings(max_examples=100, deadline=None)
    def test_any_text_comes_out_as_text(self, text: str) -> None:
        left = REDACTOR.text(text)
        assert left.encode().decode() == left
        assert "\x00" not in left
        assert plain(left) == left

    def test_a_long_line_is_cut_after_it_is_redacted(self) -> None:
        left = REDACTOR.text("x " * 4000 + f"password={SECRET}" + " y" * 9000)
        assert SECRET not in left
        assert re.search(r"\.\.\. cut: \d+ more characters \.\.\.$", left)
        at_the_border = REDACTOR.text("x" * (LINE_MOST - 12) + f" ://a:{SECRET}@db/x")
        assert SECRET[:4] not in at_the_border


class TestCutting:
    @given(st.text(alphabet="aä😀\n", max_size=200), st.integers(60, 300), st.booleans())
    @settings(max_examples=150, deadline=None)
    def test_never_a_letter_in_half(self, text: str, most: int, cut: bool) -> None:
        for kept in (tail(text, most, cut=cut), head(text, most)):
            assert len(kept.encode()) <= most
            assert "\ufffd" not in kept
        assert text.endswith(tail(text, most, cut=cut).partition(" ...\n")[2]) or not cut
        if len(text.encode()) <= most:
            assert head(text, most) == text

    @given(st.lists(st.integers(0, 5000), max_size=12), st.integers(0, 8000))
    @settings(max_examples=100, deadline=None)
    def test_all_within_the_total(self, sizes: list[int], total: int) -> None:
        logs = {f"pod-{index}.app.log": ("x" * 9 + "\n") * (size // 10) for index, size in enumerate(sizes)}
        texts = {"summary.txt": "s" * 900, "template.diff": "d" * 9000}
        data = packed(texts, {key: (text, False) for key, text in logs.items()}, log_bytes=1000, total=total)
        assert sum(len(key) + len(text.encode()) for key, text in data.items()) <= max(total, sum(map(len, texts)))

    def test_short_logs_stay_whole(self) -> None:
        logs = {"a.log": ("short\n", False), "b.log": ("x" * 99 + "\n", False), "c.log": ("y\n" * 5000, False)}
        data = packed({}, logs, log_bytes=10_000, total=1000)
        assert data["a.log"] == "short\n"
        assert data["b.log"] == "x" * 99 + "\n"
        assert data["c.log"].startswith("... cut")
        assert data["c.log"].endswith("y\n")
