"""PagerDuty, Events API v2 (developer.pagerduty.com, "Send an alert event"): one incident per ``dedup_key``."""

from typing import Any

import yarl

from daemon.adapters import times
from daemon.adapters.notify import text
from daemon.adapters.notify.options import ChannelOptions, HttpUrl, Timeout
from daemon.adapters.notify.posting import Wire
from daemon.adapters.notify.surroundings import Surroundings
from daemon.adapters.secrets import Secret, SecretFile
from daemon.model import errors
from daemon.model.notice import Manner, Message, Saying, Severity, Story

KIND = "pagerduty"

_KEY, _SUMMARY = 255, 1024
_DETAILS, _DETAIL, _COMMANDS, _LINKS = 60, 1500, 20, 20
"""Ours: in all far below the 512 KB that an event may have."""

_SEVERITIES = {
    Severity.P1: "critical",
    Severity.P2: "error",
    Severity.P3: "warning",
    Severity.P4: "info",
    Severity.P5: "info",
}


class Options(ChannelOptions):
    """``kind: pagerduty``."""

    routing_key_file: SecretFile
    """The integration key of a service's "Events API V2" integration, read again when changed."""
    url: HttpUrl = "https://events.pagerduty.com/v2/enqueue"
    """``https://events.eu.pagerduty.com/v2/enqueue`` for the EU service region."""
    timeout: Timeout = 10.0
    """Of the call."""
    resolve: bool = False
    """Resolve the incident when the rollback has completed; otherwise whoever was paged does."""
    source: str = ""
    """What is affected; empty: ``<namespace>/<canary>``."""
    component: str = ""
    """Which part of it; empty: the canary's name."""


def build(options: Options, surroundings: Surroundings) -> "PagerDutyChannel":
    return PagerDutyChannel(options, surroundings)


class PagerDutyChannel:
    """Keeps ``ports.Channel``. A reference is the incident's ``dedup_key``."""

    manner = Manner.INCIDENT

    def __init__(self, options: Options, surroundings: Surroundings) -> None:
        self._options = options
        self._key = Secret(options.routing_key_file)
        self._url = yarl.URL(options.url)
        self._wire = Wire("PagerDuty", surroundings, timeout=options.timeout, wrong_key="routing key")
        self.closes = options.resolve

    async def deliver(
        self,
        message: Message,
        reference: str,
        *,
        uncertain: bool,  # noqa: ARG002 - PagerDuty knows a repetition by its dedup_key
    ) -> str:
        dedup_key = text.bounded_key(text.line(message.story.dedup_key), _KEY)
        match message.saying:
            case Saying.OPEN:
                said = self._trigger(message)
            case Saying.CLOSE if not self._options.resolve:
                return reference
            case Saying.CLOSE:
                said = {"event_action": "resolve"}
            case _:
                raise errors.Refused(f"PagerDuty: a pager does not know how to {message.saying}")
        routing_key = self._key.read()
        body = text.as_json({"routing_key": routing_key, "dedup_key": dedup_key, **said})
        answer = await self._wire.post(self._url, body, {}, hidden=[routing_key])
        return str(answer.field("dedup_key") or dedup_key)

    def _trigger(self, message: Message) -> dict[str, Any]:
        story = message.story
        where = f"{story.namespace}/{story.canary}"
        links = [{"href": link.url, "text": text.cut(text.line(link.name), 100)} for link in story.links[:_LINKS]]
        return {
            "event_action": "trigger",
            "client": "pullback",
            "links": links,
            "payload": {
                "summary": text.cut(_summary(message), _SUMMARY),
                "severity": _SEVERITIES[story.severity],
                "source": text.cut(text.line(self._options.source or where), _SUMMARY),
                "component": text.cut(text.line(self._options.component or story.canary), _SUMMARY),
                "group": text.cut(text.line(story.namespace), _SUMMARY),
                "class": "canary rollback",
                "timestamp": times.write(message.at),
                "custom_details": _details(message),
            },
        }


def _summary(message: Message) -> str:
    headline = text.headline(message.story)
    summary = text.line(message.story.summary)
    return f"{headline}: {summary}" if summary else headline


def _details(message: Message) -> dict[str, Any]:
    story: Story = message.story
    return {
        **text.as_mapping(story.facts[:_DETAILS], _DETAIL),
        "text": text.cut(text.clean(message.text), _DETAIL),
        "revision": text.cut(text.line(story.revision), _DETAIL),
        "record": f"{story.namespace}/{story.record}",
        "commands": text.whole(story.commands[:_COMMANDS], 2 * _DETAIL, _COMMANDS * 2 * _DETAIL),
    }
