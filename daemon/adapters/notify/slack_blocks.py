"""A story in Slack's Block Kit, in which nothing of the story can become markup, a mention or a link.

Limits are those of "Reference: blocks" and "Reference: text object" at docs.slack.dev; characters are counted
after escaping ("Formatting text for app surfaces": & < > must be escaped in every text object). Story text stands
in ``plain_text`` objects, which know no markup; only links and code need ``mrkdwn``, with ``verbatim`` so that
Slack makes no links and mentions of its own.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from daemon.adapters.notify import text
from daemon.model.notice import Fact, Link, Message, Mood, Story

Block = dict[str, Any]

_HEADER, _SECTION, _FIELD = 150, 3000, 2000
_FIELDS = 10
"""Per section."""
_BLOCKS = 50
_FACTS, _COMMANDS, _LINKS = 40, 10, 10
"""Ours: what a reader can still take in."""
_LINK_NAME, _LINK_URL = 80, 1500
_ALL = 12_000
"""Characters in all blocks. Ours: Slack answers msg_blocks_too_long somewhere above, and documents no number."""

# Signs, not :names:, so that emoji parsing can stay off for the story's own text.
_EMOJI = {Mood.ACTING: "⏬", Mood.SAFE: "🛡️", Mood.NEEDED: "🚨", Mood.OVER: "✅"}
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_MARKS = str.maketrans("", "", "*_~`|")


@dataclasses.dataclass(frozen=True, slots=True)
class Card:
    """What chat.postMessage and chat.update take: blocks, and the text for notifications and screen readers."""

    text: str
    blocks: tuple[Block, ...]


def card(story: Story) -> Card:
    """The whole story, as it is now."""
    title = f"{_EMOJI[story.mood]} {text.headline(story)}"
    summary = text.clean(story.summary).strip()
    blocks: list[Block] = [{"type": "header", "text": _plain(title, _HEADER)}]
    if summary:
        blocks.append({"type": "section", "text": _plain(summary, _SECTION)})
    ending = [*_commands(story.commands), *_links(story.links), _context(story)]
    # What to do is never crowded out by facts.
    left = _ALL - sum(map(_length, (*blocks, *ending)))
    blocks += _facts(story.facts, left)
    return Card(escaped(f"{title}\n{summary}" if summary else title, _SECTION), (*blocks, *ending)[:_BLOCKS])


def remark(message: Message, mention: str) -> Card:
    """One line beneath the card; ``mention`` is markup out of the configuration, used when a person is needed."""
    emoji = _EMOJI[message.story.mood]
    said = f"{emoji} {text.clean(message.text).strip() or text.headline(message.story)}"
    real = not (message.story.dry_run or message.story.drill)
    calling = mention if message.story.mood is Mood.NEEDED and real else ""
    blocks: list[Block] = []
    if calling:
        blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": calling, "verbatim": True}})
    blocks.append({"type": "section", "text": _plain(said, _SECTION)})
    plain = escaped(said, _SECTION)
    return Card(f"{calling} {plain}".strip(), tuple(blocks))


def escaped(value: str, limit: int) -> str:
    """With & < > as entities, at most ``limit`` characters then; no entity is cut apart."""
    if len(value) <= limit:
        whole = "".join(_ENTITIES.get(one, one) for one in value)
        if text.units(whole) <= limit:
            return whole
    kept: list[str] = []
    room = limit - len(text.ELLIPSIS)
    for one in value:
        shown = _ENTITIES.get(one, one)
        room -= text.units(shown)
        if room < 0:
            break
        kept.append(shown)
    return "".join(kept) + text.ELLIPSIS


def _plain(value: str, limit: int) -> Block:
    return {"type": "plain_text", "text": escaped(value, limit), "emoji": False}


def _context(story: Story) -> Block:
    said = text.line(f"pullback · {story.namespace}/{story.record}")
    return {"type": "context", "elements": [_plain(said, _FIELD)]}


def _facts(facts: Sequence[Fact], room: int) -> list[Block]:
    fields: list[Block] = []
    for fact in facts[:_FACTS]:
        name, value = text.line(fact.name), text.clean(fact.value).strip()
        field = _plain(f"{name}: {value or '-'}", _FIELD)
        room -= text.units(field["text"])
        if room < 0:
            break
        fields.append(field)
    return [
        {"type": "section", "fields": fields[first : first + _FIELDS]} for first in range(0, len(fields), _FIELDS)
    ]  # fmt: skip


def _commands(commands: Sequence[str]) -> list[Block]:
    blocks: list[Block] = []
    room = _ALL // 2
    for command in commands[:_COMMANDS]:
        value = text.clean(command).strip()
        # A command that is cut might do something else.
        shown = escaped(value, 2 * _SECTION)
        if not value or text.units(shown) > min(_SECTION - 8, room):
            continue
        room -= text.units(shown)
        if "`" in value:
            # It would end the code block; changed, it would not be the command any more.
            blocks.append({"type": "section", "text": _plain(value, _SECTION)})
        else:
            blocks.append({"type": "section", "text": _marked(f"```\n{shown}\n```")})
    return blocks


def _links(links: Sequence[Link]) -> list[Block]:
    shown = [_link(link) for link in links[:_LINKS]]
    lines: list[str] = []
    room = _SECTION
    for one in filter(None, shown):
        room -= text.units(one) + 3
        if room < 0:
            break
        lines.append(one)
    return [{"type": "section", "text": _marked(" · ".join(lines))}] if lines else []


def _link(link: Link) -> str:
    """``<url|name>``; nothing for what could end the tag early, or leads elsewhere than http and https."""
    url = link.url
    usable = url.startswith(("http://", "https://")) and len(url) <= _LINK_URL and text.clean(url) == url
    if not usable or any(sign.isspace() or sign in '<>|`"' for sign in url):
        return ""
    name = text.line(link.name.translate(_MARKS)) or "link"
    return f"<{escaped(url, 5 * _LINK_URL)}|{escaped(name, _LINK_NAME)}>"


def _marked(value: str) -> Block:
    return {"type": "mrkdwn", "text": value, "verbatim": True}


def _length(block: Block) -> int:
    return text.units("".join(_texts(block)))


def _texts(block: Block) -> Iterable[str]:
    own = block.get("text")
    if isinstance(own, dict):
        yield own["text"]
    for one in (*block.get("elements", ()), *block.get("fields", ())):
        yield one["text"]
