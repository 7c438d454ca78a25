"""What comes after zero, and who does it."""

import pathlib
import re
from typing import Annotated, Any

import pydantic

from daemon.model.cleanup import CleanupPolicy
from daemon.settings.groups import Group, Seconds

_CHANNEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


class Evidence(Group):
    """What is kept of a canary's pods before they go away."""

    within: Annotated[Seconds, pydantic.Field(gt=0, le=60)] = 15.0
    """For gathering; what is not read by then is named as missing. Cleanup of our own waits no longer than this."""
    pods: int = pydantic.Field(default=5, ge=1, le=50)
    """Unready and restarted ones first."""
    log_lines: int = pydantic.Field(default=200, ge=0, le=10_000)
    """Last lines of each container, and of its previous life."""
    log_bytes: int = pydantic.Field(default=32 * 1024, ge=1024, le=256 * 1024)
    """Of each container."""
    redact: tuple[str, ...] = ()
    """Regular expressions besides the built-in ones for tokens, passwords and keys. A group called ``secret`` is
    replaced alone."""


class Cleanup(Group):
    """What becomes of the canary's pods once its traffic is gone."""

    policy: CleanupPolicy = CleanupPolicy.SCALE_TO_ZERO
    """``scale-to-zero`` (by the controller where there is one), or ``keep``."""
    nudge: bool = False
    """While canary pods are not ready Flagger does not ask its rollback hook, for up to progressDeadlineSeconds. Then
    set that to 1 s on the Canary until it says Failed, and put it back. A revision pushed in that moment fails too."""
    nudge_after: Annotated[Seconds, pydantic.Field(gt=0)] = 15.0
    """From the routes at 0."""
    grace: Annotated[Seconds, pydantic.Field(gt=0)] = 60.0
    """How long pods must have been up behind Flagger's back, after Failed, before they are taken down again."""


class Notices(Group):
    """Who is told."""

    channels: dict[str, dict[str, Any]] = pydantic.Field(default={"events": {"kind": "kubernetes-events"}})
    """By a name of your own: ``kind`` (slack, pagerduty, opsgenie, webhook, kubernetes-events) and its options."""
    dashboard_url: str = ""
    """Linked from every notice; ``$namespace``, ``$canary`` and ``$revision`` are filled in."""
    drills: bool = False
    """Chats are told of ``pullback drill`` too. Events and webhooks always are, and no incident is ever opened."""

    @pydantic.field_validator("channels")
    @classmethod
    def _named(cls, channels: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for name in channels:
            if not _CHANNEL.fullmatch(name):
                raise ValueError(f"{name!r}: expected a name of lower case letters, digits and dashes, 40 at most")
        return channels


class Records(Group):
    """How long Rollback records are kept; never while unfinished, and the newest of each canary always."""

    keep_for: Annotated[Seconds, pydantic.Field(ge=3600)] = 30 * 86400.0
    keep: int = pydantic.Field(default=50, ge=1)
    """Per canary."""
    prune_every: Annotated[Seconds, pydantic.Field(gt=0)] = 300.0


class Lease(Group):
    """By which one of several replicas proves, keeps evidence, cleans up, tells and prunes."""

    namespace: str = ""
    """Default: the pod's own, else ``default``."""
    name: str = pydantic.Field(default="pullback", min_length=1)
    duration: Annotated[Seconds, pydantic.Field(ge=1)] = 15.0
    """How long others wait for a leader that no longer renews."""
    renew_deadline: Annotated[Seconds, pydantic.Field(gt=0)] = 10.0
    """How long a renewal is good for; less than ``duration``: the rest is for running work to end."""
    retry: Annotated[Seconds, pydantic.Field(gt=0)] = 2.0

    @pydantic.model_validator(mode="after")
    def _ordered(self) -> "Lease":
        if not self.duration > self.renew_deadline > self.retry:
            raise ValueError("expected duration > renew_deadline > retry")
        return self


class Pull(Group):
    """The backstop for webhooks that never came: Alertmanager is asked what fires."""

    alertmanager_urls: tuple[str, ...] = ()
    """Every peer; empty: nobody is asked."""
    every: Annotated[Seconds, pydantic.Field(ge=1)] = 30.0
    receiver: str = ""
    """Regular expression: only alerts that are routed to such a receiver; empty: all."""
    bearer_token_file: pathlib.Path | None = None
    username: str = "pullback"
    password_file: pathlib.Path | None = None
    """For basic auth."""
    timeout: Annotated[Seconds, pydantic.Field(gt=0)] = 5.0

    @pydantic.field_validator("alertmanager_urls")
    @classmethod
    def _reachable(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            if not re.match(r"https?://[^/\s]+", url):
                raise ValueError(f"{url!r}: expected http://HOST:PORT or https://HOST:PORT, with a path prefix if any")
        return urls
