"""Where the hooks of Canaries that name Pullback really lead: one GET each, without credentials.

Flagger posts, follows redirects, and takes the 200 of a login page for "roll back". A GET cannot make Pullback do
anything (it answers 405), and what is not ours is not asked at all: nobody knows what it would do.
"""

import asyncio
import urllib.parse
from collections.abc import Iterable, Sequence

import aiohttp

from daemon.doctor import canaries, hooks
from daemon.doctor.documents import Document
from daemon.doctor.findings import Finding, fail, fine, warn
from daemon.doctor.live import asking

_REFUSALS = frozenset({401, 403, 405})


async def examine(documents: Sequence[Document], session: aiohttp.ClientSession) -> list[Finding]:
    places: dict[str, str] = {}
    foreign = 0
    for canary in canaries.gather(documents):
        for index, hook in enumerate(canary.hooks):
            url = str(hook.get("url") or "")
            if hooks.ours(hook):
                places.setdefault(url, canary.at("webhooks", index, "url"))
            else:
                foreign += 1
    found = await asyncio.gather(*(_ask(session, url, where) for url, where in places.items()))
    if foreign:
        note = f"{foreign} hooks of others were not asked: nobody knows what an answer costs them"
        found = [*found, fine("hooks/not-asked", "cluster", note)]
    return list(_plain(found))


async def _ask(session: aiohttp.ClientSession, url: str, where: str) -> Finding | None:
    parts = urllib.parse.urlsplit(url)
    bare = urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    answer = await asking.get(session, bare)
    if answer.problem:
        return warn(
            "hooks/unreachable", where, f"{hooks.shown(url)}: {answer.problem}", "an answer; from outside the cluster "
            "its names may mean nothing", "run this in the cluster, or look at the Service and its NetworkPolicy",
        )  # fmt: skip
    if 300 <= answer.status < 400:
        return fail(
            "hooks/redirected", where, f"{hooks.shown(url)} answers {answer.status} to {hooks.shown(answer.location)}: "
            "Flagger follows it, and a page that says 200 rolls back every release", "no redirect and no login before "
            "this port", "point the hook at Pullback's Service itself",
        )  # fmt: skip
    if answer.status not in _REFUSALS:
        return fail(
            "hooks/somebody-else", where, f"{hooks.shown(url)} answers {answer.status} to a GET without credentials",
            "405, as Pullback does", "point the hook at Pullback's Service itself",
        )  # fmt: skip
    return None


def _plain(found: Iterable[Finding | None]) -> Iterable[Finding]:
    return (one for one in found if one is not None)
