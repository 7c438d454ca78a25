"""The records: ``Rollback`` objects (rollbacks.pullback.dev), the only memory that survives us.

Creating one writes the intent whole: the API server ignores ``status`` in a create, so what must not be lost
before the first status write (when the signal came, what the routes said before) travels in annotations.
"""

from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.adapters.kubernetes.resources import ROLLBACKS
from daemon.adapters.ledger.reading import read_rollback
from daemon.adapters.ledger.revisions import KubernetesRevisions, read_revision
from daemon.adapters.ledger.writing import (
    BEFORE,
    DECIDED_AT,
    RECEIVED_AT,
    RELEASED_BY,
    RELEASED_REASON,
    as_document,
    as_status,
)
from daemon.model import errors
from daemon.model.rollback import Amendment, NewRollback, Rollback

__all__ = ["BEFORE", "DECIDED_AT", "RECEIVED_AT", "RELEASED_BY", "RELEASED_REASON", "KubernetesLedger",
           "KubernetesRevisions", "as_document", "as_status", "read_revision", "read_rollback"]  # fmt: skip


class KubernetesLedger:
    """Keeps ``ports.Ledger``."""

    def __init__(self, client: KubernetesClient) -> None:
        self._client = client

    async def open(self, record: NewRollback) -> Rollback:
        try:
            return read_rollback(await self._client.create(ROLLBACKS, record.namespace, as_document(record)))
        except errors.AlreadyThere:
            return read_rollback(await self._client.get(ROLLBACKS, record.namespace, record.name))

    async def amend(self, namespace: str, name: str, amendment: Amendment, *, resource_version: str) -> Rollback:
        body = {"metadata": {"resourceVersion": resource_version}, "status": as_status(amendment)}
        return read_rollback(await self._client.merge(ROLLBACKS, namespace, name, body, subresource="status"))

    async def read(self, namespace: str, name: str) -> Rollback | None:
        try:
            return read_rollback(await self._client.get(ROLLBACKS, namespace, name))
        except errors.Missing:
            return None

    async def delete(self, record: Rollback) -> None:
        await self._client.delete(
            ROLLBACKS, record.namespace, record.name, uid=record.uid, resource_version=record.resource_version
        )
