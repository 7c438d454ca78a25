"""The plan of the house is a test: its floors, and nothing that only the clock's own file may ask for."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
DAEMON = CHECKOUT / "daemon"
CLOCK = DAEMON / "adapters/clock.py"
FORBIDDEN = {("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today")}
MODULES = {"time", "random"}


def sources() -> list[Path]:
    found = [path for path in sorted(DAEMON.rglob("*.py")) if "sandbox" not in path.parts]
    assert len(found) > 50
    return found


def test_imports_only_go_down() -> None:
    lint = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([lint], cwd=CHECKOUT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout


def asked(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
            if (owner, node.attr) in FORBIDDEN or owner in MODULES:
                yield f"{owner}.{node.attr} in line {node.lineno}"


@pytest.mark.parametrize("path", [path for path in sources() if path != CLOCK], ids=lambda path: str(path.name))
def test_nobody_but_the_clock_asks_the_machine_for_time_or_chance(path: Path) -> None:
    assert list(asked(ast.parse(path.read_text("utf-8")))) == []


def test_the_shipped_configuration_says_the_defaults() -> None:
    from daemon import settings  # noqa: PLC0415

    shipped = settings.load(CHECKOUT / "config/pullback.yaml", {}).model_dump()
    built_in = settings.Settings().model_dump()
    for door in ("alertmanager", "flagger"):  # secrets have no default, the file shows where they would be
        for kind in ("bearer_token_files", "password_files"):
            shipped["web"][door][kind] = built_in["web"][door][kind]

    assert shipped == built_in


def test_the_shipped_example_of_gates_can_be_used() -> None:
    from daemon import settings  # noqa: PLC0415
    from daemon.adapters import checks  # noqa: PLC0415

    example = settings.load(CHECKOUT / "config/gates.yaml", {})
    checks.check(example.gates.checks)
    assert [stage.weight for stage in example.profiles["business"].stages] == [0, 5, 25, 50]
    unused = set(example.gates.checks) - {name for one in example.gates.profiles.values() for name in one.named}
    assert unused == set()


def test_nobody_takes_time_or_chance_by_another_name() -> None:
    taken = {
        f"{path.relative_to(DAEMON)}: {alias.name}"
        for path in sources()
        if path != CLOCK
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if (isinstance(node, ast.ImportFrom) and node.module in MODULES) or alias.name in MODULES
    }
    assert taken == set()


LONG_FILES: dict[str, str] = {}


def test_a_file_over_300_lines_has_a_reason() -> None:
    long = {str(path.relative_to(DAEMON)) for path in sources() if len(path.read_text("utf-8").splitlines()) > 300}
    assert long <= set(LONG_FILES)


LONG_FUNCTIONS = {"_start": "the wiring of the whole daemon, one line per part, in the order in which it starts"}


def test_a_function_over_60_lines_has_a_reason() -> None:
    long = {
        node.name
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.end_lineno or 0) - node.lineno + 1 > 60
    }
    assert long <= set(LONG_FUNCTIONS)


def test_only_rooms_that_decide_or_look_know_the_policy() -> None:
    knowing = {
        path.relative_to(DAEMON).parts[0].removesuffix(".py")
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("daemon.policy")
    }
    assert knowing == {"bootstrap", "cli", "policy", "web", "workflow"}
