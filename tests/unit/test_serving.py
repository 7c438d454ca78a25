"""What a process of the daemon is set to before anything else."""

from __future__ import annotations

import gc
from pathlib import Path

from daemon.bootstrap import serving
from tests.running import configuration


async def test_python_seldom_looks_through_all_there_is_for_garbage(tmp_path: Path) -> None:
    """Ten thousand canaries are two million objects, and to look at each of them keeps an alert waiting."""
    before = gc.get_threshold()
    try:
        assert await serving.run(configuration(tmp_path / "no-such-kubeconfig", tmp_path)) == 2
        young, rounds, older = gc.get_threshold()
    finally:
        gc.set_threshold(*before)
    assert young * rounds * older >= 1_000_000
