"""Output for people (tables) and for scripts (json, yaml)."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from daemon.adapters import text


def show(document: Any, output: str, *, table: str) -> None:
    """Prints ``document`` as json or yaml, or the table that was made of it."""
    if output == "json":
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    elif output == "yaml":
        sys.stdout.write(yaml.safe_dump(document, sort_keys=False))
    else:
        sys.stdout.write(table.rstrip("\n") + "\n")


def table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], *, empty: str) -> str:
    """Columns by heading and key, as kubectl prints them."""
    if not rows:
        return empty
    cells = [list(columns), *([_cell(row.get(key)) for key in columns.values()] for row in rows)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    return "\n".join("   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
                     for line in cells)  # fmt: skip


def aligned(rows: Iterable[tuple[str, str]], indent: str = "  ") -> list[str]:
    """A name and what is said of it, the second column in line. A name that is not repeated may be empty."""
    said = [(name, text.line(words)) for name, words in rows]
    width = max((len(name) for name, _ in said), default=0)
    return [f"{indent}{name:<{width}}  {words}".rstrip() for name, words in said]


def _cell(value: Any) -> str:
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case _:
            return str(value)
