"""A Helm release as its revisions lie in the cluster: one Secret each."""

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True)
class Tracked:
    """Which value of which release says how much traffic a canary gets.

    ``weight_value`` is the path of the value, parts separated by dots: ``canary.weight``.
    """

    namespace: str
    release: str
    weight_value: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.release}"


@dataclasses.dataclass(frozen=True, slots=True)
class Revision:
    """``status`` is Helm's own word: ``deployed``, ``superseded``, ``failed``, ``pending-upgrade``, …"""

    number: int
    status: str

    @property
    def pending(self) -> bool:
        """An install, upgrade or rollback by somebody is under way, or died on its way."""
        return self.status.startswith("pending-")


@dataclasses.dataclass(frozen=True, slots=True)
class Deployed(Revision):
    """A revision in force, read whole.

    ``body`` is the release's own JSON and is never changed in place: ``config`` are the values that a person gave,
    ``chart.values`` the defaults. ``labels`` are those of the Secret, ``resource_version`` the Secret's.
    """

    body: Mapping[str, Any]
    labels: Mapping[str, str]
    resource_version: str

    @property
    def values(self) -> Mapping[str, Any]:
        return _mapping(self.body.get("config"))

    @property
    def defaults(self) -> Mapping[str, Any]:
        return _mapping(_mapping(self.body.get("chart")).get("values"))

    @property
    def description(self) -> str:
        said = _mapping(self.body.get("info")).get("description")
        return said if isinstance(said, str) else ""


@dataclasses.dataclass(frozen=True, slots=True)
class NextRevision:
    """What is to be written after ``base``: the same chart with these values. ``description`` is for people who read
    ``helm history``."""

    base: Deployed
    number: int
    values: Mapping[str, Any]
    description: str


@dataclasses.dataclass(frozen=True, slots=True)
class Release:
    """Its revisions but for the superseded ones, oldest first. ``deployed`` is the newest that is in force: what the
    next ``helm upgrade`` goes by, also when a later one has failed."""

    namespace: str
    name: str
    revisions: tuple[Revision, ...]
    deployed: Deployed | None

    @property
    def newest(self) -> Revision | None:
        return self.revisions[-1] if self.revisions else None

    @property
    def leftovers(self) -> tuple[int, ...]:
        """Revisions that still say ``deployed`` though a newer one is: Helm itself goes by the newest."""
        newest = self.deployed.number if self.deployed else 0
        return tuple(one.number for one in self.revisions if one.status == "deployed" and one.number < newest)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
