"""Giving the canary a share, where a VirtualService splits by weight between stable and canary.

The only code here that can raise a canary. It is asked for by a person's act, or by a stage that a person has
ordered; an alert, or the lack of anything, never gets here (law 1).
"""

from daemon.adapters.traffic.istio_destinations import side_of
from daemon.adapters.traffic.istio_rules import Rule, destination, routed, rules, weight
from daemon.adapters.traffic.shares import shared_out
from daemon.adapters.traffic.sides import Side
from daemon.model.route import PatchOperation, RouteObject, RoutePatch, Sides, WeightChange


def steer(route: RouteObject, sides: Sides, percent: float) -> RoutePatch | None:
    """Sole destinations (header and opt-in routes) and mirrors are nobody's ordinary traffic: they stay."""
    tests: list[PatchOperation] = []
    writes: list[PatchOperation] = []
    changes: list[WeightChange] = []
    for rule in rules(route.spec):
        listed = routed(rule.body)
        found = [side_of(destination(entry), route.ref.namespace, sides) for entry in listed]
        weights = [weight(entry) for entry in listed]
        if Side.CANARY not in found or Side.STABLE not in found or None in weights:
            continue
        known = [one or 0 for one in weights]
        wanted = shared_out(known, found, percent)
        if wanted == known:
            continue
        _write(rule, listed, known, wanted, tests, writes)
        before = sum(w for w, side in zip(known, found, strict=True) if side is Side.CANARY)
        changes.append(WeightChange(route.ref, rule.path, round(100 * before / (sum(known) or 1), 4), percent))
    return RoutePatch(route.ref, (*tests, *writes), tuple(changes), ()) if writes else None


def _write(
    rule: Rule,
    listed: list[object],
    known: list[int],
    wanted: list[int],
    tests: list[PatchOperation],
    writes: list[PatchOperation],
) -> None:
    """Everything of the split is tested: a raise lands on exactly what was looked at, or not at all."""
    for index, (entry, before, after) in enumerate(zip(listed, known, wanted, strict=True)):
        pointer = f"{rule.pointer}/route/{index}"
        weighed = isinstance(entry, dict) and entry.get("weight") is not None
        tests.append(PatchOperation("test", f"{pointer}/destination", destination(entry)))
        tests.append(PatchOperation("test", f"{pointer}/weight", before if weighed else None))
        if before != after:
            writes.append(PatchOperation("replace" if weighed else "add", f"{pointer}/weight", after))
