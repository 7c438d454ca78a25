"""A long look at the world lets others go first."""

from __future__ import annotations

import asyncio
import time

from daemon.workflow import pacing


async def test_all_are_seen_in_their_order_and_others_have_their_turn_meanwhile() -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(others())
    found = []
    async for thing in pacing.in_turns(range(40), turn=0.001):
        found.append(thing)
        time.sleep(0.0005)  # noqa: ASYNC251 - work that holds the event loop is what this is about
    beside.cancel()

    assert found == list(range(40))
    assert turns >= 10  # of 20 ms of work, a turn at least after every other millisecond


async def test_what_changes_meanwhile_changes_nothing_of_the_look() -> None:
    things = {1: "a", 2: "b", 3: "c"}
    found = []
    async for thing in pacing.in_turns(things.values(), turn=0):
        found.append(thing)
        things.pop(2, None)
        things[len(things) + 10] = "d"
    assert found == ["a", "b", "c"]
