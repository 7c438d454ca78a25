"""Giving the canary a share, where a rule of the Gateway API splits by weight between stable and canary."""

from daemon.adapters.traffic.drafting import Split, steered
from daemon.adapters.traffic.gateway_backends import guards, reference, side_of
from daemon.adapters.traffic.gateway_rules import LARGEST_WEIGHT, Rule, backends, rules, weight
from daemon.model.route import PatchOperation, RouteObject, RoutePatch, Sides


def steer(route: RouteObject, sides: Sides, percent: float) -> RoutePatch | None:
    """Backends alone in their rule (header and opt-in routes) and mirrors are nobody's ordinary traffic: they stay. So
    does a sum that the API has no words for."""
    splits = (_split(rule, route, sides) for rule in rules(route.spec))
    return steered(route, splits, percent, most=LARGEST_WEIGHT)


def _split(rule: Rule, route: RouteObject, sides: Sides) -> Split:
    listed = backends(rule.body)

    def tests(index: int) -> list[PatchOperation]:
        entry, pointer = listed[index], f"{rule.pointer}/backendRefs/{index}"
        said = isinstance(entry, dict) and entry.get("weight") is not None
        weighs = PatchOperation("test", f"{pointer}/weight", weight(entry) if said else None)
        return [*guards(pointer, reference(entry)), weighs]

    def write(index: int, after: int) -> PatchOperation:
        return PatchOperation("add", f"{rule.pointer}/backendRefs/{index}/weight", after)

    found = [side_of(reference(entry), route.ref.namespace, sides) for entry in listed]
    return Split(rule.path, found, [weight(entry) for entry in listed], tests, write)
