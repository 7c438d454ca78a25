"""A shop whose people are told: Slack, PagerDuty and a webhook on loopback, and the settings that lead there."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from tests.builders import Json
from tests.recorders import (
    ROUTING_KEY,
    SLACK_TOKEN,
    WEBHOOK_SECRET,
    RecordingPagerDuty,
    RecordingSlack,
    RecordingWebhook,
)


@dataclass(frozen=True, slots=True)
class People:
    """Everybody who is told."""

    slack: RecordingSlack
    pager: RecordingPagerDuty
    machine: RecordingWebhook
    notices: Json
    """The group ``notices`` of the settings."""

    def told(self) -> list[str]:
        """The words that the machine heard, in their order."""
        return [body["key"] for body in self.machine.accepted.values()]


@contextlib.asynccontextmanager
async def people(folder: Path, *, resolve: bool = True) -> AsyncIterator[People]:
    async with RecordingSlack() as slack, RecordingPagerDuty() as pager, RecordingWebhook() as machine:
        secrets = {"slack": SLACK_TOKEN, "pager": ROUTING_KEY, "machine": WEBHOOK_SECRET}
        files = {name: folder / f"{name}-secret" for name in secrets}
        for name, secret in secrets.items():
            files[name].write_text(secret + "\n", encoding="utf-8")
        channels: Json = {
            "team": {"kind": "slack", "token_file": str(files["slack"]), "channel": "C0DEPLOYS", "api_url": slack.url,
                     "timeout": 1},
            "pager": {"kind": "pagerduty", "routing_key_file": str(files["pager"]), "url": pager.url,
                      "resolve": resolve, "timeout": 1},
            "machine": {"kind": "webhook", "url": machine.url, "secret_file": str(files["machine"]), "timeout": 1},
            "events": {"kind": "kubernetes-events"},
        }  # fmt: skip
        yield People(slack, pager, machine, {"channels": channels})
