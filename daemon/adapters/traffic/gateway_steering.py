"""Giving the canary a share, where a rule of the Gateway API splits by weight between stable and canary.

Like its sister for Istio it can raise a canary. It is asked for by a person's act, or by a stage that a person has
ordered; an alert, or the lack of anything, never gets here (law 1).
"""

from daemon.adapters.traffic.gateway_backends import guards, reference, side_of
from daemon.adapters.traffic.gateway_rules import LARGEST_WEIGHT, Rule, backends, rules, weight
from daemon.adapters.traffic.shares import shared_out
from daemon.adapters.traffic.sides import Side
from daemon.model.route import PatchOperation, RouteObject, RoutePatch, Sides, WeightChange


def steer(route: RouteObject, sides: Sides, percent: float) -> RoutePatch | None:
    """Backends alone in their rule (header and opt-in routes) and mirrors are nobody's ordinary traffic: they stay."""
    tests: list[PatchOperation] = []
    writes: list[PatchOperation] = []
    changes: list[WeightChange] = []
    for rule in rules(route.spec):
        listed = backends(rule.body)
        found = [side_of(reference(entry), route.ref.namespace, sides) for entry in listed]
        weights = [one for one in map(weight, listed) if one is not None]
        if Side.CANARY not in found or Side.STABLE not in found or len(weights) < len(listed):
            continue
        wanted = shared_out(weights, found, percent)
        if wanted == weights or max(wanted) > LARGEST_WEIGHT:  # a sum that the API has no words for stays
            continue
        _write(rule, listed, weights, wanted, tests, writes)
        before = sum(w for w, side in zip(weights, found, strict=True) if side is Side.CANARY)
        changes.append(WeightChange(route.ref, rule.path, round(100 * before / (sum(weights) or 1), 4), percent))
    return RoutePatch(route.ref, (*tests, *writes), tuple(changes), ()) if writes else None


def _write(
    rule: Rule,
    listed: list[object],
    weights: list[int],
    wanted: list[int],
    tests: list[PatchOperation],
    writes: list[PatchOperation],
) -> None:
    """Everything of the split is tested: a raise lands on exactly what was looked at, or not at all."""
    for index, (entry, before, after) in enumerate(zip(listed, weights, wanted, strict=True)):
        pointer = f"{rule.pointer}/backendRefs/{index}"
        said = isinstance(entry, dict) and entry.get("weight") is not None
        tests.extend(guards(pointer, reference(entry)))
        tests.append(PatchOperation("test", f"{pointer}/weight", before if said else None))
        if before != after:
            writes.append(PatchOperation("add", f"{pointer}/weight", after))
