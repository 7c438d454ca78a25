"""What a replica has heard and done and is not in a record yet: kept small, and counted rather than repeated."""

import dataclasses
import datetime

from daemon.model.canary_revision import Entry, EntryKind, SeenCheck, SeenGate
from daemon.model.checking import ImageDigest
from daemon.policy import entries

_MOST = 200


@dataclasses.dataclass(frozen=True, slots=True)
class Notes:
    """What this replica has heard and done and is not in the record yet."""

    entries: tuple[Entry, ...] = ()
    gates: tuple[SeenGate, ...] = ()
    checks: tuple[SeenCheck, ...] = ()
    digests: tuple[ImageDigest, ...] = ()

    def __bool__(self) -> bool:
        return self != Notes()


def together(one: Notes, other: Notes) -> Notes:
    """Both, in their order; what is said twice is counted."""
    lines: dict[tuple[EntryKind, str], Entry] = {}
    for entry in (*one.entries, *other.entries):
        held = lines.get((entry.kind, entry.key))
        lines[entry.kind, entry.key] = entry if held is None else entries.counted(held, entry)
    gates: dict[tuple[str, bool, str], SeenGate] = {}
    for gate in (*one.gates, *other.gates):
        # In the order in which each was heard last: what comes last is what stands.
        held_gate = gates.pop((gate.hook, gate.opened, gate.reason), None)
        since = held_gate.at if held_gate is not None else gate.at
        gates[gate.hook, gate.opened, gate.reason] = dataclasses.replace(gate, at=since)
    checks = {(check.gate, check.name): check for check in (*one.checks, *other.checks)}
    digests = {digest.image: digest for digest in (*one.digests, *other.digests)}
    return Notes(
        tuple(lines.values())[-_MOST:],
        tuple(gates.values())[-_MOST:],
        tuple(checks.values()),
        tuple(digests.values()),
    )


def since(notes: Notes, moment: datetime.datetime) -> Notes:
    """What was said at that moment or later."""
    return Notes(
        tuple(one for one in notes.entries if (one.last or one.at) >= moment),
        tuple(one for one in notes.gates if one.at >= moment),
        tuple(one for one in notes.checks if one.at >= moment),
        notes.digests,
    )
