"""Alert policy as data: which alert asks for what. First match wins; matchers are Alertmanager's."""

import dataclasses
import enum
import re
from collections.abc import Mapping

from daemon.model.notice import Severity


class Act(enum.StrEnum):
    """What a firing alert asks for."""

    ROLLBACK = "rollback"
    PAUSE = "pause"
    """Close the traffic-increase gate while it fires, open it again when it is resolved."""
    IGNORE = "ignore"


_MATCHER = re.compile(
    r'^\s*(?P<label>[a-zA-Z_][a-zA-Z0-9_]*)\s*(?P<operator>=~|!~|!=|=)\s*(?P<quote>"?)(?P<value>.*?)(?P=quote)\s*$',
    re.DOTALL,
)
_ESCAPE = re.compile(r'\\([n"\\])')
"""As Alertmanager reads them; any other backslash stands for itself, as in ``\\d``."""
_UNESCAPED_QUOTE = re.compile(r'(?<!\\)(?:\\\\)*"|(?<!\\)(?:\\\\)*\\$')


@dataclasses.dataclass(frozen=True, slots=True)
class Matcher:
    """One matcher, as in Alertmanager's ``matchers`` (regular expressions are anchored at both ends).

    A label that is absent matches as the empty string, as it does in Alertmanager.
    """

    label: str
    operator: str
    value: str
    pattern: re.Pattern[str] | None = None

    @classmethod
    def parse(cls, text: str) -> "Matcher":
        """Reads ``severity="critical"``; raises ValueError saying what was expected."""
        found = _MATCHER.match(text)
        if found is None:
            raise ValueError(f"{text!r} is not a matcher; expected label, one of = != =~ !~, and a value, "
                             'as in severity="critical"')  # fmt: skip
        if _UNESCAPED_QUOTE.search(found["value"]):
            raise ValueError(f"{text!r} has a double quote that is not closed, or not escaped")
        value = _ESCAPE.sub(lambda escape: "\n" if escape[1] == "n" else escape[1], found["value"])
        pattern = None
        if found["operator"] in {"=~", "!~"}:
            try:
                pattern = re.compile(value)
            except re.error as error:
                raise ValueError(f"{text!r}: not a regular expression: {error}") from error
        return cls(label=found["label"], operator=found["operator"], value=value, pattern=pattern)

    def matches(self, labels: Mapping[str, str]) -> bool:
        actual = labels.get(self.label, "")
        if self.pattern is not None:
            return (self.pattern.fullmatch(actual) is not None) is (self.operator == "=~")
        return (actual == self.value) is (self.operator == "=")

    def __str__(self) -> str:
        return f'{self.label}{self.operator}"{self.value}"'


@dataclasses.dataclass(frozen=True, slots=True)
class AlertRule:
    """All matchers must match."""

    match: tuple[Matcher, ...]
    act: Act
    severity: Severity = Severity.P1
    """Of the incident that a rollback by this rule opens."""

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(matcher.matches(labels) for matcher in self.match)

    def __str__(self) -> str:
        return f"{{{', '.join(map(str, self.match))}}} -> {self.act}"


def first_match(rules: tuple[AlertRule, ...], labels: Mapping[str, str]) -> AlertRule | None:
    """The rule that speaks for an alert, or None."""
    return next((rule for rule in rules if rule.matches(labels)), None)


class Fallback(enum.StrEnum):
    """What to do with an alert that names nothing."""

    REFUSE = "refuse"
    SINGLE_ACTIVE = "single-active"


@dataclasses.dataclass(frozen=True, slots=True)
class LabelNames:
    """Which alert labels mean what; the first that is there and not empty speaks."""

    namespace: tuple[str, ...] = ("namespace", "destination_workload_namespace", "destination_service_namespace",
                                  "exported_namespace", "kubernetes_namespace")  # fmt: skip
    canary: tuple[str, ...] = ("canary", "name")
    workload: tuple[str, ...] = ("deployment", "workload", "destination_workload")
    application: tuple[str, ...] = ("app", "service", "destination_service_name")
    version: tuple[str, ...] = ("version", "destination_version", "revision", "pod_template_hash")
    host: tuple[str, ...] = ("host", "destination_service", "authority", "server_name")
    template_version: tuple[str, ...] = ("version", "app.kubernetes.io/version")
    """Labels of a pod template that say its version."""
