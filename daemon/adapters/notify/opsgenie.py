"""Opsgenie, Alert API (docs.opsgenie.com/docs/alert-api): one alert per ``alias``; requests are queued."""

import urllib.parse
from typing import Annotated, Any, Literal, Self

import pydantic
import yarl

from daemon.adapters.notify import text
from daemon.adapters.notify.options import ChannelOptions, HttpUrl, Timeout
from daemon.adapters.notify.posting import Wire
from daemon.adapters.notify.surroundings import Surroundings
from daemon.adapters.secrets import Secret, SecretFile
from daemon.model import errors
from daemon.model.notice import Manner, Message, Saying, Story

KIND = "opsgenie"

_ALIAS, _MESSAGE, _DESCRIPTION, _DETAILS, _NOTE, _SOURCE, _ENTITY = 512, 130, 15_000, 8_000, 25_000, 100, 512
_FACTS = 40


class Responder(ChannelOptions):
    """Who is called; exactly one of the three names."""

    type: Literal["team", "user", "escalation", "schedule"]
    id: str = ""
    name: str = ""
    """Of a team, an escalation or a schedule."""
    username: str = ""
    """Of a user: an address."""

    @pydantic.model_validator(mode="after")
    def _named_once(self) -> Self:
        if sum(map(bool, (self.id, self.name, self.username))) != 1:
            raise ValueError("expected exactly one of id, name, username")
        return self


class Options(ChannelOptions):
    """``kind: opsgenie``."""

    api_key_file: SecretFile
    """The key of an API integration that may create and update alerts, read again when changed."""
    url: HttpUrl = "https://api.opsgenie.com"
    """``https://api.eu.opsgenie.com`` for accounts in the EU."""
    timeout: Timeout = 10.0
    """Of every single call."""
    resolve: bool = False
    """Close the alert when the rollback has completed; otherwise whoever was paged does."""
    responders: Annotated[tuple[Responder, ...], pydantic.Field(max_length=50)] = ()
    """Who is called; empty: whom the integration's team decides on."""
    tags: Annotated[tuple[Annotated[str, pydantic.Field(min_length=1, max_length=50)], ...],
                    pydantic.Field(max_length=20)] = ("pullback",)  # fmt: skip
    """For Opsgenie's routing rules."""


def build(options: Options, surroundings: Surroundings) -> "OpsgenieChannel":
    return OpsgenieChannel(options, surroundings)


class OpsgenieChannel:
    """Keeps ``ports.Channel``. A reference is the alert's alias."""

    manner = Manner.INCIDENT

    def __init__(self, options: Options, surroundings: Surroundings) -> None:
        self._options = options
        self._key = Secret(options.api_key_file)
        self._alerts = options.url.rstrip("/") + "/v2/alerts"
        self._wire = Wire("Opsgenie", surroundings, timeout=options.timeout, wrong_key="key format")
        self.closes = options.resolve

    async def deliver(
        self,
        message: Message,
        reference: str,
        *,
        uncertain: bool,  # noqa: ARG002 - Opsgenie knows a repetition by its alias
    ) -> str:
        alias = text.bounded_key(text.line(message.story.dedup_key), _ALIAS)
        match message.saying:
            case Saying.OPEN:
                await self._post(yarl.URL(self._alerts), self._alert(message, alias))
            case Saying.CLOSE if not self._options.resolve:
                return reference
            case Saying.CLOSE:
                note = text.cut(text.clean(message.text) or text.headline(message.story), _NOTE)
                await self._post(self._about(alias, "close"), {"source": "pullback", "note": note})
            case _:
                raise errors.Refused(f"Opsgenie: a pager does not know how to {message.saying}")
        return alias

    async def _post(self, url: yarl.URL, body: dict[str, Any]) -> None:
        key = self._key.read()
        await self._wire.post(url, text.as_json(body), _authorized(key), hidden=[key])

    def _about(self, alias: str, what: str) -> yarl.URL:
        # Encoded as a whole: an alias has slashes in it and must stay one segment.
        quoted = urllib.parse.quote(alias, safe="")
        return yarl.URL(f"{self._alerts}/{quoted}/{what}?identifierType=alias", encoded=True)

    def _alert(self, message: Message, alias: str) -> dict[str, Any]:
        story = message.story
        return {
            "message": text.cut(text.headline(story), _MESSAGE),
            "alias": alias,
            "description": _description(message),
            "responders": [one.model_dump(exclude_defaults=True) for one in self._options.responders],
            "tags": list(self._options.tags),
            "details": _details(story),
            "entity": text.cut(f"{story.namespace}/{story.canary}", _ENTITY),
            "source": text.cut("pullback", _SOURCE),
            "priority": str(story.severity),
        }


def _authorized(key: str) -> dict[str, str]:
    return {"Authorization": f"GenieKey {key}"}


def _description(message: Message) -> str:
    """What is said, cut to a half; what to do, uncut; and the links, if there is room for them."""
    story = message.story
    parts = [text.clean(part).strip() for part in (message.text, story.summary)]
    said = text.cut("\n\n".join(dict.fromkeys(filter(None, parts))), _DESCRIPTION // 2)
    commands = "\n".join(text.whole(story.commands[:20], _DESCRIPTION, _DESCRIPTION - text.units(said) - 4))
    links = "\n".join(f"{text.line(link.name)}: {link.url}" for link in story.links[:20])
    told = "\n\n".join(part for part in (said, commands) if part)
    whole = "\n\n".join(part for part in (told, links) if part)
    return whole if text.units(whole) <= _DESCRIPTION else told


def _details(story: Story) -> dict[str, str]:
    """Names and values, at most 8000 characters of both together."""
    known = {
        "namespace": story.namespace,
        "canary": story.canary,
        "revision": text.cut(text.line(story.revision), 500),
        "record": story.record,
        **text.as_mapping(story.facts[:_FACTS], 1000),
    }
    said: dict[str, str] = {}
    room = _DETAILS
    for name, value in known.items():
        room -= text.units(name) + text.units(value)
        if room >= 0:
            said[name] = value
    return said
