"""Replicas write side by side: none undoes what another has written."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from daemon.model import errors
from daemon.model.keeping import KeptEvidence
from daemon.model.outcome import StepOutcome
from daemon.model.plan import AmendRecord, Plan
from daemon.model.rollback import Amendment, Rollback, RollbackPhase, Timeline
from daemon.workflow.executing import Executor
from tests.unit import facts

PLANNED = facts.record(RollbackPhase.PROVED)
COMPLETED = Amendment(phase=RollbackPhase.COMPLETED)


class _Ledger:
    def __init__(self) -> None:
        self.versions: list[str] = []

    async def amend(self, _namespace: str, _name: str, _: Amendment, *, resource_version: str) -> Rollback:
        self.versions.append(resource_version)
        return PLANNED

    async def read(self, _namespace: str, _name: str) -> Rollback | None:
        return None


async def carried_out(seen: Rollback) -> tuple[list[str], StepOutcome]:
    """What becomes of a plan made for ``PLANNED`` when the watch has brought ``seen`` before it is carried out."""
    ledger = _Ledger()
    world: Any = SimpleNamespace(record=lambda _ref, _name: seen, put_record=lambda _: None)
    clock: Any = SimpleNamespace(now=lambda: facts.after(90))
    given: Any = {
        "world": world, "ledger": ledger, "clock": clock, "routes": None, "names": None, "canaries": None,
        "brakes": None,
    }  # fmt: skip
    outcome = await Executor(**given).execute(Plan((AmendRecord(PLANNED, COMPLETED),)), lambda _: None)
    return ledger.versions, outcome.steps[0]


async def test_a_record_that_another_replica_has_brought_to_its_end_meanwhile_is_looked_at_again() -> None:
    ended = facts.record(
        RollbackPhase.COMPLETED, resource_version="12", timeline=Timeline(completed_at=facts.after(80))
    )  # fmt: skip
    versions, step = await carried_out(ended)
    assert versions == []
    assert isinstance(step.error, errors.Conflict)


async def test_what_the_leader_has_written_about_the_time_after_zero_is_gone_on_from() -> None:
    kept = KeptEvidence("podinfo-evidence", facts.after(80), 1, ())
    versions, step = await carried_out(facts.record(RollbackPhase.PROVED, resource_version="12", evidence=kept))
    assert (versions, step.error) == (["12"], None)
