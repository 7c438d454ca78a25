"""What had to be brought in step elsewhere once the routes were at zero, and what became of it."""

import dataclasses
import datetime
import enum
from collections.abc import Mapping


class FollowUpKind(enum.StrEnum):
    """``status.followUps[].kind``: whose idea of the weight it is."""

    HELM = "Helm"
    APPLICATION = "Application"
    """Of Argo CD."""
    KUSTOMIZATION = "Kustomization"
    HELM_RELEASE = "HelmRelease"
    """Both of Flux."""


GITOPS = frozenset({FollowUpKind.APPLICATION, FollowUpKind.KUSTOMIZATION, FollowUpKind.HELM_RELEASE})
"""What a GitOps controller acts by: there is a follow-up of these only once one has raised the canary again."""


class FollowUpState(enum.StrEnum):
    """``status.followUps[].state``."""

    PENDING = "Pending"
    """Begun; ``detail`` says what it waits for, or why the last try failed."""
    DONE = "Done"
    FAILED = "Failed"
    """Given up: ``detail`` says why, and what to do by hand. Traffic is not concerned."""
    NOT_NEEDED = "NotNeeded"
    """It was in step already, or the rollback was over before its turn came."""
    LENT = "Lent"
    """Changed for as long as the rollback stands; ``undo`` is what will be put back."""
    BY_HAND = "ByHand"
    """Nothing is done here: ``detail`` says who raises the canary, and what a person has to write where."""


SETTLED = frozenset({FollowUpState.DONE, FollowUpState.FAILED, FollowUpState.NOT_NEEDED, FollowUpState.BY_HAND})


@dataclasses.dataclass(frozen=True, slots=True)
class FollowUp:
    """One of them. ``name`` is ``<namespace>/<name>`` of what is brought in step.

    ``at`` is since when the state holds; a new ``detail`` does not move it. ``undo`` is what must be put back when the
    rollback no longer stands, by the name of what was changed; None: nothing was lent.
    """

    kind: FollowUpKind
    name: str
    state: FollowUpState
    detail: str
    at: datetime.datetime
    undo: Mapping[str, str] | None = None

    @property
    def settled(self) -> bool:
        return self.state in SETTLED
