"""GitOps: who raised a canary that is held at zero, how to make it leave that one field alone, and, where people want
it, how it is stopped for the time of the rollback.

Each sentence says what the controllers do, as their own documentation and code have it: Argo CD of 2.3 and newer,
Flux's kustomize-controller (``spec.ignore``: of 1.9, in Flux 2.9) and helm-controller.
"""

import datetime
import enum
import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace

from daemon.model.canary import CanaryRef
from daemon.model.follow_up import GITOPS, FollowUp, FollowUpKind, FollowUpState
from daemon.model.gitops import Loan, Managed, Owner, Raise
from daemon.model.rollback import Rollback, RollbackPhase
from daemon.model.route import RouteObject, RoutePatch, RouteView

MANAGERS: Mapping[str, FollowUpKind] = {
    "argocd-controller": FollowUpKind.APPLICATION,
    "argocd-application-controller": FollowUpKind.APPLICATION,  # of older versions: the name of the program
    "kustomize-controller": FollowUpKind.KUSTOMIZATION,
    "helm-controller": FollowUpKind.HELM_RELEASE,
}
"""By what managedFields call them."""

_TRACKING = "argocd.argoproj.io/tracking-id"
_INSTANCES = ("argocd.argoproj.io/instance", "app.kubernetes.io/instance")
"""Labels that Argo CD tracks by where it does not track by annotation; the second is its default."""
_FLUX = {
    FollowUpKind.KUSTOMIZATION: "kustomize.toolkit.fluxcd.io",
    FollowUpKind.HELM_RELEASE: "helm.toolkit.fluxcd.io",
}
_PLAIN = re.compile(r"[A-Za-z_]\w*")
_MOST_PATHS = 6
"""Of more fields than these the lists they are in are named: nobody keeps thirty paths in step."""
_DETAIL_MOST = 1024
"""Characters of a follow-up's detail in the record."""


def raised(view: RouteView, route: RouteObject | None, argocd_namespace: str) -> Raise | None:
    """Who raised it, when it was a GitOps controller. ``view`` is the route as it was found raised; ``route`` the same
    object, for what it says of its owner. ``argocd_namespace``: of Applications whose namespace is not told."""
    manager = view.writers[0] if view.writers else ""
    kind = MANAGERS.get(manager)
    if kind is None or view.zero is None:
        return None
    owner = _owner(kind, route, argocd_namespace) if route is not None else None
    group = route.api_version.rpartition("/")[0] if route is not None else ""
    return Raise(owner or Owner(kind, "", ""), manager, view.ref, group, pointers(view.zero))


def owners(route: RouteObject, argocd_namespace: str) -> tuple[Owner, ...]:
    """All that the object names, whoever has written it last."""
    found = (_owner(kind, route, argocd_namespace) for kind in sorted(GITOPS))
    return tuple(owner for owner in found if owner is not None)


def _owner(kind: FollowUpKind, route: RouteObject, argocd_namespace: str) -> Owner | None:
    if kind is FollowUpKind.APPLICATION:
        # Applications outside Argo CD's own namespace are tracked as NAMESPACE_NAME; no name has an underscore.
        namespace, _, name = _tracked(route).rpartition("_")
        return Owner(kind, namespace or argocd_namespace, name) if name else None
    name, namespace = (route.labels.get(f"{_FLUX[kind]}/{word}", "") for word in ("name", "namespace"))
    return Owner(kind, namespace, name) if name and namespace else None


def _tracked(route: RouteObject) -> str:
    said = route.annotations.get(_TRACKING, "")
    if said:
        name, _, rest = said.partition(":")
        kind, _, where = rest.partition(":")
        # Copied from another object (by a template, say) it makes this one nobody's: Argo CD sees it the same way.
        mine = (route.ref.kind, f"{route.ref.namespace}/{route.ref.name}")
        return name if (kind.rpartition("/")[2], where) == mine else ""
    return next((route.labels[key] for key in _INSTANCES if route.labels.get(key)), "")


def pointers(patch: RoutePatch) -> tuple[str, ...]:
    """The fields that a patch writes; of very many, the lists that they are in."""
    found = tuple(dict.fromkeys(one.path for one in patch.operations if one.op != "test"))
    if len(found) <= _MOST_PATHS:
        return found
    return tuple(dict.fromkeys("/".join(path.split("/")[:3]) for path in found))


# -- the one field to ignore


