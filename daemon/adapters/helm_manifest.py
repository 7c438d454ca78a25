"""The manifest of a revision with the canary at zero: the documents of its routes, and nothing else of the text.

Why it is touched at all: ``helm rollback`` and ``helm upgrade --atomic`` apply the *stored manifest* of a revision, not
its values. A revision whose values say 0 and whose manifest says 25 would raise the canary again the next time that an
upgrade fails. An upgrade compares the stored manifest with the new one; both say 0, so what is in the cluster stays.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml

from daemon.adapters.traffic.patching import applied
from daemon.model.route import PatchOperation

Zero = Callable[[Mapping[str, Any]], Sequence[PatchOperation]]
"""The operations that take one routing object to zero; none where it is there already, or reaches no canary."""

_BETWEEN = re.compile(r"^(---[^\n]*(?:\n|\Z))", re.MULTILINE)
_KIND = re.compile(r"\bkind[\"']?:\s*[\"']?([A-Za-z]+)")
_LOADER: type[yaml.SafeLoader | yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def zeroed(manifest: str, zeros: Mapping[str, Zero]) -> tuple[str, tuple[str, ...]]:
    """The manifest, and the routes (``Kind name``) that were rewritten in it. ``zeros`` by kind.

    A document that cannot be read, or that the operations do not fit, stays as it is.
    """
    parts, changed = _BETWEEN.split(manifest), []
    for place in range(0, len(parts), 2):
        if zeros.keys().isdisjoint(_KIND.findall(parts[place])):
            continue  # most of a chart: not worth reading as YAML
        document = _read(parts[place])
        zero = zeros.get(str(document.get("kind"))) if document is not None else None
        operations = zero(document) if zero is not None and document is not None else ()
        if document is None or not operations:
            continue
        try:
            rewritten = applied(document, operations)
            text = json.dumps(rewritten, indent=2)
        except (IndexError, KeyError, TypeError, ValueError):
            continue
        parts[place] = f"{_comments(parts[place])}{text}\n"
        changed.append(f"{document.get('kind')} {(document.get('metadata') or {}).get('name')}")
    return "".join(parts), tuple(changed)


def _read(text: str) -> dict[str, Any] | None:
    try:
        # A few lines of aliases can stand for gigabytes.
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text, Loader=_LOADER)):
            return None
        document = yaml.load(text, Loader=_LOADER)  # noqa: S506 - a safe loader, in C where there is one
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _comments(text: str) -> str:
    """What stands above the document: ``# Source: chart/templates/file.yaml``, by which people find the template."""
    lines = text.splitlines(keepends=True)
    above = next((place for place, line in enumerate(lines) if line.strip() and not line.startswith("#")), len(lines))
    return "".join(lines[:above])
