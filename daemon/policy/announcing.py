"""A gate that stays closed for too long is told to people, once: somebody may have forgotten it."""

import datetime

from daemon.model.canary import Canary, CanaryPhase
from daemon.model.canary_revision import CanaryRevision, RevisionPhase, SeenGate
from daemon.model.notice import Fact, Manner, Message, Mood, Saying, Severity, Story
from daemon.model.signal import HookType
from daemon.policy.answering import duration

_ANALYSED = frozenset({CanaryPhase.PROGRESSING, CanaryPhase.WAITING_PROMOTION})
_WAITING = {
    RevisionPhase.PENDING: frozenset({HookType.CONFIRM_ROLLOUT}),
    RevisionPhase.ANALYSING: frozenset({HookType.CONFIRM_TRAFFIC_INCREASE, HookType.CONFIRM_PROMOTION}),
}
"""Which gates hold a revision up while it is in that phase. What counts against the canary ends by itself."""


def refusing(record: CanaryRevision, canary: Canary | None) -> tuple[SeenGate, ...]:
    """The gates at which this revision waits now, a soak aside, longest first."""
    if canary is None or canary.suspended:
        return ()
    if record.phase is RevisionPhase.ANALYSING and (
        record.revision != canary.revision or canary.phase not in _ANALYSED
    ):
        return ()
    wanted = _WAITING.get(record.phase, frozenset())
    closed = [gate for gate in record.gates if gate.hook in wanted and gate.refusing_since is not None]
    return tuple(sorted(closed, key=lambda gate: (gate.refusing_since or gate.at, gate.hook)))


def key(record: CanaryRevision, gate: SeenGate) -> str:
    """What is said about one gate in one analysis is said once."""
    return f"gate-{gate.hook}-{record.run}"


def late_at(gate: SeenGate, after: float) -> datetime.datetime:
    """When it has been closed for ``after`` seconds."""
    return (gate.refusing_since or gate.at) + datetime.timedelta(seconds=after)


def message(
    record: CanaryRevision, canary: Canary, gate: SeenGate, manner: Manner, severity: Severity, now: datetime.datetime
) -> Message | None:
    """None for a channel that wakes people up: nobody is hurt by a gate that is closed."""
    if manner is Manner.INCIDENT:
        return None
    saying = Saying.POST if manner is Manner.MESSAGE else Saying.TELL
    story = _story(record, canary, gate, severity, now)
    return Message(key(record, gate), saying, story, now, story.title)


def _story(
    record: CanaryRevision, canary: Canary, gate: SeenGate, severity: Severity, now: datetime.datetime
) -> Story:  # fmt: skip
    since = gate.refusing_since or gate.at
    waits = duration((now - since).total_seconds())
    revision = record.revision or "the next revision"
    namespace, name = canary.ref.namespace, canary.ref.name
    commands = [f"pullback status {name} -n {namespace}", f"pullback timeline {name} -n {namespace}"]
    if gate.hook == HookType.CONFIRM_PROMOTION:
        commands.insert(0, f"pullback approve {name} -n {namespace} --reason ...")
    return Story(
        dedup_key=f"pullback/{namespace}/{record.name}/{record.uid}/{key(record, gate)}",
        namespace=namespace,
        canary=name,
        revision=record.revision,
        record=record.name,
        canary_uid=canary.uid,
        record_uid="",
        mood=Mood.SAFE,
        severity=severity,
        title=f"{canary.ref} has waited at {gate.hook} for {waits}",
        summary=f"{revision} goes no further: {gate.reason}: {gate.detail}",
        facts=(
            Fact("Gate", gate.hook),
            Fact("Closed since", f"{since:%Y-%m-%d %H:%M:%SZ}"),
            Fact("Why", f"{gate.reason}: {gate.detail}"),
            Fact("Phase", str(canary.phase)),
        ),
        links=(),
        commands=tuple(commands),
        began_at=since,
        canary_kind=canary.object_kind,
    )
