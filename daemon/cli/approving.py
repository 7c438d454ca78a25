"""``pullback approve``: shows what there is to know about a revision, asks, and writes down who said yes to it."""

import asyncio
import dataclasses
import datetime
import sys
from typing import Any

from daemon import bootstrap
from daemon.adapters import acts, text, times
from daemon.adapters.kubernetes.client import KubernetesClient
from daemon.cli import arguments, evidence, looking, printing, refusing, swapping
from daemon.cli.swapping import Act, Seen
from daemon.model import errors
from daemon.model.canary import Approval, CanaryRef
from daemon.model.stages import Promotion
from daemon.policy import approving, phrasing
from daemon.settings import Settings
from daemon.workflow.showing import Release


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """``by`` may only repeat who one is. ``expires`` in seconds, None: as the policy says. ``revision`` None: the one
    that is shown."""

    reason: str
    by: str | None = None
    expires: float | None = None
    revision: str | None = None


def approve(settings: Settings, ref: CanaryRef, asked: Asked, *, yes: bool, output: str) -> int:
    """Exit 1 when it is refused, or answered with no; 2 when nobody is there to be asked."""
    if not yes and not sys.stdin.isatty():
        print("pullback: approve asks before it writes, and there is no terminal to ask on: add --yes", file=sys.stderr)
        return 2
    shown = asyncio.run(_look(settings, ref, asked))
    if output == "table" or not yes:
        print(evidence.prose(shown), file=sys.stdout if output == "table" else sys.stderr, flush=True)
    if not yes and not _agreed(shown["revision"]):
        print("pullback: not approved", file=sys.stderr)
        return 1
    # What is approved is what was shown, whatever has come meanwhile.
    done = asyncio.run(_write(settings, ref, dataclasses.replace(asked, revision=shown["revision"])))
    printing.show({"evidence": shown, **done}, output, table=_story(done))
    return 0


def _agreed(revision: str) -> bool:
    print(f"approve {text.line(revision)}? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


async def _look(settings: Settings, ref: CanaryRef, asked: Asked) -> dict[str, Any]:
    now = bootstrap.Surroundings().clock.now()
    async with looking.connected(settings) as client:
        who = await _who(client, asked)
        seen = await swapping.look(settings, client, ref)
    _judged(settings, seen.release, asked, who, now)
    return evidence.document(seen.release, seen.showing.canary(seen.release.canary), now)


async def _write(settings: Settings, ref: CanaryRef, asked: Asked) -> dict[str, Any]:
    clock = bootstrap.Surroundings().clock
    async with looking.connected(settings) as client:
        who = await _who(client, asked)

        async def propose() -> Act:
            seen = await swapping.look(settings, client, ref)
            return Act(seen.release.canary, _judged(settings, seen.release, asked, who, clock.now()), seen)

        act, canary = await swapping.carry_out(client, propose)
    assert act.seen is not None  # noqa: S101 - as proposed
    return _done(act.seen, act.seen.shown(canary))


async def _who(client: KubernetesClient, asked: Asked) -> str:
    who = await refusing.named(client)
    if asked.by is not None and asked.by != who:
        raise errors.PullbackError(f"--by {asked.by}: nobody approves for somebody else, you are {who}")
    return who


def _judged(
    settings: Settings, release: Release, asked: Asked, who: str, now: datetime.datetime
) -> dict[str, str | None]:
    """What to write. Raises what speaks against it.

    To what others have approved only a name is added: with another end it would be another approval than theirs.
    ``approved-used`` stays where it is: it repeats the approval that was used, which a new one is not, and so nobody
    but the daemon needs to write it.
    """
    refusing.asks(release.canary, steered=False)
    revision = refusing.under_analysis(release, asked.revision)
    policy = release.profile.promotion if release.profile is not None else Promotion()
    until = now + datetime.timedelta(seconds=min(asked.expires or policy.expires, policy.expires))
    said = f"{who}: {asked.reason}"
    there = _standing(settings, release, policy, now)
    if there is None:
        return {
            acts.APPROVED: revision, acts.APPROVED_BY: who, acts.APPROVED_UNTIL: times.write(until),
            acts.APPROVAL_REASON: refusing.bounded(said),
        }  # fmt: skip
    if who in there.by:
        counts = f" until {phrasing.clock(there.until.isoformat())}" if there.until is not None else ""
        raise errors.PullbackError(
            f"{release.canary.ref}: {who} has approved revision {revision} already{counts}; it takes somebody else to "
            "approve it once more"
        )
    names = ",".join((*there.by, who))
    if len(names) > acts.WORDS_MOST:
        raise errors.PullbackError(f"{release.canary.ref}: {len(there.by)} people have approved it, no name fits in")
    reasons = refusing.bounded("; ".join(filter(None, (there.reason, said))))
    added: dict[str, str | None] = {acts.APPROVED_BY: names, acts.APPROVAL_REASON: reasons}
    if there.until is not None:
        return added
    ends = min(until, approving.expiry(there, release.record, policy.expires) or until)
    return {**added, acts.APPROVED_UNTIL: times.write(ends)}


def _standing(settings: Settings, release: Release, policy: Promotion, now: datetime.datetime) -> Approval | None:
    """The approval that another person's name may stand beside."""
    approval, record = release.canary.approval, release.record
    if approval is None or not approval.by or approval.revision != release.canary.revision:
        return None
    if approving.is_used_up(approval, record, settings.correlation.clock_tolerance):
        return None
    ends = approving.expiry(approval, record, policy.expires)
    return approval if ends is None or ends > now else None


# -- what came of it


def _done(seen: Seen, after: dict[str, Any]) -> dict[str, Any]:
    profile = seen.release.profile
    return {
        "namespace": after["namespace"],
        "name": after["name"],
        "revision": after["revision"],
        "approval": after["approval"],
        "approvals": profile.promotion.approvals if profile is not None else None,
        "gate": after["gates"][evidence.GATE],
    }


def _story(done: dict[str, Any]) -> str:
    approval, wanted = done["approval"], done["approvals"]
    lines = [f"{done['namespace']}/{done['name']}: approved is {text.line(phrasing.approval(approval))}"]
    if wanted is not None and wanted > len(approval["by"]):
        lines.append(f"  {len(approval['by'])} of {wanted} people: somebody else must approve too")
    if wanted == 0:
        lines.append("  by the profile of this canary nobody's approval is waited for")
    lines.append(f"  {evidence.GATE} would answer {text.line(phrasing.answer(done['gate']))}")
    return "\n".join(lines)


def approve_arguments(commands: arguments.Commands) -> None:
    parser = commands.add_parser("approve", help="let a revision be promoted; shows the evidence and asks")
    arguments.named(parser)
    parser.add_argument("--reason", type=arguments.words, required=True, help="why; it is kept beside the approval")
    parser.add_argument("--by", metavar="WHO", help="your own name, as the API server knows it; refused otherwise")
    parser.add_argument(
        "--expires", type=arguments.duration, metavar="TIME",
        help="how long it counts, such as 30m; default, and at most: policy.promotion.expires",
    )  # fmt: skip
    parser.add_argument("--revision", metavar="REVISION", help="refused unless it is the one under analysis")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.set_defaults(
        run=lambda options: approve(
            arguments.loaded(options), arguments.canary(options),
            Asked(options.reason, options.by, options.expires, options.revision),
            yes=options.yes, output=options.output,
        )
    )  # fmt: skip
