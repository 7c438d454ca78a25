"""``pullback release``: a person lifts a hold. Written on the record itself, where RBAC says who may."""

import asyncio
from typing import Any

from daemon.adapters import ledger
from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.adapters.kubernetes.resources import ROLLBACKS
from daemon.cli import arguments, looking, printing, refusing
from daemon.model import errors
from daemon.model.canary import CanaryRef, Controller
from daemon.model.rollback import Rollback
from daemon.settings import Settings

_POLL = 0.2
_TRIES = 6


def release(settings: Settings, ref: CanaryRef, *, reason: str, wait: float, output: str) -> int:
    """Exit 0 when the hold is lifted (or the release written, with ``wait`` 0), 1 when that takes too long."""

    async def run() -> tuple[Rollback, dict[str, Any]]:
        async with looking.connected(settings) as client:
            who = await refusing.named(client)
            record, driven = await _write(settings, client, ref, who, reason)
            if wait > 0:
                record = await _until_lifted(client, record, wait)
            return record, _told(record, driven=driven)

    record, document = asyncio.run(run())
    printing.show(document, output, table=_story(record, document, waited=wait > 0))
    return 0 if record.finished or wait == 0 else 1


async def _write(
    settings: Settings, client: KubernetesClient, ref: CanaryRef, who: str, reason: str
) -> tuple[Rollback, bool]:
    for _ in range(_TRIES):
        sight = await looking.look(settings, client)
        canary = sight.world.canary(ref)
        standing = [one for one in sight.world.records(ref) if not one.finished]
        if canary is None and not standing:
            raise refusing.no_canary(ref)
        if not standing:
            raise errors.PullbackError(f"{ref}: no rollback is in force, so there is no hold to lift")
        record = min(standing, key=lambda one: one.dry_run)
        driven = canary is not None and (canary.controller is not Controller.NONE or canary.driven)
        if record.released_by:
            return record, driven
        try:
            said = refusing.bounded(reason)
            body = {
                "metadata": {
                    "resourceVersion": record.resource_version,
                    "annotations": {ledger.RELEASED_BY: refusing.bounded(who), ledger.RELEASED_REASON: said or None},
                }
            }
            written = await client.merge(ROLLBACKS, record.namespace, record.name, body)
            return ledger.read_rollback(written), driven
        except errors.Conflict:
            continue
    raise errors.PullbackError(
        f"the Rollback was changed by others {_TRIES} times between reading and writing it: nothing is written"
    )


async def _until_lifted(client: KubernetesClient, record: Rollback, seconds: float) -> Rollback:
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while not record.finished and loop.time() < until:
        await asyncio.sleep(_POLL)
        try:
            record = await ledger.KubernetesLedger(client).read(record.namespace, record.name) or record
        except errors.Unreachable:
            continue
    return record


def _told(record: Rollback, *, driven: bool) -> dict[str, Any]:
    return {
        "namespace": record.namespace, "name": record.canary.name, "record": record.name, "revision": record.revision,
        "releasedBy": record.released_by, "reason": record.released_reason or None, "phase": record.phase.value,
        "putBack": [f"{one.route} {one.section}[{one.rule}] {one.field}" for one in record.originals],
        "driven": driven,
    }  # fmt: skip


def _story(record: Rollback, document: dict[str, Any], *, waited: bool) -> str:
    lines = [f"Rollback {record.namespace}/{record.name} is released by {record.released_by}: {record.phase.value}"]
    if record.message and record.finished:
        lines.append(f"  {record.message}")
    lines += [f"  put back: {one}" for one in document["putBack"]]
    if waited and not record.finished:
        lines.append("  nobody has acted on it yet: is `pullback serve` running?")
    goes_on = "whoever drives it goes on from 0%" if document["driven"] else (
        f"its weight stays 0% until somebody raises it: pullback promote {record.canary.name} "
        f"-n {record.namespace} --weight …"
    )  # fmt: skip
    lines.append(f"  {goes_on}")
    return "\n".join(lines)


def release_arguments(commands: arguments.Commands) -> None:
    parser = commands.add_parser("release", help="lift a hold, and put back what was re-pointed")
    arguments.named(parser)
    parser.add_argument("--reason", default="", help="why; it goes into the record")
    parser.add_argument(
        "--wait", type=float, default=30.0, metavar="SECONDS", help="for the hold to end; 0: do not wait (default 30)"
    )
    parser.set_defaults(
        run=lambda options: release(
            arguments.loaded(options), arguments.canary(options),
            reason=options.reason, wait=options.wait, output=options.output,
        )
    )  # fmt: skip
