"""``pause``, ``resume``, ``promote``: annotations on the Canary, which *are* the act. RBAC decides who may."""

import asyncio
from typing import Any

from daemon.adapters import acts, text
from daemon.cli import arguments, asking, looking, printing, refusing, swapping
from daemon.cli.swapping import Act, Seen
from daemon.model import errors
from daemon.model.canary import CanaryRef, Controller
from daemon.policy import phrasing, staging
from daemon.settings import Settings
from daemon.workflow.showing import Release

_PAUSE = (acts.PAUSED, acts.PAUSING_PERSON, acts.PAUSING_REASON)

# -- pause and resume: these need to know nothing but the canary


def pause(settings: Settings, ref: CanaryRef, *, reason: str, output: str) -> int:
    """No increase and no promotion until it is resumed; what is on the canary stays there."""

    async def run() -> dict[str, Any]:
        async with looking.connected(settings) as client:
            said = ("true", refusing.bounded(await asking.who(client)), refusing.bounded(reason) or None)

            async def propose() -> Act:
                canary = await swapping.read(settings, client, ref)
                return Act(canary, {} if canary.paused else dict(zip(_PAUSE, said, strict=True)))

            act, canary = await swapping.carry_out(client, propose)
        return {
            "namespace": ref.namespace, "name": ref.name, "paused": canary.paused, "changed": bool(act.annotations),
            "by": canary.paused_by or None, "reason": canary.paused_reason or None,
        }  # fmt: skip

    document = asyncio.run(run())
    is_ = "is paused" if document["changed"] else "is paused already,"
    text_ = (
        f"{ref} {is_} {phrasing.pause(document)}\n"
        "  its weight stays as it is, and a rollback acts as ever; "
        f"to go on: pullback resume {ref.name} -n {ref.namespace}"
    )
    printing.show(document, output, table=text_)
    return 0


def resume(settings: Settings, ref: CanaryRef, *, output: str) -> int:
    """Takes the pause away, and says what holds the gate still."""

    async def run() -> dict[str, Any]:
        async with looking.connected(settings) as client:

            async def propose() -> Act:
                canary = await swapping.read(settings, client, ref)
                return Act(canary, dict.fromkeys(_PAUSE) if canary.paused else {})

            act, canary = await swapping.carry_out(client, propose)
        return {
            "namespace": ref.namespace, "name": ref.name, "paused": canary.paused, "changed": bool(act.annotations),
            "alerts": [
                {"alertname": one.alertname, "since": one.starts_at.isoformat()}
                for one in canary.alert_pauses if one.revision == canary.revision
            ],
        }  # fmt: skip

    document = asyncio.run(run())
    lines = [f"{ref} {'is resumed' if document['changed'] else 'was not paused'}"]
    if document["alerts"]:
        lines.append(f"  alerts hold it still: {text.line(phrasing.alerts(document['alerts']))}")
    printing.show(document, output, table="\n".join(lines))
    return 0


# -- promote


def promote(settings: Settings, ref: CanaryRef, *, weight: float, revision: str | None, output: str) -> int:
    """Skips soaks up to a weight, for the revision that is under analysis."""

    async def run() -> dict[str, Any]:
        async with looking.connected(settings) as client:
            who, meant = await refusing.named(client), revision

            async def propose() -> Act:
                nonlocal meant
                seen = await swapping.look(settings, client, ref)
                # Where none was named it is the first that was seen: it does not change under one's hands.
                refusing.asks(seen.release.canary, steered=True)
                meant = refusing.under_analysis(seen.release, meant)
                return Act(seen.release.canary, _skips(seen.release, weight, meant, who), seen)

            act, canary = await swapping.carry_out(client, propose)
            assert act.seen is not None  # noqa: S101 - as proposed
            return _promised(act.seen, act.seen.shown(canary)) | {"changed": bool(act.annotations)}

    document = asyncio.run(run())
    printing.show(document, output, table=_promise(document))
    return 0


