"""What must hold for every HTTPRoute and GRPCRoute there can be, judged by an evaluator that knows only the API's
rules."""

import copy
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.adapters import traffic
from daemon.model.route import PatchOperation, RoutePatch, RouteView, Sides
from tests import gateway_routing as gateway
from tests import gateway_strategies as strategies
from tests import routing
from tests.gateway_strategies import ORPHANED, SIDES

Document = dict[str, Any]

EXAMPLES = 40
KINDS = traffic.discover()

thorough = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
every_kind = pytest.mark.parametrize("kind", ["HTTPRoute", "GRPCRoute"])


def seen(document: Document, sides: Sides = SIDES) -> RouteView:
    module = KINDS[str(document["kind"])]
    return module.view(module.read(document), sides)


def restoring(document: Document, patch: RoutePatch | None) -> tuple[PatchOperation, ...]:
    module = KINDS[str(document["kind"])]
    return module.restore(module.read(document), patch.originals if patch else ())


def operations(patch: RoutePatch | None) -> tuple[PatchOperation, ...]:
    return patch.operations if patch else ()


def zeroed(document: Document, sides: Sides = SIDES) -> Document:
    return routing.apply(document, operations(seen(document, sides).zero))


def canary_shares(document: Document, sides: Sides = SIDES) -> dict[str, Fraction]:
    return gateway.canary_shares(gateway.paths(document), sides)


def clung_to(document: Document, sides: Sides = SIDES) -> bool:
    return any(gateway.is_canary(whom, sides) for whom in gateway.clung_to(document))


def split_rules(document: Document) -> Iterator[tuple[str, Document]]:
    return ((where, rule) for where, rule in gateway.rules(document) if rule.get("backendRefs"))


def total(rule: Document) -> int:
    return sum(entry.get("weight", 1) for entry in rule["backendRefs"])


def masked(document: Document, after: Document) -> Document:
    """The object without what a zero may write: weights of the two sides, what was re-pointed, and mirrors
    to the canary."""
    left, home = copy.deepcopy(document), document["metadata"]["namespace"]
    for (_, rule), (_, rule_after) in zip(split_rules(left), split_rules(after), strict=True):
        for entry, entry_after in zip(rule["backendRefs"], rule_after["backendRefs"], strict=True):
            side = gateway.side(entry, home, SIDES)
            if side != "other":
                entry.pop("weight", None)
            if side == "canary" and gateway.side(entry_after, home, SIDES) == "stable":
                for key in ("namespace", "name", "port"):
                    entry.pop(key, None)
                    entry |= {key: entry_after[key] for key in [key] if key in entry_after}
    for _, rule in gateway.rules(left):
        for holder in (rule, *rule.get("backendRefs", [])):
            if "filters" in holder:
                holder["filters"] = [one for one in holder["filters"] if not _copies_to_canary(one, home)]
    return left


def _copies_to_canary(one: Document, home: str) -> bool:
    mirror = one.get("requestMirror")
    return bool(mirror and gateway.side(mirror["backendRef"], home, SIDES) == "canary" and gateway.copied(mirror))


@every_kind
@thorough
@given(st.data())
def test_the_view_and_the_evaluator_see_the_same_shares(kind: str, data: st.DataObject) -> None:
    document = data.draw(strategies.routes(kind))
    found = {path.path: path.share for path in seen(document).paths}

    assert found == {where: float(share) for where, share in canary_shares(document).items()}


@every_kind
@thorough
@given(st.data())
def test_after_the_write_no_path_leads_to_the_canary_and_no_session_stays_there(kind: str, data: st.DataObject) -> None:
    document = data.draw(strategies.routes(kind))
    view = seen(document)
    after = routing.apply(document, operations(view.zero))

    assert not any(canary_shares(after).values())
    assert not clung_to(after)
    assert (view.zero is None) == (not any(canary_shares(document).values()) and not clung_to(document))


@every_kind
@thorough
@given(st.data())
def test_a_second_look_finds_nothing_left_to_do(kind: str, data: st.DataObject) -> None:
    again = seen(zeroed(data.draw(strategies.routes(kind))))

    assert again.zero is None
    assert again.at_zero


@every_kind
@thorough
@given(st.data())
def test_every_rule_keeps_its_sum(kind: str, data: st.DataObject) -> None:
    document = data.draw(strategies.routes(kind))
    for (_, before), (_, after) in zip(split_rules(document), split_rules(zeroed(document)), strict=True):
        assert total(before) == total(after)


@every_kind
@thorough
@given(st.data())
def test_no_other_field_changes_and_the_object_read_is_left_alone(kind: str, data: st.DataObject) -> None:
    document = data.draw(strategies.routes(kind))
    original = copy.deepcopy(document)
    after = zeroed(document)

    assert original == document
    assert masked(document, after) == masked(after, after)