def advice(found: Raise) -> str:
    """What to write where, so that the controller leaves what was changed alone, and only that."""
    if found.owner.kind is FollowUpKind.APPLICATION:
        return _for_argocd(found)
    paths = json.dumps(list(found.pointers))
    target = f"{{kind: {found.route.kind}, namespace: {found.route.namespace}, name: {found.route.name}}}"
    rule = f"[{{paths: {paths}, target: {target}}}]"
    if found.owner.kind is FollowUpKind.HELM_RELEASE:
        return f"add to its spec.driftDetection: ignore: {rule} (an upgrade sets what the chart renders all the same)"
    kind = f"{found.route.kind.lower()}.{found.group}" if found.group else found.route.kind.lower()
    whole = (
        f"kubectl annotate {kind} {shlex.quote(found.route.name)} -n {shlex.quote(found.route.namespace)} "
        "kustomize.toolkit.fluxcd.io/reconcile=disabled"
    )
    return f"add to its spec: ignore: {rule} (Flux 2.9 and newer; older leave out only the whole object: {whole})"


def _for_argocd(found: Raise) -> str:
    expressions = tuple(dict.fromkeys(map(_expression, found.pointers)))
    listed = any(part.isdigit() for pointer in found.pointers for part in pointer.split("/"))
    which = f"jqPathExpressions: {json.dumps(expressions)}" if listed else f"jsonPointers: {json.dumps(found.pointers)}"
    entry = (
        f"{{group: {found.group or chr(39) * 2}, kind: {found.route.kind}, namespace: {found.route.namespace}, "
        f"name: {found.route.name}, {which}}}"
    )
    return f"add to its spec: ignoreDifferences: [{entry}], syncPolicy.syncOptions: [RespectIgnoreDifferences=true]"


def _expression(pointer: str) -> str:
    """A JSON pointer as a path of jq: whichever element, because indices move when people edit."""
    words = []
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if part.isdigit():
            words.append("[]?")
        else:
            words.append(f".{key}" if _PLAIN.fullmatch(key) else f"[{json.dumps(key)}]")
    path = "".join(words)
    return path if path.startswith(".") else f".{path}"


# -- what the record says


def entry(record: Rollback, found: Raise, *, suspends: bool, now: datetime.datetime) -> FollowUp | None:
    """The follow-up that this raise makes, or makes longer; None when the record says it already."""
    there = record.follow_up(found.owner.kind, found.owner.path)
    if there is None:
        suspends = suspends and bool(found.owner.name) and not record.drill
        state = FollowUpState.PENDING if suspends else FollowUpState.BY_HAND
        detail = f"{found.owner} ({found.manager}) raised {found.route}; to make it leave that alone, {advice(found)}"
        return FollowUp(found.owner.kind, found.owner.path, state, detail[:_DETAIL_MOST], now)
    longer = f"{there.detail}; the same for {found.route}: {', '.join(found.pointers)}"
    if str(found.route) in there.detail or len(longer) > _DETAIL_MOST:
        return None
    return replace(there, detail=longer)


# -- stopped for the time of the rollback


def holder(record: Rollback) -> str:
    return f"{record.namespace}/{record.canary.name}/{record.name}"


def strangers(loan: Loan, canary: CanaryRef, records: tuple[Rollback, ...]) -> tuple[str, ...]:
    """Holders that are records of this canary which nobody knows any more: whoever deletes one lifts the hold."""
    accounted = {holder(record) for record in records if any(one.undo is not None for one in _of(record))}
    prefix = f"{canary.namespace}/{canary.name}/"
    return tuple(one for one in loan.holders if one.startswith(prefix) and one not in accounted)


def _of(record: Rollback) -> tuple[FollowUp, ...]:
    return tuple(one for one in record.follow_ups if one.kind in GITOPS)


def stands(record: Rollback, *, overtaken: bool) -> bool:
    """Whether a rollback still holds its canary at zero. ``overtaken``: the canary has gone on to another revision."""
    ended = record.finished or overtaken or record.phase is RollbackPhase.FAILED
    return record.begun and not record.dry_run and not ended


@dataclass(frozen=True, slots=True)
class Lend:
    """Stop its controller, noting this in the same write."""

    loan: Loan


