"""``pullback status``: where every canary stands, and what each gate of a release would answer now, and why."""

import argparse
import asyncio
from typing import Any

from daemon.adapters import text
from daemon.cli import arguments, looking, printing
from daemon.model import errors
from daemon.model.follow_up import FollowUpState
from daemon.model.history import Filter
from daemon.model.rollback import FINISHED
from daemon.policy import phrasing
from daemon.policy.answering import duration
from daemon.settings import Settings
from daemon.workflow.showing import MOVING

_OWED = frozenset({FollowUpState.PENDING.value, FollowUpState.LENT.value})
_FOR_PEOPLE = frozenset({FollowUpState.FAILED.value, FollowUpState.BY_HAND.value})
_OVER = frozenset(phase.value for phase in FINISHED)
_ON_THE_WAY = frozenset(phase.value for phase in MOVING)


def status(settings: Settings, name: str | None, namespace: str | None, output: str) -> int:
    """Of one canary, those of a namespace, or all. Exit 1 when the one that is named is not there."""

    async def run() -> dict[str, Any]:
        async with looking.connected(settings) as client:
            sight = await looking.look(settings, client)
        for record in sight.world.all_records():
            if not record.finished:
                sight.gatherer.gather(record.canary, sight.standings.of(record.canary))
        showing = looking.shown(sight, settings)
        return {
            "canaries": [one async for one in showing.canaries(
                lambda one: name in {None, one.ref.name} and namespace in {None, one.ref.namespace}
            )],
            "rollbacks": [one async for one in showing.rollbacks(Filter(namespace=namespace, canary=name))],
        }  # fmt: skip

    document = asyncio.run(run())
    if name is not None and not document["canaries"]:
        raise errors.PullbackError(f"no canary {name} in {f'namespace {namespace}' if namespace else 'any namespace'}")
    releases = [_release(one) for one in document["canaries"]
                if one["phase"] in _ON_THE_WAY or one["paused"] or one["rollback"]]  # fmt: skip
    parts = [_canaries(document["canaries"]), *releases, _rollbacks(document["rollbacks"]),
             *_follow_ups(document["rollbacks"]), _notices(document["rollbacks"])]  # fmt: skip
    printing.show(document, output, table="\n\n".join(parts))
    return 0


def _canaries(shown: list[dict[str, Any]]) -> str:
    rows = []
    for one in shown:
        gate, stage = one["gates"]["confirm-traffic-increase"], one["stage"]
        rows.append(one | {
            "gate": "open" if gate["open"] else gate["reason"],
            "stage": f"{stage['weight']:g}%" if stage else None,
            "left": None if stage is None else duration(stage["left"]) if stage["left"] > 0 else "over",
        })  # fmt: skip
    return printing.table(
        rows,
        {"NAMESPACE": "namespace", "CANARY": "name", "DRIVER": "controller", "PHASE": "phase", "REVISION": "revision",
         "WEIGHT%": "weight",
         "STAGE": "stage", "SOAK-LEFT": "left", "TRAFFIC-INCREASE": "gate", "ROLLBACK": "rollback"},
        empty="no canaries",
    )  # fmt: skip


def _release(one: dict[str, Any]) -> str:
    """What stands between this revision and its next weight."""
    revision = f"revision {one['revision']}" if one["revision"] else "no revision yet"
    rows = [("stage", phrasing.stage(one["stage"]))]
    if one["paused"]:
        rows.append(("paused", phrasing.pause(one["pause"])))
    rows.append(("alerts", phrasing.alerts(one["alerts"])))
    if one["advance"] is not None:
        rows.append(("advance", phrasing.advance(one["advance"])))
    rows.append(("approval", phrasing.approval(one["approval"])))
    if not one["record"]:
        rows.append(("record", "nothing is recorded of this revision"))
    for name, gate in one["gates"].items():
        rows.append((name, phrasing.answer(gate)))
        last = phrasing.last_answer(gate)
        rows += [("", last)] if last else []
    head = f"{one['namespace']}/{one['name']}  {revision}  {one['phase']} at {one['weight']:g}%"
    return "\n".join([head, *printing.aligned(rows)])


def _rollbacks(shown: list[dict[str, Any]]) -> str:
    return printing.table(
        shown,
        {"NAMESPACE": "namespace", "ROLLBACK": "name", "REASON": "reason", "PHASE": "phase",
         "TO-ZERO": "secondsToZero", "TO-PROOF": "secondsToProof", "HOLDS": "holds", "MESSAGE": "message"},
        empty="no rollbacks",
    )  # fmt: skip


def _follow_ups(rollbacks: list[dict[str, Any]]) -> list[str]:
    """What is under way or lent; and, while the rollback stands, what waits for a person. Else not a word."""
    lines = [
        f"{one['namespace']}/{one['name']}  {each['kind']} {each['state']}: {text.line(each['detail'])}"
        for one in rollbacks for each in one["followUps"]
        if each["state"] in _OWED or (each["state"] in _FOR_PEOPLE and one["phase"] not in _OVER)
    ]  # fmt: skip
    return ["\n".join(lines)] if lines else []


def _notices(rollbacks: list[dict[str, Any]]) -> str:
    untold = [
        notice | {"rollback": f"{one['namespace']}/{one['name']}", "what": ", ".join(notice["due"] + notice["refused"])}
        for one in rollbacks for notice in one["notices"] if notice["due"] or notice["refused"]
    ]  # fmt: skip
    return printing.table(
        untold,
        {"ROLLBACK": "rollback", "CHANNEL": "channel", "UNDELIVERED": "what", "TRIES": "attempts",
         "REFUSED": "refusedAt", "PROBLEM": "problem"},
        empty="every notice is delivered",
    )  # fmt: skip


def status_arguments(commands: arguments.Commands) -> None:
    parser = commands.add_parser("status", help="canaries with their weights, stages and gates, and rollbacks")
    parser.add_argument("name", metavar="NAME", nargs="?", help="name of the canary; default: all")
    parser.add_argument("-n", "--namespace", help="default: all")
    arguments.reaching(parser)

    def run(options: argparse.Namespace) -> int:
        return status(arguments.loaded(options), options.name, options.namespace, options.output)

    parser.set_defaults(run=run)