@every_kind
@thorough
@given(st.data())
def test_stable_gets_what_the_canary_had_and_others_what_they_had(kind: str, data: st.DataObject) -> None:
    document = data.draw(strategies.routes(kind))
    before, after = gateway.paths(document), gateway.paths(zeroed(document))
    for where, _ in split_rules(document):
        shares = before[where]
        gained = gateway.share(shares, gateway.is_canary, SIDES)
        stable = gateway.share(shares, gateway.is_stable, SIDES) + gained
        assert stable == gateway.share(after[where], gateway.is_stable, SIDES)
        for whom, part in shares.items():
            if not gateway.is_canary(whom, SIDES) and not gateway.is_stable(whom, SIDES):
                assert part == after[where][whom]


@every_kind
@thorough
@given(st.data())
def test_writes_in_any_order_cut_anywhere_leave_exactly_the_rest(kind: str, data: st.DataObject) -> None:
    several = data.draw(strategies.gateways(kind))
    plans = [seen(document).zero for document in several]
    order = data.draw(st.permutations(range(len(several))))
    done = order[: data.draw(st.integers(0, len(several)))]
    cut = [routing.apply(d, operations(plans[i]) if i in done else ()) for i, d in enumerate(several)]

    rest = [seen(document).zero for document in cut]

    assert [None if i in done else plan for i, plan in enumerate(plans)] == rest
    for document, plan in zip(cut, rest, strict=True):
        assert not any(canary_shares(routing.apply(document, operations(plan))).values())


@every_kind
@thorough
@given(st.data())
def test_weights_moved_since_the_read_still_end_at_zero_with_the_full_sum(kind: str, data: st.DataObject) -> None:
    document = data.draw(strategies.routes(kind))
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
            assert total(rule) == total(before)


def _third_party_beside(rule: Document, document: Document) -> bool:
    home = document["metadata"]["namespace"]
    return {gateway.side(entry, home, SIDES) for entry in rule["backendRefs"]} >= {"canary", "other"}


@every_kind
@thorough
@given(st.data())
def test_a_rebuilt_object_refuses_the_write_or_is_only_better_for_it(kind: str, data: st.DataObject) -> None:
    document = data.draw(strategies.routes(kind, hundred=True))
    rebuilt = data.draw(strategies.other_structure(document))
    try:
        after = routing.apply(rebuilt, operations(seen(document).zero))
    except routing.Conflict:
        return
    before_shares, after_shares = gateway.paths(rebuilt), gateway.paths(after)
    for where, shares in after_shares.items():
        if "filters" not in where:  # their places move when one is removed
            now = gateway.share(shares, gateway.is_canary, SIDES)
            assert now <= gateway.share(before_shares[where], gateway.is_canary, SIDES)
    assert masked(rebuilt, after) == masked(after, after)
    assert not any(canary_shares(zeroed(after)).values())


@every_kind
@thorough
@given(st.data())
def test_a_backend_that_moved_is_never_written_to(kind: str, data: st.DataObject) -> None:
    """Whatever field of a reference changes: the guards of the write are on all of them."""
    document = data.draw(strategies.routes(kind))
    patch = seen(document).zero
    touched = sorted({one.path.rsplit("/", 1)[0] for one in operations(patch)
                      if one.op != "test" and "/filters" not in one.path})  # fmt: skip
    if not touched:
        return
    moved = copy.deepcopy(document)
    rule, _, place = data.draw(st.sampled_from(touched)).split("/")[3:6]
    entry = moved["spec"]["rules"][int(rule)]["backendRefs"][int(place)]
    key, value = data.draw(
        st.sampled_from([("name", "x"), ("namespace", "x"), ("kind", "x"), ("group", "x"), ("port", 81)])
    )
    entry[key] = value

    with pytest.raises(routing.Conflict):
        routing.apply(moved, operations(patch))


@every_kind
@thorough
@given(st.data())
def test_the_canary_is_never_raised_anywhere(kind: str, data: st.DataObject) -> None:
    document = data.draw(strategies.routes(kind))
    before, after = canary_shares(document), canary_shares(zeroed(document))

    assert all(share <= before.get(where, 0) for where, share in after.items() if "filters" not in where)
    assert not any(share for where, share in after.items() if "filters" in where)


@every_kind
@thorough
@given(st.data())
def test_restoring_gives_back_exactly_what_was_re_pointed_or_removed(kind: str, data: st.DataObject) -> None:
    document = data.draw(strategies.routes(kind))
    patch = seen(document).zero
    after = routing.apply(document, operations(patch))

    back = routing.apply(after, restoring(after, patch))

    expected = copy.deepcopy(document)
    for (_, rule), (_, rule_after) in zip(split_rules(expected), split_rules(after), strict=True):
        for entry, entry_after in zip(rule["backendRefs"], rule_after["backendRefs"], strict=True):
            entry.pop("weight", None)
            entry |= {key: entry_after[key] for key in ("weight",) if key in entry_after}
    assert expected == back
    assert restoring(back, patch) == ()


