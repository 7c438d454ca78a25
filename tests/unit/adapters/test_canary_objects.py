"""Acts written on objects: what the world has learnt while a write was under way is not unlearnt by its answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, cast

from daemon.adapters.canary_objects import CanaryObjects
from daemon.model.canary import Canary, CanaryPhase
from tests.unit import facts


class Api:
    """Answers with the object as the write left it, after something else has happened."""

    def __init__(self, resource_version: str, annotations: dict[str, str], meanwhile: Callable[[], None]) -> None:
        self._metadata = {
            "namespace": "shop", "name": "podinfo", "resourceVersion": resource_version, "annotations": annotations,
        }  # fmt: skip
        self._meanwhile = meanwhile

    async def merge(self, *_: Any, **__: Any) -> dict[str, Any]:
        self._meanwhile()
        return {"metadata": self._metadata}


async def annotated(there: Canary, meanwhile: Canary, *, answers: str, **annotations: str) -> Canary:
    world = {facts.REF: there}

    def moves() -> None:
        world[facts.REF] = meanwhile

    said = {f"pullback.dev/{key}": value for key, value in annotations.items()}
    objects = CanaryObjects(cast("Any", Api(answers, said, moves)), world.get)
    return await objects.act(there, {"pullback.dev/paused": "true"})


async def test_a_weight_that_came_meanwhile_is_kept() -> None:
    """An alert would be told that nothing is under analysis, until the next event of that route."""
    idle = facts.undriven(CanaryPhase.AT_ZERO, resource_version="10")
    raised = facts.undriven(resource_version="11")
    seen = await annotated(idle, raised, answers="12", paused="true")
    assert seen == dataclasses.replace(raised, paused=True, resource_version="12")


async def test_an_answer_older_than_what_is_known_changes_nothing() -> None:
    """Another replica has written since: its word is the newer one."""
    before = facts.undriven(resource_version="10")
    resumed = facts.undriven(resource_version="13")
    assert await annotated(before, resumed, answers="12", paused="true") == resumed
