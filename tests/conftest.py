"""Fixtures of every ring, and the rule that no test leaves a task behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import hypothesis
import pytest

pytest_plugins = ["tests.cluster", "tests.commands", "tests.scene"]


# How long an example takes is the machine's business: performance is measured on the bench.
hypothesis.settings.register_profile(
    "house", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)  # fmt: skip
hypothesis.settings.load_profile("house")


@pytest.fixture(autouse=True)
async def no_task_is_left_behind() -> AsyncIterator[None]:
    """A leaked task is a bug that shows up somewhere else."""
    yield
    left = others()
    if left:
        # A connection that was closed just now may need some turns of the loop to notice.
        await asyncio.wait(left, timeout=1)
    assert not others()


def others() -> list[asyncio.Task[object]]:
    return [task for task in asyncio.all_tasks() if task is not asyncio.current_task() and not task.done()]
