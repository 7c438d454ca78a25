"""Slack: one message per rollback, rewritten as it proceeds, with remarks in its thread.

Needs the bot scope ``chat:write`` and membership of the channel. With ``channels:history`` (``groups:history`` for
a private channel) a message whose answer was lost is found again by its metadata; without, it is posted again.
Methods, errors and limits: docs.slack.dev/reference/methods.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import aiohttp
import pydantic
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from daemon.adapters import answers
from daemon.adapters.notify import slack_blocks
from daemon.adapters.notify.options import ChannelOptions, HttpUrl, Timeout
from daemon.adapters.notify.surroundings import Surroundings
from daemon.adapters.secrets import Secret, SecretFile
from daemon.model import errors
from daemon.model.notice import Manner, Message, Mood, Saying

KIND = "slack"

EVENT_TYPE = "pullback_rollback"
"""Of the metadata by which we know our own messages."""

# Slack's own trouble, said with HTTP 200.
_PASSING = frozenset({"fatal_error", "internal_error", "request_timeout", "service_unavailable", "team_added_to_org"})
_THROTTLED = frozenset({"ratelimited", "rate_limited"})
# What a person can mend without us: until then it is tried, seldom, and shown as undelivered.
_MENDABLE = frozenset({
    "access_denied", "account_inactive", "channel_not_found", "ekm_access_denied", "invalid_auth", "is_archived",
    "missing_scope", "no_permission", "not_authed", "not_in_channel", "org_login_required", "restricted_action",
    "team_access_not_granted", "token_expired", "token_revoked",
})  # fmt: skip
# What we keep there cannot be rewritten or answered any more: deleted, somebody else's, its channel closed.
_LOST = frozenset({
    "cannot_reply_to_message", "cant_update_message", "edit_window_closed", "message_not_found", "thread_not_found",
})  # fmt: skip

_PAGE, _PAGES = 200, 5
"""Messages per page, and pages, that are looked through for a message of ours."""
_CLOCKS = 300
"""Seconds by which Slack's clock may be behind ours."""

_MENTION = r"^(<(!here|!channel|!everyone|!subteam\^[A-Z0-9]+|@[A-Z0-9]+)>( |$))*$"


class Options(ChannelOptions):
    """``kind: slack``."""

    token_file: SecretFile
    """A bot token (``xoxb-…``), read again when changed."""
    channel: Annotated[str, pydantic.Field(min_length=1, max_length=80, pattern=r"^\S+$")]
    """An id (``C0123456789``), or a name: but only under an id can Slack be asked what was posted already."""
    api_url: HttpUrl = AsyncWebClient.BASE_URL
    """Another one for GovSlack, or a proxy."""
    timeout: Timeout = 10.0
    """Of every single call."""
    mention: Annotated[str, pydantic.Field(pattern=_MENTION)] = ""
    """Whom to call when a person is needed, as Slack writes it: ``<!subteam^S0123>``, ``<@U0123>``, ``<!here>``."""


def build(options: Options, surroundings: Surroundings) -> "SlackChannel":
    return SlackChannel(options, surroundings)


class SlackChannel:
    """Keeps ``ports.Channel``. A reference is ``<channel id>:<ts>`` of the rollback's message."""

    manner = Manner.MESSAGE
    closes = False

    def __init__(self, options: Options, surroundings: Surroundings) -> None:
        self._token = Secret(options.token_file)
        self._mention = options.mention
        self._channel = options.channel
        self._channel_id = options.channel
        self._calls = _Calls(options, surroundings, self._token)

    async def deliver(self, message: Message, reference: str, *, uncertain: bool) -> str:
        match message.saying:
            case Saying.POST:
                return await self._show(message, reference, uncertain=uncertain)
            case Saying.REMARK if not reference:
                raise errors.Unreachable("Slack: not posted yet, so there is nothing to remark upon")
            case Saying.REMARK:
                return await self._remark(message, reference, uncertain=uncertain)
            case _:
                raise errors.Refused(f"Slack: a chat does not know how to {message.saying}")

    async def _show(self, message: Message, reference: str, *, uncertain: bool) -> str:
        if reference and await self._rewrite(message, reference):
            return reference
        found = await self._find_card(message) if uncertain else ""
        if found and await self._rewrite(message, found):
            return found
        return await self._post(slack_blocks.card(message.story), message, self._channel)

    async def _rewrite(self, message: Message, reference: str) -> bool:
        channel, _, ts = reference.partition(":")
        card = slack_blocks.card(message.story)
        try:
            await self._calls.ask(
                self._calls.client.chat_update, channel=channel, ts=ts, text=card.text, blocks=card.blocks,
                metadata=_metadata(message), link_names=False, parse="none",
            )  # fmt: skip
        except errors.Missing:
            return False
        return True

    async def _remark(self, message: Message, reference: str, *, uncertain: bool) -> str:
        if uncertain and await self._said(message, reference):
            return reference
        card = slack_blocks.remark(message, self._mention)
        try:
            await self._post(card, message, reference)
        except errors.Missing:
            # Somebody deleted the message; what is worth a remark is not to be lost with it.
            reference = await self._show(message, "", uncertain=True)
            try:
                await self._post(card, message, reference)
            except errors.Missing as error:
                raise errors.Refused(str(error)) from error
        return reference

    async def _post(self, card: slack_blocks.Card, message: Message, where: str) -> str:
        """``where`` is a channel, or the reference of the message to answer."""
        channel, _, thread = where.partition(":")
        # A thread nobody follows rings nowhere: when a person is needed, its channel sees the remark too.
        broadcast = True if thread and message.story.mood is Mood.NEEDED else None
        answer = await self._calls.ask(
            self._calls.client.chat_postMessage, channel=channel, text=card.text, blocks=card.blocks,
            thread_ts=thread or None, reply_broadcast=broadcast, metadata=_metadata(message),
            mrkdwn=bool(thread), parse="none", link_names=False, unfurl_links=False, unfurl_media=False,
        )  # fmt: skip
        if not answer.get("channel") or not answer.get("ts"):
            raise errors.Unreachable("Slack: chat.postMessage answered without channel and ts")
        if not thread:
            self._channel_id = str(answer["channel"])
        return f"{answer['channel']}:{answer['ts']}"

    async def _find_card(self, message: Message) -> str:
        """The reference of the message we have posted about this rollback, if Slack lets us look."""

        def ours(one: dict[str, Any]) -> bool:
            beneath = one.get("thread_ts", one.get("ts")) != one.get("ts")
            return not beneath and _payload(one).get("dedup_key") == message.story.dedup_key

        oldest = f"{message.story.began_at.timestamp() - _CLOCKS:.6f}"
        history = self._calls.client.conversations_history
        ts = await self._calls.find(history, ours, channel=self._channel_id, oldest=oldest, inclusive=True)
        return f"{self._channel_id}:{ts}" if ts else ""

    async def _said(self, message: Message, reference: str) -> bool:
        channel, _, thread = reference.partition(":")
        wanted = _metadata(message)["event_payload"]

        def ours(one: dict[str, Any]) -> bool:
            return one.get("ts") != thread and _payload(one) == wanted

        return bool(await self._calls.find(self._calls.client.conversations_replies, ours, channel=channel, ts=thread))


