"""GitOps: who raised a canary that is held at zero, and how to make it leave that one field alone.

Each sentence says what the controllers do, as their own documentation and code have it: Argo CD of 2.3 and newer,
Flux's kustomize-controller (``spec.ignore``: of 1.9, in Flux 2.9) and helm-controller.
"""

import datetime
import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import replace

from daemon.model.follow_up import GITOPS, FollowUp, FollowUpKind, FollowUpState
from daemon.model.gitops import Owner, Raise
from daemon.model.rollback import Rollback
from daemon.model.route import RouteObject, RoutePatch, RouteRef, RouteView

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
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
"""Of an object. An annotation may hold anything, and what it names is asked for by a path."""
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
    owner = owner or Owner(kind, "", "")
    fields = pointers(view.zero)
    return Raise(owner, manager, view.ref, fields, advice(owner, view.ref, group, fields))


def owners(route: RouteObject, argocd_namespace: str) -> tuple[Owner, ...]:
    """All that the object names, whoever has written it last."""
    found = (_owner(kind, route, argocd_namespace) for kind in sorted(GITOPS))
    return tuple(owner for owner in found if owner is not None)


def _owner(kind: FollowUpKind, route: RouteObject, argocd_namespace: str) -> Owner | None:
    if kind is FollowUpKind.APPLICATION:
        # Applications outside Argo CD's own namespace are tracked as NAMESPACE_NAME; no name has an underscore.
        namespace, _, name = _tracked(route).rpartition("_")
        namespace = namespace or argocd_namespace
    else:
        name, namespace = (route.labels.get(f"{_FLUX[kind]}/{word}", "") for word in ("name", "namespace"))
    named = _NAME.fullmatch(name) and _NAME.fullmatch(namespace)
    return Owner(kind, namespace, name) if named else None


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


def advice(owner: Owner, route: RouteRef, group: str, fields: tuple[str, ...]) -> str:
    """What to write where, so that the controller leaves what was changed alone, and only that. ``group``: of the API
    of the route."""
    if owner.kind is FollowUpKind.APPLICATION:
        return _for_argocd(route, group, fields)
    target = f"{{kind: {route.kind}, namespace: {route.namespace}, name: {route.name}}}"
    rule = f"[{{paths: {json.dumps(fields)}, target: {target}}}]"
    if owner.kind is FollowUpKind.HELM_RELEASE:
        return f"add to its spec.driftDetection: ignore: {rule} (an upgrade sets what the chart renders all the same)"
    kind = f"{route.kind.lower()}.{group}".rstrip(".")
    whole = (
        f"kubectl annotate {kind} {shlex.quote(route.name)} -n {shlex.quote(route.namespace)} "
        "kustomize.toolkit.fluxcd.io/reconcile=disabled"
    )
    return f"add to its spec: ignore: {rule} (Flux 2.9 and newer; older leave out only the whole object: {whole})"


def _for_argocd(route: RouteRef, group: str, fields: tuple[str, ...]) -> str:
    listed = any(part.isdigit() for pointer in fields for part in pointer.split("/"))
    expressions = tuple(dict.fromkeys(map(_expression, fields)))
    which = f"jqPathExpressions: {json.dumps(expressions)}" if listed else f"jsonPointers: {json.dumps(fields)}"
    whose = f"group: {group}, kind: {route.kind}, namespace: {route.namespace}, name: {route.name}"
    return (
        f"add to its spec: ignoreDifferences: [{{{whose}, {which}}}], "
        "syncPolicy.syncOptions: [RespectIgnoreDifferences=true]"
    )


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
        detail = f"{found.owner} ({found.manager}) raised {found.route}; to make it leave that alone, {found.advice}"
        return FollowUp(found.owner.kind, found.owner.path, state, fitted(detail), now)
    longer = f"{there.detail}; the same for {found.route}: {', '.join(found.pointers)}"
    if str(found.route) in there.detail or len(longer) > _DETAIL_MOST:
        return None
    return replace(there, detail=longer)


def fitted(detail: str) -> str:
    """As much as a record holds: what is said last, in brackets, goes as a whole, because half a command is none."""
    if len(detail) > _DETAIL_MOST and detail.endswith(")"):
        detail = detail.rpartition(" (")[0]
    return detail[:_DETAIL_MOST]
