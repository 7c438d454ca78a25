"""Keeps ``workflow.keeping.EvidenceRoom``: reads what there is of a canary's pods, and writes it into one ConfigMap."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any

from daemon import ports
from daemon.adapters.evidence import packing, telling
from daemon.adapters.evidence.bounds import Bounds
from daemon.adapters.evidence.differing import differences
from daemon.adapters.evidence.gathering import Gathering, Log
from daemon.adapters.evidence.redacting import Redactor, TooSlow, plain
from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.adapters.kubernetes.resources import CONFIG_MAPS
from daemon.model import errors
from daemon.model.canary import Canary
from daemon.model.keeping import KeptEvidence, evidence_name
from daemon.model.rollback import Rollback

_REDACTING = 0.5
"""Of the time for reading, again, for taking secrets out: what is not done by then is not kept."""

_PAUSE = 0.2
"""Seconds between the first two tries to write; each later pause is twice as long."""

_WRITING_LEAST = 1.0
"""Seconds that writing has, however short the time for reading."""

_UNWRITTEN_MOST = 16
"""Of what could not be written, so much stays in memory (each within ``Bounds.total_bytes``), the newest."""


class KubernetesEvidence:
    """``redact`` is everything that counts as a secret: see ``redacting.DEFAULT_PATTERNS`` and ``compiled``."""

    def __init__(
        self, client: KubernetesClient, *, bounds: Bounds, redact: Sequence[re.Pattern[str]], clock: ports.Clock
    ) -> None:
        self._client = client
        self._bounds = bounds
        self._redactor = Redactor(redact)
        self._clock = clock
        self._unwritten: dict[str, tuple[KeptEvidence, Mapping[str, str]]] = {}

    async def keep(self, canary: Canary, record: Rollback, *, within: float) -> KeptEvidence:
        """Reads for at most ``within`` seconds, then writes what was read; what was not is named in ``missing``.

        Writing is tried for ``within`` seconds more. What could not be written stays in memory: the next call for this
        record writes that, for the pods may be gone by then. The first evidence of a record stays: later calls return
        it. Raises the family of NeighbourError when the ConfigMap cannot be written, Refused also when its name is
        taken by what is not this record's evidence and will not go by itself.
        """
        gathered = self._unwritten.get(record.uid)
        if gathered is None:
            gathered = self._unwritten[record.uid] = await self._gather(canary, record, within)
            while len(self._unwritten) > _UNWRITTEN_MOST:
                del self._unwritten[next(iter(self._unwritten))]
        try:
            kept = await self._write(record, *gathered, until=self._until(within))
        except errors.Refused:
            self._unwritten.pop(record.uid, None)
            raise
        self._unwritten.pop(record.uid, None)
        return kept

    @staticmethod
    def _until(within: float) -> float:
        return asyncio.get_running_loop().time() + max(within, _WRITING_LEAST)

    def holds(self, record: Rollback) -> bool:
        return record.uid in self._unwritten

    async def _gather(
        self, canary: Canary, record: Rollback, within: float
    ) -> tuple[KeptEvidence, Mapping[str, str]]:  # fmt: skip
        gathered = await Gathering(self._client, self._bounds, canary).gather(within)
        until = asyncio.get_running_loop().time() + _REDACTING * within
        missing = gathered.missing
        logs = await self._logs(gathered.logs, missing, until)
        template = await differences(_template(gathered.primary), _template(gathered.canary), self._redactor)
        at = self._clock.now()
        named = packing.bounded(sorted(map(self._redactor.text, missing)))
        texts = {
            "summary.txt": telling.summary(canary, record, gathered, named, at, self._redactor),
            "events.txt": telling.events(gathered.events, self._bounds.events, self._redactor),
            "template.diff": template,
        }
        texts = {key: plain(text) for key, text in texts.items()}
        data = packing.packed(texts, logs, log_bytes=self._bounds.log_bytes, total=self._bounds.total_bytes)
        return KeptEvidence(evidence_name(record.name), at, len(gathered.pods), named), data

    async def _logs(self, logs: Sequence[Log], missing: list[str], until: float) -> dict[str, tuple[str, bool]]:
        found: dict[str, tuple[str, bool]] = {}
        for log in logs:
            raw = log.raw
            if len(raw) >= 2 * self._bounds.log_bytes:
                # It begins in the middle of a line, where half a secret cannot be recognised.
                raw = raw.partition(b"\n")[2]
            text = raw.decode(errors="replace")
            try:
                cleaned = await self._redactor.long_text(text, until=until, headless=log.cut)
            except TooSlow as problem:
                missing.append(f"log of {log.pod}/{log.container}: {problem}")
                continue
            key = packing.key_of(log.pod, log.container, previous=log.previous)
            found[key] = (cleaned, log.cut)
        return found

    async def _write(
        self, record: Rollback, kept: KeptEvidence, data: Mapping[str, str], *, until: float
    ) -> KeptEvidence:
        time, pause = asyncio.get_running_loop().time, _PAUSE
        while True:
            try:
                return await self._write_once(record, kept, data, until=until)
            except (errors.Refused, errors.Missing):
                raise
            except errors.NeighbourError as error:
                rest = max(pause, error.retry_after if isinstance(error, errors.Throttled) else 0.0)
                if time() + rest >= until:
                    raise
            await asyncio.sleep(rest)
            pause *= 2

    async def _write_once(
        self, record: Rollback, kept: KeptEvidence, data: Mapping[str, str], *, until: float
    ) -> KeptEvidence:
        try:
            async with asyncio.timeout_at(until):
                return await self._put(record, kept, data)
        except TimeoutError as error:
            raise errors.Unreachable(f"{CONFIG_MAPS.kind} {kept.config_map}: not written in time") from error

    async def _put(self, record: Rollback, kept: KeptEvidence, data: Mapping[str, str]) -> KeptEvidence:
        document = packing.document(record, kept, data)
        try:
            await self._client.create(CONFIG_MAPS, record.namespace, document)
        except errors.AlreadyThere as taken:
            there = await self._client.get(CONFIG_MAPS, record.namespace, kept.config_map)
            if not packing.is_of(record, there):
                what = f"{CONFIG_MAPS.kind} {record.namespace}/{kept.config_map} is there and is"
                if packing.is_left_behind(record, there):
                    raise errors.Conflict(f"{what} still an earlier rollback's of that name") from taken
                raise errors.Refused(f"{what} not of this rollback") from taken
            return packing.read(there, self._clock.now())
        return kept


def _template(deployment: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    return None if deployment is None else (deployment.get("spec") or {}).get("template") or {}
