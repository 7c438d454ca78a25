"""`pullback demo` as somebody types it: it ends well, and however it ends, nothing goes on running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.sandbox.stopwatch import (
    ACCEPTED,
    COMPLETED,
    DECIDED,
    FIRING,
    IN_FORCE,
    LAST,
    ONSET,
    PROVED,
    RECEIVED,
    ZEROED,
)

pytestmark = pytest.mark.e2e


@pytest.fixture
def surroundings(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Somebody's machine: an empty HOME, folders with odd names, settings and a proxy that are not for us."""
    runs = tmp_path / "runs [of] mine"
    runs.mkdir()
    home = tmp_path / "home"
    home.mkdir()
    yield {
        **os.environ,
        "HOME": str(home),
        "TMPDIR": str(runs),
        "PYTHONIOENCODING": "ascii",
        "http_proxy": "http://127.0.0.1:1",
        "PULLBACK_WEB__PORT": "1",
        "PULLBACK_NONSENSE__IS": "here",
    }
    assert not list(runs.iterdir()), "the run's folder was left behind"


def started(surroundings: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "daemon", "demo", *arguments]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=surroundings)


def children_of(parent: int) -> set[int]:
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        if int(fields[1]) == parent and fields[0] != "Z":
            found.add(int(stat.parent.name))
    return found


def alive(pids: set[int]) -> set[int]:
    """Until nobody is, for two seconds at most."""
    deadline = time.monotonic() + 2
    while left := {pid for pid in pids if _runs(pid)}:
        if time.monotonic() > deadline:
            return left
        time.sleep(0.05)
    return set()


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_demo_shows_every_moment_and_ends_with_0(surroundings: dict[str, str]) -> None:
    with started(surroundings, "--no-alerting") as demo:
        told, _ = demo.communicate(timeout=60)
    assert demo.returncode == 0, told
    screen = told.partition("The stopwatch")[2].partition("Where the seconds went")[0]
    for what in (ONSET, FIRING, RECEIVED, DECIDED, ZEROED, IN_FORCE, LAST, PROVED, ACCEPTED, COMPLETED):
        (line,) = [line for line in screen.splitlines() if line.startswith(f"{what} ")]
        assert "..." not in line
    assert "and 0 after it" in told
    assert "The canary got nothing after the cut." in told
    assert "Traceback" not in told


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for children in /proc")
def test_ctrl_c_in_mid_run_leaves_no_child_alive(surroundings: dict[str, str]) -> None:
    with started(surroundings, "--no-alerting", "--keep") as demo:
        assert demo.stdout is not None
        assert any("is released" in line for line in demo.stdout), "ended early"
        children = children_of(demo.pid)
        assert len(children) == 4, "two versions of the app, Envoy and the daemon"
        demo.send_signal(signal.SIGINT)
        demo.send_signal(signal.SIGINT)  # nobody presses it once
        rest, _ = demo.communicate(timeout=20)
    assert demo.returncode == 130, rest
    assert "everything that was started has ended" in rest
    assert not alive(children)


def test_too_few_errors_for_the_shipped_rules_are_refused_at_once(surroundings: dict[str, str]) -> None:
    with started(surroundings, "--errors", "0.01") as demo:
        told, _ = demo.communicate(timeout=20)
    assert demo.returncode == 1
    assert "nothing would happen" in told
    assert "--no-alerting" in told
