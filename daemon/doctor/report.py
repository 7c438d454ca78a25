"""What was found, for people and for scripts."""

import json
import textwrap
from collections import Counter
from collections.abc import Sequence
from typing import Any

import yaml

from daemon.doctor.budget import Way
from daemon.doctor.durations import said
from daemon.doctor.examining import Report
from daemon.doctor.findings import Finding, Severity, in_order

_WIDTH = 118


def document(report: Report) -> dict[str, Any]:
    found = in_order(report.findings)
    return {
        "findings": [one.as_json() for one in found],
        "budget": [way.as_json() for way in report.ways],
        "summary": {severity.value: count for severity, count in _counts(found).items()},
    }


def text(report: Report, output: str) -> str:
    if output == "json":
        return json.dumps(document(report), indent=2) + "\n"
    if output == "yaml":
        return yaml.safe_dump(document(report), sort_keys=False)
    return prose(report) + "\n"


def prose(report: Report) -> str:
    """The worst first; what is well in one line each; then where the seconds go."""
    found = in_order(report.findings)
    parts = [_finding(one) for one in found if one.severity is not Severity.OK]
    well = [f"ok    {one.id}  {one.where}: {one.seen}" for one in found if one.severity is Severity.OK]
    if well:
        parts.append("\n".join(well))
    parts += [_way(way) for way in report.ways]
    counts = _counts(found)
    parts.append(f"{counts[Severity.FAIL]} failed, {counts[Severity.WARN]} warnings, {counts[Severity.OK]} ok")
    return "\n\n".join(parts)


def _counts(found: Sequence[Finding]) -> dict[Severity, int]:
    counted = Counter(one.severity for one in found)
    return {severity: counted[severity] for severity in Severity}


def _finding(one: Finding) -> str:
    lines = [f"{one.severity.value:<4}  {one.id}  {one.where}"]
    for name, words in (("seen", one.seen), ("expected", one.expected), ("mend", one.mend)):
        if words:
            lines += textwrap.wrap(words, _WIDTH, initial_indent=f"      {name:<9} ", subsequent_indent=" " * 16,
                                   break_long_words=False, break_on_hyphens=False)  # fmt: skip
    return "\n".join(lines)


def _way(way: Way) -> str:
    lines = [f"first bad request to 0% at {way.errors:.0%} errors, worst case, by {way.rule.name}:"]
    width = max(len(leg.name) for leg in way.legs)
    for leg in way.legs:
        note = "   assumed" if leg.assumed else ""
        lines.append(f"  {leg.name:<{width}}  {leg.seconds:8.1f} s{note}")
    lines.append(f"  {'together':<{width}}  {way.total:8.1f} s")
    helps = way.helps
    if helps is not None:
        lines.append(f"  what helps most: {helps.change} (saves {said(round(helps.saves, 1))})")
    return "\n".join(lines)
