"""What a PromQL expression is made of."""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Matching:
    label: str
    operator: str
    value: str


@dataclasses.dataclass(frozen=True, slots=True)
class Selector:
    metric: str
    matchers: tuple[Matching, ...]
    window: float | None = None
    """Seconds of its range; None for an instant vector."""


@dataclasses.dataclass(frozen=True, slots=True)
class Number:
    value: float


@dataclasses.dataclass(frozen=True, slots=True)
class Text:
    value: str


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    function: str
    arguments: tuple["Expression", ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Aggregation:
    """``grouping`` is ``by``, ``without``, or empty for none (then all labels go)."""

    operator: str
    grouping: str
    labels: tuple[str, ...]
    arguments: tuple["Expression", ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Binary:
    """``matching`` is ``on``, ``ignoring`` or empty; ``group`` ``left``, ``right`` or empty, and what it includes."""

    operator: str
    left: "Expression"
    right: "Expression"
    matching: str = ""
    labels: tuple[str, ...] = ()
    group: str = ""
    included: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Subquery:
    of: "Expression"
    window: float


Expression = Selector | Number | Text | Call | Aggregation | Binary | Subquery
