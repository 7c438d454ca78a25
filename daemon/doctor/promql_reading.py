"""What an alert's expression measures: its windows, its threshold, whether it is a share, which selectors it has."""

import dataclasses
from collections.abc import Iterator, Mapping

from daemon.doctor import promql_labels
from daemon.doctor.promql import COMPARISONS
from daemon.doctor.promql_nodes import Aggregation, Binary, Call, Expression, Number, Selector, Subquery

Recordings = Mapping[str, Expression]
"""Expressions of the series that are known to be recorded, by their names."""

_FLIPPED = {">": "<", "<": ">", ">=": "<=", "<=": ">="}


@dataclasses.dataclass(frozen=True, slots=True)
class Threshold:
    """``left operator value``, and what is compared. With ``relative`` it is compared to another side's measure."""

    measured: Expression
    operator: str
    value: float


def parts(expression: Expression) -> Iterator[Expression]:
    """The expression and everything in it."""
    yield expression
    match expression:
        case Binary():
            yield from parts(expression.left)
            yield from parts(expression.right)
        case Call() | Aggregation():
            for one in expression.arguments:
                yield from parts(one)
        case Subquery():
            yield from parts(expression.of)


def expanded(
    expression: Expression, recordings: Recordings, seen: frozenset[str] = frozenset()
) -> Iterator[Expression]:
    """Like ``parts``, and through recorded series into what they were recorded from."""
    for one in parts(expression):
        yield one
        if isinstance(one, Selector) and one.metric in recordings and one.metric not in seen:
            yield from expanded(recordings[one.metric], recordings, seen | {one.metric})


def selectors(expression: Expression, recordings: Recordings) -> list[Selector]:
    return [one for one in expanded(expression, recordings) if isinstance(one, Selector)]


def windows(expression: Expression, recordings: Recordings) -> list[float]:
    """Seconds of every range in it."""
    found = [one.window for one in selectors(expression, recordings) if one.window is not None]
    return found + [one.window for one in expanded(expression, recordings) if isinstance(one, Subquery)]


def thresholds(expression: Expression) -> list[Threshold]:
    """Comparisons with a number. Those that only guard against too few samples are no shares; the reader tells."""
    found = []
    for one in parts(expression):
        if not isinstance(one, Binary) or one.operator not in COMPARISONS:
            continue
        if (value := number(one.right)) is not None:
            found.append(Threshold(one.left, one.operator, value))
        elif (value := number(one.left)) is not None:
            found.append(Threshold(one.right, _FLIPPED.get(one.operator, one.operator), value))
    return found


def number(expression: Expression) -> float | None:
    """The value of a constant expression."""
    match expression:
        case Number():
            return expression.value
        case Binary():
            left, right = number(expression.left), number(expression.right)
            if left is None or right is None:
                return None
            try:
                return {"+": left + right, "-": left - right, "*": left * right,
                        "/": left / right if right else None}.get(expression.operator)  # fmt: skip
            except OverflowError:
                return None
        case _:
            return None


def is_relative(expression: Expression) -> bool:
    """Two measures are compared with each other, a factor aside."""
    return any(
        isinstance(one, Binary) and one.operator in COMPARISONS
        and not promql_labels.scalar(one.left) and not promql_labels.scalar(one.right)
        for one in parts(expression)
    )  # fmt: skip


def scale(measured: Expression, recordings: Recordings) -> float | None:
    """1 for a share of one, 100 for a percentage, None for what is no share at all."""
    match measured:
        case Selector() if measured.metric in recordings:
            others = {name: one for name, one in recordings.items() if name != measured.metric}
            return scale(recordings[measured.metric], others)
        case Binary(operator="/"):
            divisor = number(measured.right)
            inner = scale(measured.left, recordings)
            if divisor:
                return None if inner is None else inner / divisor
            by_number = number(measured.left) is not None
            return None if by_number else (inner or _factor(measured.left))
        case Binary(operator="*"):
            for factor, rest in ((number(measured.left), measured.right), (number(measured.right), measured.left)):
                if factor is not None:
                    inner = scale(rest, recordings)
                    return None if inner is None else inner * abs(factor)
            return None
        case Binary(operator="+" | "-"):
            return scale(measured.left, recordings) or scale(measured.right, recordings)
        case Binary(operator="and" | "unless" | "or"):
            return scale(measured.left, recordings)
        case Binary() if measured.operator in COMPARISONS:
            return scale(measured.right if promql_labels.scalar(measured.left) else measured.left, recordings)
        case Call() if measured.function in {"abs", "round", "clamp_max", "clamp_min", "clamp", "label_replace"}:
            return scale(measured.arguments[0], recordings) if measured.arguments else None
        case Aggregation(operator="max" | "min" | "avg"):
            return scale(measured.arguments[-1], recordings) if measured.arguments else None
        case _:
            return None


def _factor(expression: Expression) -> float:
    """The constants by which a measure is multiplied: 100 of ``100 * sum(errors)``."""
    if isinstance(expression, Binary) and expression.operator == "*":
        for factor, rest in ((expression.left, expression.right), (expression.right, expression.left)):
            if (value := number(factor)) is not None:
                return abs(value) * _factor(rest)
    return 1.0


def is_quantile(expression: Expression, recordings: Recordings) -> bool:
    return any(isinstance(one, Call) and one.function == "histogram_quantile"
               for one in expanded(expression, recordings))  # fmt: skip


def error_threshold(expression: Expression, recordings: Recordings) -> float | None:
    """The share of failing requests above (or of good ones below) which it fires; None for other measures."""
    for one in thresholds(expression):
        whole = scale(one.measured, recordings)
        if whole is None:
            continue
        share = one.value / whole
        if one.operator in {">", ">="} and 0 <= share < 1:
            return share
        if one.operator in {"<", "<="} and 0 < share <= 1:
            return round(1 - share, 12)
    return None
