"""A webhook of the reader's own: JSON, signed, with a key by which a repetition is known.

The signature is made as Stripe and Slack make theirs: HMAC-SHA256 over time and body, so that neither can be
exchanged and an old request cannot be sent again.
"""

import hashlib
import hmac
import urllib.parse
from typing import Any

import yarl

from daemon.adapters import times
from daemon.adapters.notify import text
from daemon.adapters.notify.options import ChannelOptions, HttpUrl, Timeout
from daemon.adapters.notify.posting import Wire
from daemon.adapters.notify.surroundings import Surroundings
from daemon.adapters.secrets import Secret, SecretFile
from daemon.model.notice import Manner, Message

KIND = "webhook"

VERSION = "1"
"""Of the body; it changes when a field goes or means something else, not when one is added."""

_LONGEST, _MANY = 4_000, 50
"""Characters of a text, and how many facts, links and commands: about a MB at the very most, in truth a few KB."""
_PART = 6
"""Characters from which on a part of the URL is kept out of errors: it may be a secret."""


class Options(ChannelOptions):
    """``kind: webhook``."""

    url: HttpUrl
    """Gets a POST per message. Redirects are not followed."""
    secret_file: SecretFile | None = None
    """The key of the signature, read again when changed; without it requests are not signed."""
    timeout: Timeout = 10.0
    """Of the call."""


def build(options: Options, surroundings: Surroundings) -> "WebhookChannel":
    return WebhookChannel(options, surroundings)


class WebhookChannel:
    """Keeps ``ports.Channel``. A reference is the last ``Idempotency-Key``."""

    manner = Manner.STREAM
    closes = False

    def __init__(self, options: Options, surroundings: Surroundings) -> None:
        self._secret = None if options.secret_file is None else Secret(options.secret_file)
        self._url = yarl.URL(options.url)
        self._private = _private_parts(options.url)
        self._clock = surroundings.clock
        self._wire = Wire("webhook", surroundings, timeout=options.timeout)

    async def deliver(
        self,
        message: Message,
        reference: str,  # noqa: ARG002 - every message stands for itself
        *,
        uncertain: bool,  # noqa: ARG002 - the receiver knows a repetition by its Idempotency-Key
    ) -> str:
        key = urllib.parse.quote(f"{message.story.dedup_key}/{message.key}", safe="/:._~-")
        body = text.as_json(_document(message))
        timestamp = str(int(self._clock.now().timestamp()))
        headers = {"Idempotency-Key": key, "X-Pullback-Timestamp": timestamp}
        hidden = list(self._private)
        if self._secret is not None:
            secret = self._secret.read()
            hidden.append(secret)
            headers["X-Pullback-Signature"] = f"sha256={signature(secret, timestamp, body)}"
        await self._wire.post(self._url, body, headers, hidden=hidden)
        return key


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Hex HMAC-SHA256 over ``<timestamp>.<body>``."""
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def _document(message: Message) -> dict[str, Any]:
    story = message.story
    links = [{"name": _short(link.name), "url": _short(link.url)} for link in story.links[:_MANY]]
    return {
        "version": VERSION,
        "key": message.key,
        "dedupKey": _short(story.dedup_key),
        "at": times.write(message.at),
        "severity": str(story.severity),
        "mood": str(story.mood),
        "title": _short(story.title),
        "summary": _short(story.summary),
        "namespace": story.namespace,
        "canary": story.canary,
        "revision": _short(story.revision),
        "record": story.record,
        "facts": text.as_mapping(story.facts[:_MANY], _LONGEST),
        "links": links,
        "commands": text.whole(story.commands[:_MANY], _LONGEST, _MANY * _LONGEST),
        "text": _short(message.text),
        "dryRun": story.dry_run,
        "drill": story.drill,
    }


def _short(value: str) -> str:
    return text.cut(text.clean(value), _LONGEST)


def _private_parts(url: str) -> tuple[str, ...]:
    """Everything in a URL that may be a secret: user, password, path and query, whole and in parts."""
    parts = urllib.parse.urlsplit(url)
    pieces = {parts.username or "", parts.password or "", parts.path, parts.query, *parts.path.split("/")}
    for _, value in urllib.parse.parse_qsl(parts.query):
        pieces.add(value)
    pieces |= {urllib.parse.unquote(piece) for piece in pieces}
    return tuple(piece for piece in pieces if len(piece) >= _PART or piece in {parts.username, parts.password})
