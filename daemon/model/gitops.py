"""GitOps controllers that raise a canary again, and what each of them acts by."""

import dataclasses

from daemon.model.follow_up import FollowUpKind
from daemon.model.route import RouteRef


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Owner:
    """An Application, a Kustomization or a HelmRelease: why a controller writes an object.

    ``name`` is empty where the object does not say, ``namespace`` too.
    """

    kind: FollowUpKind
    namespace: str
    name: str

    @property
    def path(self) -> str:
        """``<namespace>/<name>``, as a follow-up is named; empty where it is not known."""
        return f"{self.namespace}/{self.name}" if self.name else ""

    def __str__(self) -> str:
        return f"{self.kind} {self.path}" if self.name else f"an unnamed {self.kind}"


@dataclasses.dataclass(frozen=True, slots=True)
class Raise:
    """A GitOps controller has raised a canary that is held at zero.

    ``manager`` is what managedFields call it. ``pointers`` are the fields (RFC 6901) that we wrote back: what it would
    have to leave alone. ``advice`` is what to write where for that, one line for people.
    """

    owner: Owner
    manager: str
    route: RouteRef
    pointers: tuple[str, ...]
    advice: str


@dataclasses.dataclass(frozen=True, slots=True)
class Loan:
    """What stands on an object whose controller we have stopped, in the same write.

    ``original`` is JSON of what to put back (null: the field was not there). ``holders`` are the records it was stopped
    for, as ``<namespace>/<canary>/<record>``: one Kustomization may hold the routes of several canaries.
    """

    original: str
    holders: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Managed:
    """Such an owner as it was read a moment ago.

    ``acting``: its controller undoes what others change. ``idle`` says why not, where it does not. ``field`` is JSON of
    the field that would be lent. ``made_by`` is what made it and would write it again, empty for people. ``lists`` is
    whether it counts the route among its own, None where nobody asked. ``writer`` wrote that field last.
    """

    owner: Owner
    resource_version: str
    acting: bool
    idle: str
    field: str
    made_by: str
    lists: bool | None
    loan: Loan | None
    writer: str = ""