class _Calls:
    """Slack's answers and failures in our words. Never retries: the outbox does."""

    def __init__(self, options: Options, surroundings: Surroundings, token: Secret) -> None:
        self._timeout = options.timeout
        self._clock = surroundings.clock
        self._token = token
        self._api_url = options.api_url
        # The SDK logs every request in full wherever its logger is not told otherwise.
        logger = logging.getLogger(__name__)
        logger.setLevel(logging.WARNING)
        self.client = AsyncWebClient(
            base_url=options.api_url, session=surroundings.session, logger=logger, retry_handlers=[]
        )
        # Out of the environment it takes one proxy for all hosts; the session knows NO_PROXY too, if it is to.
        self.client.proxy = None

    async def ask(self, call: Callable[..., Awaitable[AsyncSlackResponse]], **arguments: Any) -> AsyncSlackResponse:
        """Raises Missing, besides the family of ``Channel``, when the message spoken of is out of reach."""
        self.client.token = self._token.read()
        try:
            # The SDK leaves the time to a session that it is given.
            async with asyncio.timeout(self._timeout):
                return await call(**arguments)
        except SlackApiError as error:
            raise self._refusal(error) from error
        except TimeoutError as error:
            raise errors.Unreachable(f"Slack at {self._api_url}: no answer within {self._timeout:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            said = answers.hide(f"{type(error).__name__}: {error}", [self._token.read()])
            raise errors.Unreachable(f"Slack at {self._api_url}: {said}") from error
        except (AttributeError, LookupError, ValueError) as error:
            # How the SDK stumbles over an answer that is no JSON object, as a proxy on the way may give.
            raise errors.Unreachable(f"Slack at {self._api_url}: expected a JSON object in the answer") from error

    async def find(
        self, call: Callable[..., Awaitable[AsyncSlackResponse]], ours: Callable[[dict[str, Any]], bool],
        **arguments: Any,
    ) -> str:  # fmt: skip
        """The ``ts`` of the first message that is ``ours``; empty when there is none, or we may not look."""
        cursor: str | None = None
        for _ in range(_PAGES):
            try:
                page = await self.ask(call, limit=_PAGE, include_all_metadata=True, cursor=cursor, **arguments)
            except (errors.Refused, errors.Missing, answers.NotAllowedError):
                # To say it twice is better than not at all; if it may not be said either, that call tells why.
                return ""
            for one in page.get("messages") or ():
                if ours(one):
                    return str(one.get("ts", ""))
            cursor = (page.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                break
        return ""

    def _refusal(self, error: SlackApiError) -> errors.NeighbourError:
        response = error.response
        status = int(getattr(response, "status_code", 0) or getattr(response, "status", 0))
        data = getattr(response, "data", None)
        code = str(data.get("error") or "") if isinstance(data, dict) else ""
        details = (data.get("response_metadata") or {}).get("messages") if isinstance(data, dict) else None
        said = f"{code} {'; '.join(map(str, details or ()))}".strip() or "no word of why"
        text = answers.hide(f"Slack at {self._api_url}: HTTP {status}: {said}", [self._token.read()])[:500]
        if code in _LOST:
            return errors.Missing(text)
        if status == 429 or code in _THROTTLED:
            headers = getattr(response, "headers", {})
            return errors.Throttled(text, answers.retry_after(headers, self._clock.now()))
        if code in _MENDABLE:
            return answers.NotAllowedError(text)
        if status == 200:
            return errors.Refused(text) if code and code not in _PASSING else errors.Unreachable(text)
        if status in answers.MENDABLE:
            return answers.NotAllowedError(text)
        return answers.refusal(text, status, {}, self._clock)


def _metadata(message: Message) -> dict[str, Any]:
    return {"event_type": EVENT_TYPE, "event_payload": {"dedup_key": message.story.dedup_key, "key": message.key}}


def _payload(message: dict[str, Any]) -> dict[str, Any]:
    metadata = message.get("metadata") or {}
    return metadata.get("event_payload") or {} if metadata.get("event_type") == EVENT_TYPE else {}
