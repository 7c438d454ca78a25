"""A drill for people (a table) and for scripts (json, yaml)."""

import json
from typing import Any

import yaml

from daemon.drill import chain
from daemon.drill.chain import Course

_SAID = {
    "posted": ("alert posted", "this drill"),
    "received": ("webhook received", "Pullback"),
    "decided": ("decided", "Pullback"),
    "zeroed": ("weight 0 on the route", "Pullback"),
    "proved": ("proved", "Pullback"),
    "completed": ("completed", "Pullback"),
}


def text(course: Course, output: str) -> str:
    document = chain.document(course)
    if output == "json":
        return json.dumps(document, indent=2) + "\n"
    if output == "yaml":
        return str(yaml.safe_dump(document, sort_keys=False))
    return "\n".join(_lines(course, document)) + "\n"


def _lines(course: Course, document: dict[str, Any]) -> list[str]:
    kind = "shadow drill of" if course.shadow else "drill with"
    word = "passed" if course.passed else "FAILED"
    lines = [f"{kind} {course.namespace}/{course.canary}: {word}"]
    for one in document["clocks"]:
        what, who = _SAID[one["clock"]]
        lines.append(f"  {what:<22} {who:<11} +{one['sincePosted']:.3f} s  {one['seconds']:>8.3f} s")
    if course.broken is not None:
        lines += [f"  broken link: {course.broken.link}", f"  {course.broken}"]
    elif course.shadow:
        lines.append("  nothing was written to its routes")
    if course.noted:
        lines.append(f"  kubectl describe rollback {course.noted} -n {course.namespace}")
    lines += [f"  left behind: {one}" for one in course.left]
    return lines
