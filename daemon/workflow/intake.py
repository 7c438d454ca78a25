"""Where alerts come in: each is judged alone, and answered when what it asked for can no longer be lost (law 3)."""

import asyncio
import dataclasses
import datetime
from collections.abc import Callable

from daemon import ports
from daemon.model import errors
from daemon.model.canary import CanaryRef
from daemon.model.decision import Decision, Reason, Verdict
from daemon.model.rules import AlertRule, first_match
from daemon.model.signal import Alert, AlertGroup, MalformedAlert, Source
from daemon.workflow import pacing
from daemon.workflow.gathering import Gatherer
from daemon.workflow.letters import Letter
from daemon.workflow.mailboxes import Mailboxes


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What became of one alert. ``retry`` is set when it is not durable yet and must be sent again."""

    fingerprint: str
    decision: Decision
    canary: CanaryRef | None = None
    retry: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class GroupAnswer:
    """What became of one webhook."""

    alerts: tuple[Answer, ...]
    truncated: int

    @property
    def retry(self) -> bool:
        """The sender must come again: something is not durable."""
        return any(answer.retry for answer in self.alerts)

    @property
    def malformed(self) -> bool:
        return any(answer.decision.reason is Reason.MALFORMED for answer in self.alerts)


_DOUBTFUL = frozenset({Reason.UNMATCHED, Reason.NO_ACTIVE_CANARY, Reason.NAMES_ANOTHER_VERSION})
"""Reasons not to act that only hold as long as what we know is recent."""


class Intake:
    """Alerts in, answers out.

    ``ready`` says whether the world has been seen whole; before that nothing can be judged, and everything is
    to be sent again. ``fresh`` says whether what is known of canaries is recent: where it is not, "there is no
    such canary" is no answer (law 8). ``answer_within`` (seconds) is how long an answer may take: Alertmanager waits
    without a limit of its own and meanwhile holds back the rest of the group. ``heartbeat`` hears of every Watchdog
    that fires, ``truncated`` of every webhook that some alerts were cut off.
    """

    def __init__(
        self,
        *,
        gatherer: Gatherer,
        mailboxes: Mailboxes,
        observer: ports.Observer,
        rules: tuple[AlertRule, ...],
        watchdog: str,
        heartbeat: Callable[[], None],
        truncated: Callable[[], None],
        answer_within: float,
        ready: Callable[[], str],
        fresh: Callable[[], bool],
    ) -> None:
        self._gatherer = gatherer
        self._mailboxes = mailboxes
        self._observer = observer
        self._rules = rules
        self._watchdog = watchdog
        self._heartbeat = heartbeat
        self._truncated = truncated
        self._answer_within = answer_within
        self._ready = ready
        self._fresh = fresh

    async def take(
        self, group: AlertGroup, received_at: datetime.datetime, source: Source = Source.ALERTMANAGER
    ) -> GroupAnswer:
        """One webhook. Alerts are judged one by one: a firing group may hold resolved ones."""
        if group.truncated:
            self._observer.group_truncated(group.truncated, group.group_key)
            self._truncated()
        begun = [self._begin(alert, received_at, source) async for alert in pacing.in_turns(group.alerts)]
        waiting = {letter.answer for _, _, letter in begun if letter is not None}
        if waiting:
            await asyncio.wait(waiting, timeout=self._answer_within)
        return GroupAnswer(tuple(self._doubted(_collect(*one)) for one in begun), group.truncated)

    def _doubted(self, answer: Answer) -> Answer:
        if answer.decision.reason not in _DOUBTFUL or self._fresh():
            return answer
        why = f"what is known of canaries is too old to say: {answer.decision.detail}"
        return dataclasses.replace(answer, decision=Decision(Verdict.IGNORE, Reason.CANNOT_KNOW, why), retry=True)

    def _begin(
        self, alert: Alert | MalformedAlert, received_at: datetime.datetime, source: Source
    ) -> tuple[Alert | MalformedAlert, Answer | None, Letter | None]:
        if isinstance(alert, MalformedAlert):
            self._observer.alert_malformed(alert)
            malformed = Decision(Verdict.IGNORE, Reason.MALFORMED, alert.problem)
            return alert, Answer(alert.fingerprint, malformed), None
        if self._watchdog and alert.name == self._watchdog:
            # To find it by asking shows nothing of the road to us; its end, that the road to Alertmanager is cut.
            if source is Source.ALERTMANAGER and alert.firing:
                self._heartbeat()
            detail = "the road to us is open" if alert.firing else "nobody sends it to Alertmanager any more"
            return alert, self._ignored(alert, source, Reason.HEARTBEAT, detail), None
        rule = first_match(self._rules, alert.labels)
        if rule is None:
            return alert, self._ignored(alert, source, Reason.NO_RULE_MATCHES, "no rule of policy.rules matches"), None
        unready = self._ready()
        if unready:
            return alert, _again(alert, unready), None
        match = self._gatherer.whom(alert.labels)
        if match.ref is None:
            return alert, self._ignored(alert, source, match.reason or Reason.UNMATCHED, match.detail), None
        return self._post(alert, rule, match.ref, received_at, source)

    def _post(
        self, alert: Alert, rule: AlertRule, ref: CanaryRef, received_at: datetime.datetime, source: Source
    ) -> tuple[Alert, Answer | None, Letter | None]:
        letter = Letter(alert, rule, ref, received_at, asyncio.get_running_loop().create_future(), source)
        try:
            self._mailboxes.post(ref, letter)
        except errors.NotDurable as full:
            return alert, _again(alert, str(full), ref), None
        return alert, None, letter

    def _ignored(self, alert: Alert, source: Source, reason: Reason, detail: str) -> Answer:
        decision = Decision(Verdict.IGNORE, reason, detail)
        self._observer.signal_judged(source, decision, None, alert)
        return Answer(alert.fingerprint, decision)


def _collect(alert: Alert | MalformedAlert, answer: Answer | None, letter: Letter | None) -> Answer:
    if answer is not None:
        return answer
    assert letter is not None  # noqa: S101 - one of the two is always there
    if not letter.answer.done():
        letter.answer.cancel()
        return _again(letter.alert, "not durable in time", letter.canary)
    problem = letter.answer.exception()
    if problem is not None:
        return _again(letter.alert, str(problem), letter.canary)
    return Answer(alert.fingerprint, letter.answer.result(), letter.canary)


def _again(alert: Alert, why: str, ref: CanaryRef | None = None) -> Answer:
    return Answer(alert.fingerprint, Decision(Verdict.IGNORE, Reason.CANNOT_KNOW, why), ref, retry=True)
