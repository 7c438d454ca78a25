"""Wires the question that makes up for webhooks that never came: what fires now?"""

from collections.abc import Callable, Mapping

import aiohttp

from daemon import ports
from daemon.adapters import alertmanager
from daemon.adapters.kubernetes.watches import Watches
from daemon.bootstrap.seeing import Surroundings
from daemon.model import drill, errors
from daemon.model.rules import first_match
from daemon.model.signal import AlertGroup, Source
from daemon.settings import Settings
from daemon.web import alertmanager as door
from daemon.workflow.intake import GroupAnswer, Intake
from daemon.workflow.pulling import Pulling


def pulling(
    settings: Settings,
    surroundings: Surroundings,
    session: aiohttp.ClientSession,
    intake: Intake,
    watches: Watches,
    observer: ports.Observer,
) -> Pulling | None:
    """None when no Alertmanager is configured."""
    pull = settings.pull
    if not pull.alertmanager_urls:
        return None

    async def take(group: AlertGroup) -> GroupAnswer:
        return await intake.take(group, surroundings.clock.now(), Source.PULL)

    # Those that the policy cares about: of thousands of others none may be cut off for.
    alerts = firing(settings, session, lambda labels: first_match(settings.rules, labels) is not None)
    assert alerts is not None  # noqa: S101 - there are URLs
    return Pulling(
        alerts=alerts,
        take=take,
        ready=lambda: "" if watches.whole else "the world has not been seen whole",
        observer=observer,
        chance=surroundings.chance,
        every=pull.every,
    )


def firing(
    settings: Settings, session: aiohttp.ClientSession, wanted: Callable[[Mapping[str, str]], bool]
) -> ports.FiringAlerts | None:  # fmt: skip
    """What asks Alertmanager for the alerts whose labels are ``wanted``; None when no Alertmanager is configured.

    Never a drill's: it is to find out whether the webhook comes, and says nothing about a real canary.
    """
    pull = settings.pull
    if not pull.alertmanager_urls:
        return None
    return alertmanager.AlertmanagerAlerts(
        session,
        urls=pull.alertmanager_urls,
        receiver=pull.receiver,
        read=_read,
        wanted=lambda labels: not drill.is_drill(labels) and wanted(labels),
        bearer_token_file=pull.bearer_token_file,
        username=pull.username,
        password_file=pull.password_file,
        timeout=pull.timeout,
    )


def _read(body: bytes) -> AlertGroup:
    """By the same door as a webhook."""
    try:
        return door.parse(body)
    except door.BadRequestError as problem:
        raise errors.Refused(f"Alertmanager's alerts cannot be read: {problem}") from problem
