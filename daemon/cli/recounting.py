"""``pullback timeline``: what happened to the revisions of a canary, by the records alone; no daemon needs to run."""

import asyncio
from typing import Any

from daemon.adapters import ledger, text
from daemon.adapters.kubernetes.resources import CANARY_REVISIONS
from daemon.cli import arguments, looking, printing
from daemon.model import errors
from daemon.model.canary import CanaryRef
from daemon.policy import phrasing
from daemon.settings import Settings
from daemon.workflow import documents


def timeline(settings: Settings, ref: CanaryRef, *, revision: str | None, output: str) -> int:
    """Exit 1 when nothing is recorded. The newest revision is the last one for people, the first one for scripts."""

    async def run() -> list[dict[str, Any]]:
        async with looking.connected(settings) as client:
            try:
                found, _ = await client.list(CANARY_REVISIONS, ref.namespace)
            except errors.Missing:
                return []
        records = [ledger.read_revision(one) for one in found]
        mine = [one for one in records if one.canary == ref and revision in {None, one.revision, one.name}]
        mine.sort(key=lambda one: (one.began or one.created_at), reverse=True)
        return [documents.revision(one) for one in mine]

    document = asyncio.run(run())
    if not document:
        of = f"revision {revision} of canary" if revision is not None else "canary"
        raise errors.PullbackError(f"nothing is recorded of {of} {ref.name} in namespace {ref.namespace}")
    told = "\n\n".join(_told(one) for one in reversed(document))
    printing.show({"namespace": ref.namespace, "name": ref.name, "revisions": document}, output, table=told)
    return 0


def _told(one: dict[str, Any]) -> str:
    began = f", began {phrasing.clock(one['began'])}" if one["began"] else ""
    promoted = f", promoted {phrasing.clock(one['promoted'])}" if one["promoted"] else ""
    run = f", analysed for the {one['run']}. time" if one["run"] > 1 else ""
    lines = [f"revision {one['revision'] or '(no name yet)'}  {one['phase']}{began}{promoted}{run}  ({one['name']})"]
    lines += [
        f"  image {text.line(image['image'])}" + (f" {text.line(image['digest'])}" if image["digest"] else "")
        for image in one["images"]
    ]
    if one["dropped"]:
        lines.append(f"  ({one['dropped']} older lines did not fit)")
    width = max((len(entry["kind"]) for entry in one["timeline"]), default=0)
    lines += [
        f"  {phrasing.clock(entry['at'])}  {entry['kind']:<{width}}  {text.line(entry['text'])}{phrasing.again(entry)}"
        for entry in one["timeline"]
    ]
    if not one["timeline"]:
        lines.append("  no line yet")
    return "\n".join(lines)


def timeline_arguments(commands: arguments.Commands) -> None:
    parser = commands.add_parser("timeline", help="what happened to a canary's revisions, newest last; times in UTC")
    arguments.named(parser)
    parser.add_argument("--revision", metavar="REVISION", help="only this one; default: all that are kept")
    parser.set_defaults(
        run=lambda options: timeline(
            arguments.loaded(options), arguments.canary(options), revision=options.revision, output=options.output
        )
    )
