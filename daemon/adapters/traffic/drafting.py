"""The one write that takes a routing object to zero, as it is gathered; and the one that gives the canary a share."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence

from daemon.adapters.traffic.shares import shared_out
from daemon.adapters.traffic.sides import Side
from daemon.model.route import (
    Original,
    PatchOperation,
    PathShare,
    RouteObject,
    RoutePatch,
    RouteView,
    Sides,
    WeightChange,
)


class Draft:
    """What is found of one object, seen from one canary: its paths, and tests, writes and originals for them."""

    def __init__(self, route: RouteObject, sides: Sides) -> None:
        self._route = route
        self._sides = sides
        self._paths: list[PathShare] = []
        self._tests: list[PatchOperation] = []
        self._writes: list[PatchOperation] = []
        self._changes: list[WeightChange] = []
        self._originals: list[Original] = []

    def _seen(self) -> RouteView:
        """All that was gathered: the tests before the writes, and no write where there is none to make."""
        patch = None
        if self._writes:
            operations = (*self._tests, *self._writes)
            patch = RoutePatch(self._route.ref, operations, tuple(self._changes), tuple(self._originals))
        return RouteView(self._route.ref, tuple(self._paths), patch, self._route.writers)

    def _changed(self, path: str, share: float) -> None:
        self._changes.append(WeightChange(self._route.ref, path, round(100 * share, 4), 0.0))


@dataclasses.dataclass(frozen=True, slots=True)
class Split:
    """A rule that shares requests out by weight. ``weights`` has None for what cannot be read; ``tests`` guard an entry
    as it was looked at, ``write`` gives it another weight."""

    path: str
    sides: Sequence[Side]
    weights: Sequence[int | None]
    tests: Callable[[int], Iterable[PatchOperation]]
    write: Callable[[int, int], PatchOperation]


def steered(route: RouteObject, splits: Iterable[Split], percent: float, *, most: int) -> RoutePatch | None:
    """The write that gives the canary ``percent`` wherever it shares with stable. Everything of such a split is tested:
    a raise lands on exactly what was looked at, or not at all. ``most``: the largest weight that can be written.

    The only code that can raise a canary. It is asked for by a person's act, or by a stage that a person has ordered;
    an alert, or the lack of anything, never gets here (law 1).
    """
    tests: list[PatchOperation] = []
    writes: list[PatchOperation] = []
    changes: list[WeightChange] = []
    for split in splits:
        known = [one for one in split.weights if one is not None]
        if Side.CANARY not in split.sides or Side.STABLE not in split.sides or len(known) < len(split.weights):
            continue
        wanted = shared_out(known, split.sides, percent)
        if wanted == known or max(wanted) > most:
            continue
        for index, (before, after) in enumerate(zip(known, wanted, strict=True)):
            tests += split.tests(index)
            writes += [split.write(index, after)] if before != after else []
        share = sum(weight for weight, side in zip(known, split.sides, strict=True) if side is Side.CANARY)
        changes.append(WeightChange(route.ref, split.path, round(100 * share / (sum(known) or 1), 4), percent))
    return RoutePatch(route.ref, (*tests, *writes), tuple(changes), ()) if writes else None
