"""PromQL as far as one must read it to know which labels, windows and thresholds an alert has.

A tokenizer and a parser of the expression grammar; what they do not know raises ``NotReadError``, and the rule is then
reported as not read rather than judged. Nothing is evaluated.
"""

import dataclasses
import re
from collections.abc import Iterator

from daemon.doctor import durations
from daemon.doctor.promql_nodes import (
    Aggregation,
    Binary,
    Call,
    Expression,
    Matching,
    Number,
    Selector,
    Subquery,
    Text,
)

AGGREGATIONS = frozenset({"sum", "avg", "min", "max", "count", "group", "stddev", "stdvar", "topk", "bottomk",
                          "quantile", "count_values", "limitk", "limit_ratio"})  # fmt: skip
COMPARISONS = frozenset({"==", "!=", ">", "<", ">=", "<="})
SETS = frozenset({"and", "or", "unless"})
_LEVELS: tuple[frozenset[str], ...] = (
    frozenset({"or"}), frozenset({"and", "unless"}), COMPARISONS, frozenset({"+", "-"}),
    frozenset({"*", "/", "%", "atan2"}),
)  # fmt: skip

_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
    |(?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)
    |(?P<duration>(?:\d+(?:ms|[smhdwy]))+)(?![\w.])
    |(?P<number>0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
    |(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)
    |(?P<operator>=~|!~|==|!=|<=|>=|[-+*/%^<>=(){}\[\],:@])""",
    re.VERBOSE,
)


class NotReadError(ValueError):
    """What stands there is no PromQL that we know."""


@dataclasses.dataclass(frozen=True, slots=True)
class Token:
    kind: str
    text: str
    position: int


def parse(text: str) -> Expression:
    """Raises NotReadError saying what stands where."""
    try:
        return _Parser(list(tokens(text))).whole()
    except RecursionError as error:
        raise NotReadError("nested too deeply") from error


def tokens(text: str) -> Iterator[Token]:
    position, last = 0, ""
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            raise NotReadError(f"{text[position : position + 20]!r} at character {position + 1}")
        kind = found.lastgroup or ""
        word = found[0]
        if last == "duration" and kind == "name" and word.startswith(":"):
            kind, word = "operator", ":"  # [10m:30s]: names may begin with a colon, but not there
        if kind != "space":
            yield Token(kind, word, position)
            last = kind
        position += len(word)


class _Parser:
    def __init__(self, listed: list[Token]) -> None:
        self._tokens = listed
        self._next = 0

    def whole(self) -> Expression:
        found = self._level(0)
        if self._next < len(self._tokens):
            raise self._unexpected("the end")
        return found

    def _level(self, level: int) -> Expression:
        if level == len(_LEVELS):
            return self._unary()
        left = self._level(level + 1)
        while (operator := self._take_any(_LEVELS[level])) is not None:
            left = self._joined(operator, left, level + 1)
        return left

    def _joined(self, operator: str, left: Expression, level: int) -> Expression:
        self._take_any({"bool"})
        matching = self._take_any({"on", "ignoring"}) or ""
        labels = self._labels() if matching else ()
        group = self._take_any({"group_left", "group_right"}) or ""
        included = self._labels() if group and self._peek() == "(" else ()
        right = self._power() if operator == "^" else self._level(level)
        return Binary(operator, left, right, matching, labels, group.removeprefix("group_"), included)

    def _unary(self) -> Expression:
        sign = self._take_any({"+", "-"})
        if sign is None:
            return self._power()
        inner = self._unary()
        return inner if sign == "+" else Binary("*", Number(-1.0), inner)

    def _power(self) -> Expression:
        left = self._modified(self._atom())
        if self._take_any({"^"}):
            return self._joined("^", left, len(_LEVELS))
        return left

    def _atom(self) -> Expression:
        token = self._take()
        if token.kind == "number":
            return Number(float(int(token.text, 16) if token.text[:2].lower() == "0x" else token.text))
        if token.kind == "duration":
            return Number(durations.seconds(token.text, 0.0))
        if token.kind == "string":
            return Text(_unquoted(token.text))
        if token.text == "(":
            inner = self._level(0)
            self._expect(")")
            return inner
        if token.text == "{":
            self._next -= 1
            return self._selector("")
        if token.kind != "name":
            self._next -= 1
            raise self._unexpected("an expression")
        return self._named(token.text)

    def _named(self, name: str) -> Expression:
        following = self._peek()
        if name.lower() in AGGREGATIONS and following in {"(", "by", "without"}:
            return self._aggregation(name.lower())
        if following == "(":
            return Call(name, self._arguments())
        if name.lower() in {"inf", "nan"}:
            return Number(float(name))
        return self._selector(name)

    def _aggregation(self, operator: str) -> Expression:
        grouping = self._take_any({"by", "without"}) or ""
        labels = self._labels() if grouping else ()
        arguments = self._arguments()
        if not grouping and (grouping := self._take_any({"by", "without"}) or ""):
            labels = self._labels()
        return Aggregation(operator, grouping, labels, arguments)

    def _arguments(self) -> tuple[Expression, ...]:
        self._expect("(")
        found: list[Expression] = []
        while self._peek() != ")":
            found.append(self._level(0))
            if self._take_any({","}) is None:
                break
        self._expect(")")
        return tuple(found)

    def _labels(self) -> tuple[str, ...]:
        self._expect("(")
        found = []
        while self._peek() != ")":
            token = self._take()
            found.append(_unquoted(token.text) if token.kind == "string" else token.text)
            if self._take_any({","}) is None:
                break
        self._expect(")")
        return tuple(found)

    def _selector(self, metric: str) -> Expression:
        matchers: list[Matching] = []
        if self._take_any({"{"}):
            while self._peek() != "}":
                label = self._take()
                if label.kind == "string" and self._peek() in {",", "}"}:
                    metric = _unquoted(label.text)  # {"a.metric"}, since Prometheus 3
                else:
                    matchers.append(self._matcher(label))
                if self._take_any({","}) is None:
                    break
            self._expect("}")
        metric = next((one.value for one in matchers if (one.label, one.operator) == ("__name__", "=")), metric)
        return Selector(metric, tuple(matchers))

    def _matcher(self, label: Token) -> Matching:
        operator = self._take_any({"=", "!=", "=~", "!~"})
        if operator is None:
            raise self._unexpected("one of = != =~ !~")
        value = self._take()
        if value.kind != "string":
            self._next -= 1
            raise self._unexpected("a quoted value")
        return Matching(label.text.strip("\"'"), operator, _unquoted(value.text))

    def _modified(self, of: Expression) -> Expression:
        """Ranges, subqueries, ``offset`` and ``@``; the last two move the time and no label."""
        while (mark := self._take_any({"[", "offset", "@"})) is not None:
            if mark == "[":
                of = self._ranged(of)
            elif mark == "offset":
                self._take_any({"-", "+"})
                self._take()
            else:
                self._take_any({"-", "+"})
                if self._take().text in {"start", "end"}:
                    self._arguments()
        return of

    def _ranged(self, of: Expression) -> Expression:
        window = durations.seconds(self._take().text, -1.0)
        if window < 0:
            self._next -= 1
            raise self._unexpected("a duration")
        subquery = self._take_any({":"}) is not None
        if subquery and self._peek() != "]":
            self._take()
        self._expect("]")
        if isinstance(of, Selector) and not subquery:
            return dataclasses.replace(of, window=window)
        return Subquery(of, window)

    def _peek(self) -> str:
        return self._tokens[self._next].text if self._next < len(self._tokens) else ""

    def _take(self) -> Token:
        if self._next >= len(self._tokens):
            raise self._unexpected("more")
        self._next += 1
        return self._tokens[self._next - 1]

    def _take_any(self, wanted: frozenset[str] | set[str]) -> str | None:
        text = self._peek()
        if text not in wanted and text.lower() not in wanted:
            return None
        self._next += 1
        return text.lower()

    def _expect(self, text: str) -> None:
        if self._take_any({text}) is None:
            raise self._unexpected(repr(text))

    def _unexpected(self, expected: str) -> NotReadError:
        if self._next >= len(self._tokens):
            return NotReadError(f"expected {expected}, got the end")
        token = self._tokens[self._next]
        return NotReadError(f"expected {expected}, got {token.text!r} at character {token.position + 1}")


def _unquoted(text: str) -> str:
    inner = text[1:-1]
    return inner if text.startswith("`") else re.sub(r"\\(.)", r"\1", inner)
