"""What Argo CD and Flux act by: Applications, Kustomizations and HelmReleases, read, stopped and set going again.

What is lent is noted on the object itself, in the same write: our record may be deleted.
"""

import json
from collections.abc import Mapping
from typing import Any

from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.adapters.kubernetes.resources import Resource
from daemon.adapters.traffic import objects
from daemon.model import errors
from daemon.model.follow_up import FollowUpKind
from daemon.model.gitops import Loan, Managed, Owner
from daemon.model.route import RouteRef

APPLICATIONS = Resource("argoproj.io", "v1alpha1", "applications", "Application")
KUSTOMIZATIONS = Resource("kustomize.toolkit.fluxcd.io", "v1", "kustomizations", "Kustomization")
HELM_RELEASES = Resource("helm.toolkit.fluxcd.io", "v2", "helmreleases", "HelmRelease")

LENT = "pullback.dev/stopped"
"""Ours, on what we have stopped: JSON of what to put back and for which records it was stopped."""

_SUSPEND, _SELF_HEAL = "spec.suspend", "spec.syncPolicy.automated.selfHeal"

_RESOURCES = {
    FollowUpKind.APPLICATION: APPLICATIONS,
    FollowUpKind.KUSTOMIZATION: KUSTOMIZATIONS,
    FollowUpKind.HELM_RELEASE: HELM_RELEASES,
}


class KubernetesGitOps:
    """Keeps ``workflow.suspending.GitOps``. Raises the NeighbourError family."""

    def __init__(self, client: KubernetesClient) -> None:
        self._client = client

    async def read(self, owner: Owner, route: RouteRef | None) -> Managed | None:
        try:
            document = await self._client.get(_RESOURCES[owner.kind], owner.namespace, owner.name)
        except errors.Missing:
            return None
        except errors.Refused as error:
            raise _said(error, owner) from error
        return managed(owner, document, route)

    async def stop(self, found: Managed, loan: Loan) -> None:
        await self._write(found, loan, json.dumps(found.owner.kind is not FollowUpKind.APPLICATION))

    async def keep(self, found: Managed, loan: Loan) -> None:
        await self._write(found, loan, None)

    async def put_back(self, found: Managed, original: str | None) -> None:
        await self._write(found, None, original)

    async def _write(self, found: Managed, loan: Loan | None, field: str | None) -> None:
        """``field``: JSON of what it becomes, None leaves it."""
        note = None if loan is None else json.dumps({"was": _value(loan.original), "for": list(loan.holders)})
        metadata: dict[str, Any] = {"resourceVersion": found.resource_version, "annotations": {LENT: note}}
        body: dict[str, Any] = {"metadata": metadata}
        if field is not None and found.owner.kind is FollowUpKind.APPLICATION:
            body["spec"] = {"syncPolicy": {"automated": {"selfHeal": _value(field)}}}
        elif field is not None:
            body["spec"] = {"suspend": _value(field)}
        try:
            await self._client.merge(_RESOURCES[found.owner.kind], found.owner.namespace, found.owner.name, body)
        except errors.Refused as error:
            raise _said(error, found.owner) from error


def _said(error: errors.Refused, owner: Owner) -> errors.Refused:
    """Says which Role is missing where the API server only says no."""
    if "HTTP 403" not in str(error):
        return error
    return errors.Refused(
        f"may not get and patch {owner}: the chart makes that Role where gitops.namespaces names {owner.namespace} "
        f"({error})"
    )


def managed(owner: Owner, document: Mapping[str, Any], route: RouteRef | None) -> Managed:
    """From its JSON, whatever is missing in it."""
    path = _SELF_HEAL if owner.kind is FollowUpKind.APPLICATION else _SUSPEND
    seen = objects.read(owner.kind.value, document, field="/".join(f"f:{part}" for part in path.split(".")))
    if owner.kind is FollowUpKind.APPLICATION:
        automated = objects.mapping(seen.spec.get("syncPolicy")).get("automated")
        field = objects.mapping(automated).get("selfHeal")
        enabled = isinstance(automated, Mapping) and automated.get("enabled") is not False
        acting, idle = enabled and field is True, "does not heal itself: it was synced by somebody, or by a commit"
    else:
        field = seen.spec.get("suspend")
        acting, idle = field is not True, "is suspended already"
    return Managed(
        owner=owner,
        resource_version=seen.resource_version,
        acting=acting,
        idle=idle,
        field=json.dumps(field),
        made_by=_made_by(document),
        lists=_lists(owner, seen.spec, seen.status, route) if route is not None else None,
        loan=_loan(owner, seen.annotations.get(LENT)),
        writer=seen.writers[0] if seen.writers else "",
    )


def _made_by(document: Mapping[str, Any]) -> str:
    references = objects.mapping(document.get("metadata")).get("ownerReferences")
    for one in map(objects.mapping, references if isinstance(references, list) else ()):
        if one.get("kind") == "ApplicationSet":
            return f"ApplicationSet {objects.text(one.get('name'))}"
    return ""


def _lists(owner: Owner, spec: Mapping[str, Any], status: Mapping[str, Any], route: RouteRef) -> bool | None:
    if owner.kind is FollowUpKind.APPLICATION:
        listed = status.get("resources")
        those = map(objects.mapping, listed if isinstance(listed, list) else ())
        mine = (route.kind, route.namespace, route.name)
        return any((one.get("kind"), one.get("namespace"), one.get("name")) == mine for one in those)
    listed = objects.mapping(status.get("inventory")).get("entries")
    if not isinstance(listed, list):
        # Older helm-controllers keep no inventory: then at least it must release into the route's namespace.
        where = objects.text(spec.get("targetNamespace")) or owner.namespace
        return owner.kind is FollowUpKind.HELM_RELEASE and where == route.namespace
    # NAMESPACE_NAME_GROUP_KIND, where a name has no underscore.
    ids = (objects.text(objects.mapping(one).get("id")).split("_") for one in listed)
    return any([one[:2], one[-1]] == [[route.namespace, route.name], route.kind] for one in ids)


def _loan(owner: Owner, note: str | None) -> Loan | None:
    """The note stands where others may write: unreadable is no note of ours."""
    said = _value(note or "null")
    holders = said.get("for") if isinstance(said, dict) else None
    if not isinstance(said, dict) or not isinstance(holders, list):
        return None
    # Self-healing is only ever taken where it was on.
    was = said.get("was") if owner.kind is not FollowUpKind.APPLICATION else True
    return Loan(json.dumps(was if isinstance(was, bool) else None), tuple(map(str, holders)))


def _value(word: str) -> Any:
    try:
        return json.loads(word)
    except ValueError:
        return None
