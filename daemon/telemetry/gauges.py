"""Gauges read from the world at the moment of a scrape, so that what is gone leaves no stale series.

Canaries are written down a few at a time: a scrape of ten thousand is a fifth of a second's work, and an alert that
comes meanwhile shall not wait for it.
"""

import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence

from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from daemon.model.canary import CanaryPhase, CanaryRef

_AT_A_TIME = 50
"""Canaries written down between two turns of the event loop: about a millisecond."""


@dataclasses.dataclass(frozen=True, slots=True)
class CanarySeen:
    """One canary."""

    ref: CanaryRef
    phase: CanaryPhase
    weight: float


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """What the gauges show."""

    canaries: Callable[[], AsyncIterator[CanarySeen]]
    in_progress: Callable[[], int]
    watch_ages: Callable[[], Iterable[tuple[str, float]]]
    watchdog_age: Callable[[], float | None]
    undelivered: Callable[[], Awaitable[Mapping[str, int]]]
    """Rollbacks that a channel has not been told all about, by channel."""
    refusing: Callable[[], Awaitable[Sequence[tuple[CanaryRef, str, float]]]]
    """Gates at which a revision waits, a soak aside: canary, hook, seconds."""
    drills: Callable[[], Mapping[str, float]]
    """When the last drill ended (epoch), by its outcome."""


async def rendered(seen: Seen) -> bytes:
    """The text format 0.0.4."""
    weights, phases = _Lines(_weight), _Lines(_phase)
    some: list[CanarySeen] = []
    async for canary in seen.canaries():
        some.append(canary)
        if len(some) == _AT_A_TIME:
            weights.add(some)
            phases.add(some)
            some.clear()
    weights.add(some)
    phases.add(some)
    told = [_watches(seen), _in_progress(seen), _undelivered(await seen.undelivered()),
            _refusing(await seen.refusing()), _drills(seen), *_watchdog(seen)]  # fmt: skip
    return b"".join([*weights.parts, *phases.parts, *(_text(family) for family in told)])


class _Lines:
    """One family, written down bit by bit: its HELP and TYPE stand above the first only."""

    def __init__(self, family: Callable[[Sequence[CanarySeen]], GaugeMetricFamily]) -> None:
        self._family = family
        self.parts: list[bytes] = []

    def add(self, canaries: Sequence[CanarySeen]) -> None:
        text = _text(self._family(canaries))
        self.parts.append(text.split(b"\n", 2)[2] if self.parts else text)


class _Just(Collector):
    """A collector of one family, which is what the library writes down."""

    def __init__(self, family: GaugeMetricFamily) -> None:
        self._family = family

    def collect(self) -> Iterable[GaugeMetricFamily]:
        yield self._family


def _text(family: GaugeMetricFamily) -> bytes:
    return generate_latest(_Just(family))


def _weight(canaries: Sequence[CanarySeen]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(
        "pullback_canary_weight",
        "Percent of traffic that the routes give the canary.",
        labels=["namespace", "canary"],
    )
    for canary in canaries:
        family.add_metric([canary.ref.namespace, canary.ref.name], canary.weight)
    return family


def _phase(canaries: Sequence[CanarySeen]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(
        "pullback_canary_phase", "1 for the phase a canary is in.", labels=["namespace", "canary", "phase"]
    )
    for canary in canaries:
        family.add_metric([canary.ref.namespace, canary.ref.name, canary.phase.value or "None"], 1)
    return family


def _watches(seen: Seen) -> GaugeMetricFamily:
    family = GaugeMetricFamily(
        "pullback_watch_age_seconds", "Seconds since the API server last spoke to a watch.", labels=["kind"]
    )
    for kind, age in seen.watch_ages():
        family.add_metric([kind], age)
    return family


def _in_progress(seen: Seen) -> GaugeMetricFamily:
    return GaugeMetricFamily(
        "pullback_rollbacks_in_progress", "Rollbacks that stand now.", value=seen.in_progress()
    )


def _undelivered(counts: Mapping[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(
        "pullback_notices_undelivered",
        "Rollbacks that a channel has not been told all about.",
        labels=["channel"],
    )
    for channel, count in counts.items():
        family.add_metric([channel], count)
    return family


def _refusing(gates: Sequence[tuple[CanaryRef, str, float]]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(
        "pullback_gate_refusing_seconds",
        "How long a gate has been closed to a revision that waits there, for another reason than a soak.",
        labels=["namespace", "canary", "hook"],
    )
    for ref, hook, seconds in gates:
        family.add_metric([ref.namespace, ref.name, hook], seconds)
    return family


def _drills(seen: Seen) -> GaugeMetricFamily:
    family = GaugeMetricFamily(
        "pullback_last_drill_timestamp_seconds", "When the last drill of that outcome ended.", labels=["outcome"]
    )
    for outcome, moment in seen.drills().items():
        family.add_metric([outcome], moment)
    return family


def _watchdog(seen: Seen) -> Iterable[GaugeMetricFamily]:
    silence = seen.watchdog_age()
    if silence is not None:
        yield GaugeMetricFamily(
            "pullback_watchdog_age_seconds",
            "Seconds since Alertmanager's Watchdog alert last came here (since the start, until it has).",
            value=silence,
        )
