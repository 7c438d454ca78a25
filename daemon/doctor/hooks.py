"""The webhooks of a Canary: who answers them, and how long a tick of Flagger's waits for them.

Flagger's tick is serial: every hook holds back all that comes after it, the rollback hook included.
"""

import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from daemon.doctor.canaries import Canary
from daemon.doctor.durations import said, seconds
from daemon.doctor.findings import Finding, fail, fine, warn
from daemon.doctor.known import FLAGGER_PATH, Known
from daemon.model.canary import DEPLOYMENT

TIMEOUT = 10.0
"""Flagger's own, for a hook that says none."""
_GATES = ("pre-rollout", "confirm-traffic-increase", "confirm-promotion")
_LOAD = ("load", "/run", "bench", "wrk", "hey", "k6", "locust", "vegeta", "fortio")
_BLOCKING = frozenset({"rollout", "event", "rollback", "confirm-traffic-increase", "confirm-promotion"})
_BRIEF = 30.0


def examine(canary: Canary, known: Known) -> list[Finding]:
    problems = [*_rollback(canary), *_missing(canary), *_target(canary)]
    for index, hook in enumerate(canary.hooks):
        problems += [*_addressed(canary, index, hook), *_credentials(canary, index, hook, known),
                     *_slow(canary, index, hook)]  # fmt: skip
    problems += _rollouts(canary)
    if problems or not canary.hooks:
        return problems
    return [fine("hooks/wired", canary.at("webhooks"), f"{len(canary.hooks)} hooks; the rollback hook asks Pullback")]


def kind(hook: Mapping[str, Any]) -> str:
    return str(hook.get("type") or "rollout")


def ours(hook: Mapping[str, Any]) -> bool:
    """Told by the path: it is Pullback's contract, and no name of a host is."""
    return FLAGGER_PATH in urllib.parse.urlsplit(str(hook.get("url") or "")).path + "/"


def asks_us(hooks: Sequence[Mapping[str, Any]], wanted: str) -> bool:
    return any(kind(hook) == wanted and ours(hook) for hook in hooks)


def shown(url: str) -> str:
    """Without credentials and query."""
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _rollback(canary: Canary) -> Iterator[Finding]:
    found = [(index, hook) for index, hook in enumerate(canary.hooks) if kind(hook) == "rollback"]
    mend = "type: rollback, url: http://pullback:PASSWORD@pullback.pullback" + FLAGGER_PATH + "rollback"
    if not asks_us(canary.hooks, "rollback"):
        yield fail(
            "hooks/no-rollback-hook", canary.at("webhooks"), "no hook of type rollback asks Pullback: Flagger raises "
            "again what Pullback takes to 0, and never marks the canary Failed", "a rollback hook to Pullback", mend,
        )  # fmt: skip
    for index, hook in found:
        if not ours(hook):
            yield fail(
                "hooks/rollback-elsewhere", canary.at("webhooks", index, "url"), f"the rollback hook asks "
                f"{shown(str(hook.get('url')))}: Flagger polls it at every tick, and an answer of 200, 201 or 202, "
                "also behind a redirect, rolls the canary back", "an endpoint that says 403 until a rollback is in "
                "force; Flagger tells nobody anything by this hook", mend,
            )  # fmt: skip


def _missing(canary: Canary) -> Iterator[Finding]:
    if not any(map(ours, canary.hooks)):
        return  # said already, by the one that matters
    for gate in _GATES:
        if not asks_us(canary.hooks, gate):
            yield warn(
                f"hooks/no-{gate}", canary.at("webhooks"), f"no {gate} hook asks Pullback: that gate stands open",
                f"a hook of type {gate} to Pullback", f"type: {gate}, url: …{FLAGGER_PATH}{gate}",
            )  # fmt: skip


def _target(canary: Canary) -> Iterator[Finding]:
    target = canary.spec.get("targetRef")
    kind_ = str(target.get("kind") or "") if isinstance(target, Mapping) else ""
    if kind_ in {"", DEPLOYMENT} or not any(asks_us(canary.hooks, gate) for gate in _GATES):
        return
    yield warn(
        "hooks/target", canary.at("webhooks"), f"the target is a {kind_}, whose pod template Pullback does not read: "
        "no revision is recorded, so no check of it passes, no soak ends and no approval counts",
        f"a {DEPLOYMENT}, or the rollback hook alone", "leave the gates out of webhooks",
    )  # fmt: skip


def _addressed(canary: Canary, index: int, hook: Mapping[str, Any]) -> Iterator[Finding]:
    path = urllib.parse.urlsplit(str(hook.get("url") or "")).path
    if ours(hook) and path.partition(FLAGGER_PATH)[2] != kind(hook):
        yield fail(
            "hooks/wrong-path", canary.at("webhooks", index, "url"), f"a hook of type {kind(hook)} asks {path}",
            f"{FLAGGER_PATH}{kind(hook)}", "make the last part of the path the type of the hook",
        )  # fmt: skip


def _credentials(canary: Canary, index: int, hook: Mapping[str, Any], known: Known) -> Iterator[Finding]:
    if not ours(hook) or known.anonymous_flagger:
        return
    metadata = hook.get("metadata")
    if not urllib.parse.urlsplit(str(hook.get("url"))).password and not (
        isinstance(metadata, Mapping) and metadata.get("token")
    ):
        yield fail(
            "hooks/no-credentials", canary.at("webhooks", index, "url"), "the hook brings no credentials: it is "
            "answered 401, which is no 200", "userinfo in the URL, or metadata.token",
            "url: http://pullback:PASSWORD@…",
        )  # fmt: skip


def _slow(canary: Canary, index: int, hook: Mapping[str, Any]) -> Iterator[Finding]:
    timeout = seconds(hook.get("timeout"), TIMEOUT)
    where = canary.at("webhooks", index, "timeout")
    named = f"{hook.get('name') or 'a hook'} ({kind(hook)})"
    if kind(hook) == "rollout" and _makes_load(hook) and not ours(hook) and timeout > _BRIEF:
        yield fail(
            "hooks/load-test-blocks", where, f"{named} may take {said(timeout)}: a load test that is waited for holds "
            "back the tick, and with it the rollback hook", "a hook that begins the load and answers at once",
            "let Pullback's rollout hook begin it (gates.profiles.….load), or answer at once and run it beside",
        )  # fmt: skip
    elif kind(hook) in {"event", "rollback"} and timeout > TIMEOUT:
        yield warn(
            "hooks/slow", where, f"{named} may take {said(timeout)}, and Flagger waits for it before it writes a "
            "weight", f"{said(TIMEOUT)} at most", "timeout: 5s",
        )  # fmt: skip


def _makes_load(hook: Mapping[str, Any]) -> bool:
    text = f"{hook.get('name')} {hook.get('url')}".lower()
    metadata = hook.get("metadata")
    return any(word in text for word in _LOAD) or (isinstance(metadata, Mapping) and "cmd" in metadata)


def _rollouts(canary: Canary) -> Iterator[Finding]:
    if canary.interval is None:
        return
    waits = [seconds(hook.get("timeout"), TIMEOUT) for hook in canary.hooks if kind(hook) == "rollout"]
    if waits and sum(waits) >= canary.interval:
        yield fail(
            "hooks/rollout-over-interval", canary.at("webhooks"), f"the timeouts of the rollout hooks add up to "
            f"{said(sum(waits))}, the interval is {said(canary.interval)}: a slow hook delays the next look at the "
            "rollback hook by as much", "a sum below the interval",
            "timeout: 5s on each, or a hook that answers at once",
        )  # fmt: skip
