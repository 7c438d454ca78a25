"""What must hold for every VirtualService there can be, judged by an evaluator that knows only Istio's rules."""

import copy
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.adapters.traffic import virtual_service
from daemon.model.route import PatchOperation, RoutePatch, RouteView, Sides
from tests import routing, strategies
from tests.strategies import ORPHANED, SIDES

Document = dict[str, Any]

EXAMPLES = 40

thorough = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


def seen(document: Document, sides: Sides = SIDES) -> RouteView:
    return virtual_service.view(virtual_service.read(document), sides)


def operations(patch: RoutePatch | None) -> tuple[PatchOperation, ...]:
    return patch.operations if patch else ()


def zeroed(document: Document, sides: Sides = SIDES) -> Document:
    return routing.apply(document, operations(seen(document, sides).zero))


def canary_shares(document: Document, sides: Sides = SIDES) -> dict[str, Fraction]:
    return routing.canary_shares(routing.paths(document), sides)


def split_rules(document: Document) -> Iterator[tuple[str, Document]]:
    for section in ("http", "tcp", "tls"):
        for index, rule in enumerate(document["spec"].get(section, [])):
            if rule.get("route"):
                yield f"{section}[{index}]", rule


def total(rule: Document) -> int:
    return sum(entry.get("weight") or 0 for entry in rule["route"])


def masked(document: Document, after: Document) -> Document:
    """The object without what a zero may write: weights of the two sides, what was re-pointed, and mirrors
    to the canary."""
    left, namespace = copy.deepcopy(document), document["metadata"]["namespace"]

    def side(destination: Document) -> str:
        return routing.side(destination, namespace, SIDES)

    for (_, rule), (_, rule_after) in zip(split_rules(left), split_rules(after), strict=True):
        for entry, entry_after in zip(rule["route"], rule_after["route"], strict=True):
            if side(entry["destination"]) != "other":
                entry.pop("weight", None)
            if side(entry["destination"]) == "canary" and side(entry_after["destination"]) == "stable":
                entry["destination"] = entry_after["destination"]
    for rule in left["spec"].get("http", []):
        if rule.get("mirror") and side(rule["mirror"]) == "canary" and _copies(rule.get("mirrorPercentage")):
            del rule["mirror"]
        if "mirrors" in rule:
            rule["mirrors"] = [
                mirror
                for mirror in rule["mirrors"]
                if side(mirror["destination"]) != "canary" or not _copies(mirror.get("percentage"))
            ]
    return left


def _copies(percentage: Document | None) -> bool:
    return routing.copied(percentage) > 0


@thorough
@given(strategies.virtual_services())
def test_the_view_and_the_evaluator_see_the_same_shares(document: Document) -> None:
    found = {path.path: path.share for path in seen(document).paths}

    expected = {where: float(share) for where, share in canary_shares(document).items()}
    assert expected == found


@thorough
@given(strategies.virtual_services())
def test_after_the_write_no_path_leads_to_the_canary(document: Document) -> None:
    view = seen(document)
    after = routing.apply(document, operations(view.zero))

    assert not any(canary_shares(after).values())
    assert (view.zero is None) == (not any(canary_shares(document).values()))


@thorough
@given(strategies.virtual_services())
def test_a_second_look_finds_nothing_left_to_do(document: Document) -> None:
    again = seen(zeroed(document))

    assert again.zero is None
    assert again.at_zero


@thorough
@given(strategies.virtual_services())
def test_every_rule_keeps_its_sum_or_gets_one(document: Document) -> None:
    touched = {change.path for change in getattr(seen(document).zero, "changes", ())}
    for (where, before), (_, after) in zip(split_rules(document), split_rules(zeroed(document)), strict=True):
        broken = total(before) == 0 and len(before["route"]) > 1 and where in touched
        assert (100 if broken else total(before)) == total(after)


