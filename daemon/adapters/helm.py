"""Brings a Helm release in step the way that Helm's own storage does it: two Secrets are written, nothing is rendered.

No ``helm`` is run: an upgrade would render the chart anew, run its hooks and apply everything else that has changed.

Helm creates the new revision as ``pending-upgrade``, applies it, marks the old one ``superseded`` and then the new one
``deployed``. There is nothing to apply here, so ours is created as ``deployed`` at once: a crash between the writes
leaves two deployed revisions, of which Helm takes the newer, and never a pending one, which would lock the release for
everybody. The name of the Secret is the lock that Helm itself relies on: of two writers of one revision, one is told
that it exists.
"""

import asyncio
import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from daemon.adapters import helm_codec, helm_manifest, times
from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.adapters.kubernetes.resources import Resource
from daemon.adapters.traffic import RouteKind
from daemon.model import errors
from daemon.model.helm_release import Deployed, NextRevision, Release, Revision
from daemon.model.route import PatchOperation, Sides

SECRETS = Resource("", "v1", "secrets", "Secret")

_OF_AN_ACT = frozenset({"deleted", "rollback_revision", "resources"})
"""What ``info`` says of the operation that made a revision, and of no other."""


class KubernetesReleases:
    """Keeps ``workflow.following_up.Releases``. Raises the NeighbourError family."""

    def __init__(self, client: KubernetesClient, kinds: Mapping[str, RouteKind]) -> None:
        """``kinds``: of routing objects, by which those in a manifest are recognised."""
        self._client = client
        self._kinds = dict(kinds)

    async def read(self, namespace: str, name: str) -> Release:
        with _permitted(namespace):
            items, _ = await self._client.list(SECRETS, namespace, labels=helm_codec.OWNED.format(name))
        items = sorted((one for one in items if helm_codec.number(one)), key=helm_codec.number)
        revisions = tuple(Revision(helm_codec.number(one), helm_codec.status(one)) for one in items)
        in_force = [one for one in items if helm_codec.status(one) == "deployed"]
        # Megabytes to unpack: in a thread, because a route may want to be written meanwhile.
        deployed = await asyncio.to_thread(_deployed, in_force[-1]) if in_force else None
        return Release(namespace, name, revisions, deployed)

    async def succeed(
        self, release: Release, following: NextRevision, sides: Sides | None, at: datetime.datetime
    ) -> tuple[str, ...]:
        secret, rewritten = await asyncio.to_thread(self._next, release, following, sides, at)
        with _permitted(release.namespace):
            await self._client.create(SECRETS, release.namespace, secret)
        return rewritten

    async def supersede(self, release: Release, number: int, at: datetime.datetime) -> None:
        name = helm_codec.secret_name(release.name, number)
        with _permitted(release.namespace):
            secret = await self._client.get(SECRETS, release.namespace, name)
            if helm_codec.status(secret) != "deployed":
                return
            await self._client.merge(
                SECRETS, release.namespace, name, await asyncio.to_thread(_superseded, secret, at)
            )  # fmt: skip

    def _next(
        self, release: Release, following: NextRevision, sides: Sides | None, at: datetime.datetime
    ) -> tuple[dict[str, Any], tuple[str, ...]]:
        """The Secret, and which routes its manifest has at zero by our hand."""
        base = following.base
        manifest = str(base.body.get("manifest") or "")
        rewritten: tuple[str, ...] = ()
        if sides is not None:
            manifest, rewritten = helm_manifest.zeroed(manifest, self._zeros(release.namespace, sides))
        said = base.body.get("info")
        info = {key: value for key, value in said.items() if key not in _OF_AN_ACT} if isinstance(said, dict) else {}
        info |= {"last_deployed": times.write(at), "status": "deployed", "description": following.description}
        body = {
            **base.body, "name": release.name, "version": following.number, "info": info, "config": following.values,
            "manifest": manifest,
        }  # fmt: skip
        return {
            "apiVersion": SECRETS.api_version,
            "kind": SECRETS.kind,
            "metadata": {
                "namespace": release.namespace,
                "name": helm_codec.secret_name(release.name, following.number),
                "labels": helm_codec.labelled(body, base.labels, "createdAt", at),
            },
            "type": helm_codec.SECRET_TYPE,
            "data": {"release": helm_codec.encode(body)},
        }, rewritten

    def _zeros(self, namespace: str, sides: Sides) -> dict[str, helm_manifest.Zero]:
        def of(kind: RouteKind) -> helm_manifest.Zero:
            def zero(document: Mapping[str, Any]) -> Sequence[PatchOperation]:
                metadata = document.get("metadata")
                if not isinstance(metadata, dict):
                    return ()
                # Charts rarely say it: Helm then takes the release's.
                there = {**document, "metadata": {"namespace": namespace, **metadata}}
                view = kind.view(kind.read(there), sides)
                return view.zero.operations if view.zero is not None else ()

            return zero

        return {name: of(kind) for name, kind in self._kinds.items()}


class _permitted:  # noqa: N801 - reads as a statement: ``with _permitted(namespace):``
    """Says which Role is missing where the API server only says no."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, errors.Refused) and "HTTP 403" in str(error):
            raise errors.Refused(
                f"may not read and write Secrets in namespace {self._namespace}: the chart makes that Role where "
                f"helm.namespaces names it ({error})"
            ) from error


def _deployed(secret: Mapping[str, Any]) -> Deployed:
    metadata = secret["metadata"]
    return Deployed(
        number=helm_codec.number(secret),
        status=helm_codec.status(secret),
        body=helm_codec.decode(secret),
        labels=dict(metadata.get("labels") or {}),
        resource_version=str(metadata.get("resourceVersion", "")),
    )


def _superseded(secret: Mapping[str, Any], at: datetime.datetime) -> dict[str, Any]:
    """The merge patch; Helm writes the whole object, without looking whether somebody else has."""
    body = helm_codec.decode(secret)
    info = body.get("info")
    body["info"] = {**(info if isinstance(info, dict) else {}), "status": "superseded"}
    return {
        "metadata": {
            "resourceVersion": secret["metadata"]["resourceVersion"],
            "labels": {"status": "superseded", "modifiedAt": str(int(at.timestamp()))},
        },
        "data": {"release": helm_codec.encode(body)},
    }
