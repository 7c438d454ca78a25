"""Whom does an alert speak about? Most certain first, and never a guess (law 4).

1. It names the canary (``canary``, or Flagger's ``name``) and a namespace.
2. It names the workload, and a canary targets it. Labels that can only mean the subject (``deployment``,
   ``destination_workload``) come before those that may describe whoever reports (``app``, ``service``).
3. It names a version that exactly one active canary runs.
4. It names a host that exactly one active canary serves.
5. Nothing names it: refuse, or (configured) the single active canary of the alert's namespace.

An alert that names a canary or a workload which is not ours ends there: a later, weaker hint would find
somebody else. An alert never reaches a canary in another namespace than it names.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping

from daemon.model.canary import Canary, CanaryRef
from daemon.model.decision import Reason
from daemon.model.rules import Fallback, LabelNames

SAYS_NOTHING = frozenset({"", "unknown", "latest"})
"""What Istio's telemetry writes where it knows no better."""

_FLAGS = frozenset({"true", "false", "yes", "no", "1", "0"})


@dataclasses.dataclass(frozen=True, slots=True)
class Profile:
    """What an alert may call one canary. ``versions`` and ``hosts`` count only while it is ``active``."""

    ref: CanaryRef
    active: bool
    workloads: frozenset[str]
    stable_workloads: frozenset[str]
    applications: frozenset[str]
    versions: frozenset[str]
    hosts: frozenset[str]


