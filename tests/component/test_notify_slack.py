"""Slack: one message that is rewritten, a thread beneath it, and finding one's own again."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from daemon import ports
from daemon.adapters import notify
from daemon.adapters.notify import slack_blocks
from daemon.model import errors
from daemon.model.notice import Fact, Link, Mood, Saying
from tests import recorders
from tests.component import notify_lab
from tests.component.notify_lab import message, story


@contextlib.asynccontextmanager
async def chatting(folder: Path, **options: Any) -> AsyncIterator[tuple[recorders.RecordingSlack, ports.Channel]]:
    async with recorders.RecordingSlack() as server, notify_lab.surrounded() as surroundings:
        entry = notify_lab.entry("slack", server.url, folder, **options)
        yield server, notify.build({"chat": entry}, surroundings)["chat"]


@pytest.fixture
async def chat(tmp_path: Path) -> AsyncIterator[tuple[recorders.RecordingSlack, ports.Channel]]:
    async with chatting(tmp_path, mention="<!subteam^S0ONCALL>") as made:
        yield made


Chat = tuple[recorders.RecordingSlack, ports.Channel]


async def post(channel: ports.Channel, reference: str = "", *, uncertain: bool = False, **changes: Any) -> str:
    return await channel.deliver(message(Saying.POST, told=story(**changes)), reference, uncertain=uncertain)


async def remark(
    channel: ports.Channel, reference: str, text: str = "a remark", *, uncertain: bool = False, **changes: Any
) -> str:
    said = message(Saying.REMARK, "remark-escalated", story(**changes), text=text)
    return await channel.deliver(said, reference, uncertain=uncertain)


def texts(blocks: list[dict[str, Any]], kind: str) -> list[str]:
    shown = [
        one for block in blocks for one in (block.get("text"), *block.get("fields", ()), *block.get("elements", ()))
    ]
    return [one["text"] for one in shown if one and one["type"] == kind]


async def test_one_message_is_rewritten_as_the_story_proceeds(chat: Chat) -> None:
    server, channel = chat
    reference = await post(channel)
    again = await post(channel, reference, mood=Mood.SAFE, title="test/podinfo is at 0%")

    [card] = server.messages
    assert reference == again == f"C0DEPLOYS:{card['ts']}"
    assert len(server.edits) == 1
    assert card["blocks"][0]["text"]["text"] == "🛡️ test/podinfo is at 0%"
    assert card["metadata"] == {
        "event_type": "pullback_rollback",
        "event_payload": {"dedup_key": notify_lab.STORY.dedup_key, "key": "decided"},
    }


async def test_links_are_not_unfurled_and_names_are_not_linked(chat: Chat) -> None:
    server, channel = chat
    await post(channel)

    [card] = server.messages
    assert (card["unfurl_links"], card["unfurl_media"], card["link_names"], card["parse"]) == (
        False, False, False, "none",
    )  # fmt: skip


async def test_a_remark_stands_in_the_thread_and_calls_nobody_while_nobody_is_needed(chat: Chat) -> None:
    server, channel = chat
    reference = await post(channel)
    assert await remark(channel, reference, "raised again 3 times") == reference

    [answer] = server.thread(reference.partition(":")[2])
    assert "raised again 3 times" in answer["text"]
    assert "subteam" not in json.dumps(answer)
    assert "reply_broadcast" not in answer


async def test_a_remark_calls_whom_it_should_when_a_person_is_needed(chat: Chat) -> None:
    server, channel = chat
    reference = await post(channel)
    await remark(channel, reference, "deadline passed", mood=Mood.NEEDED)

    [answer] = server.thread(reference.partition(":")[2])
    assert texts(answer["blocks"], "mrkdwn") == ["<!subteam^S0ONCALL>"]
    assert answer["text"].startswith("<!subteam^S0ONCALL> ")
    assert answer["reply_broadcast"] is True


async def test_nobody_is_called_in_a_rehearsal(chat: Chat) -> None:
    server, channel = chat
    reference = await post(channel)
    await remark(channel, reference, mood=Mood.NEEDED, dry_run=True)

    assert "subteam" not in json.dumps(server.messages)


async def test_nothing_is_remarked_upon_before_it_is_posted(chat: Chat) -> None:
    with pytest.raises(errors.Unreachable, match="not posted yet"):
        await remark(chat[1], "")


async def test_a_remark_whose_answer_was_lost_is_not_made_again(chat: Chat) -> None:
    server, channel = chat
    reference = await post(channel)
    server.fail(recorders.LOST)
    with pytest.raises(errors.Unreachable):
        await remark(channel, reference)

    assert await remark(channel, reference, uncertain=True) == reference
    assert len(server.thread(reference.partition(":")[2])) == 1


async def test_a_remark_seen_in_the_channel_too_is_not_taken_for_the_card(chat: Chat) -> None:
    server, channel = chat
    reference = await post(channel)
    await remark(channel, reference, mood=Mood.NEEDED)

    assert await post(channel, uncertain=True) == reference
    assert len(server.cards) == 1


async def test_a_lost_post_is_found_among_many_and_shows_the_newest(chat: Chat) -> None:
    server, channel = chat
    server.fail(recorders.LOST)
    with pytest.raises(errors.Unreachable):
        await post(channel)
    for number in range(450):
        server._post({"channel": "C0DEPLOYS", "text": f"chatter {number}"})

    await post(channel, uncertain=True, title="newer")

    assert [one["blocks"][0]["text"]["text"] for one in server.cards if "metadata" in one] == ["⏬ newer"]
    assert sum("history" in request.path for request in server.requests) == 3


async def test_looking_ends_after_some_pages(chat: Chat) -> None:
    server, channel = chat
    for number in range(1500):
        server._post({"channel": "C0DEPLOYS", "text": f"chatter {number}"})

    await post(channel, uncertain=True)

    assert sum("history" in request.path for request in server.requests) == 5
    assert len([one for one in server.cards if "metadata" in one]) == 1


async def test_without_the_scope_to_look_it_is_posted_again(chat: Chat) -> None:
    server, channel = chat
    server.scopes = {"chat:write"}
    server.fail(recorders.LOST)
    with pytest.raises(errors.Unreachable):
        await post(channel)

    await post(channel, uncertain=True)

    assert len(server.cards) == 2


async def test_looking_that_fails_for_now_is_tried_again_before_anything_is_posted(chat: Chat) -> None:
    server, channel = chat
    server.fail(recorders.throttled(path="conversations.history"))

    with pytest.raises(errors.Throttled):
        await post(channel, uncertain=True)

    assert server.messages == []


async def test_a_channel_by_name_is_looked_into_once_its_id_is_known(tmp_path: Path) -> None:
    async with chatting(tmp_path, channel="#deploys") as (server, channel):
        await post(channel, dedup_key="pullback/test/another/1")
        server.fail(recorders.LOST)
        with pytest.raises(errors.Unreachable):
            await post(channel)

        await post(channel, uncertain=True)

        assert len(server.cards) == 2


async def test_what_somebody_deleted_is_posted_anew(chat: Chat) -> None:
    server, channel = chat
    reference = await post(channel)
    server.delete(reference.partition(":")[2])

    anew = await post(channel, reference)

    assert anew != reference
    assert len(server.cards) == 1


async def test_what_was_deleted_and_posted_anew_without_an_answer_is_found(chat: Chat) -> None:
    server, channel = chat
    reference = await post(channel)
    server.delete(reference.partition(":")[2])
    server.fail(recorders.Fault("lost", path="chat.postMessage"))
    with pytest.raises(errors.Unreachable):
        await post(channel, reference)

    anew = await post(channel, reference, uncertain=True)

    assert [f"C0DEPLOYS:{one['ts']}" for one in server.cards] == [anew]


async def test_a_remark_survives_the_deletion_of_what_it_remarks_upon(chat: Chat) -> None:
    server, channel = chat
    reference = await post(channel)
    server.delete(reference.partition(":")[2])

    anew = await remark(channel, reference, "a person is needed")

    assert anew != reference
    assert len(server.cards) == 1
    assert len(server.thread(anew.partition(":")[2])) == 1


SLACK_SAYS: list[tuple[str, type[errors.NeighbourError]]] = [
    *((code, errors.Refused) for code in (
        "msg_too_long", "invalid_blocks", "a_code_of_tomorrow",
    )),
    *((code, errors.Unreachable) for code in (
        "fatal_error", "internal_error", "service_unavailable", "request_timeout",
        # A person can mend these without us.
        "invalid_auth", "channel_not_found", "not_in_channel", "missing_scope", "account_inactive", "is_archived",
        "token_revoked",
    )),
    ("ratelimited", errors.Throttled),
    ("rate_limited", errors.Throttled),
]  # fmt: skip


@pytest.mark.parametrize(("code", "expected"), SLACK_SAYS)
async def test_what_slack_says_with_http_200(chat: Chat, code: str, expected: type[errors.NeighbourError]) -> None:
    server, channel = chat
    server.fail(recorders.status(200, body=json.dumps({"ok": False, "error": code}), headers={"Retry-After": "11"}))

    with pytest.raises(expected, match=code) as caught:
        await post(channel)

    assert isinstance(caught.value, expected)
    assert not isinstance(caught.value, errors.Throttled) or caught.value.retry_after == 11


ODD = [
    (200, "[1]", "application/json"), (200, "[]", "application/json"), (200, "{", "application/json"),
    (200, "null", "application/json"), (200, "hello", "text/plain"), (200, "<html>", "text/html"),
    (200, '{"ok": true}', "application/json"), (200, '"\\ud800"', "application/json"),
    (502, "<html>", "text/html"), (500, "{", "application/json"), (200, "", "application/gzip"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "kind"), ODD)
async def test_an_answer_that_is_none_of_slacks_is_no_answer(chat: Chat, status: int, body: str, kind: str) -> None:
    server, channel = chat
    server.fail(recorders.status(status, body=body, content_type=kind))

    with pytest.raises(errors.Unreachable):
        await post(channel)


async def test_the_sdk_tries_nothing_by_itself(tmp_path: Path) -> None:
    async with chatting(tmp_path, timeout=10) as (server, channel):
        server.fail(recorders.RESET, recorders.RESET, recorders.throttled("1"))
        for _ in range(3):
            with pytest.raises(errors.NeighbourError):
                await post(channel)

        assert len(server.requests) == 3


async def test_a_proxy_in_the_environment_is_the_sessions_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    async with chatting(tmp_path) as (server, channel):
        await post(channel)

        assert len(server.messages) == 1


def test_text_stands_where_slack_knows_no_markup() -> None:
    nasty = "<!channel> @here *b* `c` ```x``` & <https://evil.example|click>"
    shown = slack_blocks.card(
        story(title=nasty, summary=nasty, facts=(Fact(nasty, nasty),), commands=("kubectl <x> & @here",),
              links=(Link(nasty, "https://ok.example/?a=1&b=2"),))
    )  # fmt: skip

    marked = texts(list(shown.blocks), "mrkdwn")
    assert marked == [
        "```\nkubectl &lt;x&gt; &amp; @here\n```",
        "<https://ok.example/?a=1&amp;b=2|&lt;!channel&gt; @here b c x &amp; &lt;https://evil.exampleclick&gt;>",
    ]
    assert not any("<" in one or ">" in one for one in texts(list(shown.blocks), "plain_text"))
    assert "<" not in shown.text


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "ftp://x/", "https://x/|y", "https://x/>y", "https://x/ y", "https://x/\ny", "",
     "https://x/" + "y" * 2000, "https://x/\u202ey", 'https://x/"y'],
)  # fmt: skip
def test_a_url_that_could_end_its_tag_is_not_linked(url: str) -> None:
    shown = slack_blocks.card(story(links=(Link("bad", url),), commands=()))

    assert texts(list(shown.blocks), "mrkdwn") == []


def test_a_command_with_a_backtick_is_shown_as_it_is_and_not_in_a_code_block() -> None:
    shown = slack_blocks.card(story(commands=("echo `date`", "x" * 4000, " "), links=()))

    assert texts(list(shown.blocks), "mrkdwn") == []
    assert "echo `date`" in texts(list(shown.blocks), "plain_text")
    assert "xxx" not in json.dumps(shown.blocks)


@pytest.mark.parametrize("limit", range(1, 40))
def test_no_entity_is_cut_apart(limit: int) -> None:
    cut = slack_blocks.escaped("<a>&b&😀<" * 9, limit)

    assert len(cut.encode("utf-16-le")) // 2 <= limit
    rest = cut.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "")
    assert "&" not in rest
    assert rest.endswith("…")


async def test_the_recorder_checks_like_slack() -> None:
    """Otherwise the tests above would prove nothing."""
    server = recorders.RecordingSlack()
    bad: list[dict[str, Any]] = [
        {"text": ""},
        {"text": "x", "blocks": [{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}]},
        {"text": "x", "blocks": [{"type": "section"}]},
        {"text": "x", "blocks": [{"type": "section", "text": {"type": "plain_text", "text": ""}}]},
        {"text": "x", "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "x", "emoji": False}}]},
        {"text": "x", "blocks": [{"type": "context", "elements": []}]},
        {"text": "x", "metadata": {"event_type": "x", "event_payload": {"x": []}}},
        {"text": "x", "thread_ts": "1.1"},
    ]
    for given in bad:
        assert not server._post({"channel": "C0DEPLOYS", **given})["ok"], given
    assert isinstance(await server.answer(recorders.Request("POST", "/api/auth.test", {}, {}, b"")), web.Response)
