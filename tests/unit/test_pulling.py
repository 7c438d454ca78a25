"""The backstop goes on asking, whatever becomes of what it was told."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest import mock

from daemon.adapters.clock import SystemChance
from daemon.model.signal import AlertGroup
from daemon.workflow.intake import GroupAnswer
from daemon.workflow.pulling import Pulling

NOTHING = AlertGroup(alerts=(), truncated=0, group_key="", receiver="")


async def test_what_goes_wrong_with_one_answer_ends_no_asking() -> None:
    asked = asyncio.Event()
    tries = 0

    async def take(_: AlertGroup) -> GroupAnswer:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise RuntimeError("a bug")
        asked.set()
        return GroupAnswer((), 0)

    observer: Any = mock.Mock()
    alerts: Any = mock.Mock(firing=mock.AsyncMock(return_value=NOTHING))
    pulling = Pulling(alerts=alerts, take=take, ready=str, observer=observer, chance=SystemChance(), every=0.02)
    task = asyncio.create_task(pulling.run())
    try:
        async with asyncio.timeout(5):
            await asked.wait()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert "a bug" in str(observer.pulled.call_args_list[0].args[1])
