"""Nothing the demo or a test starts may fail silently or stay behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import pytest

from daemon.sandbox.processes import Children, StartFailedError, free_port, wait_until_ready
from tests.neighbours import CHECKOUT, eventually

pytestmark = pytest.mark.e2e


async def test_a_start_that_fails_names_its_log_and_shows_the_end_of_it(
    children: Children, session: aiohttp.ClientSession
) -> None:
    child = await children.start("broken", [sys.executable, "-c", "raise SystemExit('no such luck')"])
    with pytest.raises(StartFailedError, match=r"(?s)broken ended with status 1.*broken\.log:\nno such luck"):
        await wait_until_ready(child, f"http://127.0.0.1:{free_port()}/", session)


async def test_waiting_for_one_that_never_answers_ends(children: Children, session: aiohttp.ClientSession) -> None:
    child = await children.start("silent", [sys.executable, "-c", "import time; time.sleep(60)"])
    with pytest.raises(StartFailedError, match=r"silent was not ready within 0\.3 s"):
        await wait_until_ready(child, f"http://127.0.0.1:{free_port()}/", session, timeout=0.3)


async def test_one_that_ignores_sigterm_is_killed(children: Children) -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    child = await children.start("deaf", [sys.executable, "-c", deaf])

    async def listening() -> bool:
        return bool(child.last_lines())

    await eventually(listening)
    await children.stop_all(grace=0.1)
    assert child.exit_status == -signal.SIGKILL


def test_a_killed_parent_leaves_no_orphan(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom daemon.sandbox.processes import start\n"
        "async def main():\n"
        "    child = await start('sleeper', ['sleep', '60'], logs=Path(sys.argv[1]))\n"
        "    print(child.pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    argv = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT) as parent:
        assert parent.stdout is not None
        orphan = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 5
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < deadline and "Z" not in _state(orphan):
            os.kill(orphan, 0)
            time.sleep(0.02)
        assert "Z" in _state(orphan), "the child outlived its parent"


def _state(pid: int) -> str:
    """Where nobody reaps (a container without an init), a dead orphan stays as a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        raise ProcessLookupError(pid) from None