@dataclass(frozen=True, slots=True)
class IsLent:
    """Stopped, and noted as ours."""

    loan: Loan


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing has to be stopped."""

    detail: str


@dataclass(frozen=True, slots=True)
class Impossible:
    """It must not, or cannot, be stopped here: a person must look."""

    detail: str


def lending(managed: Managed | None, owner: Owner, who: str) -> Lend | IsLent | Idle | Impossible:
    """What to do with an owner that raises; ``who`` is the record that wants it stopped."""
    if managed is None:
        return Impossible(f"there is no {owner}")
    loan = managed.loan
    if loan is not None and who in loan.holders:
        return IsLent(loan) if not managed.acting else Impossible(_taken_back(managed))
    if managed.lists is False:
        # Labels can be written by whoever may write the route: what it names must say the same.
        return Impossible(f"{owner} does not count that route among its own: left alone")
    if managed.made_by:
        return Impossible(f"{owner} is made by {managed.made_by}, which would set it back: left alone")
    others = loan.holders if loan is not None else ()
    if managed.acting:
        return Lend(Loan(managed.field, (*others, who)))
    return Lend(replace(loan, holders=(*others, who))) if loan is not None else Idle(f"{owner} {managed.idle}")


def _taken_back(managed: Managed) -> str:
    by = f" by {managed.writer}" if managed.writer and managed.writer != "pullback" else ""
    return f"{managed.owner} was set going again{by}: left as it is, and not stopped a second time"


@dataclass(frozen=True, slots=True)
class PutBack:
    """Take the note away, and write ``original`` (JSON) unless that is None: what others have set meanwhile stays."""

    original: str | None


@dataclass(frozen=True, slots=True)
class Keep:
    """Others still want it stopped."""

    loan: Loan


def returning(managed: Managed | None, leaving: tuple[str, ...]) -> PutBack | Keep | None:
    """What these holders leave behind; None when nothing of theirs is there."""
    if managed is None or managed.loan is None or not set(leaving) & set(managed.loan.holders):
        return None
    left = tuple(one for one in managed.loan.holders if one not in leaving)
    if managed.acting:
        return PutBack(None)
    return Keep(replace(managed.loan, holders=left)) if left else PutBack(managed.loan.original)


class Turn(enum.Enum):
    """What one such follow-up is due for."""

    NOTHING = enum.auto()
    STOP = enum.auto()
    WATCH = enum.auto()
    """It is stopped: whether it still is."""
    RETURN = enum.auto()


def turn(record: Rollback, one: FollowUp, *, overtaken: bool, suspends: bool) -> Turn:
    """``suspends``: people want its controller stopped for this canary. What was lent is returned in any case."""
    wanted = suspends and stands(record, overtaken=overtaken)
    if one.state is FollowUpState.PENDING and wanted:
        return Turn.STOP
    if not wanted and (one.undo is not None or not one.settled):
        return Turn.RETURN
    return Turn.WATCH if one.state is FollowUpState.LENT else Turn.NOTHING


def undo(loan: Loan, owner: Owner) -> dict[str, str]:
    """What must be put back, for the record."""
    application = owner.kind is FollowUpKind.APPLICATION
    return {"spec.syncPolicy.automated.selfHeal" if application else "spec.suspend": loan.original}


def lent(before: FollowUp, owner: Owner, now: datetime.datetime) -> FollowUp:
    """The entry once its controller is stopped."""
    what = "no longer heals itself" if owner.kind is FollowUpKind.APPLICATION else "is suspended"
    detail = f"{owner} {what} for as long as this rollback stands; {_raise_in(before)}"
    return replace(before, state=FollowUpState.LENT, detail=detail[:_DETAIL_MOST], at=now)


def given_up(
    before: FollowUp, state: FollowUpState, why: str, now: datetime.datetime, *, owes: bool
) -> FollowUp:  # fmt: skip
    """``owes``: a note of ours stands there all the same, and will be taken away."""
    detail = f"{why}; {_raise_in(before)}"[:_DETAIL_MOST]
    return replace(before, state=state, detail=detail, at=now, undo=before.undo if owes else None)


def _raise_in(one: FollowUp) -> str:
    """The part of a detail that says who raised what, and what to write where."""
    return one.detail[max(0, one.detail.find(f"{one.kind} {one.name} (")) :]


def returned(before: FollowUp, owner: Owner, step: PutBack | Keep | None, now: datetime.datetime) -> FollowUp:
    """The entry after the rollback no longer stands."""
    if before.settled:
        return replace(before, undo=None)
    match step:
        case PutBack(str()):
            state, detail = FollowUpState.DONE, f"{owner} goes on as before"
        case PutBack():
            state, detail = FollowUpState.DONE, f"{owner} had been set going again by somebody"
        case Keep(loan):
            state, detail = FollowUpState.DONE, f"{owner} is left stopped for {', '.join(loan.holders)}"
        case _:
            state, detail = FollowUpState.NOT_NEEDED, f"nothing of ours is left on {owner}"
    return replace(before, state=state, detail=detail[:_DETAIL_MOST], at=now, undo=None)
