"""Every ``pullback …`` line that we print, or write down for people, is one that the command takes."""

from __future__ import annotations

import argparse
import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.cli.main import main

CHECKOUT = Path(__file__).parents[2]
PAGES = [CHECKOUT / "README.md", CHECKOUT / "helm/pullback/templates/NOTES.txt", *(CHECKOUT / "docs").glob("*.md")]
WORD = r"(?:\"[^\"]*\"|[^\s`(),;|]+)"
OPTIONS = rf"(?: --?[a-z][a-z-]*(?: {WORD})?)*"
PRINTED = re.compile(rf"\bpullback ([a-z][a-z-]+)( VALUE| [A-Z][A-Za-z.]+)?({OPTIONS})")
WRITTEN = re.compile(rf"(?:^ *|`)pullback ([a-z][a-z-]+)( (?![-#]){WORD})?({OPTIONS})", re.MULTILINE)


def texts(path: Path) -> Iterator[str]:
    """The texts in a module, with VALUE for what is filled in."""
    tree = ast.parse(path.read_text("utf-8"))
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "VALUE" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.value


def found() -> list[str]:
    """With arguments only: a command that is merely named is no line to be copied."""
    printed = [
        match for path in sorted((CHECKOUT / "daemon").rglob("*.py")) for text in texts(path)
        for match in PRINTED.finditer(text)
    ]  # fmt: skip
    pages = [re.sub(r"(`[^`\n]*)\n([^`\n]*`)", r"\1 \2", page.read_text("utf-8")) for page in PAGES]
    written = [match for page in pages for match in WRITTEN.finditer(page)]
    return sorted({match[0].strip(" `") for match in (*printed, *written) if match[2] or match[3]})


def test_they_are_found() -> None:
    assert {
        "pullback plan VALUE -n VALUE", "pullback approve VALUE -n VALUE --reason ...",
        'pullback rollback podinfo -n shop --reason "checkout fails"', "pullback history podinfo -n shop --since 7d",
    } <= set(found())  # fmt: skip


@pytest.mark.parametrize("line", found())
def test_it_is_taken(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []

    def take(options: argparse.Namespace) -> int:
        taken.append(options)
        return 0

    monkeypatch.setattr(argparse.ArgumentParser, "set_defaults", lambda parser, **_: parser._defaults.update(run=take))
    # What stands for a number is written like this.
    assert main(shlex.split(line.replace("--weight …", "--weight 25"))[1:]) == 0
    assert len(taken) == 1