def profile(canary: Canary, versions: frozenset[str], hosts: frozenset[str]) -> Profile:
    """What an alert may call this one. A workload that nobody knows is no name."""
    return Profile(
        ref=canary.ref,
        # Nothing that only hints at a canary may mean a drill's, or find two where there is one.
        active=canary.under_analysis and not canary.drill,
        workloads=frozenset({canary.workload} - {""}),
        stable_workloads=frozenset({canary.primary_workload} - {""}),
        applications=frozenset({canary.workload, canary.service, canary.canary_service} - {""}),
        versions=versions,
        hosts=hosts,
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Match:
    """``ref`` is set for a match; otherwise ``reason`` says why there is none, and ``detail`` names names."""

    ref: CanaryRef | None
    reason: Reason | None
    detail: str
    stable_of: CanaryRef | None = None
    """With NAMES_STABLE: whose stable side it names, where that is one canary's."""


class CanaryIndex:
    """Every name by which an alert can mean a canary. The cost of a look-up does not grow with their number."""

    def __init__(self, labels: LabelNames, fallback: Fallback) -> None:
        self._labels = labels
        self._fallback = fallback
        self._profiles: dict[CanaryRef, Profile] = {}
        self._by_workload: defaultdict[tuple[str, str], set[CanaryRef]] = defaultdict(set)
        self._by_stable: defaultdict[tuple[str, str], set[CanaryRef]] = defaultdict(set)
        self._by_application: defaultdict[tuple[str, str], set[CanaryRef]] = defaultdict(set)
        self._by_version: defaultdict[str, set[CanaryRef]] = defaultdict(set)
        self._by_host: defaultdict[str, set[CanaryRef]] = defaultdict(set)
        self._active_in: defaultdict[str, set[CanaryRef]] = defaultdict(set)

    def put(self, profile: Profile) -> None:
        """Adds or replaces one canary."""
        if self._profiles.get(profile.ref) == profile:
            return
        self.drop(profile.ref)
        self._profiles[profile.ref] = profile
        for bucket in self._buckets(profile):
            bucket.add(profile.ref)

    def drop(self, ref: CanaryRef) -> None:
        profile = self._profiles.pop(ref, None)
        if profile is None:
            return
        for bucket in self._buckets(profile):
            bucket.discard(ref)
        self._prune(profile)

    def correlate(self, labels: Mapping[str, str]) -> Match:
        """The one canary an alert speaks about, or why there is none."""
        namespace = _first(labels, self._labels.namespace)
        return (
            self._by_name(labels, namespace)
            or self._by_workload_label(labels, namespace)
            or self._by_what_it_runs(labels, namespace)
            or self._by_fallback(namespace)
        )

    def _by_name(self, labels: Mapping[str, str], namespace: str) -> Match | None:
        for label in self._labels.canary:
            name = labels.get(label, "")
            if not name or name.lower() in _FLAGS:
                continue
            if not namespace:
                if label == self._labels.canary[0]:
                    expected = ", ".join(self._labels.namespace)
                    return _none(f'{label}="{name}" but no namespace: expected one of {expected}')
                continue
            ref = CanaryRef(namespace, name)
            if ref in self._profiles:
                return Match(ref, None, f'{label}="{name}" in namespace {namespace}')
            if label == self._labels.canary[0]:
                return _none(f'{label}="{name}": no canary of that name in namespace {namespace}')
        return None

    def _by_workload_label(self, labels: Mapping[str, str], namespace: str) -> Match | None:
        if not namespace:
            return None
        exact = _present(labels, self._labels.workload)
        for label, name in exact:
            stable_of = self._by_stable.get((namespace, name))
            if stable_of and not self._by_workload.get((namespace, name)):
                whose = next(iter(stable_of)) if len(stable_of) == 1 else None
                return Match(None, Reason.NAMES_STABLE, f'{label}="{name}" is the stable side', whose)
        if exact:
            names = ", ".join(f'{label}="{name}"' for label, name in exact)
            found = self._gather(self._by_workload, namespace, exact)
            return _single(found, names) or _none(f"{names}: no canary in namespace {namespace} targets it")
        loose = _present(labels, self._labels.application)
        found = self._gather(self._by_application, namespace, loose)
        return _single(found, ", ".join(f'{label}="{name}"' for label, name in loose))

    def _by_what_it_runs(self, labels: Mapping[str, str], namespace: str) -> Match | None:
        for names, index, what in (
            (self._labels.version, self._by_version, "version"),
            (self._labels.host, self._by_host, "host"),
        ):
            for label, value in _present(labels, names):
                found = {ref for ref in index.get(_host(value) if what == "host" else value, ())
                         if not namespace or ref.namespace == namespace}  # fmt: skip
                match = _single(found, f'{what} {label}="{value}"')
                if match is not None:
                    return match
        return None

    def _by_fallback(self, namespace: str) -> Match:
        if self._fallback is Fallback.SINGLE_ACTIVE and namespace:
            match = _single(self._active_in.get(namespace, set()), f"the active canary of namespace {namespace}")
            if match is not None:
                return match
        return _none("no label names a canary, its workload, its version or its host")

    @staticmethod
    def _gather(
        index: Mapping[tuple[str, str], set[CanaryRef]], namespace: str, named: Iterable[tuple[str, str]]
    ) -> set[CanaryRef]:
        found: set[CanaryRef] = set()
        for _, name in named:
            found |= index.get((namespace, name), set())
        return found

    def _buckets(self, profile: Profile) -> list[set[CanaryRef]]:
        namespace = profile.ref.namespace
        buckets = [self._by_workload[namespace, name] for name in profile.workloads]
        buckets += [self._by_stable[namespace, name] for name in profile.stable_workloads]
        buckets += [self._by_application[namespace, name] for name in profile.applications]
        if profile.active:
            buckets += [self._by_version[version] for version in profile.versions]
            buckets += [self._by_host[host] for host in profile.hosts]
            buckets.append(self._active_in[namespace])
        return buckets

    def _prune(self, profile: Profile) -> None:
        # Empty buckets would be a leak: versions and hosts are new with every release.
        namespace = profile.ref.namespace
        for index, names in ((self._by_workload, profile.workloads), (self._by_stable, profile.stable_workloads),
                             (self._by_application, profile.applications)):  # fmt: skip
            for name in names:
                if not index.get((namespace, name), True):
                    del index[namespace, name]
        for plain, values in ((self._by_version, profile.versions), (self._by_host, profile.hosts),
                              (self._active_in, (namespace,))):  # fmt: skip
            for value in values:
                if not plain.get(value, True):
                    del plain[value]


def _host(value: str) -> str:
    return value.split(":", 1)[0].rstrip(".").lower()


def _first(labels: Mapping[str, str], names: Iterable[str]) -> str:
    return next((labels[name] for name in names if labels.get(name)), "")


def _present(labels: Mapping[str, str], names: Iterable[str]) -> list[tuple[str, str]]:
    return [(name, labels[name]) for name in names if labels.get(name, "") not in SAYS_NOTHING]


def _single(found: set[CanaryRef], how: str) -> Match | None:
    if len(found) > 1:
        candidates = ", ".join(map(str, sorted(found)[:5]))
        return Match(None, Reason.AMBIGUOUS, f"{how} could mean any of {len(found)}: {candidates}")
    return Match(next(iter(found)), None, how) if found else None


def _none(detail: str) -> Match:
    return Match(None, Reason.UNMATCHED, detail)
