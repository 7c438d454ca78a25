"""Which labels the result of an expression has: what an alert can be correlated by.

``Labels`` is either exactly some names, or all that the series have except some. Recorded series have the labels of
the expression they were recorded from, as far as those rules are known.
"""

import dataclasses
from collections.abc import Iterable, Mapping

from daemon.doctor.promql import AGGREGATIONS, SETS
from daemon.doctor.promql_nodes import (
    Aggregation,
    Binary,
    Call,
    Expression,
    Number,
    Selector,
    Subquery,
    Text,
)

_KEEPING = AGGREGATIONS & {"topk", "bottomk", "limitk", "limit_ratio"}
_NO_LABELS = frozenset({"vector", "scalar", "time", "pi", "absent", "absent_over_time"})


@dataclasses.dataclass(frozen=True, slots=True)
class Labels:
    """``exact``: these names; else all names except these."""

    exact: bool
    names: frozenset[str]
    added: frozenset[str] = frozenset()
    """Names that are certain to be there, where the others are not exactly known."""

    def has(self, name: str) -> bool:
        return name in self.names if self.exact else name in self.added or name not in self.names

    def keep(self, names: Iterable[str]) -> "Labels":
        return Labels(True, frozenset(name for name in names if self.has(name)))

    def drop(self, names: Iterable[str]) -> "Labels":
        gone = frozenset(names)
        if self.exact:
            return Labels(True, self.names - gone)
        return Labels(False, self.names | gone, self.added - gone)

    def add(self, names: Iterable[str]) -> "Labels":
        more = frozenset(names)
        if self.exact:
            return Labels(True, self.names | more)
        return Labels(False, self.names - more, self.added | more)

    def both(self, other: "Labels") -> "Labels":
        """What is certain of either."""
        if self.exact:
            return other.keep(self.names) if not other.exact else Labels(True, self.names & other.names)
        if other.exact:
            return self.keep(other.names)
        return Labels(False, self.names | other.names, self.added & other.added)


ALL = Labels(False, frozenset())
NONE = Labels(True, frozenset())
Recorded = Mapping[str, Labels]
"""Labels of the series that are known to be recorded, by their names."""


def of(expression: Expression, recorded: Recorded) -> Labels:
    """The labels of the result, without the metric's name."""
    match expression:
        case Number() | Text():
            return NONE
        case Selector():
            return recorded.get(expression.metric, ALL)
        case Subquery():
            return of(expression.of, recorded)
        case Aggregation():
            return _aggregated(expression, recorded)
        case Call():
            return _called(expression, recorded)
        case Binary():
            return _joined(expression, recorded)


def _aggregated(expression: Aggregation, recorded: Recorded) -> Labels:
    inner = of(expression.arguments[-1], recorded) if expression.arguments else NONE
    if expression.operator in _KEEPING:
        return inner
    found = NONE
    if expression.grouping == "by":
        found = inner.keep(expression.labels)
    elif expression.grouping == "without":
        found = inner.drop(expression.labels)
    if expression.operator == "count_values" and isinstance(expression.arguments[0], Text):
        found = found.add([expression.arguments[0].value])
    return found


def _called(expression: Call, recorded: Recorded) -> Labels:
    if expression.function.startswith("absent"):
        inner = next((one for one in expression.arguments if isinstance(one, Selector)), None)
        return Labels(
            True, frozenset(one.label for one in inner.matchers if one.operator == "=") if inner else frozenset()
        )
    if expression.function in _NO_LABELS:
        return NONE
    vectors = [of(one, recorded) for one in expression.arguments if not isinstance(one, Number | Text)]
    found = vectors[-1] if vectors else NONE
    if expression.function in {"label_replace", "label_join"}:
        target = expression.arguments[1:2]
        return vectors[0].add([target[0].value]) if vectors and target and isinstance(target[0], Text) else found
    if expression.function.startswith("histogram_"):
        return found.drop(["le"])
    return found


def scalar(expression: Expression) -> bool:
    """A number, or what gives one."""
    match expression:
        case Number():
            return True
        case Call():
            return expression.function in {"scalar", "time", "pi"}
        case Binary():
            return scalar(expression.left) and scalar(expression.right)
        case _:
            return False


def _joined(expression: Binary, recorded: Recorded) -> Labels:
    left, right = of(expression.left, recorded), of(expression.right, recorded)
    if expression.operator == "or":
        return left.both(right)
    if expression.operator in SETS:
        return left
    if scalar(expression.left):
        return right
    if scalar(expression.right):
        return left
    if expression.group:
        many = left if expression.group == "left" else right
        return many.add(expression.included)
    if expression.matching == "on":
        return left.keep(expression.labels)
    if expression.matching == "ignoring":
        return left.drop(expression.labels)
    return left.both(right)
