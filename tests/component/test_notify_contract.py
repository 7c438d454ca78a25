"""What every channel promises, against servers that speak the vendors' wire formats and fail on demand."""

from __future__ import annotations

import re
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from daemon.adapters import notify
from daemon.model import errors
from daemon.model.notice import Fact, Link, Mood, Saying, Severity
from tests import recorders
from tests.component import notify_lab
from tests.component.notify_lab import OPENING, SECRETS, Bench

KINDS = sorted(OPENING)
NASTY = '<!channel> <@U1> @here <https://evil.example|click> *b* _i_ `c` ```x``` :boom: & "q" {{x}} ${y} \\n'
LONG = "ü😀<&>" * 20_000


@pytest.fixture(params=KINDS)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    async with notify_lab.bench(request.param, tmp_path) as made:
        yield made


def test_the_suite_knows_every_channel() -> None:
    assert sorted(notify.discover()) == KINDS


async def test_what_is_accepted_is_said_once_and_has_a_reference(bench: Bench) -> None:
    reference = await bench.say()

    assert reference
    assert len(bench.held()) == 1


FAULTS: list[tuple[recorders.Fault, type[errors.NeighbourError]]] = [
    (recorders.status(500), errors.Unreachable),
    (recorders.status(503, body="<html>down</html>", content_type="text/html"), errors.Unreachable),
    (recorders.throttled(), errors.Throttled),
    (recorders.status(400), errors.Refused),
    (recorders.HANG, errors.Unreachable),
    (recorders.RESET, errors.Unreachable),
    (recorders.LOST, errors.Unreachable),
]


@pytest.mark.parametrize(
    ("fault", "expected"), FAULTS, ids=lambda one: f"{getattr(one, 'what', '')}{getattr(one, 'status', '')}"
)
async def test_a_failure_is_told_in_our_words(
    bench: Bench, fault: recorders.Fault, expected: type[errors.NeighbourError]
) -> None:
    bench.fail(fault)

    with pytest.raises(expected) as caught:
        await bench.say()

    assert type(caught.value) is expected
    if isinstance(caught.value, errors.Throttled):
        assert caught.value.retry_after == 7


async def test_what_a_person_can_mend_is_tried_again(bench: Bench) -> None:
    """A key that was rotated too early must not cost the page. The API server's no to an Event is another matter."""
    bench.fail(recorders.status(403))
    expected = errors.Refused if bench.kind == "kubernetes-events" else errors.Unreachable

    with pytest.raises(expected) as caught:
        await bench.say()

    assert isinstance(caught.value, expected)


@pytest.mark.parametrize("fault", [recorders.LOST, recorders.RESET, recorders.HANG], ids=lambda one: one.what)
async def test_nobody_is_told_twice_when_an_answer_was_lost(bench: Bench, fault: recorders.Fault) -> None:
    bench.fail(fault)
    with pytest.raises(errors.Unreachable):
        await bench.say()

    reference = await bench.say(uncertain=True)

    assert len(bench.held()) == 1
    assert reference
    assert await bench.say(uncertain=True, reference=reference) == reference
    assert len(bench.held()) == 1


async def test_another_rollback_is_another_story(bench: Bench) -> None:
    await bench.say()
    other = notify_lab.story(
        dedup_key="pullback/test/podinfo-def/2", record="podinfo-def", record_uid="2", title="Another"
    )
    await bench.say(other)

    assert len(bench.held()) == 2


@pytest.mark.parametrize("kind", sorted(SECRETS))
@pytest.mark.parametrize("fault", [403, 500, 429])
async def test_no_credential_stands_in_an_error_even_when_the_answer_repeats_it(
    kind: str, fault: int, tmp_path: Path
) -> None:
    async with notify_lab.bench(kind, tmp_path) as bench:
        said = f"bad key {SECRETS[kind]} for /hooks/T0SECRETPATH?token=q-secret-value"
        bench.fail(recorders.status(fault, body=f"{said} {'x' * 5000}", content_type="text/html"))
        with pytest.raises(errors.NeighbourError) as caught:
            await bench.say()

        told = "".join(traceback.format_exception(caught.value))
        assert len(str(caught.value)) < 600
        assert SECRETS[kind] not in told
        if kind == "webhook":
            assert "SECRETPATH" not in told
            assert "q-secret-value" not in told


@pytest.mark.parametrize("kind", sorted(SECRETS))
async def test_a_server_that_is_not_there_is_unreachable_and_its_error_names_no_credential(
    kind: str, tmp_path: Path
) -> None:
    entry = notify_lab.entry(kind, "http://127.0.0.1:1/hooks/T0SECRETPATH", tmp_path)
    async with notify_lab.surrounded() as surroundings:
        channel = notify.build({"it": entry}, surroundings)["it"]
        with pytest.raises(errors.Unreachable, match=r"127\.0\.0\.1:1") as caught:
            await channel.deliver(notify_lab.message(OPENING[kind]), "", uncertain=False)

    assert SECRETS[kind] not in "".join(traceback.format_exception(caught.value))
    assert kind != "webhook" or "SECRETPATH" not in str(caught.value)


async def test_text_of_any_origin_stays_text(bench: Bench) -> None:
    told = notify_lab.story(
        title=NASTY, summary=NASTY, revision=NASTY, facts=(Fact(NASTY, NASTY), Fact("", "")), commands=(NASTY,),
        links=(Link(NASTY, "https://runbooks.example/x"),),
    )  # fmt: skip

    await bench.say(told)

    [held] = bench.held()
    if bench.kind == "slack":
        assert "<!channel>" not in held
        assert "<https://evil" not in held
    else:
        assert "<!channel> <@U1> @here" in held


