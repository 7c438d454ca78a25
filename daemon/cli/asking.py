"""``pullback rollback``: makes the record, which *is* the act; the daemon does the rest, RBAC decides who may."""

import asyncio
import datetime
import getpass
from collections.abc import Callable

from daemon import bootstrap
from daemon.adapters import ledger
from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.adapters.kubernetes.resources import ROLLBACKS
from daemon.cli import looking, printing
from daemon.model import errors
from daemon.model.canary import CanaryRef
from daemon.model.rollback import NewRollback, Rollback, RollbackPhase, Trigger
from daemon.policy import naming
from daemon.settings import Settings
from daemon.workflow import documents

_POLL = 0.2
_AT_ZERO = frozenset({RollbackPhase.ZEROED, RollbackPhase.PROVED, RollbackPhase.COMPLETED, RollbackPhase.DRY_RUN})
_LOST = frozenset({RollbackPhase.FAILED, RollbackPhase.ESCALATED})


def rollback(settings: Settings, ref: CanaryRef, *, reason: str, dry_run: bool, wait: float, output: str) -> int:
    """Exit 0 when the canary is at zero (or the record made, with ``wait`` 0), 1 when it failed or took too long."""
    return asyncio.run(_rollback(settings, ref, reason=reason, dry_run=dry_run, wait=wait, output=output))


async def _rollback(settings: Settings, ref: CanaryRef, *, reason: str, dry_run: bool, wait: float, output: str) -> int:
    clock = bootstrap.Surroundings().clock
    async with looking.connected(settings) as client:
        sight = await looking.look(settings, client)
        canary = sight.world.canary(ref)
        if canary is None:
            raise errors.PullbackError(f"no canary {ref.name} in namespace {ref.namespace}")
        unfinished = [
            one for one in sight.world.records(ref)
            if not one.finished and one.revision == canary.revision and (dry_run or not one.dry_run)
        ]  # fmt: skip
        if unfinished:
            record = unfinished[0]
        else:
            name = naming.next_record_name(canary, sight.world.records(ref), dry_run=dry_run)
            now = clock.now()
            asked = NewRollback(
                namespace=ref.namespace, name=name, canary=ref, revision=canary.revision, trigger=Trigger.OPERATOR,
                reason=reason, requested_by=await who(client), signal=None, dry_run=dry_run,
                started_at=now, decided_at=now, canary_kind=canary.object_kind,
            )  # fmt: skip
            record = await ledger.KubernetesLedger(client).open(asked)
        if wait > 0:
            record = await _until_zero(client, record, wait)
    document = documents.rollback(record)
    printing.show(document, output, table=_story(record, was_there=bool(unfinished), wait=wait, now=clock.now))
    if wait > 0 and record.phase not in _AT_ZERO:
        return 1
    return 0


async def who(client: KubernetesClient) -> str:
    """For acts that only lower: an API server that cannot say who asks is no reason not to."""
    try:
        name = await client.whoami()
    except errors.NeighbourError:
        name = ""
    return name or f"{getpass.getuser()} (of the machine, not verified)"


async def _until_zero(client: KubernetesClient, record: Rollback, seconds: float) -> Rollback:
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while record.phase not in _AT_ZERO | _LOST and loop.time() < until:
        await asyncio.sleep(_POLL)
        try:
            record = ledger.read_rollback(await client.get(ROLLBACKS, record.namespace, record.name))
        except errors.Unreachable:
            continue
    return record


def _story(record: Rollback, *, was_there: bool, wait: float, now: Callable[[], datetime.datetime]) -> str:
    first = "in force already" if was_there else "created"
    lines = [f"Rollback {record.namespace}/{record.name} {first}: {record.phase.value}"]
    if record.message:
        lines.append(f"  {record.message}")
    if record.timeline.zeroed_at is not None:
        seconds = (record.timeline.zeroed_at - record.started_at).total_seconds()
        lines.append(f"  at 0% after {seconds:.3f} s")
    elif wait > 0 and record.phase is RollbackPhase.PENDING:
        waited = (now() - record.started_at).total_seconds()
        lines.append(
            f"  nobody has acted on it for {waited:.0f} s: is `pullback serve` running? By hand: "
            f"pullback plan {record.canary.name} -n {record.namespace}"
        )
    return "\n".join(lines)
