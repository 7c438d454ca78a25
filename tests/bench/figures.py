"""What a bench hands back: figures with a yardstick beside each, and whether a promise is kept."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. ``most`` is the largest ratio that was promised, None where nothing was."""

    bench: str
    name: str
    value: float
    unit: str
    yardstick: float | None = None
    against: str = ""
    most: float | None = None
    ratio_given: float | None = None

    @property
    def ratio(self) -> float | None:
        """How many times the yardstick; given as such where it was measured pair by pair."""
        if self.ratio_given is not None:
            return self.ratio_given
        return self.value / self.yardstick if self.yardstick else None

    @property
    def verdict(self) -> str:
        if self.most is None or self.ratio is None:
            return ""
        return "PASS" if self.ratio <= self.most else "over target"


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` of all do not exceed: no interpolation, so it did happen."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def table(figures: Sequence[Figure]) -> str:
    head = ("bench", "figure", "value", "yardstick", "against", "ratio", "at most", "")
    rows = [head, *map(_row, figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    numbers = {2, 3, 5, 6}
    lines = [
        "  ".join(
            cell.rjust(width) if column in numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def _row(figure: Figure) -> tuple[str, ...]:
    ratio, most = figure.ratio, figure.most
    return (
        figure.bench,
        figure.name,
        f"{_shown(figure.value)} {figure.unit}",
        "" if figure.yardstick is None else f"{_shown(figure.yardstick)} {figure.unit}",
        figure.against,
        "" if ratio is None else f"{ratio:.2f}x",
        "" if most is None else f"{most:g}x",
        figure.verdict,
    )


def _shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"
