"""Starts the neighbours as real child processes and makes sure that every one of them ends.

The demo and the end-to-end tests run half a dozen programs on somebody's laptop. Whatever happens to the
parent, Ctrl-C, a failed assertion or `kill -9`, none of them may stay behind: each child runs in its own
process group, is stopped by its own pid, and asks the kernel to be killed when the parent dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import aiohttp

PR_SET_PDEATHSIG = 1
LAST_LINES = 15
POLL_SECONDS = 0.03
QUIET_PORTS = range(20_000, 32_000)
ATTEMPTS = 50


class StartFailedError(RuntimeError):
    """A neighbour did not come up; the message names its log file and shows the end of it."""


def _dying_with_the_parent() -> Callable[[], None] | None:
    """What the child runs between fork and exec; only Linux can promise it, elsewhere stopping has to do."""
    if not sys.platform.startswith("linux"):
        return None
    # Loaded before the fork: in the forked child this could wait on a lock that nobody holds any more.
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def ask_the_kernel() -> None:
        prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:  # the parent died before the request was made, so no signal will come
            os._exit(1)

    return ask_the_kernel


@dataclass(slots=True)
class ChildProcess:
    """One running neighbour, with the file its output goes to."""

    name: str
    log_path: Path
    process: asyncio.subprocess.Process

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def exit_status(self) -> int | None:
        """None while it runs; negative numbers are signals, as in `subprocess`."""
        return self.process.returncode

    def last_lines(self, count: int = LAST_LINES) -> str:
        with contextlib.suppress(OSError):
            return "\n".join(self.log_path.read_text("utf-8", "replace").splitlines()[-count:])
        return ""

    def failed(self, why: str) -> StartFailedError:
        return StartFailedError(f"{self.name} {why}; its log is {self.log_path}:\n{self.last_lines()}")


def _opened(log_path: Path) -> BinaryIO:
    log_path.parent.mkdir(parents=True, exist_ok=True)
    return log_path.open("ab")


def _environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in {**os.environ, **changes}.items() if value is not None}


async def start(
    name: str,
    argv: Sequence[str | Path],
    *,
    logs: Path,
    environment: Mapping[str, str | None] | None = None,
    folder: Path | None = None,
) -> ChildProcess:
    """Start `argv` with stdout and stderr in `logs/NAME.log`.

    `environment` is added to the parent's own; None takes a variable away.
    """
    log_path = logs / f"{name}.log"
    with _opened(log_path) as output:
        try:
            process = await asyncio.create_subprocess_exec(
                *map(str, argv),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=_environment(environment or {}),
                cwd=folder,
                process_group=0,
                preexec_fn=_dying_with_the_parent(),
            )
        except OSError as error:
            raise StartFailedError(f"{name} could not be started: {error}") from error
    return ChildProcess(name, log_path, process)


async def wait_until_ready(
    child: ChildProcess, url: str, session: aiohttp.ClientSession, *, timeout: float = 15.0
) -> float:
    """Poll `url` until it answers 2xx; returns the seconds it took. Ends early when the child has died."""
    began = time.monotonic()
    answer = "no answer"
    while (waited := time.monotonic() - began) < timeout:
        if child.exit_status is not None:
            raise child.failed(f"ended with status {child.exit_status} before it was ready")
        try:
            async with session.get(url, timeout=aiohttp.ClientTimeout(total=2)) as response:
                if response.ok:
                    return waited
                answer = f"status {response.status}"
        except (aiohttp.ClientError, TimeoutError) as error:
            answer = str(error) or type(error).__name__
        await asyncio.sleep(POLL_SECONDS)
    raise child.failed(f"was not ready within {timeout:g} s at {url} ({answer})")


async def stop(child: ChildProcess, *, grace: float = 5.0) -> int:
    """SIGTERM, after `grace` seconds SIGKILL, to this child's own pid only; returns its exit status."""
    for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, 5.0)):
        if child.exit_status is not None:
            break
        with contextlib.suppress(ProcessLookupError):
            child.process.send_signal(number)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(child.process.wait(), patience)
    if child.exit_status is None:
        raise RuntimeError(f"{child.name} (pid {child.pid}) outlived SIGKILL")
    return child.exit_status


@dataclass(slots=True)
class Children:
    """The processes of one demo or one test: all are stopped on the way out, the last started first."""

    logs: Path
    running: list[ChildProcess] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop_all()

    async def start(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        environment: Mapping[str, str | None] | None = None,
        folder: Path | None = None,
    ) -> ChildProcess:
        child = await start(name, argv, logs=self.logs, environment=environment, folder=folder)
        self.running.append(child)
        return child

    def dead(self) -> ChildProcess | None:
        """One that has ended although nobody stopped it."""
        return next((child for child in self.running if child.exit_status is not None), None)

    def forget(self, child: ChildProcess) -> None:
        """Its end is somebody else's affair from now on."""
        self.running.remove(child)

    async def stop_all(self, *, grace: float = 5.0) -> None:
        """One that will not end does not keep the others from being stopped."""
        failures: list[BaseException] = []
        while self.running:
            try:
                await stop(self.running.pop(), grace=grace)
            except RuntimeError as error:
                failures.append(error)
        if failures:
            raise failures[0]


def free_ports(count: int) -> list[int]:
    """Loopback ports nobody listens on; all are held until the last is found, so they differ.

    Below the range from which the kernel takes the near ends of connections: a port that is only promised to a
    neighbour must not go to one of the load generator's requests before the neighbour opens it.
    """
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        return [_bound(each) for each in sockets]


def _bound(unbound: socket.socket) -> int:
    for port in random.sample(QUIET_PORTS, ATTEMPTS):
        with contextlib.suppress(OSError):
            unbound.bind(("127.0.0.1", port))
            return port
    unbound.bind(("127.0.0.1", 0))
    return int(unbound.getsockname()[1])


def free_port() -> int:
    return free_ports(1)[0]