@every_kind
@thorough
@given(st.data())
def test_restoring_after_people_rebuilt_the_object_touches_only_what_is_as_we_left_it(
    kind: str, data: st.DataObject
) -> None:
    document = data.draw(strategies.routes(kind, hundred=True))
    patch = seen(document).zero
    rebuilt = data.draw(strategies.other_structure(routing.apply(document, operations(patch))))

    back = routing.apply(rebuilt, restoring(rebuilt, patch))

    allowed = {str(original.replaced_with.get("matches")) for original in (patch.originals if patch else ())}
    for before, after in zip(rebuilt["spec"].get("rules", []), back["spec"].get("rules", []), strict=True):
        assert before == after or str(before.get("matches")) in allowed
        for entry, entry_after in zip(before.get("backendRefs", []), after.get("backendRefs", []), strict=True):
            assert entry.get("weight") == entry_after.get("weight")


@every_kind
@thorough
@given(st.data())
def test_a_canary_without_a_stable_side_is_reported_and_all_else_is_zeroed(kind: str, data: st.DataObject) -> None:
    document = data.draw(strategies.routes(kind, orphans=True))
    view = seen(document, ORPHANED)
    after = routing.apply(document, operations(view.zero))
    left = {where for where, share in canary_shares(after, ORPHANED).items() if share}

    rules = dict(split_rules(document))
    for where in left:
        listed = rules[where]["backendRefs"]
        assert any(entry["name"] == "lonely-canary" for entry in listed)
        sides = [gateway.side(entry, document["metadata"]["namespace"], ORPHANED) for entry in listed]
        assert "stable" not in sides
    again = seen(after, ORPHANED)
    assert again.zero is None
    assert left == {path.path for path in again.paths if path.share}


@every_kind
@thorough
@given(st.data())
def test_the_index_knows_every_service_that_is_named(kind: str, data: st.DataObject) -> None:
    document = data.draw(strategies.routes(kind))
    module = KINDS[kind]
    assert gateway.services(document) == module.services(module.read(document), "cluster.local")


@every_kind
@thorough
@given(st.data(), st.sampled_from([0, 0.4, 5, 25, 33.3, 50, 100]))
def test_steering_gives_the_canary_its_part_of_what_it_shares_with_stable(
    kind: str, data: st.DataObject, percent: float
) -> None:
    document = data.draw(strategies.routes(kind))
    module = KINDS[kind]
    patch = module.steer(module.read(document), SIDES, percent)
    after = routing.apply(document, operations(patch))
    home = document["metadata"]["namespace"]
    before_shares, shares = gateway.paths(document), gateway.paths(after)
    for (where, rule), (_, rule_before) in zip(split_rules(after), split_rules(document), strict=True):
        sides = {gateway.side(entry, home, SIDES) for entry in rule["backendRefs"]}
        if not sides >= {"canary", "stable"}:
            assert rule == rule_before
            continue
        canary = gateway.share(shares[where], gateway.is_canary, SIDES)
        both = canary + gateway.share(shares[where], gateway.is_stable, SIDES)
        if both:
            weighed = both * total(rule)
            assert abs(canary / both - Fraction(percent) / 100) <= 1 / Fraction(weighed)
            assert (canary == 0) == (percent == 0)
        if total(rule) == total(rule_before):
            for whom, part in before_shares[where].items():
                if gateway.side({"group": whom[0], "kind": whom[1], "name": whom[3]}, whom[2], SIDES) == "other":
                    assert part == shares[where][whom]
    assert module.steer(module.read(after), SIDES, percent) is None


@every_kind
@settings(parent=thorough, max_examples=EXAMPLES * 3)
@given(st.data())
def test_nothing_that_people_can_write_makes_a_kind_raise(kind: str, data: st.DataObject) -> None:
    document = data.draw(strategies.broken(kind))
    module = KINDS[kind]
    route = module.read(document)
    module.services(route, "cluster.local")
    module.hosts(route, "cluster.local")
    assert isinstance(module.pending(route), str)
    module.claim(route, "cluster.local")
    steered = module.steer(route, SIDES, 25)
    routing.apply(document, operations(steered))
    view = module.view(route, SIDES)
    after = routing.apply(document, operations(view.zero))
    again = module.view(module.read(after), SIDES)

    assert again.zero is None
    assert {path.path for path in again.paths if path.share} <= {p.path for p in view.paths if p.share}
    originals = view.zero.originals if view.zero else ()
    routing.apply(after, module.restore(module.read(after), originals))


@every_kind
@thorough
@given(st.data())
def test_restoring_into_a_broken_object_does_not_raise(kind: str, data: st.DataObject) -> None:
    broken = data.draw(strategies.broken(kind))
    patch = seen(data.draw(strategies.routes(kind))).zero
    module = KINDS[kind]

    routing.apply(broken, module.restore(module.read(broken), patch.originals if patch else ()))
