"""Whether a hook speaks of the revision we know: which pairs are learned, from whom, and when not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.model.canary import CanaryPhase
from daemon.model.signal import Hook, HookType
from daemon.workflow.recognising import TEACHES, Recogniser
from daemon.workflow.standing import Standing
from tests.unit import facts
from tests.unit.virtual_time import VirtualTime


@dataclass
class Replica:
    """One process that is asked by Flagger; time passes only between two questions."""

    fresh: bool = True
    world: VirtualTime = field(default_factory=VirtualTime)
    standing: Standing = field(default_factory=lambda: Standing(facts.REF))

    def __post_init__(self) -> None:
        self.loop = self.world.loop()
        self.recogniser = Recogniser(lambda: self.fresh)

    def asked(
        self, checksum: str = "c2", kind: HookType = HookType.ROLLOUT, *, wait: float = 0.0, **changes: Any
    ) -> bool:
        """``changes`` are about the canary as this replica sees it."""
        self.world.run(wait)
        hook = Hook(kind, facts.REF, "Progressing", checksum, {})

        async def recognise() -> bool:
            return self.recogniser.is_of_this_revision(hook, facts.canary(**changes), self.standing)

        task = self.loop.start(recognise())
        self.world.run(0.0)
        return bool(task.result())


@pytest.mark.parametrize("kind", HookType)
def test_only_hooks_of_a_running_analysis_teach(kind: HookType) -> None:
    replica = Replica()
    assert replica.asked(kind=kind) == (kind in TEACHES)
    assert bool(replica.standing.checksums) == (kind in TEACHES)


def test_confirm_rollout_may_carry_the_revision_before() -> None:
    assert HookType.CONFIRM_ROLLOUT not in TEACHES


@pytest.mark.parametrize("phase", CanaryPhase)
def test_a_pair_is_learned_while_it_is_analysed_only(phase: CanaryPhase) -> None:
    taught = phase in {CanaryPhase.PROGRESSING, CanaryPhase.WAITING_PROMOTION}
    assert Replica().asked(phase=phase) == taught


@pytest.mark.parametrize(
    ("replica", "question"),
    [
        (Replica(fresh=False), {}),
        (Replica(), {"revision": ""}),
        (Replica(), {"checksum": ""}),
    ],
    ids=["the watch is stale", "the revision has no name", "the hook names none"],
)
def test_nothing_is_learned_from_what_is_not_known(replica: Replica, question: dict[str, Any]) -> None:
    assert not replica.asked(**question)
    assert not replica.standing.checksums


def test_what_was_learned_holds_and_another_checksum_is_another_revision() -> None:
    replica = Replica()
    assert replica.asked("c2")
    assert replica.asked("c2", HookType.CONFIRM_ROLLOUT)
    assert replica.asked("c2", phase=CanaryPhase.FAILED)
    assert not replica.asked("c3")
    assert not replica.asked("")
    assert not replica.asked("c3", wait=1000)
    replica.fresh = False
    assert replica.asked("c2"), "a pair that is known needs no fresh watch"


def test_the_next_revision_is_learned_anew() -> None:
    replica = Replica()
    assert replica.asked("c2")
    assert replica.asked("c3", revision="rev3")
    assert not replica.asked("c2", revision="rev3")
    assert replica.asked("c2", wait=60), "and the one before is still known, should it come back"


def test_a_late_watch_does_not_teach_the_checksum_of_the_next_revision_for_long() -> None:
    """Flagger asks about rev3 already, and our watch still says rev2, whose checksum we never heard."""
    replica = Replica()
    assert replica.asked("c3", revision="rev2"), "nobody can tell"
    assert not replica.asked("c3", revision="rev3"), "one of the two pairs is wrong: nothing is opened on either"
    assert not replica.asked("c3", revision="rev3", wait=4.9)
    assert replica.asked("c3", revision="rev3", wait=0.2), "the watch has settled: this is the revision"
    assert not replica.asked("c3", revision="rev2")
    assert list(replica.standing.checksums.values()) == ["c3"]


def test_a_watch_that_goes_back_and_forth_settles_nothing() -> None:
    replica = Replica()
    replica.asked("c3", revision="rev2")
    for _ in range(5):
        assert not replica.asked("c3", revision="rev3", wait=3)
        replica.asked("c1", revision="rev1", wait=1)


def test_few_pairs_are_kept() -> None:
    replica = Replica()
    for number in range(50):
        assert replica.asked(f"c{number}", revision=f"rev{number}")
    assert list(replica.standing.checksums.values()) == [f"c{number}" for number in range(42, 50)]


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(
            st.floats(0, 8),
            st.sampled_from(["rev1", "rev2", "rev3", ""]),
            st.sampled_from(["c1", "c2", "c3", ""]),
            st.sampled_from(HookType),
            st.sampled_from(CanaryPhase),
            st.booleans(),
        ),
        max_size=20,
    )
)
def test_a_yes_is_always_a_pair_that_is_known_and_no_checksum_is_two_revisions(
    story: list[tuple[float, str, str, HookType, CanaryPhase, bool]],
) -> None:
    replica = Replica()
    for wait, revision, checksum, kind, phase, fresh in story:
        replica.fresh = fresh
        before = dict(replica.standing.checksums)
        said = replica.asked(checksum, kind, wait=wait, revision=revision, phase=phase)
        pairs = replica.standing.checksums
        assert said == (revision in pairs and pairs[revision] == checksum)
        assert len(set(pairs.values())) == len(pairs)
        assert "" not in pairs
        assert "" not in pairs.values()
        if not fresh or kind not in TEACHES:
            assert pairs == before
