"""Long looks at the world that let everything else go first: a list for people never keeps an alert waiting."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

Thing = TypeVar("Thing")

TURN = 0.002
"""Seconds of the event loop that a look may take at a time: a small part of one write to the API server."""


async def in_turns(things: Iterable[Thing], turn: float = TURN) -> AsyncIterator[Thing]:
    """All of them as they are now; whatever waits for the event loop runs after each ``turn`` seconds."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + turn
    for thing in tuple(things):
        yield thing
        if loop.time() >= ends:
            await asyncio.sleep(0)
            ends = loop.time() + turn
