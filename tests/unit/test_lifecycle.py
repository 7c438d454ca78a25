"""Starting and stopping: in reverse, each in its time, whatever fails."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable

import pytest

from daemon import lifecycle
from daemon.lifecycle import Lifecycle


def made() -> tuple[Lifecycle, list[str]]:
    told: list[str] = []
    return Lifecycle(lambda name, what: told.append(f"{name}: {what}")), told


def noting(heard: list[str], word: str, error: Exception | None = None) -> Callable[[], Awaitable[None]]:
    async def cleanup() -> None:
        heard.append(word)
        if error is not None:
            raise error

    return cleanup


async def for_ever() -> None:
    await asyncio.Event().wait()


async def test_cleanups_run_last_in_first_out_and_one_that_fails_keeps_no_other_from_running() -> None:
    process, told = made()
    heard: list[str] = []
    process.on_stop("port", noting(heard, "port"))
    process.on_stop("writes", noting(heard, "writes", ValueError("no")))
    process.on_stop("door", noting(heard, "door"))
    process.actor("watches", for_ever())
    process.stop()
    await process.run()

    assert heard == ["door", "writes", "port"]
    assert (told, process.failed) == (["writes: failed to stop: ValueError('no')"], False)


async def test_a_cleanup_that_hangs_is_left_behind_at_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "_CLEANUP_SECONDS", 0.01)
    process, told = made()
    heard: list[str] = []
    process.on_stop("port", noting(heard, "port"))
    process.on_stop("stuck", for_ever)
    process.stop()
    await process.run()

    assert heard == ["port"]
    assert told == ["stuck: not stopped within 0 s"]


async def test_a_cleanup_has_as_long_as_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "_CLEANUP_SECONDS", 0.01)
    process, told = made()
    process.on_stop("lingering", lambda: asyncio.sleep(0.1), within=10)
    process.stop()
    await process.run()

    assert told == []


async def ends(error: Exception | None) -> None:
    await asyncio.sleep(0)
    if error is not None:
        raise error


@pytest.mark.parametrize(
    ("error", "said"), [(None, "watches: ended"), (ValueError("lost"), "watches: ended: ValueError('lost')")]
)
async def test_the_end_of_one_actor_ends_all_in_order(error: Exception | None, said: str) -> None:
    process, told = made()
    heard: list[str] = []
    process.on_stop("port", noting(heard, "port"))
    process.actor("others", for_ever())
    process.actor("watches", ends(error))
    assert process.alive() == ""
    await process.run()

    assert (heard, told, process.failed) == (["port"], [said], True)
    assert process.alive() == "others has ended"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_in_order(number: signal.Signals) -> None:
    process, told = made()
    heard: list[str] = []
    process.heed_signals()
    process.on_stop("port", noting(heard, "port"))
    process.actor("watches", for_ever())
    try:
        running = asyncio.create_task(process.run())
        await asyncio.sleep(0)
        os.kill(os.getpid(), number)
        await asyncio.wait_for(running, 5)
    finally:
        for each in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().remove_signal_handler(each)

    assert (heard, told, process.failed) == (["port"], [], False)
