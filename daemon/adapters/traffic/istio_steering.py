"""Giving the canary a share, where a VirtualService splits by weight between stable and canary."""

from daemon.adapters.traffic.drafting import Split, steered
from daemon.adapters.traffic.istio_destinations import side_of
from daemon.adapters.traffic.istio_rules import LARGEST_WEIGHT, Rule, destination, routed, rules, weight
from daemon.model.route import PatchOperation, RouteObject, RoutePatch, Sides


def steer(route: RouteObject, sides: Sides, percent: float) -> RoutePatch | None:
    """Sole destinations (header and opt-in routes) and mirrors are nobody's ordinary traffic: they stay."""
    splits = (_split(rule, route, sides) for rule in rules(route.spec))
    return steered(route, splits, percent, most=LARGEST_WEIGHT)


def _split(rule: Rule, route: RouteObject, sides: Sides) -> Split:
    listed = routed(rule.body)

    def said(index: int) -> bool:
        entry = listed[index]
        return isinstance(entry, dict) and entry.get("weight") is not None

    def tests(index: int) -> list[PatchOperation]:
        pointer = f"{rule.pointer}/route/{index}"
        return [
            PatchOperation("test", f"{pointer}/destination", destination(listed[index])),
            PatchOperation("test", f"{pointer}/weight", weight(listed[index]) if said(index) else None),
        ]

    def write(index: int, after: int) -> PatchOperation:
        return PatchOperation("replace" if said(index) else "add", f"{rule.pointer}/route/{index}/weight", after)

    found = [side_of(destination(entry), route.ref.namespace, sides) for entry in listed]
    return Split(rule.path, found, [weight(entry) for entry in listed], tests, write)
