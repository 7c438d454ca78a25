"""Findings in one line of bounded length, and the time within which something is found."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable

from daemon.adapters import text
from daemon.adapters.checks.options import Unknown
from daemon.model import errors
from daemon.model.checking import CheckState, Finding, ImageDigest

LONGEST = 300
"""Characters of a detail: several must fit into Flagger's 1 KiB."""

_UNKNOWN = {
    Unknown.UNDECIDED: CheckState.UNDECIDED,
    Unknown.PASS: CheckState.PASSED,
    Unknown.FAIL: CheckState.FAILED,
}


def passed(detail: str, images: Iterable[ImageDigest] = ()) -> Finding:
    return Finding(CheckState.PASSED, line(detail), tuple(images))


def failed(detail: str, images: Iterable[ImageDigest] = ()) -> Finding:
    return Finding(CheckState.FAILED, line(detail), tuple(images))


def undecided(detail: str) -> Finding:
    return Finding(CheckState.UNDECIDED, line(detail))


def unknown(choice: Unknown, detail: str) -> Finding:
    """What the configuration says about having nothing to judge by."""
    return Finding(_UNKNOWN[choice], line(detail), quiet=True)


def line(detail: str, limit: int = LONGEST) -> str:
    """On one line, cut to ``limit``."""
    return text.cut(text.line(detail), limit)


def ending(said: str, limit: int) -> str:
    """The last ``limit`` characters, on one line: where a program says why it ended."""
    whole = text.line(said)
    return whole if len(whole) <= limit else text.ELLIPSIS + whole[len(whole) - limit + 1 :]


@contextlib.asynccontextmanager
async def within(seconds: float, what: str) -> AsyncIterator[None]:
    """Raises Unreachable when what is done inside takes longer: nothing was found out."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise errors.Unreachable(f"{what}: no answer within {seconds:g} s") from error