@thorough
@given(strategies.virtual_services())
def test_no_other_field_changes_and_the_object_read_is_left_alone(document: Document) -> None:
    original = copy.deepcopy(document)
    after = zeroed(document)

    assert original == document
    assert masked(document, after) == masked(after, after)


@thorough
@given(strategies.virtual_services())
def test_stable_gets_what_the_canary_had_and_others_what_they_had(document: Document) -> None:
    before, after = routing.paths(document), routing.paths(zeroed(document))
    sums = {where: total(rule) for where, rule in split_rules(document) if len(rule["route"]) > 1}
    for where, shares in before.items():
        if "mirror" in where or sums.get(where) == 0:
            continue
        gained = routing.share(shares, routing.is_canary, SIDES)
        stable = routing.share(shares, routing.is_stable, SIDES) + gained
        assert stable == routing.share(after[where], routing.is_stable, SIDES)
        for target, part in shares.items():
            if not routing.is_canary(target, SIDES) and not routing.is_stable(target, SIDES):
                assert part == after[where][target]


@thorough
@given(strategies.meshes(), st.data())
def test_writes_in_any_order_cut_anywhere_leave_exactly_the_rest(mesh: list[Document], data: st.DataObject) -> None:
    plans = [seen(document).zero for document in mesh]
    order = data.draw(st.permutations(range(len(mesh))))
    done = order[: data.draw(st.integers(0, len(mesh)))]
    cut = [routing.apply(d, operations(plans[i]) if i in done else ()) for i, d in enumerate(mesh)]

    rest = [seen(document).zero for document in cut]

    assert [None if i in done else plan for i, plan in enumerate(plans)] == rest
    end = [routing.apply(document, operations(plan)) for document, plan in zip(cut, rest, strict=True)]
    assert not any(routing.canary_shares(routing.mesh_paths(end), SIDES).values())
    assert routing.mesh_paths(mesh).keys() >= routing.mesh_paths(end).keys()


@thorough
@given(st.data())
def test_weights_moved_since_the_read_still_end_at_zero_with_the_full_sum(data: st.DataObject) -> None:
    document = data.draw(strategies.virtual_services())
    moved = data.draw(strategies.other_weights(document))
    patch = seen(document).zero
    try:
        after = routing.apply(moved, operations(patch))
    except routing.Conflict:
        assert any(_third_party_beside(rule, document) for _, rule in split_rules(document))
        after = zeroed(moved)
    changed = {change.path for change in patch.changes} if patch else set()
    for (where, before), (_, rule) in zip(split_rules(moved), split_rules(after), strict=True):
        if where in changed:
            assert canary_shares(after).get(where, 0) == 0
            assert total(rule) == total(before) or (total(before) == 0 and total(rule) == 100)


def _third_party_beside(rule: Document, document: Document) -> bool:
    namespace = document["metadata"]["namespace"]
    sides = {routing.side(entry["destination"], namespace, SIDES) for entry in rule["route"]}
    return sides >= {"canary", "other"}


@thorough
@given(st.data())
def test_a_rebuilt_object_refuses_the_write_or_is_only_better_for_it(data: st.DataObject) -> None:
    document = data.draw(strategies.virtual_services(hundred=True))
    rebuilt = data.draw(strategies.other_structure(document))
    try:
        after = routing.apply(rebuilt, operations(seen(document).zero))
    except routing.Conflict:
        return
    before_shares, after_shares = routing.paths(rebuilt), routing.paths(after)
    for where, shares in after_shares.items():
        if ".mirrors" not in where:  # their places move when one is removed
            now = routing.share(shares, routing.is_canary, SIDES)
            assert now <= routing.share(before_shares[where], routing.is_canary, SIDES)
    assert masked(rebuilt, after) == masked(after, after)
    assert not any(canary_shares(zeroed(after)).values())


