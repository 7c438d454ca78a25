"""All examinations over what was given: documents and scripts in, findings out."""

import dataclasses
import pathlib
from collections.abc import Sequence

from daemon.doctor import (
    alertmanager,
    alerts,
    analysis,
    budget,
    canaries,
    documents,
    driven,
    hooks,
    prometheus,
    routes,
    rules,
    scripts,
    thresholds,
    undriven,
)
from daemon.doctor.documents import Document, Script
from daemon.doctor.findings import Finding
from daemon.doctor.known import Known
from daemon.doctor.scene import Scene
from daemon.model import errors


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    findings: tuple[Finding, ...]
    ways: tuple[budget.Way, ...]


def examine(given: Sequence[Document], written: Sequence[Script], known: Known, *, whole: bool = False) -> Report:
    """Every document is read for what it is, whichever option named its file. ``whole``: all that a cluster has is
    among them."""
    found: list[Finding] = []
    watched = alerts.gather(given)
    there = canaries.gather(given)
    templates = analysis.templates(given)
    for canary in there:
        found += hooks.examine(canary, known)
        found += analysis.examine(canary, known, templates)
    found += rules.examine(watched, known, prometheus.scrape(given))
    found += thresholds.examine(watched, there, known)
    found += routes.examine(given, known, _mover(there, written))
    scene = Scene(given, known, whole=whole)
    found += driven.examine(scene)
    found += undriven.examine(scene, known)
    for document in given:
        found += prometheus.examine(document)
        if not document.kind:
            found += alertmanager.examine(document, watched, known)
    for script in written:
        found += scripts.examine(script)
    ways = budget.ways(watched, given, known)
    found += budget.examine(watched, ways, known)
    return Report(tuple(found), tuple(ways))


def _mover(there: Sequence[canaries.Canary], written: Sequence[Script]) -> str:
    """Who takes the traffic away in a rollback, where that is somebody else than Pullback."""
    by_script = next(filter(None, map(scripts.mover, written)), "")
    alone = next((one for one in there if not one.fragment and not hooks.asks_us(one.hooks, "rollback")), None)
    return by_script or ("Flagger alone, without Pullback's rollback hook," if alone is not None else "")


def offline(files: list[pathlib.Path], known: Known) -> Report:
    """Raises ConfigurationError naming file and line of what cannot be read."""
    read: list[Document] = []
    written: list[Script] = []
    for path in files:
        more, shell = documents.read(path)
        if not more and not shell:
            raise errors.ConfigurationError(f"{path}:1: nothing to examine: no YAML, and no fence with YAML or shell")
        read += more
        written += shell
    return examine(read, written, known)
