"""Kubernetes Events: every state of a rollback on its Canary and on its Rollback, for ``kubectl describe``.

They are core/v1 Events because ``kubectl describe`` looks for ``involvedObject``. Unlike client-go's recorder we
name an Event after what it says, so that a repetition meets itself.
"""

import datetime
import hashlib
import re
from typing import Any

from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.adapters.kubernetes.resources import EVENTS, ROLLBACKS
from daemon.adapters.notify import text
from daemon.adapters.notify.options import ChannelOptions
from daemon.adapters.notify.surroundings import Surroundings
from daemon.model import errors
from daemon.model.canary import ObjectKind
from daemon.model.notice import Manner, Message, Mood

KIND = "kubernetes-events"

COMPONENT = "pullback"
_NAME, _REASON, _MESSAGE = 253, 128, 1024
"""Of an Event: characters, characters, and bytes (validation of events.k8s.io, kept by ``kubectl``'s tables too)."""


class Options(ChannelOptions):
    """``kind: kubernetes-events``: nothing to choose."""


def build(options: Options, surroundings: Surroundings) -> "EventsChannel":  # noqa: ARG001 - there are none
    return EventsChannel(surroundings.client)


class EventsChannel:
    """Keeps ``ports.Channel``. A reference is the name of the last Event: the Rollback's, where there is one."""

    manner = Manner.STREAM
    closes = False

    def __init__(self, client: KubernetesClient) -> None:
        self._client = client

    async def deliver(
        self,
        message: Message,
        reference: str,
        *,
        uncertain: bool,  # noqa: ARG002 - an Event that is there already says so
    ) -> str:
        story = message.story
        warning = message.story.mood is Mood.NEEDED or not reference
        record = ObjectKind(ROLLBACKS.api_version, ROLLBACKS.kind)
        # An Event about an object that is gone, or never was, would be shown nowhere.
        about = [one for one in ((story.canary_kind, story.canary, story.canary_uid),
                                 (record, story.record, story.record_uid)) if one[-1]]  # fmt: skip
        told = [_event(message, *one, warning=warning) for one in about]
        for event in told:
            await self._tell(event)
        return str(told[-1]["metadata"]["name"]) if told else ""

    async def _tell(self, event: dict[str, Any]) -> None:
        try:
            await self._client.create(EVENTS, event["metadata"]["namespace"], event)
        except errors.AlreadyThere:
            return
        except (errors.Missing, errors.Gone) as error:
            # The namespace is gone, and with it whoever could read this.
            raise errors.Refused(str(error)) from error
        except errors.Conflict as error:
            raise errors.Unreachable(str(error)) from error


def _event(message: Message, about: ObjectKind, name: str, uid: str, *, warning: bool) -> dict[str, Any]:
    story = message.story
    at = message.at.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    said = text.line(message.text) or text.headline(story)
    # A canary is rolled back more than once: what happened to it is told apart by the rollback.
    digest = hashlib.sha256(f"{story.dedup_key} {uid} {message.key}".encode()).hexdigest()[:16]
    return {
        "apiVersion": EVENTS.api_version,
        "kind": EVENTS.kind,
        "metadata": {"name": f"{name[: _NAME - 17].rstrip('-.')}.{digest}", "namespace": story.namespace},
        "involvedObject": {
            "apiVersion": about.api_version,
            "kind": about.kind,
            "namespace": story.namespace,
            "name": name,
            "uid": uid,
        },
        "reason": _reason(message.key),
        "message": text.cut_bytes(f"{text.DRY_RUN}: {said}" if _silent(message, said) else said, _MESSAGE),
        "type": "Warning" if warning else "Normal",
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": COMPONENT,
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
    }


def _silent(message: Message, said: str) -> bool:
    """Whether it would not be said that nothing is really done."""
    return message.story.dry_run and text.DRY_RUN not in said


def _reason(key: str) -> str:
    words = re.findall(r"[A-Za-z0-9]+", key)
    return "".join(word[:1].upper() + word[1:] for word in words)[:_REASON] or "Rollback"
