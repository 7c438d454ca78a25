"""What an examination says: one thing seen, what was expected instead, and the one change that mends it."""

import dataclasses
import enum
from collections.abc import Iterable
from typing import Any


class Severity(enum.StrEnum):
    """``FAIL`` keeps a promise from being kept; ``WARN`` may one day; ``OK`` was looked at and is well."""

    FAIL = "fail"
    WARN = "warn"
    OK = "ok"


_ORDER = {Severity.FAIL: 0, Severity.WARN: 1, Severity.OK: 2}


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """``where`` names file and line, or the object in the cluster, and the field. All is well without ``mend``."""

    id: str
    severity: Severity
    where: str
    seen: str
    expected: str = ""
    mend: str = ""

    def as_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "severity": self.severity.value}


def fail(id: str, where: str, seen: str, expected: str, mend: str) -> Finding:  # noqa: A002 - a finding's name
    return Finding(id, Severity.FAIL, where, seen, expected, mend)


def warn(id: str, where: str, seen: str, expected: str, mend: str) -> Finding:  # noqa: A002
    return Finding(id, Severity.WARN, where, seen, expected, mend)


def fine(id: str, where: str, seen: str) -> Finding:  # noqa: A002
    return Finding(id, Severity.OK, where, seen)


def in_order(found: Iterable[Finding]) -> list[Finding]:
    """The worst first, each said once; otherwise as they were found."""
    return sorted(dict.fromkeys(found), key=lambda one: _ORDER[one.severity])


def failed(found: Iterable[Finding]) -> bool:
    return any(one.severity is Severity.FAIL for one in found)
