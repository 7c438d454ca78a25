"""An act on a canary is a compare-and-swap: what was judged is what is written over, or it is judged again."""

import asyncio
import contextlib
import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from daemon import bootstrap
from daemon.adapters import flagger
from daemon.adapters.canary_objects import CanaryObjects
from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.adapters.kubernetes.resources import CANARIES
from daemon.cli import looking, refusing
from daemon.model import errors
from daemon.model.canary import Canary, CanaryRef
from daemon.settings import Settings
from daemon.workflow.showing import Release, Showing

_TRIES = 6
_APART = 0.05
"""Seconds before the second try; each later one waits twice as long as the one before."""


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """One look at everything, and one canary in it."""

    sight: bootstrap.Sight
    showing: Showing
    release: Release

    def shown(self, canary: Canary) -> dict[str, Any]:
        """The canary as it is shown once it stands like this."""
        self.sight.world.put_canary(canary)
        return self.showing.canary(self.sight.world.canary(canary.ref) or canary)


async def look(settings: Settings, client: KubernetesClient, ref: CanaryRef) -> Seen:
    sight = await looking.look(settings, client)
    showing = looking.shown(sight, settings)
    release = showing.release(ref)
    if release is None:
        raise refusing.no_canary(ref)
    return Seen(sight, showing, release)


async def read(settings: Settings, client: KubernetesClient, ref: CanaryRef) -> Canary:
    """The canary alone, where it is an object of its own; else put together from what reaches it."""
    with contextlib.suppress(errors.Missing):
        return flagger.read_canary(await client.get(CANARIES, ref.namespace, ref.name))
    canary = (await looking.look(settings, client)).world.canary(ref)
    if canary is None:
        raise refusing.no_canary(ref)
    return canary


@dataclasses.dataclass(frozen=True, slots=True)
class Act:
    """What to write on the canary that was looked at; nothing where it stands there already."""

    canary: Canary
    annotations: Mapping[str, str | None]
    seen: Seen | None = None


async def carry_out(client: KubernetesClient, propose: Callable[[], Awaitable[Act]]) -> tuple[Act, Canary]:
    """The act that was done, and the canary as it stands then. ``propose`` looks and judges, raising what speaks
    against it; it is asked again when somebody else has written in between."""
    for tried in range(_TRIES):
        if tried:
            await asyncio.sleep(_APART * 2 ** (tried - 1))
        act = await propose()
        if not act.annotations:
            return act, act.canary
        try:
            objects = CanaryObjects(client, {act.canary.ref: act.canary}.get)
            return act, await objects.act(act.canary, act.annotations)
        except errors.Conflict:
            continue
        except errors.Missing:
            raise refusing.no_canary(act.canary.ref) from None
    raise errors.PullbackError(
        f"the Canary was changed by others {_TRIES} times between reading and writing it: nothing is written, try again"
    )