@pytest.mark.parametrize("mood", list(Mood))
async def test_very_long_text_is_cut_to_what_the_channel_takes(bench: Bench, mood: Mood) -> None:
    told = notify_lab.story(
        mood=mood, title=LONG, summary=LONG, revision=LONG,
        facts=tuple(Fact(f"{number}{LONG}", LONG) for number in range(300)),
        commands=(LONG,) * 300, links=tuple(Link(LONG, f"https://runbooks.example/{n}") for n in range(300)),
    )  # fmt: skip

    await bench.say(told)

    assert len(bench.held()) == 1


async def test_a_command_is_shown_whole_or_not_at_all(bench: Bench) -> None:
    """What is cut might do something else."""
    lengths = {"first": 10, "longest": 16_000, "longer": 4_100, "long": 3_990, "patch": 2_700, "last": 10}
    commands = tuple(f"begin-{name}-{'x' * length}-end-{name}." for name, length in lengths.items())
    await bench.say(notify_lab.story(commands=commands, mood=Mood.NEEDED))

    (shown,) = bench.held()
    for name in lengths:
        assert shown.count(f"begin-{name}-") == shown.count(f"-end-{name}."), name
    if bench.kind != "kubernetes-events":
        assert [shown.count(f"-end-{name}.") for name in ("first", "patch", "last")] == [1, 1, 1]


async def test_a_long_dedup_key_is_kept_apart_from_another_long_one(bench: Bench) -> None:
    names = [f"{'n' * 253}", f"{'n' * 252}m"]
    for uid, name in enumerate(names):
        await bench.say(
            notify_lab.story(
                dedup_key=f"pullback/test/{name}/{uid}", record=name, record_uid=f"{uid}", canary=name, canary_uid="c"
            )
        )

    assert len(bench.held()) == 2


@pytest.mark.parametrize("text", ["日本語 😀 ünï", "a\x00b\x1b[31mc\r\nd", "lone \ud800 half", "\u202egnol", " ", ""])
async def test_any_unicode_can_be_said(bench: Bench, text: str) -> None:
    told = notify_lab.story(
        title=text, summary=text, revision=text, facts=(Fact(text, text),), commands=(text,),
        links=(Link(text, "https://runbooks.example/"),),
    )  # fmt: skip

    await bench.say(told)

    [held] = bench.held()
    assert not re.search("[\x00\x1b\ud800\u202e]", held)
    if text.startswith("日"):
        assert text in held


@pytest.mark.parametrize("severity", list(Severity))
async def test_every_severity_is_known(bench: Bench, severity: Severity) -> None:
    await bench.say(notify_lab.story(severity=severity))

    assert len(bench.held()) == 1


async def test_a_rehearsal_says_so(bench: Bench) -> None:
    await bench.say(notify_lab.story(dry_run=True))

    [held] = bench.held()
    assert "DRY RUN" in held or "'dryRun': True" in held


@pytest.mark.parametrize("kind", ["slack", "pagerduty", "opsgenie"])
async def test_a_channel_refuses_what_its_manner_does_not_know(kind: str, tmp_path: Path) -> None:
    async with notify_lab.bench(kind, tmp_path) as bench:
        with pytest.raises(errors.Refused):
            await bench.channel.deliver(notify_lab.message(Saying.TELL), "", uncertain=False)


@pytest.mark.parametrize("kind", sorted(SECRETS))
async def test_a_credential_that_is_exchanged_is_used_from_then_on(kind: str, tmp_path: Path) -> None:
    async with notify_lab.bench(kind, tmp_path) as bench:
        secret = tmp_path / f"{kind}-secret"
        secret.write_text("somebody-elses-key", encoding="utf-8")
        with pytest.raises(errors.Unreachable):
            await bench.say()
        secret.write_text("", encoding="utf-8")  # it is being exchanged: the last good one goes on
        with pytest.raises(errors.Unreachable):
            await bench.say()
        secret.write_text(SECRETS[kind], encoding="utf-8")

        await bench.say()

        assert len(bench.held()) == 1


@pytest.mark.parametrize("kind", ["pagerduty", "opsgenie", "webhook"])
@pytest.mark.parametrize("code", [301, 307, 308])
async def test_a_redirect_is_not_followed(kind: str, code: int, tmp_path: Path) -> None:
    async with recorders.RecordingWebhook() as elsewhere, notify_lab.bench(kind, tmp_path) as bench:
        bench.fail(recorders.Fault("status", code, {"Location": elsewhere.url}))
        with pytest.raises(errors.Refused):
            await bench.say()

        assert elsewhere.requests == []


RETRY_AFTER: list[tuple[str, Any]] = [
    ("0", 1), ("12", 12), ("99999999999999", 3600), ("", 30), ("soon", 30), ("-5", 30), ("1.5", 30), ("²", 30),
    ("Wed, 21 Oct 2015 07:28:00 GMT", 1), ("Wed, 21 Oct 2099 07:28:00 GMT", 3600),
]  # fmt: skip


@pytest.mark.parametrize("kind", sorted(SECRETS))
async def test_the_pause_asked_for_is_bounded(kind: str, tmp_path: Path) -> None:
    async with notify_lab.bench(kind, tmp_path) as bench:
        for said, expected in RETRY_AFTER:
            if not said.isascii():
                continue
            bench.fail(recorders.throttled(said))
            with pytest.raises(errors.Throttled) as caught:
                await bench.say()
            assert caught.value.retry_after == expected, said
