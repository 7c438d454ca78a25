"""The Lease (coordination.k8s.io/v1) that says which replica leads: read, created, and replaced by version."""

from collections.abc import Mapping
from typing import Any

from daemon.adapters import times
from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.adapters.kubernetes.resources import LEASES
from daemon.model import errors
from daemon.model.lease import LeaseSeen


class KubernetesLease:
    """Keeps ``LeaseStore``: one Lease object, by name.

    Raises the NeighbourError family; never retries. What others put into its metadata stays there.
    """

    def __init__(self, client: KubernetesClient, *, namespace: str, name: str) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name
        self._metadata: Mapping[str, Any] = {}

    async def read(self) -> LeaseSeen:
        """Raises Missing when there is none."""
        return self._seen(await self._client.get(LEASES, self._namespace, self._name))

    async def create(self, lease: LeaseSeen) -> LeaseSeen:
        """Raises AlreadyThere when somebody was faster."""
        metadata = {
            "namespace": self._namespace,
            "name": self._name,
            "labels": {"app.kubernetes.io/managed-by": "pullback"},
        }
        return self._seen(await self._client.create(LEASES, self._namespace, _document(metadata, lease)))

    async def replace(self, lease: LeaseSeen) -> LeaseSeen:
        """Raises Conflict when the object is no longer at ``lease.resource_version``, or Missing when it is gone."""
        # With the uid: the API server creates a Lease that a PUT does not find, unless the uid says which was meant.
        metadata = {
            **self._metadata,
            "namespace": self._namespace,
            "name": self._name,
            "resourceVersion": lease.resource_version,
        }
        body = _document(metadata, lease)
        return self._seen(await self._client.replace(LEASES, self._namespace, self._name, body))

    def _seen(self, document: Mapping[str, Any]) -> LeaseSeen:
        lease = read_lease(document)
        self._metadata = {key: value for key, value in document["metadata"].items() if key != "managedFields"}
        return lease


def read_lease(document: Mapping[str, Any]) -> LeaseSeen:
    """A lease from its JSON. Every field of its spec may be absent, and what is no number there is as good as absent.

    Raises Unreachable when it has no version: whoever answered that is no API server.
    """
    metadata, spec = document.get("metadata"), document.get("spec")
    version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
    if not version:
        raise errors.Unreachable(f"lease: expected a Lease with a resourceVersion, got {str(document)[:200]}")
    spec = spec if isinstance(spec, dict) else {}
    return LeaseSeen(
        holder=str(spec.get("holderIdentity") or ""),
        duration_seconds=_count(spec.get("leaseDurationSeconds")),
        transitions=_count(spec.get("leaseTransitions")),
        acquired_at=times.read(spec.get("acquireTime")),
        renewed_at=times.read(spec.get("renewTime")),
        resource_version=str(version),
    )


def _count(given: object) -> int:
    return given if type(given) is int and given > 0 else 0


def _document(metadata: Mapping[str, Any], lease: LeaseSeen) -> dict[str, Any]:
    moments = {"acquireTime": lease.acquired_at, "renewTime": lease.renewed_at}
    return {
        "apiVersion": LEASES.api_version,
        "kind": LEASES.kind,
        "metadata": dict(metadata),
        "spec": {
            "holderIdentity": lease.holder,
            "leaseDurationSeconds": lease.duration_seconds,
            "leaseTransitions": lease.transitions,
            **{key: times.write(moment) for key, moment in moments.items() if moment is not None},
        },
    }
