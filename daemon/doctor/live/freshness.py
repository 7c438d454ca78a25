"""A running daemon: how long ago the API server spoke to each of its watches, and when the Watchdog last came."""

import re
from collections.abc import Iterator

import aiohttp

from daemon.doctor.durations import said
from daemon.doctor.findings import Finding, fail, fine, warn
from daemon.doctor.live import asking
from daemon.settings import Settings

_SAMPLE = re.compile(r'^pullback_watch_age_seconds\{kind="(?P<kind>[^"]+)"\} (?P<age>\S+)', re.MULTILINE)
_WATCHDOG = re.compile(r"^pullback_watchdog_age_seconds (?P<age>\S+)", re.MULTILINE)


async def examine(settings: Settings, session: aiohttp.ClientSession, url: str | None) -> list[Finding]:
    if url is None:
        return [fine("daemon/not-asked", "daemon", "how old its watches are was not asked: no --daemon-url")]
    base = url.rstrip("/")
    ready = await asking.get(session, f"{base}/readyz")
    if ready.problem:
        return [fail("daemon/unreachable", f"{base}/readyz", ready.problem, "a running daemon",
                     "pullback serve; from outside the cluster: kubectl port-forward")]  # fmt: skip
    found = []
    if ready.status != 200:
        found.append(fail("daemon/not-ready", f"{base}/readyz", f"HTTP {ready.status}: {ready.text.strip()[:300]}",
                          "HTTP 200", "see what it says"))  # fmt: skip
    elif "warning" in ready.text:
        found.append(warn("daemon/warns", f"{base}/readyz", ready.text.strip()[:300], "no warning", "see what it says"))
    metrics = await asking.get(session, f"{base}/metrics")
    if metrics.status != 200:
        found.append(warn("daemon/no-metrics", f"{base}/metrics", metrics.problem or f"HTTP {metrics.status}",
                          "metrics", "ask the port on which they are"))  # fmt: skip
        return found
    found += _ages(f"{base}/metrics", metrics.text, settings)
    return found


def _ages(where: str, text: str, settings: Settings) -> Iterator[Finding]:
    limit = settings.kubernetes.stale_after
    ages = {one["kind"]: float(one["age"]) for one in _SAMPLE.finditer(text)}
    stale = {kind: age for kind, age in ages.items() if not age <= limit}
    for kind, age in sorted(stale.items()):
        yield fail(
            "daemon/watch-stale", where, f"the watch of {kind} has heard nothing for {age:.0f} s",
            f"{said(limit)} at most", "may it list and watch them, and is the API server reachable from its pod?",
        )  # fmt: skip
    if ages and not stale:
        yield fine("daemon/watches", where, f"{len(ages)} watches, the oldest {max(ages.values()):.0f} s old")
    if not ages:
        yield warn("daemon/no-metrics", where, "no watch is told of", "pullback_watch_age_seconds", "is it Pullback?")
    came = _WATCHDOG.search(text)
    if came and settings.policy.watchdog_alertname and not float(came["age"]) <= settings.policy.watchdog_late:
        yield fail(
            "daemon/watchdog-late", where, f"{settings.policy.watchdog_alertname} has not come to this replica for "
            f"{came['age']} s: unless it comes to another, an alert would not come either",
            f"{said(settings.policy.watchdog_late)} at most",
            "look at the rule, at Alertmanager's route and its log, and at the credentials between",
        )  # fmt: skip