@thorough
@given(strategies.virtual_services())
def test_the_canary_is_never_raised_anywhere(document: Document) -> None:
    before, after = canary_shares(document), canary_shares(zeroed(document))

    assert all(share <= before.get(where, 0) for where, share in after.items())


@thorough
@given(strategies.virtual_services())
def test_restoring_gives_back_exactly_what_was_re_pointed_or_removed(document: Document) -> None:
    patch = seen(document).zero
    after = routing.apply(document, operations(patch))
    originals = patch.originals if patch else ()

    back = routing.apply(after, virtual_service.restore(virtual_service.read(after), originals))

    expected = copy.deepcopy(document)
    for (_, rule), (_, rule_after) in zip(split_rules(expected), split_rules(after), strict=True):
        for entry, entry_after in zip(rule["route"], rule_after["route"], strict=True):
            entry.pop("weight", None)
            entry |= {key: entry_after[key] for key in ("weight",) if key in entry_after}
    assert expected == back
    assert virtual_service.restore(virtual_service.read(back), originals) == ()


@thorough
@given(st.data())
def test_restoring_after_people_rebuilt_the_object_touches_only_what_is_as_we_left_it(
    data: st.DataObject,
) -> None:
    document = data.draw(strategies.virtual_services(hundred=True))
    patch = seen(document).zero
    originals = patch.originals if patch else ()
    rebuilt = data.draw(strategies.other_structure(routing.apply(document, operations(patch))))

    back = routing.apply(rebuilt, virtual_service.restore(virtual_service.read(rebuilt), originals))

    allowed = {str(original.replaced_with.get("match")) for original in originals}
    for section in ("http", "tcp", "tls"):
        rules = zip(rebuilt["spec"].get(section, []), back["spec"].get(section, []), strict=True)
        for before, after in rules:
            assert before == after or str(before.get("match")) in allowed


@thorough
@given(strategies.virtual_services(orphans=True))
def test_a_canary_without_a_stable_side_is_reported_and_all_else_is_zeroed(document: Document) -> None:
    view = seen(document, ORPHANED)
    after = routing.apply(document, operations(view.zero))
    left = {where for where, share in canary_shares(after, ORPHANED).items() if share}

    rules = dict(split_rules(document))
    for where in left:
        hosts = [entry["destination"]["host"] for entry in rules[where]["route"]]
        assert any("lonely-canary" in host for host in hosts)
        sides = [routing.side(e["destination"], document["metadata"]["namespace"], ORPHANED)
                 for e in rules[where]["route"]]  # fmt: skip
        assert "stable" not in sides
    again = seen(after, ORPHANED)
    assert again.zero is None
    assert left == {path.path for path in again.paths if path.share}


@thorough
@given(strategies.virtual_services())
def test_the_index_knows_every_service_that_is_named(document: Document) -> None:
    assert routing.services(document) == virtual_service.services(virtual_service.read(document), "cluster.local")


@settings(parent=thorough, max_examples=EXAMPLES * 3)
@given(strategies.broken())
def test_nothing_that_people_can_write_makes_the_planner_raise(document: Document) -> None:
    route = virtual_service.read(document)
    virtual_service.services(route, "cluster.local")
    virtual_service.hosts(route, "cluster.local")
    view = virtual_service.view(route, SIDES)
    after = routing.apply(document, operations(view.zero))
    again = seen(after)
    originals = view.zero.originals if view.zero else ()

    assert again.zero is None
    assert {path.path for path in again.paths if path.share} <= {p.path for p in view.paths if p.share}
    routing.apply(after, virtual_service.restore(virtual_service.read(after), originals))


@thorough
@given(strategies.broken(), strategies.virtual_services())
def test_restoring_into_a_broken_object_does_not_raise(broken: Document, document: Document) -> None:
    patch = seen(document).zero
    route = virtual_service.read(broken)
    moved = [copy.copy(original) for original in (patch.originals if patch else ())]

    operations = virtual_service.restore(route, moved)

    routing.apply(broken, operations)
