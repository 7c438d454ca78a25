"""The image, as far as it can be judged without an engine: its recipe, its lock, and its install steps."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
RECIPE = (ROOT / "Dockerfile").read_text("utf-8")
LOCK = (ROOT / "requirements.lock").read_text("utf-8")
STEPS = re.sub(r"\\\\\n", " ", RECIPE.replace("\\\n", " ")).splitlines()


def instructions(word: str) -> list[str]:
    return [line.partition(" ")[2].strip() for line in STEPS if line.startswith(word + " ")]


def test_every_base_has_a_version_and_nothing_is_fetched_by_hand() -> None:
    bases = [one.split()[0] for one in instructions("FROM")]
    assert len(bases) == 2
    assert all(re.fullmatch(r"[a-z]+:\d+\.\d+[a-z0-9.-]*", base) for base in bases), bases
    assert instructions("ADD") == []
    assert not any("curl" in step or "wget" in step for step in instructions("RUN"))


def test_it_runs_as_nobody_and_says_whether_it_is_well() -> None:
    assert instructions("USER") == ["65532:65532"]
    assert len(instructions("HEALTHCHECK")) == 1
    assert "/healthz" in instructions("HEALTHCHECK")[0]
    assert instructions("ENTRYPOINT") == ['["pullback"]']
    assert "org.opencontainers.image.licenses" in instructions("LABEL")[0]


def test_what_it_copies_is_not_ignored_and_the_sandbox_is() -> None:
    ignored = (ROOT / ".dockerignore").read_text("utf-8").split()
    for step in instructions("COPY"):
        if not step.startswith("--from"):
            assert all(f"!{name}" in ignored for name in step.split()[:-1]), step
    assert "daemon/sandbox" in ignored


def test_every_dependency_is_locked_by_hash() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    locked = set(re.findall(r"^([a-z0-9-]+)==", LOCK, re.MULTILINE))
    wanted = {re.split(r"[><=!~\[]", one)[0].strip().lower() for one in project["dependencies"]}
    assert wanted <= locked
    entries = re.split(r"^(?=[a-z0-9-]+==)", LOCK, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in LOCK, "no registry is named"


@pytest.mark.parametrize("path", sorted((ROOT / ".github/workflows").glob("*.yaml")), ids=lambda path: str(path.name))
def test_workflows_are_bounded_and_may_do_little(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text("utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        assert job["timeout-minutes"] <= 40, name
        for step in job["steps"]:
            assert re.fullmatch(r"[\w-]+/[\w./-]+@v?[\w.-]+", step.get("uses", "a/b@v1")), step


@pytest.mark.slow
def test_its_install_steps_make_a_pullback_without_a_sandbox(tmp_path: Path) -> None:
    source = tmp_path / "src"
    source.mkdir()
    listed = subprocess.run(
        ["git", "ls-files", "pyproject.toml", "README.md", "LICENSE", "requirements.lock", "daemon"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    for name in listed:
        if not name.startswith("daemon/sandbox/"):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    venv.create(tmp_path / "opt", with_pip=True)
    python = tmp_path / "opt/bin/python"

    def pip(*arguments: str) -> None:
        subprocess.run([python, "-m", "pip", "install", "--quiet", *arguments], cwd=source, check=True, timeout=300)

    pip("--require-hashes", "-r", "requirements.lock")
    pip("--no-deps", ".")
    said = subprocess.run([tmp_path / "opt/bin/pullback", "--version"], check=True, capture_output=True, text=True)
    assert said.stdout.startswith("pullback ")
    demo = subprocess.run(
        [tmp_path / "opt/bin/pullback", "demo"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert demo.returncode == 1
    assert "the demo is an extra" in demo.stderr
    assert sys.version_info >= (3, 11)
