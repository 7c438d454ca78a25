"""Documents for one examination, as text in the test."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from daemon import settings
from daemon.doctor import documents, examining, known
from daemon.doctor.documents import Document
from daemon.doctor.findings import Finding, Severity
from daemon.doctor.known import Known

CHECKOUT = Path(__file__).parents[3]
DATA = CHECKOUT / "tests" / "data" / "doctor"


def knows(budget: float = 60.0, **groups: Any) -> Known:
    return known.of(settings.Settings(**groups), budget)


def parsed(*texts: str) -> list[Document]:
    return [one for text in texts for one in documents.parse("given.yaml", textwrap.dedent(text))]


def examined(*texts: str, **groups: Any) -> list[Finding]:
    return list(examining.examine(parsed(*texts), [], knows(**groups)).findings)


def files(*paths: Path) -> examining.Report:
    return examining.offline(list(paths), knows())


def bad(found: list[Finding] | tuple[Finding, ...]) -> list[str]:
    """Names of what is not well."""
    return [one.id for one in found if one.severity is not Severity.OK]


def the(found: list[Finding] | tuple[Finding, ...], name: str) -> Finding:
    (one,) = [one for one in found if one.id == name]
    return one