def _skips(release: Release, weight: float, revision: str, who: str) -> dict[str, str | None]:
    canary, there, step = release.canary, release.weight, _next_step(release)
    if there is None:
        raise errors.PullbackError(f"{canary.ref}: nobody knows the weight on its routes")
    if weight <= there or staging.same(weight, there):
        raise errors.PullbackError(
            f"{canary.ref} is at {there:g}%, and promote only skips the soak before more; to take its traffic away: "
            f"pullback rollback {canary.ref.name} -n {canary.ref.namespace} --reason …"
        )
    if step is not None and weight < step and not staging.same(weight, step):
        raise errors.PullbackError(
            f"{canary.ref} is at {there:g}% and goes to {step:g}% next: --weight {weight:g} would skip nothing"
        )
    advance = canary.advance
    if advance is not None and (advance.to, advance.by, advance.revision) == (weight, who, revision):
        return {}
    return {acts.ADVANCE_TO: f"{weight:g}", acts.ADVANCE_BY: who, acts.ADVANCE_REVISION: revision}


def _next_step(release: Release) -> float | None:
    canary = release.canary
    if not canary.steps or release.weight is None:
        return None
    return staging.next_weight(canary.steps, release.weight)


def _promised(seen: Seen, after: dict[str, Any]) -> dict[str, Any]:
    profile = seen.release.profile
    return {
        "namespace": after["namespace"],
        "name": after["name"],
        "revision": after["revision"],
        "weight": after["weight"],
        "advance": after["advance"],
        "next": _next_step(seen.release),
        "criteria": list(profile.rollout) if profile is not None else [],
        "approvals": profile.promotion.approvals if profile is not None else None,
        "gate": after["gates"]["confirm-traffic-increase"],
        "controller": after["controller"],
    }


def _promise(document: dict[str, Any]) -> str:
    advance, step = document["advance"], document["next"]
    if document["controller"] == Controller.NONE:
        return _steered(document)
    already = "" if document["changed"] else ", which stands there already"
    goes = "" if step is None else f", goes to {step:g}% next"
    criteria = ", ".join(document["criteria"]) or "there are none"
    lines = [
        f"{document['namespace']}/{document['name']}: {phrasing.advance(advance)}{already}",
        f"  at {document['weight']:g}%{goes}; criteria still count: {criteria}",
        f"  confirm-traffic-increase would answer {text.line(phrasing.answer(document['gate']))}",
    ]
    if advance["to"] >= staging.FULL and document["approvals"]:
        lines.append("  the promotion still needs its approval")
    return "\n".join(lines)


def _steered(document: dict[str, Any]) -> str:
    """Nobody drives the canary: what is asked for is done, not only allowed."""
    advance = document["advance"]
    already = "" if document["changed"] else ", as it stands there already"
    return (
        f"{document['namespace']}/{document['name']}: from {document['weight']:g}% to {advance['to']:g}% for revision "
        f"{advance['revision']}, by {advance['by']}{already}\n"
        "  the daemon that leads gives it that within seconds, unless it is paused or a rollback is in force: "
        f"pullback status {document['name']} -n {document['namespace']}"
    )


# -- arguments


def pause_arguments(commands: arguments.Commands) -> None:
    parser = commands.add_parser("pause", help="no more traffic for a canary until it is resumed")
    arguments.named(parser)
    parser.add_argument("--reason", default="", help="why, for those who find it paused")
    parser.set_defaults(
        run=lambda options: pause(
            arguments.loaded(options), arguments.canary(options), reason=options.reason, output=options.output
        )
    )


def resume_arguments(commands: arguments.Commands) -> None:
    parser = commands.add_parser("resume", help="take a pause away; says which alerts hold the canary still")
    arguments.named(parser)
    parser.set_defaults(
        run=lambda options: resume(arguments.loaded(options), arguments.canary(options), output=options.output)
    )


def promote_arguments(commands: arguments.Commands) -> None:
    parser = commands.add_parser("promote", help="skip soaks up to a weight; criteria and approvals still count")
    arguments.named(parser)
    parser.add_argument("--weight", type=arguments.percent, required=True, metavar="PERCENT")
    parser.add_argument("--revision", metavar="REVISION", help="refused unless it is the one under analysis")
    parser.set_defaults(
        run=lambda options: promote(
            arguments.loaded(options), arguments.canary(options),
            weight=options.weight, revision=options.revision, output=options.output,
        )
    )  # fmt: skip
